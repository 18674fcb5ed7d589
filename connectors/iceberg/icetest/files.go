package icetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	icebergio "github.com/apache/iceberg-go/io"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var _ storage.FileIO = (*Files)(nil)

// Files is a storage.FileIO in memory, with faults. Stored bytes are never changed
// in place, so a reader may share them.
type Files struct {
	mu      sync.Mutex // guards what follows; never held while a call waits
	stored  map[string]file
	open    int
	created int
	writes  countdown
	closes  countdown
	delay   time.Duration
	refused map[string]error // by prefix of paths
}

type file struct {
	data     []byte
	modified time.Time
}

// A countdown makes the n-th event from now fail, once.
type countdown struct {
	left int
	err  error
}

func (c *countdown) tick() error {
	if c.left == 0 {
		return nil
	}
	if c.left--; c.left > 0 {
		return nil
	}
	return c.err
}

// NewFiles makes an empty store.
func NewFiles() *Files { return &Files{stored: map[string]file{}, refused: map[string]error{}} }

// Refuse makes the start of every file whose path begins with prefix return err, until it
// is nil.
func (f *Files) Refuse(prefix string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[prefix] = err
}

// FailWrite makes the n-th Write from now (1: the next) return err; it happens once.
func (f *Files) FailWrite(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes = countdown{n, err}
}

// FailClose makes the n-th Close from now return err and publish nothing.
func (f *Files) FailClose(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes = countdown{n, err}
}

// SlowClose makes every Close wait for d before it publishes: an upload.
func (f *Files) SlowClose(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Paths are the stored files, sorted.
func (f *Files) Paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.stored))
}

// OpenWriters is how many Writers are neither closed nor aborted: a leak check.
func (f *Files) OpenWriters() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// Created is how many Writers were made.
func (f *Files) Created() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.created
}

func (f *Files) put(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored[path] = file{data, time.Now()}
}

func (f *Files) get(op, path string) (file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if got, ok := f.stored[path]; ok {
		return got, nil
	}
	return file{}, &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
}

func (f *Files) read(path string) ([]byte, error) {
	got, err := f.get("read", path)
	return got.data, err
}

// Create implements storage.FileIO.
func (f *Files) Create(ctx context.Context, path string) (storage.Writer, error) {
	return f.create(ctx, path, false)
}

// CreateNew implements storage.FileIO.
func (f *Files) CreateNew(ctx context.Context, path string) (storage.Writer, error) {
	return f.create(ctx, path, true)
}

func (f *Files) create(ctx context.Context, path string, exclusive bool) (storage.Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for prefix, err := range f.refused {
		if err != nil && strings.HasPrefix(path, prefix) {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	f.open++
	f.created++
	return &memWriter{ctx: ctx, files: f, path: path, exclusive: exclusive}, nil
}

// Open implements storage.FileIO.
func (f *Files) Open(ctx context.Context, path string) (icebergio.File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	got, err := f.get("open", path)
	if err != nil {
		return nil, err
	}
	return &memFile{Reader: bytes.NewReader(got.data), info: storage.Info{Path: path, Bytes: int64(len(got.data)), Modified: got.modified}}, nil
}

// ReadFile implements storage.FileIO.
func (f *Files) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, err := f.read(path)
	return slices.Clone(data), err
}

// Remove implements storage.FileIO.
func (f *Files) Remove(_ context.Context, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.stored[path]; !ok {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	delete(f.stored, path)
	return nil
}

// List implements storage.FileIO.
func (f *Files) List(_ context.Context, prefix string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for _, path := range f.Paths() {
			if !strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
				continue
			}
			got, err := f.get("list", path)
			if err != nil {
				continue // removed since
			}
			if !yield(storage.Info{Path: path, Bytes: int64(len(got.data)), Modified: got.modified}, nil) {
				return
			}
		}
	}
}

type memWriter struct {
	ctx       context.Context // governs the Writer's whole life, by storage.FileIO's contract
	files     *Files
	path      string
	exclusive bool
	buf       bytes.Buffer
	done      bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.path, fs.ErrClosed)
	}
	w.files.mu.Lock()
	err := w.files.writes.tick()
	w.files.mu.Unlock()
	if err == nil {
		err = context.Cause(w.ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", w.path, err)
	}
	return w.buf.Write(p)
}

func (w *memWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	w.files.mu.Lock()
	w.files.open--
	err, delay := w.files.closes.tick(), w.files.delay
	w.files.mu.Unlock()
	if err == nil {
		err = wait(w.ctx, delay)
	}
	if err == nil {
		err = w.publish()
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", w.path, err)
	}
	return nil
}

func (w *memWriter) publish() error {
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	if _, taken := w.files.stored[w.path]; taken && w.exclusive {
		return fs.ErrExist
	}
	w.files.stored[w.path] = file{w.buf.Bytes(), time.Now()}
	return nil
}

func (w *memWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	w.files.open--
	return nil
}

// memFile reads stored bytes.
type memFile struct {
	*bytes.Reader
	info storage.Info
}

var _ io.ReaderAt = (*memFile)(nil)

func (f *memFile) Close() error               { return nil }
func (f *memFile) Stat() (fs.FileInfo, error) { return f.info.FileInfo(), nil }
