package sink

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/faults"
)

const (
	redeliveryMin = 100 * time.Millisecond // first back-off after a RetryError from Put
	redeliveryMax = 10 * time.Second

	quietFor    = 5 * time.Second  // a wait is normal for so long: a table is loaded or created
	complainFor = 30 * time.Second // between two warnings of the same wait
)

// A portion is the run of records that is being converted and delivered. Its slices
// and arena are used again for the next one: nothing is allocated per record.
type portion struct {
	from    *fetched // nil: there is no portion
	part    *partition
	first   int // the first record of from in it
	at      int // the record of from being converted
	raw     kafka.Raw
	records []connect.Record
	size    int // records in a batch at most: max.poll.records
	arena   connect.Arena
	batch   connect.Batch

	stage   int // what the record at at is to go through next: see stages
	trial   faults.Trial
	retryAt time.Time // when to try again: the stage, or Put

	inPut      bool
	redelivery bool // converted; Put wants to see it again
	backoff    time.Duration
	waiting    time.Time // since when
}

// begin starts a portion at the first record of f that is not delivered.
func (l *loop) begin(f *fetched) {
	q := &l.portion
	q.from, q.part, q.first, q.at = f, l.parts[f.TopicPartition], f.at, f.at
	if f.Len() > 0 && !l.topicsSeen[f.Topic] {
		l.topicsSeen[f.Topic] = true
		l.cfg.OnTopic(f.Topic)
	}
}

// end drops the portion.
func (q *portion) end() {
	q.from, q.part = nil, nil
	q.records = q.records[:0]
	q.arena.Reset()
	q.stage, q.trial, q.retryAt = stageNew, faults.Trial{}, time.Time{}
	q.redelivery, q.backoff = false, 0
}

// forget lets go of the memory of fetched data while there is nothing to do.
func (q *portion) forget() {
	if q.raw.Offset != 0 || q.raw.Value != nil {
		clear(q.records[:cap(q.records)])
		q.raw = kafka.Raw{}
	}
}

// convert takes the portion through converters and transformations, and delivers it. It
// returns early when a stage is to be tried again later; it then goes on at that
// stage. When ctx ends the portion is left as it is: nothing at or above a record that
// is not resolved is ever delivered or committed.
func (l *loop) convert(ctx, hard context.Context) error {
	q := &l.portion
	n := q.from.Len()
	for ; q.at < n && (len(q.records) < q.size || q.stage != stageNew); q.at++ {
		if q.stage == stageNew {
			q.from.At(q.at, &q.raw)
			q.records = append(q.records, connect.Record{
				Topic: q.from.Topic, Partition: q.from.Partition, Offset: q.raw.Offset,
				Timestamp: q.raw.Timestamp, TimestampType: q.raw.TimestampType, Headers: q.raw.Headers,
			})
			q.stage = stageKey
		}
		keep, err := l.stages(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // a stop ended it, which says nothing about the record
			}
			if delay, again := l.faults.Retry(&q.trial, time.Now(), err); again {
				l.complain(err, delay)
				q.retryAt = time.Now().Add(delay)
				return nil
			}
			if err := l.faults.Failed(hard, l.failed(err)); err != nil {
				return err
			}
		} else if !q.retryAt.IsZero() {
			l.log.Info("going on: the record that was waited for could be read", "partition", q.from.TopicPartition, "offset", q.raw.Offset)
		}
		if !keep {
			q.records = q.records[:len(q.records)-1]
		}
		q.stage, q.trial, q.retryAt = stageNew, faults.Trial{}, time.Time{}
	}
	next := q.from.next
	if q.at < n {
		q.from.At(q.at, &q.raw)
		next = q.raw.Offset
	}
	q.batch = connect.Batch{TopicPartition: q.from.TopicPartition, TopicID: q.from.id, Records: q.records, First: q.part.next, Next: next, Arena: &q.arena}
	return l.deliver(hard)
}

// complain says now and then why nothing goes on.
func (l *loop) complain(err error, delay time.Duration) {
	if now := time.Now(); now.Sub(l.complained) >= complainFor {
		l.complained = now
		f := l.failed(err)
		l.log.Warn("a record cannot be read yet and is tried again; nothing is read meanwhile", "stage", string(f.Stage),
			"partition", f.TopicPartition, "offset", f.Offset, "retry_in", delay, "error", err)
	}
}

// The stages of a record; the transformations are numbered from stageTransforms on.
const (
	stageNew = iota
	stageKey
	stageValue
	stageTransforms
)

// stages takes the last of records through what it still has before it.
func (l *loop) stages(ctx context.Context) (keep bool, err error) {
	q := &l.portion
	r := &q.records[len(q.records)-1]
	if q.stage == stageKey {
		if r.KeySchema, r.Key, err = l.cfg.Key.ToConnect(ctx, &q.arena, q.from.Topic, q.raw.Key); err != nil {
			return false, err
		}
		q.stage = stageValue
	}
	if q.stage == stageValue {
		if r.ValueSchema, r.Value, err = l.cfg.Value.ToConnect(ctx, &q.arena, q.from.Topic, q.raw.Value); err != nil {
			return false, err
		}
		q.stage = stageTransforms
	}
	for ; q.stage-stageTransforms < len(l.cfg.Transforms); q.stage++ {
		if keep, err := l.cfg.Transforms[q.stage-stageTransforms].Transformation.Apply(&q.arena, r); err != nil || !keep {
			return false, err
		}
	}
	return true, nil
}

// failed describes the failure of the stage under way.
func (l *loop) failed(err error) *faults.Failure {
	q := &l.portion
	f := l.consumed(&q.raw)
	f.Err = err
	switch q.stage {
	case stageKey:
		f.Stage, f.Class = connect.StageKeyConverter, l.cfg.KeyClass
	case stageValue:
		f.Stage, f.Class = connect.StageValueConverter, l.cfg.ValueClass
	default:
		f.Stage, f.Class = connect.StageTransformation, l.cfg.Transforms[q.stage-stageTransforms].Class
	}
	return f
}

func (l *loop) consumed(raw *kafka.Raw) *faults.Failure {
	return &faults.Failure{
		TopicPartition: l.portion.from.TopicPartition, Offset: raw.Offset, Timestamp: raw.Timestamp, TimestampType: raw.TimestampType,
		Key: raw.Key, Value: raw.Value, Headers: raw.Headers,
	}
}

// deliver gives the portion to the task.
func (l *loop) deliver(ctx context.Context) error {
	q := &l.portion
	p, seeks := q.part, q.part.seeks
	l.woken.Store(false)
	q.inPut = true
	err := l.cfg.Task.Put(ctx, &q.batch)
	q.inPut = false
	l.lastPut = time.Now()
	if l.intolerable != nil {
		return l.intolerable
	}
	moved := p.seeks != seeks
	if _, ok := errors.AsType[*connect.RetryError](err); ok && !moved {
		if !q.redelivery {
			q.redelivery, q.waiting = true, l.lastPut
		}
		q.backoff = min(max(2*q.backoff, redeliveryMin), redeliveryMax)
		q.retryAt = l.lastPut.Add(q.backoff)
		l.stats.Redeliveries.Add(1)
		level := slog.LevelDebug
		if l.lastPut.Sub(q.waiting) >= quietFor {
			level = slog.LevelWarn
		}
		l.log.Log(ctx, level, "task asks for the same records again; nothing is read meanwhile", "partition", p.TopicPartition, "next", q.batch.Next, "backoff", q.backoff, "error", err)
		return nil
	} else if err != nil && !ok {
		return unrecoverable(err)
	}
	l.stats.Puts.Add(1)
	l.stats.Read.Add(int64(q.at - q.first))
	l.stats.Sent.Add(int64(len(q.records)))
	p.delivered = true
	delete(l.doubts, p.TopicPartition)
	if !moved {
		p.next = q.batch.Next
		if f := q.from; q.at < f.Len() {
			f.at = q.at
			l.queue = slices.Insert(l.queue, 0, f)
		}
	}
	q.end()
	return nil
}
