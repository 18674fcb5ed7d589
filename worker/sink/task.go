package sink

import (
	"context"
)

// A Task is one running sink task.
type Task struct {
	cfg Config
}

// New makes a task. It does no I/O and starts nothing.
func New(cfg Config) *Task { return &Task{cfg: cfg} }

// Run is the whole life of the task. It reports its states through Config.OnState.
// When ctx ends it stops gracefully: the batch in Put is finished, offsets are
// committed, the task's Stop has until Config.Grace is over; then everything is
// cancelled. The last state reported is Unassigned after a stop, Failed after an error,
// which Run returns too; it returns nil after a stop.
func (t *Task) Run(ctx context.Context) error { return nil }

// SetPaused pauses the task or lets it go on; it stays a member of its group. It may be
// called from any goroutine, also before Run: a task that is paused from the start
// neither starts nor joins before it is resumed.
func (t *Task) SetPaused(paused bool) {}
