package local

import (
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes the lock of f without waiting. The kernel drops it when the
// process ends, however it ends.
func lockFile(f *os.File) error {
	const oneByte = 1
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, oneByte, 0, new(windows.Overlapped))
}
