package topics

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
)

// ConfigOptions says how a ConfigTopic reaches its topic.
type ConfigOptions struct {
	Spec     Spec // its Kind is taken as KindConfig
	Admin    *kafka.Config
	Consumer *kafka.Config
	Producer *kafka.Config
	Timeout  time.Duration // for a write and its read-back together; 0: 30 s, as Java
	Logger   *slog.Logger  // nil: slog.Default
}

// writeLimit is how long a write and its read-back may take. (Source:
// KafkaConfigBackingStore.READ_WRITE_TOTAL_TIMEOUT_MS.)
const writeLimit = 30 * time.Second

// A ConfigTopic is the config topic. Run's goroutine applies its records; all other
// methods may be called from any goroutine.
type ConfigTopic struct {
	journal *journal
	timeout time.Duration
	changed chan struct{}
	state   atomic.Pointer[ClusterState]

	// mu guards machine. Run's goroutine holds it to apply a record, Take to take the
	// changes, never across I/O.
	mu      sync.Mutex
	machine *machine
}

// NewConfigTopic makes a ConfigTopic; Run opens it.
func NewConfigTopic(o ConfigOptions) *ConfigTopic {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Timeout == 0 {
		o.Timeout = writeLimit
	}
	o.Spec.Kind = KindConfig
	t := &ConfigTopic{
		journal: newJournal(o.Spec, o.Admin, o.Consumer, o.Producer),
		timeout: o.Timeout,
		changed: make(chan struct{}, 1),
		machine: newMachine(o.Logger),
	}
	t.state.Store(newMachine(o.Logger).snapshot())
	return t
}

// Run creates the topic if needed, reads it and follows it until ctx ends; then it
// returns nil. An error means that the topic cannot be used. It is called once.
func (t *ConfigTopic) Run(ctx context.Context) error {
	return t.journal.run(ctx, t.handle, t.caughtUp, nil)
}

// handle applies a record.
func (t *ConfigTopic) handle(r kafka.Raw) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.machine.apply(string(r.Key), r.Value, r.Offset)
	if t.machine.started {
		t.publish()
	}
}

// caughtUp begins to show the state, and to collect changes to it.
func (t *ConfigTopic) caughtUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.machine.started = true
	t.publish()
}

func (t *ConfigTopic) publish() {
	t.state.Store(t.machine.snapshot())
	if !t.machine.pending.empty() {
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

// Ready is closed when the topic has been read to its end for the first time.
func (t *ConfigTopic) Ready() <-chan struct{} { return t.journal.ready }

// State is the present snapshot. Before Ready it is empty, with offset -1.
func (t *ConfigTopic) State() *ClusterState { return t.state.Load() }

// Configured is State in the form in which group.Config asks for it.
func (t *ConfigTopic) Configured() group.Configured {
	s := t.State()
	return group.Configured{Offset: s.Offset(), Work: s.Work()}
}

// ReadToEnd returns when State shows everything that was in the topic at the call. It
// waits for Ready first.
func (t *ConfigTopic) ReadToEnd(ctx context.Context) error { return t.journal.readToEnd(ctx) }

// Changed has a value when Take has something to give.
func (t *ConfigTopic) Changed() <-chan struct{} { return t.changed }

// Take returns what changed since the last Take. State shows all of it, and may show more.
func (t *ConfigTopic) Take() Changes {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes := t.machine.pending.changes()
	t.machine.pending = newPending()
	return changes
}

// PutConnector writes a connector's config, after its initial target state if that is
// not "". It returns when State shows it. Leader only.
func (t *ConfigTopic) PutConnector(ctx context.Context, connector string, config map[string]string, initial TargetState) error {
	var records []kafka.Message
	if initial != "" {
		records = append(records, t.record(targetStateKey+connector, encodeTargetState(initial)))
	}
	records = append(records, t.record(connectorKey+connector, appendProperties(nil, nullable(config))))
	return t.write(ctx, "config of connector "+connector, records)
}

// RemoveConnector deletes a connector and its target state. Leader only.
func (t *ConfigTopic) RemoveConnector(ctx context.Context, connector string) error {
	return t.write(ctx, "removal of connector "+connector, []kafka.Message{
		t.record(connectorKey+connector, nil),
		t.record(targetStateKey+connector, nil),
	})
}

// PutTasks replaces the configs of all tasks of a connector, atomically: they count from
// the commit record on, which comes last. No configs means no tasks. A connector in Java may
// give a key no value: nil is written as null, so that it finds its config unchanged. Leader only.
func (t *ConfigTopic) PutTasks(ctx context.Context, connector string, configs []map[string]*string) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.ReadToEnd(ctx); err != nil {
		return err
	}
	if len(configs) > 0 {
		records := make([]kafka.Message, len(configs))
		for i, config := range configs {
			records[i] = t.record(taskRecordKey(group.TaskID{Connector: connector, Task: i}), appendProperties(nil, config))
		}
		if err := t.write(ctx, "task configs of connector "+connector, records); err != nil {
			return err
		}
	}
	return t.write(ctx, "task commit of connector "+connector, []kafka.Message{t.record(commitKey+connector, encodeCommit(len(configs)))})
}

// PutTargetState writes what a connector is wanted to be in. Any worker may. It does not
// wait until State shows it.
func (t *ConfigTopic) PutTargetState(ctx context.Context, connector string, s TargetState) error {
	return t.send(ctx, "target state of connector "+connector, []kafka.Message{t.record(targetStateKey+connector, encodeTargetState(s))})
}

// PutSessionKey hands a new session key to all workers. Leader only.
func (t *ConfigTopic) PutSessionKey(ctx context.Context, k SessionKey) error {
	return t.write(ctx, "session key", []kafka.Message{t.record(sessionKeyKey, encodeSessionKey(k))})
}

// PutRestart hands a restart request to all workers. Leader only.
func (t *ConfigTopic) PutRestart(ctx context.Context, r RestartRequest) error {
	return t.write(ctx, "restart request for connector "+r.Connector, []kafka.Message{t.record(restartKey+r.Connector, encodeRestart(r))})
}

// PutLevel sets the log level of a namespace on all workers. Any worker may.
func (t *ConfigTopic) PutLevel(ctx context.Context, namespace, level string) error {
	return t.send(ctx, "log level of "+namespace, []kafka.Message{t.record(loggerKey+namespace, encodeLevel(level))})
}

func (t *ConfigTopic) record(key string, value []byte) kafka.Message {
	return kafka.Message{Topic: t.journal.spec.Name, Key: []byte(key), Value: value}
}

// write sends records and waits until they have been applied here.
func (t *ConfigTopic) write(ctx context.Context, what string, records []kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.send(ctx, what, records); err != nil {
		return err
	}
	return t.ReadToEnd(ctx)
}

// send writes records. After an error they may be in the topic or may not.
func (t *ConfigTopic) send(ctx context.Context, what string, records []kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	err := t.journal.while(ctx, func(ctx context.Context) error { return t.journal.out.SendAll(ctx, records) })
	if err != nil {
		return fmt.Errorf("write %s to config topic %s: %w", what, t.journal.spec.Name, err)
	}
	return nil
}
