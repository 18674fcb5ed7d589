package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	decimals "github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/variant"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// variantOf builds a variant: JSON's types, float64 for doubles, json.Number for decimals,
// and whole numbers in the width they have.
func variantOf(t *testing.T, v any) variant.Value {
	t.Helper()
	var b variant.Builder
	add(t, &b, v)
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func add(t *testing.T, b *variant.Builder, v any) {
	t.Helper()
	var err error
	switch v := v.(type) {
	case [][2]any: // an object
		start := b.Offset()
		var fields []variant.FieldEntry
		for _, f := range v {
			fields = append(fields, b.NextField(start, f[0].(string)))
			add(t, b, f[1])
		}
		err = b.FinishObject(start, fields)
	case []any:
		start := b.Offset()
		var offsets []int
		for _, e := range v {
			offsets = append(offsets, b.NextElement(start))
			add(t, b, e)
		}
		err = b.FinishArray(start, offsets)
	case json.Number:
		whole, fraction, _ := strings.Cut(v.String(), ".")
		var n int64
		if n, err = json.Number(whole + fraction).Int64(); err == nil {
			err = b.AppendDecimal8(uint8(len(fraction)), decimals.Decimal64(n))
		}
	default:
		err = b.Append(v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stream is the canonical form of a variant.
func stream(t *testing.T, v variant.Value) string {
	t.Helper()
	h, err := newRowHasher(iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: iceberg.VariantType{}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.variant(0, v.Metadata().Bytes(), v.Bytes()); err != nil {
		t.Fatal(err)
	}
	return string(h.bufs[0])
}

// TestVariantForms tells values apart, and not the forms of one value.
func TestVariantForms(t *testing.T) {
	type object = [][2]any
	values := [][]any{
		{nil},
		{true},
		{false},
		{int8(7), int16(7), int32(7), int64(7), json.Number("7.0"), json.Number("7.00")},
		{int8(-7), json.Number("-7.0")},
		{int8(0), json.Number("0.00")},
		{int8(70)},
		{json.Number("0.7"), json.Number("0.70")},
		{7.0, float32(7)},
		{0.5, float32(0.5)},
		{"7"},
		{""},
		{"a"},
		{strings.Repeat("a", 100)},
		{[]byte("7")},
		{arrow.Date32(7)},
		{arrow.Time64(7)},
		{[]any{}},
		{[]any{int8(1), int64(2)}, []any{int32(1), json.Number("2.0")}},
		{[]any{int8(2), int8(1)}},
		{[]any{[]any{int8(1)}, int8(2)}},
		{[]any{[]any{int8(1), int8(2)}}},
		{object{}},
		{object{{"a", int8(1)}, {"b", "x"}}, object{{"b", "x"}, {"a", int16(1)}}},
		{object{{"a", int8(1)}, {"b", "y"}}},
		{object{{"a", "x"}, {"b", int8(1)}}},
		{object{{"a", object{{"b", int8(1)}}}}},
		{object{{"a", object{}}, {"b", int8(1)}}},
	}
	seen := make(map[string]string)
	for _, same := range values {
		first := stream(t, variantOf(t, same[0]))
		for _, v := range same[1:] {
			if stream(t, variantOf(t, v)) != first {
				t.Errorf("%T %v differs from %T %v", v, v, same[0], same[0])
			}
		}
		if other, ok := seen[first]; ok {
			t.Errorf("%T %v is as %s", same[0], same[0], other)
		}
		seen[first] = fmt.Sprintf("%T %v", same[0], same[0])
	}
}

func TestDeepVariant(t *testing.T) {
	var v any
	for range maxVariantDepth + 2 {
		v = []any{v}
	}
	deep := variantOf(t, v)
	if _, err := appendVariant(nil, deep, 0); err == nil {
		t.Error("no error")
	}
	h, err := newRowHasher(numbers)
	if err != nil {
		t.Fatal(err)
	}
	h.bufs = append(h.bufs, nil)
	for cut := range deep.Bytes() {
		if err := h.variant(0, deep.Metadata().Bytes(), deep.Bytes()[:cut]); err == nil {
			t.Errorf("the first %d bytes passed for a variant", cut)
		}
	}
}

// TestVariantsOfSpark reads variants that Spark wrote, at the top and within a list.
func TestVariantsOfSpark(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.VariantType{}},
		iceberg.NestedField{ID: 3, Name: "l", Type: &iceberg.ListType{ElementID: 4, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 5, Name: "w", Type: iceberg.VariantType{}}}}}},
	)
	content, err := os.ReadFile("testdata/variants/whole.parquet")
	if err != nil {
		t.Fatal(err)
	}
	h, err := newRowHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]uint64
	if _, err := h.readFile(t.Context(), tableOf(schema, content), "f", nil, func(r *fileRow) error {
		got = append(got, append([]uint64(nil), r.leaves...))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := h.batch(sparkVariants(t, schema), func(_ int, leaves []uint64) error {
		for l := range leaves {
			if n < len(got) && leaves[l] != got[n][l] {
				t.Errorf("row %d: %s differs", n, h.leaves[l].name)
			}
		}
		n++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != 100 || len(got) != n || got[3][1] == got[5][1] || got[1][2] == got[7][2] {
		t.Errorf("got %d rows, want %d, all of them different", len(got), n)
	}
}

// sparkVariants are the rows of testdata/variants/whole.parquet.
func sparkVariants(t *testing.T, schema *iceberg.Schema) arrow.RecordBatch {
	t.Helper()
	as, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	lists := b.Field(2).(*array.ListBuilder)
	elements := lists.ValueBuilder().(*array.StructBuilder)
	for id := range int64(100) {
		b.Field(0).(*array.Int64Builder).Append(id)
		if v := b.Field(1).(*extensions.VariantBuilder); id%5 == 4 {
			v.AppendNull()
		} else {
			v.Append(variantOf(t, [][2]any{
				{"b", id},
				{"a", []any{json.Number("1.5"), true, nil, strings.Repeat("x", int(id)), (float64(id) + 0.5) * 1000}},
				{"c", [][2]any{{"z", id * 1000003}}},
			}))
		}
		if id%3 == 2 {
			lists.AppendNull()
			continue
		}
		lists.Append(true)
		if id%3 == 1 {
			w := elements.FieldBuilder(0).(*extensions.VariantBuilder)
			elements.Append(true)
			w.Append(variantOf(t, id))
			elements.AppendNull()
			elements.Append(true)
			w.AppendNull()
		}
	}
	return b.NewRecordBatch()
}

// TestShreddedVariants are not read: the file is named, and the column.
func TestShreddedVariants(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.VariantType{}})
	content, err := os.ReadFile("testdata/variants/shredded.parquet")
	if err != nil {
		t.Fatal(err)
	}
	h, err := newRowHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.readFile(t.Context(), tableOf(schema, content), "part-7", nil, func(*fileRow) error { return nil })
	if _, ok := errors.AsType[*CannotError](err); !ok || !strings.Contains(err.Error(), "part-7") || !strings.Contains(err.Error(), "variant v is shredded") {
		t.Errorf("got %v, want that part-7 cannot be read because v is shredded", err)
	}
	if !bytes.Contains(content, []byte("typed_value")) {
		t.Error("the file is not shredded")
	}
}
