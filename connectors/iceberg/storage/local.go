package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"
)

// Local is the storage of plain paths and file:// locations. A file is written
// beside its place under a hidden temporary name, synced, and renamed on Close:
// a crash leaves the temporary file at worst.
type Local struct{}

var _ FileIO = Local{}

// tempPattern names files being written. List shows them as any other, so that the
// orphan job finds what a crash left, by its age.
const tempPattern = ".firn-*.tmp"

// localPath turns a location into a path of the file system. A file:// location
// is percent-decoded, as Java and iceberg-go do, so names with a % must be written
// %25; host parts other than localhost are refused.
func localPath(location string) (string, error) {
	if location == "" || strings.ContainsRune(location, 0) {
		return "", fmt.Errorf("local path %q: %w", location, fs.ErrInvalid)
	}
	if !strings.HasPrefix(strings.ToLower(location), "file:") {
		if at := strings.Index(location, "://"); at > 0 {
			return "", fmt.Errorf("local path %q: scheme %s is not file", location, location[:at])
		}
		return filepath.Clean(location), nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", fmt.Errorf("local path %q: %w", location, err)
	}
	path := u.Path
	switch {
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("local path %q: file://%s names another host; write file:///path", location, u.Host)
	case u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0):
		return "", fmt.Errorf("local path %q: %w: write file:///path, with %%23 for # and %%3F for ?", location, fs.ErrInvalid)
	}
	return filepath.Clean(filepath.FromSlash(path)), nil
}

// Create implements [FileIO]. Missing directories are made.
func (l Local) Create(ctx context.Context, path string) (Writer, error) {
	return l.create(ctx, path, os.Rename)
}

// CreateNew implements [FileIO]: publishing is a hard link, which fails if the name
// is taken.
func (l Local) CreateNew(ctx context.Context, path string) (Writer, error) {
	return l.create(ctx, path, func(temp, to string) error {
		if err := os.Link(temp, to); err != nil {
			return err
		}
		return os.Remove(temp)
	})
}

func (Local) create(ctx context.Context, location string, publish func(temp, to string) error) (Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("create %s: %w", location, err)
	}
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create %s: %w", location, err)
	}
	f, err := os.CreateTemp(dir, tempPattern)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", location, err)
	}
	if err := f.Chmod(0o644); err != nil { // os.CreateTemp makes files for this user alone; readers are others
		return nil, errors.Join(fmt.Errorf("create %s: %w", location, err), f.Close(), os.Remove(f.Name()))
	}
	return &localWriter{ctx: ctx, f: f, path: path, publish: publish}, nil
}

// Open implements [FileIO].
func (Local) Open(ctx context.Context, location string) (icebergio.File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ReadFile implements [FileIO].
func (l Local) ReadFile(ctx context.Context, location string) ([]byte, error) {
	f, err := l.Open(ctx, location)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f, location)
	return data, errors.Join(err, f.Close())
}

// Remove implements [FileIO].
func (Local) Remove(_ context.Context, location string) error {
	path, err := localPath(location)
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// List implements [FileIO]. A missing directory has no files. Paths are spelled as prefix is: with file:// or without.
func (Local) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		root, err := localPath(prefix)
		if err != nil {
			yield(Info{}, err)
			return
		}
		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // removed since, or never there
			case err != nil:
				return err
			case entry.IsDir():
				return context.Cause(ctx)
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			} else if err != nil {
				return err
			}
			if !yield(Info{Path: spell(prefix, root, path), Bytes: info.Size(), Modified: info.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// spell writes path, which lies under root, in the manner of the location of root.
func spell(location, root, path string) string {
	if location == root {
		return path
	}
	rest := strings.TrimPrefix(path, root)
	if strings.HasPrefix(strings.ToLower(location), "file:") {
		rest = (&url.URL{Path: filepath.ToSlash(rest)}).EscapedPath()
	}
	return strings.TrimRight(location, "/") + rest
}

// A localWriter is one temporary file on its way to path.
type localWriter struct {
	ctx     context.Context // governs the Writer's whole life, by FileIO's contract
	f       *os.File
	path    string
	publish func(temp, to string) error
	done    bool
}

func (w *localWriter) Write(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, fmt.Errorf("write %s: %w", w.path, err)
	}
	return w.f.Write(p)
}

func (w *localWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	err := context.Cause(w.ctx)
	if err == nil {
		err = w.f.Sync()
	}
	err = errors.Join(err, w.f.Close())
	if err == nil {
		err = w.publish(w.f.Name(), w.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("close %s: %w", w.path, err), os.Remove(w.f.Name()))
	}
	return syncDir(filepath.Dir(w.path))
}

func (w *localWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.f.Close(), os.Remove(w.f.Name()))
}

// syncDir makes a rename last through a power cut: a commit must not name a file
// whose directory entry is lost.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// readAll reads a whole file, within MaxReadFileBytes.
func readAll(r io.Reader, location string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxReadFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", location, err)
	case len(data) > MaxReadFileBytes:
		return nil, fmt.Errorf("read %s: longer than %d bytes", location, MaxReadFileBytes)
	}
	return data, nil
}
