package datafile

import (
	"errors"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/viewtest"
)

// BenchmarkKeyedWriter is BenchmarkWriter's "struct" for a table with a key: the first load
// of it, where every key is new, and updates of few and of many keys.
func BenchmarkKeyedWriter(b *testing.B) {
	record := viewtest.Record()
	for _, bb := range []struct {
		name   string
		change Change
		keys   int // 0: all are new
	}{{"first load", Insert, 0}, {"upsert new keys", Upsert, 0}, {"upsert 1000 keys", Upsert, 1000}, {"upsert 1000000 keys", Upsert, 1_000_000}} {
		b.Run(bb.name, func(b *testing.B) {
			const distinct = 100_000
			records := make([][]connect.Value, distinct)
			for i := range records {
				records[i] = viewtest.Fields(i)
			}
			sink := &nowhere{}
			cfg := KeyedConfig{Config: config(sink, viewtest.Table()), Key: []int{1}, DeleteSpec: *iceberg.UnpartitionedSpec}
			cfg.Budget = NewBudget(128<<20, nil) // half of firn.memory.bytes
			w := mustKeyed(b, cfg)
			seal := func() {
				data, deletes := w.Seal()
				_, err1 := data.Wait(b.Context())
				_, err2 := deletes.Wait(b.Context())
				if err := errors.Join(err1, err2); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			n, seals, cpu := 0, 1, cpuTime(b)
			for ; b.Loop(); n++ {
				key := n
				if bb.keys > 0 {
					key = int(uint64(n) * 0x9E3779B97F4A7C15 >> 32 % uint64(bb.keys))
				}
				r := records[n%distinct]
				r[0] = connect.IntValue(int64(key))
				err := w.Apply(bb.change, record, connect.StructValue(r))
				if errors.Is(err, ErrSealFirst) {
					seal()
					seals++
					err = w.Apply(bb.change, record, connect.StructValue(r))
				}
				if err != nil {
					b.Fatal(err)
				}
				if n%1000 == 0 && w.Crowded() && !w.Spill() {
					seal()
					seals++
				}
			}
			seal()
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(n), "cpu-ns/row")
			b.ReportMetric(float64(sink.bytes)/float64(n), "file-B/row")
			b.ReportMetric(float64(n)/float64(seals), "rows/seal")
		})
	}
}
