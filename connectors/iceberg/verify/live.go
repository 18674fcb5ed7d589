package verify

import (
	"context"
	"slices"

	"github.com/apache/iceberg-go"
)

// Field ids of a position delete file's columns. (Source: Iceberg specification,
// "Reserved Field IDs".)
const (
	deletedPathID     = 2147483546
	deletedPositionID = 2147483545
)

// deletes are the rows that delete files take away.
type deletes struct {
	positions map[string][]uint64 // bits by data file
	groups    [][]int             // sets of key columns, as places among the leaves
	scopes    map[string]uint32
	latest    map[deletedKey]int64 // highest sequence number of a delete
}

// A deletedKey is a key within the partition of its delete; scope 0 is all partitions.
type deletedKey struct {
	group, scope uint32
	key          uint64
}

// readDeletes reads the delete files. Of the keys in the job's own columns only those that
// wants takes are kept; nil takes all.
func (r *run) readDeletes(ctx context.Context, wants func(key uint64) bool) (*deletes, error) {
	d := &deletes{positions: make(map[string][]uint64), scopes: map[string]uint32{"": 0}, latest: make(map[deletedKey]int64)}
	records := make(map[string]int64, len(r.Table.Data))
	for _, f := range r.Table.Data {
		records[f.Path] = f.Records
	}
	for _, f := range r.Table.Deletes {
		var err error
		if f.Content == iceberg.EntryContentPosDeletes {
			_, err = r.rows.readFile(ctx, r.Table, f.Path, []int{deletedPathID, deletedPositionID}, func(row *fileRow) error {
				if at, path := row.ints[1], row.texts[0]; at >= 0 && at < records[path] {
					bits := d.positions[path]
					if need := int(at/64) + 1; need > len(bits) {
						bits = slices.Grow(bits, need-len(bits))[:need]
					}
					bits[at/64] |= 1 << (at % 64)
					d.positions[path] = bits
				}
				return nil
			})
		} else {
			err = r.readKeys(ctx, d, f, wants)
		}
		if err != nil {
			return nil, err
		}
		if int64(len(d.latest))*entryBytes > r.MemoryBytes {
			return nil, cannot("the keys in delete files take more than the memory allowed (%d MiB)", r.MemoryBytes>>20)
		}
	}
	return d, nil
}

func (r *run) readKeys(ctx context.Context, d *deletes, f File, wants func(key uint64) bool) error {
	places, err := r.places(f.Key)
	if err != nil {
		return err
	}
	group := slices.IndexFunc(d.groups, func(g []int) bool { return slices.Equal(g, places) })
	if group < 0 {
		group = len(d.groups)
		d.groups = append(d.groups, places)
	}
	own, err := r.places(r.Key)
	if err != nil {
		return err
	}
	if !slices.Equal(own, places) {
		wants = nil
	}
	scope, ok := d.scopes[f.Scope]
	if !ok {
		scope = uint32(len(d.scopes))
		d.scopes[f.Scope] = scope
	}
	_, err = r.rows.readFile(ctx, r.Table, f.Path, nil, func(row *fileRow) error {
		if key := keyOf(row.leaves, places); wants == nil || wants(key) {
			k := deletedKey{uint32(group), scope, key}
			d.latest[k] = max(d.latest[k], f.Sequence)
		}
		return nil
	})
	return err
}

// places finds key columns among the leaves, sorted.
func (r *run) places(ids []int) ([]int, error) {
	var out []int
	for _, id := range ids {
		l, ok := r.rows.byID[id]
		if !ok {
			return nil, cannot("the table has no column with field id %d, which is in a key", id)
		}
		out = append(out, l)
	}
	slices.Sort(out)
	return out, nil
}

// keyOf is one number for the columns of a key.
func keyOf(leaves []uint64, places []int) uint64 {
	var sum uint64
	for _, l := range places {
		sum += leaves[l]
	}
	return sum
}

// dead tells whether a row of a data file is deleted.
func (d *deletes) dead(f *File, row *fileRow) bool {
	if bits := d.positions[f.Path]; row.number/64 < int64(len(bits)) && bits[row.number/64]>>(row.number%64)&1 == 1 {
		return true
	}
	for g, places := range d.groups {
		key := keyOf(row.leaves, places)
		if d.latest[deletedKey{uint32(g), 0, key}] > f.Sequence {
			return true
		}
		if scope, ok := d.scopes[f.Scope]; ok && scope > 0 && d.latest[deletedKey{uint32(g), scope, key}] > f.Sequence {
			return true
		}
	}
	return false
}

// live goes through the rows of the table, deletes applied. The first time it blames files.
func (r *run) live(ctx context.Context, d *deletes, first bool, wanted []int, each func(f *File, row *fileRow) error) error {
	for i := range r.Table.Data {
		f := &r.Table.Data[i]
		n, err := r.rows.readFile(ctx, r.Table, f.Path, wanted, func(row *fileRow) error {
			r.step(1)
			if d.dead(f, row) {
				return nil
			}
			return each(f, row)
		})
		if err != nil {
			return err
		}
		if first && n != f.Records {
			r.report.add(&r.report.FileFaults, r.Examples, "file %s has %d rows, and the snapshot says %d", f.Path, n, f.Records)
		}
	}
	return nil
}
