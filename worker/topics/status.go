package topics

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
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
// What is put shows once it has been read back.
type StatusTopic struct {
	journal *journal
	queue   *statusQueue

	// mu guards table; it is never held across I/O.
	mu    sync.Mutex
	table *statusTable
}

// NewStatusTopic makes a StatusTopic; Run opens it.
func NewStatusTopic(o StatusOptions) *StatusTopic {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Spec.Kind = KindStatus
	t := &StatusTopic{
		journal: newJournal(o.Spec, o.Admin, o.Consumer, o.Producer),
		table:   newStatusTable(o.Logger),
	}
	t.queue = newStatusQueue(o.Spec.Name, t.allow, o.Logger)
	return t
}

// Run creates the topic if needed, reads it, follows it and writes to it until ctx ends;
// then it sends what is queued, for 5 s at most, and returns nil. It is called once.
func (t *StatusTopic) Run(ctx context.Context) error {
	handle := func(r kafka.Raw) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.table.apply(string(r.Key), r.Value)
	}
	return t.journal.run(ctx, handle, func() {}, t.queue.run)
}

// Ready is closed when the topic has been read to its end for the first time.
func (t *StatusTopic) Ready() <-chan struct{} { return t.journal.ready }

// PutConnector queues a connector's status; DESTROYED becomes a tombstone.
func (t *StatusTopic) PutConnector(connector string, s Status) {
	t.queue.put(connectorStatusKey+connector, encodeStatus(s), &s, false)
}

// PutConnectorSafe is PutConnector unless another worker has written under a higher
// generation: for UNASSIGNED and FAILED, which a late worker may report.
func (t *StatusTopic) PutConnectorSafe(connector string, s Status) {
	t.queue.put(connectorStatusKey+connector, encodeStatus(s), &s, true)
}

// PutTask queues a task's status; DESTROYED becomes a tombstone.
func (t *StatusTopic) PutTask(id group.TaskID, s Status) {
	t.queue.put(taskStatusRecordKey(id), encodeStatus(s), &s, false)
}

// PutTaskSafe is to PutTask as PutConnectorSafe is to PutConnector.
func (t *StatusTopic) PutTaskSafe(id group.TaskID, s Status) {
	t.queue.put(taskStatusRecordKey(id), encodeStatus(s), &s, true)
}

// PutTopic queues a topic of a connector.
func (t *StatusTopic) PutTopic(s TopicStatus) {
	t.queue.put(topicStatusRecordKey(s.Connector, s.Topic), encodeTopicStatus(s), nil, false)
}

// DeleteTopic queues the tombstone of a topic of a connector.
func (t *StatusTopic) DeleteTopic(connector, topic string) {
	t.queue.put(topicStatusRecordKey(connector, topic), nil, nil, false)
}

// allow decides about a safe write.
func (t *StatusTopic) allow(key string, s Status) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.table.current(key)
	return !ok || old.Worker == s.Worker || old.Generation <= s.Generation
}

// Flush waits until everything queued before has been sent or given up. It waits for the
// topic to be ready first.
func (t *StatusTopic) Flush(ctx context.Context) error {
	if err := t.journal.while(ctx, t.queue.flush); err != nil {
		return fmt.Errorf("flush status topic %s: %w", t.journal.spec.Name, err)
	}
	return nil
}

// ReadToEnd returns when the statuses show all that was in the topic at the call. It
// waits for Ready first.
func (t *StatusTopic) ReadToEnd(ctx context.Context) error { return t.journal.readToEnd(ctx) }

// Connectors are the names of all connectors that have a status themselves or whose
// tasks have one, sorted.
func (t *StatusTopic) Connectors() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.table.names()
}

// Connector is the status of a connector.
func (t *StatusTopic) Connector(connector string) (Status, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.table.connectors[connector]
	return s, ok
}

// Task is the status of a task.
func (t *StatusTopic) Task(id group.TaskID) (Status, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.table.taskStatus(id)
}

// Tasks are the statuses of a connector's tasks by task number.
func (t *StatusTopic) Tasks(connector string) map[int]Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.table.tasks[connector])
}

// Topics are the topics of a connector, by name.
func (t *StatusTopic) Topics(connector string) []TopicStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.table.topics[connector]), func(a, b TopicStatus) int {
		return cmp.Compare(a.Topic, b.Topic)
	})
}
