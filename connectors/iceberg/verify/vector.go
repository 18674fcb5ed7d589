package verify

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/apache/iceberg-go/table/dv"
)

// maxVectorBytes bounds a deletion vector: at worst it takes a bit for each row.
const maxVectorBytes = 256 << 20

// readVector applies a deletion vector to its data file. It is read from the place that the
// manifest names, as engines do, without the footer of its file.
func (r *run) readVector(ctx context.Context, d *deletes, f *File) (err error) {
	data := d.files[f.Vector.Of]
	if data == nil || data.Sequence > f.Sequence {
		return nil
	}
	if d.vectors[data.Path] {
		return cannot("data file %s has more than one deletion vector, one in %s", data.Path, f.Path)
	}
	d.vectors[data.Path] = true
	blob, err := r.Table.readPart(ctx, f.Path, f.Vector.Offset, f.Vector.LengthBytes)
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil { // of the library that reads bitmaps
			err = cannot("the deletion vector of %s in %s cannot be read: %v", data.Path, f.Path, v)
		}
	}()
	if err := checkVector(blob); err != nil {
		return cannot("the deletion vector of %s in %s cannot be read: %v", data.Path, f.Path, err)
	}
	bitmap, err := dv.DeserializeDV(blob, f.Records)
	if err != nil {
		return cannot("the deletion vector of %s in %s cannot be read: %v", data.Path, f.Path, err)
	}
	for at := range bitmap.Positions() {
		if at >= uint64(data.Records) {
			break
		}
		if err := d.take(data.Path, int64(at), f.Sequence, r.MemoryBytes); err != nil {
			return err
		}
	}
	return nil
}

// checkVector looks at the number of bitmaps in a vector, for which the library makes
// room: each has a key and a header. (Source: Puffin specification, "deletion-vector-v1".)
func checkVector(blob []byte) error {
	const counted, header, bitmap = 16, 8, 12
	if len(blob) < counted {
		return fmt.Errorf("it has only %d bytes", len(blob))
	}
	if n := binary.LittleEndian.Uint64(blob[header:counted]); n > uint64(len(blob)/bitmap) {
		return fmt.Errorf("it has %d bytes for %d bitmaps", len(blob), n)
	}
	return nil
}

// readPart reads a part of a file.
func (t *Table) readPart(ctx context.Context, path string, offset, length int64) ([]byte, error) {
	content, err := t.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer content.Close() //nolint:errcheck // it was only read
	info, err := content.Stat()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if size := info.Size(); offset < 0 || length < 0 || length > maxVectorBytes || offset > size || length > size-offset {
		return nil, cannot("file %s has %d bytes, none of them %d from %d on", path, size, length, offset)
	}
	part := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(content, offset, length), part); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return part, nil
}
