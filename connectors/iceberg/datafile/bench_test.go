package datafile

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/storage"
	"github.com/firn-io/firn/connectors/iceberg/viewtest"
)

// nowhere is a storage that only counts.
type nowhere struct{ bytes int64 }

func (n *nowhere) Create(context.Context, string) (storage.Writer, error) { return n, nil }
func (n *nowhere) Remove(context.Context, string) error                   { return nil }
func (n *nowhere) Write(p []byte) (int, error)                            { n.bytes += int64(len(p)); return len(p), nil }
func (n *nowhere) Close() error                                           { return nil }
func (n *nowhere) Abort() error                                           { return nil }

// BenchmarkWriter measures a record from its Value to the bytes for storage: as
// schemaless map (JSON) and as struct (Avro), with the encodings of each kind, and
// partitioned into 8 buckets.
func BenchmarkWriter(b *testing.B) {
	const distinct = 100_000
	maps, structs := make([]connect.Value, distinct), make([]connect.Value, distinct)
	for i := range distinct {
		maps[i], structs[i] = viewtest.Map(i), viewtest.Struct(i)
	}
	record := viewtest.Record()
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
			cfg := config(sink, viewtest.Table())
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
