package connecttest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/firn-io/firn/connect"
)

// A TaskContext plays the worker for a task under test: it records what the task asks
// for and answers from its exported fields, which the test sets before the task starts
// (or between calls, from the same goroutine).
type TaskContext struct {
	Name     string
	Number   int
	Log      *slog.Logger // nil: discarded
	Parts    []connect.TopicPartition
	Client   map[string]string
	Memory   int64
	Members  *Group
	Tolerate bool // errors.tolerance=all

	// FlushErr, if not nil, is the answer of FlushErrants.
	FlushErr error

	mu      sync.Mutex // guards what follows: Wake and Fail come from any goroutine
	seeks   map[connect.TopicPartition]int64
	paused  map[connect.TopicPartition]bool
	errants []Errant
	wakes   int
	failure error
	trouble error
}

// An Errant is one call of TaskContext.Errant.
type Errant struct {
	Topic     string
	Partition int32
	Offset    int64
	Cause     error
}

var _ connect.TaskContext = (*TaskContext)(nil)

// NewTaskContext makes a worker for task 0 of a connector named test, whose group has
// the one member m1 in generation 1.
func NewTaskContext() *TaskContext {
	return &TaskContext{Name: "test", Memory: 64 << 20, Members: NewGroup("connect-test")}
}

// Connector is Name.
func (c *TaskContext) Connector() string { return c.Name }

// Task is Number.
func (c *TaskContext) Task() int { return c.Number }

// Logger is Log.
func (c *TaskContext) Logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// Assignment is Parts, in order.
func (c *TaskContext) Assignment() []connect.TopicPartition {
	return slices.SortedFunc(slices.Values(c.Parts), connect.TopicPartition.Compare)
}

// Seek is recorded; see TakeSeeks.
func (c *TaskContext) Seek(tp connect.TopicPartition, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seeks == nil {
		c.seeks = map[connect.TopicPartition]int64{}
	}
	c.seeks[tp] = next
}

// TakeSeeks returns the last Seek of each partition, and forgets them.
func (c *TaskContext) TakeSeeks() map[connect.TopicPartition]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seeks
	c.seeks = nil
	return s
}

// Pause is recorded; see IsPaused.
func (c *TaskContext) Pause(parts ...connect.TopicPartition) { c.setPaused(parts, true) }

// Resume ends pauses.
func (c *TaskContext) Resume(parts ...connect.TopicPartition) { c.setPaused(parts, false) }

func (c *TaskContext) setPaused(parts []connect.TopicPartition, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused == nil {
		c.paused = map[connect.TopicPartition]bool{}
	}
	for _, tp := range parts {
		c.paused[tp] = paused
	}
}

// IsPaused tells whether the task has paused tp.
func (c *TaskContext) IsPaused(tp connect.TopicPartition) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused[tp]
}

// Trouble is remembered; see Troubled.
func (c *TaskContext) Trouble(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}

// Troubled is what Trouble was called with last.
func (c *TaskContext) Troubled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// Wake is counted; see Wakes.
func (c *TaskContext) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakes++
}

// Wakes is how often Wake was called.
func (c *TaskContext) Wakes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wakes
}

// Fail keeps the first error; see Failure.
func (c *TaskContext) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
}

// Failure is what Fail was called with first.
func (c *TaskContext) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Errant is recorded; see Errants.
func (c *TaskContext) Errant(_ context.Context, r *connect.Record, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errants = append(c.errants, Errant{r.Topic, r.Partition, r.Offset, cause})
	if c.Tolerate {
		return nil
	}
	return &connect.RecordError{Stage: connect.StageTaskPut, At: connect.TopicPartition{Topic: r.Topic, Partition: r.Partition}, Offset: r.Offset, Err: cause}
}

// Errants is every record reported so far.
func (c *TaskContext) Errants() []Errant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.errants)
}

// FlushErrants answers FlushErr.
func (c *TaskContext) FlushErrants(context.Context) error { return c.FlushErr }

// Group is Members.
func (c *TaskContext) Group() connect.Group { return c.Members }

// ClientConfig is Client.
func (c *TaskContext) ClientConfig() map[string]string { return c.Client }

// MemoryBytes is Memory.
func (c *TaskContext) MemoryBytes() int64 { return c.Memory }

// A Group is a consumer group in memory. A commit under another session than the
// present one is fenced. Its methods may be called from any goroutine.
type Group struct {
	id string

	mu      sync.Mutex // guards what follows
	session connect.Session
	offsets map[connect.TopicPartition]int64
	fault   func(op string) error
}

var _ connect.Group = (*Group)(nil)

// NewGroup makes a group whose session is m1 in generation 1, without partitions.
func NewGroup(id string) *Group {
	return &Group{id: id, session: connect.Session{Member: "m1", Generation: 1}, offsets: map[connect.TopicPartition]int64{}}
}

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Session is the present session.
func (g *Group) Session() connect.Session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.session
}

// SetSession begins a new generation: commits under older ones are fenced from now on.
func (g *Group) SetSession(s connect.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.session = s
}

// SetFault makes "commit" or "committed" fail whenever f returns an error.
func (g *Group) SetFault(f func(op string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// SetOffsets replaces the group's offsets.
func (g *Group) SetOffsets(offsets map[connect.TopicPartition]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.offsets = maps.Clone(offsets)
}

// Offsets is a copy of the group's offsets.
func (g *Group) Offsets() map[connect.TopicPartition]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.offsets)
}

// Committed answers from the group's offsets.
func (g *Group) Committed(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.failing("committed"); err != nil {
		return nil, err
	}
	out := map[connect.TopicPartition]int64{}
	for _, tp := range parts {
		if next, ok := g.offsets[tp]; ok {
			out[tp] = next
		}
	}
	return out, nil
}

// Commit checks member and generation as a broker does.
func (g *Group) Commit(_ context.Context, s connect.Session, offsets map[connect.TopicPartition]int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.failing("commit"); err != nil {
		return err
	}
	if s.Member != g.session.Member || s.Generation != g.session.Generation {
		return connect.ErrFenced
	}
	if g.offsets == nil {
		g.offsets = map[connect.TopicPartition]int64{}
	}
	maps.Copy(g.offsets, offsets)
	return nil
}

func (g *Group) failing(op string) error {
	if g.fault == nil {
		return nil
	}
	return g.fault(op)
}
