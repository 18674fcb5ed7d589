package sink

import (
	"log/slog"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/faults"
)

// Config is what a task is made of. Everything in it belongs to the task from New on:
// plugins are configured, but not started.
type Config struct {
	Connector string
	TaskID    int

	Task       connect.SinkTask
	TaskConfig map[string]string // with substituted variables; given to Task.Start

	Key, Value           connect.Converter
	KeyClass, ValueClass string // Java class names, for error reports
	Transforms           []Transform

	Faults faults.Config

	// Topics are the subscribed topics; TopicsRegex, if not "", subscribes to every topic
	// whose whole name it matches instead.
	Topics      []string
	TopicsRegex string

	Consumer     *kafka.Config     // connector-consumer-NAME-TASK with consumer.* and consumer.override.*
	ClientConfig map[string]string // the worker's own client properties, for clients that the task makes itself

	GroupID        string        // "" counts as connect-NAME
	MetadataMaxAge time.Duration // metadata.max.age.ms of the consumer: how soon new topics and partitions are seen; 0 counts as 5 min
	FlushInterval  time.Duration // offset.flush.interval.ms; 0 counts as a minute
	FlushTimeout   time.Duration // offset.flush.timeout.ms; 0 counts as 5 s
	Grace          time.Duration // task.shutdown.graceful.timeout.ms; 0 counts as 5 s
	MemoryBytes    int64         // this task's share of the worker's memory budget

	Logger *slog.Logger // nil: slog.Default

	// OnState is told every change of state, from the task's goroutine; trace is set when
	// the state is Failed, and when a running task stays out of its group. OnTopic is told each topic once, when its first record was read
	// (topic.tracking.enable). Both may be nil and must not block for long.
	OnState func(s State, trace string)
	OnTopic func(topic string)
}

// A Transform is one link of the transformation chain, in the order of "transforms".
type Transform struct {
	Alias          string
	Class          string // Java class name, for error reports
	Transformation connect.Transformation
}

// State is the state of a task, spelled as in the status topic.
type State string

// The states a task reports itself; RESTARTING and DESTROYED are the herder's.
const (
	Unassigned State = "UNASSIGNED"
	Running    State = "RUNNING"
	Paused     State = "PAUSED"
	Failed     State = "FAILED"
)
