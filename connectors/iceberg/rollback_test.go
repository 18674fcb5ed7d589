package iceberg

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// rollBack sets db.orders back to what it was before the last records.
func (s *stage) rollBack(to int64) {
	s.t.Helper()
	if _, err := s.catalog.ForeignRollback(table.Identifier{"db", "orders"}, table.MainBranch, to); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) head() int64 {
	s.t.Helper()
	tbl, err := s.catalog.Peek(table.Identifier{"db", "orders"})
	if err != nil {
		s.t.Fatal(err)
	}
	return tbl.CurrentSnapshot().SnapshotID
}

// A table is rolled back while the connector writes: what came after is in it once, and
// nothing that was taken away comes back by itself.
func TestTableRolledBack(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		first := s.head()
		s.produce(s.t.Context(), 10)
		s.mustPoll(3 * time.Second)
		s.exactlyOnce("orders")
		s.rollBack(first)
		s.produce(s.t.Context(), 5)
		s.mustPoll(20 * time.Second)
		tbl, err := s.catalog.Peek(table.Identifier{"db", "orders"})
		if err != nil {
			s.t.Fatal(err)
		}
		counts, err := icetest.CoordinateCounts(s.t.Context(), tbl, "", "p", "o")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, tp := range s.parts() {
			for o := range int64(55) {
				want := 1
				if o >= 40 && o < 50 {
					want = 0
				}
				if got := counts[icetest.Coordinate{Partition: tp.Partition, Offset: o}]; got != want {
					s.t.Fatalf("%s@%d is there %d times, want %d", tp, o, got, want)
				}
			}
		}
		s.allRead()
	})
}

// The operator stops the connector, rolls the table back and sets the group's offsets
// back: every record is there once again.
func TestRolledBackTableIsFilledAgain(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		first, offsets := s.head(), s.tc.Members.Offsets()
		s.produce(s.t.Context(), 10)
		s.mustPoll(3 * time.Second)
		s.stop()
		s.rollBack(first)
		s.tc.Members.SetOffsets(offsets)
		s.start()
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
	})
}
