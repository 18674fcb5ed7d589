package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/faults"
)

// abandonAfter is how long a task whose calls have been cancelled has to return.
const abandonAfter = time.Second

// A Task is one running sink task.
type Task struct {
	cfg     Config
	log     *slog.Logger
	clients clients
	faults  *faults.Reporter
	stats   Stats

	// What other goroutines tell the loop. They set it, then ring.
	bell      chan struct{} // capacity 1
	waker     atomic.Pointer[fetcher]
	paused    atomic.Bool // wanted
	woken     atomic.Bool // the task asked for a Put
	failure   atomic.Pointer[error]
	broken    atomic.Pointer[error] // what the task goes on with; nil for nothing
	cancelled atomic.Bool           // out of time: no more commits, no more states

	session atomic.Pointer[connect.Session]
}

// Stats counts what a task has done. It may be read at any time from any goroutine.
type Stats struct {
	Read           atomic.Int64 // records fetched and looked at (sink-record-read-total)
	Sent           atomic.Int64 // records given to Put with success (sink-record-send-total)
	Puts           atomic.Int64 // batches given to Put with success
	Redeliveries   atomic.Int64 // batches given again after a RetryError
	Commits        atomic.Int64 // offset commits done (offset-commit-completion-total)
	CommitFailures atomic.Int64 // offset commits refused, failed or late
	Gone           atomic.Int64 // offsets passed over because their records had left the log
}

// New makes a task. It does no I/O and starts nothing.
func New(cfg Config) *Task {
	or := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	or(&cfg.MetadataMaxAge, 5*time.Minute)
	or(&cfg.FlushInterval, time.Minute)
	or(&cfg.FlushTimeout, 5*time.Second)
	or(&cfg.Grace, 5*time.Second)
	if cfg.GroupID == "" {
		cfg.GroupID = "connect-" + cfg.Connector
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.OnState == nil {
		cfg.OnState = func(State, string) {}
	}
	if cfg.OnTopic == nil {
		cfg.OnTopic = func(string) {}
	}
	log := cfg.Logger.With("connector", cfg.Connector, "task", cfg.TaskID)
	return &Task{
		cfg: cfg, log: log, clients: kafkaClients(), bell: make(chan struct{}, 1),
		faults: faults.New(cfg.Faults, cfg.Connector, cfg.TaskID, log),
	}
}

// Run is the whole life of the task. It reports its states through Config.OnState.
// When ctx ends it stops gracefully: the batch in Put is finished, offsets are
// committed, the task's Stop has until Config.Grace is over; then everything is
// cancelled. The last state reported is Unassigned after a stop, Failed after an error,
// which Run returns too; it returns nil after a stop.
//
// All goroutines have ended when Run returns, with one exception: if a plugin's call
// does not return although its context is cancelled, Run gives it up with an error. The
// task then commits nothing and reports nothing any more, and leaves its group.
func (t *Task) Run(ctx context.Context) error {
	hard, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- t.live(ctx, hard) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(t.cfg.Grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
	}
	t.cancelled.Store(true)
	cancel(errLate)
	late.Reset(abandonAfter)
	select {
	case err := <-done:
		return errors.Join(t.lateness(), err)
	case <-late.C:
		return fmt.Errorf("%w, and its call does not return: abandoned", t.lateness())
	}
}

var errLate = errors.New("task.shutdown.graceful.timeout.ms is over")

func (t *Task) lateness() error {
	return fmt.Errorf("task %s-%d did not stop in %v: %w", t.cfg.Connector, t.cfg.TaskID, t.cfg.Grace, errLate)
}

// SetPaused pauses the task or lets it go on; it stays a member of its group. It may be
// called from any goroutine, also before Run: a task that is paused from the start
// neither starts nor joins before it is resumed.
func (t *Task) SetPaused(paused bool) {
	t.paused.Store(paused)
	t.ring()
}

// Stats are the task's counters.
func (t *Task) Stats() *Stats { return &t.stats }

// Errors are the counters of the records that failed.
func (t *Task) Errors() *faults.Stats { return t.faults.Stats() }

// ring makes the loop look around, whether it polls or waits.
func (t *Task) ring() {
	select {
	case t.bell <- struct{}{}:
	default:
	}
	if f := t.waker.Load(); f != nil {
		(*f).Wake()
	}
}

func (t *Task) fail(err error) {
	t.failure.CompareAndSwap(nil, &err)
	t.ring()
}

// troubled shows err as the state of a task that goes on; nil takes it back.
func (t *Task) troubled(err error) {
	if err == nil {
		t.broken.Store(nil)
	} else {
		t.broken.Store(&err)
	}
	t.ring()
}

// state reports a state unless the task is out of time: its successor may be running.
func (t *Task) state(s State, trace string) {
	if !t.cancelled.Load() {
		t.cfg.OnState(s, trace)
	}
}

// live runs the loop in the goroutine that owns it. Calls run under hard, which
// outlives ctx by the grace period.
func (t *Task) live(ctx, hard context.Context) error {
	if !t.awaitResume(ctx) {
		t.state(Unassigned, "")
		return nil
	}
	l := newLoop(t)
	err := contain(func() error { return l.run(ctx, hard) })
	stopping := contain(func() error { return l.stop(hard, err) })
	l.close()
	switch {
	case err != nil && !t.cancelled.Load():
		t.log.Error("task failed; it stays down until it is restarted", "error", err)
		t.state(Failed, trace(err))
		return err
	case stopping != nil:
		t.log.Warn("task did not stop cleanly", "error", stopping)
	}
	t.state(Unassigned, "")
	return nil
}

// awaitResume waits as long as the task is paused before it has started. It returns
// false if ctx ends first.
func (t *Task) awaitResume(ctx context.Context) bool {
	if t.paused.Load() {
		t.state(Paused, "")
	}
	for t.paused.Load() {
		select {
		case <-t.bell:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// A panicError is a panic of plugin code, contained.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic in plugin code: %v", e.value) }

// contain runs f and makes an error of its panic: one broken plugin must not end the
// worker and the other connectors' tasks.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return f()
}

// trace is err as users of the REST API expect it in a status.
func trace(err error) string {
	s := "org.apache.kafka.connect.errors.ConnectException: " + err.Error()
	if p, ok := errors.AsType[*panicError](err); ok {
		s += "\n" + string(p.stack)
	}
	return s
}
