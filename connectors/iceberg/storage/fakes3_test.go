package storage_test

import (
	"cmp"
	"crypto/md5" // ETags are MD5 sums in S3
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// fakeS3 is an object store that speaks what storage.S3 asks for, path-style.
type fakeS3 struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	objects map[string][]byte
	uploads map[string]map[int][]byte
	calls   map[string]int
	next    int
	page    int      // keys of a listing page
	keys    []string // access keys of the requests

	// fault answers a request instead of serving it, by a status, when it is not 0.
	fault func(op string, n int) int
	code  string // of the error, "Injected" if empty
	// stall holds a request until the client gives up.
	stall func(op string, n int) bool
	inUse func(op string, delta int)
}

func newFakeS3(t *testing.T) *fakeS3 {
	f := &fakeS3{t: t, objects: map[string][]byte{}, uploads: map[string]map[int][]byte{}, calls: map[string]int{}, page: 1000}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	t.Cleanup(srv.Close)
	srv.Start()
	f.url = srv.URL
	return f
}

func (f *fakeS3) open(props map[string]string) *storage.S3 {
	f.t.Helper()
	all := map[string]string{"s3.endpoint": f.url, "s3.path-style-access": "true", "s3.access-key-id": "AK", "s3.secret-access-key": "SK", "client.region": "eu-north-1", "s3.retry.min-wait-ms": "10"}
	maps.Copy(all, props)
	files, err := storage.Open(f.t.Context(), all, "s3://b/")
	if err != nil {
		f.t.Fatal(err)
	}
	return files.(*storage.S3)
}

func (f *fakeS3) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *fakeS3) object(key string) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.objects[key]
	return data, ok
}

func opOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create-upload"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

func (f *fakeS3) serve(w http.ResponseWriter, r *http.Request) {
	op := opOf(r)
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.calls[op]++
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	f.keys = append(f.keys, key)
	n, fault, code, stall, inUse := f.calls[op], f.fault, f.code, f.stall, f.inUse
	f.mu.Unlock()
	if !strings.Contains(r.Header.Get("Authorization"), "/eu-north-1/s3/aws4_request") {
		fail(w, http.StatusForbidden, "AccessDenied")
		return
	}
	if inUse != nil {
		inUse(op, 1)
		defer inUse(op, -1)
	}
	if stall != nil && stall(op, n) {
		<-r.Context().Done()
		return
	}
	if fault != nil {
		if status := fault(op, n); status != 0 {
			fail(w, status, cmp.Or(code, "Injected"))
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apply(w, r, op, strings.TrimPrefix(r.URL.Path, "/"), body)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func etag(data []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(data))) }

func (f *fakeS3) apply(w http.ResponseWriter, r *http.Request, op, key string, body []byte) {
	q := r.URL.Query()
	_, taken := f.objects[key]
	if r.Header.Get("If-None-Match") == "*" && taken {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	switch op {
	case "put":
		f.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case "create-upload":
		f.next++
		id := strconv.Itoa(f.next)
		f.uploads[id] = map[int][]byte{}
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case "part":
		parts, ok := f.uploads[q.Get("uploadId")]
		if !ok { // aborted meanwhile
			fail(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
		n, _ := strconv.Atoi(q.Get("partNumber"))
		parts[n] = body
		w.Header().Set("ETag", etag(body))
	case "complete":
		f.complete(w, q.Get("uploadId"), key, body)
	case "abort":
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case "delete":
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case "list":
		f.list(w, q.Get("prefix"), q.Get("continuation-token"))
	case "get":
		data, ok := f.objects[key]
		switch match := r.Header.Get("If-Match"); {
		case !ok:
			fail(w, http.StatusNotFound, "NoSuchKey")
		case match != "" && match != etag(data):
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		default:
			w.Header().Set("ETag", etag(data))
			http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(string(data)))
		}
	default:
		f.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func (f *fakeS3) complete(w http.ResponseWriter, id, key string, body []byte) {
	var req struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	parts, ok := f.uploads[id]
	if err := xml.Unmarshal(body, &req); err != nil || !ok {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	var whole []byte
	for i, p := range req.Part {
		if p.PartNumber != i+1 || p.ETag != etag(parts[p.PartNumber]) {
			fail(w, http.StatusBadRequest, "InvalidPartOrder")
			return
		}
		whole = append(whole, parts[p.PartNumber]...)
	}
	delete(f.uploads, id)
	f.objects[key] = whole
	_, _ = fmt.Fprint(w, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
}

func (f *fakeS3) list(w http.ResponseWriter, prefix, after string) {
	keys := slices.Sorted(maps.Keys(f.objects))
	_, _ = fmt.Fprint(w, "<ListBucketResult>")
	n := 0
	for _, path := range keys {
		key := strings.TrimPrefix(path, "b/")
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if n++; n > f.page {
			_, _ = fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", after)
			break
		}
		after = key
		_, _ = fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-11-21T10:00:00Z</LastModified></Contents>", key, len(f.objects[path]))
	}
	_, _ = fmt.Fprint(w, "</ListBucketResult>")
}
