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
	files     map[string]*File    // data files by path
	positions map[string][]uint64 // bits by data file
	vectors   map[string]bool     // data files whose positions are those of a deletion vector
	bytes     int64               // of positions
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
	d := &deletes{
		files: make(map[string]*File, len(r.Table.Data)), positions: make(map[string][]uint64), vectors: make(map[string]bool),
		scopes: map[string]uint32{"": 0}, latest: make(map[deletedKey]int64),
	}
	for i := range r.Table.Data {
		d.files[r.Table.Data[i].Path] = &r.Table.Data[i]
	}
	// Vectors come first: position delete files do not count where there is one.
	for _, vectors := range []bool{true, false} {
		for i := range r.Table.Deletes {
			f := &r.Table.Deletes[i]
			if (f.Vector != nil) != vectors {
				continue
			}
			if err := r.readDelete(ctx, d, f, wants); err != nil {
				return nil, err
			}
			if int64(len(d.latest))*entryBytes+d.bytes > r.MemoryBytes {
				return nil, errDeletes(r.MemoryBytes)
			}
		}
	}
	return d, nil
}

func errDeletes(limit int64) error {
	return cannot("what delete files say takes more than the memory allowed (%d MiB)", limit>>20)
}

func (r *run) readDelete(ctx context.Context, d *deletes, f *File, wants func(key uint64) bool) error {
	switch {
	case f.Vector != nil:
		return r.readVector(ctx, d, f)
	case f.Content == iceberg.EntryContentPosDeletes:
		_, err := r.rows.readFile(ctx, r.Table, f.Path, []int{deletedPathID, deletedPositionID}, func(row *fileRow) error {
			if path := row.texts[0]; !d.vectors[path] {
				return d.take(path, row.ints[1], f.Sequence, r.MemoryBytes)
			}
			return nil
		})
		return err
	}
	return r.readKeys(ctx, d, *f, wants)
}

// take notes that a row of a data file is deleted. Data files that are not in the table, or
// are younger than the delete, stay as they are.
func (d *deletes) take(path string, at, sequence, limit int64) error {
	f := d.files[path]
	if f == nil || f.Sequence > sequence || at < 0 || at >= f.Records {
		return nil
	}
	bits := d.positions[path]
	if more := at/64 + 1 - int64(len(bits)); more > 0 {
		if more > (limit-d.bytes)/8 {
			return errDeletes(limit)
		}
		d.bytes += 8 * more
		bits = slices.Grow(bits, int(more))[:at/64+1]
	}
	bits[at/64] |= 1 << (at % 64)
	d.positions[path] = bits
	return nil
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
