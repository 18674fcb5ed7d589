package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
)

// A Log is a topic that is read from its start and then followed: Java's KafkaBasedLog.
// The goroutine in Run owns it. Records that vanish under it, as when the topic is
// made again, make it go back to the start of what there is.
type Log struct {
	cfg     *Config
	topic   string
	reads   chan chan struct{} // who waits for the end, to Run
	fetcher atomic.Pointer[Fetcher]
	end     atomic.Int64

	// Run's:
	admin   *Admin
	asked   []chan struct{} // they wait, and the end is not known yet
	waiters []logWaiter
}

// A logWaiter waits until every partition has been handled up to ends.
type logWaiter struct {
	ends map[connect.TopicPartition]int64
	done chan struct{}
}

// NewLog makes a Log over all partitions of a topic, which must exist by the time Run
// has to read it.
func NewLog(cfg *Config, topic string) (*Log, error) {
	if topic == "" {
		return nil, errors.New("log: no topic")
	}
	return &Log{cfg: cfg, topic: topic, reads: make(chan chan struct{}, 16)}, nil
}

// idle is how long Run waits for records when nobody asks for anything.
const idle = time.Minute

// Run reads the topic until ctx ends, and calls handle for every record, in its own
// goroutine and in offset order per partition. It returns nil when ctx ends, and an
// error for what will not pass by itself: not authorized.
func (l *Log) Run(ctx context.Context, handle func(Raw)) error {
	if err := l.run(ctx, handle); ctx.Err() == nil {
		return fmt.Errorf("follow topic %s: %w", l.topic, err)
	}
	return nil
}

func (l *Log) run(ctx context.Context, handle func(Raw)) (err error) {
	if l.admin, err = NewAdmin(l.cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.admin.Close()) }()
	f, err := NewFetcher(l.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tps, err := l.begin(ctx, f)
	if err != nil {
		return err
	}
	l.fetcher.Store(f)
	for {
		if err := l.question(ctx, tps); err != nil {
			return err
		}
		l.answer(f)
		wait := idle
		if len(l.asked) > 0 {
			wait = l.cfg.retryBackoffMax
		}
		got, err := f.Poll(ctx, wait)
		if err != nil {
			return err
		}
		for i := range got {
			if err := l.take(f, &got[i], handle); err != nil {
				return err
			}
		}
	}
}

// begin finds the partitions and where they start, as soon as the cluster tells.
func (l *Log) begin(ctx context.Context, f *Fetcher) ([]connect.TopicPartition, error) {
	for failures := 1; ; failures++ {
		topics, err := l.admin.Topics(ctx, l.topic)
		var tps []connect.TopicPartition
		for _, p := range topics[l.topic].Partitions {
			tps = append(tps, connect.TopicPartition{Topic: l.topic, Partition: p})
		}
		if err == nil {
			err = topics[l.topic].Err
		}
		if err == nil && len(tps) > 0 {
			var starts map[connect.TopicPartition]int64
			if starts, err = l.admin.Offsets(ctx, tps, Earliest); err == nil {
				for _, tp := range tps {
					f.Add(tp, starts[tp])
					l.moved(tp, starts[tp])
				}
				return tps, nil
			}
		}
		if err != nil && !retriable(err) {
			return nil, err
		}
		if !sleep(ctx, l.cfg.pause(failures)) {
			return nil, ctx.Err()
		}
	}
}

// take handles what was fetched.
func (l *Log) take(fetcher *Fetcher, f *Fetched, handle func(Raw)) error {
	if gone, ok := errors.AsType[*OffsetOutOfRangeError](f.Err); ok {
		fetcher.Seek(f.TopicPartition, gone.Start)
		return nil
	}
	if _, ok := errors.AsType[*TopicIDChangedError](f.Err); ok {
		fetcher.Seek(f.TopicPartition, 0)
		return nil
	}
	if f.Err != nil {
		if retriable(f.Err) {
			return nil
		}
		return f.Err
	}
	var r Raw
	for i := range f.Len() {
		f.At(i, &r)
		handle(r)
		l.moved(f.TopicPartition, r.Offset+1)
	}
	l.moved(f.TopicPartition, f.Next)
	return nil
}

func (l *Log) moved(tp connect.TopicPartition, next int64) {
	if tp.Partition == 0 {
		l.end.Store(next)
	}
}

// question takes in who wants to know the end, and looks where it is.
func (l *Log) question(ctx context.Context, tps []connect.TopicPartition) error {
	for more := true; more; {
		select {
		case done := <-l.reads:
			l.asked = append(l.asked, done)
		default:
			more = false
		}
	}
	if len(l.asked) == 0 {
		return nil
	}
	ends, err := l.admin.Offsets(ctx, tps, Latest)
	if err != nil {
		if retriable(err) {
			return nil
		}
		return err
	}
	for _, done := range l.asked {
		l.waiters = append(l.waiters, logWaiter{ends, done})
	}
	l.asked = nil
	return nil
}

// answer tells those whose end has been reached.
func (l *Log) answer(f *Fetcher) {
	l.waiters = slices.DeleteFunc(l.waiters, func(w logWaiter) bool {
		for tp, end := range w.ends {
			if at, _ := f.Position(tp); at < end {
				return false
			}
		}
		close(w.done)
		return true
	})
}

// ReadToEnd returns when every record that was in the topic at the time of the call
// has been handled. Any goroutine but Run's may call it; it waits for Run to start.
func (l *Log) ReadToEnd(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.reads <- done:
	case <-ctx.Done():
		return fmt.Errorf("read topic %s to its end: %w", l.topic, ctx.Err())
	}
	if f := l.fetcher.Load(); f != nil {
		f.Wake()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read topic %s to its end: %w", l.topic, ctx.Err())
	}
}

// End is the offset after the last record handled in partition 0. Any goroutine may
// call it; within handle it does not count the record being handled.
func (l *Log) End() int64 { return l.end.Load() }
