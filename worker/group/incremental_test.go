package group

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A cluster plays the members of a group: it keeps what each holds and applies rounds.
type cluster struct {
	assignor   *Incremental
	now        time.Time
	generation int32
	held       map[string]Work
	gone       map[string]Work // what members held that went away
	missed     string          // the member that does not get the next assignment
}

func newCluster(maxDelay time.Duration) *cluster {
	c := &cluster{now: time.Unix(1000, 0), generation: noGeneration, held: make(map[string]Work), gone: make(map[string]Work)}
	c.lead(maxDelay)
	return c
}

// lead moves the leadership.
func (c *cluster) lead(maxDelay time.Duration) {
	c.assignor = NewIncremental(maxDelay, func() time.Time { return c.now })
}

func (c *cluster) leave(m string) {
	c.gone[m] = c.held[m]
	delete(c.held, m)
}

// back lets a member come back under another id, with what it held.
func (c *cluster) back(m, old string) {
	c.held[m] = c.gone[old]
	delete(c.gone, old)
}

func (c *cluster) round(configured Work) Round {
	c.generation++
	r := c.assignor.Assign(configured, c.generation-1, c.generation, c.held)
	for m, w := range c.held {
		if m != c.missed {
			c.held[m] = r.Added[m].Plus(w.Minus(r.Revoked[m])) // as Member does
		}
	}
	c.missed = ""
	return r
}

func configured(tasks map[string]int) (w Work) {
	for c, n := range tasks {
		w.Connectors = append(w.Connectors, c)
		for i := range n {
			w.Tasks = append(w.Tasks, TaskID{c, i})
		}
	}
	return w
}

// show prints a round as the recording does, with the revoked work sorted: Java lists what
// was revoked because of a deletion in hash order.
func show(r Round) string {
	line := []string{fmt.Sprintf("delay=%d", r.Delay.Milliseconds())}
	for _, m := range slices.Sorted(maps.Keys(r.Added)) {
		a, v := r.Added[m], sorted(r.Revoked[m].Clone())
		line = append(line, fmt.Sprintf("%s: +%s%s -%s%s", m, list(a.Connectors), list(a.Tasks), list(v.Connectors), list(v.Tasks)))
	}
	return strings.Join(line, " | ")
}

func list[T any](items []T) string {
	s := make([]string, len(items))
	for i, item := range items {
		s[i] = fmt.Sprint(item)
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// TestRecordedRounds replays every round that was recorded from Java's assignor.
func TestRecordedRounds(t *testing.T) {
	var c *cluster
	join := func(m string) { c.held[m] = Work{} }
	leave := func(m string) { c.leave(m) }
	two := configured(map[string]int{"c1": 4, "c2": 4})
	six := configured(map[string]int{"c1": 6})
	dup := configured(map[string]int{"c1": 2})
	one := configured(map[string]int{"c1": 4})
	more := configured(map[string]int{"c1": 4, "c3": 3})
	stories := []struct {
		step   string // first word of the recorded line
		before func()
		config Work
	}{
		{"A1", func() { c = newCluster(300 * time.Second); join("w1") }, two},
		{"A2", func() { join("w2") }, two},
		{"A3", nil, two},
		{"A4", func() { join("w3") }, two},
		{"A5", nil, two},
		{"A6", nil, two},
		{"A7", func() { leave("w2") }, two},
		{"A8", func() { c.now = c.now.Add(time.Minute); join("w2") }, two},
		{"A9", func() { c.now = c.now.Add(4 * time.Minute) }, two},
		{"A10", nil, two},
		{"A11", func() { leave("w3") }, two},
		{"A12", func() { c.now = c.now.Add(5 * time.Minute) }, two},
		{"A13", nil, one},
		{"A14", nil, more},
		{"A15", nil, more},
		{"B1", func() { c = newCluster(300 * time.Second); join("w1") }, six},
		{"B2", func() { join("w2") }, six},
		{"B3", func() { join("w3") }, six},
		{"B4", func() { c.now = c.now.Add(40 * time.Millisecond) }, six},
		{"B5", nil, six},
		{"B6", nil, six},
		{"D1", func() {
			c = newCluster(300 * time.Second)
			c.generation = 7 // somebody else led so far
			held := Work{Connectors: []string{"c1"}, Tasks: []TaskID{{"c1", 0}}}
			c.held["w1"], c.held["w2"] = held, held
		}, dup},
		{"D2", nil, dup},
		{"D3", nil, dup},
	}
	names, want := golden(t, "incremental.txt")
	if len(names) != len(stories) {
		t.Fatalf("%d rounds recorded, %d known here", len(names), len(stories))
	}
	for i, name := range names {
		story := stories[i]
		if step, _, _ := strings.Cut(name, " "); step != story.step {
			t.Fatalf("round %d is %q, want %s", i, name, story.step)
		}
		if story.before != nil {
			story.before()
		}
		if got := show(c.round(story.config)); got != sortRevoked(want[name]) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want[name])
		}
	}
}

var revokedWork = regexp.MustCompile(`-\[[^]]*\]\[[^]]*\]`)

// sortRevoked sorts the revoked connectors and tasks of a recorded line.
func sortRevoked(line string) string {
	return revokedWork.ReplaceAllStringFunc(line, func(s string) string {
		connectors, tasks, _ := strings.Cut(s[len("-["):len(s)-len("]")], "][")
		inOrder := func(items string) string {
			list := strings.Split(items, ", ")
			slices.Sort(list)
			return "[" + strings.Join(list, ", ") + "]"
		}
		return "-" + inOrder(connectors) + inOrder(tasks)
	})
}

func TestDelayNeverRoundsToZero(t *testing.T) {
	c := newCluster(time.Second)
	c.held["w1"], c.held["w2"] = Work{}, Work{}
	config := configured(map[string]int{"c": 4})
	c.round(config)
	delete(c.held, "w2")
	if r := c.round(config); r.Delay != time.Second {
		t.Fatalf("delay %v after a member left, want 1s", r.Delay)
	}
	c.now = c.now.Add(time.Second - time.Microsecond)
	if r := c.round(config); r.Delay != time.Millisecond {
		t.Errorf("delay %v with 1µs to go, want 1ms: 0 would mean that nobody rejoins", r.Delay)
	}
}

func TestRevocationBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 40 * time.Millisecond, 2: 1600 * time.Millisecond, 3: 64 * time.Second, 4: 300 * time.Second, 1000: 300 * time.Second} {
		if got := revocationBackoff(n, 300*time.Second); got != want {
			t.Errorf("revocationBackoff(%d) = %v, want %v", n, got, want)
		}
	}
	if got := revocationBackoff(1, 0); got != 0 {
		t.Errorf("without a delay: %v, want 0", got)
	}
}

func TestEager(t *testing.T) {
	got := AssignEager(configured(map[string]int{"b": 2, "a": 1}), []string{"m2", "m1"})
	want := map[string]Work{
		"m1": {Connectors: []string{"a"}, Tasks: []TaskID{{"a", 0}, {"b", 1}}},
		"m2": {Connectors: []string{"b"}, Tasks: []TaskID{{"b", 0}}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := AssignEager(configured(map[string]int{"a": 1}), nil); len(got) != 0 {
		t.Errorf("without members: %v", got)
	}
}

// TestIncrementalProperties lets members come, go and come back with their work, miss
// assignments, connectors change and leaders move. Nothing is left running twice, members
// keep what they need not give away, and a group that is left alone ends up balanced, with
// all work assigned, and stays so.
func TestIncrementalProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxDelay = 10 * time.Second
		c := newCluster(maxDelay)
		tasks := map[string]int{"c0": 3}
		c.held["m0"] = Work{}
		next := 1
		member := func(of map[string]Work, label string) string {
			return rapid.SampledFrom(slices.Sorted(maps.Keys(of))).Draw(t, label)
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			for range rapid.IntRange(1, 3).Draw(t, "events") {
				switch rapid.IntRange(0, 8).Draw(t, "step") {
				case 0:
					c.held["m"+strconv.Itoa(next)] = Work{}
					next++
				case 1:
					if len(c.held) > 1 {
						c.leave(member(c.held, "leaves"))
					}
				case 6:
					if len(c.gone) > 0 {
						c.back("m"+strconv.Itoa(next), member(c.gone, "comes back"))
						next++
					}
				case 7:
					c.missed = member(c.held, "misses")
				case 2:
					tasks["c"+strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "connector"))] = rapid.IntRange(0, 6).Draw(t, "tasks")
				case 3:
					delete(tasks, "c"+strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "deleted")))
				case 4:
					c.lead(maxDelay)
				case 5:
					c.now = c.now.Add(time.Duration(rapid.IntRange(0, 15_000).Draw(t, "ms")) * time.Millisecond)
				}
			}
			before, missed := maps.Clone(c.held), c.missed
			config := configured(tasks)
			r := c.round(config)
			checkSticky(t, before, config, r)
			after := maps.Clone(c.held)
			delete(after, missed)
			checkRound(t, before, config, r, after)
		}
		// Left alone, and rejoining as Member does: after a revocation, and when a delay ends.
		config := configured(tasks)
		for rounds, calm := 0, 0; calm < 2; rounds++ {
			if rounds == 20 {
				t.Fatalf("the group does not settle: %v", c.held)
			}
			r := c.round(config)
			calm++
			if r.Delay > 0 || !quiet(r) {
				calm = 0
			}
			c.now = c.now.Add(r.Delay)
		}
		checkSettled(t, config, c.held)
		c.now = c.now.Add(time.Hour)
		if r := c.round(config); r.Delay != 0 || !quiet(r) {
			t.Fatalf("a settled group is unsettled again: %s", show(r))
		}
	})
}

// checkSticky wants work revoked only if it is no longer configured, runs twice, or is
// beyond the share of its member; and because of the share only when no delay is running.
func checkSticky(t *rapid.T, before map[string]Work, config Work, r Round) {
	holders := make(map[string]int)
	for _, w := range before {
		for _, item := range items(w) {
			holders[item]++
		}
	}
	for m := range before {
		balanced := r.Revoked[m].And(config)
		balanced.Connectors = slices.DeleteFunc(balanced.Connectors, func(c string) bool { return holders[c] > 1 })
		balanced.Tasks = slices.DeleteFunc(balanced.Tasks, func(id TaskID) bool { return holders[items(Work{Tasks: []TaskID{id}})[0]] > 1 })
		if r.Delay > 0 && !balanced.Empty() {
			t.Fatalf("%s has to give up %v while a delay is running", m, balanced)
		}
		kept := r.Running[m] // lost work that comes to a candidate counts for its share
		if len(balanced.Connectors) > 0 && len(kept.Connectors) < len(config.Connectors)/len(before) ||
			len(balanced.Tasks) > 0 && len(kept.Tasks) < len(config.Tasks)/len(before) {
			t.Fatalf("%s has to give up %v and keeps only %v of %v: %v, then %s", m, balanced, kept, config, before, show(r))
		}
	}
}

func quiet(r Round) bool {
	for m := range r.Added {
		if !r.Added[m].Empty() || !r.Revoked[m].Empty() {
			return false
		}
	}
	return true
}

func checkRound(t *rapid.T, before map[string]Work, config Work, r Round, after map[string]Work) {
	running := make(map[string]string)
	for m, w := range after {
		for _, item := range items(w) {
			if other, twice := running[item]; twice {
				t.Fatalf("%s runs on %s and %s: %v", item, other, m, after)
			}
			running[item] = m
		}
		// What a member brings back that was deleted meanwhile is seen a round later.
		if extra := w.Minus(config, before[m]); !extra.Empty() {
			t.Fatalf("%s was given %v, which is not configured", m, extra)
		}
		if got := sorted(r.Running[m].Clone()); fmt.Sprint(got) != fmt.Sprint(sorted(w.Clone())) {
			t.Fatalf("%s runs %v, the leader says %v", m, w, got)
		}
		if both := r.Added[m].And(before[m]); !both.Empty() {
			t.Fatalf("%s was given %v, which it had", m, both)
		}
	}
}

func checkSettled(t *rapid.T, config Work, held map[string]Work) {
	var all Work
	var connectors, tasks []int
	for _, w := range held {
		all = all.Plus(w)
		connectors = append(connectors, len(w.Connectors))
		tasks = append(tasks, len(w.Tasks))
	}
	if missing, extra := config.Minus(all), all.Minus(config); !missing.Empty() || !extra.Empty() {
		t.Fatalf("nobody runs %v, %v is not configured: %v", missing, extra, held)
	}
	for _, sizes := range [][]int{connectors, tasks} {
		if slices.Max(sizes)-slices.Min(sizes) > 1 {
			t.Fatalf("not balanced: %v", held)
		}
	}
}

func items(w Work) (out []string) {
	out = append(out, w.Connectors...)
	for _, id := range w.Tasks {
		out = append(out, id.Connector+"/"+strconv.Itoa(id.Task))
	}
	return out
}

func TestStickyWhenAMemberLeaves(t *testing.T) {
	c := newCluster(time.Minute)
	for _, m := range []string{"a", "b", "c"} {
		c.held[m] = Work{}
	}
	config := configured(map[string]int{"x": 9})
	c.round(config)
	before := maps.Clone(c.held)
	delete(c.held, "c")
	if r := c.round(config); r.Delay != time.Minute || !quiet(r) {
		t.Fatalf("first round without c: %s, want nothing moved for a minute", show(r))
	}
	c.now = c.now.Add(time.Minute)
	r := c.round(config)
	var given Work
	for m := range r.Added {
		if !r.Revoked[m].Empty() {
			t.Errorf("%s had to give up %v", m, r.Revoked[m])
		}
		given = given.Plus(r.Added[m])
	}
	if missing := before["c"].Minus(given); !missing.Empty() || len(given.Tasks) != 3 {
		t.Errorf("given after the delay: %v, want exactly %v", given, before["c"])
	}
}
