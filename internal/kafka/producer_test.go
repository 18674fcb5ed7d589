package kafka

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firn-io/firn/connect"
)

// values reads a partition's values from the start up to its end.
func (fx *fixture) values(topic string, partition int32) []string {
	fx.t.Helper()
	f, err := NewFetcher(fx.config("reader"))
	if err != nil {
		fx.t.Fatal(err)
	}
	defer closed(f)
	a := fx.admin()
	defer closed(a)
	at := tp(topic, partition)
	end, err := a.Offsets(fx.t.Context(), []connect.TopicPartition{at}, Latest)
	if err != nil {
		fx.t.Fatal(err)
	}
	f.Add(at, 0)
	var out []string
	for next := int64(0); next < end[at]; {
		got, err := f.Poll(soon(fx.t), 30*time.Second)
		if err != nil || len(got) == 0 {
			fx.t.Fatalf("poll: %v, %v after %d values", got, err, len(out))
		}
		var r Raw
		for _, g := range got {
			if g.Err != nil {
				fx.t.Fatal(g.Err)
			}
			for i := range g.Len() {
				g.At(i, &r)
				out = append(out, string(r.Value))
			}
			next = g.Next
		}
	}
	return out
}

func TestProducerKeepsOrderThroughTrouble(t *testing.T) {
	tests := []struct {
		name  string
		fault func(fx *fixture)
		props []string
	}{
		{"none", func(*fixture) {}, nil},
		{"leader moves", func(fx *fixture) { fx.fault(kmsg.Produce, kerr.NotLeaderForPartition, 3) }, nil},
		{"too few replicas", func(fx *fixture) { fx.fault(kmsg.Produce, kerr.NotEnoughReplicas, 2) }, nil},
		{"stored, but the answer says timed out", func(fx *fixture) { fx.fault(kmsg.Produce, kerr.RequestTimedOut, 2) }, nil},
		{"metadata not there yet", func(fx *fixture) { fx.fault(kmsg.Metadata, kerr.LeaderNotAvailable, 3) }, nil},
		{"producer forgotten", func(fx *fixture) { fx.fault(kmsg.Produce, kerr.UnknownProducerID, 1) }, nil},
		{"not idempotent", func(fx *fixture) { fx.fault(kmsg.Produce, kerr.NotLeaderForPartition, 1) }, []string{"enable.idempotence", "false"}},
		{"no id to be had", func(fx *fixture) { fx.fault(kmsg.InitProducerID, kerr.ClusterAuthorizationFailed, -1) }, nil},
		{"gzip", func(*fixture) {}, []string{"compression.type", "gzip"}},
		{"lz4", func(*fixture) {}, []string{"compression.type", "lz4"}},
		{"snappy", func(*fixture) {}, []string{"compression.type", "snappy"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fx *fixture) {
				tt.fault(fx)
				p, err := NewProducer(fx.config("p", tt.props...))
				if err != nil {
					t.Fatal(err)
				}
				var all []*Delivery
				for _, m := range numbered("orders", 0, 0, 100) {
					d, err := p.Send(t.Context(), m)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, d)
				}
				for i, d := range all {
					if at, err := d.Wait(soon(t)); err != nil || at != int64(i) && at != -1 {
						t.Fatalf("record %d stored at %d, %v", i, at, err)
					}
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				got := fx.values("orders", 0)
				for i := range 100 {
					if len(got) != 100 || got[i] != strconv.Itoa(i) {
						t.Fatalf("stored %d: %v", len(got), got)
					}
				}
			}, kfake.SeedTopics(1, "orders"))
		})
	}
}

func (fx *fixture) fault(key kmsg.Key, err *kerr.Error, times int) *kfake.FaultHandle {
	return fx.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: times})
}

func TestProducerSurvivesCutConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		p, err := NewProducer(fx.config("p"))
		if err != nil {
			t.Fatal(err)
		}
		defer closed(p)
		for i := range 20 {
			if i%5 == 0 {
				fx.plug("p", false)
				time.AfterFunc(3*time.Second, func() { fx.plug("p", true) })
			}
			if err := p.SendAll(soon(t), numbered("orders", 0, i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(fx.values("orders", 0), " "); got != "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19" {
			t.Errorf("stored %s", got)
		}
	}, kfake.SeedTopics(1, "orders"))
}

func TestProducerFailures(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		p, err := NewProducer(fx.config("p", "delivery.timeout.ms", "20000", "max.block.ms", "5000", "max.request.size", "1000"))
		if err != nil {
			t.Fatal(err)
		}
		defer closed(p)
		if _, err := p.Send(t.Context(), Message{Topic: "orders", Value: make([]byte, 2000)}); !errors.Is(err, ErrRecordTooLarge) ||
			!strings.Contains(err.Error(), "which is larger than 1000, which is the value of the max.request.size configuration.") {
			t.Errorf("a large record: %v", err)
		}
		start := time.Now()
		err = p.SendAll(t.Context(), []Message{{Topic: "nowhere", Partition: -1}})
		if !errors.Is(err, ErrUnknownTopic) || !strings.Contains(err.Error(), "Topic nowhere not present in metadata after 5000 ms.") {
			t.Errorf("an unknown topic: %v", err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("an unknown topic took %v", took)
		}
		h := fx.fault(kmsg.Produce, kerr.NotLeaderForPartition, -1)
		start = time.Now()
		if err := p.SendAll(t.Context(), numbered("orders", 0, 0, 1)); err == nil || !strings.Contains(err.Error(), "delivery.timeout.ms") {
			t.Errorf("a partition without leader: %v", err)
		}
		if took := time.Since(start); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("a partition without leader took %v", took)
		}
		h.Remove()
		fx.fault(kmsg.Produce, kerr.TopicAuthorizationFailed, 1)
		if err := p.SendAll(t.Context(), numbered("orders", 0, 0, 1)); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("not allowed: %v", err)
		}
		if err := p.SendAll(soon(t), numbered("orders", 0, 7, 2)); err != nil {
			t.Errorf("after all that: %v", err)
		}
		if got := fx.values("orders", 0); len(got) != 2 || got[0] != "7" {
			t.Errorf("stored %v", got)
		}
	}, kfake.SeedTopics(1, "orders"))
}

// The expected hashes are those of Kafka's own UtilsTest.
func TestMurmur2(t *testing.T) {
	for data, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(data))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", data, got, want)
		}
	}
}

func TestProducerPartitions(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		var msgs []Message
		for i := range 50 {
			msgs = append(msgs, Message{Topic: "orders", Partition: -1, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
		}
		fx.produce(msgs...)
		for p := range int32(4) {
			for _, v := range fx.values("orders", p) {
				if want := int32(murmur2([]byte(v))&0x7fffffff) % 4; want != p {
					t.Errorf("key %s went to %d, want %d", v, p, want)
				}
			}
		}
	}, kfake.SeedTopics(4, "orders"))
}

// Sarama's zstd encoder outlives a bubble, so that this runs in real time.
func TestZstd(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cfg, err := NewConfig(map[string]string{"bootstrap.servers": c.ListenAddrs()[0], "compression.type": "zstd"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(p)
	if err := p.SendAll(t.Context(), numbered("orders", 0, 0, 100)); err != nil {
		t.Fatal(err)
	}
	f, err := NewFetcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(f)
	f.Add(tp("orders", 0), 98)
	got, err := f.Poll(t.Context(), 10*time.Second)
	if err != nil || len(got) != 1 || got[0].Len() != 2 {
		t.Fatalf("got %v, %v; want 2 records", got, err)
	}
}
