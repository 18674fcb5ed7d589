package commit

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

func TestKafkaJava(t *testing.T) {
	withBroker(t, func(t *testing.T, b broker) {
		ctx, cfg := t.Context(), b.cfg
		j := &KafkaJava{Admin: b.admin, Committed: cfg, Topic: "control", Consumers: "connect-s", Group: "connect-s", Logger: slog.New(slog.DiscardHandler)}
		if p, err := j.Position(ctx); err != nil || len(p) != 0 {
			t.Errorf("position at first: %v, %v", p, err)
		}
		producer, err := kafka.NewProducer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := producer.SendAll(ctx, []kafka.Message{{Topic: "control", Partition: int32(i % 2), Value: fmt.Append(nil, i)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := producer.Close(); err != nil {
			t.Fatal(err)
		}
		starts, err := j.Starts(ctx)
		if want := (Positions{0: 0, 1: 0}); err != nil || !maps.Equal(starts, want) {
			t.Errorf("starts %v, %v", starts, err)
		}
		ends, err := j.Ends(ctx)
		if want := (Positions{0: 5, 1: 5}); err != nil || !maps.Equal(ends, want) {
			t.Errorf("ends %v, %v", ends, err)
		}
		var got []string
		err = j.Read(ctx, Positions{0: 3, 1: 4}, Positions{0: 4, 1: 5}, func(partition int32, offset int64, value []byte) error {
			got = append(got, fmt.Sprintf("%d-%d:%s", partition, offset, value))
			return nil
		})
		if all := strings.Join(got, " "); err != nil || len(got) != 2 || !strings.Contains(all, "0-3:6") || !strings.Contains(all, "1-4:9") {
			t.Errorf("read %q, %v", got, err)
		}
		if err := j.Read(ctx, ends, ends, nil); err != nil {
			t.Errorf("nothing to read: %v", err)
		}
		if err := j.SetPosition(ctx, ends); err != nil {
			t.Fatal(err)
		}
		if p, err := j.Position(ctx); err != nil || !maps.Equal(p, ends) {
			t.Errorf("position %v, %v", p, err)
		}
		if found, err := j.Strangers(ctx); err != nil || len(found.Names) != 0 {
			t.Errorf("strangers in groups without members: %+v, %v", found, err)
		}
		defer javaMember(t, cfg, "connect-s-coord")()
		if found, err := j.Strangers(ctx); err != nil || len(found.Names) != 1 || !found.Hold {
			t.Errorf("with a coordinator of Java's: %+v, %v", found, err)
		}
		if err := j.SetPosition(ctx, ends); err == nil {
			t.Error("the position was set under the feet of Java's coordinator")
		}
	}, "control")
}

// javaMember joins a group as a Java consumer does, and returns what makes it leave.
func javaMember(t *testing.T, cfg *kafka.Config, group string) (leave func()) {
	t.Helper()
	m := kafka.NewMember(kafka.MemberConfig{
		Config: cfg, Group: group, ProtocolType: "consumer",
		Assign: kafka.ConsumerAssign(func([]string) (map[string]int32, error) { return map[string]int32{"control": 2}, nil }),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for joined := false; !joined; {
		switch e := (<-m.Events()).(type) {
		case kafka.Prepare:
			e.Join([]kafka.Protocol{{Name: kafka.RangeName, Metadata: kafka.EncodeSubscription(kafka.Subscription{Topics: []string{"control"}, Generation: -1})}})
		case kafka.Joined:
			joined = true
		}
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// consumers is the consumer group as the task sees it.
type consumers struct {
	offsets map[connect.TopicPartition]int64
	err     error
}

func (c *consumers) ID() string               { return "connect-s" }
func (c *consumers) Session() connect.Session { return connect.Session{Member: "m"} }

func (c *consumers) Committed(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return c.offsets, nil
}

func (c *consumers) Commit(_ context.Context, _ connect.Session, offsets map[connect.TopicPartition]int64) error {
	if c.err == nil {
		c.offsets = offsets
	}
	return c.err
}

func TestTabularGroup(t *testing.T) {
	withBroker(t, func(t *testing.T, b broker) {
		tp := connect.TopicPartition{Topic: "orders", Partition: 1}
		members := &consumers{offsets: map[connect.TopicPartition]int64{tp: 3}}
		g := NewTabularGroup(members, "cg-control-s", b.admin)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got, err := g.Committed(ctx, []connect.TopicPartition{tp}); err != nil || len(got) != 0 || g.ID() != "cg-control-s" {
			t.Errorf("the consumer group's offsets were taken for the sink's: %v, %v", got, err)
		}
		if err := g.Commit(ctx, g.Session(), map[connect.TopicPartition]int64{tp: 7}); err != nil || members.offsets[tp] != 7 {
			t.Errorf("committed %v, %v", members.offsets, err)
		}
		members.err = connect.ErrFenced
		if err := g.Commit(ctx, g.Session(), map[connect.TopicPartition]int64{tp: 9}); err == nil {
			t.Error("a member of an old generation moved the sink's offsets")
		}
		if got, err := g.Committed(ctx, []connect.TopicPartition{tp}); err != nil || got[tp] != 7 {
			t.Errorf("committed %v, %v; want 7", got, err)
		}
	}, "orders")
}
