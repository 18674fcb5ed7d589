package faults

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
)

// A Reporter is the error handling of one task.
type Reporter struct {
	cfg       Config
	connector string
	task      int
	logger    *slog.Logger
	stats     Stats
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

// A Failure is one failed operation on one consumed record.
type Failure struct {
	Stage connect.Stage
	Class string // Java class of the converter or transformation, of SinkTask for TASK_PUT
	connect.TopicPartition
	Offset        int64
	Timestamp     int64
	TimestampType connect.TimestampType
	Key, Value    []byte // as consumed
	Headers       []connect.Header
	Err           error
}

// New makes the reporter of one task. It does no I/O.
func New(cfg Config, connector string, task int, logger *slog.Logger) *Reporter {
	return &Reporter{cfg: cfg, connector: connector, task: task, logger: logger}
}

// Open makes the dead-letter topic if it is missing, and its producer. Without a
// dead-letter topic it does nothing.
func (r *Reporter) Open(ctx context.Context) error { return nil }

// Stats are the reporter's counters.
func (r *Reporter) Stats() *Stats { return &r.stats }

// Retry tells whether the operation that failed with err may be tried again, and after
// what delay.
func (r *Reporter) Retry(t *Trial, now time.Time, err error) (delay time.Duration, again bool) {
	return 0, false
}

// Failed reports a failure that is final.
func (r *Reporter) Failed(ctx context.Context, f *Failure) error { return nil }

// Flush waits for the dead-letter topic.
func (r *Reporter) Flush(ctx context.Context) error { return nil }

// Close ends the producer.
func (r *Reporter) Close() error { return nil }

// A Trial is the retry state of one operation on one record. Its zero value is a first try.
type Trial struct {
	began time.Time
	tries int
}
