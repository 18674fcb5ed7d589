package sink

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A rebalance never closes a partition that the task keeps: its position, its fetched
// records and the task's open files stay.
//
// With a cooperative assignor the group works in two rounds: the task gives up what the
// first one takes away, commits and closes it under the new generation, and joins
// again, whereupon another member gets it. With an eager one (range) a partition may
// belong to another member as soon as Join was called; so what the group's offsets
// cover is committed before, and rests until the assignment is known. Partitions whose
// offsets the task keeps elsewhere (PreCommit leaves them out) are read on meanwhile.

// rebalanced handles what happened to the membership.
func (l *loop) rebalanced(ctx context.Context, e kafka.Event) error {
	switch e := e.(type) {
	case kafka.Prepare:
		l.prepare(ctx, &e)
		return nil
	case kafka.Joined:
		return l.joined(ctx, e)
	case kafka.Lost:
		return l.lost(ctx, e)
	}
	panic(fmt.Sprintf("sink: unknown event %T", e))
}

// prepare looks at the topics first, in another goroutine, because the subscription
// depends on them; heartbeats go on.
func (l *loop) prepare(ctx context.Context, e *kafka.Prepare) {
	l.log.Debug("joining the group", "reason", e.Reason)
	l.preparing = e
	l.counted.Store(nil)
	s := &l.topics
	l.away(ctx, func() func(context.Context) error {
		known, err := l.lookUpForJoin(ctx, s)
		return func(ctx context.Context) error {
			if l.preparing != e {
				return nil // a newer one, or lost
			}
			l.preparing = nil
			if err == nil {
				l.learn(known)
				return l.rejoin(ctx, e)
			}
			l.log.Warn("joining the group with old knowledge of its topics", "error", err)
			if s.known == nil {
				s.known = map[string][]int32{}
			}
			s.refreshAt = time.Now().Add(lookupAgain)
			return l.rejoin(ctx, e)
		}
	})
}

// lookUpForJoin insists only if there is nothing to join with otherwise.
func (l *loop) lookUpForJoin(ctx context.Context, s *subscription) (map[string][]int32, error) {
	insist := s.regex != nil && s.known == nil
	for {
		lctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		known, err := s.lookUp(lctx, l.desk)
		cancel()
		if err == nil || !insist || ctx.Err() != nil {
			return known, err
		}
		l.log.Warn("cannot see which topics match topics.regex; trying again", "error", err)
		select {
		case <-time.After(lookupAgain):
		case <-ctx.Done():
		}
	}
}

// rejoin commits and rests what may be taken away, then joins.
func (l *loop) rejoin(ctx context.Context, e *kafka.Prepare) error {
	if !l.cooperative {
		if err := l.commitNow(ctx); err != nil {
			return err
		}
		for _, p := range l.parts {
			p.held = !p.own
			l.applyPause(p)
		}
	}
	owned := l.assignment()
	generation := int32(-1)
	if s := l.session.Load(); s != nil {
		generation = s.Generation
	}
	var protocols []kafka.Protocol
	for _, name := range l.cfg.Consumer.Strategies() {
		sub := kafka.Subscription{Topics: l.topics.subscribed(), UserData: kafka.UserData(name, generation), Generation: generation}
		if name == kafka.CooperativeStickyName {
			sub.Owned = owned
		}
		protocols = append(protocols, kafka.Protocol{Name: name, Metadata: kafka.EncodeSubscription(sub)})
	}
	l.secluded.between = true
	e.Join(protocols)
	return nil
}

// joined makes the difference between what the task has and what it should have.
func (l *loop) joined(ctx context.Context, e kafka.Joined) error {
	a, err := kafka.DecodeAssignment(e.Assignment)
	if err != nil {
		return fmt.Errorf("read assignment of group %s generation %d: %w", l.cfg.GroupID, e.Generation, err)
	}
	mine := slices.Compact(slices.SortedFunc(slices.Values(a.Partitions), connect.TopicPartition.Compare))
	l.cooperative = e.Protocol == kafka.CooperativeStickyName
	var removed, added []connect.TopicPartition
	for _, tp := range l.assignment() {
		if !slices.Contains(mine, tp) {
			removed = append(removed, tp)
		}
	}
	for _, tp := range mine {
		if l.parts[tp] == nil {
			added = append(added, tp)
		}
	}
	if counts := l.counted.Swap(nil); counts != nil && e.LeaderID == e.MemberID {
		l.topics.assignedFrom(*counts)
	}
	l.log.Info("joined the group", "generation", e.Generation, "assignor", e.Protocol, "partitions", len(mine), "added", len(added), "removed", len(removed))
	l.session.Store(&connect.Session{Member: e.MemberID, Generation: e.Generation, Subscribed: l.topics.all(), Owned: mine})
	l.secluded.joined(e.LeaderID == e.MemberID)
	for _, p := range l.parts {
		p.held = false
	}
	if len(removed) > 0 && l.cooperative {
		if err := l.commitNow(ctx); err != nil {
			return err
		}
	}
	if err := l.take(ctx, removed, false); err != nil {
		return err
	}
	for _, p := range l.parts {
		l.applyPause(p)
	}
	if err := l.give(ctx, added, false); err != nil {
		return err
	}
	if len(removed) > 0 && l.cooperative {
		l.membership.Load().Rejoin("partitions given up")
	}
	return nil
}

func (l *loop) lost(ctx context.Context, e kafka.Lost) error {
	l.log.Warn("membership lost; joining again", "group", l.cfg.GroupID, "error", e.Err)
	l.preparing = nil
	l.secluded.between = false
	l.session.Store(nil)
	return l.take(ctx, l.assignment(), true)
}

// take closes partitions. They count as assigned until Close has returned.
func (l *loop) take(ctx context.Context, tps []connect.TopicPartition, lost bool) error {
	if len(tps) == 0 {
		return nil
	}
	for _, tp := range tps {
		l.drop(l.parts[tp])
		if l.parts[tp].added {
			l.fetcher.Remove(tp)
		}
	}
	if err := l.cfg.Task.Close(ctx, tps, lost); err != nil {
		return fmt.Errorf("close partitions: %w", err)
	}
	for _, tp := range tps {
		delete(l.parts, tp)
	}
	return nil
}

// give opens partitions. The task says where to start, or the group's offsets do.
func (l *loop) give(ctx context.Context, tps []connect.TopicPartition, fresh bool) error {
	if len(tps) == 0 {
		return nil
	}
	for _, tp := range tps {
		l.parts[tp] = &partition{TopicPartition: tp, next: -1, safe: -1, committed: -1, fresh: fresh}
	}
	positions, err := l.cfg.Task.Open(ctx, tps)
	if err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	for tp, next := range positions {
		if p := l.parts[tp]; p != nil && next >= 0 {
			p.told = true
			l.move(p, next)
		}
	}
	l.resolveAt = time.Time{}
	return nil
}

// move makes next the offset of the next record of p, whatever was fetched before.
func (l *loop) move(p *partition, next int64) {
	p.next, p.safe = next, next
	p.seeks++
	l.drop(p)
	if p.added {
		l.fetcher.Seek(p.TopicPartition, next)
		return
	}
	p.added = true
	l.fetcher.Add(p.TopicPartition, next)
	l.applyPause(p)
}

// drop forgets what was fetched of p. A portion that is in Put is dropped by deliver.
func (l *loop) drop(p *partition) {
	l.queue = slices.DeleteFunc(l.queue, func(f *fetched) bool { return f.TopicPartition == p.TopicPartition })
	if q := &l.portion; q.part == p && !q.inPut {
		q.end()
	}
}

func (l *loop) assignment() []connect.TopicPartition {
	tps := make([]connect.TopicPartition, 0, len(l.parts))
	for tp := range l.parts {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, connect.TopicPartition.Compare)
	return tps
}
