package datafile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var errDiskFull = errors.New("disk full")

// memIO keeps files in memory. It fails the calls that fault names, and can hold
// writes back.
type memIO struct {
	mu      sync.Mutex
	files   map[string][]byte
	open    int                     // writers neither closed nor aborted
	fault   func(call string) error // nil: none
	gate    chan struct{}           // if not nil, each Write takes a token
	created int
}

func newMemIO() *memIO { return &memIO{files: make(map[string][]byte)} }

func (m *memIO) check(call string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault == nil {
		return nil
	}
	return m.fault(call)
}

func (m *memIO) Create(ctx context.Context, path string) (storage.Writer, error) {
	if err := m.check("create"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.open++
	m.created++
	m.mu.Unlock()
	return &memWriter{io: m, ctx: ctx, path: path}, nil
}

func (m *memIO) Remove(_ context.Context, path string) error {
	if err := m.check("remove"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.files[path]; !ok {
		return fs.ErrNotExist
	}
	delete(m.files, path)
	return nil
}

func (m *memIO) paths() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files))
}

func (m *memIO) content(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[path]
}

func (m *memIO) openWriters() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open
}

type memWriter struct {
	io   *memIO
	ctx  context.Context //nolint:containedctx // as a storage writer's life is bound to it
	path string
	buf  bytes.Buffer
	end  bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	if w.io.gate != nil {
		select {
		case <-w.io.gate:
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
	if err := w.io.check("write"); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

func (w *memWriter) Close() error {
	if w.end {
		return nil
	}
	if err := w.io.check("close"); err != nil {
		return err
	}
	w.io.mu.Lock()
	defer w.io.mu.Unlock()
	w.end = true
	w.io.open--
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	w.io.files[w.path] = w.buf.Bytes()
	return nil
}

func (w *memWriter) Abort() error {
	w.io.mu.Lock()
	defer w.io.mu.Unlock()
	if !w.end {
		w.end = true
		w.io.open--
	}
	return nil
}

// config is a table's with the defaults of tests.
func config(io IO, schema *iceberg.Schema) Config {
	return Config{
		IO: io, Schema: schema, Location: func(name string) string { return "mem://t/data/" + name },
		FormatVersion: 2, Properties: map[string]string{},
	}
}

func mustWriter(t testing.TB, cfg Config) *Writer {
	t.Helper()
	w, err := NewWriter(cfg)
	if err != nil {
		t.Fatalf("NewWriter: %v", err)
	}
	return w
}

// seal waits for the files of one cycle and checks that they are whole.
func seal(t testing.TB, w *Writer, io *memIO) []iceberg.DataFile {
	t.Helper()
	files, err := w.Seal().Wait(t.Context())
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	for _, f := range files {
		if got := int64(len(io.content(f.FilePath()))); got != f.FileSizeBytes() || got == 0 {
			t.Fatalf("file %s has %d bytes in storage, %d in its description", f.FilePath(), got, f.FileSizeBytes())
		}
		if f.Count() == 0 {
			t.Fatalf("file %s is empty", f.FilePath())
		}
	}
	return files
}

func str(i int) string { return fmt.Sprintf("value-%d", i) }
