package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// An s3Upload is one object on its way to S3.
type s3Upload struct {
	s3          *S3
	bucket, key string
	exclusive   bool
	id          string

	mu    sync.Mutex // guards parts
	parts []types.CompletedPart
}

var _ upload = (*s3Upload)(nil)

func (u *s3Upload) whole(ctx context.Context, data []byte) error {
	in := &s3.PutObjectInput{Bucket: &u.bucket, Key: &u.key, Body: bytes.NewReader(data), ServerSideEncryption: u.s3.opts.sse}
	if u.s3.opts.sseKey != "" {
		in.SSEKMSKeyId = &u.s3.opts.sseKey
	}
	if u.exclusive {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := u.s3.client.PutObject(ctx, in)
	return err
}

func (u *s3Upload) begin(ctx context.Context) error {
	if u.exclusive && u.s3.google {
		return fmt.Errorf("a new object on gs:// can have one part of %d bytes only: %w", u.s3.opts.partBytes, errors.ErrUnsupported)
	}
	in := &s3.CreateMultipartUploadInput{Bucket: &u.bucket, Key: &u.key, ServerSideEncryption: u.s3.opts.sse}
	if u.s3.opts.sseKey != "" {
		in.SSEKMSKeyId = &u.s3.opts.sseKey
	}
	out, err := u.s3.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return err
	}
	u.id = aws.ToString(out.UploadId)
	return nil
}

func (u *s3Upload) part(ctx context.Context, number int, data []byte) error {
	n := int32(number) //nolint:gosec // at most maxParts
	out, err := u.s3.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &n, Body: bytes.NewReader(data),
	})
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{
		ETag: out.ETag, PartNumber: &n,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
	})
	return nil
}

func (u *s3Upload) complete(ctx context.Context) error {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber) - int(*b.PartNumber) })
	in := &s3.CompleteMultipartUploadInput{Bucket: &u.bucket, Key: &u.key, UploadId: &u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts}}
	if u.exclusive {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := u.s3.client.CompleteMultipartUpload(ctx, in)
	return err
}

func (u *s3Upload) abort(ctx context.Context) error {
	_, err := u.s3.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &u.bucket, Key: &u.key, UploadId: &u.id})
	if status(err) == http.StatusNotFound {
		return nil // completed after all, or aborted by somebody else
	}
	return err
}

func (u *s3Upload) taken(err error) bool {
	code := status(err)
	return u.exclusive && (code == http.StatusPreconditionFailed || code == http.StatusConflict)
}
