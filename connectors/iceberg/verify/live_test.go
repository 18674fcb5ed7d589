package verify

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
)

// TestDeletes applies both kinds of delete files, by sequence number and partition.
func TestDeletes(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.Int64})
	positions := iceberg.NewSchema(0, iceberg.NestedField{ID: deletedPathID, Name: "file_path", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: deletedPositionID, Name: "pos", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	keys := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64})
	contents := map[string][]byte{
		"old": encode(t, schema, `[{"k":1,"v":1},{"k":2,"v":2},{"k":3,"v":3},{"k":null,"v":4},{"k":5,"v":5}]`, compress.Codecs.Uncompressed),
		"new": encode(t, schema, `[{"k":2,"v":20},{"k":3,"v":30}]`, compress.Codecs.Uncompressed),
		"far": encode(t, schema, `[{"k":2,"v":200},{"k":5,"v":500}]`, compress.Codecs.Uncompressed),
		"pos": encode(t, positions, `[{"file_path":"old","pos":0},{"file_path":"old","pos":-1},{"file_path":"old","pos":1000000000000},{"file_path":"none","pos":1}]`, compress.Codecs.Uncompressed),
		"eq":  encode(t, keys, `[{"k":2},{"k":3}]`, compress.Codecs.Uncompressed),
		"all": encode(t, keys, `[{"k":5},{"k":null}]`, compress.Codecs.Uncompressed),
	}
	tbl := &Table{
		Schema: schema,
		Data:   []File{{Path: "old", Records: 5, Sequence: 1, Scope: "a"}, {Path: "new", Records: 2, Sequence: 2, Scope: "a"}, {Path: "far", Records: 2, Sequence: 1, Scope: "b"}},
		Deletes: []File{
			{Path: "pos", Sequence: 2, Content: iceberg.EntryContentPosDeletes},
			{Path: "eq", Sequence: 2, Content: iceberg.EntryContentEqDeletes, Scope: "a", Key: []int{1}},
			{Path: "all", Sequence: 2, Content: iceberg.EntryContentEqDeletes, Key: []int{1}},
		},
		Open: func(_ context.Context, path string) (icebergio.File, error) {
			if c, ok := contents[path]; ok {
				return oneFile{bytes.NewReader(c)}, nil
			}
			return nil, fs.ErrNotExist
		},
	}
	rows, err := newRowHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{Job: &Job{Table: tbl, MemoryBytes: defaultMemory, Examples: 10}, rows: rows, report: new(Report)}
	d, err := r.readDeletes(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = r.live(t.Context(), d, true, []int{2}, func(f *File, row *fileRow) error {
		got = append(got, fmt.Sprint(f.Path, " ", row.ints[0]))
		return nil
	})
	if want := []string{"new 20", "new 30", "far 200"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got rows %q, %v, want %q", got, err, want)
	}
	if r.report.FileFaults != 0 {
		t.Errorf("got %q", r.report.Examples)
	}
	r.MemoryBytes = 1
	if _, err := r.readDeletes(t.Context(), nil); err == nil {
		t.Error("more keys than the memory allows were read")
	}
}
