// Package viewtest makes the records that the benchmarks of the hot path measure: page
// views, as a table of twelve columns. The same number always makes the same record.
package viewtest

import (
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

var columns = [...]struct {
	name   string
	column iceberg.Type
	field  connect.Type
}{
	{"id", iceberg.PrimitiveTypes.Int64, connect.Int64},
	{"ts", iceberg.PrimitiveTypes.TimestampTz, connect.Int64},
	{"user", iceberg.PrimitiveTypes.Int64, connect.Int64},
	{"country", iceberg.PrimitiveTypes.String, connect.StringType},
	{"device", iceberg.PrimitiveTypes.String, connect.StringType},
	{"page", iceberg.PrimitiveTypes.String, connect.StringType},
	{"amount", iceberg.PrimitiveTypes.Float64, connect.Float64},
	{"ok", iceberg.PrimitiveTypes.Bool, connect.Boolean},
	{"count", iceberg.PrimitiveTypes.Int32, connect.Int64},
	{"session", iceberg.PrimitiveTypes.String, connect.StringType},
	{"lang", iceberg.PrimitiveTypes.String, connect.StringType},
	{"score", iceberg.PrimitiveTypes.Float64, connect.Float64},
}

// Table is the schema of the table; the column id has ID 1.
func Table() *iceberg.Schema {
	var fields []iceberg.NestedField
	for i, c := range columns {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: c.name, Type: c.column})
	}
	return iceberg.NewSchema(0, fields...)
}

// Record is the schema of a record, as Avro would give it.
func Record() *connect.Schema {
	s := &connect.Schema{Type: connect.StructType}
	for _, c := range columns {
		s.Fields = append(s.Fields, connect.Field{Name: c.name, Schema: &connect.Schema{Type: c.field}})
	}
	return s
}

// Fields are the values of record i, in the order of the columns.
func Fields(i int) []connect.Value {
	h := uint64(i) * 0x9E3779B97F4A7C15
	text := connect.StringValue
	return []connect.Value{
		connect.IntValue(int64(i)),
		connect.IntValue(1_700_000_000_000 + int64(i)*37),
		connect.IntValue(int64(h >> 44)),
		text([]string{"DE", "FR", "US", "JP"}[i%4]),
		text([]string{"phone", "desktop", "tablet"}[i%3]),
		text(fmt.Sprintf("/catalog/item-%05d", h>>48%50_000)),
		connect.FloatValue(float64(h>>50) / 100),
		connect.BoolValue(i%5 == 0),
		connect.IntValue(int64(i % 100)),
		text(fmt.Sprintf("%016x", h)[:8]),
		text([]string{"de", "fr", "en", "ja"}[i%4]),
		connect.FloatValue(float64(h>>54) / 8),
	}
}

// Struct is record i, of the schema that Record returns.
func Struct(i int) connect.Value { return connect.StructValue(Fields(i)) }

// Map is record i without a schema, as from JSON.
func Map(i int) connect.Value {
	pairs := make([]connect.Value, 0, 2*len(columns))
	for k, v := range Fields(i) {
		pairs = append(pairs, connect.StringValue(columns[k].name), v)
	}
	return connect.MapValue(pairs)
}
