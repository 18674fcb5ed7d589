package commit

import "slices"

// A message larger than a broker takes travels in segments. Each begins with the
// segment's index and their number; with more than one, the message's random id follows.
const (
	segmentBytes  = 512 << 10 // half of the broker's default message.max.bytes
	maxSegments   = maxMessageBytes / segmentBytes
	maxIncomplete = 32 // messages whose segments are awaited; the oldest goes first
)

// segments cuts a message. id must be new for every message.
func segments(message []byte, id [16]byte) [][]byte {
	n := max(1, (len(message)+segmentBytes-1)/segmentBytes)
	out := make([][]byte, 0, n)
	for i := range n {
		var w writer
		w.uvarint(uint64(i))
		w.uvarint(uint64(n))
		if n > 1 {
			w.id(id)
		}
		chunk := message[i*segmentBytes : min(len(message), (i+1)*segmentBytes)]
		out = append(out, append(w.b, chunk...))
	}
	return out
}

// An assembler puts segments together again, in whatever order and however often they come.
type assembler struct {
	parts map[[16]byte][][]byte
	order [][16]byte // oldest first
}

// add returns the whole message once its last missing segment is there.
func (a *assembler) add(segment []byte) ([]byte, bool) {
	r := reader{b: segment}
	i, n := r.uvarint(), r.uvarint()
	if r.err != nil || n == 0 || n > maxSegments || i >= n {
		return nil, false
	}
	if n == 1 {
		return r.b, true
	}
	id := r.id()
	if r.err != nil {
		return nil, false
	}
	parts, ok := a.parts[id]
	if !ok {
		parts = a.begin(id, int(n))
	}
	if int(n) != len(parts) {
		return nil, false
	}
	parts[i] = slices.Clone(r.b)
	if slices.ContainsFunc(parts, func(p []byte) bool { return p == nil }) {
		return nil, false
	}
	a.forget(id)
	return slices.Concat(parts...), true
}

func (a *assembler) begin(id [16]byte, n int) [][]byte {
	if len(a.order) == maxIncomplete {
		a.forget(a.order[0])
	}
	if a.parts == nil {
		a.parts = make(map[[16]byte][][]byte)
	}
	a.parts[id] = make([][]byte, n)
	a.order = append(a.order, id)
	return a.parts[id]
}

func (a *assembler) forget(id [16]byte) {
	delete(a.parts, id)
	a.order = slices.DeleteFunc(a.order, func(o [16]byte) bool { return o == id })
}
