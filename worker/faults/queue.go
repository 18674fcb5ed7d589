package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// unackedMax bounds the records on their way to the dead-letter topic: reporting
// one more waits.
const unackedMax = 1024

// A sender is the part of kafka.Producer that is used.
type sender interface {
	Send(ctx context.Context, m kafka.Message) (delivery, error)
	Close() error
}

type delivery interface {
	Wait(ctx context.Context) (offset int64, err error)
}

type producer struct{ *kafka.Producer }

func (p producer) Send(ctx context.Context, m kafka.Message) (delivery, error) {
	return p.Producer.Send(ctx, m)
}

func newSender(cfg *kafka.Config) (sender, error) {
	p, err := kafka.NewProducer(cfg)
	if err != nil {
		return nil, err
	}
	return producer{p}, nil
}

// deadLetters is the dead-letter topic of one task. Records are sent without waiting;
// commits wait for them.
type deadLetters struct {
	topic string
	stats *Stats
	open  func() (sender, error)
	out   sender

	mu      sync.Mutex // guards what follows; never held while waiting
	unacked []delivery
	acked   Mark // how many have left unacked, from the front
	err     error
}

func (q *deadLetters) start() (err error) {
	if q.out, err = q.open(); err != nil {
		return fmt.Errorf("open producer of dead-letter topic %s: %w", q.topic, err)
	}
	return nil
}

func (q *deadLetters) send(ctx context.Context, m kafka.Message) error {
	q.mu.Lock()
	full := len(q.unacked) >= unackedMax
	oldest := q.acked + 1
	q.mu.Unlock()
	if full {
		if err := q.wait(ctx, oldest); err != nil {
			return err
		}
	}
	q.stats.DLQRequests.Add(1)
	d, err := q.out.Send(ctx, m)
	if err != nil {
		return q.failed(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unacked = append(q.unacked, d)
	return nil
}

func (q *deadLetters) mark() Mark {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.acked + Mark(len(q.unacked))
}

// wait works from the oldest on. Two goroutines may wait for the same delivery; who
// comes second finds it gone.
func (q *deadLetters) wait(ctx context.Context, m Mark) error {
	for {
		q.mu.Lock()
		err, at := q.err, q.acked
		var d delivery
		if at < m {
			d = q.unacked[0]
		}
		q.mu.Unlock()
		if err != nil || d == nil {
			return err
		}
		if _, err := d.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("wait for dead-letter topic %s: %w", q.topic, context.Cause(ctx))
			}
			return q.failed(err)
		}
		q.mu.Lock()
		if q.acked == at {
			q.unacked = slices.Delete(q.unacked, 0, 1)
			q.acked++
		}
		q.mu.Unlock()
	}
}

// failed keeps the first failure: from then on nothing may be committed.
func (q *deadLetters) failed(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.stats.DLQFailures.Add(1)
		q.err = fmt.Errorf("store record in dead-letter topic %s: %w", q.topic, err)
	}
	return q.err
}

func (q *deadLetters) close() error {
	if q.out == nil {
		return nil
	}
	return q.out.Close()
}

// createTopic makes the dead-letter topic unless it exists. Others may make it at
// the same time.
func (r *Reporter) createTopic(ctx context.Context) error {
	admin, err := kafka.NewAdmin(r.cfg.Admin)
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // nothing was written through the connection
	topics, err := admin.Topics(ctx, r.cfg.DLQTopic)
	if err != nil {
		return err
	}
	if _, ok := topics[r.cfg.DLQTopic]; ok {
		return nil
	}
	err = admin.CreateTopic(ctx, kafka.TopicSpec{Name: r.cfg.DLQTopic, Partitions: 1, ReplicationFactor: r.cfg.DLQReplication})
	if errors.Is(err, kafka.ErrTopicExists) {
		return nil
	}
	return err
}

// message is the record for the dead-letter topic: the consumed bytes, with the
// headers of DeadLetterQueueReporter appended. The producer keeps it for a while, so
// it is a copy.
func (r *Reporter) message(f *Failure) kafka.Message {
	m := kafka.Message{Topic: r.cfg.DLQTopic, Partition: -1, Key: bytes.Clone(f.Key), Value: bytes.Clone(f.Value)}
	if f.Timestamp >= 0 {
		m.Timestamp = time.UnixMilli(f.Timestamp)
	}
	for _, h := range f.Headers {
		m.Headers = append(m.Headers, connect.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	if r.cfg.DLQHeaders {
		m.Headers = append(m.Headers, r.headers(f)...)
	}
	return m
}

func (r *Reporter) headers(f *Failure) []connect.Header {
	h := []connect.Header{
		text("topic", f.Topic),
		text("partition", strconv.Itoa(int(f.Partition))),
		text("offset", strconv.FormatInt(f.Offset, 10)),
		text("connector.name", r.connector),
		text("task.id", strconv.Itoa(r.task)),
		text("stage", string(f.Stage)),
		text("class.name", f.Class),
	}
	if f.Err != nil {
		h = append(h,
			text("exception.class.name", JavaClass(f.Err)),
			text("exception.message", f.Err.Error()),
			text("exception.stacktrace", Trace(f.Err)+"\n\tat "+f.Class+"("+string(f.Stage)+")\n"))
	}
	return h
}

func text(name, value string) connect.Header {
	return connect.Header{Key: "__connect.errors." + name, Value: []byte(value)}
}
