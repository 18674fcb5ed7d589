package storage_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// fakeGCS is the XML API of Cloud Storage over the fake of S3: it wants a bearer token,
// refuses what is Amazon's and knows Google's condition.
func fakeGCS(t *testing.T, token func() string) (*fakeS3, string) {
	f := newFakeS3(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for key := range r.Header {
			if strings.HasPrefix(strings.ToLower(key), "x-amz-") {
				fail(w, http.StatusBadRequest, "InvalidArgument")
				return
			}
		}
		if r.Header.Get("Authorization") != "Bearer "+token() {
			fail(w, http.StatusUnauthorized, "AuthenticationRequired")
			return
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AK/20261121/eu-north-1/s3/aws4_request")
		if r.Header.Get("X-Goog-If-Generation-Match") == "0" {
			r.Header.Set("If-None-Match", "*")
		} else if r.Header.Get("If-None-Match") != "" {
			fail(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		f.serve(w, r)
	}))
	t.Cleanup(srv.Close)
	return f, srv.URL
}

func TestGCS(t *testing.T) {
	f, host := fakeGCS(t, func() string { return "T" })
	props := map[string]string{"gcs.service.host": host, "gcs.oauth2.token": "T", "gcs.channel.write.chunk-size-bytes": strconv.Itoa(part)}
	files, err := storage.Open(t.Context(), props, "gs://b/")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 10, part, 3*part + 7} {
		data := noise(size)
		w, err := files.Create(t.Context(), "gs://b/wh/x")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(write(t, w, data, 1<<20), w.Close()); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := files.ReadFile(t.Context(), "gs://b/wh/x")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
	listed := 0
	for info, err := range files.List(t.Context(), "gs://b/wh") {
		if listed++; err != nil || info.Path != "gs://b/wh/x" {
			t.Errorf("listed %v, %v", info, err)
		}
	}
	if listed != 1 {
		t.Errorf("listed %d files, want 1", listed)
	}
	w, err := files.CreateNew(t.Context(), "gs://b/wh/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(t, w, noise(10), 10), w.Close()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create what is there: %v, want fs.ErrExist", err)
	}
	if w, err = files.CreateNew(t.Context(), "gs://b/wh/y"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(t, w, noise(2*part), part), w.Close()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a large new file: %v, want errors.ErrUnsupported", err)
	}
	if w, err = files.Create(t.Context(), "gs://b/wh/z"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(t, w, noise(3*part), part), w.Abort()); err != nil {
		t.Error(err)
	}
	_, there := f.object("b/wh/z")
	f.mu.Lock()
	if there || len(f.uploads) != 0 {
		t.Errorf("after Abort: object %v, %d uploads", there, len(f.uploads))
	}
	f.mu.Unlock()
	if err := files.Remove(t.Context(), "gs://b/wh/x"); err != nil || len(f.objects) != 0 {
		t.Errorf("remove: %v, left %d", err, len(f.objects))
	}
	if r := storage.SelfTest(t.Context(), files, "gs://b/wh"); r.Err() != nil || len(r.Warnings()) != 0 {
		t.Errorf("self-test:\n%s", r)
	}
}

func TestGCSLease(t *testing.T) {
	var now atomic.Value
	now.Store("FIRST")
	_, host := fakeGCS(t, func() string { return now.Load().(string) })
	lend := func(token string, life time.Duration) map[string]string {
		return map[string]string{
			"gcs.service.host": host, "gcs.oauth2.token": token,
			"gcs.oauth2.token-expires-at": strconv.FormatInt(time.Now().Add(life).UnixMilli(), 10),
		}
	}
	lease := storage.NewLease(func(context.Context) (map[string]string, error) { return lend("SECOND", time.Hour), nil })
	lease.Update(lend("FIRST", time.Second))
	files, err := lease.FileIO(t.Context(), "gs://b/x")
	if err != nil {
		t.Fatal(err)
	}
	if r := storage.SelfTest(t.Context(), files, "gs://b/wh"); r.Err() != nil {
		t.Errorf("first token:\n%s", r)
	}
	time.Sleep(time.Second) // the token's own end
	now.Store("SECOND")
	if r := storage.SelfTest(t.Context(), files, "gs://b/wh"); r.Err() != nil {
		t.Errorf("second token:\n%s", r)
	}
}

func TestGCSCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	key := filepath.Join(t.TempDir(), "key.json")
	const private = "hunter2"
	if err := os.WriteFile(key, []byte(`{"type":"authorized_user","client_secret":"`+private+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		props map[string]string
		want  string // in the error; "" if there is none
	}{
		{map[string]string{"gcs.no-auth": "true"}, ""},
		{map[string]string{"gcs.oauth2.token": "T"}, ""},
		{nil, "no Google credentials: set gcs.keypath"},
		{map[string]string{"gcs.keypath": key + ".none"}, "gcs.keypath"},
		{map[string]string{"gcs.keypath": key}, "gcs.credtype"},
		{map[string]string{"gcs.keypath": key, "gcs.credtype": "authorized_user"}, ""},
		{map[string]string{"gcs.credtype": "executable"}, "gcs.credtype"},
		{map[string]string{"gcs.encryption-key": private}, "gcs.encryption-key is not in this build"},
		{map[string]string{"gcs.service.host": "storage"}, "gcs.service.host"},
		{map[string]string{"gcs.no-auth": "perhaps"}, "want true or false"},
	} {
		props := maps.Clone(tt.props)
		_, err := storage.Open(t.Context(), props, "gs://b/x")
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), private)) {
			t.Errorf("%v: %v, want %q and no secret", tt.props, err, tt.want)
		}
	}
}
