package commit

import (
	"maps"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// heads are the offsets up to which each table has its rows, by partition.
func (w *world) heads() [3]map[Source]int64 {
	var out [3]map[Source]int64
	for i, target := range simTables {
		t, err := w.catalog.Peek(target.Identifier())
		if err != nil {
			w.t.Fatal(err)
		}
		floors, err := ReadFloors(t, target.Branch)
		if err != nil {
			w.t.Fatal(err)
		}
		out[i] = make(map[Source]int64)
		for s, f := range floors {
			out[i][s] = f.F
		}
	}
	return out
}

// Where the catalog commits several tables in one request no reader sees a record in one
// table and not in the other, keyed or not, whenever tasks and coordinators die.
func TestTogether(t *testing.T) {
	for _, multi := range []bool{true, false} {
		inWorld(t, 1, func(w *world) {
			w.calm, w.multi = true, multi
			w.catalog.Chaos(func(icetest.Op, int) icetest.Fault {
				return icetest.Fault{DelayBefore: time.Duration(w.pick(300)) * time.Millisecond, DelayAfter: time.Duration(w.pick(200)) * time.Millisecond}
			})
			w.routes = func(connect.TopicPartition, int64) []int { return []int{0, 1, 2} }
			w.begin()
			apart, seen := 0, make(map[int64]bool)
			for range 200 {
				w.produceSome()
				time.Sleep(time.Duration(w.pick(300)) * time.Millisecond)
				if w.pick(20) == 0 {
					w.restart(w.pick(simTasks))
					w.rebalance()
				}
				heads := w.heads()
				if !maps.Equal(heads[0], heads[1]) || !maps.Equal(heads[0], heads[2]) {
					apart++
				}
				for _, f := range heads[0] {
					seen[f] = true
				}
			}
			if multi != (apart == 0) || len(seen) < 10 {
				t.Errorf("one request %v: the tables were apart in %d of 200 looks at %d heads", multi, apart, len(seen))
			}
			if n := w.catalog.Calls(icetest.CommitMany); multi != (n > 0) {
				t.Errorf("one request %v: there were %d", multi, n)
			}
			w.settle()
			w.verify()
		})
	}
}
