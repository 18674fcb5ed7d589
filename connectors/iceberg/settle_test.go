package iceberg

import (
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// The group that the broker has knows nothing of what the task has done: as after a crash
// before its offsets were committed.
func TestSettler(t *testing.T) {
	for tables, want := range map[string]int64{"db.orders": 40, "db.orders,db.copies": -1} {
		inStage(t, func(config map[string]string) { config["iceberg.tables"] = tables }, func(s *stage) {
			t, ctx := s.t, s.t.Context()
			if err := s.poll(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			cfg, err := kafka.NewConfig(s.tc.Client, s.dial)
			if err != nil {
				t.Fatal(err)
			}
			admin, err := kafka.NewAdmin(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close() //nolint:errcheck // nothing is pending
			c := s.connector()
			settler, err := c.Settler(ctx, s.config, "connect-orders", admin)
			if err != nil {
				t.Fatal(err)
			}
			standings, all, err := settler.Standings(ctx)
			if err != nil || !all || len(standings) != 2 {
				t.Fatalf("%+v, %v, %v", standings, all, err)
			}
			for _, st := range standings {
				if st.Offset != -1 || st.Ahead() != 40 || len(st.Tables) != settler.Tables() {
					t.Errorf("%s: %+v", tables, st)
				}
			}
			goal, err := settler.Goal(ctx, standings, all)
			if err != nil || goal[connect.TopicPartition{Topic: "orders", Partition: 1}] != 40 {
				t.Errorf("goal %v, %v", goal, err)
			}
			if reached, err := settler.Reached(ctx, goal); reached || err != nil {
				t.Errorf("reached before: %v, %v", reached, err)
			}
			if want < 0 {
				return // several tables: their floors do not say that all is done below them
			}
			if err := settler.Forward(ctx, standings); err != nil {
				t.Fatal(err)
			}
			if standings, _, err = settler.Standings(ctx); err != nil || standings[0].Offset != want || standings[0].Ahead() != -1 {
				t.Errorf("after: %+v, %v", standings, err)
			}
			if reached, err := settler.Reached(ctx, goal); !reached || err != nil {
				t.Errorf("reached after: %v, %v", reached, err)
			}
		})
	}
}

func TestAhead(t *testing.T) {
	for _, tt := range []struct {
		offset int64
		tables map[string]int64
		want   int64
	}{
		{10, nil, -1},
		{10, map[string]int64{"a": 10, "b": 3}, -1},
		{10, map[string]int64{"a": 12, "b": 30, "c": 4}, 30},
		{-1, map[string]int64{"a": 0}, 0},
	} {
		if got := (Standing{Offset: tt.offset, Tables: tt.tables}).Ahead(); got != tt.want {
			t.Errorf("%+v: ahead %d", tt, got)
		}
	}
}
