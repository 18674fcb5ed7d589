package columns

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// A Stored is a primitive column as it lies in memory, valid until the next change of
// its Columns. Only the slices of its type are set. Under a null the value is zero.
type Stored struct {
	Len   int
	Nulls int // rows without a value, those without the struct around it included

	Bools []byte           // boolean: a bitmap
	I32   []int32          // int, date
	I64   []int64          // long, time, timestamp, timestamptz
	F32   []float32        // float
	F64   []float64        // double
	Dec   []decimal128.Num // decimal: unscaled
	Off   []int32          // string, binary: the ends of the values, after a first 0
	Data  []byte           // string, binary, fixed, uuid
	Width int              // bytes of one fixed or uuid value

	// Path tells which of the structs around the column are there, outermost first,
	// and then which values are.
	Path []Validity
}

// A Validity tells which values are null.
type Validity struct {
	bits  []byte
	nulls int
}

// Null tells whether value i is null.
func (v Validity) Null(i int) bool { return v.nulls > 0 && v.bits[i>>3]>>(i&7)&1 == 0 }

// Nulls is the number of nulls.
func (v Validity) Nulls() int { return v.nulls }

// Stored appends the primitive columns, those inside structs in the place of the struct:
// the order of a Parquet file. There must be no lists and maps.
func (c *Columns) Stored(dst []Stored) []Stored {
	for _, v := range c.vecs {
		dst = v.stored(dst, nil)
	}
	return dst
}

func (v *vector) stored(dst []Stored, path []Validity) []Stored {
	path = append(slices.Clip(path), Validity{v.valid, v.nulls})
	switch v.kind { //nolint:exhaustive // the others are primitive
	case kindList, kindMap:
		panic("columns: lists and maps are not stored flat")
	case kindStruct:
		for _, k := range v.kids {
			dst = k.stored(dst, path)
		}
		return dst
	}
	return append(dst, Stored{
		Len: v.n, Nulls: v.nulls, Bools: v.bools, I32: v.i32, I64: v.i64, F32: v.f32, F64: v.f64,
		Dec: v.dec, Off: v.off, Data: v.data, Width: v.width, Path: path,
	})
}
