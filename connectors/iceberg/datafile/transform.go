package datafile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A keyFunc appends to key what a transform makes of value i, in a form that is
// equal exactly when the results are. It allocates nothing.
type keyFunc func(key []byte, l columns.Leaf, i int) []byte

// keyOf compiles a transform of the Iceberg specification, appendix "Partition
// transforms".
func keyOf(t iceberg.Transform, source iceberg.Type) (keyFunc, error) {
	if !t.CanTransform(source) {
		return nil, fmt.Errorf("transform %s does not take %s", t, source)
	}
	day := perDay(source)
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return identityKey(source), nil
	case iceberg.YearTransform:
		return datedKey(day, func(d int64) int64 { return int64(dayTime(d).Year()) }), nil
	case iceberg.MonthTransform:
		return datedKey(day, func(d int64) int64 { tm := dayTime(d); return int64(tm.Year())*12 + int64(tm.Month()) }), nil
	case iceberg.DayTransform:
		return datedKey(day, func(d int64) int64 { return d }), nil
	case iceberg.HourTransform:
		return func(key []byte, l columns.Leaf, i int) []byte {
			return appendInt(key, floorDiv(l.Int(i), day/24))
		}, nil
	case iceberg.BucketTransform:
		return bucketKey(source, int32(t.NumBuckets)), nil
	case iceberg.TruncateTransform:
		return truncateKey(source, int64(t.Width)), nil
	}
	return nil, fmt.Errorf("this build does not know the transform %s: change the table's partition spec", t)
}

func identityKey(source iceberg.Type) keyFunc {
	switch source.(type) {
	case iceberg.DecimalType:
		return func(key []byte, l columns.Leaf, i int) []byte { return appendDecimal(key, l.Decimal(i)) }
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return func(key []byte, l columns.Leaf, i int) []byte { return appendBytes(key, l.Bytes(i)) }
	}
	return func(key []byte, l columns.Leaf, i int) []byte { return appendInt(key, l.Int(i)) }
}

// perDay is a day in the unit of a column of dates or timestamps.
func perDay(source iceberg.Type) int64 {
	switch source.(type) {
	case iceberg.DateType:
		return 1
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return 24 * time.Hour.Nanoseconds()
	}
	return 24 * time.Hour.Microseconds()
}

// datedKey is the key of a transform of the day.
func datedKey(perDay int64, ofDay func(int64) int64) keyFunc {
	return func(key []byte, l columns.Leaf, i int) []byte {
		return appendInt(key, ofDay(floorDiv(l.Int(i), perDay)))
	}
}

func dayTime(days int64) time.Time { return time.Unix(days*24*60*60, 0).UTC() }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func bucketKey(source iceberg.Type, buckets int32) keyFunc {
	bucket := func(key []byte, hash uint32) []byte {
		return appendInt(key, int64(int32(hash&math.MaxInt32)%buckets))
	}
	switch source.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return func(key []byte, l columns.Leaf, i int) []byte { return bucket(key, murmur3(l.Bytes(i))) }
	case iceberg.DecimalType:
		return func(key []byte, l columns.Leaf, i int) []byte {
			var b [16]byte
			return bucket(key, murmur3(shortest(&b, l.Decimal(i))))
		}
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType: // the bucket of the microsecond
		return func(key []byte, l columns.Leaf, i int) []byte {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(floorDiv(l.Int(i), time.Microsecond.Nanoseconds())))
			return bucket(key, murmur3(b[:]))
		}
	}
	return func(key []byte, l columns.Leaf, i int) []byte {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(l.Int(i)))
		return bucket(key, murmur3(b[:]))
	}
}

// shortest writes a number in the fewest bytes of two's complement, big-endian.
func shortest(b *[16]byte, x decimal128.Num) []byte {
	binary.BigEndian.PutUint64(b[:8], uint64(x.HighBits()))
	binary.BigEndian.PutUint64(b[8:], x.LowBits())
	i := 0
	for i < 15 && (b[i] == 0 && b[i+1] < 0x80 || b[i] == 0xff && b[i+1] >= 0x80) {
		i++
	}
	return b[i:]
}

func truncateKey(source iceberg.Type, width int64) keyFunc {
	switch source.(type) {
	case iceberg.StringType:
		return func(key []byte, l columns.Leaf, i int) []byte {
			s := l.Bytes(i)
			n := 0
			for k := int64(0); k < width && n < len(s); k++ {
				_, size := utf8.DecodeRune(s[n:])
				n += size
			}
			return appendBytes(key, s[:n])
		}
	case iceberg.BinaryType:
		return func(key []byte, l columns.Leaf, i int) []byte {
			b := l.Bytes(i)
			return appendBytes(key, b[:min(int64(len(b)), width)])
		}
	case iceberg.DecimalType:
		w := decimal128.FromI64(width)
		return func(key []byte, l columns.Leaf, i int) []byte {
			x := l.Decimal(i)
			_, rem := x.Div(w)
			if rem.Sign() < 0 {
				rem = rem.Add(w)
			}
			return appendDecimal(key, x.Sub(rem))
		}
	}
	return func(key []byte, l columns.Leaf, i int) []byte {
		return appendInt(key, floorDiv(l.Int(i), width)) // one to one with its multiple
	}
}

func appendDecimal(key []byte, x decimal128.Num) []byte {
	return binary.BigEndian.AppendUint64(appendInt(key, x.HighBits()), x.LowBits())
}

func float32bits(x int64) float32 { return math.Float32frombits(uint32(x)) }

func float64bits(x int64) float64 { return math.Float64frombits(uint64(x)) }

// murmur3 is the 32-bit MurmurHash3 for x86 with seed 0, which Iceberg's bucket
// transform is defined by.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	var h uint32
	n := uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		h ^= bits.RotateLeft32(binary.LittleEndian.Uint32(b)*c1, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	var tail uint32
	for i, c := range b {
		tail |= uint32(c) << (8 * i)
	}
	h ^= bits.RotateLeft32(tail*c1, 15) * c2
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
