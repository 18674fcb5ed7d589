package columns

import (
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// eventSchema is a table of twelve columns, as page views have them.
var eventSchema = iceberg.NewSchema(0,
	column(1, "id", iceberg.PrimitiveTypes.Int64),
	column(2, "ts", iceberg.PrimitiveTypes.TimestampTz),
	column(3, "user", iceberg.PrimitiveTypes.Int64),
	column(4, "country", iceberg.PrimitiveTypes.String),
	column(5, "device", iceberg.PrimitiveTypes.String),
	column(6, "page", iceberg.PrimitiveTypes.String),
	column(7, "amount", iceberg.PrimitiveTypes.Float64),
	column(8, "ok", iceberg.PrimitiveTypes.Bool),
	column(9, "count", iceberg.PrimitiveTypes.Int32),
	column(10, "session", iceberg.PrimitiveTypes.String),
	column(11, "lang", iceberg.PrimitiveTypes.String),
	column(12, "score", iceberg.PrimitiveTypes.Float64))

// event is record i, in the order of the columns.
func event(i int) []connect.Value {
	h := uint64(i) * 0x9E3779B97F4A7C15
	return []connect.Value{
		integer(int64(i)),
		integer(1_700_000_000_000 + int64(i)*37),
		integer(int64(h >> 44)),
		text([]string{"DE", "FR", "US", "JP"}[i%4]),
		text([]string{"phone", "desktop", "tablet"}[i%3]),
		text(fmt.Sprintf("/catalog/item-%05d", h>>48%50_000)),
		connect.FloatValue(float64(h>>50) / 100),
		connect.BoolValue(i%5 == 0),
		integer(int64(i % 100)),
		text(fmt.Sprintf("%016x", h)),
		text([]string{"de", "fr", "en", "ja"}[i%4]),
		connect.FloatValue(float64(h>>40) / (1 << 24)),
	}
}

func eventMap(i int) connect.Value {
	var pairs []connect.Value
	for k, v := range event(i) {
		pairs = append(pairs, text(eventSchema.Field(k).Name), v)
	}
	return connect.MapValue(pairs)
}

func eventStruct(i int) (*connect.Schema, connect.Value) {
	s := &connect.Schema{Type: connect.StructType}
	for k, v := range event(i) {
		t := map[connect.Kind]connect.Type{connect.Int: connect.Int64, connect.Float: connect.Float64, connect.Bool: connect.Boolean, connect.String: connect.StringType}[v.Kind()]
		s.Fields = append(s.Fields, connect.Field{Name: eventSchema.Field(k).Name, Schema: &connect.Schema{Type: t}})
	}
	return s, connect.StructValue(event(i))
}

func BenchmarkAppend(b *testing.B) {
	const rows = 20_000
	maps, structs := make([]connect.Value, 1000), make([]connect.Value, 1000)
	record, _ := eventStruct(0)
	for i := range maps {
		maps[i] = eventMap(i)
		_, structs[i] = eventStruct(i)
	}
	run := func(record *connect.Schema, values []connect.Value) func(*testing.B) {
		return func(b *testing.B) {
			p, c := mustCompile(b, record, eventSchema, Options{})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := p.Append(c, values[i%len(values)]); err != nil {
					b.Fatal(err)
				}
				if c.Len() == rows {
					c.Reset()
				}
			}
		}
	}
	b.Run("map", run(nil, maps))
	b.Run("struct", run(record, structs))
}
