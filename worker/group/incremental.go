package group

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Incremental is the leader's side of incremental cooperative rebalancing (KIP-415): it
// moves as little as it can, takes work from one member and gives it to another in two
// rounds, and leaves the work of a member that went away alone for a while, because that
// member usually comes back.
//
// It follows org.apache.kafka.connect.runtime.distributed.IncrementalCooperativeAssignor
// (4.3) step by step, so that the leadership may move between Java and Go workers. What
// it remembers between rounds is lost when leadership moves: a round whose predecessor
// it did not lead starts from what the members say they hold.
//
// It is used by one goroutine at a time.
type Incremental struct {
	maxDelay time.Duration
	now      func() time.Time

	previous           Work // what was assigned after the last round, lost work included
	previousRevocation Work
	previousGeneration int32
	previousMembers    []string

	// When the work of members that went away is given to others, and to whom: those that
	// held nothing at some round during the delay, probably the same workers restarted.
	scheduled  time.Time // zero: no delay is running
	delay      time.Duration
	candidates []string

	// Revoking in round after round would keep the group from settling: from the second
	// time on, balance waits for an exponentially growing delay.
	revokedInPrevious  bool
	successiveRevoking int
}

// NewIncremental makes an assignor without memory. maxDelay is
// scheduled.rebalance.max.delay.ms; now is time.Now, or a test's clock.
func NewIncremental(maxDelay time.Duration, now func() time.Time) *Incremental {
	return &Incremental{maxDelay: maxDelay, now: now, previousGeneration: noGeneration}
}

// noGeneration is the generation of a member that has not joined yet.
const noGeneration = -1

// A Round is the outcome of one assignment, by member id.
type Round struct {
	Added   map[string]Work // new to the member
	Revoked map[string]Work // to be stopped by the member
	Running map[string]Work // what it runs afterwards: with Added, without Revoked
	Delay   time.Duration   // until everyone is to rejoin; 0: never
}

// Assign divides configured among the members, given what each of them holds.
// generation is that of the round under way, lastCompleted that of the last round in
// which this worker got an assignment (-1: none yet).
func (a *Incremental) Assign(configured Work, lastCompleted, generation int32, held map[string]Work) Round {
	if len(held) == 0 {
		return Round{}
	}
	if a.previousGeneration != lastCompleted {
		a.previous = Work{}
	}
	configured = configured.Clone()
	slices.Sort(configured.Connectors)
	slices.SortFunc(configured.Tasks, TaskID.Compare)

	loads := loadsOf(held)
	active := union(loads)
	// A revocation that did not reach its member: believe the members.
	if !a.previousRevocation.And(active).Empty() {
		a.previous = active
	}
	a.previousRevocation = Work{}

	deleted := a.previous.Minus(configured)
	duplicated := duplicates(loads)
	lost := sorted(a.previous.Minus(active, deleted))
	created := configured.Minus(a.previous, active)

	revoked := make(map[string]Work, len(held))
	for _, l := range loads {
		// What two members hold is taken from both: one of them cannot be told to keep it.
		revoked[l.member] = l.work.And(deleted).Plus(l.work.And(duplicated))
		l.work = l.work.Minus(revoked[l.member])
	}

	reassign := a.handleLost(lost, loads)
	a.balance(configured, loads, revoked)
	place(loads, created.Plus(reassign))

	return a.finish(generation, held, loads, revoked, deleted, lost)
}

// finish turns the new loads into a Round and remembers what the next one needs.
func (a *Incremental) finish(generation int32, held map[string]Work, loads []*load, revoked map[string]Work, deleted, lost Work) Round {
	r := Round{Added: make(map[string]Work, len(loads)), Revoked: revoked, Running: make(map[string]Work, len(loads)), Delay: a.delay}
	var taken Work
	for _, l := range loads {
		r.Running[l.member] = l.work
		r.Added[l.member] = l.work.Minus(held[l.member].Minus(deleted))
		taken.Connectors = append(taken.Connectors, revoked[l.member].Connectors...)
		taken.Tasks = append(taken.Tasks, revoked[l.member].Tasks...)
	}
	a.previous = union(loads).Minus(taken).Plus(lost)
	a.previousRevocation = taken
	a.previousGeneration = generation
	a.previousMembers = a.previousMembers[:0]
	for _, l := range loads {
		a.previousMembers = append(a.previousMembers, l.member)
	}
	slices.Sort(a.previousMembers)
	return r
}

// handleLost decides about the work of members that went away. What it returns is to be
// assigned like new work; what goes to candidates it assigns itself.
func (a *Incremental) handleLost(lost Work, loads []*load) (reassign Work) {
	if lost.Empty() && !a.revokedInPrevious {
		a.resetDelay()
		return Work{}
	}
	now := a.now()
	switch {
	case a.scheduled.IsZero() && a.allPresent(loads):
		// Nobody left: the last assignment did not reach somebody.
		return lost
	case a.maxDelay == 0:
		return lost
	case !a.scheduled.IsZero() && !now.Before(a.scheduled):
		if c := a.present(loads); len(c) > 0 {
			for i, connector := range lost.Connectors {
				l := c[i%len(c)]
				l.work.Connectors = append(l.work.Connectors, connector)
			}
			for i, task := range lost.Tasks {
				l := c[i%len(c)]
				l.work.Tasks = append(l.work.Tasks, task)
			}
		} else {
			reassign = lost
		}
		a.resetDelay()
		a.revokedInPrevious = false
		return reassign
	}
	for _, l := range loads {
		if l.work.Empty() && !slices.Contains(a.candidates, l.member) {
			a.candidates = append(a.candidates, l.member)
		}
	}
	a.delay = a.maxDelay
	if !a.scheduled.IsZero() {
		a.delay = min(wholeMillis(a.scheduled.Sub(now)), a.maxDelay)
	}
	a.scheduled = now.Add(a.delay)
	return Work{}
}

func (a *Incremental) resetDelay() {
	a.scheduled, a.delay = time.Time{}, 0
	a.candidates = nil
}

// allPresent tells whether all members of the last round are in this one.
func (a *Incremental) allPresent(loads []*load) bool {
	for _, m := range a.previousMembers {
		if !slices.ContainsFunc(loads, func(l *load) bool { return l.member == m }) {
			return false
		}
	}
	return true
}

// present are the loads of the candidates that are members now, in candidate order.
func (a *Incremental) present(loads []*load) (out []*load) {
	for _, m := range a.candidates {
		if i := slices.IndexFunc(loads, func(l *load) bool { return l.member == m }); i >= 0 {
			out = append(out, loads[i])
		}
	}
	return out
}

// balance takes work from members that have more than their share, unless a delay is
// running or there was a revocation just before.
func (a *Incremental) balance(configured Work, loads []*load, revoked map[string]Work) {
	if a.delay != 0 {
		a.revokedInPrevious = false
		return
	}
	surplus := surplusOf(configured, loads)
	switch {
	case len(surplus) == 0:
		if a.revokedInPrevious {
			a.revokedInPrevious = false
			a.successiveRevoking = 0
		}
		return
	case a.revokedInPrevious:
		a.successiveRevoking++
		a.delay = revocationBackoff(a.successiveRevoking, a.maxDelay)
		if a.delay != 0 {
			a.scheduled = a.now().Add(a.delay)
			return
		}
	default:
		a.revokedInPrevious = true
	}
	for _, l := range loads {
		revoked[l.member] = revoked[l.member].Plus(surplus[l.member])
		l.work = l.work.Minus(surplus[l.member])
	}
}

// revocationBackoff is how long balance waits when it would revoke for the nth time in a
// row: 40^n ms, at most maxDelay. (Source: CONSECUTIVE_REVOKING_REBALANCES_BACKOFF.)
func revocationBackoff(n int, maxDelay time.Duration) time.Duration {
	ms := math.Pow(40, float64(n))
	if ms >= float64(maxDelay.Milliseconds()) {
		return maxDelay
	}
	return time.Duration(ms) * time.Millisecond
}

// surplusOf is what each member holds above its share; nil if the group is balanced.
func surplusOf(configured Work, loads []*load) map[string]Work {
	if configured.Empty() || !slices.ContainsFunc(loads, func(l *load) bool { return !l.work.Empty() }) {
		return nil
	}
	var connectors []int
	var tasks []int
	for _, l := range loads {
		connectors = append(connectors, len(l.work.Connectors))
		tasks = append(tasks, len(l.work.Tasks))
	}
	connectors = surpluses(len(configured.Connectors), connectors)
	tasks = surpluses(len(configured.Tasks), tasks)

	out := make(map[string]Work)
	for i, l := range loads {
		if connectors[i]+tasks[i] > 0 {
			out[l.member] = Work{l.work.Connectors[:connectors[i]], l.work.Tasks[:tasks[i]]}.Clone()
		}
	}
	return out
}

// surpluses tells for each member, holding sizes[i] of total items, how many to take away.
func surpluses(total int, sizes []int) []int {
	least, extras := total/len(sizes), total%len(sizes)
	out := make([]int, len(sizes))
	var withLeast, withExtra int
	for _, n := range sizes {
		switch n {
		case least:
			withLeast++
		case least + 1:
			withExtra++
		}
	}
	if withExtra == extras && withLeast+withExtra == len(sizes) {
		return out
	}
	for i, n := range sizes {
		if n <= least {
			continue
		}
		most := least
		if extras > 0 {
			extras--
			most++
		}
		out[i] = n - min(n, most)
	}
	return out
}

// A load is what one member holds while a round is computed.
type load struct {
	member string
	work   Work
}

// loadsOf copies what the members hold, sorted by member id.
func loadsOf(held map[string]Work) []*load {
	out := make([]*load, 0, len(held))
	for member, w := range held {
		out = append(out, &load{member, w.Clone()})
	}
	slices.SortFunc(out, func(x, y *load) int { return cmp.Compare(x.member, y.member) })
	return out
}

// union is what the members hold together.
func union(loads []*load) Work {
	var all Work
	for _, l := range loads {
		all.Connectors = append(all.Connectors, l.work.Connectors...)
		all.Tasks = append(all.Tasks, l.work.Tasks...)
	}
	return Work{}.Plus(all)
}

// duplicates is the work that more than one member holds.
func duplicates(loads []*load) Work {
	var twice Work
	connectors, tasks := make(map[string]bool), make(map[TaskID]bool)
	for _, l := range loads {
		for _, c := range l.work.Connectors {
			if connectors[c] {
				twice.Connectors = append(twice.Connectors, c)
			}
			connectors[c] = true
		}
		for _, t := range l.work.Tasks {
			if tasks[t] {
				twice.Tasks = append(twice.Tasks, t)
			}
			tasks[t] = true
		}
	}
	return twice
}

func sorted(w Work) Work {
	slices.Sort(w.Connectors)
	slices.SortFunc(w.Tasks, TaskID.Compare)
	return w
}

// place gives work to the members that have least.
func place(loads []*load, w Work) {
	spread(loads, w.Connectors, func(l *load) *[]string { return &l.work.Connectors })
	spread(loads, w.Tasks, func(l *load) *[]TaskID { return &l.work.Tasks })
}

// spread gives items one by one to the members with the smallest list, in member order.
func spread[T any](loads []*load, items []T, list func(*load) *[]T) {
	size := func(l *load) int { return len(*list(l)) }
	slices.SortFunc(loads, func(x, y *load) int {
		return cmp.Or(cmp.Compare(size(x), size(y)), cmp.Compare(x.member, y.member))
	})
	for len(items) > 0 {
		first := size(loads[0])
		upTo := slices.IndexFunc(loads, func(l *load) bool { return size(l) > first })
		if upTo < 0 {
			upTo = len(loads)
		}
		for _, l := range loads[:min(upTo, len(items))] {
			into := list(l)
			*into = append(*into, items[0])
			items = items[1:]
		}
	}
}

// wholeMillis rounds up to what the protocol can carry, so that a delay never becomes 0.
func wholeMillis(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
