package topics

import (
	"context"
	"log/slog"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// ConfigOptions says how a ConfigTopic reaches its topic.
type ConfigOptions struct {
	Spec     Spec
	Admin    *kafka.Config
	Consumer *kafka.Config
	Producer *kafka.Config
	Timeout  time.Duration // for a write and its read-back together; 0: 30 s, as Java
	Logger   *slog.Logger  // nil: slog.Default
}

// A ConfigTopic is the config topic. Run's goroutine applies its records; all other
// methods may be called from any goroutine.
type ConfigTopic struct{}

// NewConfigTopic makes a ConfigTopic; Run opens it.
func NewConfigTopic(o ConfigOptions) *ConfigTopic { return &ConfigTopic{} }

// Run creates the topic if needed, reads it and follows it until ctx ends; then it
// returns nil. An error means that the topic cannot be used.
func (t *ConfigTopic) Run(ctx context.Context) error { return nil }

// Ready is closed when the topic has been read to its end for the first time.
func (t *ConfigTopic) Ready() <-chan struct{} { return nil }

// State is the present snapshot. Before Ready it is empty, with offset -1.
func (t *ConfigTopic) State() *ClusterState { return &ClusterState{} }

// ReadToEnd returns when State shows everything that was in the topic at the call.
func (t *ConfigTopic) ReadToEnd(ctx context.Context) error { return nil }

// Changed has a value when Take has something to give.
func (t *ConfigTopic) Changed() <-chan struct{} { return nil }

// Take returns what changed since the last Take.
func (t *ConfigTopic) Take() Changes { return Changes{} }

// PutConnector writes a connector's config, after its initial target state if that is
// not "". It returns when State shows it. Leader only.
func (t *ConfigTopic) PutConnector(ctx context.Context, connector string, config map[string]string, initial TargetState) error {
	return nil
}

// RemoveConnector deletes a connector and its target state. Leader only.
func (t *ConfigTopic) RemoveConnector(ctx context.Context, connector string) error { return nil }

// PutTasks replaces the configs of all tasks of a connector, atomically: they count from
// the commit record on, which comes last. No configs means no tasks. Leader only.
func (t *ConfigTopic) PutTasks(ctx context.Context, connector string, configs []map[string]string) error {
	return nil
}

// PutTargetState writes what a connector is wanted to be in. Any worker may.
func (t *ConfigTopic) PutTargetState(ctx context.Context, connector string, s TargetState) error {
	return nil
}

// PutSessionKey hands a new session key to all workers. Leader only.
func (t *ConfigTopic) PutSessionKey(ctx context.Context, k SessionKey) error { return nil }

// PutRestart hands a restart request to all workers. Leader only.
func (t *ConfigTopic) PutRestart(ctx context.Context, r RestartRequest) error { return nil }

// PutLevel sets the log level of a namespace on all workers. Any worker may.
func (t *ConfigTopic) PutLevel(ctx context.Context, namespace, level string) error { return nil }
