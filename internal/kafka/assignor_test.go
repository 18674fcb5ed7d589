package kafka

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

// The expected assignments are those in the documentation of Java's RangeAssignor.
func TestRange(t *testing.T) {
	two := map[string]Subscription{"C0": {Topics: []string{"t0", "t1"}}, "C1": {Topics: []string{"t1", "t0"}}}
	got := Range(map[string]int32{"t0": 3, "t1": 3}, two)
	if fmt.Sprint(got) != "map[C0:[t0-0 t0-1 t1-0 t1-1] C1:[t0-2 t1-2]]" {
		t.Error(got)
	}
	if got := Range(map[string]int32{"t0": 1}, two); fmt.Sprint(got) != "map[C0:[t0-0] C1:[]]" {
		t.Error(got)
	}
}

// A world is a group under changes of members and topics.
type world struct {
	partitions map[string]int32
	members    map[string]Subscription
}

func drawWorld(t *rapid.T) world {
	w := world{map[string]int32{}, map[string]Subscription{}}
	for i := range rapid.IntRange(1, 4).Draw(t, "topics") {
		w.partitions[fmt.Sprint("t", i)] = rapid.Int32Range(1, 8).Draw(t, "partitions")
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "members") {
		w.members[fmt.Sprint("m", i)] = Subscription{Topics: drawTopics(t, w), Generation: -1}
	}
	return w
}

func drawTopics(t *rapid.T, w world) []string {
	all := slices.Sorted(maps.Keys(w.partitions))
	if rapid.Bool().Draw(t, "all topics") {
		return all
	}
	return all[:rapid.IntRange(1, len(all)).Draw(t, "subscribed")]
}

// held checks that nothing is held twice, nothing against the subscription, and says
// who holds what.
func (w world) held(t *rapid.T, given map[string][]connect.TopicPartition) map[connect.TopicPartition]string {
	owner := map[connect.TopicPartition]string{}
	if len(given) != len(w.members) {
		t.Fatalf("assignments for %d of %d members", len(given), len(w.members))
	}
	for id, tps := range given {
		for _, tp := range tps {
			if other, twice := owner[tp]; twice {
				t.Fatalf("%s is with %s and %s", tp, other, id)
			}
			if !slices.Contains(w.members[id].Topics, tp.Topic) || tp.Partition >= w.partitions[tp.Topic] {
				t.Fatalf("%s does not belong to %s", tp, id)
			}
			owner[tp] = id
		}
	}
	return owner
}

// settled checks that every partition that somebody wants is held, and that the counts
// are as even as single moves can make them.
func (w world) settled(t *rapid.T, given map[string][]connect.TopicPartition) {
	owner := w.held(t, given)
	for topic, n := range w.partitions {
		for p := range n {
			at := tp(topic, p)
			for id, s := range w.members {
				if !slices.Contains(s.Topics, topic) {
					continue
				}
				if _, held := owner[at]; !held {
					t.Fatalf("nobody has %s", at)
				}
				if rich := owner[at]; len(given[rich]) > len(given[id])+1 {
					t.Fatalf("%s has %d and %s has %d, and could have %s", rich, len(given[rich]), id, len(given[id]), at)
				}
			}
		}
	}
}

func TestCooperativeStickyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		generation := int32(0)
		for range rapid.IntRange(2, 5).Draw(t, "changes") {
			var last map[string][]connect.TopicPartition
			for round := 1; ; round++ { // those who gave something up rejoin
				given := CooperativeSticky(w.partitions, w.members)
				w.step(t, given)
				if fmt.Sprint(given) == fmt.Sprint(last) {
					break
				}
				if round > 4 { // two mostly; more if what is free again makes another member the poorest
					t.Fatalf("not at rest after %d rounds: %v became %v", round, last, given)
				}
				w.adopt(given, generation)
				last = given
				generation++
			}
			w.settled(t, last)
			w.change(t)
		}
	})
}

// step checks that no partition goes from one member to another in one step.
func (w world) step(t *rapid.T, given map[string][]connect.TopicPartition) {
	owner := w.held(t, given)
	for id, s := range w.members {
		for _, at := range s.Owned {
			if now, held := owner[at]; held && now != id {
				t.Fatalf("%s went from %s to %s in one step", at, id, now)
			}
		}
	}
}

func (w world) adopt(given map[string][]connect.TopicPartition, generation int32) {
	for id, s := range w.members {
		s.Owned, s.Generation, s.UserData = given[id], generation, CooperativeStickyUserData(generation, nil)
		if generation%2 == 0 {
			s.Generation = -1 // as members of protocol version 1: the user data tells
		}
		w.members[id] = s
	}
}

func (w world) change(t *rapid.T) {
	ids := slices.Sorted(maps.Keys(w.members))
	switch rapid.IntRange(0, 3).Draw(t, "change") {
	case 0:
		w.members["n"+ids[0]] = Subscription{Topics: drawTopics(t, w), Generation: -1}
	case 1:
		if len(ids) > 1 {
			delete(w.members, rapid.SampledFrom(ids).Draw(t, "leaves"))
		}
	case 2:
		w.partitions["t0"] += 2
	case 3:
		id := rapid.SampledFrom(ids).Draw(t, "subscribes anew")
		s := w.members[id]
		s.Topics = drawTopics(t, w)
		s.Owned = slices.DeleteFunc(slices.Clone(s.Owned), func(tp connect.TopicPartition) bool { return !slices.Contains(s.Topics, tp.Topic) })
		w.members[id] = s
	}
}

func TestCooperativeStickyMovesLittle(t *testing.T) {
	w := world{map[string]int32{"t": 9}, map[string]Subscription{"a": {Topics: []string{"t"}}, "b": {Topics: []string{"t"}}, "c": {Topics: []string{"t"}}}}
	w.adopt(CooperativeSticky(w.partitions, w.members), 1)
	before := w.members["a"].Owned
	delete(w.members, "b")
	given := CooperativeSticky(w.partitions, w.members)
	for _, tp := range before {
		if !slices.Contains(given["a"], tp) {
			t.Errorf("a lost %s although b left", tp)
		}
	}
	w.adopt(given, 2)
	w.members["d"] = Subscription{Topics: []string{"t"}, Generation: -1}
	first := CooperativeSticky(w.partitions, w.members)
	if len(first["d"]) != 0 || len(first["a"])+len(first["c"]) != 6 {
		t.Errorf("first round: %v, want 3 partitions with nobody", first)
	}
}

// Two members that say they own the same partition: the later generation is right.
func TestCooperativeStickyZombieClaims(t *testing.T) {
	owned := []connect.TopicPartition{tp("t", 0), tp("t", 1)}
	given := CooperativeSticky(map[string]int32{"t": 2, "u": 2}, map[string]Subscription{
		"zombie": {Topics: []string{"t", "u"}, Owned: owned, Generation: 3},
		"owner":  {Topics: []string{"t", "u"}, Owned: owned, Generation: 5},
	})
	if fmt.Sprint(given["owner"]) != "[t-0 t-1]" || fmt.Sprint(given["zombie"]) != "[u-0 u-1]" {
		t.Error(given)
	}
}

func TestConsumerAssign(t *testing.T) {
	assign := ConsumerAssign(func(topics []string) (map[string]int32, error) {
		if fmt.Sprint(topics) != "[a b]" {
			t.Errorf("asked for %v", topics)
		}
		return map[string]int32{"a": 3}, nil
	})
	members := map[string][]byte{
		"x": EncodeSubscription(Subscription{Topics: []string{"a", "b"}, Generation: -1}),
		"y": EncodeSubscription(Subscription{Topics: []string{"a"}, Generation: -1}),
	}
	for _, name := range []string{RangeName, CooperativeStickyName} {
		got, err := assign("x", name, 1, members)
		n := 0
		for _, data := range got {
			a, err := DecodeAssignment(data)
			if err != nil {
				t.Error(err)
			}
			n += len(a.Partitions)
		}
		if err != nil || len(got) != 2 || n != 3 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := assign("x", "sticky", 1, members); err == nil {
		t.Error("an unknown assignor was taken")
	}
	if _, err := assign("x", RangeName, 1, map[string][]byte{"x": {1}}); err == nil {
		t.Error("broken metadata was taken")
	}
}
