package sink

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/faults"
)

// taskContext is what the task sees of its loop.
type taskContext struct{ l *loop }

var _ connect.TaskContext = taskContext{}

func (c taskContext) Connector() string                    { return c.l.cfg.Connector }
func (c taskContext) Task() int                            { return c.l.cfg.TaskID }
func (c taskContext) Logger() *slog.Logger                 { return c.l.log }
func (c taskContext) Assignment() []connect.TopicPartition { return c.l.assignment() }
func (c taskContext) ClientConfig() map[string]string      { return c.l.cfg.ClientConfig }
func (c taskContext) MemoryBytes() int64                   { return c.l.cfg.MemoryBytes }
func (c taskContext) Group() connect.Group                 { return group{c.l.Task, &c.l.membership} }

// Seek of a partition that is not assigned is ignored: it was taken away.
func (c taskContext) Seek(tp connect.TopicPartition, next int64) {
	if p := c.l.parts[tp]; p != nil && next >= 0 {
		p.told = true
		c.l.move(p, next)
	}
}

func (c taskContext) Pause(parts ...connect.TopicPartition)  { c.pause(parts, true) }
func (c taskContext) Resume(parts ...connect.TopicPartition) { c.pause(parts, false) }

func (c taskContext) pause(parts []connect.TopicPartition, paused bool) {
	for _, tp := range parts {
		if p := c.l.parts[tp]; p != nil {
			p.paused = paused
			c.l.applyPause(p)
		}
	}
}

func (c taskContext) Wake() {
	c.l.woken.Store(true)
	c.l.ring()
}

func (c taskContext) Fail(err error)    { c.l.fail(err) }
func (c taskContext) Trouble(err error) { c.l.troubled(err) }

// Errant finds the consumed record behind r in the batch that is in Put.
func (c taskContext) Errant(ctx context.Context, r *connect.Record, cause error) error {
	q := &c.l.portion
	if !q.inPut {
		return fmt.Errorf("record %s-%d@%d was reported outside Put, where its bytes are gone: %w", r.Topic, r.Partition, r.Offset, cause)
	}
	var raw kafka.Raw
	for i := q.first; i < q.at; i++ {
		if q.from.At(i, &raw); raw.Offset == r.Offset {
			f := c.l.consumed(&raw)
			f.Stage, f.Class, f.Err = connect.StageTaskPut, faults.TaskClass, cause
			err := c.l.faults.Failed(ctx, f)
			if err != nil {
				c.l.intolerable = err // even if the task swallows it
			}
			return err
		}
	}
	return fmt.Errorf("record with offset %d is not in the batch of %s: %w", r.Offset, q.from.TopicPartition, cause)
}

func (c taskContext) FlushErrants(ctx context.Context) error {
	return c.l.faults.Wait(ctx, c.l.faults.Mark())
}

// group is the task's consumer group.
type group struct {
	task       *Task
	membership *atomic.Pointer[membership]
}

func (g group) ID() string { return g.task.cfg.GroupID }

func (g group) Session() connect.Session {
	if s := g.task.session.Load(); s != nil {
		return *s
	}
	return connect.Session{}
}

func (g group) Committed(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return g.membership.Load().Committed(ctx, parts)
}

// Commit refuses when the task is out of time: its successor may have started.
func (g group) Commit(ctx context.Context, s connect.Session, offsets map[connect.TopicPartition]int64) error {
	if g.task.cancelled.Load() {
		return fmt.Errorf("%w: %w", connect.ErrFenced, errLate)
	}
	return g.membership.Load().Commit(ctx, s.Member, s.Generation, offsets)
}
