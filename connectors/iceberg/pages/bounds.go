package pages

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// bounds are the lowest and the highest value of a column chunk in the order of its
// type. NaN has no place in it.
type bounds struct {
	physical parquet.Type
	signed   bool // of bytes: two's complement, most significant byte first

	set        bool
	low, high  int64   // BOOLEAN, INT32, INT64
	lowF, hiF  float64 // FLOAT, DOUBLE
	min, max   []byte  // bytes
	minW, maxW uint64  // their first eight bytes as a number
}

func newBounds(c *schema.Column) bounds {
	return bounds{physical: c.PhysicalType(), signed: c.SortOrder() == schema.SortSIGNED}
}

func (b *bounds) add(v *values) {
	if v.n == 0 {
		return
	}
	switch b.physical {
	case parquet.Types.Boolean:
		b.addBits(v)
	case parquet.Types.Int32:
		b.integer(int64(int32(v.words4[0])))
		for _, w := range v.words4 {
			b.low, b.high = min(b.low, int64(int32(w))), max(b.high, int64(int32(w)))
		}
	case parquet.Types.Int64:
		b.integer(int64(v.words8[0]))
		low, high := b.low, b.high
		for _, w := range v.words8 {
			low, high = min(low, int64(w)), max(high, int64(w))
		}
		b.low, b.high = low, high
	case parquet.Types.Float:
		for _, w := range v.words4 {
			b.float(float64(math.Float32frombits(w)))
		}
	case parquet.Types.Double:
		for _, w := range v.words8 {
			b.float(math.Float64frombits(w))
		}
	case parquet.Types.ByteArray:
		b.addTexts(v)
	case parquet.Types.FixedLenByteArray:
		for at := 0; at < len(v.data); at += v.width {
			b.fixed(v.data[at : at+v.width])
		}
	}
}

func (b *bounds) integer(x int64) {
	if !b.set {
		b.set, b.low, b.high = true, x, x
		return
	}
	b.low, b.high = min(b.low, x), max(b.high, x)
}

func (b *bounds) float(x float64) {
	switch {
	case x != x:
	case !b.set:
		b.set, b.lowF, b.hiF = true, x, x
	case x < b.lowF:
		b.lowF = x
	case x > b.hiF:
		b.hiF = x
	}
}

func (b *bounds) addBits(v *values) {
	for i := range v.n {
		b.integer(int64(v.bits[i/8] >> (i % 8) & 1))
		if b.low < b.high {
			return
		}
	}
}

// head is the first eight bytes of the text from start to end as a number that orders
// as they do; shorter texts are filled up with zeros.
func head(data []byte, start, end int) uint64 {
	if start+8 <= len(data) {
		w := binary.BigEndian.Uint64(data[start:])
		if n := end - start; n < 8 {
			w &= ^uint64(0) << (64 - 8*n)
		}
		return w
	}
	var buf [8]byte
	copy(buf[:], data[start:end])
	return binary.BigEndian.Uint64(buf[:])
}

func (b *bounds) addTexts(v *values) {
	start := int(v.off[0])
	if !b.set {
		b.text(v.data[start:v.off[1]], head(v.data, start, int(v.off[1])))
	}
	for _, off := range v.off[1:] {
		end := int(off)
		if w := head(v.data, start, end); w <= b.minW || w >= b.maxW {
			b.text(v.data[start:end], w)
		}
		start = end
	}
}

// text takes in one text, of which w is the head.
func (b *bounds) text(t []byte, w uint64) {
	if !b.set || w < b.minW || w == b.minW && bytes.Compare(t, b.min) < 0 {
		b.min, b.minW = append(b.min[:0], t...), w
	}
	if !b.set || w > b.maxW || w == b.maxW && bytes.Compare(t, b.max) > 0 {
		b.max, b.maxW = append(b.max[:0], t...), w
	}
	b.set = true
}

// fixed takes in a value of fixed length, signed or not.
func (b *bounds) fixed(t []byte) {
	flip := byte(0)
	if b.signed {
		flip = 0x80 // orders negative numbers first
	}
	less := func(x, y []byte) bool {
		if len(x) > 0 && x[0] != y[0] {
			return x[0]^flip < y[0]^flip
		}
		return bytes.Compare(x, y) < 0
	}
	if !b.set || less(t, b.min) {
		b.min = append(b.min[:0], t...)
	}
	if !b.set || less(b.max, t) {
		b.max = append(b.max[:0], t...)
	}
	b.set = true
}

// maxBound is the size of bounds that are still written.
const maxBound = 4096

// encode gives the bounds and the number of nulls as Parquet stores them.
func (b *bounds) encode(nulls int64) metadata.EncodedStatistics {
	e := metadata.EncodedStatistics{Signed: b.signed}
	e.SetNullCount(nulls)
	if b.set {
		low, high := b.plain()
		e.SetMin(low).SetMax(high)
		e.ApplyStatSizeLimits(maxBound)
	}
	return e
}

// plain gives both in plain encoding. Zeros of floating-point numbers have both signs.
func (b *bounds) plain() (low, high []byte) {
	lowF, hiF := b.lowF, b.hiF
	if lowF == 0 {
		lowF = math.Copysign(0, -1)
	}
	if hiF == 0 {
		hiF = math.Abs(hiF)
	}
	le := binary.LittleEndian
	switch b.physical {
	case parquet.Types.Boolean:
		return []byte{byte(b.low)}, []byte{byte(b.high)}
	case parquet.Types.Int32:
		return le.AppendUint32(nil, uint32(b.low)), le.AppendUint32(nil, uint32(b.high))
	case parquet.Types.Int64:
		return le.AppendUint64(nil, uint64(b.low)), le.AppendUint64(nil, uint64(b.high))
	case parquet.Types.Float:
		return le.AppendUint32(nil, math.Float32bits(float32(lowF))), le.AppendUint32(nil, math.Float32bits(float32(hiF)))
	case parquet.Types.Double:
		return le.AppendUint64(nil, math.Float64bits(lowF)), le.AppendUint64(nil, math.Float64bits(hiF))
	}
	return bytes.Clone(b.min), bytes.Clone(b.max)
}
