package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// headBytes is what Open reads at once: most manifests and manifest lists whole, so
// that they cost one request.
const headBytes = 256 << 10

// A span is a stretch of an object, and what the store said of the whole.
type span struct {
	body     io.ReadCloser
	total    int64
	etag     *string
	modified time.Time
}

// A getter reads n bytes of an object from off, or all that follow if n < 0, of the
// version that etag names, if it is not nil. Past the end it fails with errPastEnd.
type getter func(ctx context.Context, off, n int64, etag *string) (span, error)

// errPastEnd is for a stretch that begins at the end of the object or after it.
var errPastEnd = errors.New("past the end")

// An objectFile reads one object. Read is buffered from the position on by one streaming
// request, ReadAt by a request of its own. All requests ask for the version that
// Open saw. ReadAt may be called from several goroutines, the rest from one.
type objectFile struct {
	ctx      context.Context // governs every read of the File, by FileIO's contract
	get      getter
	location string
	etag     *string
	info     Info
	head     []byte // the first bytes of the object

	pos    int64
	stream io.ReadCloser // reads on from pos; nil: none
}

func openObject(ctx context.Context, location string, get getter) (*objectFile, error) {
	f := &objectFile{ctx: ctx, get: get, location: location, info: Info{Path: location}}
	got, err := get(ctx, 0, headBytes, nil)
	if errors.Is(err, errPastEnd) {
		return f, nil // an empty object
	}
	if err != nil {
		return nil, err
	}
	defer got.body.Close() //nolint:errcheck // read to its end below, or the read's error counts
	f.info.Bytes, f.info.Modified, f.etag = got.total, got.modified, got.etag
	f.head = make([]byte, min(f.info.Bytes, headBytes))
	if _, err := io.ReadFull(got.body, f.head); err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	return f, nil
}

// rangeHeader writes n bytes from off as HTTP does; n < 0 is all that follow.
func rangeHeader(off, n int64) string {
	text := "bytes=" + strconv.FormatInt(off, 10) + "-"
	if n > 0 {
		text += strconv.FormatInt(off+n-1, 10)
	}
	return text
}

// totalBytes is the size of the object of which an answer holds a stretch. Without
// range it holds all: a store may ignore the wish for less.
func totalBytes(contentRange *string, contentLength *int64) (int64, error) {
	if contentRange == nil {
		if contentLength == nil {
			return 0, errors.New("answer has no length")
		}
		return *contentLength, nil
	}
	_, total, _ := strings.Cut(*contentRange, "/")
	n, err := strconv.ParseInt(total, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("content range %q has no size", *contentRange)
	}
	return n, nil
}

// Read reads on from the position.
func (f *objectFile) Read(p []byte) (int, error) {
	switch {
	case f.pos >= f.info.Bytes:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case f.pos < int64(len(f.head)):
		n := copy(p, f.head[f.pos:])
		f.pos += int64(n)
		return n, nil
	}
	if f.stream == nil {
		got, err := f.get(f.ctx, f.pos, -1, f.etag)
		if err != nil {
			return 0, err
		}
		f.stream = got.body
	}
	n, err := f.stream.Read(p)
	f.pos += int64(n)
	if errors.Is(err, io.EOF) && f.pos < f.info.Bytes {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (f *objectFile) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: %w", f.location, off, fs.ErrInvalid)
	}
	if off >= f.info.Bytes {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), f.info.Bytes-off)]
	n, err := f.readRange(want, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *objectFile) readRange(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off+int64(len(p)) <= int64(len(f.head)) {
		return copy(p, f.head[off:]), nil
	}
	got, err := f.get(f.ctx, off, int64(len(p)), f.etag)
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(got.body, p)
	return n, errors.Join(err, got.body.Close())
}

// Seek implements [io.Seeker].
func (f *objectFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.info.Bytes
	default:
		return 0, fmt.Errorf("seek %s: whence %d: %w", f.location, whence, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek %s to %d: %w", f.location, offset, fs.ErrInvalid)
	}
	if offset == f.pos {
		return offset, nil
	}
	f.pos = offset
	return offset, f.Close()
}

// Stat tells size and time as Open saw them.
func (f *objectFile) Stat() (fs.FileInfo, error) { return f.info.FileInfo(), nil }

// Close drops the stream, if there is one.
func (f *objectFile) Close() error {
	if f.stream == nil {
		return nil
	}
	err := f.stream.Close()
	f.stream = nil
	return err
}

var _ io.ReaderAt = (*objectFile)(nil)
