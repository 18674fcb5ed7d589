package iceberg

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A table of format 3 with a column of every type, partitioned by one of nanoseconds:
// what is written is read back.
func TestTaskWritesEveryType(t *testing.T) {
	text := connect.StringValue
	inner := &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 32, Name: "n", Type: iceberg.PrimitiveTypes.TimestampNs, Required: true},
		{ID: 33, Name: "v", Type: iceberg.VariantType{}},
	}}
	columns := []typedColumn{
		{"p", iceberg.PrimitiveTypes.Int32, connect.Value{}, nil},
		{"o", iceberg.PrimitiveTypes.Int64, connect.Value{}, nil},
		{"b", iceberg.PrimitiveTypes.Bool, connect.BoolValue(true), true},
		{"f", iceberg.PrimitiveTypes.Float32, connect.FloatValue(1.5), 1.5},
		{"d", iceberg.PrimitiveTypes.Float64, connect.FloatValue(2.5), 2.5},
		{"dec", iceberg.DecimalTypeOf(38, 3), text("-1.5"), "-1.5"},
		{"date", iceberg.PrimitiveTypes.Date, text("1969-12-31"), int64(-1)},
		{"time", iceberg.PrimitiveTypes.Time, text("00:00:01.5"), int64(1_500_000)},
		{"ts", iceberg.PrimitiveTypes.Timestamp, text("1970-01-01T00:00:00.000001"), int64(1)},
		{"tz", iceberg.PrimitiveTypes.TimestampTz, text("1970-01-01T00:00:00+01:00"), int64(-3_600_000_000)},
		{"ns", iceberg.PrimitiveTypes.TimestampNs, text("1970-01-02T00:00:00.000000001"), int64(86_400_000_000_001)},
		{"nz", iceberg.PrimitiveTypes.TimestampTzNs, text("1970-01-01T01:00:00.000000001+01:00"), int64(1)},
		{"s", iceberg.PrimitiveTypes.String, text("x"), "x"},
		{"u", iceberg.PrimitiveTypes.UUID, text("00000000-0000-0000-0000-0000000000aa"), "00000000-0000-0000-0000-0000000000aa"},
		{"bin", iceberg.PrimitiveTypes.Binary, connect.BytesValue([]byte{1}), []byte{1}},
		{"fix", iceberg.FixedTypeOf(2), connect.BytesValue([]byte{1, 2}), []byte{1, 2}},
		{"var", iceberg.VariantType{}, connect.MapValue([]connect.Value{text("k"), connect.ArrayValue([]connect.Value{connect.IntValue(1), {}})}), `{"k":[1,null]}`},
		{
			"l", &iceberg.ListType{ElementID: 31, Element: inner},
			connect.ArrayValue([]connect.Value{connect.MapValue([]connect.Value{text("n"), connect.IntValue(1), text("v"), text("q")}), {}}),
			[]any{icetest.Row{"n": int64(1_000_000), "v": `"q"`}, nil},
		},
		{
			"m", &iceberg.MapType{KeyID: 34, KeyType: iceberg.PrimitiveTypes.String, ValueID: 35, ValueType: iceberg.DecimalTypeOf(5, 1)},
			connect.MapValue([]connect.Value{text("k"), connect.IntValue(7)}),
			icetest.Row{"k": "7"},
		},
	}
	// Tables without lists and maps have an encoder of their own.
	t.Run("nested", func(t *testing.T) { writesTypes(t, columns) })
	t.Run("flat", func(t *testing.T) { writesTypes(t, columns[:len(columns)-2]) })
}

type typedColumn struct {
	name  string
	typ   iceberg.Type
	value connect.Value
	want  any
}

func writesTypes(t *testing.T, columns []typedColumn) {
	t.Helper()
	text := connect.StringValue
	inStage(t, nil, func(s *stage) {
		if err := s.catalog.CreateNamespace(s.t.Context(), orders[:1], nil); err != nil {
			t.Fatal(err)
		}
		var fields []iceberg.NestedField
		for i, c := range columns {
			fields = append(fields, iceberg.NestedField{ID: i + 1, Name: c.name, Type: c.typ})
		}
		if _, err := catalog.EnsureTable(s.t.Context(), s.catalog, orders, iceberg.NewSchema(0, fields...), []string{"day(ns)", "bucket(nz, 3)", "ns"}, map[string]string{"format-version": "3", table.ParquetCompressionKey: "uncompressed"}); err != nil {
			t.Fatal(err)
		}
		s.add(3, func(_ connect.TopicPartition, o int64) []connect.Value {
			if o == 41 {
				return nil // a row of nulls
			}
			var pairs []connect.Value
			for _, c := range columns[2:] {
				pairs = append(pairs, text(c.name), c.value)
			}
			return pairs
		})
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
		for at, row := range s.rows(orders) {
			for _, c := range columns[2:] {
				got := row[c.name]
				if at.Offset < 40 || at.Offset == 41 {
					if got != nil {
						t.Fatalf("row %v: %s is %v, want none", at, c.name, got)
					}
					continue
				}
				if textual, ok := got.(string); ok && strings.HasPrefix(textual, "{") {
					got = strings.ReplaceAll(textual, " ", "")
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s (%s): got %T %v, want %v", c.name, c.typ, got, got, c.want)
				}
			}
		}
	})
}
