package iceberg

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/internal/kafka"
)

// A Java worker's task joins the group: the task says who it is, brings what it has read
// into the table and the group's offsets, and when it comes back, goes on from there.
func TestFinishForOthers(t *testing.T) {
	inStage(t, func(config map[string]string) { config["iceberg.control.commit.interval-ms"] = "3600000" }, func(s *stage) {
		task := s.task.(connect.Recluse)
		if why, err := task.Others(s.t.Context()); err != nil || why != "" {
			t.Fatalf("alone it says %q, %v", why, err)
		}
		s.mustPoll(20 * time.Second) // all is read, nothing is announced
		leave := s.java()
		if why, err := task.Others(s.t.Context()); err != nil || !strings.Contains(why, "not Firn's") || !strings.Contains(why, "java") {
			t.Errorf("beside Java it says %q, %v", why, err)
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		if err := task.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		s.exactlyOnce("orders")
		s.away(2)
		s.mustPoll(time.Minute)
		s.produce(s.t.Context(), 7)
		leave()
		if why, err := task.Others(s.t.Context()); err != nil || why != "" {
			t.Fatalf("after Java it says %q, %v", why, err)
		}
		s.back(3)
		s.mustPoll(20 * time.Second)
		s.stop()
		s.exactlyOnce("orders")
		s.start()
	})
}

// Others that read already, because they lead the group: what is accepted is finished, and
// when they are gone the task has a coordinator again.
func TestOthersThatRead(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(20 * time.Second)
		leave := s.java()
		s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: 2, Subscribed: s.parts(), Owned: s.parts()})
		s.produce(s.t.Context(), 7)
		s.mustPoll(5 * time.Minute)
		if n := len(s.read(orders)); n != 80 {
			t.Errorf("the table has %d rows beside Java, want the 80 from before", n)
		}
		leave()
		s.mustPoll(20 * time.Second)
		s.exactlyOnce("orders")
	})
}

// A catalog that is slow, beyond what a task has to stop in: the others get nothing before
// the table and the offsets agree.
func TestFinishWithASlowCatalog(t *testing.T) {
	inStage(t, func(config map[string]string) { config["iceberg.control.commit.interval-ms"] = "20000" }, func(s *stage) {
		s.mustPoll(5 * time.Second)
		s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
			if op == icetest.Commit {
				return icetest.Fault{DelayAfter: 20 * time.Second}
			}
			return icetest.Fault{}
		})
		s.mustPoll(20 * time.Second) // the first commit has begun
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		defer cancel()
		if err := s.task.(connect.Recluse).Finish(ctx); err != nil {
			t.Fatal(err)
		}
		s.exactlyOnce("orders")
		s.away(2)
	})
}

// away and back play a generation without the task, and its return.
func (s *stage) away(generation int32) {
	s.t.Helper()
	s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: generation, Subscribed: s.parts()})
	if err := s.task.Close(s.t.Context(), s.parts(), false); err != nil {
		s.t.Fatal(err)
	}
	s.tc.Parts = nil
	s.tc.Members.SetSession(connect.Session{})
}

func (s *stage) back(generation int32) {
	s.t.Helper()
	s.tc.Parts = s.parts()
	s.tc.Members.SetSession(connect.Session{Member: "m2", Generation: generation, Subscribed: s.parts(), Owned: s.parts()})
	if _, err := s.task.Open(s.t.Context(), s.parts()); err != nil {
		s.t.Fatal(err)
	}
}

// java has a member join the group as a Java consumer does, and returns what makes it leave.
func (s *stage) java() (leave func()) {
	s.t.Helper()
	props := map[string]string{"bootstrap.servers": s.tc.Client["bootstrap.servers"], "client.id": "java"}
	cfg, err := kafka.NewConfig(props, s.dial)
	if err != nil {
		s.t.Fatal(err)
	}
	m := kafka.NewMember(kafka.MemberConfig{
		Config: cfg, Group: s.tc.Members.ID(), ProtocolType: "consumer",
		Assign: kafka.ConsumerAssign(func([]string) (map[string]int32, error) { return map[string]int32{"orders": 2}, nil }),
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for joined := false; !joined; {
		switch e := (<-m.Events()).(type) {
		case kafka.Prepare:
			e.Join([]kafka.Protocol{{Name: kafka.RangeName, Metadata: kafka.EncodeSubscription(kafka.Subscription{Topics: []string{"orders"}, Generation: -1})}})
		case kafka.Joined:
			joined = true
		}
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
}
