package commit

import (
	"maps"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
)

// A Chain is a task's side of the protocol: which partitions are open and from where to
// where they were read since the last flush, which units are announced and not yet
// confirmed, and what the coordinator's cycles ask for. It does no I/O; the task's
// goroutine owns it.
type Chain struct {
	task    [16]byte
	hash    uint64
	counter uint64
	parts   map[connect.TopicPartition]*chainPart
	units   []*sentUnit // oldest first

	epoch  int32
	heard  map[[16]byte]*heard // by coordinator: rivals may speak in turns
	commit [16]byte            // the last one answered

	held                 map[connect.TopicPartition]bool // nil for none
	mostUnits, mostBytes int                             // unconfirmed, before something is held
}

type chainPart struct {
	open       bool
	silent     bool // assigned since the last answer: the coordinator waits to hear of it
	first, pos int64
	newest     int64 // greatest timestamp of the open range; None before the first
	topicID    TopicID
	foreseen   map[Target]int64 // floors that were still to come when it was opened
}

// A heard coordinator is answered once for each commit, and told once what it missed.
type heard struct {
	sequence uint64   // of its last cycle
	commit   [16]byte // the last of its own that was answered
}

type sentUnit struct {
	unit *Unit
	sent time.Time // zero: not announced yet, its files are on their way
}

const (
	announceAgain = 5 * time.Second // an announcement without effect is repeated after this

	// What a task has unconfirmed before it stops reading partitions of the units before
	// the last so many, or so many bytes of announcements.
	heldUnits = 256
	heldBytes = 16 << 20

	mostHeard = 16 // coordinators that are remembered
)

// NewChain makes a chain without partitions, for a task of that configuration.
func NewChain(configHash uint64) *Chain {
	return &Chain{
		task: randomID(), hash: configHash, parts: make(map[connect.TopicPartition]*chainPart), heard: make(map[[16]byte]*heard),
		mostUnits: heldUnits, mostBytes: heldBytes,
	}
}

// Assign adds partitions. They are closed until a cycle opens them.
func (c *Chain) Assign(parts []connect.TopicPartition, generation int32) {
	for _, tp := range parts {
		if c.parts[tp] == nil {
			c.parts[tp] = &chainPart{silent: true}
		}
	}
	c.In(generation)
}

// In says which generation of the group the task is in: cycles of that one count, whatever
// was seen before. A group that was deleted, or is another Kafka cluster's, begins with low
// generations again, and a coordinator that has not heard of it speaks for a high one.
func (c *Chain) In(generation int32) { c.epoch = min(c.epoch, generation) }

// Revoke takes partitions away.
func (c *Chain) Revoke(parts []connect.TopicPartition) {
	for _, tp := range parts {
		delete(c.parts, tp)
	}
}

// Position returns the next offset to take of a partition; false if it is not open.
func (c *Chain) Position(tp connect.TopicPartition) (int64, bool) {
	p := c.parts[tp]
	if p == nil || !p.open {
		return 0, false
	}
	return p.pos, true
}

// TopicID is the id of the topic of an open partition.
func (c *Chain) TopicID(tp connect.TopicPartition) TopicID { return c.parts[tp].topicID }

// Foreseen is the floor that a table will have for an open partition once everything has
// landed that was pending when it was opened; None if nothing was. The floor read from the
// table counts if it is higher.
func (c *Chain) Foreseen(tp connect.TopicPartition, target Target) int64 {
	if f, ok := c.parts[tp].foreseen[target]; ok {
		return f
	}
	return None
}

// Advance says that everything of an open partition below next has been taken.
func (c *Chain) Advance(tp connect.TopicPartition, next int64) {
	p := c.parts[tp]
	p.pos = max(p.pos, next)
}

// Saw says that records of an open partition have timestamps up to newest; None: there
// was none.
func (c *Chain) Saw(tp connect.TopicPartition, newest int64) {
	p := c.parts[tp]
	p.newest = max(p.newest, newest)
}

// Held tells whether a partition is not to be read for now: too much is unconfirmed since
// rows of it are, probably because a table cannot be committed to.
func (c *Chain) Held(tp connect.TopicPartition) bool { return c.held[tp] }

// Dirty tells whether anything was read since the last flush.
func (c *Chain) Dirty() bool {
	for _, p := range c.parts {
		if p.open && p.pos > p.first {
			return true
		}
	}
	return false
}

// Settled tells whether everything that was announced is confirmed.
func (c *Chain) Settled() bool { return len(c.units) == 0 }

// Answered is the commit id that was answered last; zero if none was.
func (c *Chain) Answered() [16]byte { return c.commit }

// A Step is what a cycle asks the task to do, in this order.
type Step struct {
	Reset    string                           // not "": drop all open files and start all partitions over; says why
	Open     map[connect.TopicPartition]int64 // read these from there, with fresh floors
	Announce []*Unit                          // again
	Flush    bool                             // the coordinator waits for a unit of this commit id
	Commit   [16]byte
}

// Observe takes in a cycle. Cycles of another configuration, of an older epoch, and
// those overtaken by a later one of the same coordinator are ignored.
//
// An open range is right if it continues what the coordinator has: its end is the first
// offset of the open range or of a unit that is still unconfirmed (announced and not yet
// seen by the coordinator, or by a new one). Anything else, and a unit that was refused,
// means that others went on from another place: start over at the chain's end.
func (c *Chain) Observe(cy *Cycle, now time.Time) Step {
	if cy.ConfigHash != c.hash || cy.Epoch < c.epoch {
		return Step{}
	}
	from, known := c.heard[cy.Coordinator]
	if known && cy.Sequence <= from.sequence {
		return Step{}
	}
	if !known {
		from = c.meet(cy.Coordinator)
	}
	c.epoch, from.sequence = cy.Epoch, cy.Sequence
	levels := make(map[connect.TopicPartition]Level, len(cy.Levels))
	for _, l := range cy.Levels {
		levels[l.TopicPartition] = l
	}
	stuck := make(map[connect.TopicPartition]map[Target]int64, len(cy.Stuck))
	for _, s := range cy.Stuck {
		stuck[s.TopicPartition] = s.Floors
	}
	step := Step{Open: make(map[connect.TopicPartition]int64)}
	c.confirm(levels)
	if step.Reset = c.trouble(cy, levels); step.Reset != "" {
		c.Reset()
	}
	for tp, p := range c.parts {
		l, ok := levels[tp]
		if !ok || p.open {
			continue
		}
		floors, isStuck := stuck[tp]
		if l.Idle() && !c.pending(tp) || isStuck && !c.ahead(tp, l.End) {
			*p = chainPart{open: true, silent: p.silent, first: l.End, pos: l.End, newest: None, topicID: l.TopicID, foreseen: floors}
			step.Open[tp] = l.End
		}
	}
	c.hold(levels)
	for i, u := range c.units {
		if !u.sent.IsZero() && (!known || (i == 0 && now.Sub(u.sent) > announceAgain)) {
			u.sent = now
			step.Announce = append(step.Announce, u.unit)
		}
	}
	switch {
	case cy.Commit == ([16]byte{}):
	case cy.Commit != from.commit:
		from.commit, c.commit = cy.Commit, cy.Commit
		step.Flush, step.Commit = true, cy.Commit
	default:
		step.Announce = append(step.Announce, c.speakUp(cy.Commit)...)
	}
	return step
}

// meet remembers a coordinator. Should there be too many, all are met again.
func (c *Chain) meet(coordinator [16]byte) *heard {
	if len(c.heard) >= mostHeard {
		clear(c.heard)
	}
	from := &heard{}
	c.heard[coordinator] = from
	return from
}

// speakUp answers for partitions that came while answers were awaited, with a unit that
// has nothing: else the coordinator would wait for them until its timeout.
func (c *Chain) speakUp(asked [16]byte) []*Unit {
	u := &Unit{ConfigHash: c.hash, Cycle: asked}
	for tp, p := range c.parts {
		if p.silent {
			p.silent = false
			u.Ranges = append(u.Ranges, nothing(tp))
		}
	}
	if len(u.Ranges) == 0 {
		return nil
	}
	c.counter++
	u.ID = UnitID{c.task, c.counter}
	return []*Unit{u}
}

// nothing is the range of a partition that is not open.
func nothing(tp connect.TopicPartition) Range {
	return Range{TopicPartition: tp, First: None, Next: None, Newest: None}
}

// confirm forgets the units that are in all their tables.
func (c *Chain) confirm(levels map[connect.TopicPartition]Level) {
	c.units = slices.DeleteFunc(c.units, func(s *sentUnit) bool {
		for _, r := range s.unit.Ranges {
			l, ok := levels[r.TopicPartition]
			if r.Empty() || (!ok && c.parts[r.TopicPartition] == nil) {
				continue // nothing of it, or the partition is nobody's any more
			}
			if !ok || l.Done < r.Next {
				return false
			}
		}
		return !s.sent.IsZero()
	})
}

// trouble says why the task must start over, "" if it need not.
func (c *Chain) trouble(cy *Cycle, levels map[connect.TopicPartition]Level) string {
	for _, s := range c.units {
		if slices.Contains(cy.Void, s.unit.ID) {
			return "unit " + s.unit.ID.String() + " was refused"
		}
		if tp, ok := outlived(s.unit, levels); ok {
			return "unit " + s.unit.ID.String() + " is of a topic that was deleted: that of " + tp.String() + " was created anew"
		}
		if tp, ok := c.unreachable(s.unit, levels); ok {
			return "unit " + s.unit.ID.String() + " does not continue the chain of " + tp.String() + ": what was before it is not in the group's offsets"
		}
		if overtaken(s.unit, levels) {
			return "unit " + s.unit.ID.String() + " was overtaken: another task's range of one of its partitions is in the chain"
		}
	}
	for tp, p := range c.parts {
		l, ok := levels[tp]
		if !ok || !p.open {
			continue
		}
		if p.topicID != l.TopicID {
			return tp.String() + ": the topic was created anew"
		}
		if l.End != p.first && !c.startsAt(tp, l.End) {
			return tp.String() + ": the chain goes on elsewhere"
		}
	}
	return ""
}

// outlived tells of which partition of a unit the topic is another now: it cannot be accepted.
func outlived(u *Unit, levels map[connect.TopicPartition]Level) (connect.TopicPartition, bool) {
	for _, r := range u.Ranges {
		if l, ok := levels[r.TopicPartition]; ok && !r.Empty() && l.TopicID != r.TopicID {
			return r.TopicPartition, true
		}
	}
	return connect.TopicPartition{}, false
}

// startsAt tells whether an unconfirmed unit has a range of tp that begins at offset.
func (c *Chain) startsAt(tp connect.TopicPartition, offset int64) bool {
	return slices.ContainsFunc(c.units, func(s *sentUnit) bool {
		return slices.ContainsFunc(s.unit.Ranges, func(r Range) bool { return !r.Empty() && r.TopicPartition == tp && r.First == offset })
	})
}

// unreachable tells of which partition the chain ends before a unit's range, with no unit
// of ours to fill the gap. The steps: a coordinator said done, so that the unit before was
// forgotten here, but died before the group had its offsets; the next one starts below.
func (c *Chain) unreachable(u *Unit, levels map[connect.TopicPartition]Level) (connect.TopicPartition, bool) {
	for _, r := range u.Ranges {
		if l, ok := levels[r.TopicPartition]; ok && !r.Empty() && l.End < r.First && !c.startsAt(r.TopicPartition, l.End) {
			return r.TopicPartition, true
		}
	}
	return connect.TopicPartition{}, false
}

// overtaken tells whether the chain has passed some of a unit's ranges but not others:
// units are accepted whole, so this one never can be.
func overtaken(u *Unit, levels map[connect.TopicPartition]Level) bool {
	before, after := false, false
	for _, r := range u.Ranges {
		l, ok := levels[r.TopicPartition]
		if !ok || r.Empty() {
			continue
		}
		before = before || l.End < r.Next
		after = after || l.End > r.First
	}
	return before && after
}

// pending tells whether a unit of ours with tp is unconfirmed.
func (c *Chain) pending(tp connect.TopicPartition) bool {
	return slices.ContainsFunc(c.units, func(s *sentUnit) bool { return s.unit.covers(tp) })
}

// ahead tells whether a unit of ours with tp is not in the chain yet, which ends at end.
func (c *Chain) ahead(tp connect.TopicPartition, end int64) bool {
	return slices.ContainsFunc(c.units, func(s *sentUnit) bool {
		return slices.ContainsFunc(s.unit.Ranges, func(r Range) bool { return !r.Empty() && r.TopicPartition == tp && r.Next > end })
	})
}

// hold finds the partitions that keep all but the youngest units from being confirmed.
func (c *Chain) hold(levels map[connect.TopicPartition]Level) {
	c.held = nil
	bytes := 0
	for i, s := range slices.Backward(c.units) {
		if !s.sent.IsZero() { // before, the unit is not complete
			bytes += s.unit.size()
		}
		if len(c.units)-i <= c.mostUnits && bytes <= c.mostBytes {
			continue
		}
		for _, r := range s.unit.Ranges {
			if r.Empty() || levels[r.TopicPartition].Done >= r.Next {
				continue
			}
			if c.held == nil {
				c.held = make(map[connect.TopicPartition]bool)
			}
			c.held[r.TopicPartition] = true
		}
	}
}

// Reset closes all partitions and forgets all units. What was announced may still be
// committed by someone; the floors will tell. A unit that was not may have been the answer
// for which a coordinator waits: the partitions have to speak up again.
func (c *Chain) Reset() {
	c.units, c.held = nil, nil
	for _, p := range c.parts {
		*p = chainPart{silent: true}
	}
}

// Seal ends the open ranges and returns them as a unit without links, to be filled and
// announced; the ranges of the next unit begin where these end. asked is the commit id
// to answer, zero if nobody asked.
func (c *Chain) Seal(asked [16]byte) *Unit {
	c.counter++
	u := &Unit{ID: UnitID{c.task, c.counter}, ConfigHash: c.hash, Cycle: asked}
	for _, tp := range slices.SortedFunc(maps.Keys(c.parts), connect.TopicPartition.Compare) {
		p := c.parts[tp]
		p.silent = p.silent && asked == [16]byte{}
		if !p.open {
			u.Ranges = append(u.Ranges, nothing(tp))
			continue
		}
		u.Ranges = append(u.Ranges, Range{TopicPartition: tp, TopicID: p.topicID, First: p.first, Next: p.pos, Newest: p.newest})
		p.first, p.newest = p.pos, None
	}
	c.units = append(c.units, &sentUnit{unit: u})
	return u
}

// Sent says that the announcement of u is on its way.
func (c *Chain) Sent(u *Unit, now time.Time) {
	for _, s := range c.units {
		if s.unit == u {
			s.sent = now
		}
	}
}

// Holds tells whether u is still one of the chain's units: not dropped, not confirmed.
func (c *Chain) Holds(u *Unit) bool {
	return slices.ContainsFunc(c.units, func(s *sentUnit) bool { return s.unit == u })
}
