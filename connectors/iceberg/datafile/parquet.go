package datafile

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/firn-io/firn/connectors/iceberg/columns"
	"github.com/firn-io/firn/connectors/iceberg/pages"
)

// An encoder turns columns into one Parquet file. It keeps the pages of the row group
// at work, compressed, until the group is cut.
type encoder interface {
	// Add encodes all rows of c, which may be changed afterwards.
	Add(c *columns.Columns) error

	// Flush encodes all rows of c as well and gives up the memory of all row groups.
	Flush(c *columns.Columns) error

	// Close ends the file and returns its footer.
	Close() (*metadata.FileMetaData, error)

	written() int64 // size of the file so far, compressed
	held() int64    // estimate of the memory
	groups() int64  // row groups begun
}

// newEncoder begins a file. first are the rows it will begin with: they decide
// which columns get a dictionary.
func (w *Writer) newEncoder(first *columns.Columns, to io.Writer) (encoder, error) {
	if w.scratch == nil {
		e, err := newArrowEncoder(w.settings, w.groupBytes, first, to)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
	low := first.LowCardinality()
	props := append([]parquet.WriterProperty{parquet.WithDictionaryDefault(false)}, w.settings.parquet...)
	file, err := pages.New(to, first.ArrowSchema(), w.scratch, pages.Options{
		Properties:      parquet.NewWriterProperties(props...),
		Dictionary:      low,
		DictionaryBytes: w.settings.dictBytes,
		PageBytes:       w.settings.pageBytes,
		Ways:            &w.ways,
	})
	if err != nil {
		return nil, fmt.Errorf("begin Parquet file: %w", err)
	}
	return &pageEncoder{file: file, groupBytes: w.groupBytes, leaves: int64(len(low))}, nil
}

// A pageEncoder writes flat columns in the usual encodings, which is nearly every table.
type pageEncoder struct {
	file       *pages.File
	groupBytes int64 // compressed size at which a row group is cut
	leaves     int64
	begun      int64
	open       bool // there is a row group at work
}

func (e *pageEncoder) Add(c *columns.Columns) error {
	if !e.open {
		e.open = true
		e.begun++
	}
	if err := e.file.Add(c); err != nil {
		return fmt.Errorf("encode %d rows: %w", c.Len(), err)
	}
	if e.file.Pending() >= e.groupBytes {
		return e.endGroup()
	}
	return nil
}

func (e *pageEncoder) endGroup() error {
	e.open = false
	if err := e.file.EndGroup(); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	return nil
}

func (e *pageEncoder) Flush(c *columns.Columns) error {
	if err := e.Add(c); err != nil {
		return err
	}
	return e.endGroup()
}

func (e *pageEncoder) written() int64 { return e.file.Written() + e.file.Pending() }

func (e *pageEncoder) held() int64 { return e.file.Held() + footerBytes*e.leaves*e.begun }

func (e *pageEncoder) groups() int64 { return e.begun }

func (e *pageEncoder) Close() (*metadata.FileMetaData, error) {
	md, err := e.file.Close()
	if err != nil {
		return nil, fmt.Errorf("end Parquet file: %w", err)
	}
	return md, nil
}

// footerBytes is about what statistics take, per column and row group.
const footerBytes = 1024

// An arrowEncoder writes every type and all encodings, with the Parquet library.
type arrowEncoder struct {
	fw         *pqarrow.FileWriter
	pageBytes  int64
	groupBytes int64 // compressed size at which a row group is cut
	leaves     int64
	raw        int64 // size of the rows in the group at work, before encoding
	begun      int64
	cut        bool // the next Add begins a row group
}

func newArrowEncoder(s *settings, groupBytes int64, first *columns.Columns, w io.Writer) (*arrowEncoder, error) {
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
	return &arrowEncoder{fw: fw, pageBytes: s.pageBytes, groupBytes: groupBytes, leaves: int64(len(low)), cut: true}, nil
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

func (e *arrowEncoder) Add(c *columns.Columns) error {
	if e.cut {
		if err := e.fw.NewBufferedRowGroupChecked(); err != nil {
			return fmt.Errorf("begin row group: %w", err)
		}
		e.cut, e.raw = false, 0
		e.begun++
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

// Flush makes the rows a row group of their own.
func (e *arrowEncoder) Flush(c *columns.Columns) error {
	batch := c.Batch()
	defer batch.Release()
	if err := e.fw.Write(batch); err != nil {
		return fmt.Errorf("encode %d rows: %w", c.Len(), err)
	}
	e.cut, e.raw = true, 0
	e.begun++
	return nil
}

func (e *arrowEncoder) groups() int64 { return e.begun }

// written leaves the pages at work out.
func (e *arrowEncoder) written() int64 { return e.fw.TotalCompressedBytes() }

// held estimates the memory of the row group at work and of the footer: pages that
// are done compressed, one page per column that is not, and about a kilobyte of
// statistics per column and group.
func (e *arrowEncoder) held() int64 {
	pages := min(e.raw, e.leaves*e.pageBytes)
	held := pages + footerBytes*e.leaves*e.begun
	if e.raw > 0 {
		held += e.fw.RowGroupTotalCompressedBytes()
	}
	return held
}

func (e *arrowEncoder) Close() (*metadata.FileMetaData, error) {
	if err := e.fw.Close(); err != nil {
		return nil, fmt.Errorf("end Parquet file: %w", err)
	}
	md, err := e.fw.FileMetadata()
	if err != nil {
		return nil, fmt.Errorf("read back Parquet footer: %w", err)
	}
	return md, nil
}
