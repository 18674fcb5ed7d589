package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

const (
	resolveTimeout = 30 * time.Second // longer than most open transactions
	resolveAgain   = time.Second
)

// A start is where to begin a partition, and whether the group's offset says so.
type start struct {
	next  int64
	group bool
}

// resolve looks up where to start partitions whose position the task did not give, in
// another goroutine.
func (l *loop) resolve(ctx context.Context) {
	if l.resolving || time.Now().Before(l.resolveAt) {
		return
	}
	var ask []*partition
	for _, p := range l.parts {
		if p.next < 0 {
			ask = append(ask, p)
		}
	}
	if len(ask) == 0 {
		return
	}
	l.resolving = true
	q := question{session: l.sessionNow(), reset: l.cfg.Consumer.AutoOffsetReset()}
	for _, p := range ask {
		q.all = append(q.all, p.TopicPartition)
		if !p.fresh {
			q.group = append(q.group, p.TopicPartition)
		}
		if !p.paused {
			q.keep = append(q.keep, p.TopicPartition)
		}
	}
	l.away(ctx, func() func(context.Context) error {
		lctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		starts, err := l.lookUpStarts(lctx, q)
		return func(context.Context) error {
			l.resolving = false
			if len(starts) < len(ask) {
				l.resolveAt = time.Now().Add(resolveAgain)
			}
			if errors.Is(err, errNoReset) || errors.Is(err, errors.ErrUnsupported) {
				return err
			}
			l.warn("look up where to start; trying again", err)
			for _, p := range ask {
				s, ok := starts[p.TopicPartition]
				if !ok || l.parts[p.TopicPartition] != p || p.next >= 0 {
					continue // not known yet, gone, or moved by the task meanwhile
				}
				if s.group {
					p.committed = s.next
				}
				l.move(p, s.next)
			}
			return nil
		}
	})
}

// A question is what lookUpStarts needs, out of the loop's state.
type question struct {
	session connect.Session
	reset   string
	all     []connect.TopicPartition
	group   []connect.TopicPartition // those for which the group's offsets count
	keep    []connect.TopicPartition // those that start with what is found here
}

var errNoReset = errors.New("no committed offset, and auto.offset.reset is none: commit offsets for the group, or set auto.offset.reset")

// lookUpStarts takes the group's offsets, else what auto.offset.reset says.
func (l *loop) lookUpStarts(ctx context.Context, q question) (map[connect.TopicPartition]start, error) {
	starts := map[connect.TopicPartition]start{}
	if len(q.group) > 0 {
		offsets, err := l.membership.Load().Committed(ctx, q.group)
		if err != nil {
			return nil, err
		}
		for tp, next := range offsets {
			starts[tp] = start{next, true}
		}
	}
	var rest []connect.TopicPartition
	for _, tp := range q.all {
		if _, ok := starts[tp]; !ok {
			rest = append(rest, tp)
		}
	}
	if len(rest) == 0 {
		return starts, nil
	}
	var at int64
	switch q.reset {
	case "earliest":
		at = kafka.Earliest
	case "latest":
		at = kafka.Latest
	case "none":
		return nil, fmt.Errorf("%s: %w", rest[0], errNoReset)
	default:
		return nil, fmt.Errorf("%s: auto.offset.reset=%s: %w", rest[0], q.reset, errors.ErrUnsupported)
	}
	var ends map[connect.TopicPartition]int64
	err := l.desk.do(ctx, func(a admin) (err error) {
		ends, err = a.Offsets(ctx, rest, at)
		return err
	})
	if err != nil {
		return nil, err
	}
	if at == kafka.Latest {
		if err := l.keepStarts(ctx, q, ends); err != nil {
			return nil, err
		}
	}
	for tp, next := range ends {
		starts[tp] = start{next: next}
	}
	return starts, nil
}

// keepStarts commits a start at the log's end before the first record is read: after a
// crash the end would be a later one, and the records between would be skipped. A
// partition that the task has paused is about to be moved by it, and stays out.
func (l *loop) keepStarts(ctx context.Context, q question, ends map[connect.TopicPartition]int64) error {
	offsets := map[connect.TopicPartition]int64{}
	for _, tp := range q.keep {
		if next, ok := ends[tp]; ok {
			offsets[tp] = next
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	return l.membership.Load().Commit(ctx, q.session.Member, q.session.Generation, offsets)
}

// trouble handles what the fetcher says instead of records.
func (l *loop) trouble(ctx context.Context, p *partition, err error) error {
	if e, ok := errors.AsType[*kafka.OffsetOutOfRangeError](err); ok {
		return l.outOfRange(p, e)
	}
	if e, ok := errors.AsType[*kafka.TopicIDChangedError](err); ok {
		l.log.Warn("topic was deleted and created again: its partition is opened anew", "error", e)
		return l.reopen(ctx, p, true)
	}
	if errors.Is(err, kafka.ErrUnauthorized) {
		return fmt.Errorf("fetch %s: %w", p.TopicPartition, err)
	}
	l.topics.suspect()
	if !p.troubled {
		p.troubled = true
		l.log.Warn("cannot fetch; trying again", "partition", p.TopicPartition, "error", err)
	}
	return nil
}

// A doubt is about a position above the log's end that the task gave. When a topic was
// made anew a moment ago, whoever tells the task where to begin may not have noticed yet.
type doubt struct{ since, again time.Time }

const (
	doubtPause = time.Second
	doubtFor   = 15 * time.Second
)

// mayAsk tells whether the task is to be asked again where to begin, and sees to it.
func (l *loop) mayAsk(tp connect.TopicPartition) bool {
	now := time.Now()
	d, ok := l.doubts[tp]
	if !ok {
		d.since = now
	}
	d.again = now.Add(doubtPause)
	l.doubts[tp] = d
	return now.Sub(d.since) < doubtFor
}

// askAgain opens partitions anew whose position was in doubt.
func (l *loop) askAgain(ctx context.Context) error {
	for tp, d := range l.doubts {
		p := l.parts[tp]
		if p == nil {
			delete(l.doubts, tp)
			continue
		}
		if d.again.IsZero() || time.Now().Before(d.again) {
			continue
		}
		l.doubts[tp] = doubt{since: d.since}
		if err := l.reopen(ctx, p, p.fresh); err != nil {
			return err
		}
	}
	return nil
}

// reopen takes a partition from the task and gives it back.
func (l *loop) reopen(ctx context.Context, p *partition, fresh bool) error {
	tps := []connect.TopicPartition{p.TopicPartition}
	if err := l.take(ctx, tps, true); err != nil {
		return err
	}
	return l.give(ctx, tps, fresh)
}

// outOfRange follows auto.offset.reset when retention has overtaken the task: a gap
// that is declared and counted. A position above the log's end in the same topic means
// that the log has lost its end, and it would be wrong to guess what the reader wants.
func (l *loop) outOfRange(p *partition, e *kafka.OffsetOutOfRangeError) error {
	if e.Position > e.End && p.told && l.mayAsk(p.TopicPartition) {
		l.log.Warn("the task begins above the log's end: asking it again, it may not know yet that the topic was created anew",
			"partition", p.TopicPartition, "position", e.Position, "end", e.End)
		return nil
	}
	if e.Position > e.End {
		return fmt.Errorf("%s: position %d is above the log's end %d: the log was truncated, or is not the one the offsets belong to "+
			"(stop the connector and change its offsets: DELETE /connectors/%s/offsets to start over, PATCH to go on elsewhere)",
			p.TopicPartition, e.Position, e.End, l.cfg.Connector)
	}
	next := e.Start
	switch l.cfg.Consumer.AutoOffsetReset() {
	case "earliest":
	case "latest":
		next = e.End
	default:
		return fmt.Errorf("%w, and auto.offset.reset is %s", e, l.cfg.Consumer.AutoOffsetReset())
	}
	l.stats.Gone.Add(next - e.Position)
	l.log.Error("records are gone: the log was cut (retention) before they were read; going on behind the gap",
		"partition", p.TopicPartition, "from", e.Position, "to", next, "count", next-e.Position)
	l.fetcher.Seek(p.TopicPartition, next)
	return nil
}
