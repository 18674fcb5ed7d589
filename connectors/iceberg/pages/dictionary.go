package pages

import (
	"encoding/binary"
	"math/bits"
)

// A dictionary numbers the values of a column chunk in the order in which they come.
type dictionary struct {
	slots []uint32 // hash table of numbers plus one; 0: free
	shift uint     // of a hash, to a slot
	heads []uint64 // by number: a number's bits, or the first eight bytes of a text
	ends  []uint32 // by number: where it ends in body
	body  []byte   // the values in plain encoding
	limit int      // bytes of body
	lead  uint32   // bytes of length before a text: 4, or 0 if all have the same
}

// maxEntries keeps indices to 16 bits.
const maxEntries = 1 << 16

func newDictionary(limit int64, lead uint32) *dictionary {
	d := &dictionary{limit: int(min(limit, 1<<30)), lead: lead}
	d.rehash(64)
	return d
}

func (d *dictionary) len() int { return len(d.heads) }

// held is its memory.
func (d *dictionary) held() int64 {
	return int64(4*len(d.slots) + 8*cap(d.heads) + 4*cap(d.ends) + cap(d.body))
}

// width is the number of bits of an index.
func (d *dictionary) width() int { return max(1, bits.Len(uint(max(d.len(), 1)-1))) }

const golden = 0x9E3779B97F4A7C15

func spread(h uint64) uint64 { return bits.RotateLeft64(h*golden, 29) * golden }

// rehash makes a table of n slots, a power of two.
func (d *dictionary) rehash(n int) {
	d.slots, d.shift = make([]uint32, n), uint(64-bits.TrailingZeros(uint(n)))
	for i, h := range d.heads {
		at := d.slot(d.hash(i, h))
		for d.slots[at] != 0 {
			at = (at + 1) & (len(d.slots) - 1)
		}
		d.slots[at] = uint32(i) + 1
	}
}

func (d *dictionary) slot(hash uint64) int { return int(hash >> d.shift) }

// hash of entry i: texts go in with their length and what follows the head.
func (d *dictionary) hash(i int, h uint64) uint64 {
	if d.ends == nil {
		return spread(h)
	}
	return hashText(d.text(i), h)
}

// text is entry i without its length.
func (d *dictionary) text(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.body[start+d.lead : d.ends[i]]
}

func hashText(t []byte, h uint64) uint64 {
	h ^= uint64(len(t))
	if len(t) > 8 {
		for t = t[8:]; len(t) >= 8; t = t[8:] {
			h = spread(h ^ binary.LittleEndian.Uint64(t))
		}
		for _, c := range t {
			h = spread(h ^ uint64(c))
		}
	}
	return spread(h)
}

// index appends the numbers of all values to dst. It fails, and may have taken in some
// of them, when the dictionary would become too large.
func (d *dictionary) index(dst []uint32, v *values) ([]uint32, bool) {
	switch {
	case v.off != nil:
		return d.texts(dst, v)
	case v.words4 != nil:
		for _, w := range v.words4 {
			i, ok := d.number(uint64(w), 4)
			if !ok {
				return dst, false
			}
			dst = append(dst, i)
		}
	case v.words8 != nil:
		for _, w := range v.words8 {
			i, ok := d.number(w, 8)
			if !ok {
				return dst, false
			}
			dst = append(dst, i)
		}
	default:
		for at := 0; at < len(v.data); at += v.width {
			i, ok := d.find(v.data[at:at+v.width], head(v.data, at, at+v.width))
			if !ok {
				return dst, false
			}
			dst = append(dst, i)
		}
	}
	return dst, true
}

// number finds or adds a number by its bits.
func (d *dictionary) number(w uint64, size int) (uint32, bool) {
	at := d.slot(spread(w))
	for d.slots[at] != 0 {
		if i := d.slots[at] - 1; d.heads[i] == w {
			return i, true
		}
		at = (at + 1) & (len(d.slots) - 1)
	}
	if len(d.heads) >= maxEntries || len(d.body)+size > d.limit {
		return 0, false
	}
	if size == 4 {
		d.body = binary.LittleEndian.AppendUint32(d.body, uint32(w))
	} else {
		d.body = binary.LittleEndian.AppendUint64(d.body, w)
	}
	return d.added(at, w), true
}

// added numbers the entry that was just put at the end of body.
func (d *dictionary) added(at int, h uint64) uint32 {
	d.heads = append(d.heads, h)
	n := uint32(len(d.heads))
	d.slots[at] = n
	if 2*len(d.heads) > len(d.slots) {
		d.rehash(2 * len(d.slots))
	}
	return n - 1
}

func (d *dictionary) texts(dst []uint32, v *values) ([]uint32, bool) {
	start := int(v.off[0])
	for _, off := range v.off[1:] {
		end := int(off)
		h := head(v.data, start, end)
		i, ok := d.find(v.data[start:end], h)
		if !ok {
			return dst, false
		}
		dst = append(dst, i)
		start = end
	}
	return dst, true
}

// find finds or adds a text, of which h is the head.
func (d *dictionary) find(t []byte, h uint64) (uint32, bool) {
	at := d.slot(hashText(t, h))
	for d.slots[at] != 0 {
		i := d.slots[at] - 1
		if d.heads[i] == h {
			if e := d.text(int(i)); len(e) == len(t) && (len(t) <= 8 || string(e) == string(t)) {
				return i, true
			}
		}
		at = (at + 1) & (len(d.slots) - 1)
	}
	if len(d.heads) >= maxEntries || len(d.body)+4+len(t) > d.limit {
		return 0, false
	}
	if d.lead > 0 {
		d.body = binary.LittleEndian.AppendUint32(d.body, uint32(len(t)))
	}
	d.body = append(d.body, t...)
	d.ends = append(d.ends, uint32(len(d.body)))
	return d.added(at, h), true
}
