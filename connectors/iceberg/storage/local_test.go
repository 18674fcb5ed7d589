package storage_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	icebergio "github.com/apache/iceberg-go/io"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// names lists every file under dir, temporary ones too.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLocalPublishesOnClose(t *testing.T) {
	dir := t.TempDir()
	var files storage.Local
	for _, path := range []string{dir + "/wh/t/data/a.parquet", "file://" + dir + "/wh/t/data/b%20c.parquet", "file:" + dir + "/wh/t/data/d.parquet"} {
		w, err := files.Create(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Open(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: seen before Close: %v", path, err)
		}
		if err := errors.Join(w.Close(), w.Abort(), w.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := files.ReadFile(t.Context(), path); string(got) != "hello" || err != nil {
			t.Errorf("%s: read %q, %v", path, got, err)
		}
	}
	want := []string{"/wh/t/data/a.parquet", "/wh/t/data/b c.parquet", "/wh/t/data/d.parquet"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	info, err := os.Stat(dir + want[0])
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v, want 0644: other users read tables", info.Mode(), err)
	}
}

func TestLocalDrops(t *testing.T) {
	gone := errors.New("gone")
	tests := []struct {
		name string
		end  func(w storage.Writer, cancel context.CancelCauseFunc) error
		want error
	}{
		{"Abort", func(w storage.Writer, _ context.CancelCauseFunc) error { return w.Abort() }, nil},
		{"cancel, Close", func(w storage.Writer, cancel context.CancelCauseFunc) error { cancel(gone); return w.Close() }, gone},
		{"cancel, Abort", func(w storage.Writer, cancel context.CancelCauseFunc) error { cancel(gone); return w.Abort() }, nil},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		ctx, cancel := context.WithCancelCause(t.Context())
		w, err := storage.Local{}.Create(ctx, dir+"/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "half"); err != nil {
			t.Fatal(err)
		}
		if err := tt.end(w, cancel); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if got := names(t, dir); len(got) != 0 {
			t.Errorf("%s: left %q", tt.name, got)
		}
		cancel(nil)
	}
}

func TestLocalReplaceAndExclusive(t *testing.T) {
	dir := t.TempDir()
	var files storage.Local
	put := func(create func(context.Context, string) (storage.Writer, error), text string) error {
		w, err := create(t.Context(), dir+"/x")
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, text)
		return errors.Join(err, w.Close())
	}
	if err := errors.Join(put(files.Create, "1"), put(files.Create, "2")); err != nil {
		t.Fatal(err)
	}
	if err := put(files.CreateNew, "3"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateNew on a taken name: %v, want %v", err, fs.ErrExist)
	}
	if got, _ := os.ReadFile(dir + "/x"); string(got) != "2" {
		t.Errorf("content %q, want 2", got)
	}
	if err := files.Remove(t.Context(), dir+"/x"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		wg.Go(func() {
			if put(files.CreateNew, "x") == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 || len(names(t, dir)) != 1 {
		t.Errorf("%d of 8 rivals won; files %q", won, names(t, dir))
	}
}

func TestLocalRefuses(t *testing.T) {
	dir := t.TempDir()
	var files storage.Local
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "s3://b/k", "file://otherhost/x", "file:relative", "file:///a?b", "file:///a#b", "file:///%zz", "a\x00b", dir + "/file/below", "/proc/none/x"} {
		if w, err := files.Create(t.Context(), path); err == nil {
			t.Errorf("created %q: %v", path, w.Abort())
		}
	}
	if err := files.Remove(t.Context(), dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove: %v", err)
	}
	if os.Geteuid() == 0 {
		t.Log("running as root: a read-only directory does not refuse, that part is not checked")
		return
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Create(t.Context(), dir+"/x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("read-only directory: %v, want %v", err, fs.ErrPermission)
	}
}

func TestLocalList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"t/a", "t/d/b c%", "tt/x"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte("123"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var files storage.Local
	for _, prefix := range []string{dir + "/t", dir + "/t/", "file://" + dir + "/t"} {
		var got []string
		for info, err := range files.List(t.Context(), prefix) {
			if err != nil || info.Bytes != 3 {
				t.Fatalf("%s: %+v, %v", prefix, info, err)
			}
			if _, err := files.ReadFile(t.Context(), info.Path); err != nil {
				t.Errorf("%s lists what cannot be read: %v", prefix, err)
			}
			got = append(got, strings.TrimPrefix(info.Path, prefix))
		}
		if len(got) != 2 {
			t.Errorf("%s: listed %q, want two files", prefix, got)
		}
	}
	for info, err := range files.List(t.Context(), dir+"/none") {
		t.Errorf("missing directory lists %v, %v", info, err)
	}
}

// Bind is what iceberg-go sees, and the registry leads to it.
func TestBind(t *testing.T) {
	storage.Register()
	storage.Register() // again changes nothing
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	fsys, err := icebergio.LoadFS(ctx, nil, "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	wfs := fsys.(icebergio.WriteFileIO)
	w, err := wfs.Create(dir + "/published")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadFrom(strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), wfs.WriteFile(dir+"/whole", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	var walked []string
	err = fsys.(icebergio.ListableIO).WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			t.Errorf("directory %s", path)
		}
		walked = append(walked, filepath.Base(path))
		return err
	})
	if want := []string{"published", "whole"}; err != nil || !slices.Equal(walked, want) {
		t.Errorf("walked %q, %v, want %q", walked, err, want)
	}
	deleted, err := fsys.(icebergio.BulkRemovableIO).DeleteFiles(ctx, []string{dir + "/whole", dir + "/none"})
	if err != nil || len(deleted) != 2 {
		t.Errorf("deleted %q, %v", deleted, err)
	}
	half, err := wfs.Create(dir + "/half")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := half.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("close after the context ended: %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"/published"}) {
		t.Errorf("files %q", got)
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"", "/a/b", "file:///a%20b", "file://h/a", "FILE:/x", "file:", "s3://b/k", "file:///%", "file://localhost/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if _, err := (storage.Local{}).Open(t.Context(), path+"/\x00"); err == nil {
			t.Errorf("opened %q", path)
		}
		for info, err := range (storage.Local{}).List(t.Context(), "file:///nowhere/"+path) {
			if err == nil && !strings.HasPrefix(info.Path, "file:") {
				t.Errorf("%q lists %q", path, info.Path)
			}
		}
	})
}
