package iceberg

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A Java worker has the connector's first partition, so that Firn has no coordinator: the
// task waits for it to go, then fails and says who is there.
func TestFirstPartitionIsAnothers(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		s.loseFirst(2)
		s.mustPoll(time.Minute) // another task of Firn's has it

		leave := s.java()
		s.loseFirst(3)
		s.mustPoll(30 * time.Second)
		leave()
		s.mustPoll(2 * time.Minute)

		defer s.java()()
		s.loseFirst(4)
		began := time.Now()
		var err error
		for err == nil && time.Since(began) < 3*time.Minute {
			err = s.poll(time.Second)
		}
		if err == nil || !strings.Contains(err.Error(), "has members that are not Firn's") || !strings.Contains(err.Error(), "java") {
			t.Errorf("the task says %v", err)
		}
		if took := time.Since(began); took < 90*time.Second || took > 2*time.Minute {
			t.Errorf("it has waited for %s", took)
		}
	})
}

// loseFirst begins a generation in which the first partition is another member's.
func (s *stage) loseFirst(generation int32) {
	s.t.Helper()
	parts := s.parts()
	s.tc.Parts = parts[1:]
	s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: generation, Subscribed: parts, Owned: parts[1:]})
	if err := s.task.Close(s.t.Context(), parts[:1], false); err != nil {
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
