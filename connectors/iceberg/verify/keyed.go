package verify

import (
	"context"
	"fmt"
)

// A keyed verifies a table whose rows replace others: each key has the row of its last
// record. Keys are looked at in as many passes as the memory asks for.
type keyed struct {
	*run
	places []int // of the key's columns among the leaves
	passes uint64
	keys   map[uint64]*lastRow
	begins bool // all topics have all their records

	undetermined int64
	gone         int64
}

// A lastRow is what the records of a key come to.
type lastRow struct {
	row    uint64
	offset int64
	part   int32 // place in Ranges
	live   bool

	rows    int32 // with the key, in the table
	matched bool  // one of them is the right one
	file    *File // of the last that is not
	at      int64

	// unsure: the order of its records is not known, or whether an insert replaces a row
	// depends on where commits fell.
	unsure bool
}

func newKeyed(r *run) (*keyed, error) {
	places, err := r.places(r.Key)
	if err != nil {
		return nil, err
	}
	v := &keyed{run: r, places: places, begins: true}
	var records int64
	for _, p := range r.Ranges {
		records += max(0, p.Next-p.First)
		v.begins = v.begins && p.First == 0 && !p.Compacted
	}
	v.passes = uint64(records*entryBytes/r.MemoryBytes) + 1
	r.total *= int64(v.passes)
	r.report.Method = "last row of each key"
	return v, nil
}

func (v *keyed) verify(ctx context.Context) error {
	for pass := range v.passes {
		if err := v.pass(ctx, pass); err != nil {
			return err
		}
	}
	r := v.report
	if r.Differences() == 0 {
		r.prove("every key has the row of its last record below the stored offsets, with its values, once; keys that were deleted have none")
	}
	if v.undetermined > 0 {
		r.leave("%d keys have records in several partitions, or inserts of a key that has a row: which row is the last is not determined", v.undetermined)
	}
	if v.gone > 0 {
		r.leave("%d rows have keys of which the topic has no record any more", v.gone)
	}
	r.leave("replaced rows: only the last of each key can be seen")
	return nil
}

func (v *keyed) pass(ctx context.Context, pass uint64) error {
	ours := func(key uint64) bool { return v.rows.mix(1, key)>>1%v.passes == pass }
	v.keys = make(map[uint64]*lastRow)
	for n, p := range v.Ranges {
		err := v.expected(ctx, p, p.First, p.Next, func(int64) {}, func(op Op, offset int64, leaves []uint64) error {
			if key := keyOf(leaves, v.places); ours(key) {
				v.apply(op, key, int32(n), offset, leaves)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	d, err := v.readDeletes(ctx, ours)
	if err != nil {
		return err
	}
	err = v.live(ctx, d, pass == 0, nil, func(f *File, row *fileRow) error {
		if key := keyOf(row.leaves, v.places); ours(key) {
			v.report.Rows++
			v.found(key, f, row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range v.keys {
		switch {
		case k.unsure:
			v.undetermined++
		case k.live:
			v.report.Expected++
			v.judge(k)
		}
	}
	return nil
}

// apply does what a record does to its key's row.
func (v *keyed) apply(op Op, key uint64, part int32, offset int64, leaves []uint64) {
	k := v.keys[key]
	if k == nil {
		k = &lastRow{part: part}
		v.keys[key] = k
	}
	k.unsure = k.unsure || k.part != part || op == Insert && k.live
	k.offset, k.live = offset, op != Delete
	if k.live {
		k.row = whole(leaves)
	}
}

// found compares a row of the table.
func (v *keyed) found(key uint64, f *File, row *fileRow) {
	r := v.report
	k := v.keys[key]
	switch {
	case k == nil && !v.begins:
		v.gone++
	case k == nil:
		r.add(&r.Extra, v.Examples, "no record has the key of %s", sightingText(f.Path, row.number))
	case k.unsure:
	case !k.live:
		r.add(&r.Extra, v.Examples, "%s deleted the key of %s", v.record(k), sightingText(f.Path, row.number))
	default:
		k.rows++
		if !k.matched && k.row == whole(row.leaves) {
			k.matched = true
		} else {
			k.file, k.at = f, row.number
		}
	}
}

// judge looks at a key whose row should be in the table.
func (v *keyed) judge(k *lastRow) {
	r := v.report
	switch {
	case k.rows == 0:
		r.add(&r.Lost, v.Examples, "the row of %s is lost, the last of its key", v.record(k))
	case !k.matched:
		r.add(&r.Wrong, v.Examples, "%s has other values than the last record of its key, %s", sightingText(k.file.Path, k.at), v.record(k))
	}
	if k.rows > 1 {
		r.Doubled += int64(k.rows) - 1
		r.example(v.Examples, "the key of %s has %d rows, one is %s", v.record(k), k.rows, sightingText(k.file.Path, k.at))
	}
}

func (v *keyed) record(k *lastRow) string {
	return fmt.Sprintf("%s@%d", v.Ranges[k.part].TopicPartition, k.offset)
}
