package faults

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
)

// TaskClass is what the reports of TASK_PUT name as the class.
const TaskClass = "org.apache.kafka.connect.sink.SinkTask"

// A Reporter is the error handling of one task.
type Reporter struct {
	cfg       Config
	connector string
	task      int
	logger    *slog.Logger
	stats     Stats
	queue     *deadLetters // nil without a dead-letter topic
}

// Stats counts as the attributes of Kafka's task-error-metrics do. It may be read at
// any time from any goroutine.
type Stats struct {
	Failures      atomic.Int64 // total-record-failures
	Errors        atomic.Int64 // total-record-errors
	Skipped       atomic.Int64 // total-records-skipped
	Retries       atomic.Int64 // total-retries
	Logged        atomic.Int64 // total-errors-logged
	DLQRequests   atomic.Int64 // deadletterqueue-produce-requests
	DLQFailures   atomic.Int64 // deadletterqueue-produce-failures
	LastErrorTime atomic.Int64 // last-error-timestamp: milliseconds since the epoch, 0 for none
}

// A Failure is one failed operation on one consumed record. Its memory is not kept.
type Failure struct {
	Stage connect.Stage
	Class string // Java class of the converter or transformation, TaskClass for TASK_PUT
	connect.TopicPartition
	Offset        int64
	Timestamp     int64 // milliseconds since the epoch, -1 for none
	TimestampType connect.TimestampType
	Key, Value    []byte // as consumed
	Headers       []connect.Header
	Err           error
}

// New makes the reporter of one task. It does no I/O.
func New(cfg Config, connector string, task int, logger *slog.Logger) *Reporter {
	r := &Reporter{cfg: cfg, connector: connector, task: task, logger: logger}
	if cfg.DLQTopic != "" {
		r.queue = &deadLetters{topic: cfg.DLQTopic, stats: &r.stats, open: func() (sender, error) { return newSender(cfg.Producer) }}
	}
	return r
}

// Open makes the dead-letter topic if it is missing, and its producer. Without a
// dead-letter topic it does nothing.
func (r *Reporter) Open(ctx context.Context) error {
	if r.queue == nil {
		return nil
	}
	if err := r.createTopic(ctx); err != nil {
		return fmt.Errorf("Could not initialize dead letter queue with topic=%s: %w", r.cfg.DLQTopic, err) //nolint:staticcheck // Java's sentence
	}
	return r.queue.start()
}

// Stats are the reporter's counters.
func (r *Reporter) Stats() *Stats { return &r.stats }

// Failed reports a failure that is final, and applies errors.tolerance: it returns nil
// if the record is to be skipped, else the error that ends the task. Reporting comes
// first, so that a record that ends the task is in the log and in the dead-letter topic too.
// What is not the record's fault, a [connect.FatalError] or an outage that has lasted too
// long, always ends the task and is reported by its status alone.
func (r *Reporter) Failed(ctx context.Context, f *Failure) error {
	if !retriable(f.Err) || f.Stage == connect.StageTaskPut {
		r.stats.Failures.Add(1) // each try of a retriable one has been counted by Retry
	}
	r.stats.LastErrorTime.Store(time.Now().UnixMilli())
	blame := &connect.RecordError{Stage: f.Stage, At: f.TopicPartition, Offset: f.Offset, Err: f.Err}
	if stops(f.Err) {
		r.stats.Errors.Add(1)
		return blame
	}
	if r.cfg.Log {
		r.stats.Logged.Add(1)
		r.logger.Error(r.describe(f), "error", f.Err)
	}
	if r.queue != nil {
		if err := r.queue.send(ctx, r.message(f)); err != nil {
			return err
		}
	}
	if r.cfg.TolerateAll {
		if f.Stage != connect.StageTaskPut {
			r.stats.Errors.Add(1)
			r.stats.Skipped.Add(1)
		}
		return nil
	}
	r.stats.Errors.Add(1)
	return fmt.Errorf("Tolerance exceeded in error handler: %w", blame) //nolint:staticcheck // Java's sentence
}

// describe is the line of the error log: LogReporter's text, followed by
// ProcessingContext.toString.
func (r *Reporter) describe(f *Failure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Error encountered in task %s-%d. Executing stage '%s' with class '%s'", r.connector, r.task, f.Stage, f.Class)
	if r.cfg.LogMessages {
		fmt.Fprintf(&b, ", where consumed record is {topic='%s', partition=%d, offset=%d", f.Topic, f.Partition, f.Offset)
		if f.TimestampType != connect.NoTimestampType {
			b.WriteString(", timestamp=" + strconv.FormatInt(f.Timestamp, 10) + ", timestampType=" + f.TimestampType.String())
		}
		b.WriteByte('}')
	}
	b.WriteByte('.')
	return b.String()
}

// Mark is a position in what has been sent to the dead-letter topic.
type Mark int64

// Mark returns the position after the last failure reported.
func (r *Reporter) Mark() Mark {
	if r.queue == nil {
		return 0
	}
	return r.queue.mark()
}

// Wait waits until everything reported before m is safe in the dead-letter topic. It
// may be called from any goroutine while others report. An error other than ctx's is
// final: a record that was to be skipped is nowhere.
func (r *Reporter) Wait(ctx context.Context, m Mark) error {
	if r.queue == nil {
		return nil
	}
	return r.queue.wait(ctx, m)
}

// Close ends the producer, sending what is queued.
func (r *Reporter) Close() error {
	if r.queue == nil {
		return nil
	}
	return r.queue.close()
}
