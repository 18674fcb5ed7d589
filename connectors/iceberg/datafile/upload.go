package datafile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// An IO stores data files; storage.FileIO is one.
type IO interface {
	// Create starts a file. Nothing is visible before its Close has returned nil, and
	// the end of ctx is as good as Abort.
	Create(ctx context.Context, path string) (storage.Writer, error)

	// Remove deletes a file.
	Remove(ctx context.Context, path string) error
}

// A StorageError says that a file could not be stored, of whatever kind the call was. There
// is nothing wrong with its rows: they can be written again.
type StorageError struct{ Err error }

func (e *StorageError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// errDropped ends the upload of a file that nobody wants any more.
var errDropped = errors.New("the file was dropped")

// chunkBytes is how much an upload gathers before it writes: page by page would be
// many small writes.
const chunkBytes = 256 << 10

// removeTimeout bounds the removal of one file.
const removeTimeout = 30 * time.Second

// An upload sends one file to storage from its own goroutine, so that encoding
// never waits for it. The encoder's goroutine calls Write and finish or drop.
type upload struct {
	path   string
	io     IO
	budget *Budget
	cancel context.CancelFunc
	wake   chan struct{} // holds one token when queue or end has changed
	done   chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex // guards what follows; never held across I/O
	queue [][]byte
	end   bool  // the file is complete
	err   error // why the upload failed

	// Of the goroutine, to be read once done is closed.
	spent bool // Close was tried: the file may be there
}

// startUpload begins an upload. failed is called, once, from its goroutine if it
// does not succeed.
func startUpload(io IO, path string, budget *Budget, failed func(error)) *upload {
	ctx, cancel := context.WithCancel(context.Background())
	u := &upload{path: path, io: io, budget: budget, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(u.done)
		defer cancel()
		if err := u.run(ctx); err != nil {
			u.fail(err)
			if !errors.Is(err, errDropped) {
				failed(err)
			}
		}
	}()
	return u
}

// Write queues a copy of p. It fails when the upload has failed.
func (u *upload) Write(p []byte) (int, error) {
	u.mu.Lock()
	if u.err != nil {
		u.mu.Unlock()
		return 0, u.err
	}
	if last := len(u.queue) - 1; last >= 0 && len(u.queue[last])+len(p) <= cap(u.queue[last]) {
		u.queue[last] = append(u.queue[last], p...)
	} else {
		u.queue = append(u.queue, append(make([]byte, 0, max(chunkBytes, len(p))), p...))
	}
	u.mu.Unlock()
	u.budget.queued(len(p))
	u.signal()
	return len(p), nil
}

// finish says that the file is complete.
func (u *upload) finish() {
	u.mu.Lock()
	u.end = true
	u.mu.Unlock()
	u.signal()
}

// drop gives the file up without waiting. What was already stored is the caller's
// to remove, once done is closed.
func (u *upload) drop() {
	u.fail(errDropped)
	u.cancel()
}

func (u *upload) signal() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// fail records the first error and frees what is queued.
func (u *upload) fail(err error) {
	u.mu.Lock()
	if u.err == nil {
		u.err = err
	}
	queue := u.queue
	u.queue = nil
	u.mu.Unlock()
	for _, c := range queue {
		u.budget.sent(len(c))
	}
	u.signal()
}

// next waits for bytes. Both results are empty at the end of the file.
func (u *upload) next(ctx context.Context) ([][]byte, error) {
	for {
		u.mu.Lock()
		queue, end, err := u.queue, u.end, u.err
		u.queue = nil
		u.mu.Unlock()
		if err != nil || len(queue) > 0 || end {
			return queue, err
		}
		select {
		case <-u.wake:
		case <-ctx.Done():
			return nil, errDropped
		}
	}
}

func (u *upload) run(ctx context.Context) error {
	w, err := u.io.Create(ctx, u.path)
	if err != nil {
		return u.explain(ctx, "create", err)
	}
	for {
		queue, err := u.next(ctx)
		if err != nil {
			return withCleanup(err, w.Abort())
		}
		if len(queue) == 0 {
			break
		}
		for _, c := range queue {
			if err == nil {
				_, err = w.Write(c)
			}
			u.budget.sent(len(c))
		}
		if err != nil {
			return withCleanup(u.explain(ctx, "write", err), w.Abort())
		}
	}
	u.spent = true
	if err := w.Close(); err != nil {
		return withCleanup(u.explain(ctx, "publish", err), w.Abort())
	}
	return nil
}

func (u *upload) explain(ctx context.Context, verb string, err error) error {
	if ctx.Err() != nil {
		return errDropped
	}
	return &StorageError{fmt.Errorf("%s data file %s: %w", verb, u.path, err)}
}

// withCleanup adds to err what could not be cleaned up after it.
func withCleanup(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return fmt.Errorf("%w; and then: %w", err, cleanup)
}

// result is the error of an upload that is done.
func (u *upload) result() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// remove deletes the file if it may have been stored. The upload must be done.
func (u *upload) remove(ctx context.Context) error {
	if !u.spent {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	return u.io.Remove(ctx, u.path)
}
