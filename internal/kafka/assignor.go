package kafka

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/firn-io/firn/connect"
)

// Names of the assignors on the wire.
const (
	RangeName             = "range"
	CooperativeStickyName = "cooperative-sticky"
)

// An Assignor divides partitions among members. partitions has the partition count of
// every topic that exists; the result has an entry for every member.
type Assignor func(partitions map[string]int32, members map[string]Subscription) map[string][]connect.TopicPartition

// AssignorOf returns the assignor of a name on the wire, nil if there is none.
func AssignorOf(name string) Assignor {
	switch name {
	case RangeName:
		return Range
	case CooperativeStickyName:
		return CooperativeSticky
	}
	return nil
}

// AssignFunc is the type of MemberConfig.Assign.
type AssignFunc = func(leaderID, protocol string, generation int32, members map[string][]byte) (map[string][]byte, error)

// ConsumerAssign makes a MemberConfig.Assign for consumer groups. partitions looks up
// the partition counts of the topics that exist.
func ConsumerAssign(partitions func(topics []string) (map[string]int32, error)) AssignFunc {
	return func(_, protocol string, _ int32, members map[string][]byte) (map[string][]byte, error) {
		assign := AssignorOf(protocol)
		if assign == nil {
			return nil, fmt.Errorf("no assignor %q in this build", protocol)
		}
		subscriptions := make(map[string]Subscription, len(members))
		var topics []string
		for id, metadata := range members {
			s, err := DecodeSubscription(metadata)
			if err != nil {
				return nil, fmt.Errorf("metadata of member %s: %w", id, err)
			}
			subscriptions[id] = s
			topics = append(topics, s.Topics...)
		}
		slices.Sort(topics)
		counts, err := partitions(slices.Compact(topics))
		if err != nil {
			return nil, fmt.Errorf("look up partitions: %w", err)
		}
		out := make(map[string][]byte, len(members))
		for id, tps := range assign(counts, subscriptions) {
			out[id] = EncodeAssignment(Assignment{Partitions: tps})
		}
		return out, nil
	}
}

// Range gives each member a contiguous range of each topic, as Java's RangeAssignor
// does without racks: members in order of id, the first ones get one more.
func Range(partitions map[string]int32, members map[string]Subscription) map[string][]connect.TopicPartition {
	out := make(map[string][]connect.TopicPartition, len(members))
	subscribers := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(members)) {
		out[id] = nil
		for _, topic := range slices.Compact(slices.Sorted(slices.Values(members[id].Topics))) {
			subscribers[topic] = append(subscribers[topic], id)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(subscribers)) {
		ids, count := subscribers[topic], partitions[topic]
		each, extra := count/int32(len(ids)), count%int32(len(ids))
		next := int32(0)
		for i, id := range ids {
			n := each
			if int32(i) < extra {
				n++
			}
			for range n {
				out[id] = append(out[id], connect.TopicPartition{Topic: topic, Partition: next})
				next++
			}
		}
	}
	return out
}

// CooperativeStickyUserData is the user data of a CooperativeSticky subscription: the
// generation of the partitions it says it owns, then extra bytes that Java ignores.
func CooperativeStickyUserData(generation int32, extra []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(generation)), extra...)
}

// CooperativeSticky balances and keeps partitions where they are, as Java's
// CooperativeStickyAssignor. A partition that moves between members is given to nobody
// in the first round (KIP-429): its owner, on seeing that, gives it up and rejoins.
// Racks are not looked at.
func CooperativeSticky(partitions map[string]int32, members map[string]Subscription) map[string][]connect.TopicPartition {
	owners := map[connect.TopicPartition]string{} // who says so
	for id, s := range members {
		for _, tp := range s.Owned {
			owners[tp] = id
		}
	}
	out := sticky(partitions, members)
	for id, tps := range out {
		owned := map[connect.TopicPartition]bool{}
		for _, tp := range members[id].Owned {
			owned[tp] = true
		}
		out[id] = slices.DeleteFunc(tps, func(tp connect.TopicPartition) bool {
			_, claimed := owners[tp]
			return claimed && !owned[tp]
		})
	}
	return out
}

// A balance is an assignment in the making.
type balance struct {
	ids  []string                            // of members, sorted
	have map[string][]connect.TopicPartition // by member
	fans map[string][]string                 // subscribers by topic, sorted
}

// sticky leaves partitions with their owners, gives those without one to the members
// with the fewest, and then moves what it must: no member has two more than another
// that could take one of its partitions.
func sticky(partitions map[string]int32, members map[string]Subscription) map[string][]connect.TopicPartition {
	b := balance{ids: slices.Sorted(maps.Keys(members)), have: make(map[string][]connect.TopicPartition, len(members)), fans: map[string][]string{}}
	for _, id := range b.ids {
		b.have[id] = nil
		for _, topic := range slices.Compact(slices.Sorted(slices.Values(members[id].Topics))) {
			b.fans[topic] = append(b.fans[topic], id)
		}
	}
	owners := lastOwners(members)
	var free []connect.TopicPartition
	for topic, fans := range b.fans {
		for p := range partitions[topic] {
			tp := connect.TopicPartition{Topic: topic, Partition: p}
			if id, ok := owners[tp]; ok && slices.Contains(fans, id) {
				b.have[id] = append(b.have[id], tp)
			} else {
				free = append(free, tp)
			}
		}
	}
	slices.SortFunc(free, func(x, y connect.TopicPartition) int { // those with the least choice first
		return cmp.Or(cmp.Compare(len(b.fans[x.Topic]), len(b.fans[y.Topic])), x.Compare(y))
	})
	for _, tp := range free {
		id := b.poorest(tp)
		b.have[id] = append(b.have[id], tp)
	}
	for b.move() {
	}
	for _, tps := range b.have {
		slices.SortFunc(tps, connect.TopicPartition.Compare)
	}
	return b.have
}

// lastOwners settles who owns what: the claim of the latest generation counts, and of
// two equal ones neither does.
func lastOwners(members map[string]Subscription) map[connect.TopicPartition]string {
	owners := map[connect.TopicPartition]string{}
	since := map[connect.TopicPartition]int32{}
	for id, s := range members {
		generation := s.Generation
		if generation < 0 && len(s.UserData) >= 4 { // before version 2 of the protocol
			generation = int32(binary.BigEndian.Uint32(s.UserData))
		}
		for _, tp := range s.Owned {
			last, claimed := since[tp]
			switch {
			case !claimed || generation > last:
				owners[tp], since[tp] = id, generation
			case generation == last && owners[tp] != id:
				delete(owners, tp)
			}
		}
	}
	return owners
}

// poorest is the subscriber of tp's topic with the fewest partitions.
func (b *balance) poorest(tp connect.TopicPartition) string {
	return slices.MinFunc(b.fans[tp.Topic], func(x, y string) int { return cmp.Compare(len(b.have[x]), len(b.have[y])) })
}

// move makes one pass over the members, richest first, and tells whether anything
// moved. Each move lowers the sum of squares of the counts, so that passes end.
func (b *balance) move() bool {
	moved := false
	richest := slices.SortedStableFunc(slices.Values(b.ids), func(x, y string) int { return cmp.Compare(len(b.have[y]), len(b.have[x])) })
	for _, id := range richest {
		slices.SortFunc(b.have[id], connect.TopicPartition.Compare)
		for i, tp := range slices.Backward(slices.Clone(b.have[id])) {
			if to := b.poorest(tp); len(b.have[id]) > len(b.have[to])+1 {
				b.have[id] = slices.Delete(b.have[id], i, i+1)
				b.have[to] = append(b.have[to], tp)
				moved = true
			}
		}
	}
	return moved
}
