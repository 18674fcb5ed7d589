package sink

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// endless is a fetcher whose one partition has n records, in runs like a broker's.
type endless struct {
	fakeFetcher
	recs []kafka.Raw
	next int64
	end  int64
	bell chan struct{}

	added bool
}

func (e *endless) Add(_ tp, next int64) { e.next, e.added = next, true }
func (e *endless) Seek(tp, int64)       {}
func (e *endless) Remove(tp)            {}
func (e *endless) Wake() {
	select {
	case e.bell <- struct{}{}:
	default:
	}
}

func (e *endless) Poll(ctx context.Context, wait time.Duration) ([]fetched, error) {
	if !e.added || e.next == e.end {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-e.bell:
		case <-time.After(wait):
		}
		return nil, nil
	}
	n := min(int64(len(e.recs)), e.end-e.next)
	f := fetched{TopicPartition: a0, records: shifted{e.recs[:n], e.next}, next: e.next + n}
	e.next += n
	return []fetched{f}, nil
}

type shifted struct {
	recs  []kafka.Raw
	first int64
}

func (s shifted) Len() int { return len(s.recs) }
func (s shifted) At(i int, r *kafka.Raw) {
	*r = s.recs[i]
	r.Offset = s.first + int64(i)
}

// sinkhole takes records until it has had n.
type sinkhole struct {
	recorder
	n    int64
	done chan struct{}
}

func (s *sinkhole) Put(_ context.Context, b *connect.Batch) error {
	if b != nil && b.Next == s.n {
		close(s.done)
	}
	return nil
}

func (s *sinkhole) PreCommit(context.Context) (offsets, error) { return nil, nil }

// BenchmarkLoop is what the loop itself costs per record: no-op converters and task.
func BenchmarkLoop(b *testing.B) {
	w := newWorld()
	w.produce(a0, 1)
	task := &sinkhole{recorder: *newRecorder(), n: int64(b.N), done: make(chan struct{})}
	t := New(Config{
		Connector: "c", Task: task, Key: plain{}, Value: plain{}, Topics: []string{"a"}, Consumer: consumer(b, map[string]string{"bootstrap.servers": "localhost:9092", "auto.offset.reset": "earliest"}),
		Logger: slog.New(slog.DiscardHandler),
	})
	recs := make([]kafka.Raw, 5000)
	for i := range recs {
		recs[i] = kafka.Raw{Key: []byte("key"), Value: make([]byte, 200)}
	}
	t.clients = w.clients()
	t.clients.fetcher = func(*kafka.Config) (fetcher, error) {
		return &endless{recs: recs, end: int64(b.N), bell: make(chan struct{}, 1)}, nil
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- t.Run(ctx) }()
	w.tell(kafka.Prepare{Join: func(p []kafka.Protocol) { w.joins <- p }})
	<-w.joins
	b.ReportAllocs()
	b.ResetTimer()
	w.assign("range", a0)
	<-task.done
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
