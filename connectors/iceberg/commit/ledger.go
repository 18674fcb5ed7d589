package commit

import (
	"slices"

	"github.com/firn-io/firn/connect"
)

// A ledger is the coordinator's memory: per partition the chain's end and done, the
// accepted units in order, and what was refused. It does no I/O and knows no clock.
type ledger struct {
	levels  map[connect.TopicPartition]*Level
	units   []*Unit // accepted, not settled, in order of acceptance
	waiting []*Unit // may fit once something settles, in order of arrival

	void    map[UnitID]bool
	voidLog []UnitID // oldest first
}

const (
	// maxVoid is how many refused ids are remembered, and told in every cycle: more than
	// the units that all tasks together may have under way.
	maxVoid    = 512
	maxWaiting = 4096
)

func newLedger() *ledger {
	return &ledger{levels: make(map[connect.TopicPartition]*Level), void: make(map[UnitID]bool)}
}

// A verdict is what becomes of an offered unit.
type verdict int

const (
	accepted verdict = iota
	waits            // its first is ahead of the end, or its partition already has a unit in this cycle
	known            // accepted or waiting already
	voided           // refused before
	stale            // its range begins below the end: others have it
)

// offer is step C1. A unit is accepted if for all its ranges first = end and no accepted
// unit has one of its partitions. While a commit is under way (frozen) what would be
// accepted waits, so that the units of that commit stay what they are.
func (l *ledger) offer(u *Unit, frozen bool) verdict {
	same := func(o *Unit) bool { return o.ID == u.ID }
	switch {
	case l.void[u.ID]:
		l.remember(u.ID)
		return voided
	case slices.ContainsFunc(l.units, same) || slices.ContainsFunc(l.waiting, same):
		return known
	}
	v := l.judge(u)
	if v == accepted && frozen {
		v = waits
	}
	switch v {
	case accepted:
		l.units = append(l.units, u)
		for _, r := range u.Ranges {
			if !r.Empty() {
				l.levels[r.TopicPartition].End = r.Next
			}
		}
	case waits:
		if len(l.waiting) < maxWaiting { // else: the task announces it again
			l.waiting = append(l.waiting, u)
		}
	case known, voided, stale:
	}
	return v
}

func (l *ledger) judge(u *Unit) verdict {
	v := accepted
	for _, r := range u.Ranges {
		if r.Empty() {
			continue
		}
		level, ok := l.levels[r.TopicPartition]
		switch {
		case !ok:
			v = waits
		case r.First < level.End:
			return stale
		case r.First > level.End:
			v = waits
		}
	}
	if v == accepted && slices.ContainsFunc(l.units, u.shares) {
		v = waits
	}
	return v
}

// offerWaiting offers again what waited, in order.
func (l *ledger) offerWaiting() {
	again := l.waiting
	l.waiting = nil
	for _, u := range again {
		l.offer(u, false)
	}
}

// refuse is step C5: u and every later unit that shares a partition with a refused one
// are dropped, their ends go back, their ids are void. It returns what was dropped.
func (l *ledger) refuse(u *Unit) []*Unit {
	at := slices.Index(l.units, u)
	if at < 0 {
		return nil
	}
	dropped := []*Unit{u}
	kept := slices.Clone(l.units[:at])
	for _, later := range l.units[at+1:] {
		if slices.ContainsFunc(dropped, later.shares) {
			dropped = append(dropped, later)
		} else {
			kept = append(kept, later)
		}
	}
	l.units = kept
	for _, d := range slices.Backward(dropped) { // the earliest one's first is what stays
		for _, r := range d.Ranges {
			if !r.Empty() {
				l.levels[r.TopicPartition].End = r.First
			}
		}
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

// settle is the first half of step C4: units are in all their tables, done moves.
func (l *ledger) settle(units []*Unit) {
	for _, u := range units {
		for _, r := range u.Ranges {
			if level := l.levels[r.TopicPartition]; !r.Empty() && level != nil {
				level.Done = max(level.Done, r.Next)
			}
		}
	}
	l.units = slices.DeleteFunc(l.units, func(u *Unit) bool { return slices.Contains(units, u) })
}

// open begins the chain of a partition at next (step C0).
func (l *ledger) open(tp connect.TopicPartition, id TopicID, next int64) {
	l.levels[tp] = &Level{TopicPartition: tp, TopicID: id, End: next, Done: next}
}

// drop forgets a partition and every unit that has it: its topic is gone or was made anew.
func (l *ledger) drop(tp connect.TopicPartition) {
	for {
		at := slices.IndexFunc(l.units, func(u *Unit) bool { return u.covers(tp) })
		if at < 0 {
			break
		}
		l.refuse(l.units[at])
	}
	delete(l.levels, tp)
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
