//go:build unix

package parts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ErrMissing is wrapped by errors of what this machine does not have and cannot get.
var ErrMissing = errors.New("missing on this machine")

// cacheRoot is where parts are installed: $XDG_CACHE_HOME/firn-real or its like.
func cacheRoot() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(base, "firn-real"), nil
}

// install returns the folder of a part, filled by fill if this is the first time for
// this spec. Processes that want the same part wait for each other. A folder without
// its stamp was left by an install that did not end, and is filled anew.
func install(name string, spec []byte, fill func(dir string) error) (string, error) {
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, fmt.Sprintf("%s-%.6x", name, sha256.Sum256(spec)))
	stamp := filepath.Join(dir, "installed")
	if _, err := os.Stat(stamp); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // closing gives up the lock, nothing was written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(stamp); err == nil {
		return dir, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	if err := fill(dir); err != nil {
		return "", fmt.Errorf("install %s: %w: %w", name, ErrMissing, err)
	}
	return dir, os.WriteFile(stamp, spec, 0o644)
}

// run runs a command to its end; its error holds the end of what it printed.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		const keep = 4000
		text := out.Bytes()
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(name), err, text[max(0, len(text)-keep):])
	}
	return out.String(), nil
}

// tool finds a program of the system.
func tool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrMissing)
	}
	return path, nil
}
