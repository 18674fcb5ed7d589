package datafile

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// readArrow reads a whole file with pqarrow.
func readArrow(t testing.TB, content []byte) arrow.Table {
	t.Helper()
	pf, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("open Parquet: %v", err)
	}
	t.Cleanup(func() {
		if err := pf.Close(); err != nil {
			t.Errorf("close Parquet: %v", err)
		}
	})
	for i := range pf.NumRowGroups() {
		if pf.RowGroup(i).NumRows() == 0 {
			t.Errorf("row group %d is empty", i)
		}
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatalf("open Parquet for arrow: %v", err)
	}
	tbl, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatalf("read Parquet: %v", err)
	}
	return tbl
}

// longs reads a whole int64 column.
func longs(t testing.TB, content []byte, col int) []int64 {
	t.Helper()
	var out []int64
	for _, c := range readArrow(t, content).Column(col).Data().Chunks() {
		out = append(out, c.(*array.Int64).Int64Values()...)
	}
	return out
}

var pairSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "s", Type: iceberg.PrimitiveTypes.String})

var pairRecord = &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
	{Name: "id", Schema: &connect.Schema{Type: connect.Int64}},
	{Name: "s", Schema: &connect.Schema{Type: connect.StringType, Optional: true}},
}}

func pair(id int, s string) connect.Value {
	return connect.StructValue([]connect.Value{connect.IntValue(int64(id)), connect.StringValue(s)})
}

func appendPairs(t testing.TB, w *Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := w.Append(pairRecord, pair(i, str(i))); err != nil {
			t.Fatalf("Append %d: %v", i, err)
		}
	}
}

func TestUnpartitioned(t *testing.T) {
	io := newMemIO()
	w := mustWriter(t, config(io, pairSchema))
	if files := seal(t, w, io); len(files) != 0 {
		t.Fatalf("%d files without rows, want none", len(files))
	}
	const n = 45_000
	appendPairs(t, w, 0, n)
	files := seal(t, w, io)
	if len(files) != 1 || files[0].Count() != n {
		t.Fatalf("got %d files, first with %d rows; want one with %d", len(files), files[0].Count(), n)
	}
	for i, id := range longs(t, io.content(files[0].FilePath()), 0) {
		if id != int64(i) {
			t.Fatalf("row %d has id %d", i, id)
		}
	}
	if io.openWriters() != 0 {
		t.Errorf("%d writers left open", io.openWriters())
	}
	if got := w.budget.Used(); got != 0 {
		t.Errorf("budget holds %d bytes after Seal, want 0", got)
	}
}
