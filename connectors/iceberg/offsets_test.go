package iceberg

import (
	"maps"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// TestTabularOffsets sets the offsets of a Tabular sink back, as the worker does for PATCH
// and DELETE: its floors, its consumer group, and the group that its tasks begin from.
func TestTabularOffsets(t *testing.T) {
	inStage(t, func(c map[string]string) { c["name"], c["connector.class"] = "test", TabularClass }, func(s *stage) {
		s.mustPoll(3 * time.Second)
		s.stop()
		client, err := kafka.NewConfig(s.tc.Client, s.dial)
		if err != nil {
			s.t.Fatal(err)
		}
		admin, err := kafka.NewAdmin(client)
		if err != nil {
			s.t.Fatal(err)
		}
		defer admin.Close() //nolint:errcheck // nothing is pending
		c := s.connector()
		group, _, err := c.OffsetGroup(s.config)
		if err != nil || group != "cg-control-test" {
			s.t.Fatalf("offsets are in group %q, %v", group, err)
		}
		first, second := s.parts()[0], s.parts()[1]
		end := map[connect.TopicPartition]int64{first: 40, second: 40}
		if got, err := admin.GroupOffsets(s.t.Context(), group, nil, false); err != nil || !maps.Equal(got, end) {
			s.t.Fatalf("group %s has %v, %v, want %v", group, got, err, end)
		}
		back := int64(30)
		set := func(offsets map[connect.TopicPartition]*int64, groups map[connect.TopicPartition]int64) {
			if ok, err := c.AlterOffsets(s.t.Context(), s.config, offsets); !ok || err != nil {
				s.t.Fatalf("AlterOffsets = %v, %v", ok, err)
			}
			if err := admin.AlterGroupOffsets(s.t.Context(), group, groups); err != nil {
				s.t.Fatal(err)
			}
			s.tc.Members.SetOffsets(groups)
		}
		set(map[connect.TopicPartition]*int64{first: &back}, map[connect.TopicPartition]int64{first: back, second: 40})
		s.start()
		s.mustPoll(3 * time.Second)
		s.holds(orders, func(p connect.TopicPartition, o int64) int {
			if p == first && o >= back {
				return 2
			}
			return 1
		})
		s.stop()
		set(map[connect.TopicPartition]*int64{first: nil, second: nil}, nil)
		if err := admin.DeleteGroup(s.t.Context(), group); err != nil {
			s.t.Fatal(err)
		}
		s.tc.Members.SetOffsets(map[connect.TopicPartition]int64{})
		s.start()
		s.mustPoll(3 * time.Second)
		s.holds(orders, func(p connect.TopicPartition, o int64) int {
			if p == first && o >= back {
				return 3
			}
			return 2
		})
	})
}

func TestOffsetGroup(t *testing.T) {
	for _, tt := range []struct {
		raw          map[string]string
		group, kafka string
	}{
		{with("connector.class", ApacheClass, "iceberg.control.group-id", "x"), "", ""},
		{with("connector.class", TabularClass), "cg-control-orders", ""},
		{with("connector.class", TabularClass, "iceberg.control.group-id", "x", "iceberg.kafka.bootstrap.servers", "b:1"), "x", "b:1"},
	} {
		group, client, err := new(Connector).OffsetGroup(tt.raw)
		if err != nil || group != tt.group || client["bootstrap.servers"] != tt.kafka {
			t.Errorf("%v: got group %q by %v, %v; want %q by %q", tt.raw, group, client, err, tt.group, tt.kafka)
		}
	}
}
