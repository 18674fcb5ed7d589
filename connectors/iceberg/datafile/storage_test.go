package datafile

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var _ IO = storage.FileIO(nil)

func TestLocalStorage(t *testing.T) {
	dir := t.TempDir()
	cfg := config(storage.Local{}, pairSchema)
	cfg.Location = func(name string) string { return "file://" + filepath.Join(dir, name) }
	w := mustWriter(t, cfg)
	appendPairs(t, w, 0, 1000)
	p := w.Seal()
	files, err := p.Wait(t.Context())
	if err != nil || len(files) != 1 {
		t.Fatalf("got %d files, %v; want one", len(files), err)
	}
	content, err := os.ReadFile(filepath.Join(dir, filepath.Base(files[0].FilePath())))
	if err != nil || len(longs(t, content, 0)) != 1000 {
		t.Errorf("the file is not there or not whole: %v", err)
	}
	p.Discard(t.Context())
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("Discard left %v, %v", left, err)
	}
}

// TestNaN sees that NaN enters no bounds: a reader would skip rows by them.
func TestNaN(t *testing.T) {
	schema := iceberg.NewSchema(0, column(1, "d", iceberg.PrimitiveTypes.Float64), column(2, "only", iceberg.PrimitiveTypes.Float32))
	io := newMemIO()
	w := mustWriter(t, config(io, schema))
	nan := connect.FloatValue(math.NaN())
	for _, d := range []connect.Value{nan, connect.FloatValue(2), nan, connect.FloatValue(-1), {}, nan} {
		if err := w.Append(nil, object(text("d"), d, text("only"), nan)); err != nil {
			t.Fatal(err)
		}
	}
	f := seal(t, w, io)[0]
	for id, want := range map[int][2]string{1: {"-1", "2"}, 2: {"", ""}} {
		col, _ := schema.FindFieldByID(id)
		for i, b := range [][]byte{f.LowerBoundValues()[id], f.UpperBoundValues()[id]} {
			got := ""
			if len(b) > 0 {
				lit, err := iceberg.LiteralFromBytes(col.Type, b)
				if err != nil {
					t.Fatal(err)
				}
				got = lit.String()
			}
			if got != want[i] {
				t.Errorf("column %s: bound %d is %q, want %q", col.Name, i, got, want[i])
			}
		}
	}
}
