// Package storage is the file layer of Iceberg tables: local files (plain paths
// and file://), S3 and what is compatible with it (s3://, s3a://), Google Cloud
// Storage (gs://) and Azure (abfss://, wasbs://), one abortable, cached FileIO for data
// files and for the metadata that iceberg-go reads and writes.
//
// Who we are to a store comes from the catalog's properties or, lent for a time, from
// the catalog (see Lease); never from a table's. SelfTest tries a store and says what
// to do.
//
// It promises that a file appears whole or not at all: a Writer publishes on Close
// and leaves nothing behind on Abort or when its context has ended. Every FileIO
// is safe for use from several goroutines; a Writer belongs to one. S3 clients are
// made once per endpoint and credentials and share the process's connections.
//
// It does not name files: callers choose flat names without partition values,
// because a file:// path is percent-decoded by some readers.
package storage

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// A Writer is a file being written by one goroutine. Nothing is visible at its
// path before Close returns nil. After Close or Abort the other does nothing and
// returns nil, so `defer w.Abort()` is a safe clean-up.
type Writer interface {
	io.Writer

	// Close publishes the file. When it fails, or when the context given to Create
	// has ended, nothing is published, except that after a lost reply of S3 the
	// object may be there: the name is then spent.
	Close() error

	// Abort drops what was written. Its error says what may be left behind on the
	// storage (parts of an upload, a temporary file); nothing is published.
	Abort() error
}

// Info describes one stored file.
type Info struct {
	Path     string // as Create and Open take it
	Bytes    int64
	Modified time.Time
}

// A FileIO creates, reads, lists and removes the files under one storage. Paths are
// whole locations, with their scheme. A missing file is fs.ErrNotExist.
type FileIO interface {
	// Create starts a file that replaces whatever is at path when it is closed. The
	// context governs the whole life of the Writer.
	Create(ctx context.Context, path string) (Writer, error)

	// CreateNew is Create, but Close fails with fs.ErrExist when path is taken by
	// then, even by a rival in the same instant.
	CreateNew(ctx context.Context, path string) (Writer, error)

	// Open reads a file. The context governs every read of the returned File.
	Open(ctx context.Context, path string) (icebergio.File, error)

	// ReadFile reads a whole file of at most MaxReadFileBytes.
	ReadFile(ctx context.Context, path string) ([]byte, error)

	// Remove deletes one file. S3 does not tell a missing file.
	Remove(ctx context.Context, path string) error

	// List yields every file whose path begins with prefix + "/", in no order.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// MaxReadFileBytes bounds ReadFile: far above any metadata.json or manifest list
// (10,000 snapshots are 8 MB), far below what would end the process.
const MaxReadFileBytes = 512 << 20

// Of returns the FileIO that a table's own file system is made of: one that this
// package (or icetest) gave to the catalog.
func Of(ctx context.Context, t *table.Table) (FileIO, error) {
	fsys, err := t.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open storage of table %v: %w", t.Identifier(), err)
	}
	b, ok := fsys.(*bound)
	if !ok {
		return nil, fmt.Errorf("open storage of table %v at %s: its file system is a %T, not one of this build", t.Identifier(), t.Location(), fsys)
	}
	return b.files, nil
}
