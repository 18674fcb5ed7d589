package commit

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

func tp(p int32) connect.TopicPartition {
	return connect.TopicPartition{Topic: "orders", Partition: p}
}

// unit makes one with ranges given as partition, first, next.
func unit(counter uint64, numbers ...int64) *Unit {
	u := &Unit{ID: UnitID{Counter: counter}, ConfigHash: 1}
	for r := range slices.Chunk(numbers, 3) {
		u.Ranges = append(u.Ranges, Range{TopicPartition: tp(int32(r[0])), First: r[1], Next: r[2], Newest: None})
	}
	return u
}

func ofTopic(u *Unit, id TopicID) *Unit {
	for i := range u.Ranges {
		u.Ranges[i].TopicID = id
	}
	return u
}

var tableA, tableB = Target{"db.a", "main"}, Target{"db.b", "main"}

// into adds a link to u, with rows of the ranges at the indexes.
func (u *Unit) into(target Target, ranges ...int) *Unit {
	l := Link{Target: target, Floors: make(map[int]int64)}
	for _, at := range ranges {
		l.Floors[at] = None
	}
	u.Links = append(u.Links, l)
	return u
}

func (l *ledger) mustOffer(t *testing.T, units ...*Unit) {
	t.Helper()
	for _, u := range units {
		if v := l.offer(u, stamp{}); v != accepted {
			t.Fatalf("unit %s: verdict %d, want accepted", u.ID, v)
		}
	}
}

func (l *ledger) expect(t *testing.T, when string, endsAndDones ...int64) {
	t.Helper()
	for p := range len(endsAndDones) / 2 {
		level := l.levels[tp(int32(p))]
		if level.End != endsAndDones[2*p] || level.Done != endsAndDones[2*p+1] {
			t.Errorf("%s: partition %d ends at %d, done at %d; want %d, %d", when, p, level.End, level.Done, endsAndDones[2*p], endsAndDones[2*p+1])
		}
	}
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
		{"continues what is pending", []*Unit{unit(1, 0, 10, 15)}, unit(9, 0, 15, 20), accepted},
		{"of another topic of that name", nil, ofTopic(unit(9, 0, 10, 15), TopicID{8}), stale},
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
				l.mustOffer(t, u.into(tableA, 0))
			}
			if got := l.offer(tt.offer, stamp{}); got != tt.want {
				t.Errorf("verdict %d, want %d", got, tt.want)
			}
		})
	}
}

// A refused unit takes those down that share a partition with it, and those that share
// one with them; ends go back to the earliest; ids stay void, also when offered again.
func TestLedgerRefuse(t *testing.T) {
	l := ledgerAt(10, 20, 30, 40)
	first, second, third := unit(1, 0, 10, 15).into(tableA, 0), unit(2, 1, 20, 25, 2, 30, 35).into(tableA, 0, 1), unit(3, 3, 40, 45).into(tableA, 0)
	after, later := unit(4, 2, 35, 36, 0, 15, 16).into(tableB, 0), unit(5, 0, 16, 19).into(tableA, 0)
	l.mustOffer(t, first, second, third, after, later)
	if dropped := l.refuse(second); !slices.Equal(dropped, []*Unit{second, after, later}) {
		t.Fatalf("dropped %v, want the second and those that build on it", dropped)
	}
	l.expect(t, "refused", 15, 10, 20, 20, 30, 30, 45, 40)
	if got := l.pending(tableA); !slices.Equal(got, []*Unit{first, third}) || len(l.pending(tableB)) != 0 {
		t.Errorf("pending %v", got)
	}
	if v := l.offer(second, stamp{}); v != voided {
		t.Errorf("the refused unit again: verdict %d, want voided", v)
	}
	l.land(tableA, []*Unit{first, third, later}) // later was on its way when it was dropped
	l.expect(t, "landed", 15, 15, 20, 20, 30, 30, 45, 45)
	if len(l.units) != 0 || l.held != 0 || len(l.queues) != 0 {
		t.Errorf("%d units, %d bytes, %d queues are left", len(l.units), l.held, len(l.queues))
	}
}

// A table that is behind holds back the partitions that route to it, and no others.
func TestLedgerTablesAreIndependent(t *testing.T) {
	l := ledgerAt(10, 20, 30)
	first := unit(1, 0, 10, 15, 1, 20, 25, 2, 30, 35).into(tableA, 0, 1).into(tableB, 1)
	second := unit(2, 0, 15, 18, 1, 25, 28).into(tableA, 0, 1)
	l.mustOffer(t, first, second)
	l.expect(t, "accepted", 18, 10, 28, 20, 35, 35) // nothing of partition 2 goes anywhere
	l.land(tableA, []*Unit{first})
	l.expect(t, "a has the first", 18, 15, 28, 20, 35, 35)
	l.land(tableA, []*Unit{second})
	l.expect(t, "a has both", 18, 18, 28, 20, 35, 35)
	if len(l.units) != 2 || len(l.pending(tableB)) != 1 {
		t.Errorf("%d units, %d for b; want 2, 1", len(l.units), len(l.pending(tableB)))
	}
	third := unit(3, 0, 18, 19, 2, 35, 36).into(tableB, 0)
	l.mustOffer(t, third)
	if dropped := l.refuse(first); len(dropped) != 3 {
		t.Errorf("dropped %v", dropped)
	}
	l.expect(t, "b refuses the first", 18, 18, 20, 20, 36, 36) // never behind done
}

// What waits is taken as soon as it fits, in any order of arrival.
func TestLedgerWaiting(t *testing.T) {
	l := ledgerAt(10)
	for _, u := range []*Unit{unit(3, 0, 15, 20).into(tableA, 0), unit(2, 0, 12, 15).into(tableA, 0)} {
		if v := l.offer(u, stamp{}); v != waits {
			t.Fatalf("verdict %d, want waits", v)
		}
	}
	l.mustOffer(t, unit(1, 0, 10, 12).into(tableA, 0))
	l.expect(t, "the first came last", 20, 10)
	if len(l.units) != 3 || len(l.waiting) != 0 {
		t.Errorf("%d units, %d waiting", len(l.units), len(l.waiting))
	}
}

// At the bound only partitions of which nothing is held go on.
func TestLedgerIsBounded(t *testing.T) {
	l := ledgerAt(10, 20)
	l.mustOffer(t, unit(1, 0, 10, 11).into(tableB, 0))
	l.held = maxHeldBytes
	if v := l.offer(unit(2, 0, 11, 12).into(tableB, 0), stamp{}); v != full {
		t.Errorf("more of what is held: verdict %d, want full", v)
	}
	other := unit(3, 1, 20, 25).into(tableA, 0)
	l.mustOffer(t, other)
	l.land(tableA, []*Unit{other})
	l.expect(t, "the other table goes on", 11, 10, 25, 25)
}

func TestLedgerForesees(t *testing.T) {
	l := ledgerAt(10, 20)
	old, young := time.Unix(100, 0), time.Unix(200, 0)
	l.offer(unit(1, 0, 10, 15).into(tableA, 0).into(tableB, 0), stamp{at: old})
	l.offer(unit(2, 0, 15, 17, 1, 20, 21).into(tableA, 0, 1), stamp{at: young})
	l.land(tableA, l.pending(tableA)[:1])
	got := l.foreseen(time.Unix(150, 0))
	if len(got) != 1 || got[0].TopicPartition != tp(0) || !maps.Equal(got[0].Floors, map[Target]int64{tableA: 17, tableB: 15}) {
		t.Errorf("foreseen %+v, want 17 for a and 15 for b in partition 0", got)
	}
	if got := l.foreseen(old); len(got) != 0 {
		t.Errorf("foreseen %+v before anything is old", got)
	}
}

func TestLedgerValidThrough(t *testing.T) {
	at := func(u *Unit, millis ...int64) *Unit {
		for i, ms := range millis {
			u.Ranges[i].Newest = ms
		}
		return u
	}
	all := func(Level) (int64, bool) { return 900, true }
	none := func(Level) (int64, bool) { return 0, false }
	second := func(l Level) (int64, bool) { return 900, l.Partition == 1 }
	early := func(l Level) (int64, bool) { return 450, l.Partition == 1 }
	l := ledgerAt(10, 20)
	if got := l.validThrough(ends, none); got != None {
		t.Errorf("nothing is known: %d", got)
	}
	u := at(unit(1, 0, 10, 15).into(tableA, 0), 500)
	l.mustOffer(t, u)
	if got := l.validThrough(ends, none); got != None {
		t.Errorf("partition 1 may be at any time: %d", got)
	}
	if got := l.validThrough(ends, second); got != 500 {
		t.Errorf("partition 1 has nothing: %d, want 500", got)
	}
	if got := l.validThrough(ends, early); got != 450 {
		t.Errorf("partition 1 had nothing by 450: %d", got)
	}
	if got := l.validThrough(dones, second); got != None {
		t.Errorf("nothing is done: %d", got)
	}
	v := at(unit(2, 0, 15, 16, 1, 20, 21).into(tableA, 0, 1), 300, 400) // an older record
	l.mustOffer(t, v)
	if got := l.validThrough(ends, none); got != 400 {
		t.Errorf("the least of 500 and 400 is %d", got)
	}
	if got := l.validThrough(ends, all); got != 500 {
		t.Errorf("everything is read: %d, want 500", got)
	}
	l.refuse(v)
	if got := l.validThrough(ends, none); got != None {
		t.Errorf("what told of partition 1 was refused: %d", got)
	}
	l.land(tableA, []*Unit{u})
	if got := l.validThrough(dones, second); got != 500 {
		t.Errorf("done up to %d, want 500", got)
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
