package connect

import (
	"context"
	"log/slog"
)

// A Plugin says what it can be configured with. Its version is shown by
// GET /connector-plugins.
type Plugin interface {
	ConfigDef() *ConfigDef
	Version() string
}

// A Converter turns the bytes of keys or values into Connect data.
type Converter interface {
	Plugin

	// Configure comes first, once. config holds the keys under the converter's prefix
	// (value.converter.), stripped of it. It does no I/O.
	Configure(config map[string]string, isKey bool) error

	// ToConnect decodes the data of one record of topic; nil data is a null. The value
	// may alias data and lives in arena. Errors: a [RetryError] when the same call may
	// succeed later (a registry that does not answer), anything else blames the record.
	// It waits for I/O only when it meets a schema for the first time.
	ToConnect(ctx context.Context, arena *Arena, topic string, data []byte) (*Schema, Value, error)
}

// A Transformation changes records one by one (a single message transform).
type Transformation interface {
	Plugin

	// Configure comes first, once, with the keys under transforms.ALIAS., stripped.
	Configure(config map[string]string) error

	// Apply changes r in place; values it makes live in arena. It returns false to drop
	// the record, which is not an error. It keeps no reference to r.
	Apply(arena *Arena, r *Record) (keep bool, err error)
}

// A SinkConnector is the head of a connector: it checks the config and divides the
// work. One instance exists per running connector; Start, TaskConfigs and Stop come
// from one goroutine, Validate and AlterOffsets may be called on a fresh instance.
type SinkConnector interface {
	Plugin

	// Validate reports what ConfigDef cannot see: keys that exclude each other, a catalog
	// that cannot be reached. It adds to the errors found so far.
	Validate(ctx context.Context, config map[string]string) []ConfigError

	Start(ctx context.Context, config map[string]string) error

	// TaskConfigs returns at most maxTasks task configs; the worker adds task.class and topics.
	TaskConfigs(maxTasks int) ([]map[string]string, error)

	Stop(ctx context.Context) error

	// NewTask makes a task that has not been started.
	NewTask() SinkTask

	// AlterOffsets is asked before the offsets of a stopped connector are changed
	// (KIP-875); a nil offset means reset. It returns whether it took care of offsets
	// that it keeps outside the consumer group.
	AlterOffsets(ctx context.Context, config map[string]string, offsets map[TopicPartition]*int64) (bool, error)
}

// A ConfigWarner is a connector that can tell which keys of a config will not do what they
// seem to, though nothing is wrong with them. What it says is shown by validate, beside
// the documentation of the keys, and keeps no connector from being created.
type ConfigWarner interface {
	// Warnings does no I/O. Messages are whole sentences and hold no values.
	Warnings(config map[string]string) []ConfigError
}

// A SelfTester is a connector whose Validate tries what it will work with. What failed
// there and it can do without is shown by validate as a warning, and the worker that
// accepts the config puts it into its log.
type SelfTester interface {
	// Faults is what Validate says before it tries anything. It does no I/O.
	Faults(config map[string]string) []ConfigError
	// Doubts is of the last Validate.
	Doubts() []ConfigError
}

// An OffsetKeeper is a connector that keeps its offsets in a consumer group of its own,
// besides the one that its tasks consume with. When its offsets are changed, both are.
type OffsetKeeper interface {
	// OffsetGroup names it, or "" for none, and gives the client properties by which it is
	// reached, which are laid over the worker's own.
	OffsetGroup(config map[string]string) (group string, client map[string]string, err error)
}

// A SinkTask writes records to an outside system.
//
// Calls come from one goroutine in this order: Start, then any number of Open, Put,
// PreCommit and Close as partitions come and go, then Stop. Start and Stop happen once.
type SinkTask interface {
	// Start may do I/O. tc stays valid until Stop returns.
	Start(ctx context.Context, tc TaskContext, config map[string]string) error

	// Open tells which partitions are new to this task. A partition that the task kept
	// through a rebalance is in neither Close nor Open: open files and position stay. It
	// returns, for those whose position the outside system knows better, the next offset
	// to read; the others start at the group's offset. TaskContext.Seek may correct it
	// at any time, and a task that does not know yet calls TaskContext.Pause.
	Open(ctx context.Context, parts []TopicPartition) (map[TopicPartition]int64, error)

	// Put hands over a batch. It must not wait for I/O. It is also called with a nil
	// batch: on every idle poll, and soon after TaskContext.Wake. A record it cannot take
	// goes to TaskContext.Errant and Put goes on. A [RetryError] brings the same batch
	// again after a back-off; other errors end the task.
	Put(ctx context.Context, batch *Batch) error

	// PreCommit returns the next offset to consume for each partition, counting only
	// records that would survive a crash now; the worker commits them to the group.
	// Partitions it leaves out keep their committed offset.
	PreCommit(ctx context.Context) (map[TopicPartition]int64, error)

	// Close takes partitions away. When lost is true another task may already own them.
	Close(ctx context.Context, parts []TopicPartition, lost bool) error

	// Stop finishes what it can until ctx ends (task.shutdown.graceful.timeout.ms) and
	// releases resources. Close has not been called for the partitions still held.
	Stop(ctx context.Context) error
}

// A Recluse is a task that cannot work while its consumer group has members of other
// programs, such as Java workers that run tasks of the same connector. The worker keeps it
// out of the group then, which leaves all partitions to the others, and lets it join when
// they are gone. If such members join while it is one, they get no partition as long as it
// leads the group, and it leaves.
type Recluse interface {
	SinkTask

	// Others says in a sentence or two who keeps the task out of its group, for its status;
	// "" for nobody. It is asked before the task joins and in each generation, may do I/O,
	// and is called between Start and Stop from a goroutine beside that of the other
	// methods. An error means that it is not known yet: it is asked again soon.
	Others(ctx context.Context) (string, error)

	// Finish comes before the task leaves the group because of others: it finishes what it
	// can until ctx ends, as in Stop. Then Close takes all partitions.
	Finish(ctx context.Context) error
}

// A TaskContext is what the worker offers to one task. Wake, Fail and Trouble may be called
// from any goroutine, the rest only from within the task's methods unless said.
type TaskContext interface {
	Connector() string // connector name
	Task() int         // task number, from 0
	Logger() *slog.Logger

	// Assignment is the set of partitions now held, in TopicPartition order.
	Assignment() []TopicPartition

	// Seek makes next the offset of the next record of tp. Batches already fetched for
	// tp are dropped before the next Put.
	Seek(tp TopicPartition, next int64)

	// Pause stops the fetching of partitions, Resume starts it again. A pause ends when
	// the partition is taken away.
	Pause(parts ...TopicPartition)
	Resume(parts ...TopicPartition)

	// Wake makes the worker call Put soon, with a nil batch if there is nothing else.
	Wake()

	// Fail ends the task with err, which shows as the trace of its status.
	Fail(err error)

	// Trouble shows the task as FAILED, with err as its trace, while it goes on: part of its
	// work has failed for long, and somebody should know. Trouble(nil) takes it back.
	Trouble(err error)

	// Errant reports a record the task cannot take: it is logged and sent to the
	// dead-letter topic as the connector's errors.* say. It returns nil if the task may
	// go on without the record; otherwise Put must return the error.
	Errant(ctx context.Context, r *Record, cause error) error

	// FlushErrants waits until every record so far that went to the dead-letter topic is
	// safe there: those reported by Errant, and those that the worker could not convert or
	// transform. A task that commits offsets itself must call it before.
	FlushErrants(ctx context.Context) error

	// Group is the consumer group that holds the task's partitions. May be called and
	// used from any goroutine.
	Group() Group

	// ClientConfig is the worker's own Kafka client configuration, in Java's property
	// names, for clients that the task makes itself.
	ClientConfig() map[string]string

	// MemoryBytes is this task's share of the worker's memory budget for buffered data.
	MemoryBytes() int64
}

// A Session is a task's membership of its group at one moment. A zero Generation
// with an empty Member means: not a member now.
type Session struct {
	Member     string
	Generation int32
	// Subscribed is every partition of the subscribed topics, in order, as known at the
	// last rebalance; Owned those of this member.
	Subscribed []TopicPartition
	Owned      []TopicPartition
}

// A Group is the task's consumer group, seen from the task. Its methods may be
// called from any goroutine.
type Group interface {
	ID() string
	Session() Session

	// Committed returns the group's offsets of parts, waiting for open transactions
	// (require_stable); a partition without one is left out.
	Committed(ctx context.Context, parts []TopicPartition) (map[TopicPartition]int64, error)

	// Commit commits offsets under the session's member and generation. It returns
	// [ErrFenced] when the group has moved on: the caller's session is over.
	Commit(ctx context.Context, s Session, offsets map[TopicPartition]int64) error
}
