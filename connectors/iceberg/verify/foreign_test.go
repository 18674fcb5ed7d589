package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// TestFormsOfOtherWriters reads files in forms that Firn does not write: each gives the
// rows that are in it, or an error that names the file. None gives other rows.
func TestFormsOfOtherWriters(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "i", Type: iceberg.PrimitiveTypes.Int32, Required: true}, iceberg.NestedField{ID: 2, Name: "l", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 3, Name: "b", Type: iceberg.PrimitiveTypes.Bool}, iceberg.NestedField{ID: 4, Name: "f", Type: iceberg.PrimitiveTypes.Float32},
		iceberg.NestedField{ID: 5, Name: "d", Type: iceberg.PrimitiveTypes.Float64}, iceberg.NestedField{ID: 6, Name: "s", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 7, Name: "x", Type: iceberg.FixedTypeOf(3)}, iceberg.NestedField{ID: 8, Name: "n", Type: iceberg.DecimalTypeOf(9, 2)},
	)
	var text strings.Builder
	for n := range 300 {
		fmt.Fprintf(&text, `,{"i":%d,"l":%s,"b":%t,"f":%d.5,"d":%d.25,"s":"s%d","x":"AAE%c","n":"%d.%02d"}`,
			n*n, []string{"null", strconv.Itoa(-n)}[n%2], n%3 == 0, n, -n, n/7, 'A'+rune(n%26), n-150, n%100)
	}
	rows := "[" + text.String()[1:] + "]"
	h, err := newRowHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	want := sums(t, h, schema, rows)
	as, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := array.RecordFromJSON(memory.DefaultAllocator, as, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	encodings := map[string]map[string]parquet.Encoding{
		"dictionaries":        nil,
		"plain":               {"": parquet.Encodings.Plain},
		"delta":               {"i": parquet.Encodings.DeltaBinaryPacked, "l": parquet.Encodings.DeltaBinaryPacked, "s": parquet.Encodings.DeltaByteArray},
		"delta length":        {"s": parquet.Encodings.DeltaLengthByteArray},
		"RLE booleans":        {"b": parquet.Encodings.RLE},
		"byte stream split":   {"f": parquet.Encodings.ByteStreamSplit, "d": parquet.Encodings.ByteStreamSplit},
		"split whole numbers": {"l": parquet.Encodings.ByteStreamSplit},
	}
	read := 0
	for _, codec := range []compress.Compression{
		compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Zstd, compress.Codecs.Gzip, compress.Codecs.Brotli, compress.Codecs.Lz4Raw,
	} {
		for _, version := range []parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2} {
			for name, columns := range encodings {
				props := []parquet.WriterProperty{parquet.WithCompression(codec), parquet.WithDataPageVersion(version), parquet.WithDictionaryDefault(columns == nil), parquet.WithDataPageSize(256)}
				for column, encoding := range columns {
					if column != "" {
						props = append(props, parquet.WithEncodingFor(column, encoding))
					}
				}
				form := fmt.Sprintf("%s, %s, pages of version %d", codec, name, version+1)
				content, err := written(b, props...)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				n := 0
				_, err = h.readFile(t.Context(), tableOf(schema, content), "part-0.parquet", nil, func(r *fileRow) error {
					if n >= len(want) || whole(r.leaves) != want[n] {
						t.Errorf("%s: row %d has other values", form, n)
					}
					n++
					return nil
				})
				h.sum()
				switch _, ok := errors.AsType[*CannotError](err); {
				case err == nil && n == len(want):
					read++
				case !ok || !strings.Contains(err.Error(), "part-0.parquet"):
					t.Errorf("%s: got %d of %d rows, %v", form, n, len(want), err)
				default:
					t.Logf("%s: %v", form, err)
				}
			}
		}
	}
	t.Logf("%d forms can be read", read)
}

func written(b arrow.RecordBatch, props ...parquet.WriterProperty) ([]byte, error) {
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(b.Schema(), &buf, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	err = errors.Join(w.Write(b), w.Close())
	return buf.Bytes(), err
}
