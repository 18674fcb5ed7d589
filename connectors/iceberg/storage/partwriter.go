package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// Upload limits. A part of 8 MiB keeps an upload of two parts in flight within 24 MiB
// of memory and still reaches 80 GB in S3's 10,000 parts.
const (
	defaultPartBytes = 8 << 20
	minPartBytes     = 5 << 20 // S3's own lower limit for all parts but the last
	maxPartBytes     = 1 << 30
	maxParts         = 10_000
	partsInFlight    = 2
)

// abortGrace bounds the request that drops an upload: the caller's context has
// ended by then more often than not.
const abortGrace = 30 * time.Second

// An upload is one object on its way to a store that takes it whole or in parts.
// Nothing of it is visible before whole or complete has returned nil.
type upload interface {
	// whole stores an object of one part.
	whole(ctx context.Context, data []byte) error

	// begin comes before the first part. Parts, numbered from 1, come several at once.
	begin(ctx context.Context) error
	part(ctx context.Context, number int, data []byte) error

	// complete publishes the parts; all have arrived.
	complete(ctx context.Context) error

	// abort drops what parts have arrived, after begin.
	abort(ctx context.Context) error

	// taken tells whether whole or complete failed because a new object was wanted and
	// one is there.
	taken(err error) bool
}

// A partWriter is one object being uploaded. Write fills a part; full parts are sent
// by at most partsInFlight goroutines, for which Close and Abort wait. Nothing is
// visible before the last request of Close.
type partWriter struct {
	ctx       context.Context // governs the Writer's whole life, by FileIO's contract
	cancel    context.CancelCauseFunc
	upload    upload
	location  string
	partBytes int

	part   []byte
	number int // of parts begun
	begun  bool
	done   bool

	slots    chan []byte // buffers not in flight
	inFlight sync.WaitGroup
}

func newPartWriter(ctx context.Context, u upload, location string, partBytes int) *partWriter {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &partWriter{ctx: ctx, cancel: cancel, upload: u, location: location, partBytes: partBytes}
	w.slots = make(chan []byte, partsInFlight)
	for range partsInFlight {
		w.slots <- nil
	}
	return w
}

// Write buffers p and sends the parts that are full; it waits while partsInFlight
// are on their way.
func (w *partWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.location, fs.ErrClosed)
	}
	written := 0
	for len(p) > 0 {
		if err := context.Cause(w.ctx); err != nil {
			return written, fmt.Errorf("write %s: %w", w.location, err)
		}
		// A full part is sent when more is to come, so that Close has a last part to
		// send and a file of one part needs no upload in parts.
		if len(w.part) == w.partBytes {
			if err := w.send(); err != nil {
				return written, fmt.Errorf("write %s: %w", w.location, err)
			}
		}
		n := min(len(p), w.partBytes-len(w.part))
		w.part = append(w.part, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, nil
}

// send starts the upload of w.part and takes a free buffer in its place.
func (w *partWriter) send() error {
	if !w.begun {
		if err := w.upload.begin(w.ctx); err != nil {
			w.cancel(err)
			return err
		}
		w.begun = true
	}
	if w.number == maxParts {
		return fmt.Errorf("more than %d parts of %d bytes: raise the part size or write smaller files", maxParts, w.partBytes)
	}
	var free []byte
	select {
	case free = <-w.slots:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	w.number++
	number, part := w.number, w.part
	w.part = free[:0]
	w.inFlight.Go(func() {
		if err := w.upload.part(w.ctx, number, part); err != nil {
			w.cancel(fmt.Errorf("upload part %d: %w", number, err))
		}
		w.slots <- part
	})
	return nil
}

// Close sends what is left and publishes the object.
func (w *partWriter) Close() error {
	if w.done {
		return nil
	}
	err := context.Cause(w.ctx)
	switch {
	case err != nil:
	case !w.begun:
		err = w.upload.whole(w.ctx, w.part)
	default:
		err = w.complete()
	}
	if err != nil {
		if w.upload.taken(err) {
			err = fmt.Errorf("%w: %w", fs.ErrExist, err)
		}
		return errors.Join(fmt.Errorf("close %s: %w", w.location, err), w.Abort())
	}
	w.done = true
	w.cancel(fs.ErrClosed)
	w.part, w.slots = nil, nil
	return nil
}

// complete sends the last part, waits for all, and joins them.
func (w *partWriter) complete() error {
	if err := w.send(); err != nil {
		return err
	}
	w.inFlight.Wait()
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	return w.upload.complete(w.ctx)
}

// Abort cuts the uploads that are under way and drops the parts that arrived.
func (w *partWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel(fs.ErrClosed)
	w.inFlight.Wait()
	w.part, w.slots = nil, nil
	if !w.begun {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortGrace)
	defer cancel()
	if err := w.upload.abort(ctx); err != nil {
		return fmt.Errorf("abort upload of %s (its parts stay until a lifecycle rule of the bucket drops them): %w", w.location, err)
	}
	return nil
}
