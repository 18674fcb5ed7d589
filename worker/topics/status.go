package topics

import (
	"context"
	"log/slog"
	"time"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
)

// State is the state of a connector or a task, as in the status topic.
type State string

// The states.
const (
	StateUnassigned State = "UNASSIGNED"
	StateRunning    State = "RUNNING"
	StatePaused     State = "PAUSED"
	StateFailed     State = "FAILED"
	StateRestarting State = "RESTARTING"
	StateStopped    State = "STOPPED"   // connectors only
	StateDestroyed  State = "DESTROYED" // never in a record: it is written as a tombstone
)

// A Status is what a worker said about a connector or a task.
type Status struct {
	State      State
	Trace      string // "" for none
	Worker     string // host:port of its REST server
	Generation int32  // of the writer's group membership
	Version    string // of the plugin, "" if unknown (since Kafka 4.1)
}

// A TopicStatus says that a connector has used a topic (KIP-558).
type TopicStatus struct {
	Topic      string
	Connector  string
	Task       int
	Discovered time.Time
}

// StatusOptions says how a StatusTopic reaches its topic.
type StatusOptions struct {
	Spec     Spec
	Admin    *kafka.Config
	Consumer *kafka.Config
	Producer *kafka.Config
	Logger   *slog.Logger // nil: slog.Default
}

// A StatusTopic is the status topic. Run's goroutines apply its records and send what is
// put; all other methods may be called from any goroutine and do not wait unless said.
type StatusTopic struct{}

// NewStatusTopic makes a StatusTopic; Run opens it.
func NewStatusTopic(o StatusOptions) *StatusTopic { return &StatusTopic{} }

// Run creates the topic if needed, reads it, follows it and writes to it until ctx ends;
// then it sends what is queued, for a few seconds at most, and returns nil.
func (t *StatusTopic) Run(ctx context.Context) error { return nil }

// Ready is closed when the topic has been read to its end for the first time.
func (t *StatusTopic) Ready() <-chan struct{} { return nil }

// PutConnector queues a connector's status; DESTROYED becomes a tombstone.
func (t *StatusTopic) PutConnector(connector string, s Status) {}

// PutConnectorSafe is PutConnector unless another worker has written under a higher
// generation: for UNASSIGNED and FAILED, which a late worker may report.
func (t *StatusTopic) PutConnectorSafe(connector string, s Status) {}

// PutTask queues a task's status; DESTROYED becomes a tombstone.
func (t *StatusTopic) PutTask(id group.TaskID, s Status) {}

// PutTaskSafe is to PutTask as PutConnectorSafe is to PutConnector.
func (t *StatusTopic) PutTaskSafe(id group.TaskID, s Status) {}

// PutTopic queues a topic of a connector.
func (t *StatusTopic) PutTopic(s TopicStatus) {}

// DeleteTopic queues the tombstone of a topic of a connector.
func (t *StatusTopic) DeleteTopic(connector, topic string) {}

// Flush waits until everything queued before has been sent or given up.
func (t *StatusTopic) Flush(ctx context.Context) error { return nil }

// ReadToEnd returns when the statuses show all that was in the topic at the call.
func (t *StatusTopic) ReadToEnd(ctx context.Context) error { return nil }

// Connectors are the names of all connectors that have a status, sorted.
func (t *StatusTopic) Connectors() []string { return nil }

// Connector is the status of a connector.
func (t *StatusTopic) Connector(connector string) (Status, bool) { return Status{}, false }

// Task is the status of a task.
func (t *StatusTopic) Task(id group.TaskID) (Status, bool) { return Status{}, false }

// Tasks are the statuses of a connector's tasks by task number.
func (t *StatusTopic) Tasks(connector string) map[int]Status { return nil }

// Topics are the topics of a connector, by name.
func (t *StatusTopic) Topics(connector string) []TopicStatus { return nil }
