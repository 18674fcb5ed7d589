package columns

import (
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/viewtest"
)

func BenchmarkAppend(b *testing.B) {
	const rows = 20_000
	maps, structs := make([]connect.Value, 1000), make([]connect.Value, 1000)
	for i := range maps {
		maps[i], structs[i] = viewtest.Map(i), viewtest.Struct(i)
	}
	run := func(record *connect.Schema, values []connect.Value) func(*testing.B) {
		return func(b *testing.B) {
			p, c := mustCompile(b, record, viewtest.Table(), Options{})
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
	b.Run("struct", run(viewtest.Record(), structs))
}
