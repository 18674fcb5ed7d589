package sink

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/faults"
)

// TestNothingIsLeftOut plays random histories: records arrive while the group rebalances,
// the membership is lost, the task asks for retries, seeks, pauses and fails to commit,
// converters fail for a while, and the task is restarted. At the end every record has
// been delivered; between two moves of a partition the order is without gaps; and the
// group's offset never passes a record that was not delivered.
func TestNothingIsLeftOut(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { history(t, seed) })
	}
}

func history(t *testing.T, seed uint64) {
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	script := rand.New(rand.NewPCG(seed, 0)) // of the test's goroutine
	pick := func(from, to int) int { return from + script.IntN(to-from+1) }
	all := []tp{a0, a1, b0}
	w := newWorld()
	w.perPoll = pick(1, 40)
	defer close(w.over)
	for _, p := range all {
		w.produce(p, 1)
	}
	seen := map[tp]map[string]bool{a0: {}, a1: {}, b0: {}}
	chaos := true
	var mu sync.Mutex // guards dice, chaos and seen: look-ups and commits run in other goroutines
	dice := rand.New(rand.NewPCG(seed, 1))
	chance := func(percent int) bool {
		mu.Lock()
		defer mu.Unlock()
		return chaos && dice.IntN(100) < percent
	}

	begin := func() (task *Task, stop func()) {
		r := newRecorder()
		expect := offsets{} // the next record's offset, unless the partition was moved
		r.onPut = func(b *connect.Batch) error {
			if b == nil {
				for _, p := range r.tc.Assignment() {
					if !chance(70) {
						r.tc.Resume(p)
					}
				}
				return nil
			}
			p := b.TopicPartition
			if chance(10) {
				return retry()
			}
			if at, ok := expect[p]; ok && len(b.Records) > 0 && b.Records[0].Offset != at {
				t.Errorf("%s: got record %d after %d", p, b.Records[0].Offset, at-1)
			}
			for i := range b.Records {
				if i > 0 && b.Records[i].Offset != b.Records[i-1].Offset+1 {
					t.Errorf("%s: a gap after %d", p, b.Records[i-1].Offset)
				}
				mu.Lock()
				seen[p][b.Records[i].Value.Text()] = true
				mu.Unlock()
			}
			expect[p] = b.Next
			switch {
			case chance(5):
				back := max(b.Next-int64(seed%11), 0)
				expect[p] = back
				r.tc.Seek(p, back)
			case chance(10):
				r.tc.Pause(p)
			}
			return nil
		}
		r.onOpen = func(parts []tp) offsets {
			for _, p := range parts {
				delete(expect, p)
			}
			return nil
		}
		r.onCommit = func() (offsets, error) {
			if chance(5) {
				clear(expect) // going back is allowed from here on
				return nil, errBoom
			}
			return r.next, nil
		}
		task = New(Config{
			Connector: "c", Task: r, Topics: []string{"a", "b"}, FlushInterval: 500 * time.Millisecond, Logger: slog.New(slog.DiscardHandler), Key: plain{},
			Value:    plain{func(context.Context, string) error { return failSometimes(chance(3)) }},
			Consumer: consumer(t, map[string]string{"bootstrap.servers": "localhost:9092", "auto.offset.reset": "earliest", "max.poll.records": "7"}),
			Faults:   faults.Config{RetryTimeout: -1, RetryDelayMax: time.Second},
		})
		task.clients = w.clients()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- task.Run(ctx) }()
		return task, func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}

	task, stop := begin()
	w.setFault(func(op string) error {
		if op != "poll" && op != "member" && op != "fetcher" && op != "admin" {
			return failSometimes(chance(10))
		}
		return nil
	})
	round := func(parts []tp) {
		w.round(t, []string{"range", "cooperative-sticky"}[len(parts)%2], parts...)
	}
	round(all)
	for range pick(1, 30) {
		time.Sleep(time.Duration(pick(0, 700)) * time.Millisecond)
		p := all[script.IntN(len(all))]
		switch steps := []string{"produce", "produce", "produce", "rebalance", "lost", "pause", "restart"}; steps[script.IntN(len(steps))] {
		case "produce":
			w.produce(p, pick(1, 30))
		case "rebalance":
			round(slices.DeleteFunc(slices.Clone(all), func(q tp) bool { return q == p || pick(0, 1) == 0 }))
		case "lost":
			w.tell(kafka.Lost{Err: errBoom})
		case "pause":
			task.SetPaused(pick(0, 1) == 0)
		case "restart":
			stop()
			task, stop = begin()
			round(all)
		}
		committed := w.offsetsNow()
		mu.Lock()
		for p, next := range committed {
			for o := range next {
				if !seen[p][fmt.Sprintf("%s@%d", p, o)] {
					t.Errorf("%s: %d committed, and record %d was never delivered", p, next, o)
				}
			}
		}
		mu.Unlock()
	}
	mu.Lock()
	chaos = false
	mu.Unlock()
	task.SetPaused(false)
	round(all)
	time.Sleep(time.Minute)
	stop()
	for _, p := range all {
		end := len(w.logs[p].values)
		if len(seen[p]) != end || w.committed[p] != int64(end) {
			t.Errorf("%s: %d of %d records delivered, %d committed", p, len(seen[p]), end, w.committed[p])
		}
	}
}

func failSometimes(fail bool) error {
	if fail {
		return retry()
	}
	return nil
}
