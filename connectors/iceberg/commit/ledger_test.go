package commit

import (
	"slices"
	"testing"

	"github.com/firn-io/firn/connect"
)

func tp(p int32) connect.TopicPartition {
	return connect.TopicPartition{Topic: "orders", Partition: p}
}

// unit makes one with ranges given as partition, first, next.
func unit(counter uint64, numbers ...int64) *Unit {
	u := &Unit{ID: UnitID{Counter: counter}, ConfigHash: 1}
	for r := range slices.Chunk(numbers, 3) {
		u.Ranges = append(u.Ranges, Range{tp(int32(r[0])), r[1], r[2]})
	}
	return u
}

func ledgerAt(ends ...int64) *ledger {
	l := newLedger()
	for p, end := range ends {
		l.open(tp(int32(p)), TopicID{}, end)
	}
	return l
}

func TestLedgerOffer(t *testing.T) {
	tests := []struct {
		name   string
		before []*Unit
		offer  *Unit
		want   verdict
	}{
		{"continues the chain", nil, unit(9, 0, 10, 15), accepted},
		{"ahead of the end", nil, unit(9, 0, 11, 15), waits},
		{"below the end", nil, unit(9, 0, 9, 15), stale},
		{"of an unknown partition", nil, unit(9, 7, 0, 5), waits},
		{"its partition has a unit in this cycle", []*Unit{unit(1, 0, 10, 15)}, unit(9, 0, 15, 20), waits},
		{"another partition has", []*Unit{unit(1, 1, 20, 25)}, unit(9, 0, 10, 15), accepted},
		{"the same again", []*Unit{unit(9, 0, 10, 15)}, unit(9, 0, 10, 15), known},
		{"an empty range of a partition that others moved on", []*Unit{unit(1, 1, 20, 25)}, unit(9, 0, 10, 15, 1, 20, 20), accepted},
		{"nothing but empty ranges", nil, unit(9, 0, 3, 3), accepted},
		{"one range fits, one is below the end", nil, unit(9, 0, 10, 15, 1, 19, 30), stale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := ledgerAt(10, 20)
			for _, u := range tt.before {
				if v := l.offer(u, false); v != accepted {
					t.Fatalf("before: %v", v)
				}
			}
			if got := l.offer(tt.offer, false); got != tt.want {
				t.Errorf("verdict %d, want %d", got, tt.want)
			}
		})
	}
}

// A refused unit takes those down that share a partition with it, and those that share
// one with them; ends go back to the earliest; ids stay void, also when offered again.
func TestLedgerRefuse(t *testing.T) {
	l := ledgerAt(10, 20, 30, 40)
	first, second, third := unit(1, 0, 10, 15), unit(2, 1, 20, 25, 2, 30, 35), unit(3, 3, 40, 45)
	for _, u := range []*Unit{first, second, third} {
		l.offer(u, false)
	}
	if dropped := l.refuse(second); len(dropped) != 1 || dropped[0] != second {
		t.Fatalf("dropped %v, want the second alone", dropped)
	}
	ends := []int64{15, 20, 30, 45}
	for p, want := range ends {
		if got := l.levels[tp(int32(p))].End; got != want {
			t.Errorf("end of %d is %d, want %d", p, got, want)
		}
	}
	if v := l.offer(second, false); v != voided {
		t.Errorf("the refused unit again: verdict %d, want voided", v)
	}
	l.settle([]*Unit{first, third})
	if !l.levels[tp(0)].Idle() || l.levels[tp(0)].Done != 15 || len(l.units) != 0 {
		t.Errorf("after settling: %+v, %d units", l.levels[tp(0)], len(l.units))
	}
}

// While a commit is under way nothing is accepted; what fits waits and is accepted then.
func TestLedgerFrozen(t *testing.T) {
	l := ledgerAt(10)
	u := unit(1, 0, 10, 15)
	if v := l.offer(u, true); v != waits || l.levels[tp(0)].End != 10 {
		t.Fatalf("verdict %d, end %d; want waits, 10", v, l.levels[tp(0)].End)
	}
	l.offerWaiting()
	if l.levels[tp(0)].End != 15 || len(l.units) != 1 {
		t.Errorf("end %d, %d units; want 15, 1", l.levels[tp(0)].End, len(l.units))
	}
}

func TestVoidIDsAreBounded(t *testing.T) {
	l := newLedger()
	for i := range uint64(3 * maxVoid) {
		l.remember(UnitID{Counter: i})
	}
	if len(l.void) != maxVoid || len(l.voidLog) != maxVoid || !l.void[UnitID{Counter: 3*maxVoid - 1}] {
		t.Errorf("%d ids, %d in order; want %d, the youngest kept", len(l.void), len(l.voidLog), maxVoid)
	}
}
