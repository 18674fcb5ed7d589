package datafile

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// An encoder turns columns into one Parquet file. It keeps the pages of the row
// group at work, compressed, until the group is cut.
type encoder struct {
	fw         *pqarrow.FileWriter
	pageBytes  int64
	groupBytes int64 // compressed size at which a row group is cut
	leaves     int64
	raw        int64 // size of the rows in the group at work, before encoding
	groups     int64
	cut        bool // the next Add begins a row group
}

// newEncoder begins a file. first are the rows it will begin with: they decide
// which columns get a dictionary.
func newEncoder(s *settings, groupBytes int64, first *columns.Columns, w io.Writer) (*encoder, error) {
	props := append([]parquet.WriterProperty{parquet.WithDictionaryDefault(false)}, s.parquet...)
	low := first.LowCardinality()
	for path, on := range low {
		if on {
			props = append(props, parquet.WithDictionaryFor(path, true))
		}
	}
	if s.fast {
		props = append(props, fastEncodings(first.ArrowSchema(), low)...)
	}
	fw, err := pqarrow.NewFileWriter(first.ArrowSchema(), w, parquet.NewWriterProperties(props...), pqarrow.NewArrowWriterProperties())
	if err != nil {
		return nil, fmt.Errorf("begin Parquet file: %w", err)
	}
	return &encoder{fw: fw, pageBytes: s.pageBytes, groupBytes: groupBytes, leaves: int64(len(low)), cut: true}, nil
}

// fastEncodings are those that pack better than plain for columns without a
// dictionary; only top-level ones, where nearly all data is.
func fastEncodings(schema *arrow.Schema, low map[string]bool) []parquet.WriterProperty {
	var out []parquet.WriterProperty
	for _, f := range schema.Fields() {
		if low[f.Name] {
			continue
		}
		switch f.Type.ID() { //nolint:exhaustive // the others stay plain
		case arrow.INT32, arrow.INT64, arrow.DATE32, arrow.TIME64, arrow.TIMESTAMP:
			out = append(out, parquet.WithEncodingFor(f.Name, parquet.Encodings.DeltaBinaryPacked))
		case arrow.STRING, arrow.BINARY:
			out = append(out, parquet.WithEncodingFor(f.Name, parquet.Encodings.DeltaLengthByteArray))
		case arrow.FLOAT32, arrow.FLOAT64:
			out = append(out, parquet.WithEncodingFor(f.Name, parquet.Encodings.ByteStreamSplit))
		}
	}
	return out
}

// Add encodes all rows of c, which may be changed afterwards.
func (e *encoder) Add(c *columns.Columns) error {
	if e.cut {
		if err := e.fw.NewBufferedRowGroupChecked(); err != nil {
			return fmt.Errorf("begin row group: %w", err)
		}
		e.cut, e.raw = false, 0
		e.groups++
	}
	e.raw += c.Bytes()
	batch := c.Batch()
	defer batch.Release()
	if err := e.fw.WriteBuffered(batch); err != nil {
		return fmt.Errorf("encode %d rows: %w", c.Len(), err)
	}
	e.cut = e.fw.RowGroupTotalCompressedBytes() >= e.groupBytes
	return nil
}

// Flush encodes all rows of c as a row group of their own and gives up the memory
// of all row groups.
func (e *encoder) Flush(c *columns.Columns) error {
	batch := c.Batch()
	defer batch.Release()
	if err := e.fw.Write(batch); err != nil {
		return fmt.Errorf("encode %d rows: %w", c.Len(), err)
	}
	e.cut, e.raw = true, 0
	e.groups++
	return nil
}

// written is the size of the file so far, compressed, the pages at work excepted.
func (e *encoder) written() int64 { return e.fw.TotalCompressedBytes() }

// held estimates the memory of the row group at work and of the footer: pages that
// are done compressed, one page per column that is not, and about a kilobyte of
// statistics per column and group.
func (e *encoder) held() int64 {
	pages := min(e.raw, e.leaves*e.pageBytes)
	held := pages + 1024*e.leaves*e.groups
	if e.raw > 0 {
		held += e.fw.RowGroupTotalCompressedBytes()
	}
	return held
}

// Close ends the file and returns its footer.
func (e *encoder) Close() (*metadata.FileMetaData, error) {
	if err := e.fw.Close(); err != nil {
		return nil, fmt.Errorf("end Parquet file: %w", err)
	}
	md, err := e.fw.FileMetadata()
	if err != nil {
		return nil, fmt.Errorf("read back Parquet footer: %w", err)
	}
	return md, nil
}
