package javaevent

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

var errShort = errors.New("damaged: it ends too early or holds an impossible length")

// A writer appends Avro's binary forms.
type writer struct{ b []byte }

func (w *writer) long(v int64)     { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) id(v [16]byte)    { w.b = append(w.b, v[:]...) }
func (w *writer) text(s string)    { w.long(int64(len(s))); w.b = append(w.b, s...) }
func (w *writer) bytes(v []byte)   { w.long(int64(len(v))); w.b = append(w.b, v...) }
func (w *writer) time(t time.Time) { w.long(t.UnixMicro()) }

// Branches of the union of null and something.
const (
	absent  = 0
	present = 1
)

func (w *writer) optionalTime(t time.Time) {
	if t.IsZero() {
		w.long(absent)
		return
	}
	w.long(present)
	w.time(t)
}

func optional[T any](w *writer, v *T, put func(*writer, T)) {
	if v == nil {
		w.long(absent)
		return
	}
	w.long(present)
	put(w, *v)
}

// list writes an array as one block.
func list[T any](w *writer, items []T, put func(*writer, T)) {
	if len(items) > 0 {
		w.long(int64(len(items)))
		for _, v := range items {
			put(w, v)
		}
	}
	w.long(0)
}

func optionalList[T any](w *writer, items []T, put func(*writer, T)) {
	if items == nil {
		w.long(absent)
		return
	}
	w.long(present)
	list(w, items, put)
}

func (w *writer) table(t Table) {
	w.text(t.Catalog)
	list(w, t.Namespace, (*writer).text)
	w.text(t.Name)
	optional(w, t.UUID, (*writer).id)
}

func (w *writer) assignment(a Assignment) {
	w.text(a.Topic)
	w.long(int64(a.Partition))
	optional(w, a.Offset, (*writer).long)
	w.optionalTime(a.Time)
}

// A reader takes Avro's binary forms back. After the first fault every answer is zero
// and err stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.b, r.err = nil, err
	}
}

func (r *reader) long() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int32 {
	v := r.long()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail(errShort)
		return 0
	}
	return int32(v)
}

func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.long()) }

func (w *writer) float(v float32) {
	w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(v))
}

func (w *writer) double(v float64) {
	w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v))
}
