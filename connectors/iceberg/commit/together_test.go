package commit

import (
	"slices"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// apart counts records that are in one of the tables they route to and not in another.
func (w *world) apart(targets ...Target) int {
	in := make(map[simRow]int)
	for _, target := range targets {
		for _, r := range w.readTable(target) {
			in[r]++
		}
	}
	n := 0
	for r, got := range in {
		routes := w.routes(r.tp, r.offset)
		for _, target := range targets {
			if slices.Contains(routes, slices.Index(simTables, target)) {
				got--
			}
		}
		if got != 0 {
			n++
		}
	}
	return n
}

// Where the catalog commits several tables in one request no reader sees a record in one
// table and not in the other, whenever tasks and coordinators die.
func TestTogether(t *testing.T) {
	for _, multi := range []bool{true, false} {
		inWorld(t, 1, func(w *world) {
			w.calm, w.multi = true, multi
			w.catalog.Chaos(func(icetest.Op, int) icetest.Fault {
				return icetest.Fault{DelayBefore: time.Duration(w.pick(300)) * time.Millisecond, DelayAfter: time.Duration(w.pick(200)) * time.Millisecond}
			})
			w.routes = func(connect.TopicPartition, int64) []int { return []int{0, 1} }
			w.begin()
			apart, seen := 0, 0
			for range 150 {
				w.produceSome()
				time.Sleep(time.Duration(w.pick(300)) * time.Millisecond)
				if w.pick(15) == 0 {
					w.restart(w.pick(simTasks))
					w.rebalance()
				}
				if w.apart(simA, simB) > 0 {
					apart++
				}
				seen = len(w.readTable(simA))
			}
			if multi != (apart == 0) || seen < 500 {
				t.Errorf("one request %v: of 150 looks at %d rows %d found records in one table alone", multi, seen, apart)
			}
			if n := w.catalog.Calls(icetest.CommitMany); multi != (n > 0) {
				t.Errorf("one request %v: there were %d", multi, n)
			}
			w.settle()
			w.verify()
		})
	}
}
