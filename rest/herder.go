package rest

import (
	"context"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

// A Herder is what the API needs of a worker. Its methods may be called from any
// goroutine; they wait until ctx ends at most. An [entities.Error] is answered as it is,
// an [entities.RedirectError] makes the server forward the request, any other error is
// a 500.
type Herder interface {
	ClusterID() string

	// Health returns nil after a no-op has gone through the herder, and an
	// [entities.Error] with status 503 while the worker starts.
	Health(ctx context.Context) error

	Connectors(ctx context.Context) ([]string, error)
	Connector(ctx context.Context, name string) (*entities.ConnectorInfo, error)
	Tasks(ctx context.Context, name string) ([]entities.TaskInfo, error)
	Status(ctx context.Context, name string) (*entities.ConnectorStateInfo, error)
	TaskStatus(ctx context.Context, name string, task int) (*entities.TaskState, error)

	Create(ctx context.Context, r entities.CreateRequest) (*entities.ConnectorInfo, error)
	PutConfig(ctx context.Context, name string, config map[string]*string) (info *entities.ConnectorInfo, created bool, err error)
	PatchConfig(ctx context.Context, name string, patch map[string]*string) (*entities.ConnectorInfo, error)
	Delete(ctx context.Context, name string) error

	// SetTarget pauses, resumes or stops a connector.
	SetTarget(ctx context.Context, name string, state entities.TargetState) error

	// Restart restarts the connector instance alone; RestartPlan what KIP-745 describes.
	Restart(ctx context.Context, name string) error
	RestartPlan(ctx context.Context, name string, includeTasks, onlyFailed bool) (*entities.ConnectorStateInfo, error)
	RestartTask(ctx context.Context, name string, task int) error

	// PutTaskConfigs takes what another worker's connector generated, nil being null; Fence
	// is the other request between workers. body is what was signed.
	PutTaskConfigs(ctx context.Context, name string, configs []map[string]*string, body []byte, s entities.Signature) error
	Fence(ctx context.Context, name string, body []byte, s entities.Signature) error

	Topics(ctx context.Context, name string) ([]string, error)
	ResetTopics(ctx context.Context, name string) error

	Offsets(ctx context.Context, name string) (*entities.Offsets, error)
	AlterOffsets(ctx context.Context, name string, offsets entities.Offsets) (*entities.Message, error)
	ResetOffsets(ctx context.Context, name string) (*entities.Message, error)

	// The levels of loggers: this worker's, and, to set, every worker's (KIP-976).
	Loggers() map[string]entities.LoggerLevel
	Logger(name string) (*entities.LoggerLevel, error)
	SetLogger(name, level string) (changed []string, err error)
	SetClusterLogger(ctx context.Context, name, level string) error

	Plugins(connectorsOnly bool) []entities.Plugin
	PluginConfig(class string) ([]connect.KeyInfo, error)
	Validate(ctx context.Context, plugin string, config map[string]*string) (*connect.ConfigInfos, error)
}
