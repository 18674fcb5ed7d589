// Package commit makes tables exactly-once: it decides which ranges of source
// offsets a snapshot may add, and proves every commit against the table itself.
//
// For each table t and source partition p the table's own snapshots carry two
// numbers. The floor F: every record of p below F that routes to t is in t. And D:
// a copy of done, the offset below which every record is in all the tables it
// routes to. Offsets follow the table, never lead it; the consumer group is a cache.
//
// Tasks read ranges, drop what lies below the floors they read, and announce a
// [Unit]: the range [first, next) of each partition, and per table the files with the
// floors they were filtered with. The [Coordinator] of a connector accepts units as a
// chain per partition (first = end), and per table pins the branch head and adds a
// unit's files only if the floors there still equal the unit's. After any unclear
// outcome it reads the new head and decides again from the floors: a commit that did
// land shows there. Group offsets move last, to done.
//
// Tables do not wait for each other, but for moments, to go in one request where the
// catalog takes several (catalog.Joint); no guard depends on that. Each takes the accepted
// units in their order, at its own pace: when its interval is over, when it has enough
// bytes, or when somebody waits.
// Done moves, partition by partition, over what all tables have, so that a table that
// cannot be committed to holds back the offsets of the partitions that route to it and
// no others. The chain goes on meanwhile, so the other tables get the rows of those
// partitions too, until a task has as much unconfirmed as it may ([Chain.Held]); then it
// stops reading them. The table is tried again for ever, and after a while the status of
// the coordinator's task tells.
//
// So no guard depends on who coordinates: a zombie or a second coordinator costs
// time, never rows. The control topic may lose, repeat and reorder what is sent.
//
// Ownership: a [Chain] belongs to the task's goroutine. A Coordinator's state belongs
// to its Run goroutine; commits of tables run beside it and report back.
package commit

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// None is the floor, end or done that is not there.
const None int64 = -1

// TopicID is Kafka's id of a topic (KIP-516): a topic made anew has a new one, and
// floors of the old one say nothing about its records.
type TopicID [16]byte

// A UnitID names one announcement of one task instance.
type UnitID struct {
	Task    [16]byte // random, new for every task instance
	Counter uint64   // from 1
}

// String is short, for logs.
func (id UnitID) String() string {
	return hex.EncodeToString(id.Task[:4]) + "/" + strconv.FormatUint(id.Counter, 10)
}

// A Range is the part [First, Next) of one partition that a unit covers. An empty one
// only says that the task holds the partition and has nothing new of it; the chain
// passes over it.
type Range struct {
	connect.TopicPartition
	TopicID     TopicID // of the topic that was read; zero if not known
	First, Next int64
	Newest      int64 // greatest timestamp of its records, in milliseconds; None: there was none
}

// Empty tells whether the range has no offsets.
func (r Range) Empty() bool { return r.First == r.Next }

// A Link is what a unit adds to one table under one partition spec.
type Link struct {
	Target
	UUID    [16]byte // of the table whose floors were read
	Version int      // format version of Files
	SpecID  int      // partition spec of Files

	// Floors holds, by index into the unit's Ranges, the floor of the table as the task
	// read it when it met the first record for the table; an empty range, and one whose
	// records never asked for the table, is not in it. None: the table had no floor.
	Floors map[int]int64

	Records int64
	Bytes   int64  // of the files
	Files   []byte // an Iceberg manifest of the data files: see EncodeFiles

	// Of a table whose rows replace older ones with the same key: equality deletes reach
	// only rows of earlier snapshots, so a link like that needs one of its own, even when
	// it deletes nothing.
	Keyed        bool
	DeleteSpecID int    // partition spec of Deletes
	Deletes      []byte // a manifest of the equality delete files: see EncodeDeletes
}

// A Target is one branch of one table.
type Target struct {
	Table  string // identifier, namespace levels first, joined by dots
	Branch string
}

// Identifier is the table's name in the catalog's form.
func (t Target) Identifier() table.Identifier { return strings.Split(t.Table, ".") }

// A Unit is one announcement: accepted whole or not at all.
type Unit struct {
	ID         UnitID
	ConfigHash uint64
	Cycle      [16]byte // commit id that asked for it; zero when unasked
	Ranges     []Range
	Links      []Link
}

// reads tells whether the unit has offsets of any partition.
func (u *Unit) reads() bool {
	return slices.ContainsFunc(u.Ranges, func(r Range) bool { return !r.Empty() })
}

// covers tells whether the unit has offsets of tp.
func (u *Unit) covers(tp connect.TopicPartition) bool {
	for _, r := range u.Ranges {
		if !r.Empty() && r.TopicPartition == tp {
			return true
		}
	}
	return false
}

// size is about how many bytes it takes to remember the unit.
func (u *Unit) size() int {
	n := 256 + 64*len(u.Ranges)
	for i := range u.Links {
		l := &u.Links[i]
		n += 256 + 32*len(l.Floors) + len(l.Files) + len(l.Deletes)
	}
	return n
}

// shares tells whether two units have a partition in common.
func (u *Unit) shares(o *Unit) bool {
	for _, r := range u.Ranges {
		if !r.Empty() && o.covers(r.TopicPartition) {
			return true
		}
	}
	return false
}

// A Level is what the coordinator says of one partition in every [Cycle].
type Level struct {
	connect.TopicPartition
	TopicID TopicID
	End     int64 // done plus what was accepted and is not committed
	Done    int64 // below it, every record is in all tables it routes to
}

// Idle tells whether nothing is pending, so that floors read now hold.
func (l Level) Idle() bool { return l.End == l.Done }

// A Cycle is the coordinator's state, published again and again: a level, not an
// event, so that a lost one is made good by the next.
type Cycle struct {
	Coordinator [16]byte // random, new for every coordinator
	Sequence    uint64   // of this coordinator's cycles; an older one is ignored
	Epoch       int32    // the coordinator's group generation
	ConfigHash  uint64
	Commit      [16]byte // a new id asks every task to flush; zero before the first
	Levels      []Level
	Void        []UnitID // units that were refused and can never be accepted
	Stuck       []Stuck
}

// Stuck says of a partition with something pending for long, because a table cannot be
// committed to, which floors its tables will have once all of it has landed; tables that
// are not named have theirs. With them a range can be opened at the end of the chain: its
// rows are filtered with the floors to come, and its unit is taken if they do come.
type Stuck struct {
	connect.TopicPartition
	Floors map[Target]int64
}
