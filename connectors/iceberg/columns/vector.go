package columns

import (
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A kind is how a vector stores its values; several Iceberg types share one.
type kind uint8

const (
	kindBool    kind = iota
	kindInt32        // int, date (days)
	kindInt64        // long, time, timestamp, timestamptz (microseconds)
	kindFloat32      // float
	kindFloat64      // double
	kindBytes        // string, binary
	kindFixed        // fixed, uuid
	kindDecimal      // decimal
	kindStruct
	kindList
	kindMap
)

// A vector is one column, or a part of a nested one: values in a row, laid out as
// Arrow wants them. Only the slices of its kind are used. Under a null the value
// is zero, and the children of a null struct are null too.
type vector struct {
	kind  kind
	width int // bytes of one fixed value
	typ   arrow.DataType

	n     int
	nulls int
	valid []byte // bitmap, kept from the first null on

	bools []byte // bitmap
	i32   []int32
	i64   []int64
	f32   []float32
	f64   []float64
	dec   []decimal128.Num
	off   []int32   // bytes, list, map: n+1 ends, the first is 0
	data  []byte    // bytes, fixed
	kids  []*vector // struct: fields; list: elements; map: keys, values
}

// pushed counts a value that has just been appended.
func (v *vector) pushed() {
	if v.nulls > 0 {
		v.valid = setBit(v.valid, v.n, true)
	}
	v.n++
}

func (v *vector) pushNull() {
	switch v.kind {
	case kindBool:
		v.bools = setBit(v.bools, v.n, false)
	case kindInt32:
		v.i32 = append(v.i32, 0)
	case kindInt64:
		v.i64 = append(v.i64, 0)
	case kindFloat32:
		v.f32 = append(v.f32, 0)
	case kindFloat64:
		v.f64 = append(v.f64, 0)
	case kindDecimal:
		v.dec = append(v.dec, decimal128.Num{})
	case kindFixed:
		for range v.width {
			v.data = append(v.data, 0)
		}
	case kindBytes:
		v.off = append(v.off, int32(len(v.data)))
	case kindList, kindMap:
		v.off = append(v.off, int32(v.kids[0].n))
	case kindStruct:
		for _, k := range v.kids {
			k.pushNull()
		}
	}
	if v.nulls == 0 { // every value so far is there
		v.valid = v.valid[:0]
		for range v.n / 8 {
			v.valid = append(v.valid, 0xff)
		}
		if v.n%8 > 0 {
			v.valid = append(v.valid, 1<<(v.n%8)-1)
		}
	}
	v.valid = setBit(v.valid, v.n, false)
	v.nulls++
	v.n++
}

func (v *vector) pushBool(b bool) {
	v.bools = setBit(v.bools, v.n, b)
	v.pushed()
}

func (v *vector) pushInt32(x int32) {
	v.i32 = append(v.i32, x)
	v.pushed()
}

func (v *vector) pushInt64(x int64) {
	v.i64 = append(v.i64, x)
	v.pushed()
}

func (v *vector) pushDecimal(x decimal128.Num) {
	v.dec = append(v.dec, x)
	v.pushed()
}

func (v *vector) pushText(s string) {
	v.data = append(v.data, s...)
	v.endBytes()
}

// endBytes ends a value whose bytes the caller appended to data.
func (v *vector) endBytes() {
	v.off = append(v.off, int32(len(v.data)))
	v.pushed()
}

// endList ends a list or map whose entries the caller pushed to the children.
func (v *vector) endList() {
	v.off = append(v.off, int32(v.kids[0].n))
	v.pushed()
}

func (v *vector) isNull(i int) bool { return v.nulls > 0 && v.valid[i>>3]>>(i&7)&1 == 0 }

func (v *vector) boolean(i int) bool { return v.bools[i>>3]>>(i&7)&1 == 1 }

// bytesAt is the value i of a bytes or fixed vector, sharing its memory.
func (v *vector) bytesAt(i int) []byte {
	if v.kind == kindFixed {
		return v.data[i*v.width : (i+1)*v.width]
	}
	return v.data[v.off[i]:v.off[i+1]]
}

// truncate drops everything from position n on. Parts of a row that failed may be
// in some children and not in others, so each child is told its own length.
func (v *vector) truncate(n int) {
	switch v.kind {
	case kindBool:
		v.bools = v.bools[:(n+7)/8]
	case kindInt32:
		v.i32 = v.i32[:n]
	case kindInt64:
		v.i64 = v.i64[:n]
	case kindFloat32:
		v.f32 = v.f32[:n]
	case kindFloat64:
		v.f64 = v.f64[:n]
	case kindDecimal:
		v.dec = v.dec[:n]
	case kindFixed:
		v.data = v.data[:n*v.width]
	case kindBytes:
		v.off = v.off[:n+1]
		v.data = v.data[:v.off[n]]
	case kindList, kindMap:
		v.off = v.off[:n+1]
		for _, k := range v.kids {
			k.truncate(int(v.off[n]))
		}
	case kindStruct:
		for _, k := range v.kids {
			k.truncate(n)
		}
	}
	if v.nulls > 0 {
		for i := n; i < v.n; i++ {
			if v.valid[i>>3]>>(i&7)&1 == 0 {
				v.nulls--
			}
		}
		v.valid = v.valid[:(n+7)/8]
		if v.nulls == 0 {
			v.valid = v.valid[:0]
		}
	}
	v.n = n
}

// pushFrom appends the value i of src, which has the same shape.
func (v *vector) pushFrom(src *vector, i int) {
	if src.isNull(i) {
		v.pushNull()
		return
	}
	switch v.kind {
	case kindBool:
		v.pushBool(src.boolean(i))
	case kindInt32:
		v.pushInt32(src.i32[i])
	case kindInt64:
		v.pushInt64(src.i64[i])
	case kindFloat32:
		v.f32 = append(v.f32, src.f32[i])
		v.pushed()
	case kindFloat64:
		v.f64 = append(v.f64, src.f64[i])
		v.pushed()
	case kindDecimal:
		v.pushDecimal(src.dec[i])
	case kindFixed:
		v.data = append(v.data, src.bytesAt(i)...)
		v.pushed()
	case kindBytes:
		v.data = append(v.data, src.bytesAt(i)...)
		v.endBytes()
	case kindStruct:
		for k, kid := range v.kids {
			kid.pushFrom(src.kids[k], i)
		}
		v.pushed()
	case kindList, kindMap:
		for k, kid := range v.kids {
			for at := src.off[i]; at < src.off[i+1]; at++ {
				kid.pushFrom(src.kids[k], int(at))
			}
		}
		v.endList()
	}
}

// used is the number of bytes that hold values.
func (v *vector) used() int {
	b := len(v.valid) + len(v.bools) + len(v.data) + 4*(len(v.i32)+len(v.f32)+len(v.off)) + 8*(len(v.i64)+len(v.f64)) + 16*len(v.dec)
	for _, k := range v.kids {
		b += k.used()
	}
	return b
}

// held is the number of bytes allocated.
func (v *vector) held() int {
	b := cap(v.valid) + cap(v.bools) + cap(v.data) + 4*(cap(v.i32)+cap(v.f32)+cap(v.off)) + 8*(cap(v.i64)+cap(v.f64)) + 16*cap(v.dec)
	for _, k := range v.kids {
		b += k.held()
	}
	return b
}

// release gives up the memory of an empty vector.
func (v *vector) release() {
	kids := v.kids
	*v = vector{kind: v.kind, width: v.width, typ: v.typ, kids: kids}
	if v.kind == kindBytes || v.kind == kindList || v.kind == kindMap {
		v.off = []int32{0}
	}
	for _, k := range kids {
		k.release()
	}
}

// array wraps the vector as an Arrow array over the same memory.
func (v *vector) array() arrow.Array { return array.MakeFromData(v.arrayData()) }

func (v *vector) arrayData() arrow.ArrayData {
	var valid *memory.Buffer
	if v.nulls > 0 {
		valid = memory.NewBufferBytes(v.valid)
	}
	var kids []arrow.ArrayData
	for _, k := range v.kids {
		kids = append(kids, k.arrayData())
	}
	buffers := []*memory.Buffer{valid}
	switch v.kind {
	case kindBool:
		buffers = append(buffers, memory.NewBufferBytes(v.bools))
	case kindInt32:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.i32)))
	case kindInt64:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(v.i64)))
	case kindFloat32:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Float32Traits.CastToBytes(v.f32)))
	case kindFloat64:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(v.f64)))
	case kindDecimal:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Decimal128Traits.CastToBytes(v.dec)))
	case kindFixed:
		buffers = append(buffers, memory.NewBufferBytes(v.data))
	case kindBytes:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.off)), memory.NewBufferBytes(v.data))
	case kindList:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.off)))
	case kindMap:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(v.off)))
		entry := v.typ.(*arrow.MapType).Elem()
		kids = []arrow.ArrayData{array.NewData(entry, v.kids[0].n, []*memory.Buffer{nil}, kids, 0, 0)}
	case kindStruct:
	}
	return array.NewData(v.typ, v.n, buffers, kids, v.nulls, 0)
}

// setBit writes bit i of a bitmap that has i bits so far.
func setBit(b []byte, i int, on bool) []byte {
	if i>>3 == len(b) {
		b = append(b, 0)
	}
	mask := byte(1) << (i & 7)
	if on {
		b[i>>3] |= mask
	} else {
		b[i>>3] &^= mask
	}
	return b
}

// hashBytes is a quick hash for sampling; its quality is not relied upon.
func hashBytes(s []byte) uint64 {
	const k = 0x9E3779B97F4A7C15
	h := uint64(len(s)) * k
	for len(s) >= 8 {
		h = bits.RotateLeft64(h^*(*uint64)(unsafe.Pointer(unsafe.SliceData(s)))*k, 29) * k
		s = s[8:]
	}
	for _, c := range s {
		h = (h ^ uint64(c)) * k
	}
	return h ^ h>>32
}
