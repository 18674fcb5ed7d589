package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A dir is the stack's directory, held by one process at a time: kfake itself
// does not lock its data.
type dir struct {
	path string
	lock *os.File
}

// openDir makes the directory if need be and locks it.
func openDir(path string) (*dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the directory %s: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the data directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("the directory %s is in use by another process (stop it, or give another directory with --dir): %w", path, err), f.Close())
	}
	return &dir{path, f}, nil
}

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

// close gives the directory up.
func (d *dir) close() error { return d.lock.Close() }
