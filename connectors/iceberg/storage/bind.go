package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"

	icebergio "github.com/apache/iceberg-go/io"
)

// Bind makes iceberg-go's view of a FileIO, whose calls carry no context: every
// call uses ctx, and a file created through it is aborted, not published, when ctx
// has ended before Close.
func Bind(ctx context.Context, files FileIO) icebergio.IO { return &bound{ctx, files} }

type bound struct {
	ctx   context.Context // iceberg-go's IO has no context of its own; this adapter is the place where one is bound
	files FileIO
}

var (
	_ icebergio.ReadFileIO      = (*bound)(nil)
	_ icebergio.WriteFileIO     = (*bound)(nil)
	_ icebergio.ListableIO      = (*bound)(nil)
	_ icebergio.BulkRemovableIO = (*bound)(nil)
)

func (b *bound) Open(name string) (icebergio.File, error) { return b.files.Open(b.ctx, name) }

func (b *bound) ReadFile(name string) ([]byte, error) { return b.files.ReadFile(b.ctx, name) }

func (b *bound) Remove(name string) error { return b.files.Remove(b.ctx, name) }

func (b *bound) Create(name string) (icebergio.FileWriter, error) {
	w, err := b.files.Create(b.ctx, name)
	if err != nil {
		return nil, err
	}
	return fileWriter{w}, nil
}

func (b *bound) WriteFile(name string, p []byte) error {
	w, err := b.files.Create(b.ctx, name)
	if err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}

// WalkDir calls fn for every file under root; a storage without directories has
// none to show, and iceberg-go asks only for files.
func (b *bound) WalkDir(root string, fn fs.WalkDirFunc) error {
	for info, err := range b.files.List(b.ctx, root) {
		var entry fs.DirEntry
		if err == nil {
			entry = fs.FileInfoToDirEntry(info.FileInfo())
		}
		switch err := fn(info.Path, entry, err); {
		case errors.Is(err, fs.SkipAll), errors.Is(err, fs.SkipDir):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// DeleteFiles removes what it can and reports the rest.
func (b *bound) DeleteFiles(ctx context.Context, paths []string) (deleted []string, err error) {
	var failed []error
	for _, p := range paths {
		if err := b.files.Remove(ctx, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
			continue
		}
		deleted = append(deleted, p)
	}
	return deleted, errors.Join(failed...)
}

// fileWriter adds the ReadFrom that iceberg-go's FileWriter asks for.
type fileWriter struct{ Writer }

func (w fileWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w.Writer}, r)
}
