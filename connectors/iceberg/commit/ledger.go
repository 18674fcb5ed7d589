package commit

import (
	"math"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
)

// A ledger is the coordinator's memory: per partition the chain's end and done, the
// accepted units in order, which tables have them and which are to get them, and what was
// refused. It does no I/O and asks no clock.
type ledger struct {
	levels map[connect.TopicPartition]*Level
	newest map[connect.TopicPartition]int64 // the greatest timestamp below done
	units  []*entry                         // accepted, not settled, in order of acceptance
	queues map[Target][]*entry              // of units, those that a table has not got yet; no empty ones
	last   uint64                           // number of the unit accepted last

	waiting []*Unit // may fit once something changes, in order of arrival
	held    int     // bytes of units and waiting

	void    map[UnitID]bool
	voidLog []UnitID // oldest first
}

// An entry is a unit in the chain.
type entry struct {
	*Unit
	stamp
	number uint64 // in order of acceptance, from 1
	landed []bool // by link: the table has it
	left   int    // links that have not landed
	behind []int  // by range: of those, the ones with rows of it
}

// A stamp says when a unit was accepted.
type stamp struct {
	round uint64 // of the coordinator's flushes
	at    time.Time
}

const (
	// maxVoid is how many refused ids are remembered, and told in every cycle: more than
	// the units that all tasks together drop at once.
	maxVoid    = 512
	maxWaiting = 4096

	// What is held for tables that are behind. Tasks stop before (see Chain.Held); this is
	// for very many of them.
	maxHeldUnits = 16 << 10
	maxHeldBytes = 256 << 20
)

func newLedger() *ledger {
	return &ledger{
		levels: make(map[connect.TopicPartition]*Level), newest: make(map[connect.TopicPartition]int64),
		queues: make(map[Target][]*entry), void: make(map[UnitID]bool),
	}
}

// A verdict is what becomes of an offered unit.
type verdict int

const (
	accepted verdict = iota
	waits            // its first is ahead of the end
	known            // accepted or waiting already
	voided           // refused before
	stale            // its range begins below the end: others have it; or its topic is not the present one
	full             // too much is held, and of its partitions something is
)

// offer is step C1. A unit is accepted if for all its ranges first = end. Units of one
// partition follow each other while tables are behind.
func (l *ledger) offer(u *Unit, s stamp) verdict {
	switch {
	case l.void[u.ID]:
		l.remember(u.ID)
		return voided
	case slices.ContainsFunc(l.units, func(e *entry) bool { return e.ID == u.ID }),
		slices.ContainsFunc(l.waiting, func(o *Unit) bool { return o.ID == u.ID }):
		return known
	}
	v := l.judge(u)
	switch v {
	case accepted:
		l.accept(u, s)
		l.offerWaiting(s)
	case waits:
		if len(l.waiting) < maxWaiting && l.held+u.size() <= maxHeldBytes { // else: the task announces it again
			l.waiting = append(l.waiting, u)
			l.held += u.size()
		}
	case known, voided, stale, full:
	}
	return v
}

func (l *ledger) judge(u *Unit) verdict {
	v, idle := accepted, true
	for _, r := range u.Ranges {
		if r.Empty() {
			continue
		}
		level, ok := l.levels[r.TopicPartition]
		switch {
		case !ok:
			v = waits
			continue
		case r.First < level.End, r.TopicID != TopicID{} && r.TopicID != level.TopicID:
			return stale
		case r.First > level.End:
			v = waits
		}
		idle = idle && level.Idle()
	}
	if v == accepted && !idle && (len(l.units) >= maxHeldUnits || l.held+u.size() > maxHeldBytes) {
		return full
	}
	return v
}

func (l *ledger) accept(u *Unit, s stamp) {
	l.last++
	e := &entry{Unit: u, stamp: s, number: l.last, landed: make([]bool, len(u.Links)), left: len(u.Links), behind: make([]int, len(u.Ranges))}
	for _, r := range u.Ranges {
		if !r.Empty() {
			l.levels[r.TopicPartition].End = r.Next
		}
	}
	for i := range u.Links {
		for at := range u.Links[i].Floors {
			e.behind[at]++
		}
		if q := l.queues[u.Links[i].Target]; len(q) == 0 || q[len(q)-1] != e {
			l.queues[u.Links[i].Target] = append(q, e)
		}
	}
	l.units = append(l.units, e)
	l.held += u.size()
	l.settle() // what goes to no table needs none
}

// offerWaiting offers again what waited, in order, until nothing more fits.
func (l *ledger) offerWaiting(s stamp) {
	for again := true; again; {
		again = false
		l.waiting = slices.DeleteFunc(l.waiting, func(u *Unit) bool {
			v := l.judge(u)
			if v == waits || v == full {
				return false
			}
			l.held -= u.size()
			if v == accepted {
				l.accept(u, s)
				again = true
			}
			return true
		})
	}
}

// pending lists the units that a table is to get, in order of acceptance.
func (l *ledger) pending(target Target) []*Unit {
	q := l.queues[target]
	out := make([]*Unit, len(q))
	for i, e := range q {
		out[i] = e.Unit
	}
	return out
}

// land is the first half of step C4: a table has units. Those that were dropped meanwhile
// do not count; the floors of the table tell their tasks.
func (l *ledger) land(target Target, units []*Unit) {
	have := make(map[*Unit]bool, len(units))
	for _, u := range units {
		have[u] = true
	}
	moves := false
	l.setQueue(target, slices.DeleteFunc(l.queues[target], func(e *entry) bool {
		if !have[e.Unit] {
			return false
		}
		for i := range e.Links {
			if e.Links[i].Target != target {
				continue
			}
			e.landed[i] = true
			e.left--
			moves = moves || e.left == 0
			for at := range e.Links[i].Floors {
				e.behind[at]--
				moves = moves || e.behind[at] == 0
			}
		}
		return true
	}))
	if moves {
		l.settle()
	}
}

func (l *ledger) setQueue(target Target, q []*entry) {
	if len(q) == 0 {
		delete(l.queues, target)
		return
	}
	l.queues[target] = q
}

// settle moves done, partition by partition: over each range of which all tables have the
// rows, up to the first of which one has not. So a table that is behind holds back the
// partitions that route to it, and no others, though units mix them. A unit is forgotten
// when done is past all its ranges.
func (l *ledger) settle() {
	held := make(map[connect.TopicPartition]bool)
	l.units = slices.DeleteFunc(l.units, func(e *entry) bool {
		over := e.left == 0
		for i, r := range e.Ranges {
			switch {
			case r.Empty():
			case e.behind[i] > 0 || held[r.TopicPartition]:
				held[r.TopicPartition], over = true, false
			default:
				level := l.levels[r.TopicPartition]
				level.Done = max(level.Done, r.Next)
				l.newest[r.TopicPartition] = max(l.ofDone(r.TopicPartition), r.Newest)
			}
		}
		if over {
			l.held -= e.size()
		}
		return over
	})
}

func (l *ledger) ofDone(tp connect.TopicPartition) int64 {
	if at, ok := l.newest[tp]; ok {
		return at
	}
	return None
}

// refuse is step C5: u and every later unit that shares a partition with a refused one
// are dropped, their ends go back, their ids are void. It returns what was dropped. Done
// may be past some of their ranges already: then the end goes back to done.
func (l *ledger) refuse(u *Unit) []*Unit {
	at := slices.IndexFunc(l.units, func(e *entry) bool { return e.Unit == u })
	if at < 0 {
		return nil
	}
	dropped := []*Unit{u}
	gone := map[*entry]bool{l.units[at]: true}
	for _, later := range l.units[at+1:] {
		if slices.ContainsFunc(dropped, later.shares) {
			dropped = append(dropped, later.Unit)
			gone[later] = true
		}
	}
	l.units = slices.DeleteFunc(l.units, func(e *entry) bool { return gone[e] })
	for _, d := range slices.Backward(dropped) { // the earliest one's first is what stays
		for _, r := range d.Ranges {
			if !r.Empty() {
				level := l.levels[r.TopicPartition]
				level.End = max(level.Done, r.First)
			}
		}
		for i := range d.Links {
			l.setQueue(d.Links[i].Target, slices.DeleteFunc(l.queues[d.Links[i].Target], func(e *entry) bool { return gone[e] }))
		}
		l.held -= d.size()
		l.remember(d.ID)
	}
	return dropped
}

// remember puts id at the young end of the void ids.
func (l *ledger) remember(id UnitID) {
	l.voidLog = slices.DeleteFunc(l.voidLog, func(o UnitID) bool { return o == id })
	if len(l.voidLog) == maxVoid {
		delete(l.void, l.voidLog[0])
		l.voidLog = l.voidLog[1:]
	}
	l.voidLog = append(l.voidLog, id)
	l.void[id] = true
}

// open begins the chain of a partition at next (step C0).
func (l *ledger) open(tp connect.TopicPartition, id TopicID, next int64) {
	l.levels[tp] = &Level{TopicPartition: tp, TopicID: id, End: next, Done: next}
}

// drop forgets a partition and every unit that has it: its topic is gone or was made anew.
func (l *ledger) drop(tp connect.TopicPartition) {
	for {
		at := slices.IndexFunc(l.units, func(e *entry) bool { return e.covers(tp) })
		if at < 0 {
			break
		}
		l.refuse(l.units[at].Unit)
	}
	delete(l.levels, tp)
	delete(l.newest, tp)
}

// snapshot lists the levels in partition order.
func (l *ledger) snapshot() []Level {
	out := make([]Level, 0, len(l.levels))
	for _, level := range l.levels {
		out = append(out, *level)
	}
	slices.SortFunc(out, func(a, b Level) int { return a.Compare(b.TopicPartition) })
	return out
}

// oldest is the number of the oldest unit that is not settled.
func (l *ledger) oldest() uint64 {
	if len(l.units) == 0 {
		return math.MaxUint64
	}
	return l.units[0].number
}

// maxForeseen bounds what a cycle says of pending floors.
const maxForeseen = 10_000

// foreseen tells, of the partitions that have something pending since before some time,
// which floors their tables will have when all of it has landed (see [Stuck]).
func (l *ledger) foreseen(before time.Time) []Stuck {
	if len(l.units) == 0 || !l.units[0].at.Before(before) {
		return nil
	}
	index := make(map[connect.TopicPartition]int)
	var out []Stuck
	told := 0
	for _, e := range l.units {
		for i, r := range e.Ranges {
			if r.Empty() || r.Next <= l.levels[r.TopicPartition].Done {
				continue
			}
			at, ok := index[r.TopicPartition]
			if !ok {
				if !e.at.Before(before) || told >= maxForeseen {
					continue
				}
				at = len(out)
				index[r.TopicPartition] = at
				out = append(out, Stuck{TopicPartition: r.TopicPartition, Floors: make(map[Target]int64)})
			}
			for n := range e.Links {
				if _, ok := e.Links[n].Floors[i]; ok && !e.landed[n] {
					out[at].Floors[e.Links[n].Target] = r.Next
					told++
				}
			}
		}
	}
	return out
}

// validThrough is the time before which all events are below the ends of the chain, or
// below done: the least of the partitions' greatest timestamps. A partition that had
// nothing more to read at some time (idle tells when, in milliseconds) does not hold it
// back before that time. Where none had, the greatest timestamp of all is what is known.
// None: a partition with records to come has not told its time yet.
func (l *ledger) validThrough(upTo bound, idle func(Level) (since int64, ok bool)) int64 {
	newest := make(map[connect.TopicPartition]int64, len(l.levels))
	for tp := range l.levels {
		newest[tp] = l.ofDone(tp)
	}
	if upTo == ends {
		for _, e := range l.units {
			for _, r := range e.Ranges {
				if !r.Empty() {
					newest[r.TopicPartition] = max(newest[r.TopicPartition], r.Newest)
				}
			}
		}
	}
	least, greatest := int64(math.MaxInt64), None
	for tp, level := range l.levels {
		at := newest[tp]
		greatest = max(greatest, at)
		if since, ok := idle(*level); ok {
			at = max(at, since)
		}
		if at == None {
			return None
		}
		least = min(least, at)
	}
	return min(least, greatest)
}

// A bound is how far validThrough looks.
type bound int

const (
	ends bound = iota
	dones
)
