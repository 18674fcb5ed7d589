package sink

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	m.Run()
}

// A cluster is a fake Kafka on a virtual network, in fake time, with the real client.
type cluster struct {
	*kfake.Cluster
	t  *testing.T
	vn kfake.VirtualNetwork
}

func inCluster(t *testing.T, run func(t *testing.T, c *cluster), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t}
		fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.ListenFn(c.vn.Listen)}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		defer fake.Close()
		c.Cluster = fake
		run(t, c)
	})
}

func (c *cluster) config(client string, pairs ...string) *kafka.Config {
	c.t.Helper()
	props := map[string]string{"bootstrap.servers": strings.Join(c.ListenAddrs(), ","), "client.id": client, "auto.offset.reset": "earliest", "session.timeout.ms": "10000"}
	for i := 0; i < len(pairs); i += 2 {
		props[pairs[i]] = pairs[i+1]
	}
	cfg, err := kafka.NewConfig(props, c.vn.DialContext)
	if err != nil {
		c.t.Fatal(err)
	}
	return cfg
}

func (c *cluster) produce(p tp, from, to int) {
	c.t.Helper()
	out, err := kafka.NewProducer(c.config("producer"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer closing(c.t, out)
	var msgs []kafka.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, kafka.Message{Topic: p.Topic, Partition: p.Partition, Key: []byte("k"), Value: fmt.Appendf(nil, "%s@%d", p, i), Timestamp: time.UnixMilli(1500), Headers: []connect.Header{{Key: "h", Value: []byte("v")}}})
	}
	if err := out.SendAll(c.t.Context(), msgs); err != nil {
		c.t.Fatal(err)
	}
}

func closing(t *testing.T, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Errorf("close %T: %v", c, err)
	}
}

// A run is one task in the cluster.
type run struct {
	t      *testing.T
	r      *recorder
	task   *Task
	cancel context.CancelFunc
	done   chan error
}

func (c *cluster) start(id int, edit func(r *recorder, cfg *Config)) *run {
	c.t.Helper()
	x := &run{t: c.t, r: newRecorder(), done: make(chan error, 1)}
	cfg := Config{
		Connector: "c", TaskID: id, Task: x.r, Key: plain{}, Value: plain{}, KeyClass: "KeyConverter", ValueClass: "ValueConverter", Topics: []string{"a", "b"},
		Consumer: c.config(fmt.Sprintf("connector-consumer-c-%d", id)), FlushInterval: time.Second, MetadataMaxAge: 10 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(x.r, &cfg)
	}
	x.task = New(cfg)
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(c.t.Context())
	go func() { x.done <- x.task.Run(ctx) }()
	return x
}

func (x *run) stop() {
	x.t.Helper()
	x.cancel()
	if err := <-x.done; err != nil {
		x.t.Errorf("Run: %v", err)
	}
}

func (x *run) total() (n int) {
	for _, p := range []tp{a0, a1, b0} {
		n += len(x.r.values(p))
	}
	return n
}

func (c *cluster) committed(tps ...tp) string {
	c.t.Helper()
	a, err := kafka.NewAdmin(c.config("admin"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer closing(c.t, a)
	o, err := a.GroupOffsets(c.t.Context(), "connect-c", tps, true)
	if err != nil {
		c.t.Fatal(err)
	}
	return render(o)
}

func TestClusterReadsAndCommits(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.produce(a0, 0, 1200)
		c.produce(a1, 0, 3)
		x := c.start(0, nil)
		time.Sleep(10 * time.Second)
		c.produce(a0, 1200, 1210)
		time.Sleep(time.Second)
		x.stop()
		for p, n := range map[tp]int{a0: 1210, a1: 3} {
			got := x.r.values(p)
			if len(got) != n {
				t.Errorf("%s: got %d records, want %d", p, len(got), n)
			}
			for i, v := range got {
				if want := fmt.Sprintf("%s@%d", p, i); v != want {
					t.Fatalf("%s: record %d is %q", p, i, v)
				}
			}
		}
		if got, want := c.committed(a0, a1), " a-0=1210 a-1=3"; got != want {
			t.Errorf("committed: got %q, want %q", got, want)
		}
		y := c.start(0, nil) // goes on where the first one stopped
		time.Sleep(5 * time.Second)
		y.stop()
		if n := y.total(); n != 0 {
			t.Errorf("%d records were read again after a clean stop", n)
		}
	}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(1, "b"))
}

// TestClusterRebalance: a second task comes and goes; what the first one keeps is never
// closed, and every record is read by one of them.
func TestClusterRebalance(t *testing.T) {
	for _, strategy := range []string{"", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"} {
		t.Run("strategy "+strategy, func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				edit := func(_ *recorder, cfg *Config) {
					pairs := []string{}
					if strategy != "" {
						pairs = append(pairs, "partition.assignment.strategy", strategy)
					}
					cfg.Consumer = c.config(fmt.Sprintf("connector-consumer-c-%d", cfg.TaskID), pairs...)
				}
				x := c.start(0, edit)
				time.Sleep(10 * time.Second)
				y := c.start(1, edit)
				time.Sleep(20 * time.Second)
				kept := x.r.tc.Group().Session().Owned
				moved := y.r.tc.Group().Session().Owned
				if len(kept)+len(moved) != 3 || len(kept) == 0 || len(moved) == 0 {
					t.Fatalf("assignment: %v and %v, want the three partitions divided", kept, moved)
				}
				for _, p := range []tp{a0, a1, b0} {
					c.produce(p, 0, 50)
				}
				time.Sleep(10 * time.Second)
				y.stop()
				time.Sleep(20 * time.Second)
				for _, p := range []tp{a0, a1, b0} {
					c.produce(p, 50, 60)
				}
				time.Sleep(10 * time.Second)
				x.stop()
				for _, call := range x.r.take() {
					for _, p := range kept {
						if strings.HasPrefix(call, "close") && strings.Contains(call, p.String()) {
							t.Errorf("%q, although the task kept %s all the time", call, p)
						}
					}
				}
				for _, p := range []tp{a0, a1, b0} {
					got := append(y.r.values(p), x.r.values(p)...)
					slices.Sort(got)
					if len(got) != 60 || len(slices.Compact(got)) != 60 {
						t.Errorf("%s: %d records between the two, want each of 60 once", p, len(got))
					}
				}
			}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(1, "b"))
		})
	}
}

func TestClusterNewTopicMatchesRegex(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		x := c.start(0, func(_ *recorder, cfg *Config) { cfg.Topics, cfg.TopicsRegex = nil, "a|b" })
		c.produce(a0, 0, 5)
		time.Sleep(20 * time.Second)
		a, err := kafka.NewAdmin(c.config("admin"))
		if err != nil {
			t.Fatal(err)
		}
		defer closing(c.t, a)
		if err := a.CreateTopic(t.Context(), kafka.TopicSpec{Name: "b", Partitions: 1, ReplicationFactor: 1}); err != nil {
			t.Fatal(err)
		}
		c.produce(b0, 0, 5)
		time.Sleep(30 * time.Second)
		x.stop()
		if n := x.total(); n != 10 {
			t.Errorf("got %d records, want 5 of each topic", n)
		}
		if got, want := x.r.take(), []string{"start", "open [a-0 a-1]", "open [b-0]", "stop"}; !slices.Equal(got, want) {
			t.Errorf("calls: got %q, want %q", got, want)
		}
	}, kfake.SeedTopics(2, "a"))
}

func TestClusterDeadLetters(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		c.produce(a0, 0, 5)
		x := c.start(3, func(_ *recorder, cfg *Config) {
			cfg.Value = plain{func(_ context.Context, data string) error {
				if data == "a-0@2" {
					return &connect.DataError{Msg: "bad bytes"}
				}
				return nil
			}}
			cfg.Faults.TolerateAll, cfg.Faults.DLQTopic, cfg.Faults.DLQReplication, cfg.Faults.DLQHeaders = true, "dlq", 1, true
			cfg.Faults.Producer, cfg.Faults.Admin = c.config("connector-dlq-producer-c-3"), c.config("connector-dlq-adminclient-c")
		})
		time.Sleep(10 * time.Second)
		x.stop()
		if n := x.total(); n != 4 {
			t.Errorf("got %d records, want 4", n)
		}
		if got := c.committed(a0); got != " a-0=5" {
			t.Errorf("committed: got %q, want all 5", got)
		}
		f, err := kafka.NewFetcher(c.config("reader"))
		if err != nil {
			t.Fatal(err)
		}
		defer closing(c.t, f)
		f.Add(tp{Topic: "dlq"}, 0)
		got, err := f.Poll(t.Context(), 5*time.Second)
		if err != nil || len(got) != 1 || got[0].Len() != 1 {
			t.Fatalf("dead letters: got %+v, %v, want one record", got, err)
		}
		var raw kafka.Raw
		got[0].At(0, &raw)
		headers := map[string]string{}
		for _, h := range raw.Headers {
			headers[strings.TrimPrefix(h.Key, "__connect.errors.")] = string(h.Value)
		}
		want := map[string]string{
			"h": "v", "topic": "a", "partition": "0", "offset": "2", "connector.name": "c", "task.id": "3", "stage": "VALUE_CONVERTER", "class.name": "ValueConverter",
			"exception.class.name": "org.apache.kafka.connect.errors.DataException", "exception.message": "bad bytes",
			"exception.stacktrace": "org.apache.kafka.connect.errors.DataException: bad bytes\n\tat ValueConverter(VALUE_CONVERTER)\n",
		}
		if string(raw.Key) != "k" || string(raw.Value) != "a-0@2" || raw.Timestamp != 1500 || !maps.Equal(headers, want) {
			t.Errorf("got key %q, value %q, timestamp %d, headers %v\nwant headers %v", raw.Key, raw.Value, raw.Timestamp, headers, want)
		}
	}, kfake.SeedTopics(1, "a"))
}

func TestClusterDeadLetterTopicCannotBeMade(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		x := c.start(0, func(_ *recorder, cfg *Config) {
			cfg.Faults.DLQTopic, cfg.Faults.DLQReplication = "dlq", 3
			cfg.Faults.Producer, cfg.Faults.Admin = c.config("p"), c.config("a")
		})
		err := <-x.done
		if err == nil || !strings.HasPrefix(err.Error(), "Could not initialize dead letter queue with topic=dlq: ") {
			t.Errorf("Run: got %v", err)
		}
	}, kfake.SeedTopics(1, "a"))
}
