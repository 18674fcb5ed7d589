package pages

import (
	"encoding/binary"
	"math/bits"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// appendLevels adds the definition levels of rows from to to-1: how many of the optional
// parts of a column's path are there. (Source: Parquet format, "Nested Encoding"; data
// pages of version 1 begin with the length of the levels in four bytes.)
func (s *Scratch) appendLevels(dst []byte, st *columns.Stored, optional []bool, from, to int) []byte {
	var highest uint32
	for _, o := range optional {
		if o {
			highest++
		}
	}
	if highest == 0 {
		return dst
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	width := bits.Len32(highest)
	if st.Nulls == 0 {
		dst = appendRun(dst, highest, to-from, width)
	} else {
		s.indices = s.indices[:0]
		for i := from; i < to; i++ {
			var level uint32
			for k, o := range optional {
				if st.Path[k].Null(i) {
					break
				}
				if o {
					level++
				}
			}
			s.indices = append(s.indices, level)
		}
		dst = appendHybrid(dst, s.indices, width)
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// minRun is how many equal values make a run of their own worth while.
const minRun = 16

// maxGroups is how many groups of eight a packed run may have: its header is one byte
// then, as readers know it from other writers.
const maxGroups = 63

// appendHybrid adds values of width bits in Parquet's mixture of runs of equal values
// and of packed groups of eight.
func appendHybrid(dst []byte, values []uint32, width int) []byte {
	packed := 0 // values from here on have not been written
	for i := 0; i < len(values); {
		v := values[i]
		end := i + 1
		for end < len(values) && values[end] == v {
			end++
		}
		whole := packed + (i-packed+7)&^7 // where the packed groups before the run may end
		if end-whole >= minRun {
			dst = appendPacked(dst, values[packed:whole], width)
			dst = appendRun(dst, v, end-whole, width)
			packed = end
		}
		i = end
	}
	return appendPacked(dst, values[packed:], width)
}

// appendRun adds n times the same value.
func appendRun(dst []byte, v uint32, n, width int) []byte {
	if n == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(n)<<1)
	for range (width + 7) / 8 {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}

// appendPacked adds values in groups of eight, the last of them filled up with zeros.
func appendPacked(dst []byte, values []uint32, width int) []byte {
	for len(values) > 0 {
		n := min(len(values), 8*maxGroups)
		groups := (n + 7) / 8
		dst = append(dst, byte(groups<<1|1))
		dst = appendBits(dst, values[:n], width)
		values = values[n:]
	}
	return dst
}

// appendBits adds values of width bits, the first in the lowest bits, up to a whole
// number of groups of eight values.
func appendBits(dst []byte, values []uint32, width int) []byte {
	var acc uint64
	var have uint
	for len(values)%8 != 0 && len(values) < 8 {
		var group [8]uint32
		copy(group[:], values)
		return appendBits(dst, group[:], width)
	}
	whole := values[:len(values)&^7]
	for _, v := range whole {
		acc |= uint64(v) << have
		have += uint(width)
		if have >= 32 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(acc))
			acc >>= 32
			have -= 32
		}
	}
	for ; have >= 8; have -= 8 { // groups of eight end at a byte
		dst = append(dst, byte(acc))
		acc >>= 8
	}
	if rest := values[len(whole):]; len(rest) > 0 {
		return appendBits(dst, rest, width)
	}
	return dst
}
