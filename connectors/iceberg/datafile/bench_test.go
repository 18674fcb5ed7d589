package datafile

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// nowhere is a storage that only counts.
type nowhere struct{ bytes int64 }

func (n *nowhere) Create(context.Context, string) (storage.Writer, error) { return n, nil }
func (n *nowhere) Remove(context.Context, string) error                   { return nil }
func (n *nowhere) Write(p []byte) (int, error)                            { n.bytes += int64(len(p)); return len(p), nil }
func (n *nowhere) Close() error                                           { return nil }
func (n *nowhere) Abort() error                                           { return nil }

// viewSchema is a table of twelve columns, as page views have them.
var viewSchema = iceberg.NewSchema(0,
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

func view(i int) []connect.Value {
	h := uint64(i) * 0x9E3779B97F4A7C15
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

// BenchmarkWriter measures a record from its Value to the bytes for storage: as
// schemaless map (JSON) and as struct (Avro), with the encodings of each kind, and
// partitioned into 8 buckets.
func BenchmarkWriter(b *testing.B) {
	const distinct = 100_000
	record := &connect.Schema{Type: connect.StructType}
	for k, v := range view(0) {
		t := map[connect.Kind]connect.Type{connect.Int: connect.Int64, connect.Float: connect.Float64, connect.Bool: connect.Boolean, connect.String: connect.StringType}[v.Kind()]
		record.Fields = append(record.Fields, connect.Field{Name: viewSchema.Field(k).Name, Schema: &connect.Schema{Type: t}})
	}
	maps, structs := make([]connect.Value, distinct), make([]connect.Value, distinct)
	for i := range distinct {
		vals := view(i)
		structs[i] = connect.StructValue(vals)
		var pairs []connect.Value
		for k, v := range vals {
			pairs = append(pairs, text(viewSchema.Field(k).Name), v)
		}
		maps[i] = connect.MapValue(pairs)
	}
	for _, bb := range []struct {
		name      string
		schema    *connect.Schema
		values    []connect.Value
		encodings string
		spec      iceberg.PartitionSpec
	}{
		{"map", nil, maps, encodingsCompat, iceberg.PartitionSpec{}},
		{"struct", record, structs, encodingsCompat, iceberg.PartitionSpec{}},
		{"struct fast", record, structs, encodingsFast, iceberg.PartitionSpec{}},
		{"struct partitioned", record, structs, encodingsCompat, iceberg.NewPartitionSpec(
			iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "b", Transform: iceberg.BucketTransform{NumBuckets: 8}})},
	} {
		b.Run(bb.name, func(b *testing.B) {
			sink := &nowhere{}
			cfg := config(sink, viewSchema)
			cfg.Spec, cfg.Properties = bb.spec, map[string]string{propEncodings: bb.encodings}
			w := mustWriter(b, cfg)
			b.ReportAllocs()
			n, cpu := 0, cpuTime(b)
			for ; b.Loop(); n++ {
				if err := w.Append(bb.schema, bb.values[n%distinct]); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.Seal().Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(n), "cpu-ns/row")
			b.ReportMetric(float64(sink.bytes)/float64(n), "file-B/row")
		})
	}
}

// cpuTime is the CPU time of this process so far: on a busy machine it says more
// than the clock. It counts the collector's scans of the benchmark's own records.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
