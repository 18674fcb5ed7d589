package verify

import (
	"cmp"
	"context"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A byCoordinates matches rows with records by topic, partition and offset.
type byCoordinates struct {
	*run
	wanted []int // topic, unless there is none, then partition and offset
	topic  int   // place of the topic's column among the leaves; -1
	topics map[uint64]string
	parts  map[connect.TopicPartition]*part
	memory int64
	gone   int64 // rows of records that the topic does not have any more
	others int64 // rows of other topics or partitions, or without coordinates
}

// A part is what is known of one partition.
type part struct {
	Range
	chunks map[int64]*chunk
	first  int64 // first offset with a row, -1 for none
}

// chunkOffsets is how many offsets a chunk stands for.
const chunkOffsets = 64 * 64

// A chunk is a run of offsets.
type chunk struct {
	seen, want, have [64]uint64 // records in the topic, rows expected, rows found
	wantSum, haveSum uint64     // of rows that are expected
	doubled          bool
}

const chunkBytes = 3*8*64 + 128

func newByCoordinates(r *run) (*byCoordinates, error) {
	v := &byCoordinates{run: r, topic: -1, topics: make(map[uint64]string), parts: make(map[connect.TopicPartition]*part)}
	for _, name := range []string{r.Coordinates.Topic, r.Coordinates.Partition, r.Coordinates.Offset} {
		if name == "" {
			continue
		}
		id, err := columnID(r.Table.Schema, name)
		if err != nil {
			return nil, err
		}
		v.wanted = append(v.wanted, id)
	}
	for _, p := range r.Ranges {
		if r.Coordinates.Topic == "" && p.Topic != r.Ranges[0].Topic {
			return nil, cannot("there are several topics, and no column tells them apart")
		}
		v.parts[p.TopicPartition] = &part{Range: p, chunks: make(map[int64]*chunk), first: -1}
	}
	if r.Coordinates.Topic != "" {
		v.topic = r.rows.byID[v.wanted[0]]
	}
	r.report.Method = "coordinates"
	return v, nil
}

func (v *byCoordinates) verify(ctx context.Context) error {
	for _, r := range v.Ranges {
		p := v.parts[r.TopicPartition]
		var full error
		err := v.expected(ctx, r, r.First, r.Next, func(offset int64) {
			if c, bit := v.chunk(p, offset); c != nil {
				set(&c.seen, bit)
			} else {
				full = errFull(v.MemoryBytes)
			}
		}, func(_ Op, offset int64, leaves []uint64) error {
			if full != nil {
				return full
			}
			return v.expect(p, offset, leaves)
		})
		if err = cmp.Or(err, full); err != nil {
			return err
		}
	}
	d, err := v.readDeletes(ctx, nil)
	if err != nil {
		return err
	}
	if err := v.live(ctx, d, true, v.wanted, func(_ *File, row *fileRow) error {
		v.report.Rows++
		return v.found(row)
	}); err != nil {
		return err
	}
	bad := v.compare()
	if len(bad) > 0 {
		if err := v.explain(ctx, d, bad); err != nil {
			return err
		}
	}
	v.conclude()
	return nil
}

func errFull(limit int64) error {
	return cannot("offsets in the table take more than the memory allowed (%d MiB)", limit>>20)
}

// chunk finds or makes the chunk of an offset; nil if memory is full.
func (v *byCoordinates) chunk(p *part, offset int64) (*chunk, int) {
	n := offset / chunkOffsets
	c := p.chunks[n]
	if c == nil {
		if v.memory += chunkBytes; v.memory > v.MemoryBytes {
			return nil, 0
		}
		c = new(chunk)
		p.chunks[n] = c
	}
	return c, int(offset % chunkOffsets)
}

func set(b *[64]uint64, bit int)      { b[bit/64] |= 1 << (bit % 64) }
func has(b *[64]uint64, bit int) bool { return b[bit/64]>>(bit%64)&1 == 1 }

// expect notes a row that should be there.
func (v *byCoordinates) expect(p *part, offset int64, leaves []uint64) error {
	v.report.Expected++
	if v.topic >= 0 {
		name := leaves[v.topic]
		if old, ok := v.topics[name]; ok && old != p.Topic {
			return cannot("topics %s and %s have one name in column %s", old, p.Topic, v.Coordinates.Topic)
		}
		v.topics[name] = p.Topic
	}
	c, bit := v.chunk(p, offset)
	if c == nil {
		return errFull(v.MemoryBytes)
	}
	set(&c.want, bit)
	c.wantSum += v.rows.mix(uint64(offset), whole(leaves))
	return nil
}

// place finds out which record a row claims to be of; nil for one of another topic.
func (v *byCoordinates) place(row *fileRow) (*part, int64) {
	topic := v.Ranges[0].Topic
	n := len(v.wanted)
	if v.topic >= 0 {
		var ok bool
		if topic, ok = v.topics[row.leaves[v.topic]]; !ok {
			topic = row.texts[0]
		}
	}
	if !row.known[n-2] || !row.known[n-1] || row.ints[n-1] < 0 {
		return nil, 0
	}
	return v.parts[connect.TopicPartition{Topic: topic, Partition: int32(row.ints[n-2])}], row.ints[n-1]
}

// found notes a row of the table.
func (v *byCoordinates) found(row *fileRow) error {
	p, offset := v.place(row)
	if p == nil {
		v.others++
		return nil
	}
	c, bit := v.chunk(p, offset)
	if c == nil {
		return errFull(v.MemoryBytes)
	}
	if p.first < 0 || offset < p.first {
		p.first = offset
	}
	if has(&c.have, bit) {
		v.report.Doubled++
		c.doubled = true
	}
	set(&c.have, bit)
	if has(&c.want, bit) {
		c.haveSum += v.rows.mix(uint64(offset), whole(row.leaves))
	}
	return nil
}

// A badChunk is one with a difference.
type badChunk struct {
	part *part
	n    int64
	sums bool // only the values differ
}

// compare counts the differences and returns where they are, in order.
func (v *byCoordinates) compare() []badChunk {
	var bad []badChunk
	for _, r := range v.Ranges {
		p := v.parts[r.TopicPartition]
		from := r.First
		if v.FromFirstRow {
			from = max(from, p.first)
			if p.first < 0 {
				from = r.Next
			}
		}
		for _, n := range slices.Sorted(maps.Keys(p.chunks)) {
			c := p.chunks[n]
			lost, extra := 0, 0
			for w := range 64 {
				base := n*chunkOffsets + int64(w)*64
				lost += bits.OnesCount64(c.want[w] &^ c.have[w] & atOrAbove(base, from))
				unwanted := c.have[w] &^ c.want[w]
				in := unwanted & atOrAbove(base, r.First) &^ atOrAbove(base, r.Next)
				gone := unwanted &^ atOrAbove(base, r.First)
				if r.Compacted {
					gone |= in &^ c.seen[w]
					in &= c.seen[w]
				}
				v.gone += int64(bits.OnesCount64(gone))
				extra += bits.OnesCount64(in | unwanted&atOrAbove(base, r.Next))
				if end := base + 64; end > r.First && base < r.Next {
					v.report.Missing += int64(bits.OnesCount64(atOrAbove(base, from) &^ atOrAbove(base, r.Next) &^ c.seen[w]))
				}
			}
			v.report.Lost += int64(lost)
			v.report.Extra += int64(extra)
			switch {
			case lost+extra > 0 || c.doubled:
				bad = append(bad, badChunk{p, n, false})
			case c.wantSum != c.haveSum && (n+1)*chunkOffsets > from:
				// Values differ, or rows of the first chunk were expected that are not asked for.
				bad = append(bad, badChunk{p, n, true})
				v.report.Wrong++
			}
		}
	}
	return bad
}

// atOrAbove has the bits of a word of offsets that are at or above from.
func atOrAbove(base, from int64) uint64 {
	switch {
	case base >= from:
		return ^uint64(0)
	case base+64 <= from:
		return 0
	}
	return ^uint64(0) << (from - base)
}

// explained is how many chunks with differences are looked at row by row, besides the
// first of each partition.
const explained = 32

// A sighting is a row of the table.
type sighting struct {
	file   string
	row    int64
	leaves []uint64
}

// explain reads what differs again and names it.
func (v *byCoordinates) explain(ctx context.Context, d *deletes, bad []badChunk) error {
	bad = nearest(bad)
	type at struct {
		p      *part
		offset int64
	}
	within := make(map[*chunk]bool)
	want := make(map[at][]uint64)
	for _, b := range bad {
		within[b.part.chunks[b.n]] = true
		from, to := max(b.part.First, b.n*chunkOffsets), min(b.part.Next, (b.n+1)*chunkOffsets)
		err := v.expected(ctx, b.part.Range, from, to, func(int64) {}, func(_ Op, offset int64, leaves []uint64) error {
			want[at{b.part, offset}] = slices.Clone(leaves)
			return nil
		})
		if err != nil {
			return err
		}
	}
	have := make(map[at][]sighting)
	err := v.live(ctx, d, false, v.wanted, func(f *File, row *fileRow) error {
		p, offset := v.place(row)
		if p != nil && within[p.chunks[offset/chunkOffsets]] {
			have[at{p, offset}] = append(have[at{p, offset}], sighting{f.Path, row.number, slices.Clone(row.leaves)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrong := int64(0)
	for _, b := range bad {
		if b.sums {
			v.report.Wrong-- // counted row by row from here on
		}
		c := b.part.chunks[b.n]
		for offset := b.n * chunkOffsets; offset < (b.n+1)*chunkOffsets; offset++ {
			bit := int(offset % chunkOffsets)
			rows := have[at{b.part, offset}]
			switch {
			case has(&c.want, bit) && len(rows) == 0 && (!v.FromFirstRow || offset >= b.part.first):
				v.report.example(v.Examples, "%s@%d is lost: no row has it", b.part.TopicPartition, offset)
			case len(rows) > 1:
				v.report.example(v.Examples, "%s@%d has %d rows: %s", b.part.TopicPartition, offset, len(rows), placesOf(rows))
			case len(rows) == 1 && !has(&c.want, bit) && offset >= b.part.First && (has(&c.seen, bit) || !b.part.Compacted || offset >= b.part.Next):
				v.report.example(v.Examples, "%s@%d should have no row, and has one: %s", b.part.TopicPartition, offset, placesOf(rows))
			}
			if leaves := want[at{b.part, offset}]; leaves != nil {
				for _, s := range rows {
					if whole(s.leaves) != whole(leaves) {
						wrong++
						v.report.example(v.Examples, "%s@%d has other values than its record in %s: %s", b.part.TopicPartition, offset, v.differing(leaves, s.leaves), placesOf([]sighting{s}))
					}
				}
			}
		}
	}
	v.report.Wrong += wrong
	return nil
}

// nearest picks the chunks to look at: the first of each partition, and some more.
func nearest(bad []badChunk) []badChunk {
	var out []badChunk
	var last *part
	more := explained
	for _, b := range bad {
		if b.part != last || more > 0 {
			out = append(out, b)
			more--
		}
		last = b.part
	}
	return out
}

// placesOf says where rows are.
func placesOf(rows []sighting) string {
	var out []string
	for _, s := range rows[:min(len(rows), 4)] {
		out = append(out, sightingText(s.file, s.row))
	}
	return strings.Join(out, ", ")
}

// differing names the columns that differ.
func (v *run) differing(a, b []uint64) string {
	var names []string
	for l := range a {
		if a[l] != b[l] {
			names = append(names, v.rows.leaves[l].name)
		}
	}
	return strings.Join(names, ", ")
}

// conclude says what was proved.
func (v *byCoordinates) conclude() {
	r := v.report
	if r.Differences() == 0 {
		r.prove("every record below the stored offsets that should have a row has one, by its coordinates, with the values of the record; no record has two")
	}
	if r.Missing > 0 {
		r.leave("%d offsets have no record in the topic (transaction markers, compaction)", r.Missing)
	}
	if v.gone > 0 {
		r.leave("%d rows are of records that have left the topic: only that none is there twice was looked at", v.gone)
	}
	if v.others > 0 {
		r.leave("%d rows are of other topics or without coordinates", v.others)
	}
	for _, p := range v.Ranges {
		if first := v.parts[p.TopicPartition].first; v.FromFirstRow && first > p.First {
			r.leave("%s: records below the first row, %d, were not asked for", p.TopicPartition, first)
		}
	}
}
