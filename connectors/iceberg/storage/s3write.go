package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// abortGrace bounds the request that drops an upload: the caller's context has
// ended by then more often than not.
const abortGrace = 30 * time.Second

// An s3Writer is one object being uploaded. Write fills a part; full parts are sent
// by at most partsInFlight goroutines, for which Close and Abort wait. Nothing is
// visible before the last request of Close.
type s3Writer struct {
	ctx       context.Context // governs the Writer's whole life, by FileIO's contract
	cancel    context.CancelCauseFunc
	s3        *S3
	location  string
	bucket    string
	key       string
	exclusive bool

	part     []byte
	number   int32 // of parts begun
	uploadID string
	done     bool

	slots    chan []byte // buffers not in flight
	inFlight sync.WaitGroup

	mu    sync.Mutex // guards what the uploads leave
	parts []types.CompletedPart
}

func newS3Writer(ctx context.Context, s *S3, location, bucket, key string, exclusive bool) *s3Writer {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &s3Writer{ctx: ctx, cancel: cancel, s3: s, location: location, bucket: bucket, key: key, exclusive: exclusive}
	w.slots = make(chan []byte, partsInFlight)
	for range partsInFlight {
		w.slots <- nil
	}
	return w
}

// Write buffers p and sends the parts that are full; it waits while partsInFlight
// are on their way.
func (w *s3Writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("write %s: %w", w.location, fs.ErrClosed)
	}
	written := 0
	for len(p) > 0 {
		if err := context.Cause(w.ctx); err != nil {
			return written, fmt.Errorf("write %s: %w", w.location, err)
		}
		// A full part is sent when more is to come, so that Close has a last part to
		// send and a file of one part needs no multipart upload.
		if len(w.part) == w.s3.opts.partBytes {
			if err := w.send(); err != nil {
				return written, fmt.Errorf("write %s: %w", w.location, err)
			}
		}
		n := min(len(p), w.s3.opts.partBytes-len(w.part))
		w.part = append(w.part, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, nil
}

// send starts the upload of w.part and takes a free buffer in its place.
func (w *s3Writer) send() error {
	if w.uploadID == "" {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.number == maxParts {
		return fmt.Errorf("more than %d parts of %d bytes: raise s3.multipart.size or write smaller files", maxParts, w.s3.opts.partBytes)
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
		if err := w.upload(number, part); err != nil {
			w.cancel(err)
		}
		w.slots <- part
	})
	return nil
}

func (w *s3Writer) begin() error {
	if w.exclusive && w.s3.google {
		err := fmt.Errorf("a new object on gs:// can have one part of %d bytes only: %w", w.s3.opts.partBytes, errors.ErrUnsupported)
		w.cancel(err)
		return err
	}
	in := &s3.CreateMultipartUploadInput{Bucket: &w.bucket, Key: &w.key, ServerSideEncryption: w.s3.opts.sse}
	if w.s3.opts.sseKey != "" {
		in.SSEKMSKeyId = &w.s3.opts.sseKey
	}
	out, err := w.s3.client.CreateMultipartUpload(w.ctx, in)
	if err != nil {
		w.cancel(err)
		return err
	}
	w.uploadID = aws.ToString(out.UploadId)
	return nil
}

func (w *s3Writer) upload(number int32, part []byte) error {
	out, err := w.s3.client.UploadPart(w.ctx, &s3.UploadPartInput{
		Bucket: &w.bucket, Key: &w.key, UploadId: &w.uploadID, PartNumber: &number, Body: bytes.NewReader(part),
	})
	if err != nil {
		return fmt.Errorf("upload part %d: %w", number, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts, types.CompletedPart{
		ETag: out.ETag, PartNumber: &number,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
	})
	return nil
}

// Close sends what is left and publishes the object.
func (w *s3Writer) Close() error {
	if w.done {
		return nil
	}
	err := context.Cause(w.ctx)
	switch {
	case err != nil:
	case w.uploadID == "":
		err = w.putWhole()
	default:
		err = w.complete()
	}
	if err != nil {
		if code := status(err); w.exclusive && (code == http.StatusPreconditionFailed || code == http.StatusConflict) {
			err = fmt.Errorf("%w: %w", fs.ErrExist, err)
		}
		return errors.Join(fmt.Errorf("close %s: %w", w.location, err), w.Abort())
	}
	w.done = true
	w.cancel(fs.ErrClosed)
	w.part, w.slots = nil, nil
	return nil
}

// putWhole sends an object of one part.
func (w *s3Writer) putWhole() error {
	in := &s3.PutObjectInput{Bucket: &w.bucket, Key: &w.key, Body: bytes.NewReader(w.part), ServerSideEncryption: w.s3.opts.sse}
	if w.s3.opts.sseKey != "" {
		in.SSEKMSKeyId = &w.s3.opts.sseKey
	}
	if w.exclusive {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := w.s3.client.PutObject(w.ctx, in)
	return err
}

// complete sends the last part, waits for all, and joins them.
func (w *s3Writer) complete() error {
	if err := w.send(); err != nil {
		return err
	}
	w.inFlight.Wait()
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	slices.SortFunc(w.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber) - int(*b.PartNumber) })
	in := &s3.CompleteMultipartUploadInput{Bucket: &w.bucket, Key: &w.key, UploadId: &w.uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts}}
	if w.exclusive {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := w.s3.client.CompleteMultipartUpload(w.ctx, in)
	return err
}

// Abort cuts the uploads that are under way and drops the parts that arrived.
func (w *s3Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.cancel(fs.ErrClosed)
	w.inFlight.Wait()
	w.part, w.slots = nil, nil
	if w.uploadID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortGrace)
	defer cancel()
	_, err := w.s3.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &w.bucket, Key: &w.key, UploadId: &w.uploadID})
	if err != nil && status(err) != http.StatusNotFound { // gone: completed after all, or aborted by somebody else
		return fmt.Errorf("abort upload of %s (its parts stay until a lifecycle rule of the bucket drops them): %w", w.location, err)
	}
	return nil
}
