package topics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	m.Run()
}

// A fixture is a fake cluster on a virtual network.
type fixture struct {
	*kfake.Cluster
	t   *testing.T
	vn  kfake.VirtualNetwork
	cfg *kafka.Config
}

func inBubble(t *testing.T, run func(t *testing.T, fx *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fx := &fixture{t: t}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9001), kfake.ListenFn(fx.vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fx.Cluster = c
		fx.cfg, err = kafka.NewConfig(map[string]string{"bootstrap.servers": strings.Join(c.ListenAddrs(), ","), "client.id": "topics"}, fx.vn.DialContext)
		if err != nil {
			t.Fatal(err)
		}
		run(t, fx)
	})
}

// during runs f while run runs, and then ends run.
func (fx *fixture) during(run func(context.Context) error, f func()) {
	fx.t.Helper()
	ctx, cancel := context.WithCancel(fx.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	f()
	cancel()
	if err := <-ended; err != nil {
		fx.t.Errorf("run: %v", err)
	}
}

func (fx *fixture) configTopic() *ConfigTopic {
	return NewConfigTopic(ConfigOptions{
		Spec:  Spec{Name: "connect-configs", ReplicationFactor: 1, Configs: map[string]string{"segment.bytes": "1048576"}},
		Admin: fx.cfg, Consumer: fx.cfg, Producer: fx.cfg, Logger: quiet,
	})
}

func (fx *fixture) statusTopic() *StatusTopic {
	return NewStatusTopic(StatusOptions{
		Spec:  Spec{Name: "connect-status", Partitions: 5, ReplicationFactor: 1},
		Admin: fx.cfg, Consumer: fx.cfg, Producer: fx.cfg, Logger: quiet,
	})
}

func (fx *fixture) ok(what string, err error) {
	fx.t.Helper()
	if err != nil {
		fx.t.Errorf("%s: %v", what, err)
	}
}

func TestConfigTopicThroughARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		ctx := t.Context()
		a := fx.configTopic()
		other := fx.configTopic() // another worker
		var want string
		fx.during(a.Run, func() {
			<-a.Ready()
			if s := a.State(); s.Offset() != -1 || len(s.Connectors()) != 0 {
				t.Errorf("an empty topic gives %q at %d", describe(s), s.Offset())
			}
			fx.ok("put session key", a.PutSessionKey(ctx, SessionKey{Key: []byte("k"), Algorithm: "HmacSHA256", Created: time.Now()}))
			fx.ok("put connector", a.PutConnector(ctx, "a", map[string]string{"v": "1", "topics": "t"}, Paused))
			if got := describe(a.State()); got != "a PAUSED" {
				t.Errorf("read back: %q", got)
			}
			fx.during(other.Run, func() {
				<-other.Ready()
				if c := other.Take(); !c.Empty() {
					t.Errorf("the other worker starts with changes: %+v", c)
				}
				fx.ok("put tasks", a.PutTasks(ctx, "a", []map[string]*string{{"v": new("x"), "none": nil}, {"v": new("y")}}))
				fx.ok("resume", other.PutTargetState(ctx, "a", Started))
				fx.ok("restart", a.PutRestart(ctx, RestartRequest{Connector: "a", IncludeTasks: true}))
				fx.ok("level", a.PutLevel(ctx, "root", "DEBUG"))
				fx.ok("read to end", other.ReadToEnd(ctx))
				<-other.Changed()
				c := other.Take()
				if got := fmt.Sprint(c.Committed, c.Tasks, c.TargetStates, c.Restarts, c.Levels); got != "[a] [a-0 a-1] [a] [{a false true}] map[root:DEBUG]" {
					t.Errorf("the other worker sees %s", got)
				}
				if c := other.Take(); !c.Empty() {
					t.Errorf("taken twice: %+v", c)
				}
			})
			fx.ok("put b", a.PutConnector(ctx, "b", map[string]string{"v": "2"}, ""))
			fx.ok("stop b", a.PutTasks(ctx, "b", nil))
			fx.ok("put c", a.PutConnector(ctx, "c", map[string]string{"v": "3"}, ""))
			fx.ok("remove c", a.RemoveConnector(ctx, "c"))
			want = describe(a.State())
			if want != "a STARTED 2 a-0=x a-1=y applied=1; b STARTED 0 applied=2" {
				t.Errorf("state %q", want)
			}
		})
		b := fx.configTopic()
		fx.during(b.Run, func() {
			<-b.Ready()
			if got := describe(b.State()); got != want || b.State().Offset() != a.State().Offset() || b.State().SessionKey() == nil {
				t.Errorf("after a restart %q at %d, want %q at %d", got, b.State().Offset(), want, a.State().Offset())
			}
			if c := b.Take(); !c.Empty() {
				t.Errorf("changes after a restart: %+v", c)
			}
			if w := b.Configured(); w.Offset != b.State().Offset() || fmt.Sprint(w.Work) != "{[a b] [a-0 a-1]}" {
				t.Errorf("configured %v", w)
			}
		})
		if err := b.PutLevel(ctx, "root", "INFO"); !errors.Is(err, errOver) {
			t.Errorf("a write after the end: %v", err)
		}
		if err := b.ReadToEnd(ctx); !errors.Is(err, errOver) {
			t.Errorf("a read after the end: %v", err)
		}

		admin, err := kafka.NewAdmin(fx.cfg)
		fx.ok("admin", err)
		defer func() { fx.ok("close", admin.Close()) }()
		infos, err := admin.Topics(ctx, "connect-configs")
		fx.ok("topics", err)
		config, err := admin.TopicConfig(ctx, "connect-configs")
		fx.ok("topic config", err)
		if n := len(infos["connect-configs"].Partitions); n != 1 || config["cleanup.policy"] != "compact" || config["segment.bytes"] != "1048576" {
			t.Errorf("the topic has %d partitions and %v", n, config)
		}
	})
}

func TestConfigTopicWithoutBroker(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.configTopic()
		fx.during(a.Run, func() {
			<-a.Ready()
			fx.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				fx.KeepControl()
				return nil, errors.New("the broker drops the connection"), true
			})
			began := time.Now()
			err := a.PutTargetState(t.Context(), "a", Paused)
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > writeLimit+time.Second {
				t.Errorf("after %v: %v; want the deadline after 30 s", took, err)
			}
		})
	})
}

func TestStatusTopic(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		ctx := t.Context()
		task := group.TaskID{Connector: "my-sink", Task: 1}
		a, b := fx.statusTopic(), fx.statusTopic()
		settle := func() {
			fx.ok("flush", a.Flush(ctx))
			fx.ok("flush", b.Flush(ctx))
			fx.ok("read to end", a.ReadToEnd(ctx))
			fx.ok("read to end", b.ReadToEnd(ctx))
		}
		fx.during(a.Run, func() {
			fx.during(b.Run, func() {
				<-a.Ready()
				<-b.Ready()
				a.PutConnector("my-sink", Status{State: StateRunning, Worker: "w1:8083", Generation: 3, Version: "1"})
				a.PutTask(task, Status{State: StateUnassigned, Worker: "w1:8083", Generation: 3})
				a.PutTask(task, Status{State: StateRunning, Worker: "w1:8083", Generation: 3})
				a.PutTopic(TopicStatus{Topic: "orders", Connector: "my-sink", Task: 1, Discovered: time.Now()})
				settle()
				if s, ok := b.Task(task); !ok || s != (Status{State: StateRunning, Worker: "w1:8083", Generation: 3}) {
					t.Errorf("b sees %+v, %v", s, ok)
				}
				if s := b.Topics("my-sink"); len(s) != 1 || s[0].Topic != "orders" || s[0].Task != 1 {
					t.Errorf("b sees topics %+v", s)
				}
				b.PutTask(task, Status{State: StateRunning, Worker: "w2:8083", Generation: 5})
				settle()
				a.PutTaskSafe(task, Status{State: StateFailed, Trace: "late", Worker: "w1:8083", Generation: 4})
				settle()
				if s, _ := b.Task(task); s.Worker != "w2:8083" || s.State != StateRunning {
					t.Errorf("a late FAILED overwrote: %+v", s)
				}
				a.PutTask(task, Status{State: StateFailed, Trace: "boom", Worker: "w1:8083", Generation: 4})
				settle()
				if s, _ := b.Task(task); s.Trace != "boom" {
					t.Errorf("an unconditional FAILED was not written: %+v", s)
				}
				b.DeleteTopic("my-sink", "orders")
				b.PutConnector("my-sink", Status{State: StateDestroyed})
				settle()
				if names, topics := a.Connectors(), a.Topics("my-sink"); len(names)+len(topics) != 0 {
					t.Errorf("after the deletion: %v %v", names, topics)
				}
				b.PutConnector("last", Status{State: StatePaused, Worker: "w2:8083", Generation: 6})
			}) // ends at once, and still writes
			fx.ok("read to end", a.ReadToEnd(ctx))
			if s, ok := a.Connector("last"); !ok || s.State != StatePaused {
				t.Errorf("what was put just before the end: %+v, %v", s, ok)
			}
		})
	})
}

// A status whose write fails is tried again, unless it is overtaken.
func TestStatusRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.statusTopic()
		fx.during(a.Run, func() {
			<-a.Ready()
			var failing atomic.Bool
			failing.Store(true)
			fx.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				fx.KeepControl()
				if !failing.Load() {
					return nil, nil, false
				}
				request := r.(*kmsg.ProduceRequest)
				response := request.ResponseKind().(*kmsg.ProduceResponse)
				for _, topic := range request.Topics {
					rt := kmsg.NewProduceResponseTopic()
					rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
					for _, p := range topic.Partitions {
						rp := kmsg.NewProduceResponseTopicPartition()
						rp.Partition, rp.ErrorCode = p.Partition, kerr.UnknownServerError.Code
						rt.Partitions = append(rt.Partitions, rp)
					}
					response.Topics = append(response.Topics, rt)
				}
				return response, nil, true
			})
			a.PutConnector("a", Status{State: StateRunning, Worker: "w", Generation: 1})
			a.PutConnector("old", Status{State: StateRunning, Worker: "w", Generation: 1})
			time.Sleep(5 * time.Second)
			a.PutConnector("a", Status{State: StateFailed, Worker: "w", Generation: 2})
			time.Sleep(5 * time.Second)
			failing.Store(false)
			time.Sleep(5 * time.Second)
			if s, ok := a.Connector("a"); !ok || s.State != StateFailed {
				t.Errorf("a is %+v, %v; want FAILED", s, ok)
			}
			if s, ok := a.Connector("old"); ok {
				t.Errorf("a status of an older generation was written: %+v", s)
			}
		})
	})
}

func TestUnfitTopics(t *testing.T) {
	tests := []struct {
		spec       Spec
		partitions int32
		policy     string
		want       string // "" for fit
	}{
		{Spec{Kind: KindConfig}, 1, "compact", ""},
		{Spec{Kind: KindOffset}, 25, "compact", ""},
		{Spec{Kind: KindConfig}, 3, "compact", "Topic 'it' supplied via the 'config.storage.topic' property is required to have a single partition in order to guarantee consistency of connector configurations, but found 3 partitions."},
		{Spec{Kind: KindStatus}, 5, "delete", "Topic 'it' supplied via the 'status.storage.topic' property is required to have 'cleanup.policy=compact' to guarantee consistency and durability of connector and task statuses, but found the topic currently has 'cleanup.policy=delete'. Continuing would likely result in eventually losing connector and task statuses and problems restarting this Connect cluster in the future. Change the 'status.storage.topic' property in the Connect worker configurations to use a topic with 'cleanup.policy=compact'."},
		{Spec{Kind: KindOffset}, 1, "compact,delete", "Topic 'it' supplied via the 'offset.storage.topic' property is required to have 'cleanup.policy=compact' to guarantee consistency and durability of source connector offsets, but found the topic currently has 'cleanup.policy=compact,delete'. Continuing would likely result in eventually losing source connector offsets and problems restarting this Connect cluster in the future. Change the 'offset.storage.topic' property in the Connect worker configurations to use a topic with 'cleanup.policy=compact'."},
	}
	for _, tt := range tests {
		inBubble(t, func(t *testing.T, fx *fixture) {
			ctx := t.Context()
			admin, err := kafka.NewAdmin(fx.cfg)
			fx.ok("admin", err)
			defer func() { fx.ok("close", admin.Close()) }()
			fx.ok("create", admin.CreateTopic(ctx, kafka.TopicSpec{Name: "it", Partitions: tt.partitions, ReplicationFactor: 1, Configs: map[string]string{"cleanup.policy": tt.policy}}))
			tt.spec.Name = "it"
			got := ""
			if err := Ensure(ctx, admin, tt.spec); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s topic with %d partitions and %s:\n got %s\nwant %s", tt.spec.Kind, tt.partitions, tt.policy, got, tt.want)
			}
		})
	}
}
