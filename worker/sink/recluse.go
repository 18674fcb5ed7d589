package sink

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
)

// A task that is a connect.Recluse joins its group only when nobody else is there. It is
// asked, not the group looked at, since it alone knows who disturbs. While it stays out it
// holds no partition, and the others have them all; when others join, it leaves.
//
// As long as a recluse leads the group the others get nothing, so that recluses finish
// before anybody reads on from the offsets that they commit. One that leads leaves last.

const (
	othersAgain   = 3 * time.Second  // between two looks from outside
	othersTimeout = 10 * time.Second // of one: groups rebalance for a while
	othersUnknown = 3                // failures in a row before the status says so
	leaveLast     = 2 * time.Minute  // that a leader waits for other recluses to leave
	leaveWithin   = time.Minute      // what a task has to finish: meanwhile nobody reads
)

// A seclusion is the loop's knowledge of others.
type seclusion struct {
	task     connect.Recluse // nil: whoever else is there, the task joins
	out      bool            // of the group
	why      string          // as the status shows it
	askAt    time.Time       // zero: nothing to ask
	failures int
	between  bool          // two generations: the old one is over
	leads    bool          // the group, in this generation
	ours     int           // recluses in it, if this task leads
	counted  atomic.Int32  // the same, of the generation that is made
	since    time.Time     // others are in the group with this task; zero: none
	asked    chan struct{} // closed when the task has answered; nil while it is not asked
	cancel   context.CancelFunc
}

// enter joins the group, or asks first.
func (l *loop) enter(ctx context.Context) {
	if l.secluded.task == nil {
		l.join(ctx)
		return
	}
	l.secluded.out, l.secluded.askAt = true, time.Now()
}

// joined begins a generation.
func (s *seclusion) joined(leads bool) {
	if s.task != nil {
		s.between, s.leads, s.ours, s.askAt = false, leads, int(s.counted.Load()), time.Now()
	}
}

// lookForOthers asks the task, in another goroutine, if it is time to.
func (l *loop) lookForOthers(ctx context.Context) {
	s := &l.secluded
	if s.asked != nil || s.askAt.IsZero() || time.Now().Before(s.askAt) {
		return
	}
	asked, session := make(chan struct{}), l.sessionNow()
	s.asked = asked
	limited, cancel := context.WithTimeout(ctx, othersTimeout)
	s.cancel = cancel
	l.away(ctx, func() func(context.Context) error {
		why, err := s.task.Others(limited)
		close(asked)
		return func(ctx context.Context) error {
			return l.heardOfOthers(ctx, session, why, err)
		}
	})
}

// heardOfOthers joins or leaves the group. What was true of an older generation is asked
// again.
func (l *loop) heardOfOthers(ctx context.Context, then connect.Session, why string, err error) error {
	s := &l.secluded
	s.cancel()
	s.asked, s.askAt = nil, time.Now().Add(othersAgain)
	if err != nil {
		l.log.Debug("looking for others in the group", "error", err)
		if s.failures++; s.out && s.failures >= othersUnknown {
			s.why = "This task is not in its consumer group: whether members of other programs are there cannot be seen: " + err.Error()
		}
		return nil
	}
	s.failures = 0
	now := l.sessionNow()
	switch {
	case s.out && why == "":
		if s.why != "" {
			l.log.Info("nobody else is in the group any more: joining it", "group", l.cfg.GroupID)
		}
		s.out, s.why, s.askAt = false, "", time.Time{}
		l.join(ctx)
	case s.out:
		if s.why == "" {
			l.log.Info("staying out of the group", "group", l.cfg.GroupID, "because", why)
		}
		s.why = why
	case now.Member == "" || s.between: // what is finished now might be committed too late
		s.askAt = time.Time{} // until the next generation
	case now.Member != then.Member || now.Generation != then.Generation:
		s.askAt = time.Now()
	case why == "":
		s.since, s.askAt = time.Time{}, time.Time{} // until the next generation
	case s.isNeeded():
	default:
		l.log.Warn("leaving the group", "group", l.cfg.GroupID, "because", why)
		s.out, s.why, s.since = true, why, time.Time{}
		return l.leave(ctx)
	}
	return nil
}

// isNeeded tells whether the task has to lead the group for other recluses that are still
// to finish.
func (s *seclusion) isNeeded() bool {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return s.leads && s.ours > 1 && time.Since(s.since) < leaveLast
}

// leave gives everything back while the membership is still good, and ends it.
func (l *loop) leave(ctx context.Context) error {
	l.portion.end()
	finish, cancel := context.WithTimeout(ctx, leaveWithin)
	l.warn("finish before leaving the group", l.secluded.task.Finish(finish))
	cancel()
	if err := l.commitNow(ctx); err != nil {
		return err
	}
	if s := l.session.Load(); s != nil {
		without := *s
		without.Owned = nil
		l.session.Store(&without)
	}
	if err := l.take(ctx, l.assignment(), false); err != nil {
		return err
	}
	l.session.Store(nil)
	l.preparing = nil
	m := l.membership.Load()
	m.cancel()
	m.wg.Wait()
	select {
	case <-l.events: // of the membership that is over
	default:
	}
	l.newMembership(ctx)
	return nil
}

// doNotAsk ends a question that is under way, before the task stops.
func (s *seclusion) doNotAsk() {
	s.askAt = time.Time{}
	if s.asked != nil {
		s.cancel()
		<-s.asked
	}
}
