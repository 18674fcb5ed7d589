package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// headBytes is what Open reads at once: most manifests and manifest lists whole, so
// that they cost one request.
const headBytes = 256 << 10

// An s3File reads one object. Read is buffered from the position on by one streaming
// request, ReadAt by a request of its own. All requests ask for the version that
// Open saw. ReadAt may be called from several goroutines, the rest from one.
type s3File struct {
	ctx         context.Context // governs every read of the File, by FileIO's contract
	client      *s3.Client
	location    string
	bucket, key string
	etag        *string
	info        Info
	head        []byte // the first bytes of the object

	pos    int64
	stream io.ReadCloser // reads on from pos; nil: none
}

func openS3(ctx context.Context, client *s3.Client, location, bucket, key string) (*s3File, error) {
	f := &s3File{ctx: ctx, client: client, location: location, bucket: bucket, key: key, info: Info{Path: location}}
	out, err := f.get(0, headBytes)
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return f, nil // an empty object
	}
	if err != nil {
		return nil, s3Error("open", location, err)
	}
	defer out.Body.Close() //nolint:errcheck // read to its end below, or the read's error counts
	if f.info.Bytes, err = totalBytes(out); err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	f.etag, f.info.Modified = out.ETag, aws.ToTime(out.LastModified)
	f.head = make([]byte, min(f.info.Bytes, headBytes))
	if _, err := io.ReadFull(out.Body, f.head); err != nil {
		return nil, fmt.Errorf("open %s: %w", location, err)
	}
	return f, nil
}

// get asks for n bytes from off; n < 0 for all that follow.
func (f *s3File) get(off, n int64) (*s3.GetObjectOutput, error) {
	span := "bytes=" + strconv.FormatInt(off, 10) + "-"
	if n > 0 {
		span += strconv.FormatInt(off+n-1, 10)
	}
	return f.client.GetObject(f.ctx, &s3.GetObjectInput{Bucket: &f.bucket, Key: &f.key, Range: &span, IfMatch: f.etag})
}

// totalBytes is the size of the object of which out holds the beginning.
func totalBytes(out *s3.GetObjectOutput) (int64, error) {
	_, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/")
	if !ok {
		return aws.ToInt64(out.ContentLength), nil // a store that ignores Range sends it all
	}
	n, err := strconv.ParseInt(total, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("content range %q has no size", aws.ToString(out.ContentRange))
	}
	return n, nil
}

// Read reads on from the position.
func (f *s3File) Read(p []byte) (int, error) {
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
		out, err := f.get(f.pos, -1)
		if err != nil {
			return 0, s3Error("read", f.location, err)
		}
		f.stream = out.Body
	}
	n, err := f.stream.Read(p)
	f.pos += int64(n)
	if errors.Is(err, io.EOF) && f.pos < f.info.Bytes {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (f *s3File) ReadAt(p []byte, off int64) (int, error) {
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

func (f *s3File) readRange(p []byte, off int64) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if off+int64(len(p)) <= int64(len(f.head)) {
		return copy(p, f.head[off:]), nil
	}
	out, err := f.get(off, int64(len(p)))
	if err != nil {
		return 0, s3Error("read", f.location, err)
	}
	n, err := io.ReadFull(out.Body, p)
	return n, errors.Join(err, out.Body.Close())
}

// Seek implements [io.Seeker].
func (f *s3File) Seek(offset int64, whence int) (int64, error) {
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
func (f *s3File) Stat() (fs.FileInfo, error) { return f.info.FileInfo(), nil }

// Close drops the stream, if there is one.
func (f *s3File) Close() error {
	if f.stream == nil {
		return nil
	}
	err := f.stream.Close()
	f.stream = nil
	return err
}

var _ io.ReaderAt = (*s3File)(nil)
