package commit

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// A Source is a source partition as seen by one identity group: two connectors may
// feed one table from one topic.
type Source struct {
	Group     string
	Topic     string
	TopicID   TopicID
	Partition int32
}

// NewSource names partition tp of the topic with that id, read by group.
func NewSource(group string, tp connect.TopicPartition, id TopicID) Source {
	return Source{Group: group, Topic: tp.Topic, TopicID: id, Partition: tp.Partition}
}

// A Floor is the pair of numbers kept per source partition.
type Floor struct{ F, D int64 }

// Floors is everything a snapshot says about source offsets. A source that is not in
// it has no floor, which differs from a floor of 0.
type Floors map[Source]Floor

// F returns the floor of s, None if there is none.
func (fs Floors) F(s Source) int64 {
	if f, ok := fs[s]; ok {
		return f.F
	}
	return None
}

// D returns the done copied for s, None if there is none.
func (fs Floors) D(s Source) int64 {
	if f, ok := fs[s]; ok {
		return f.D
	}
	return None
}

// raise merges one pair into the map; neither number ever falls.
func (fs Floors) raise(s Source, f, d int64) {
	old, ok := fs[s]
	if !ok {
		old = Floor{None, None}
	}
	fs[s] = Floor{max(old.F, f), max(old.D, d)}
}

// Keys under which the floors are stored: in the summary of each snapshot, and, since
// foreign compaction and expiry can drop every such snapshot, as a table property that
// the same commit sets. Other branches than main have a property of their own.
const (
	SummaryKey  = "firn.offsets"
	propertyKey = "firn.offsets"

	// configKey names, in the summary, the configuration (its hash) that routed the rows.
	configKey = "firn.config-hash"
)

// PropertyKey is the table property that copies the floors of a branch.
func PropertyKey(branch string) string {
	if branch == table.MainBranch {
		return propertyKey
	}
	return propertyKey + "." + branch
}

// floorsVersion leads the encoded text; a reader refuses what it does not know.
const floorsVersion = "1:"

// String encodes the floors as text: "1:" and base64 of, per group, its name and
// topics; per topic, name, id and partitions; per partition, the distance to the one
// before, F+1 and D+1; all numbers as varints. 1,000 partitions take about 10 kB.
func (fs Floors) String() string {
	keys := slices.SortedFunc(maps.Keys(fs), func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic),
			slices.Compare(a.TopicID[:], b.TopicID[:]), cmp.Compare(a.Partition, b.Partition))
	})
	var w writer
	groups := chunks(keys, func(a, b Source) bool { return a.Group == b.Group })
	w.uvarint(uint64(len(groups)))
	for _, g := range groups {
		w.text(g[0].Group)
		topics := chunks(g, func(a, b Source) bool { return a.Topic == b.Topic && a.TopicID == b.TopicID })
		w.uvarint(uint64(len(topics)))
		for _, t := range topics {
			w.text(t[0].Topic)
			w.id(t[0].TopicID)
			w.uvarint(uint64(len(t)))
			last := int32(0)
			for _, s := range t {
				w.uvarint(uint64(s.Partition - last))
				w.uvarint(uint64(fs[s].F + 1))
				w.uvarint(uint64(fs[s].D + 1))
				last = s.Partition
			}
		}
	}
	return floorsVersion + base64.RawURLEncoding.EncodeToString(w.b)
}

// chunks cuts a sorted slice into runs of equal elements.
func chunks(keys []Source, same func(a, b Source) bool) [][]Source {
	var out [][]Source
	for i := 0; i < len(keys); {
		j := i + 1
		for j < len(keys) && same(keys[i], keys[j]) {
			j++
		}
		out = append(out, keys[i:j])
		i = j
	}
	return out
}

// ParseFloors reads what String wrote.
func ParseFloors(text string) (Floors, error) {
	body, ok := strings.CutPrefix(text, floorsVersion)
	if !ok {
		return nil, fmt.Errorf("%s: unknown version of %.20q: written by a newer Firn? (upgrade this worker)", SummaryKey, text)
	}
	data, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SummaryKey, err)
	}
	fs := Floors{}
	r := reader{b: data}
	for range r.count(1) {
		group := r.text()
		for range r.count(1) {
			s := Source{Group: group, Topic: r.text(), TopicID: r.id()}
			for range r.count(3) {
				s.Partition += int32(r.uvarint())
				fs[s] = Floor{F: int64(r.uvarint()) - 1, D: int64(r.uvarint()) - 1}
			}
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("%s: %w", SummaryKey, err)
	}
	for s, f := range fs {
		if s.Partition < 0 || f.F < None || f.D < None {
			return nil, fmt.Errorf("%s: number out of range for %s-%d", SummaryKey, s.Topic, s.Partition)
		}
	}
	return fs, nil
}

// ReadFloors returns the floors of a branch: those of the nearest ancestor of its head
// that has them, else those of the table property, else none. A branch that does not exist
// yet has those of main.
func ReadFloors(t *table.Table, branch string) (Floors, error) {
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		if text, ok := s.Summary.Properties[SummaryKey]; ok {
			return ParseFloors(text)
		}
	}
	if t.SnapshotByName(branch) == nil {
		branch = table.MainBranch // whose rows it will have
	}
	if text, ok := t.Properties()[PropertyKey(branch)]; ok {
		return ParseFloors(text)
	}
	return Floors{}, nil
}

func configText(hash uint64) string { return strconv.FormatUint(hash, 16) }

// readConfig returns which configuration routed the rows of the last snapshot that says so.
func readConfig(t *table.Table, branch string) string {
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		if text, ok := s.Summary.Properties[configKey]; ok {
			return text
		}
	}
	return ""
}

// base is the snapshot that a commit to a branch builds on: the branch's head, or, when
// there is no such branch yet, main's, where it will begin.
func base(t *table.Table, branch string) *table.Snapshot {
	if s := t.SnapshotByName(branch); s != nil {
		return s
	}
	return t.SnapshotByName(table.MainBranch)
}

func parent(t *table.Table, s *table.Snapshot) *table.Snapshot {
	if s.ParentSnapshotID == nil {
		return nil
	}
	return t.SnapshotByID(*s.ParentSnapshotID)
}
