package topics

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// A statusQueue sends statuses in the order in which they were put. One that is
// overtaken by a newer one of the same key, before it was sent or while it was being
// tried again, is not sent at all.
type statusQueue struct {
	topic  string
	allow  func(key string, s Status) bool // asked for safe writes, just before they are sent
	logger *slog.Logger
	wake   chan struct{}

	// mu guards the rest; it is never held across I/O.
	mu         sync.Mutex
	seq        uint64
	generation int32 // of the status put last
	entries    []*statusEntry
	waiting    map[string]*statusEntry // those of entries, by key
	latest     map[string]uint64       // newest put by key, until it is in the topic
}

// A statusEntry is one record to send or, if flushed is set, the mark of a flush.
type statusEntry struct {
	key     string
	value   []byte
	seq     uint64
	status  *Status // nil for topic statuses
	safe    bool
	flushed chan struct{}
}

func newStatusQueue(topic string, allow func(string, Status) bool, logger *slog.Logger) *statusQueue {
	return &statusQueue{
		topic: topic, allow: allow, logger: logger, wake: make(chan struct{}, 1),
		waiting: make(map[string]*statusEntry), latest: make(map[string]uint64),
	}
}

// put queues a record. s is the status in it, nil if it is a topic's.
func (q *statusQueue) put(key string, value []byte, s *Status, safe bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s != nil {
		q.generation = s.Generation
	}
	q.seq++
	q.latest[key] = q.seq
	if e := q.waiting[key]; e != nil {
		e.value, e.seq, e.status, e.safe = value, q.seq, s, safe
		return
	}
	q.add(&statusEntry{key: key, value: value, seq: q.seq, status: s, safe: safe})
}

// add appends an entry. mu is held.
func (q *statusQueue) add(e *statusEntry) {
	q.entries = append(q.entries, e)
	if e.flushed == nil {
		q.waiting[e.key] = e
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// flush returns when everything put before has been sent once.
func (q *statusQueue) flush(ctx context.Context) error {
	done := make(chan struct{})
	q.mu.Lock()
	q.add(&statusEntry{flushed: done})
	q.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// statusRetry is how long to wait before failed statuses are tried again.
const statusRetry = time.Second

// lastLimit bounds the sending of what is still queued when the worker stops.
const lastLimit = 5 * time.Second

// run sends until ctx ends, and then what is still queued.
func (q *statusQueue) run(ctx context.Context, out *kafka.Producer) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastLimit, cancel) })()
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
		ended := ctx.Err() != nil
		again := q.send(sending, out)
		if ended && !again {
			return
		}
		if again {
			select {
			case <-sending.Done():
			case <-time.After(statusRetry):
			}
		}
	}
}

// send takes everything queued and sends it once. It tells whether something failed and
// was queued again.
func (q *statusQueue) send(ctx context.Context, out *kafka.Producer) (again bool) {
	entries := q.take()
	deliveries := make([]*kafka.Delivery, len(entries))
	failures := make([]error, len(entries))
	for i, e := range entries {
		if e.flushed != nil || e.safe && !q.allow(e.key, *e.status) {
			continue
		}
		deliveries[i], failures[i] = out.Send(ctx, kafka.Message{Topic: q.topic, Partition: -1, Key: []byte(e.key), Value: e.value})
	}
	for i, e := range entries {
		if d := deliveries[i]; d != nil {
			_, failures[i] = d.Wait(ctx)
		}
		if e.flushed != nil {
			close(e.flushed)
		} else if q.done(ctx, e, failures[i]) {
			again = true
		}
	}
	return again
}

func (q *statusQueue) take() []*statusEntry {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries := q.entries
	q.entries = nil
	clear(q.waiting)
	return entries
}

// done notes how sending e went. A status is tried again while it is the newest of its
// key and of this worker's present generation; another one may not be true any more.
func (q *statusQueue) done(ctx context.Context, e *statusEntry, err error) (again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	newest := q.latest[e.key] == e.seq
	if err == nil {
		if newest {
			delete(q.latest, e.key)
		}
		return false
	}
	final := ctx.Err() != nil || errors.Is(err, kafka.ErrUnauthorized) || errors.Is(err, kafka.ErrRecordTooLarge) || errors.Is(err, kafka.ErrClosed)
	if final || !newest || e.status != nil && e.status.Generation != q.generation {
		q.logger.Error("status topic: a status is not written", "key", e.key, "err", err)
		if newest {
			delete(q.latest, e.key)
		}
		return false
	}
	q.logger.Warn("status topic: writing a status again", "key", e.key, "err", err)
	q.add(e)
	return true
}
