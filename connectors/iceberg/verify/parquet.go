package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/xitongsys/parquet-go/common"
	"github.com/xitongsys/parquet-go/parquet"
	"github.com/xitongsys/parquet-go/reader"
	"github.com/xitongsys/parquet-go/source"
)

// rowsAtOnce is how many rows of a file are looked at together.
const rowsAtOnce = 4096

// A fileRow is one row of a file, valid until the next.
type fileRow struct {
	number int64
	leaves []uint64
	ints   []int64  // of the wanted columns that are integral
	texts  []string // of those that are texts
	known  []bool   // which of the wanted columns are not null
}

// A column of a file, as the second reader counts them.
type fileColumn struct {
	index  int64
	leaf   int   // in the hasher; -1 for one that the table does not have
	absent []int // definition level to the first node that is not there
	class  class
	want   int // place among the wanted columns; -1

	// metadata is the place of the column with the other half of a variant's values, which
	// itself has no leaf; -1 for what is no variant.
	metadata int
}

// readFile reads the rows of a Parquet file. wanted are columns whose values are to be
// told besides. The library panics on files that it does not understand: that is an error
// here, and so is everything that it passes over in silence.
func (h *rowHasher) readFile(ctx context.Context, t *Table, path string, wanted []int, each func(*fileRow) error) (rows int64, err error) {
	content, err := t.Open(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer content.Close() //nolint:errcheck // it was only read
	defer func() {
		if v := recover(); v != nil {
			err = cannot("xitongsys/parquet-go does not understand %s: %v", path, v)
		}
	}()
	info, err := content.Stat()
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	r, err := openParquet(content, info.Size())
	if err != nil {
		return 0, fmt.Errorf("open %s with xitongsys/parquet-go: %w", path, err)
	}
	defer r.ReadStop()
	cols, err := h.columns(r, wanted)
	if err != nil {
		return 0, fmt.Errorf("file %s: %w", path, err)
	}
	rows = r.GetNumRows()
	b := newBlock(h, path, cols, len(wanted))
	for at := int64(0); at < rows; at += rowsAtOnce {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		if err := b.read(r, int(min(rowsAtOnce, rows-at))); err != nil {
			return rows, cannot("file %s: %v", path, err)
		}
		if err := b.rows(at, each); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// openParquet checks what would make the library allocate by a number in the file.
func openParquet(content io.ReaderAt, size int64) (*reader.ParquetReader, error) {
	tail := make([]byte, 8)
	if _, err := content.ReadAt(tail, size-8); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if footer := int64(binary.LittleEndian.Uint32(tail)); size < 12 || string(tail[4:]) != "PAR1" || footer > size-12 {
		return nil, errors.New("it is no Parquet file, or cut off")
	}
	r, err := reader.NewParquetColumnReader(&secondFile{section: io.NewSectionReader(content, 0, size)}, 1)
	if err != nil {
		return nil, err
	}
	var rows int64
	for _, g := range r.Footer.RowGroups {
		rows += g.NumRows
		for _, c := range g.Columns {
			m := c.MetaData
			if m == nil || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size || m.DataPageOffset < 0 || m.DataPageOffset > size {
				return nil, errors.New("a column is larger than the file")
			}
			if m.Codec == parquet.CompressionCodec_LZ4_RAW || m.Codec == parquet.CompressionCodec_BROTLI || m.Codec == parquet.CompressionCodec_LZO {
				return nil, cannot("xitongsys/parquet-go cannot read the codec %s", m.Codec)
			}
		}
	}
	if rows != r.Footer.NumRows {
		return nil, fmt.Errorf("its footer says %d rows, its row groups %d", r.Footer.NumRows, rows)
	}
	return r, nil
}

// columns maps the columns of a file to those of the table by their field ids.
func (h *rowHasher) columns(r *reader.ParquetReader, wanted []int) ([]fileColumn, error) {
	var cols []fileColumn
	metadata := make(map[int]int) // of variants: leaf to place
	found := false
	seen := make(map[string]bool)
	for i, path := range r.SchemaHandler.ValueColumns {
		if seen[path] {
			return nil, cannot("xitongsys/parquet-go cannot tell columns apart whose names differ in the case of the first letter")
		}
		seen[path] = true
		e := r.SchemaHandler.SchemaElements[r.SchemaHandler.MapIndex[path]]
		if e.FieldID == nil {
			half, err := h.variantHalf(r, path)
			switch {
			case err != nil:
				return nil, err
			case half != nil && half.isMeta:
				metadata[half.leaf] = len(cols)
				cols = append(cols, fileColumn{index: int64(i), leaf: -1, want: -1, metadata: -1, absent: half.absent})
			case half != nil:
				cols = append(cols, fileColumn{index: int64(i), leaf: half.leaf, want: -1, class: semistructured, absent: half.absent})
			}
			continue
		}
		found = true
		c := fileColumn{index: int64(i), leaf: -1, want: -1, metadata: -1}
		if l, ok := h.byID[int(*e.FieldID)]; ok {
			c.leaf, c.class = l, h.leaves[l].class
		}
		for k, id := range wanted {
			if id == int(*e.FieldID) {
				c.want = k
			}
		}
		if c.leaf < 0 && c.want < 0 {
			continue
		}
		if e.GetType() == parquet.Type_INT96 {
			return nil, cannot("column %s is in the old INT96 form", e.Name)
		}
		c.absent = absentNodes(r, path)
		cols = append(cols, c)
	}
	if !found {
		return nil, cannot("its columns have no field ids")
	}
	return cols, h.pair(cols, metadata)
}

// pair joins the halves of variants.
func (h *rowHasher) pair(cols []fileColumn, metadata map[int]int) error {
	for i := range cols {
		if c := &cols[i]; c.leaf >= 0 && c.class == semistructured {
			var ok bool
			if c.metadata, ok = metadata[c.leaf]; !ok {
				return cannot("variant %s has no metadata", h.leaves[c.leaf].name)
			}
			delete(metadata, c.leaf)
		}
	}
	for l := range metadata {
		return cannot("variant %s has no value", h.leaves[l].name)
	}
	return nil
}

// absentNodes tells for each definition level below the highest which node of the path
// is the first that is not there.
func absentNodes(r *reader.ParquetReader, path string) []int {
	var absent []int
	names := common.StrToPath(path)
	for n := 1; n < len(names); n++ {
		e := r.SchemaHandler.SchemaElements[r.SchemaHandler.MapIndex[common.PathToStr(names[:n+1])]]
		if e.GetRepetitionType() != parquet.FieldRepetitionType_REQUIRED {
			absent = append(absent, n-1)
		}
	}
	return absent
}

// A block is some thousand rows of a file, column by column.
type block struct {
	h     *rowHasher
	path  string
	cols  []fileColumn
	data  []blockColumn
	row   fileRow
	width int
}

type blockColumn struct {
	values []any
	rls    []int32
	dls    []int32
	at     int
}

func newBlock(h *rowHasher, path string, cols []fileColumn, wanted int) *block {
	return &block{
		h: h, path: path, cols: cols, data: make([]blockColumn, len(cols)),
		row: fileRow{ints: make([]int64, wanted), texts: make([]string, wanted), known: make([]bool, wanted)},
	}
}

// read fetches n rows of every column.
func (b *block) read(r *reader.ParquetReader, n int) error {
	b.width = n
	for i, c := range b.cols {
		values, rls, dls, err := r.ReadColumnByIndex(c.index, int64(n))
		if err != nil {
			return err
		}
		got := 0
		for _, rl := range rls {
			if rl == 0 {
				got++
			}
		}
		if got != n || len(rls) != len(values) || len(dls) != len(values) {
			return fmt.Errorf("xitongsys/parquet-go finds %d of %d rows of column %d", got, n, c.index)
		}
		b.data[i] = blockColumn{values: values, rls: rls, dls: dls}
	}
	for i, c := range b.cols {
		if c.metadata >= 0 && len(b.data[c.metadata].values) != len(b.data[i].values) {
			return fmt.Errorf("the two parts of variant %s have %d and %d values", b.h.leaves[c.leaf].name, len(b.data[c.metadata].values), len(b.data[i].values))
		}
	}
	return nil
}

// rows puts the rows together again.
func (b *block) rows(first int64, each func(*fileRow) error) error {
	for i := range b.width {
		clear(b.row.known)
		for k := range b.cols {
			if err := b.take(&b.cols[k], &b.data[k]); err != nil {
				return fmt.Errorf("file %s: %w", b.path, err)
			}
		}
		b.row.number, b.row.leaves = first+int64(i), b.h.sum()
		if err := each(&b.row); err != nil {
			return err
		}
	}
	return nil
}

// take adds a column's values of one row.
func (b *block) take(c *fileColumn, d *blockColumn) error {
	for first := true; d.at < len(d.values) && (first || d.rls[d.at] > 0); first = false {
		rl, dl, v := d.rls[d.at], d.dls[d.at], d.values[d.at]
		d.at++
		if int(dl) < len(c.absent) {
			if c.leaf >= 0 {
				b.h.bufs[c.leaf] = append(b.h.bufs[c.leaf], byte(rl), byte(c.absent[dl]))
			}
			continue
		}
		if c.want >= 0 {
			if err := b.tell(c.want, v); err != nil {
				return err
			}
		}
		switch {
		case c.metadata >= 0:
			if err := b.h.fileVariant(c, int(rl), b.data[c.metadata].values[d.at-1], v); err != nil {
				return err
			}
		case c.leaf >= 0:
			if err := b.h.fileValue(c, int(rl), v); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell keeps a value that was asked for.
func (b *block) tell(want int, v any) error {
	b.row.known[want] = true
	switch v := v.(type) {
	case int32:
		b.row.ints[want] = int64(v)
	case int64:
		b.row.ints[want] = v
	case string:
		b.row.texts[want] = v
	default:
		return cannot("a column of coordinates holds a %T", v)
	}
	return nil
}

// fileValue adds a value as the second reader gives it. One that is not of the column's
// class is the library's fault (it takes RLE booleans for numbers), not the file's.
func (h *rowHasher) fileValue(c *fileColumn, rl int, v any) error {
	if !c.class.holds(v) {
		return cannot("xitongsys/parquet-go reads column %s as %T", h.leaves[c.leaf].name, v)
	}
	h.begin(c.leaf, rl)
	from := len(h.bufs[c.leaf])
	switch v := v.(type) {
	case bool:
		h.bool(c.leaf, v)
	case int32:
		h.number(c, int64(v))
	case int64:
		h.number(c, v)
	case float32:
		h.float(c.leaf, float64(v))
	case float64:
		h.float(c.leaf, v)
	case string:
		if c.class == decimal {
			h.decimal(c.leaf, []byte(v))
		} else {
			h.bufs[c.leaf] = append(h.bufs[c.leaf], v...)
		}
	}
	h.end(c.leaf, from)
	return nil
}

// holds tells whether a value can be of the class.
func (c class) holds(v any) bool {
	switch v.(type) {
	case bool:
		return c == boolean
	case int32, int64:
		return c == integral || c == decimal
	case float32, float64:
		return c == floating
	case string:
		return c == binaryText || c == decimal
	}
	return false
}

func (h *rowHasher) number(c *fileColumn, v int64) {
	if c.class == decimal {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(v))
		h.decimal(c.leaf, b[:])
		return
	}
	h.int(c.leaf, v)
}

// secondFile is a file for the second reader, which opens it once per column.
type secondFile struct {
	section *io.SectionReader
}

var _ source.ParquetFile = (*secondFile)(nil)

func (f *secondFile) Read(p []byte) (int, error)                { return f.section.Read(p) }
func (f *secondFile) Seek(off int64, whence int) (int64, error) { return f.section.Seek(off, whence) }
func (f *secondFile) Close() error                              { return nil }
func (f *secondFile) Write([]byte) (int, error)                 { return 0, errors.ErrUnsupported }

func (f *secondFile) Open(string) (source.ParquetFile, error) {
	return &secondFile{io.NewSectionReader(f.section, 0, f.section.Size())}, nil
}

func (f *secondFile) Create(string) (source.ParquetFile, error) { return nil, errors.ErrUnsupported }
