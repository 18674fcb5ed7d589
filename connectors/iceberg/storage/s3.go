package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	icebergio "github.com/apache/iceberg-go/io"
)

// S3 is one object store under one set of credentials: Amazon S3, a store that is
// compatible with it, or Google Cloud Storage by the API that it shares with S3.
type S3 struct {
	client *s3.Client
	opts   s3Options
	google bool
}

var _ FileIO = (*S3)(nil)

// cutS3 takes s3://bucket/key apart. Keys are taken as written: nothing is decoded,
// as in Java's S3URI.
func cutS3(location string) (bucket, key string, err error) {
	scheme, rest, ok := strings.Cut(location, "://")
	switch strings.ToLower(scheme) {
	case "s3", "s3a", "s3n", "gs":
	default:
		ok = false
	}
	bucket, key, slash := strings.Cut(rest, "/")
	if !ok || bucket == "" || !slash || key == "" {
		return "", "", fmt.Errorf("location %q: %w: want s3://bucket/key or gs://bucket/key", location, fs.ErrInvalid)
	}
	return bucket, key, nil
}

// Create implements [FileIO]. Up to three parts are held in memory; a file that fits
// one part is sent whole, by one request.
func (s *S3) Create(ctx context.Context, path string) (Writer, error) {
	return s.create(ctx, path, false)
}

// CreateNew implements [FileIO] by If-None-Match. The store must know conditional
// writes: one that ignores the header replaces. After a lost reply fs.ErrExist may
// be about the object just written. Google has no condition for uploads in parts: there
// a new file must fit one part.
func (s *S3) CreateNew(ctx context.Context, path string) (Writer, error) {
	return s.create(ctx, path, true)
}

func (s *S3) create(ctx context.Context, location string, exclusive bool) (Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("create %s: %w", location, err)
	}
	bucket, key, err := cutS3(location)
	if err != nil {
		return nil, err
	}
	return newPartWriter(ctx, &s3Upload{s3: s, bucket: bucket, key: key, exclusive: exclusive}, location, s.opts.partBytes), nil
}

// Open implements [FileIO].
func (s *S3) Open(ctx context.Context, location string) (icebergio.File, error) {
	bucket, key, err := cutS3(location)
	if err != nil {
		return nil, err
	}
	return openObject(ctx, location, s.reader(location, bucket, key))
}

// reader reads an object by stretches.
func (s *S3) reader(location, bucket, key string) getter {
	return func(ctx context.Context, off, n int64, etag *string) (span, error) {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, Range: aws.String(rangeHeader(off, n)), IfMatch: etag})
		if status(err) == http.StatusRequestedRangeNotSatisfiable {
			return span{}, errPastEnd
		}
		if err != nil {
			return span{}, s3Error("read", location, err)
		}
		total, err := totalBytes(out.ContentRange, out.ContentLength)
		if err != nil {
			return span{}, errors.Join(fmt.Errorf("read %s: %w", location, err), out.Body.Close())
		}
		return span{out.Body, total, out.ETag, aws.ToTime(out.LastModified)}, nil
	}
}

// ReadFile implements [FileIO], by one request.
func (s *S3) ReadFile(ctx context.Context, location string) ([]byte, error) {
	bucket, key, err := cutS3(location)
	if err != nil {
		return nil, err
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, s3Error("read", location, err)
	}
	data, err := readAll(out.Body, location)
	return data, errors.Join(err, out.Body.Close())
}

// Remove implements [FileIO].
func (s *S3) Remove(ctx context.Context, location string) error {
	bucket, key, err := cutS3(location)
	if err != nil {
		return err
	}
	if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		return s3Error("remove", location, err)
	}
	return nil
}

// List implements [FileIO].
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir := strings.TrimRight(prefix, "/") + "/"
		scheme, rest, ok := strings.Cut(dir, "://")
		bucket, key, _ := strings.Cut(rest, "/")
		if !ok || bucket == "" {
			yield(Info{}, fmt.Errorf("location %q: %w: want s3://bucket/prefix or gs://bucket/prefix", prefix, fs.ErrInvalid))
			return
		}
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &key})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, s3Error("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				info := Info{Path: scheme + "://" + bucket + "/" + aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

// s3Error gives an error of the SDK the shape of io/fs where it has one.
func s3Error(op, location string, err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound":
			return &fs.PathError{Op: op, Path: location, Err: fs.ErrNotExist}
		case "AccessDenied", "Forbidden":
			return fmt.Errorf("%s %s: %w: %w", op, location, fs.ErrPermission, err)
		}
	}
	return fmt.Errorf("%s %s: %w", op, location, err)
}

// status is the HTTP status of an SDK error, 0 when there was no answer.
func status(err error) int {
	if rsp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return rsp.HTTPStatusCode()
	}
	return 0
}
