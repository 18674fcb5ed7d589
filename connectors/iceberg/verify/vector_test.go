package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table/dv"
)

func javaFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/deletes/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var numbers = iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})

// counted is a file whose rows are numbered from 0 on.
func counted(t *testing.T, rows int) []byte {
	t.Helper()
	var text strings.Builder
	for n := range rows {
		fmt.Fprintf(&text, `,{"n":%d}`, n)
	}
	return encode(t, numbers, "["+text.String()[1:]+"]", compress.Codecs.Snappy)
}

// vectorRun has a table of these files.
func vectorRun(t testing.TB, tbl *Table, contents map[string][]byte) *run {
	t.Helper()
	rows, err := newRowHasher(numbers)
	if err != nil {
		t.Fatal(err)
	}
	tbl.Schema = numbers
	tbl.Open = func(_ context.Context, path string) (icebergio.File, error) {
		if c, ok := contents[path]; ok {
			return oneFile{bytes.NewReader(c)}, nil
		}
		return nil, fs.ErrNotExist
	}
	return &run{Job: &Job{Table: tbl, MemoryBytes: defaultMemory, Examples: 10}, rows: rows, report: new(Report)}
}

// gone lists the rows that are deleted.
func gone(t *testing.T, r *run) ([]string, error) {
	t.Helper()
	d, err := r.readDeletes(t.Context(), nil)
	if err != nil {
		return nil, err
	}
	left := make(map[string]bool)
	if err := r.live(t.Context(), d, true, nil, func(f *File, row *fileRow) error {
		left[fmt.Sprint(f.Path, " ", row.number)] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Table.Data {
		for n := range f.Records {
			if at := fmt.Sprint(f.Path, " ", n); !left[at] {
				out = append(out, at)
			}
		}
	}
	return out, nil
}

// TestDeletionVectors applies vectors that Java wrote.
func TestDeletionVectors(t *testing.T) {
	positions := iceberg.NewSchema(0, iceberg.NestedField{ID: deletedPathID, Name: "file_path", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: deletedPositionID, Name: "pos", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	contents := map[string][]byte{
		"one": counted(t, 201), "two": counted(t, 100), "young": counted(t, 10), "small": counted(t, 10), "large": counted(t, 66000),
		"both": javaFile(t, "multi-blob-dv.puffin"), "five": javaFile(t, "small-alternating-values-position-index.bin"), "all": javaFile(t, "all-container-types-position-index.bin"),
		"pos": encode(t, positions, `[{"file_path":"one","pos":7},{"file_path":"young","pos":8}]`, compress.Codecs.Uncompressed),
	}
	vector := func(path, of string, offset int64, records int64) File {
		return File{Path: path, Records: records, Sequence: 2, Content: iceberg.EntryContentPosDeletes, Vector: &Vector{of, offset, int64(len(contents[path]))}}
	}
	first, second := vector("both", "one", 4, 3), vector("both", "two", 50, 2)
	first.Vector.LengthBytes, second.Vector.LengthBytes = 46, 44
	r := vectorRun(t, &Table{
		Data: []File{
			{Path: "one", Records: 201, Sequence: 1},
			{Path: "two", Records: 100, Sequence: 2},
			{Path: "young", Records: 10, Sequence: 3},
			{Path: "small", Records: 10, Sequence: 1},
			{Path: "large", Records: 66000, Sequence: 1},
		},
		Deletes: []File{
			{Path: "pos", Sequence: 3, Content: iceberg.EntryContentPosDeletes}, // a vector of "one" takes its place
			first, second, vector("five", "young", 0, 5), vector("five", "small", 0, 5), vector("five", "none", 0, 5), vector("all", "large", 0, 132561),
		},
	}, contents)
	got, err := gone(t, r)
	want := []string{"one 0", "one 100", "one 200", "two 50", "young 8", "small 1", "small 3", "small 5", "small 7", "small 9", "large 5", "large 7"}
	for n := 65537; n < 66000; n++ {
		want = append(want, fmt.Sprint("large ", n))
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d deleted rows, %v: %.30q, want %d", len(got), err, got[:min(len(got), 30)], len(want))
	}
	if r.report.FileFaults != 0 {
		t.Errorf("got %q", r.report.Examples)
	}
}

// TestUnreadableVectors has vectors that nothing can be said of.
func TestUnreadableVectors(t *testing.T) {
	content := javaFile(t, "small-alternating-values-position-index.bin")
	spoilt := bytes.Clone(content)
	spoilt[20] ^= 1
	many := bytes.Clone(content)
	many[12] = 0xFF
	size := int64(len(content))
	tests := []struct {
		name     string
		content  []byte
		records  int64
		at, size int64
		twice    bool
		says     string
	}{
		{"another number of positions than listed", content, 4, 0, size, false, "cardinality"},
		{"a wrong checksum", spoilt, 5, 0, size, false, "CRC"},
		{"cut off", content, 5, 0, size - 1, false, "length"},
		{"nothing", content, 5, 0, 0, false, "only 0 bytes"},
		{"more bitmaps than bytes", many, 5, 0, size, false, "bitmaps"},
		{"beyond the file's end", content, 5, 10, size, false, "none of them"},
		{"before its begin", content, 5, -1, size, false, "none of them"},
		{"an offset that overflows", content, 5, 1, 1<<63 - 1, false, "none of them"},
		{"two of one data file", content, 5, 0, size, true, "more than one"},
	}
	data := counted(t, 10)
	for _, tt := range tests {
		f := File{Path: "v", Records: tt.records, Sequence: 2, Content: iceberg.EntryContentPosDeletes, Vector: &Vector{"data", tt.at, tt.size}}
		tbl := &Table{Data: []File{{Path: "data", Records: 10, Sequence: 1}}, Deletes: []File{f}}
		if tt.twice {
			tbl.Deletes = append(tbl.Deletes, f)
		}
		_, err := gone(t, vectorRun(t, tbl, map[string][]byte{"data": data, "v": tt.content}))
		if _, ok := errors.AsType[*CannotError](err); !ok || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), " v") {
			t.Errorf("%s: got %v, want a CannotError that names the file and %q", tt.name, err, tt.says)
		}
	}
}

// TestDeletedPositionsAreBounded has a table whose manifest claims a file that no memory holds.
func TestDeletedPositionsAreBounded(t *testing.T) {
	d := &deletes{files: map[string]*File{"f": {Records: 1 << 62}}, positions: make(map[string][]uint64)}
	if err := d.take("f", 1<<61, 1, 1<<20); err == nil {
		t.Error("a position far beyond the memory was taken")
	}
	if err := d.take("f", 1<<20, 1, 1<<20); err != nil || d.bytes != 8*(1<<14+1) {
		t.Errorf("got %d bytes, %v", d.bytes, err)
	}
}

// mend gives a vector the length, mark and checksum of its content.
func mend(blob []byte) {
	if len(blob) < 12 {
		return
	}
	binary.BigEndian.PutUint32(blob, uint32(len(blob)-8))
	binary.LittleEndian.PutUint32(blob[4:], dv.DVMagicNumber)
	binary.BigEndian.PutUint32(blob[len(blob)-4:], crc32.ChecksumIEEE(blob[4:len(blob)-4]))
}

// FuzzVector reads vectors of any content, with the checksum mended so that they get far.
func FuzzVector(f *testing.F) {
	f.Add(javaFile(f, "small-alternating-values-position-index.bin"), int64(5))
	f.Add(javaFile(f, "all-container-types-position-index.bin"), int64(132561))
	f.Fuzz(func(t *testing.T, blob []byte, records int64) {
		mend(blob)
		r := vectorRun(t, &Table{Data: []File{{Path: "data", Records: 1000, Sequence: 1}}}, map[string][]byte{"v": blob})
		r.MemoryBytes = 1 << 20
		r.Table.Deletes = []File{{Path: "v", Records: records, Sequence: 1, Vector: &Vector{"data", 0, int64(len(blob))}}}
		_, _ = r.readDeletes(t.Context(), nil)
	})
}
