package storage_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

func TestSelfTestS3(t *testing.T) {
	tests := []struct {
		op      string // that is answered with a fault
		status  int
		code    string
		err     string // in the error; "" if there is none
		warning string
		left    int
	}{
		{"", 0, "", "", "", 0},
		{"list", 403, "AccessDenied", "", "s3:ListBucket", 0},
		{"put", 403, "AccessDenied", "may not do this here", "", 0},
		{"put", 404, "NoSuchBucket", "create it, or correct the warehouse", "", 0},
		{"put", 403, "InvalidAccessKeyId", "check the access-key-id", "", 0},
		{"put", 400, "AuthorizationHeaderMalformed", "set client.region", "", 0},
		{"put", 503, "SlowDown", "SlowDown", "", 0},
		{"get", 403, "AccessDenied", "read s3://b/wh/firn-self-test-", "", 0},
		{"delete", 403, "AccessDenied", "", "delete s3://b/wh/firn-self-test-", 1},
	}
	for _, tt := range tests {
		f := newFakeS3(t)
		f.fault = func(op string, _ int) int {
			if op == tt.op {
				return tt.status
			}
			return 0
		}
		f.code = tt.code
		r := storage.SelfTest(t.Context(), f.open(nil), "s3://b/wh/")
		warnings := ""
		if w := r.Warnings(); len(w) > 0 {
			warnings = errors.Join(w...).Error()
		}
		if err := r.Err(); (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s %s: error %v, want %q", tt.op, tt.code, err, tt.err)
		}
		if !strings.Contains(warnings, tt.warning) || tt.warning == "" && warnings != "" {
			t.Errorf("%s %s: warnings %q, want %q", tt.op, tt.code, warnings, tt.warning)
		}
		if got := len(f.objects) + len(f.uploads); got != tt.left {
			t.Errorf("%s %s: %d objects left, want %d", tt.op, tt.code, got, tt.left)
		}
		if tt.op != "" && f.count(tt.op) != 1 {
			t.Errorf("%s %s: asked %d times, want once", tt.op, tt.code, f.count(tt.op))
		}
		if strings.Contains(r.String(), "SK") || strings.Count(r.String(), "\n") != len(r) {
			t.Errorf("report has a secret, or not a line for each step:\n%s", r)
		}
	}
}

func TestSelfTestLocal(t *testing.T) {
	root := t.TempDir()
	if r := storage.SelfTest(t.Context(), storage.Local{}, "file://"+root+"/a/b"); r.Err() != nil || len(r.Warnings()) != 0 || len(r) != 4 {
		t.Errorf("report:\n%s", r)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := storage.SelfTest(t.Context(), storage.Local{}, filepath.Join(file, "wh")); r.Err() == nil {
		t.Errorf("a directory under a file:\n%s", r)
	}
}

func TestSelfTestConnections(t *testing.T) {
	silent := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	silent.Start()
	t.Cleanup(silent.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for _, tt := range []struct{ endpoint, want string }{
		{"http://127.0.0.1:1", "nothing listens there"},
		{silent.URL, "no answer in time"},
		{secure.URL, "ssl.cabundle"},
		{strings.Replace(silent.URL, "http:", "https:", 1), "does not speak TLS"},
		{"http://firn.invalid", "no such host"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		files, err := storage.Open(ctx, map[string]string{"s3.endpoint": tt.endpoint, "s3.path-style-access": "true", "client.access-key-id": "AK", "client.secret-access-key": "SK"}, "s3://b/")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := storage.SelfTest(ctx, files, "s3://b/wh")
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.endpoint, err, tt.want)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", tt.endpoint, took)
		}
		cancel()
	}
}
