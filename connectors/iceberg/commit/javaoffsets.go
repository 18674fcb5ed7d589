package commit

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/apache/iceberg-go/table"
)

// Positions are offsets of the control topic by partition: the next to read.
type Positions map[int32]int64

// String is Java's form: JSON, {"0":17,"1":4}.
func (p Positions) String() string {
	text := make(map[string]int64, len(p))
	for partition, next := range p {
		text[strconv.Itoa(int(partition))] = next
	}
	b, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("commit: positions have no JSON form: %v", err)) // numbers always have
	}
	return string(b)
}

// parsePositions reads what String wrote, or Java.
func parsePositions(text string) (Positions, error) {
	var byName map[string]int64
	if err := json.Unmarshal([]byte(text), &byName); err != nil {
		return nil, err
	}
	out := make(Positions, len(byName))
	for name, next := range byName {
		partition, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			return nil, err
		}
		out[int32(partition)] = next
	}
	return out, nil
}

// readPositions returns Java's property as of the head of a branch: of the nearest
// ancestor that has it, else nothing.
func readPositions(t *table.Table, branch, key string) (Positions, error) {
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		if text, ok := s.Summary.Properties[key]; ok {
			p, err := parsePositions(text)
			if err != nil {
				return nil, fmt.Errorf("%s of snapshot %d: %w", key, s.SnapshotID, err)
			}
			return p, nil
		}
	}
	return Positions{}, nil
}

// javaWasLast tells whether a Java sink of that property committed to the branch after
// the last snapshot of Firn's, or alone.
func javaWasLast(t *table.Table, branch, key string) bool {
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		if _, ours := s.Summary.Properties[SummaryKey]; ours {
			return false
		}
		if _, java := s.Summary.Properties[key]; java {
			return true
		}
	}
	return false
}

// below returns p with what is at or above a partition's end left out, for the control
// topic that has the ends was created anew since.
func (p Positions) below(ends Positions) Positions {
	out := maps.Clone(p)
	maps.DeleteFunc(out, func(partition int32, next int64) bool {
		end, ok := ends[partition]
		return ok && next > end
	})
	return out
}
