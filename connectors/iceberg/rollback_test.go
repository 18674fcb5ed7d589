package iceberg

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// rollBack sets db.orders back to what it was before the last records.
func (s *stage) rollBack(to int64) {
	s.t.Helper()
	if _, err := s.catalog.ForeignRollback(orders, table.MainBranch, to); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) head() int64 {
	s.t.Helper()
	return s.peek(orders).CurrentSnapshot().SnapshotID
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
		s.holds(orders, func(_ connect.TopicPartition, o int64) int {
			if o >= 40 && o < 50 {
				return 0
			}
			return 1
		})
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
