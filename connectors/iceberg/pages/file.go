// Package pages writes Parquet files of columns that are neither lists nor maps: plain
// and dictionary pages of version 1, which every reader knows.
//
// It promises the same files, but for the division into pages, as the Parquet writer of
// Arrow with these encodings, at a third of its cost: all rows of a call become one page
// of each column at once, so that an open file holds compressed pages only; dictionaries
// are built from the values where they lie; and pages in Zstandard are framed without
// the search for matches where the layout of the values tells the matches, or where
// there are none worth having.
//
// A File and the Scratch that it uses belong to one goroutine. The package does not
// write repeated columns, other encodings, page indexes or encrypted files.
package pages

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// Options say how a file is written.
type Options struct {
	// Properties give the codec, the creator and the version of the file.
	Properties *parquet.WriterProperties

	Dictionary      map[string]bool // by column path: try a dictionary
	DictionaryBytes int64           // of one dictionary page; then pages are plain
	PageBytes       int64           // before compression, about
	Ways            *Ways           // of the table
}

// A File is a Parquet file that is being written.
type File struct {
	opts   Options
	s      *Scratch
	w      counter
	schema *schema.Schema
	meta   *metadata.FileMetaDataBuilder

	chunks []*chunk // of the row group at work; nil: none
	rows   int
	groups int
}

// Supports tells whether a schema can be written: whether there are no lists and maps.
func Supports(s *arrow.Schema) bool {
	for _, f := range s.Fields() {
		if !supports(f.Type) {
			return false
		}
	}
	return true
}

func supports(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.StructType:
		for _, f := range t.Fields() {
			if !supports(f.Type) {
				return false
			}
		}
	case *arrow.ListType, *arrow.MapType:
		return false
	}
	return true
}

// New begins a file.
func New(w io.Writer, as *arrow.Schema, s *Scratch, opts Options) (*File, error) {
	ps, err := pqarrow.ToParquet(as, opts.Properties, pqarrow.NewArrowWriterProperties())
	if err != nil {
		return nil, fmt.Errorf("map arrow schema to Parquet: %w", err)
	}
	f := &File{opts: opts, s: s, w: counter{w: w}, schema: ps, meta: metadata.NewFileMetadataBuilder(ps, opts.Properties, nil)}
	return f, f.w.write(magic)
}

var magic = []byte("PAR1") // read only

// Add takes in all rows of c, which may be changed afterwards.
func (f *File) Add(c *columns.Columns) error {
	if c.Len() == 0 {
		return nil
	}
	if f.chunks == nil {
		for i := range f.schema.NumColumns() {
			f.chunks = append(f.chunks, newChunk(f.schema.Column(i), &f.opts))
		}
	}
	f.s.stored = c.Stored(f.s.stored[:0])
	if len(f.s.stored) != len(f.chunks) {
		return fmt.Errorf("%d columns of rows do not match the %d of the file", len(f.s.stored), len(f.chunks))
	}
	for i, k := range f.chunks {
		k.add(f.s, &f.s.stored[i], &f.opts)
	}
	clear(f.s.stored)
	f.s.trim()
	f.rows += c.Len()
	return nil
}

// EndGroup writes the row group at work, if there is one.
func (f *File) EndGroup() error {
	if f.chunks == nil {
		return nil
	}
	group := f.meta.AppendRowGroup()
	for _, k := range f.chunks {
		if err := k.end(f.s, &f.w, group.NextColumnChunk(), &f.opts); err != nil {
			return fmt.Errorf("write column %s: %w", k.path, err)
		}
	}
	group.SetNumRows(f.rows)
	if err := group.Finish(0, int16(f.groups)); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	f.chunks, f.rows = nil, 0
	f.groups++
	return nil
}

// Written is the number of bytes written so far: row groups that have ended.
func (f *File) Written() int64 { return f.w.n }

// Pending is the size of the row group at work, dictionaries excepted.
func (f *File) Pending() int64 {
	var n int64
	for _, k := range f.chunks {
		n += k.size
	}
	return n
}

// Held is the memory that the row group at work takes.
func (f *File) Held() int64 {
	var n int64
	for _, k := range f.chunks {
		n += k.held()
	}
	return n
}

// Close ends the file and returns its footer.
func (f *File) Close() (*metadata.FileMetaData, error) {
	if err := f.EndGroup(); err != nil {
		return nil, err
	}
	md, err := f.meta.Finish()
	if err != nil {
		return nil, fmt.Errorf("make Parquet footer: %w", err)
	}
	begin := f.w.n
	if _, err := md.WriteTo(&f.w, nil); err != nil {
		return nil, fmt.Errorf("write Parquet footer: %w", err)
	}
	return md, f.w.write(binary.LittleEndian.AppendUint32(nil, uint32(f.w.n-begin)), magic)
}

// A counter knows the position in the file.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (c *counter) write(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
	return nil
}
