package verify

import "testing"

// TestLastRows follows the records of a key, and tells when their outcome is not determined.
func TestLastRows(t *testing.T) {
	type record struct {
		op   Op
		part int32
		row  uint64
	}
	for _, tt := range []struct {
		name    string
		records []record
		live    bool
		row     uint64
		unsure  bool
	}{
		{"an update", []record{{Insert, 0, 1}, {Upsert, 0, 2}}, true, 2, false},
		{"a delete", []record{{Upsert, 0, 1}, {Delete, 0, 0}}, false, 0, false},
		{"inserted again", []record{{Insert, 0, 1}, {Delete, 0, 0}, {Insert, 0, 3}}, true, 3, false},
		{"an insert over a row", []record{{Insert, 0, 1}, {Insert, 0, 2}}, true, 2, true},
		{"two partitions", []record{{Upsert, 0, 1}, {Upsert, 1, 2}}, true, 2, true},
		{"and back", []record{{Upsert, 0, 1}, {Upsert, 1, 2}, {Upsert, 0, 3}}, true, 3, true},
	} {
		v := &keyed{keys: make(map[uint64]*lastRow)}
		for i, r := range tt.records {
			v.apply(r.op, 7, r.part, int64(i), []uint64{r.row})
		}
		k := v.keys[7]
		if k.live != tt.live || k.live && k.row != tt.row || k.unsure != tt.unsure {
			t.Errorf("%s: got %+v, want live %v, row %d, unsure %v", tt.name, *k, tt.live, tt.row, tt.unsure)
		}
	}
}
