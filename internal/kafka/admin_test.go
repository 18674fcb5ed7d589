package kafka

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firn-io/firn/connect"
)

func TestAdminTopics(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, ctx := fx.admin(), t.Context()
		defer closed(a)
		if id, err := a.ClusterID(ctx); err != nil || id != "testers" {
			t.Errorf("cluster id %q, %v", id, err)
		}
		spec := TopicSpec{Name: "config", Partitions: 1, ReplicationFactor: 3, Configs: map[string]string{"cleanup.policy": "compact"}}
		fx.fault(kmsg.CreateTopics, kerr.NotController, 1)
		if err := a.CreateTopic(ctx, spec); err != nil {
			t.Fatal(err)
		}
		if err := a.CreateTopic(ctx, spec); !errors.Is(err, ErrTopicExists) {
			t.Errorf("created twice: %v", err)
		}
		if got, err := a.TopicConfig(ctx, "config"); err != nil || got["cleanup.policy"] != "compact" {
			t.Errorf("config %v, %v", got, err)
		}
		if _, err := a.TopicConfig(ctx, "nowhere"); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("config of an unknown topic: %v", err)
		}
		all, err := a.Topics(ctx)
		if err != nil || len(all) != 2 || fmt.Sprint(all["orders"].Partitions) != "[0 1]" || all["orders"].ID == [16]byte{} {
			t.Errorf("all topics: %v, %v", all, err)
		}
		some, err := a.Topics(ctx, "orders", "nowhere")
		if err != nil || len(some) != 1 {
			t.Errorf("some topics: %v, %v", some, err)
		}
		if err := a.DeleteTopic(ctx, "config"); err != nil {
			t.Error(err)
		}
		if err := a.DeleteTopic(ctx, "config"); !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("deleted twice: %v", err)
		}
	}, kfake.SeedTopics(2, "orders"), kfake.ClusterID("testers"))
}

func TestAdminOffsets(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, ctx := fx.admin(), t.Context()
		defer closed(a)
		began := time.Now()
		fx.produce(numbered("orders", 0, 0, 5)...)
		time.Sleep(time.Minute)
		fx.produce(numbered("orders", 1, 0, 3)...)
		if err := fx.DeleteRecords("orders", 0, 2); err != nil {
			t.Fatal(err)
		}
		both := []connect.TopicPartition{tp("orders", 0), tp("orders", 1)}
		for at, want := range map[int64]string{
			Earliest: "map[orders-0:2 orders-1:0]", Latest: "map[orders-0:5 orders-1:3]", began.Add(time.Second).UnixMilli(): "map[orders-0:-1 orders-1:0]",
		} {
			fx.fault(kmsg.ListOffsets, kerr.NotLeaderForPartition, 1)
			if got, err := a.Offsets(ctx, both, at); err != nil || fmt.Sprint(got) != want {
				t.Errorf("offsets at %d: %v, %v; want %s", at, got, err, want)
			}
		}
		start := time.Now()
		if _, err := a.Offsets(ctx, []connect.TopicPartition{tp("nowhere", 0)}, Latest); !errors.Is(err, ErrUnknownTopic) || time.Since(start) < time.Minute {
			t.Errorf("an unknown topic: %v after %v", err, time.Since(start))
		}
	}, kfake.SeedTopics(2, "orders"))
}

func TestAdminGroups(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, ctx := fx.admin(), t.Context()
		defer closed(a)
		if got, err := a.GroupOffsets(ctx, "cluster", nil, true); err != nil || len(got) != 0 {
			t.Errorf("offsets of an unknown group: %v, %v", got, err)
		}
		if err := a.DeleteGroupOffsets(ctx, "cluster", []connect.TopicPartition{tp("orders", 0)}); err != nil {
			t.Errorf("delete offsets of an unknown group: %v", err)
		}
		if _, err := a.DescribeGroup(ctx, "cluster"); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("describe an unknown group: %v", err)
		}
		if err := a.DeleteGroup(ctx, "cluster"); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("delete an unknown group: %v", err)
		}
		set := map[connect.TopicPartition]int64{tp("orders", 0): 7, tp("orders", 1): 8}
		fx.fault(kmsg.OffsetCommit, kerr.NotCoordinator, 1)
		if err := a.AlterGroupOffsets(ctx, "cluster", set); err != nil {
			t.Error(err)
		}
		if got, err := a.GroupOffsets(ctx, "cluster", nil, false); err != nil || fmt.Sprint(got) != fmt.Sprint(set) {
			t.Errorf("offsets %v, %v; want %v", got, err, set)
		}
		p := fx.player("a", 0)
		time.Sleep(10 * time.Second)
		if err := a.AlterGroupOffsets(ctx, "cluster", set); !errors.Is(err, ErrGroupInUse) {
			t.Errorf("alter offsets of a group with members: %v", err)
		}
		if err := a.DeleteGroup(ctx, "cluster"); !errors.Is(err, ErrGroupInUse) {
			t.Errorf("delete a group with members: %v", err)
		}
		info, err := a.DescribeGroup(ctx, "cluster")
		if err != nil || info.State != "Stable" || info.ProtocolType != "connect" || string(info.Members[p.joined().MemberID].Metadata) != "a" {
			t.Errorf("described: %+v, %v", info, err)
		}
		p.end(t)
		if err := a.DeleteGroupOffsets(ctx, "cluster", []connect.TopicPartition{tp("orders", 0)}); err != nil {
			t.Error(err)
		}
		if got, err := a.GroupOffsets(ctx, "cluster", []connect.TopicPartition{tp("orders", 0), tp("orders", 1)}, true); err != nil || fmt.Sprint(got) != "map[orders-1:8]" {
			t.Errorf("offsets %v, %v", got, err)
		}
		if err := a.DeleteGroup(ctx, "cluster"); err != nil {
			t.Error(err)
		}
	}, kfake.SeedTopics(2, "orders"))
}

func TestAdminGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.admin()
		defer closed(a)
		fx.plug("admin", false)
		start := time.Now()
		if _, err := a.Topics(t.Context()); err == nil || time.Since(start) < 59*time.Second || time.Since(start) > 62*time.Second {
			t.Errorf("unplugged: %v after %v, want default.api.timeout.ms", err, time.Since(start))
		}
	})
}
