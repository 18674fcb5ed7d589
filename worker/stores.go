package worker

import (
	"context"

	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// clusterState is one moment of the cluster's configuration: a [topics.ClusterState],
// or what a standalone worker has in memory. It is immutable.
type clusterState interface {
	Offset() int64
	SessionKey() *topics.SessionKey
	Connectors() []string
	Contains(connector string) bool
	Config(connector string) map[string]string
	TargetState(connector string) topics.TargetState
	TaskCount(connector string) (int, bool)
	Tasks(connector string) []group.TaskID
	TaskConfig(id group.TaskID) map[string]string
	AppliedConfig(connector string) map[string]string
	Work() group.Work
}

// configStore is where the cluster's configuration is kept: the config topic or memory.
// See [topics.ConfigTopic] for what each method promises.
type configStore interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	Snapshot() clusterState
	ReadToEnd(ctx context.Context) error
	Changed() <-chan struct{}
	Take() topics.Changes

	PutConnector(ctx context.Context, connector string, config map[string]string, initial topics.TargetState) error
	RemoveConnector(ctx context.Context, connector string) error
	PutTasks(ctx context.Context, connector string, configs []map[string]*string) error
	PutTargetState(ctx context.Context, connector string, s topics.TargetState) error
	PutSessionKey(ctx context.Context, k topics.SessionKey) error
	PutRestart(ctx context.Context, r topics.RestartRequest) error
	PutLevel(ctx context.Context, namespace, level string) error
}

// configTopic is the config topic as a configStore.
type configTopic struct{ *topics.ConfigTopic }

func (t configTopic) Snapshot() clusterState { return t.State() }

// statusStore is where states are kept: the status topic or memory. See
// [topics.StatusTopic].
type statusStore interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	PutConnector(connector string, s topics.Status)
	PutConnectorSafe(connector string, s topics.Status)
	PutTask(id group.TaskID, s topics.Status)
	PutTaskSafe(id group.TaskID, s topics.Status)
	PutTopic(s topics.TopicStatus)
	DeleteTopic(connector, topic string)
	Flush(ctx context.Context) error
	Connectors() []string
	Connector(connector string) (topics.Status, bool)
	Task(id group.TaskID) (topics.Status, bool)
	Tasks(connector string) map[int]topics.Status
	Topics(connector string) []topics.TopicStatus
}

// membership is the worker's place in its group: a [group.Member], or alone.
type membership interface {
	Run(ctx context.Context) error
	Events() <-chan group.Event
	Rejoin(reason string)
	Forget()
}
