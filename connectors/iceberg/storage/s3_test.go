package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// noise is n bytes that repeat nowhere, the same in every run.
func noise(n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(b)
	return b
}

const part = 5 << 20

var smallParts = map[string]string{"s3.multipart.size": "5242880"}

func write(t *testing.T, w storage.Writer, data []byte, chunk int) error {
	t.Helper()
	for piece := range slices.Chunk(data, chunk) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

func TestS3RoundTrip(t *testing.T) {
	f := newFakeS3(t)
	files := f.open(smallParts)
	for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, part, part + 1, 3 * part, 3*part + 17} {
		data := noise(size)
		for _, chunk := range []int{1 << 16, 7 << 20} {
			w, err := files.Create(t.Context(), "s3://b/dir/a b%20#?é")
			if err != nil {
				t.Fatal(err)
			}
			before := f.count("create-upload")
			if err := errors.Join(write(t, w, data, chunk), w.Close(), w.Abort(), w.Close()); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if got, _ := f.object("b/dir/a b%20#?é"); !bytes.Equal(got, data) {
				t.Errorf("%d bytes in chunks of %d: stored %d bytes, or others", size, chunk, len(got))
			}
			if multi := f.count("create-upload") > before; multi != (size > part) {
				t.Errorf("%d bytes: multipart %v", size, multi)
			}
			got, err := files.ReadFile(t.Context(), "s3a://b/dir/a b%20#?é")
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes: read back %d, %v", size, len(got), err)
			}
		}
	}
}

func TestS3Reader(t *testing.T) {
	f := newFakeS3(t)
	files := f.open(nil)
	for _, size := range []int{0, 1, 100, 256 << 10, 256<<10 + 5, 700 << 10} {
		data := noise(size)
		f.objects["b/x"] = data
		r, err := files.Open(t.Context(), "s3://b/x")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := r.Stat(); err != nil || info.Size() != int64(size) {
			t.Errorf("size %d: stat says %v, %v", size, info, err)
		}
		if size <= 100 { // it reads and seeks byte by byte
			if err := iotest.TestReader(r, data); err != nil {
				t.Errorf("size %d: %v", size, err)
			}
			continue
		}
		for _, at := range []int{0, size - 1, size / 2, 256<<10 - 1, 1} {
			got := make([]byte, min(1000, size-at))
			if n, err := r.(io.ReaderAt).ReadAt(got, int64(at)); n != len(got) || err != nil || !bytes.Equal(got, data[at:at+n]) {
				t.Errorf("size %d: ReadAt %d: %d bytes, %v, or others", size, at, n, err)
			}
			if _, err := r.Seek(int64(at-size), io.SeekEnd); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[at:]) {
				t.Errorf("size %d: read on from %d: %d bytes, %v, or others", size, at, len(got), err)
			}
		}
		past := make([]byte, 10)
		if n, err := r.(io.ReaderAt).ReadAt(past, int64(size-4)); n != 4 || !errors.Is(err, io.EOF) {
			t.Errorf("size %d: ReadAt over the end: %d, %v, want 4 and EOF", size, n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	f.objects["b/small"] = noise(1000)
	before := f.count("get")
	r, err := files.Open(t.Context(), "s3://b/small")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil || f.count("get")-before != 1 {
		t.Errorf("a small object took %d requests, %v, want 1", f.count("get")-before, err)
	}
	// An object replaced while it is read must not be mixed.
	f.objects["b/x"] = noise(700 << 10)
	if r, err = files.Open(t.Context(), "s3://b/x"); err != nil {
		t.Fatal(err)
	}
	f.objects["b/x"] = bytes.Repeat([]byte("y"), 700<<10)
	if _, err := r.ReadAt(make([]byte, 10), 600<<10); err == nil {
		t.Error("read on in another version of the object")
	}
	for name, err := range map[string]error{
		"open":  second(files.Open(t.Context(), "s3://b/none")),
		"read":  second(files.ReadFile(t.Context(), "s3://b/none")),
		"path":  second(files.Open(t.Context(), "http://b/none")),
		"empty": second(files.Create(t.Context(), "s3://b/")),
	} {
		want := fs.ErrNotExist
		if name == "path" || name == "empty" {
			want = fs.ErrInvalid
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestS3Exclusive(t *testing.T) {
	f := newFakeS3(t)
	files := f.open(smallParts)
	for _, size := range []int{1, 2 * part} {
		for i, want := range []error{nil, fs.ErrExist} {
			w, err := files.CreateNew(t.Context(), "s3://b/once")
			if err != nil {
				t.Fatal(err)
			}
			data := bytes.Repeat([]byte{byte(i)}, size)
			if err := errors.Join(write(t, w, data, part), w.Close()); !errors.Is(err, want) {
				t.Errorf("%d bytes, writer %d: %v, want %v", size, i, err, want)
			}
			if got, _ := f.object("b/once"); len(got) != size || got[0] != 0 {
				t.Errorf("%d bytes, writer %d: not the first writer's object", size, i)
			}
		}
		delete(f.objects, "b/once")
	}
	if len(f.uploads) != 0 {
		t.Errorf("uploads left: %d", len(f.uploads))
	}
}

func TestS3Abort(t *testing.T) {
	lost := errors.New("lost")
	tests := []struct {
		name   string
		size   int
		end    func(w storage.Writer, cancel context.CancelCauseFunc) error
		aborts int
		want   error
	}{
		{"small, Abort", 10, func(w storage.Writer, _ context.CancelCauseFunc) error { return w.Abort() }, 0, nil},
		{"large, Abort", 4 * part, func(w storage.Writer, _ context.CancelCauseFunc) error { return w.Abort() }, 1, nil},
		{"small, cancel then Close", 10, func(w storage.Writer, cancel context.CancelCauseFunc) error { cancel(lost); return w.Close() }, 0, lost},
		{"large, cancel then Close", 4 * part, func(w storage.Writer, cancel context.CancelCauseFunc) error { cancel(lost); return w.Close() }, 1, lost},
		{"large, cancel then Abort", 4 * part, func(w storage.Writer, cancel context.CancelCauseFunc) error { cancel(lost); return w.Abort() }, 1, nil},
	}
	for _, tt := range tests {
		f := newFakeS3(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		w, err := f.open(smallParts).Create(ctx, "s3://b/x")
		if err != nil {
			t.Fatal(err)
		}
		if err := write(t, w, noise(tt.size), 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := tt.end(w, cancel); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if _, ok := f.object("b/x"); ok || len(f.uploads) != 0 || f.count("abort") != tt.aborts {
			t.Errorf("%s: object %v, %d uploads, %d aborts, want none, none, %d", tt.name, ok, len(f.uploads), f.count("abort"), tt.aborts)
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Errorf("%s: wrote after the end", tt.name)
		}
		cancel(nil)
	}
}

// A stalled upload is cut by Abort and by the context.
func TestS3Stall(t *testing.T) {
	for _, op := range []string{"part", "put"} {
		f := newFakeS3(t)
		f.stall = func(got string, _ int) bool { return got == op }
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		w, err := f.open(smallParts).Create(ctx, "s3://b/x")
		if err != nil {
			t.Fatal(err)
		}
		size := 10
		if op == "part" {
			size = 4 * part
		}
		if err := errors.Join(write(t, w, noise(size), part), w.Close()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want %v", op, err, context.DeadlineExceeded)
		}
		cancel()
		if _, ok := f.object("b/x"); ok || len(f.uploads) != 0 {
			t.Errorf("%s: object %v, %d uploads left", op, ok, len(f.uploads))
		}
	}
}

func TestS3Errors(t *testing.T) {
	tests := []struct {
		op     string
		status int
		first  int // the fault ends after so many requests; 0: never
		ok     bool
	}{
		{"part", 503, 1, true},
		{"put", 500, 1, true},
		{"put", 503, 5, true},
		{"put", 503, 0, false},
		{"complete", 500, 1, true},
		{"create-upload", 403, 0, false},
		{"part", 400, 0, false},
		{"complete", 400, 0, false},
		{"put", 403, 0, false},
	}
	for _, tt := range tests {
		f := newFakeS3(t)
		f.fault = func(op string, n int) int {
			if op == tt.op && (tt.first == 0 || n <= tt.first) {
				return tt.status
			}
			return 0
		}
		size := 3 * part
		if tt.op == "put" {
			size = 10
		}
		w, err := f.open(smallParts).Create(t.Context(), "s3://b/x")
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(write(t, w, noise(size), 1<<20), w.Close())
		_, stored := f.object("b/x")
		if (err == nil) != tt.ok || stored != tt.ok || len(f.uploads) != 0 {
			t.Errorf("%s %d: error %v, stored %v, %d uploads left, want ok %v", tt.op, tt.status, err, stored, len(f.uploads), tt.ok)
		}
		if err != nil && (strings.Contains(err.Error(), "SK") || !strings.Contains(err.Error(), "s3://b/x")) {
			t.Errorf("%s %d: error tells a secret or no path: %v", tt.op, tt.status, err)
		}
	}
}

func TestS3InFlight(t *testing.T) {
	f := newFakeS3(t)
	var mu sync.Mutex
	now, most := 0, 0
	two := make(chan struct{}) // closed when two parts have been seen at once
	var hold sync.Once
	f.inUse = func(op string, delta int) {
		if op != "part" {
			return
		}
		mu.Lock()
		now += delta
		if now == 2 && most < 2 {
			close(two)
		}
		most = max(most, now)
		mu.Unlock()
		if delta > 0 {
			select {
			case <-two:
			case <-time.After(10 * time.Second):
			}
			hold.Do(func() { time.Sleep(500 * time.Millisecond) }) // both: long enough for a third to show
		}
	}
	w, err := f.open(smallParts).Create(t.Context(), "s3://b/x")
	if err != nil {
		t.Fatal(err)
	}
	data := noise(6*part + 1)
	if err := errors.Join(write(t, w, data, part), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.object("b/x"); !bytes.Equal(got, data) {
		t.Errorf("stored %d bytes, or others", len(got))
	}
	if most != 2 {
		t.Errorf("%d parts in flight at once, want 2", most)
	}
}

func TestS3ListRemove(t *testing.T) {
	f := newFakeS3(t)
	f.page = 2
	files := f.open(nil)
	for _, key := range []string{"b/wh/t/1", "b/wh/t/2", "b/wh/t/3", "b/wh/t/d/4", "b/wh/t/d/5", "b/wh/tt/6"} {
		f.objects[key] = []byte(key)
	}
	var got []string
	for info, err := range files.List(t.Context(), "s3a://b/wh/t") {
		if err != nil {
			t.Fatal(err)
		}
		if info.Bytes == 0 || info.Modified.Year() != 2026 {
			t.Errorf("info %+v", info)
		}
		got = append(got, info.Path)
	}
	if want := []string{"s3a://b/wh/t/1", "s3a://b/wh/t/2", "s3a://b/wh/t/3", "s3a://b/wh/t/d/4", "s3a://b/wh/t/d/5"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if err := files.Remove(t.Context(), "s3://b/wh/t/1"); err != nil {
		t.Error(err)
	}
	if _, ok := f.object("b/wh/t/1"); ok {
		t.Error("object is still there after Remove")
	}
}

// Equal options share one client; other credentials do not.
func TestS3Cache(t *testing.T) {
	f := newFakeS3(t)
	a, b, c := f.open(nil), f.open(map[string]string{"write.format.default": "parquet"}), f.open(map[string]string{"s3.session-token": "x"})
	if a != b || a == c {
		t.Errorf("clients shared: equal options %v, other credentials %v", a == b, a == c)
	}
}
