package columns

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
)

// A Leaf reads one primitive column, for partition values. It stays valid for the
// life of its Columns.
type Leaf struct{ v *vector }

// Leaf finds the column of a field id at the top or inside structs.
func (c *Columns) Leaf(id int) (Leaf, bool) { return findLeaf(c.schema.Fields(), c.vecs, id) }

func findLeaf(fields []iceberg.NestedField, vecs []*vector, id int) (Leaf, bool) {
	for i, f := range fields {
		if st, ok := f.Type.(*iceberg.StructType); ok {
			if l, found := findLeaf(st.FieldList, vecs[i].kids, id); found {
				return l, true
			}
			continue
		}
		if f.ID == id {
			return Leaf{vecs[i]}, true
		}
	}
	return Leaf{}, false
}

// Null tells whether row i has no value; the other methods then give the zero value.
func (l Leaf) Null(i int) bool { return l.v.isNull(i) }

// Int is the value of an int, date (days), long, time or timestamp (microseconds, or
// nanoseconds) column, 0 or 1 of a boolean, and the bits of a float or double.
func (l Leaf) Int(i int) int64 {
	switch l.v.kind { //nolint:exhaustive // the others are no numbers
	case kindInt32:
		return int64(l.v.i32[i])
	case kindInt64:
		return l.v.i64[i]
	case kindFloat32:
		return int64(math.Float32bits(l.v.f32[i]))
	case kindFloat64:
		return int64(math.Float64bits(l.v.f64[i]))
	case kindBool:
		if l.v.boolean(i) {
			return 1
		}
	}
	return 0
}

// Bytes is the value of a string, binary, fixed or uuid column, valid until the
// next change of the Columns.
func (l Leaf) Bytes(i int) []byte { return l.v.bytesAt(i) }

// Decimal is the unscaled value of a decimal column.
func (l Leaf) Decimal(i int) decimal128.Num { return l.v.dec[i] }

// LowCardinality tells for each primitive column, by its path in Parquet, whether
// its values repeat so much that a dictionary pays: on average four times or more
// among the rows at hand.
func (c *Columns) LowCardinality() map[string]bool {
	out := make(map[string]bool)
	var s sampler
	for i, f := range c.schema.Fields() {
		s.visit(out, f.Name, f.Type, c.vecs[i])
	}
	return out
}

// A sampler counts distinct values in a small hash table.
type sampler struct{ slots []uint64 }

func (s *sampler) visit(out map[string]bool, path string, t iceberg.Type, v *vector) {
	switch t := t.(type) {
	case *iceberg.StructType:
		for i, f := range t.FieldList {
			s.visit(out, path+"."+f.Name, f.Type, v.kids[i])
		}
	case iceberg.VariantType:
		out[path+".metadata"], out[path+".value"] = s.repeats(v.kids[0]), s.repeats(v.kids[1])
	case *iceberg.ListType:
		s.visit(out, path+".list.element", t.Element, v.kids[0])
	case *iceberg.MapType:
		s.visit(out, path+".key_value.key", t.KeyType, v.kids[0])
		s.visit(out, path+".key_value.value", t.ValueType, v.kids[1])
	default:
		out[path] = v.kind != kindBool && s.repeats(v)
	}
}

func (s *sampler) repeats(v *vector) bool {
	const most = 20_000
	n := min(v.n, most)
	limit := n / 4
	size := 16
	for size < 2*(limit+1) {
		size *= 2
	}
	if len(s.slots) < size {
		s.slots = make([]uint64, size)
	}
	slots := s.slots[:size]
	clear(slots)
	distinct := 0
	for i := range n {
		h := v.hash(i) | 1
		at := int(h>>32) & (size - 1)
		for slots[at] != 0 && slots[at] != h {
			at = (at + 1) & (size - 1)
		}
		if slots[at] == 0 {
			slots[at] = h
			if distinct++; distinct > limit {
				return false
			}
		}
	}
	return n > 0
}

func (v *vector) hash(i int) uint64 {
	switch v.kind { //nolint:exhaustive // nested vectors are never hashed
	case kindBytes, kindFixed:
		return hashBytes(v.bytesAt(i))
	case kindDecimal:
		return mix(v.dec[i].LowBits() ^ uint64(v.dec[i].HighBits()))
	}
	return mix(uint64(Leaf{v}.Int(i)))
}

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
