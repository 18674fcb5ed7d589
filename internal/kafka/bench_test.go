package kafka

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// benchRecords is how many records of 200 bytes the benchmarked topic holds.
const benchRecords = 200_000

func benchCluster(b *testing.B) *Config {
	b.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "orders"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	cfg, err := NewConfig(map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "fetch.max.bytes": "4194304", "fetch.max.wait.ms": "5"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

func benchFill(b *testing.B, cfg *Config, n int) {
	b.Helper()
	p, err := NewProducer(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer closed(p)
	value := bytes.Repeat([]byte("v"), 190)
	for at := 0; at < n; at += 1000 {
		msgs := make([]Message, min(1000, n-at))
		for i := range msgs {
			msgs[i] = Message{Topic: "orders", Partition: int32(i % 4), Key: []byte("0123456789"), Value: value}
		}
		if err := p.SendAll(context.Background(), msgs); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetcher reads and looks at every record, over loopback TCP; the fake broker
// runs in the same process, and its work and allocations count, too.
func BenchmarkFetcher(b *testing.B) {
	cfg := benchCluster(b)
	benchFill(b, cfg, benchRecords)
	f, err := NewFetcher(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer closed(f)
	restart := func() {
		for p := range int32(4) {
			f.Add(tp("orders", p), 0)
		}
	}
	restart()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	var r Raw
	seen, sum := 0, 0
	for seen < b.N {
		got, err := f.Poll(context.Background(), 10*time.Second)
		if err != nil || len(got) == 0 {
			b.Fatalf("poll after %d: %v, %v", seen, got, err)
		}
		for i := range got {
			for k := range got[i].Len() {
				got[i].At(k, &r)
				sum += len(r.Value)
			}
			seen += got[i].Len()
		}
		if seen%benchRecords == 0 {
			restart()
		}
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(seen), "allocs/record")
	b.ReportMetric(float64(sum)/float64(seen), "B/value")
}

// BenchmarkFetchedAt is what a record costs once it has been fetched.
func BenchmarkFetchedAt(b *testing.B) {
	cfg := benchCluster(b)
	benchFill(b, cfg, 4000)
	f, err := NewFetcher(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer closed(f)
	f.Add(tp("orders", 0), 0)
	got, err := f.Poll(context.Background(), 10*time.Second)
	if err != nil || len(got) == 0 || got[0].Len() == 0 {
		b.Fatal(got, err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var r Raw
	n := got[0].Len()
	for i := range b.N {
		got[0].At(i%n, &r)
	}
}

// BenchmarkProducer sends records one by one, as the demo's data generator does.
func BenchmarkProducer(b *testing.B) {
	p, err := NewProducer(benchCluster(b))
	if err != nil {
		b.Fatal(err)
	}
	defer closed(p)
	value := bytes.Repeat([]byte("v"), 190)
	b.ReportAllocs()
	var last *Delivery
	for i := range b.N {
		if last, err = p.Send(context.Background(), Message{Topic: "orders", Partition: -1, Key: fmt.Append(nil, i), Value: value}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := last.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
}
