package verify

import (
	"context"
	"fmt"
	"slices"
)

// A byRows compares rows as a whole with what records should have left: it counts and
// sums them in buckets by their values.
type byRows struct {
	*run
	want, have []bucket
}

type bucket struct {
	rows int64
	sum  uint64
}

const bucketBits = 16

func newByRows(r *run) (*byRows, error) {
	for _, p := range r.Ranges {
		if p.First > 0 && p.Next > 0 {
			return nil, cannot("records of %s below offset %d have left the topic, and rows have no coordinates (add KafkaMetadataTransform or InsertField to the connector)", p.TopicPartition, p.First)
		}
		if p.Compacted {
			return nil, cannot("topic %s is compacted, and rows have no coordinates (add KafkaMetadataTransform or InsertField to the connector)", p.Topic)
		}
	}
	r.report.Method = "count and checksum"
	return &byRows{r, make([]bucket, 1<<bucketBits), make([]bucket, 1<<bucketBits)}, nil
}

func bucketOf(row uint64) int { return int(row >> (64 - bucketBits)) }

func (v *byRows) verify(ctx context.Context) error {
	for _, p := range v.Ranges {
		err := v.expected(ctx, p, p.First, p.Next, func(int64) {}, func(_ Op, _ int64, leaves []uint64) error {
			v.report.Expected++
			v.add(v.want, leaves)
			return nil
		})
		if err != nil {
			return err
		}
	}
	d, err := v.readDeletes(ctx, nil)
	if err != nil {
		return err
	}
	err = v.live(ctx, d, true, nil, func(_ *File, row *fileRow) error {
		v.report.Rows++
		v.add(v.have, row.leaves)
		return nil
	})
	if err != nil {
		return err
	}
	bad := make(map[int]bool)
	for i := range v.want {
		if v.want[i] != v.have[i] {
			bad[i] = true
		}
	}
	if len(bad) > 0 {
		if err := v.explain(ctx, d, bad); err != nil {
			return err
		}
	} else {
		v.report.prove("the table has as many rows as its records should have left, and the same ones: counts and sums over all values agree")
	}
	v.report.leave("which row is of which record: rows have no coordinates, and rows with equal values are as one")
	return nil
}

func (v *byRows) add(to []bucket, leaves []uint64) {
	row := whole(leaves)
	b := &to[bucketOf(row)]
	b.rows++
	b.sum += v.rows.mix(0, row)
}

// A tally is how often a row should be there, and is.
type tally struct {
	want, have int64
	record     string
	file       string
}

// talliesKept bounds the rows that are looked at one by one.
const talliesKept = 1 << 20

// explain reads all again, for the rows in buckets that differ.
func (v *byRows) explain(ctx context.Context, d *deletes, bad map[int]bool) error {
	tallies := make(map[uint64]*tally)
	at := func(leaves []uint64) *tally {
		row := whole(leaves)
		if !bad[bucketOf(row)] {
			return nil
		}
		t := tallies[row]
		if t == nil && len(tallies) < talliesKept {
			t = new(tally)
			tallies[row] = t
		}
		return t
	}
	for _, p := range v.Ranges {
		err := v.expected(ctx, p, p.First, p.Next, func(int64) {}, func(_ Op, offset int64, leaves []uint64) error {
			if t := at(leaves); t != nil {
				t.want++
				t.record = fmt.Sprintf("%s@%d", p.TopicPartition, offset)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	err := v.live(ctx, d, false, nil, func(f *File, row *fileRow) error {
		if t := at(row.leaves); t != nil {
			t.have++
			t.file = sightingText(f.Path, row.number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(tallies) == talliesKept {
		v.report.leave("differences beyond the first %d rows with other sums are not counted", talliesKept)
	}
	keys := make([]uint64, 0, len(tallies))
	for k := range tallies {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b uint64) int {
		if c := compareText(tallies[a].record, tallies[b].record); c != 0 {
			return c
		}
		return compareText(tallies[a].file, tallies[b].file)
	})
	for _, k := range keys {
		v.blame(tallies[k])
	}
	return nil
}

func compareText(a, b string) int {
	switch {
	case len(a) != len(b):
		return len(a) - len(b)
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (v *byRows) blame(t *tally) {
	r := v.report
	switch {
	case t.want > t.have && t.have == 0:
		r.Lost += t.want
		r.example(v.Examples, "the row of %s is lost: no row has its values", t.record)
	case t.want > t.have:
		r.Lost += t.want - t.have
		r.example(v.Examples, "%d of %d rows with the values of %s are lost", t.want-t.have, t.want, t.record)
	case t.have > t.want && t.want > 0:
		r.Doubled += t.have - t.want
		r.example(v.Examples, "%d rows have the values of %s, instead of %d: the last is in %s", t.have, t.record, t.want, t.file)
	case t.have > t.want:
		r.Extra += t.have
		r.example(v.Examples, "no record accounts for the values of %s", t.file)
	}
}

// sightingText says where a row is.
func sightingText(file string, row int64) string { return fmt.Sprintf("row %d of %s", row, file) }
