package iceberg

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// byPartition routes partition 0 to db.orders and 1 to db.b.
func byPartition(config map[string]string) {
	config["iceberg.tables"] = "db.orders,db.b"
	config["iceberg.tables.route-field"] = "p"
	config["iceberg.table.db.orders.route-regex"] = "0"
	config["iceberg.table.db.b.route-regex"] = "1"
}

// has tells how many records of a partition are in a table, and fails if one is twice.
func (s *stage) has(name string, partition int32) int {
	s.t.Helper()
	tbl, err := s.catalog.Peek(table.Identifier{"db", name})
	if err != nil {
		return 0
	}
	counts, err := icetest.CoordinateCounts(s.t.Context(), tbl, "", "p", "o")
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for c, times := range counts {
		if times != 1 {
			s.t.Errorf("%v is in %s %d times", c, name, times)
		}
		if c.Partition == partition {
			n++
		}
	}
	return n
}

// A table that cannot be loaded, or not be committed to, holds up the partition that
// routes to it. After a while the status tells; then it comes back.
func TestTaskWithABrokenTable(t *testing.T) {
	for name, ops := range map[string][]icetest.Op{"load": {icetest.Load, icetest.Commit}, "commit": {icetest.Commit}} {
		t.Run(name, func(t *testing.T) {
			inStage(t, byPartition, func(s *stage) {
				b := table.Identifier{"db", "b"}
				s.mustPoll(3 * time.Second)
				s.catalog.Break(b, errors.New("out of order"), ops...)
				if name == "load" { // which a task does when it begins
					s.stop()
					s.start()
				}
				before := s.has("b", 1)
				for range 4 {
					s.produce(s.t.Context(), 10)
					s.mustPoll(3 * time.Second)
				}
				if got := s.has("orders", 0); got != 80 || s.tc.Members.Offsets()[s.parts()[0]] != 80 {
					s.t.Errorf("%d records of partition 0 are there, group offset %d, want 80", got, s.tc.Members.Offsets()[s.parts()[0]])
				}
				if got := s.has("b", 1); got != before || s.tc.Members.Offsets()[s.parts()[1]] > int64(before) {
					s.t.Errorf("%d records of partition 1, %d before, group offset %d", got, before, s.tc.Members.Offsets()[s.parts()[1]])
				}
				if err := s.tc.Troubled(); err != nil {
					s.t.Errorf("trouble within the budget: %v", err)
				}
				s.mustPoll(2 * time.Minute)
				if err := s.tc.Troubled(); err == nil || !strings.Contains(err.Error(), "table db.b") || !strings.Contains(err.Error(), "out of order") {
					s.t.Errorf("trouble %v, want what is wrong with db.b", err)
				}
				s.catalog.Mend(b)
				s.mustPoll(20 * time.Second)
				if got := s.has("b", 1); got != 80 || s.tc.Members.Offsets()[s.parts()[1]] != 80 {
					s.t.Errorf("%d records of partition 1 after all, group offset %d, want 80", got, s.tc.Members.Offsets()[s.parts()[1]])
				}
				if err := s.tc.Troubled(); err != nil {
					s.t.Errorf("trouble is over, and told still: %v", err)
				}
			})
		})
	}
}

// With an interval of an hour, bytes bring the commit.
func TestTaskCommitsByBytes(t *testing.T) {
	change := func(config map[string]string) {
		config["iceberg.control.commit.interval-ms"] = "3600000"
		config["iceberg.control.commit.bytes"] = "10000"
	}
	inStage(t, change, func(s *stage) {
		s.mustPoll(5 * time.Second)
		if got := s.has("orders", 0); got != 0 {
			s.t.Fatalf("%d records are committed", got)
		}
		tp := s.parts()[0]
		s.produce(s.t.Context(), 25_000)
		from, to := s.next[tp], int64(len(s.log[tp]))
		if err := s.task.Put(s.t.Context(), &connect.Batch{TopicPartition: tp, Records: s.log[tp][from:to], First: from, Next: to, Arena: new(connect.Arena)}); err != nil {
			s.t.Fatal(err)
		}
		s.next[tp] = to
		s.mustPoll(3 * time.Second)
		if got := s.has("orders", 0); got != 25_040 {
			s.t.Errorf("%d records are committed, want 25040", got)
		}
	})
}

func TestCadences(t *testing.T) {
	c, err := parseConfig(map[string]string{
		"iceberg.tables": "db.a", "iceberg.catalog.type": "rest", "iceberg.control.commit.interval-ms": "60000", "iceberg.control.commit.bytes": "1000",
		"iceberg.table.db.a.commit-interval-ms": "5000", "iceberg.table.db.b.commit-bytes": "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.cadence("db.a"); got.Interval != 5*time.Second || got.Bytes != 1000 {
		t.Errorf("a: %+v", got)
	}
	if got := c.cadence("db.b"); got.Interval != time.Minute || got.Bytes != 0 {
		t.Errorf("b: %+v", got)
	}
	if got := c.cadence("db.other"); got.Interval != time.Minute || got.Bytes != 1000 || c.flush != 5*time.Second {
		t.Errorf("others: %+v, flushes every %v", got, c.flush)
	}
	for key, value := range map[string]string{"iceberg.table.db.a.commit-interval-ms": "0", "iceberg.table.db.a.commit-bytes": "-1", "iceberg.table.db.b.commit-bytes": "many"} {
		if _, errs := parseCadences(map[string]string{key: value}, c.all); len(errs) != 1 {
			t.Errorf("%s=%s: errors %v", key, value, errs)
		}
	}
}
