package storage

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/google/uuid"

	icebergio "github.com/apache/iceberg-go/io"
)

// Azure is Azure Blob Storage and Data Lake Storage under one set of credentials, by
// the Blob API.
type Azure struct {
	opts    azureOptions
	props   map[string]string
	http    *http.Client
	retries int32

	mu         sync.Mutex // guards containers
	containers map[string]*container.Client
}

var _ FileIO = (*Azure)(nil)

// noRetries is how the SDK wants to be told; for 0 it makes three.
const noRetries = -1

// container returns the client of a location's container. It is made once.
func (a *Azure) container(location string) (*container.Client, azureLocation, error) {
	l, err := cutAzure(location)
	if err != nil {
		return nil, l, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	name := l.container + "@" + l.host
	if c, ok := a.containers[name]; ok {
		return c, l, nil
	}
	c, err := a.client(l)
	if err != nil {
		return nil, l, fmt.Errorf("open %s: %w", name, err)
	}
	a.containers[name] = c
	return c, l, nil
}

// blob returns the client of one object.
func (a *Azure) blob(location string) (*blockblob.Client, error) {
	c, l, err := a.container(location)
	if err != nil {
		return nil, err
	}
	if l.key == "" {
		return nil, fmt.Errorf("location %q: %w: it names a container", location, fs.ErrInvalid)
	}
	return c.NewBlockBlobClient(l.key), nil
}

// Create implements [FileIO]. Up to three blocks are held in memory; a file that fits
// one is sent whole, by one request.
func (a *Azure) Create(ctx context.Context, path string) (Writer, error) {
	return a.create(ctx, path, false)
}

// CreateNew implements [FileIO] by If-None-Match. After a lost reply fs.ErrExist may be
// about the object just written.
func (a *Azure) CreateNew(ctx context.Context, path string) (Writer, error) {
	return a.create(ctx, path, true)
}

func (a *Azure) create(ctx context.Context, location string, exclusive bool) (Writer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("create %s: %w", location, err)
	}
	b, err := a.blob(location)
	if err != nil {
		return nil, err
	}
	return newPartWriter(ctx, &azureUpload{blob: b, location: location, exclusive: exclusive}, location, a.opts.partSize), nil
}

// Open implements [FileIO].
func (a *Azure) Open(ctx context.Context, location string) (icebergio.File, error) {
	b, err := a.blob(location)
	if err != nil {
		return nil, err
	}
	return openObject(ctx, location, azureReader(b, location))
}

// ReadFile implements [FileIO], by one request.
func (a *Azure) ReadFile(ctx context.Context, location string) ([]byte, error) {
	b, err := a.blob(location)
	if err != nil {
		return nil, err
	}
	out, err := b.DownloadStream(ctx, nil)
	if err != nil {
		return nil, azureError("read", location, err)
	}
	data, err := readAll(out.Body, location)
	return data, errors.Join(err, out.Body.Close())
}

// azureReader reads an object by stretches.
func azureReader(b *blockblob.Client, location string) getter {
	return func(ctx context.Context, off, n int64, etag *string) (span, error) {
		stretch := blob.HTTPRange{Offset: off, Count: max(n, 0)} // 0 is all that follow
		opts := &blob.DownloadStreamOptions{Range: stretch}
		if etag != nil {
			version := azcore.ETag(*etag)
			opts.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &version}}
		}
		out, err := b.DownloadStream(ctx, opts)
		if code := azureStatus(err); code == http.StatusRequestedRangeNotSatisfiable {
			return span{}, errPastEnd
		}
		if err != nil {
			return span{}, azureError("read", location, err)
		}
		total, err := totalBytes(out.ContentRange, out.ContentLength)
		if err != nil {
			return span{}, errors.Join(fmt.Errorf("read %s: %w", location, err), out.Body.Close())
		}
		s := span{body: out.Body, total: total}
		if out.ETag != nil {
			text := string(*out.ETag)
			s.etag = &text
		}
		if out.LastModified != nil {
			s.modified = *out.LastModified
		}
		return s, nil
	}
}

// Remove implements [FileIO].
func (a *Azure) Remove(ctx context.Context, location string) error {
	b, err := a.blob(location)
	if err != nil {
		return err
	}
	if _, err := b.Delete(ctx, nil); err != nil {
		return azureError("remove", location, err)
	}
	return nil
}

// List implements [FileIO]. Directories, which an account with hierarchical namespace
// lists as empty blobs, are left out.
func (a *Azure) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		dir := strings.TrimRight(prefix, "/") + "/"
		c, l, err := a.container(dir)
		if err != nil {
			yield(Info{}, err)
			return
		}
		root := strings.TrimSuffix(dir, l.key)
		pages := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &l.key, Include: container.ListBlobsInclude{Metadata: true}})
		for pages.More() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Info{}, azureError("list", prefix, err))
				return
			}
			if page.Segment == nil {
				continue
			}
			for _, item := range page.Segment.BlobItems {
				if info, ok := azureInfo(root, item); ok && !yield(info, nil) {
					return
				}
			}
		}
	}
}

// azureInfo describes a listed blob; false if it is a directory.
func azureInfo(root string, item *container.BlobItem) (Info, bool) {
	if item == nil || item.Name == nil {
		return Info{}, false
	}
	if folder := item.Metadata["hdi_isfolder"]; folder != nil && *folder == "true" {
		return Info{}, false
	}
	info := Info{Path: root + *item.Name}
	if p := item.Properties; p != nil {
		if p.ContentLength != nil {
			info.Bytes = *p.ContentLength
		}
		if p.LastModified != nil {
			info.Modified = *p.LastModified
		}
	}
	return info, true
}

// once is the same storage without retries.
func (a *Azure) once() *Azure {
	return &Azure{opts: a.opts, props: a.props, http: a.http, retries: noRetries, containers: map[string]*container.Client{}}
}

// An azureUpload is one object on its way to Azure. Blocks that are never committed are
// not visible, and dropped by the service after a week.
type azureUpload struct {
	blob      *blockblob.Client
	location  string
	exclusive bool
	id        uuid.UUID // tells our blocks from those of other writers of this name

	mu     sync.Mutex // guards blocks
	blocks int
}

var _ upload = (*azureUpload)(nil)

// condition is that no object is there, if a new one is wanted.
func (u *azureUpload) condition() *blob.AccessConditions {
	if !u.exclusive {
		return nil
	}
	none := azcore.ETagAny
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &none}}
}

func (u *azureUpload) whole(ctx context.Context, data []byte) error {
	_, err := u.blob.Upload(ctx, body(data), &blockblob.UploadOptions{AccessConditions: u.condition()})
	return plainAzure(err)
}

func (u *azureUpload) begin(context.Context) error {
	u.id = uuid.New()
	return nil
}

// blockID is base64 text, equally long for all blocks of a blob.
func (u *azureUpload) blockID(number int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%05d", u.id, number))
}

func (u *azureUpload) part(ctx context.Context, number int, data []byte) error {
	_, err := u.blob.StageBlock(ctx, u.blockID(number), body(data), nil)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.blocks = max(u.blocks, number)
	return plainAzure(err)
}

func (u *azureUpload) complete(ctx context.Context) error {
	ids := make([]string, u.blocks)
	for i := range ids {
		ids[i] = u.blockID(i + 1)
	}
	_, err := u.blob.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{AccessConditions: u.condition()})
	return plainAzure(err)
}

func (u *azureUpload) abort(context.Context) error { return nil }

func (u *azureUpload) taken(err error) bool {
	code := azureStatus(err)
	return u.exclusive && (code == http.StatusConflict || code == http.StatusPreconditionFailed)
}

func body(data []byte) io.ReadSeekCloser { return streaming.NopCloser(bytes.NewReader(data)) }

// An azureAnswerError is an answer of Azure that is no success, in one line.
type azureAnswerError struct {
	status int
	code   string // bloberror.Code, may be empty
}

func (e *azureAnswerError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Azure answers %d %s", e.status, e.code))
}

// azureStatus is the HTTP status of an error, 0 when there was no answer.
func azureStatus(err error) int {
	if e, ok := errors.AsType[*azureAnswerError](err); ok {
		return e.status
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode
	}
	return 0
}

// plainAzure makes an error of the SDK one line without the request's address, which
// may hold a SAS token.
func plainAzure(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return &azureAnswerError{e.StatusCode, e.ErrorCode}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", strings.ToLower(e.Op), e.Err)
	}
	return err
}

// azureError gives an error of the SDK the shape of io/fs where it has one.
func azureError(op, location string, err error) error {
	err = plainAzure(err)
	if e, ok := errors.AsType[*azureAnswerError](err); ok && e.code != "ContainerNotFound" && e.status == http.StatusNotFound {
		return &fs.PathError{Op: op, Path: location, Err: fs.ErrNotExist}
	}
	return fmt.Errorf("%s %s: %w", op, location, err)
}

// azureAdvice is by error code. (Source: "Blob Storage error codes".)
var azureAdvice = map[string]string{
	"AuthenticationFailed":              "Azure does not accept the key or token: check adls.auth.shared-key.account.key or adls.sas-token, and this machine's clock",
	"AuthorizationFailure":              "this user may not do this, or not from this network: check the account's firewall and the role (Storage Blob Data Contributor)",
	"AuthorizationPermissionMismatch":   "give this user the role Storage Blob Data Contributor, or the SAS token read, add, create, write, delete and list",
	"ContainerNotFound":                 "the container does not exist: create it, or correct the warehouse",
	"InvalidAuthenticationInfo":         "Azure does not accept the token: check adls.token or the client's secret",
	"PublicAccessNotPermitted":          "no credentials were sent: set adls.sas-token.ACCOUNT, adls.auth.shared-key.account.name and key, or an identity",
	"NoAuthenticationInformation":       "no credentials were sent: set adls.sas-token.ACCOUNT, adls.auth.shared-key.account.name and key, or an identity",
	"AuthorizationServiceMismatch":      "the SAS token is for another service: make one for blobs",
	"AuthorizationResourceTypeMismatch": "the SAS token must allow containers and objects",
}
