package pages

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// values are those of one page, nulls left out. Only the slices of the column's physical
// type are set: floats lie in words by their bits.
type values struct {
	n      int
	bits   []byte   // BOOLEAN, the first in the lowest bit
	words4 []uint32 // INT32, FLOAT
	words8 []uint64 // INT64, DOUBLE
	off    []int32  // BYTE_ARRAY: n+1 positions in data
	data   []byte   // BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY
	width  int      // of FIXED_LEN_BYTE_ARRAY
}

// as shows a slice as one of words of the same size.
func as[W, T any](s []T) []W { return unsafe.Slice((*W)(unsafe.Pointer(unsafe.SliceData(s))), len(s)) }

// values gathers rows from to to-1, without a copy where there are no nulls. It is valid
// until the next call.
func (s *Scratch) values(st *columns.Stored, physical parquet.Type, width, from, to int) values {
	v := values{n: to - from, width: width}
	switch physical {
	case parquet.Types.Boolean:
		v.bits = st.Bools[from/8 : (to+7)/8] // pages begin at whole bytes
	case parquet.Types.Int32:
		if st.Dec != nil {
			v.words4 = s.decimals4(st.Dec[from:to])
		} else {
			v.words4 = as[uint32](st.I32[from:to])
		}
	case parquet.Types.Float:
		v.words4 = as[uint32](st.F32[from:to])
	case parquet.Types.Int64:
		if st.Dec != nil {
			v.words8 = s.decimals8(st.Dec[from:to])
		} else {
			v.words8 = as[uint64](st.I64[from:to])
		}
	case parquet.Types.Double:
		v.words8 = as[uint64](st.F64[from:to])
	case parquet.Types.ByteArray:
		v.off, v.data = st.Off[from:to+1], st.Data
	case parquet.Types.FixedLenByteArray:
		if st.Dec != nil {
			v.data = s.decimalBytes(st.Dec[from:to], width)
		} else {
			v.data = st.Data[from*width : to*width]
		}
	}
	if st.Nulls > 0 {
		return s.present(v, st.Path[len(st.Path)-1], from)
	}
	return v
}

// present leaves the nulls out.
func (s *Scratch) present(v values, valid columns.Validity, from int) values {
	s.rows = s.rows[:0]
	for i := range v.n {
		if !valid.Null(from + i) {
			s.rows = append(s.rows, int32(i))
		}
	}
	out := values{n: len(s.rows), width: v.width}
	d := &s.dense
	switch {
	case v.bits != nil:
		d.bits = append(d.bits[:0], make([]byte, (out.n+7)/8)...)
		for k, i := range s.rows {
			d.bits[k/8] |= v.bits[i/8] >> (i % 8) & 1 << (k % 8)
		}
		out.bits = d.bits
	case v.words4 != nil:
		d.words4 = d.words4[:0]
		for _, i := range s.rows {
			d.words4 = append(d.words4, v.words4[i])
		}
		out.words4 = d.words4
	case v.words8 != nil:
		d.words8 = d.words8[:0]
		for _, i := range s.rows {
			d.words8 = append(d.words8, v.words8[i])
		}
		out.words8 = d.words8
	case v.off != nil:
		d.data, d.off = d.data[:0], append(d.off[:0], 0)
		for _, i := range s.rows {
			d.data = append(d.data, v.data[v.off[i]:v.off[i+1]]...)
			d.off = append(d.off, int32(len(d.data)))
		}
		out.off, out.data = d.off, d.data
	default:
		d.data = d.data[:0]
		for _, i := range s.rows {
			d.data = append(d.data, v.data[int(i)*v.width:int(i+1)*v.width]...)
		}
		out.data = d.data
	}
	return out
}

// Decimals are integers of the size that their precision needs, from 19 digits on
// big-endian bytes.

func (s *Scratch) decimals4(dec []decimal128.Num) []uint32 {
	s.dec4 = s.dec4[:0]
	for _, d := range dec {
		s.dec4 = append(s.dec4, uint32(d.LowBits()))
	}
	return s.dec4
}

func (s *Scratch) decimals8(dec []decimal128.Num) []uint64 {
	s.dec8 = s.dec8[:0]
	for _, d := range dec {
		s.dec8 = append(s.dec8, d.LowBits())
	}
	return s.dec8
}

func (s *Scratch) decimalBytes(dec []decimal128.Num, width int) []byte {
	s.decBytes = s.decBytes[:0]
	for _, d := range dec {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], uint64(d.HighBits()))
		binary.BigEndian.PutUint64(b[8:], d.LowBits())
		s.decBytes = append(s.decBytes, b[16-width:]...)
	}
	return s.decBytes
}

// bytes is the size of the values in plain encoding.
func (v *values) bytes() int {
	switch {
	case v.off != nil:
		return 4*v.n + int(v.off[v.n]-v.off[0])
	case v.bits != nil:
		return (v.n + 7) / 8
	}
	return 4*len(v.words4) + 8*len(v.words8) + len(v.data)
}

// appendPlain adds the values in plain encoding.
func (v *values) appendPlain(dst []byte) []byte {
	switch {
	case v.off != nil:
		return v.appendTexts(dst)
	case v.bits != nil:
		dst = append(dst, v.bits...)
		if v.n%8 != 0 {
			dst[len(dst)-1] &= 1<<(v.n%8) - 1
		}
		return dst
	case v.words4 != nil:
		return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v.words4))), 4*len(v.words4))...)
	case v.words8 != nil:
		return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v.words8))), 8*len(v.words8))...)
	}
	return append(dst, v.data...)
}

// quick is the size of texts that are copied as one block.
const quick = 16

// appendTexts adds each text after its length. Short ones are copied with some of what
// follows them, which the next one covers.
func (v *values) appendTexts(dst []byte) []byte {
	at := len(dst)
	dst = slices.Grow(dst, v.bytes()+quick)[:at+v.bytes()+quick]
	start := v.off[0]
	for _, end := range v.off[1:] {
		n := int(end - start)
		binary.LittleEndian.PutUint32(dst[at:], uint32(n))
		at += 4
		if n <= quick && int(start)+quick <= len(v.data) {
			*(*[quick]byte)(dst[at:]) = [quick]byte(v.data[start:])
		} else {
			copy(dst[at:], v.data[start:end])
		}
		at += n
		start = end
	}
	return dst[:at]
}
