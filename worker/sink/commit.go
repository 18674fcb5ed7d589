package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/faults"
)

// committed is the outcome of one commit. A fatal one ends the task: a record that
// was to be skipped did not reach the dead-letter topic.
type committed struct {
	offsets map[connect.TopicPartition]int64
	err     error
	fatal   bool
}

// commitIfDue starts the periodic commit. One is under way at a time; one that is
// still under way takes the turn of the next.
func (l *loop) commitIfDue(ctx context.Context) error {
	now := time.Now()
	if now.Before(l.commitAt) {
		return nil
	}
	l.commitAt = now.Add(l.cfg.FlushInterval)
	if l.committing {
		return nil
	}
	offsets := l.preCommit(ctx)
	if len(offsets) == 0 {
		return nil
	}
	l.committing = true
	s, mark := l.sessionNow(), l.faults.Mark()
	l.wg.Go(func() {
		l.commitDone <- l.commit(ctx, s, mark, offsets)
		l.ring()
	})
	return nil
}

// commitNow commits and waits for it: before partitions may move to another member, and
// at the end.
func (l *loop) commitNow(ctx context.Context) error {
	if l.committing { // or else an older commit might land after this one
		if err := l.settle(<-l.commitDone); err != nil {
			return err
		}
	}
	offsets := l.preCommit(ctx)
	if len(offsets) == 0 {
		return nil
	}
	return l.settle(l.commit(ctx, l.sessionNow(), l.faults.Mark(), offsets))
}

// commit runs in any goroutine. It ends within offset.flush.timeout.ms.
func (l *loop) commit(ctx context.Context, s connect.Session, mark faults.Mark, offsets map[connect.TopicPartition]int64) committed {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.FlushTimeout)
	defer cancel()
	if err := l.faults.Wait(ctx, mark); err != nil {
		return committed{err: err, fatal: ctx.Err() == nil}
	}
	return committed{offsets: offsets, err: l.membership.Load().Commit(ctx, s.Member, s.Generation, offsets)}
}

// settle takes note of an outcome. A commit that failed is not repeated: the next one
// says more. Until then the group's offsets are behind, which costs records read again.
func (l *loop) settle(c committed) error {
	l.committing = false
	if c.err != nil {
		l.stats.CommitFailures.Add(1)
		switch {
		case c.fatal:
			return fmt.Errorf("commit offsets: %w", c.err)
		case errors.Is(c.err, connect.ErrFenced):
			l.log.Info("offsets not committed: the group is rebalancing", "error", c.err)
		default:
			l.log.Warn("offsets not committed; the next commit tries again", "error", c.err)
		}
		return nil
	}
	l.stats.Commits.Add(1)
	for tp, next := range c.offsets {
		if p := l.parts[tp]; p != nil {
			p.committed, p.safe = next, next
		}
	}
	return nil
}

// preCommit asks the task what is safe, and takes what may be committed of it: of
// partitions held, not above what was delivered, and not what the group has already
// (WorkerSinkTask.commitOffsets).
func (l *loop) preCommit(ctx context.Context) map[connect.TopicPartition]int64 {
	if len(l.parts) == 0 {
		return nil
	}
	answer, err := l.cfg.Task.PreCommit(ctx)
	if err != nil {
		l.stats.CommitFailures.Add(1)
		l.log.Error("task's PreCommit failed; going back to what is known to be safe", "error", err)
		l.rewind()
		return nil
	}
	for tp, p := range l.parts {
		_, named := answer[tp]
		p.own = p.delivered && !named
	}
	offsets := maps.Clone(answer)
	maps.DeleteFunc(offsets, func(tp connect.TopicPartition, next int64) bool {
		switch p := l.parts[tp]; {
		case p == nil:
			l.log.Warn("ignoring offset of a partition that is not assigned", "partition", tp, "offset", next)
		case next > p.next:
			l.log.Warn("ignoring offset of records not delivered yet", "partition", tp, "offset", next, "delivered", p.next)
		case next >= 0 && next != p.committed:
			return false
		}
		return true
	})
	return offsets
}

// rewind delivers again whatever is not known to be safe.
func (l *loop) rewind() {
	for _, p := range l.parts {
		if p.added && p.safe >= 0 {
			l.move(p, p.safe)
		}
	}
}

func (l *loop) sessionNow() connect.Session {
	if s := l.session.Load(); s != nil {
		return *s
	}
	return connect.Session{}
}
