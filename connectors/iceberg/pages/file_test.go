package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/columns"
)

func column(id int, name string, t iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t}
}

// flat is a table with every type that is written here.
var flat = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	column(2, "b", iceberg.PrimitiveTypes.Bool),
	column(3, "i", iceberg.PrimitiveTypes.Int32),
	column(4, "f", iceberg.PrimitiveTypes.Float32),
	column(5, "d", iceberg.PrimitiveTypes.Float64),
	column(6, "dec9", iceberg.DecimalTypeOf(9, 2)),
	column(7, "dec18", iceberg.DecimalTypeOf(18, 4)),
	column(8, "dec38", iceberg.DecimalTypeOf(38, 10)),
	column(9, "ts", iceberg.PrimitiveTypes.TimestampTz),
	column(10, "s", iceberg.PrimitiveTypes.String),
	column(11, "bin", iceberg.PrimitiveTypes.Binary),
	column(12, "fix", iceberg.FixedTypeOf(3)),
	column(13, "u", iceberg.PrimitiveTypes.UUID),
	iceberg.NestedField{ID: 14, Name: "must", Required: true, Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 15, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		column(16, "y", iceberg.PrimitiveTypes.String),
	}}},
	column(17, "st", &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 18, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		column(19, "y", iceberg.PrimitiveTypes.String),
		column(20, "in", &iceberg.StructType{FieldList: []iceberg.NestedField{column(21, "z", iceberg.PrimitiveTypes.Float64)}}),
	}}))

func text(s string) connect.Value { return connect.StringValue(s) }

// row makes a row of pick's choice: pick(n) is a number below n.
func row(i int, kinds int, nulls int, pick func(n int) int) connect.Value {
	maybe := func(v connect.Value) connect.Value {
		if nulls > 0 && pick(nulls) == 0 {
			return connect.Value{}
		}
		return v
	}
	object := func(v ...connect.Value) connect.Value { return connect.MapValue(v) }
	k := pick(kinds)
	floats := []float64{float64(k) / 4, -float64(k), 0, math.Copysign(0, -1), math.Inf(1), math.NaN()}
	s := fmt.Sprintf("%.*s%d", k%23, "a longer beginning than a word", k)
	return object(
		text("id"), connect.IntValue(int64(i)), text("b"), maybe(connect.BoolValue(k%2 == 0)), text("i"), maybe(connect.IntValue(int64(k-kinds/2))),
		text("f"), maybe(connect.FloatValue(floats[k%5])), text("d"), maybe(connect.FloatValue(floats[k%6])),
		text("dec9"), maybe(text(fmt.Sprintf("%d.25", k-kinds/2))), text("dec18"), maybe(text(fmt.Sprintf("%d.0001", kinds/2-k))),
		text("dec38"), maybe(text(fmt.Sprintf("%d%022d.5", kinds/2-k-1, k))),
		text("ts"), maybe(connect.IntValue(1_700_000_000_000+int64(i)*3)),
		text("s"), maybe(text(s)), text("bin"), maybe(connect.BytesValue([]byte{0xff, byte(k), 0}[:k%4%3+1])),
		text("fix"), maybe(connect.BytesValue([]byte{byte(k), 2, byte(k >> 8)})), text("u"), maybe(text(fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(k*k), k))),
		text("must"), object(text("x"), connect.IntValue(int64(k)), text("y"), maybe(text("same"))),
		text("st"), maybe(object(text("x"), connect.IntValue(int64(k)), text("y"), maybe(text(s)), text("in"), maybe(object(text("z"), maybe(connect.FloatValue(0.5)))))))
}

// batches are rows in some Columns.
func batches(t rapid.TB, sizes []int, kinds, nulls int, pick func(n int) int) []*columns.Columns {
	t.Helper()
	plan, err := columns.Compile(nil, flat, columns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out []*columns.Columns
	i := 0
	for _, n := range sizes {
		c, err := columns.New(flat)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := plan.Append(c, row(i, kinds, nulls, pick)); err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			i++
		}
		out = append(out, c)
	}
	return out
}

func properties(codec compress.Compression, more ...parquet.WriterProperty) *parquet.WriterProperties {
	return parquet.NewWriterProperties(append([]parquet.WriterProperty{
		parquet.WithDictionaryDefault(false), parquet.WithCompression(codec), parquet.WithCompressionLevel(1), parquet.WithStoreDecimalAsInteger(true),
	}, more...)...)
}

// ours writes each batch with this package, and ends a row group after those listed.
func ours(t rapid.TB, in []*columns.Columns, s *Scratch, opts Options, cuts ...int) ([]byte, *metadata.FileMetaData) {
	t.Helper()
	var buf bytes.Buffer
	f, err := New(&buf, in[0].ArrowSchema(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range in {
		if err := f.Add(c); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		if slices.Contains(cuts, i) {
			if err := f.EndGroup(); err != nil {
				t.Fatal(err)
			}
		}
	}
	md, err := f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if int64(buf.Len()) != f.Written() {
		t.Errorf("Written is %d, the file has %d bytes", f.Written(), buf.Len())
	}
	return buf.Bytes(), md
}

// arrows writes the same with Arrow's Parquet writer, as one row group.
func arrows(t rapid.TB, in []*columns.Columns) []byte {
	t.Helper()
	var buf bytes.Buffer
	fw, err := pqarrow.NewFileWriter(in[0].ArrowSchema(), &buf, properties(compress.Codecs.Uncompressed), pqarrow.NewArrowWriterProperties())
	if err != nil {
		t.Fatal(err)
	}
	fw.NewBufferedRowGroup()
	for _, c := range in {
		if err := fw.WriteBuffered(c.Batch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := fw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func open(t rapid.TB, content []byte) (*file.Reader, arrow.Table) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	tbl, err := fr.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r, tbl
}

// compare holds a file against Arrow's: rows, and of one row group the statistics.
func compare(t rapid.TB, got, want []byte) {
	t.Helper()
	gr, gt := open(t, got)
	wr, wt := open(t, want)
	if gt.NumRows() != wt.NumRows() {
		t.Fatalf("%d rows, want %d", gt.NumRows(), wt.NumRows())
	}
	for i := range int(wt.NumCols()) {
		g, w := chunked(t, gt.Column(i)), chunked(t, wt.Column(i))
		if !array.ApproxEqual(g, w, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Errorf("column %s differs:\n%.600v\nwant\n%.600v", wt.Column(i).Name(), g, w)
		}
	}
	if gr.NumRowGroups() != 1 {
		return
	}
	for i := range wr.MetaData().Schema.NumColumns() {
		if g, w := statistics(t, gr, i), statistics(t, wr, i); g != w {
			t.Errorf("statistics of column %s: %s, want %s", wr.MetaData().Schema.Column(i).Path(), g, w)
		}
	}
}

func chunked(t rapid.TB, c *arrow.Column) arrow.Array {
	t.Helper()
	a, err := array.Concatenate(c.Data().Chunks(), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func statistics(t rapid.TB, r *file.Reader, i int) string {
	t.Helper()
	c, err := r.MetaData().RowGroup(0).ColumnChunk(i)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Statistics()
	if err != nil || s == nil {
		t.Fatalf("column %d has no statistics: %v", i, err)
	}
	out := fmt.Sprintf("%d values, %d nulls", c.NumValues(), s.NullCount())
	if s.HasMinMax() {
		out += fmt.Sprintf(", %x to %x", s.EncodeMin(), s.EncodeMax())
	}
	return out
}

// TestAgainstArrow writes random rows and holds each file against that of Arrow's writer.
func TestAgainstArrow(t *testing.T) {
	all := map[string]bool{}
	for _, p := range []string{"i", "f", "d", "dec9", "dec18", "dec38", "ts", "s", "bin", "fix", "u", "must.x", "must.y", "st.x", "st.y", "st.in.z"} {
		all[p] = true
	}
	scratches := map[compress.Compression]*Scratch{}
	for _, c := range []compress.Compression{compress.Codecs.Zstd, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Uncompressed} {
		scratches[c] = newScratch(t, c)
	}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		pick := func(n int) int {
			seed = spread(seed + 1)
			return int(seed >> 33 % uint64(n))
		}
		kinds, nulls := rapid.SampledFrom([]int{1, 5, 300, 100_000}).Draw(t, "kinds"), rapid.SampledFrom([]int{0, 1, 2, 50}).Draw(t, "nulls")
		in := batches(t, rapid.SliceOfN(rapid.SampledFrom([]int{1, 7, 8, 9, 100, 700}), 1, 3).Draw(t, "sizes"), kinds, nulls, pick)
		codec := rapid.SampledFrom([]compress.Compression{compress.Codecs.Zstd, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Uncompressed}).Draw(t, "codec")
		opts := Options{
			Properties: properties(codec), DictionaryBytes: int64(rapid.SampledFrom([]int{20, 1000, 1 << 20}).Draw(t, "dictionary bytes")),
			PageBytes: int64(rapid.SampledFrom([]int{1, 500, 1 << 20}).Draw(t, "page bytes")), Ways: &Ways{},
		}
		if rapid.Bool().Draw(t, "dictionary") {
			opts.Dictionary = all
		}
		var cuts []int
		if rapid.Bool().Draw(t, "cut") {
			cuts = append(cuts, 0)
		}
		content, _ := ours(t, in, scratches[codec], opts, cuts...)
		compare(t, content, arrows(t, in))
	})
}

// TestDictionaryOverflow sees that a column leaves its dictionary when that is full, and
// says so.
func TestDictionaryOverflow(t *testing.T) {
	n := 0
	pick := func(below int) int { n++; return n * 7919 % below }
	in := batches(t, []int{500, 4000}, 3000, 0, pick)
	content, md := ours(t, in, newScratch(t, compress.Codecs.Zstd), Options{
		Properties: properties(compress.Codecs.Zstd), DictionaryBytes: 8000, PageBytes: 4 << 10, Ways: &Ways{},
		Dictionary: map[string]bool{"s": true, "must.y": true},
	})
	compare(t, content, arrows(t, in))
	encodings := map[string]string{}
	for i := range md.Schema.NumColumns() {
		c, err := md.RowGroup(0).ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		var pages []string
		for _, s := range c.EncodingStats() {
			pages = append(pages, s.Encoding.String())
		}
		slices.Sort(pages)
		encodings[md.Schema.Column(i).Path()] = fmt.Sprint(c.HasDictionaryPage(), pages)
	}
	for path, want := range map[string]string{"id": "false [PLAIN]", "s": "true [PLAIN PLAIN RLE_DICTIONARY]", "must.y": "true [PLAIN RLE_DICTIONARY]"} {
		if encodings[path] != want {
			t.Errorf("column %s has dictionary and pages %s, want %s", path, encodings[path], want)
		}
	}
}

func TestSupports(t *testing.T) {
	for _, tt := range []struct {
		typ  arrow.DataType
		want bool
	}{
		{arrow.PrimitiveTypes.Int64, true},
		{arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String}), true},
		{arrow.ListOf(arrow.BinaryTypes.String), false},
		{arrow.StructOf(arrow.Field{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String)}), false},
	} {
		if got := Supports(arrow.NewSchema([]arrow.Field{{Name: "c", Type: tt.typ}}, nil)); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.typ, got, tt.want)
		}
	}
}

// failing is a file that takes some bytes and no more.
type failing struct{ room int }

func (f *failing) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no room")
	}
	return len(p), nil
}

func TestWriteFails(t *testing.T) {
	n := 0
	in := batches(t, []int{50}, 10, 3, func(below int) int { n++; return n % below })
	opts := Options{Properties: properties(compress.Codecs.Zstd), DictionaryBytes: 1 << 20, PageBytes: 1 << 20, Ways: &Ways{}, Dictionary: map[string]bool{"s": true}}
	content, _ := ours(t, in, newScratch(t, compress.Codecs.Zstd), opts)
	for room := 0; room < len(content); room += 7 {
		f, err := New(&failing{room}, in[0].ArrowSchema(), newScratch(t, compress.Codecs.Uncompressed), opts)
		if err == nil {
			if err = f.Add(in[0]); err == nil {
				_, err = f.Close()
			}
		}
		if err == nil {
			t.Fatalf("with room for %d of %d bytes the file was closed without an error", room, len(content))
		}
	}
}
