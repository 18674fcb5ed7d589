package verify

import (
	"bytes"
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// oneFile is a table's storage with one file, whatever the path.
type oneFile struct{ *bytes.Reader }

func (oneFile) Close() error                 { return nil }
func (f oneFile) Stat() (fs.FileInfo, error) { return f, nil }
func (oneFile) Name() string                 { return "f" }
func (oneFile) Mode() fs.FileMode            { return 0 }
func (oneFile) ModTime() time.Time           { return time.Time{} }
func (oneFile) IsDir() bool                  { return false }
func (oneFile) Sys() any                     { return nil }

func tableOf(schema *iceberg.Schema, content []byte) *Table {
	return &Table{Schema: schema, Open: func(context.Context, string) (icebergio.File, error) { return oneFile{bytes.NewReader(content)}, nil }}
}

var mixed = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "s", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "l", Type: &iceberg.ListType{ElementID: 4, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 5, Name: "a", Type: iceberg.PrimitiveTypes.Float32}, {ID: 6, Name: "b", Type: iceberg.DecimalTypeOf(9, 2), Required: true},
	}}}},
)

const mixedRows = `[{"id":1,"s":"x","l":[{"a":1.5,"b":"2.25"},{"a":null,"b":"-1.00"}]},{"id":2,"s":null,"l":[]},{"id":3,"s":"","l":null},{"id":4,"s":"y","l":[null]},{"id":5,"s":"y","l":[{"a":0,"b":"0.00"}]}]`

// batchOf is the rows of a text in Arrow.
func batchOf(t *testing.T, schema *iceberg.Schema, rows string) arrow.RecordBatch {
	t.Helper()
	as, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := array.RecordFromJSON(memory.DefaultAllocator, as, bytes.NewReader([]byte(rows)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sums gives the rows of a text as the hasher sees them in Arrow.
func sums(t *testing.T, h *rowHasher, schema *iceberg.Schema, rows string) []uint64 {
	t.Helper()
	b := batchOf(t, schema, rows)
	var out []uint64
	if err := h.batch(b, func(_ int, leaves []uint64) error { out = append(out, whole(leaves)); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func encode(t *testing.T, schema *iceberg.Schema, rows string, codec compress.Compression) []byte {
	t.Helper()
	b := batchOf(t, schema, rows)
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(b.Schema(), &buf, parquet.NewWriterProperties(parquet.WithCompression(codec)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestBothReadersAgree reads rows from Arrow and from a file, and tells rows apart that
// differ in one place.
func TestBothReadersAgree(t *testing.T) {
	h, err := newRowHasher(mixed)
	if err != nil {
		t.Fatal(err)
	}
	want := sums(t, h, mixed, mixedRows)
	for _, codec := range []compress.Compression{compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip} {
		var got []uint64
		n, err := h.readFile(t.Context(), tableOf(mixed, encode(t, mixed, mixedRows, codec)), "f", nil, func(r *fileRow) error {
			got = append(got, whole(r.leaves))
			return nil
		})
		if err != nil || n != 5 || len(got) != 5 {
			t.Fatalf("%s: %d rows, %v", codec, len(got), err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: row %d differs between the readers", codec, i)
			}
		}
	}
	for _, other := range []string{
		`[{"id":1,"s":"x","l":[{"a":1.5,"b":"2.25"},{"a":0,"b":"-1.00"}]}]`, `[{"id":1,"s":"x","l":[{"a":1.5,"b":"2.25"}]}]`,
		`[{"id":1,"s":"x","l":[{"a":null,"b":"-1.00"},{"a":1.5,"b":"2.25"}]}]`, `[{"id":1,"s":"x","l":[{"a":1.5,"b":"2.26"},{"a":null,"b":"-1.00"}]}]`,
		`[{"id":1,"s":"x","l":[]}]`, `[{"id":1,"s":"x","l":null}]`, `[{"id":1,"s":"x","l":[null]}]`, `[{"id":1,"s":null,"l":[{"a":1.5,"b":"2.25"},{"a":null,"b":"-1.00"}]}]`,
	} {
		if got := sums(t, h, mixed, other)[0]; got == want[0] {
			t.Errorf("%s has the sum of the first row", other)
		}
	}
	if a, b := sums(t, h, mixed, `[{"id":1,"l":[]}]`)[0], sums(t, h, mixed, `[{"id":1,"l":null}]`)[0]; a == b {
		t.Error("an empty list and a null have one sum")
	}
}

// TestPromotedColumns reads a file of an older schema: a narrower type, a column less, a
// column that was required.
func TestPromotedColumns(t *testing.T) {
	old := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "old", Type: iceberg.PrimitiveTypes.Int32, Required: true}, iceberg.NestedField{ID: 2, Name: "f", Type: iceberg.PrimitiveTypes.Float32})
	now := iceberg.NewSchema(1, iceberg.NestedField{ID: 1, Name: "new", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "f", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 3, Name: "added", Type: iceberg.PrimitiveTypes.String})
	h, err := newRowHasher(now)
	if err != nil {
		t.Fatal(err)
	}
	want := sums(t, h, now, `[{"new":-7,"f":0.5}]`)[0]
	_, err = h.readFile(t.Context(), tableOf(now, encode(t, old, `[{"old":-7,"f":0.5}]`, compress.Codecs.Snappy)), "f", []int{1}, func(r *fileRow) error {
		if whole(r.leaves) != want || r.ints[0] != -7 || !r.known[0] {
			t.Errorf("got sum %x and %+v, want %x and -7", whole(r.leaves), r.ints, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBrokenFiles cuts a file off everywhere and spoils its end: errors, never a panic.
func TestBrokenFiles(t *testing.T) {
	content := encode(t, mixed, mixedRows, compress.Codecs.Uncompressed)
	h, err := newRowHasher(mixed)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range content {
		if _, err := h.readFile(t.Context(), tableOf(mixed, content[:cut]), "f", nil, func(*fileRow) error { return nil }); err == nil {
			t.Errorf("the first %d of %d bytes passed for a file", cut, len(content))
		}
		h.sum()
	}
	footer := len(content) - 8 - int(uint32(content[len(content)-8])|uint32(content[len(content)-7])<<8)
	for at := footer; at < len(content); at++ {
		spoilt := bytes.Clone(content)
		spoilt[at] ^= 0x55
		_, _ = h.readFile(t.Context(), tableOf(mixed, spoilt), "f", nil, func(*fileRow) error { return nil })
		h.sum()
	}
}

func TestAtOrAbove(t *testing.T) {
	for _, tt := range []struct {
		base, from int64
		want       uint64
	}{{64, 0, ^uint64(0)}, {64, 64, ^uint64(0)}, {64, 65, ^uint64(1)}, {64, 127, 1 << 63}, {64, 128, 0}, {0, 1 << 40, 0}} {
		if got := atOrAbove(tt.base, tt.from); got != tt.want {
			t.Errorf("offsets from %d on that are at or above %d: got %x, want %x", tt.base, tt.from, got, tt.want)
		}
	}
}
