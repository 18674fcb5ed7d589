package catalog_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

func TestSelfTest(t *testing.T) {
	local := func() map[string]string {
		dir := t.TempDir()
		return map[string]string{"type": "jdbc", "uri": "jdbc:sqlite:" + filepath.Join(dir, "c.db"), "warehouse": "file://" + dir + "/wh"}
	}
	rest := func(handler http.Handler, more map[string]string) map[string]string {
		srv := httptest.NewServer(handler)
		t.Cleanup(srv.Close)
		return with(map[string]string{"type": "rest", "uri": srv.URL}, more)
	}
	refusing := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	noListing := func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/namespaces") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		icetest.New(icetest.NewFiles()).Handler("file:///none").ServeHTTP(w, r)
	}
	store := newTinyS3(t)
	tests := []struct {
		name  string
		props map[string]string
		err   string // in the error; "" if there is none
		steps string // in the report
	}{
		{"sqlite and files", local(), "", "ok      delete file://"},
		{"sqlite and S3", with(local(), store.props(), userKey, map[string]string{"warehouse": "s3://b/wh"}), "", "ok      delete s3://b/wh/firn-self-test-"},
		{"S3 is away", with(local(), store.props(), userKey, map[string]string{"warehouse": "s3://b/wh", "s3.endpoint": "http://127.0.0.1:1"}), "nothing listens there", "FAILED  create s3://b/wh"},
		{"rest", rest(icetest.New(icetest.NewFiles()).Handler("file:///none"), nil), "", "ok      load table outer.inner.t"},
		{"may not list", rest(http.HandlerFunc(noListing), nil), "", "warning list namespaces"},
		{"unauthorized", rest(refusing(http.StatusUnauthorized), map[string]string{"token": secret}), "check credential or token", "FAILED  open catalog"},
		{"no such warehouse", rest(refusing(http.StatusBadRequest), map[string]string{"warehouse": "W"}), "check warehouse", "FAILED  open catalog"},
		{"no catalog", rest(http.NotFoundHandler(), nil), "without /v1", "FAILED  open catalog"},
		{"bad type", map[string]string{"type": "x"}, "not in this build", "FAILED  open catalog"},
	}
	for _, tt := range tests {
		r := catalog.SelfTest(t.Context(), catalog.Open, "iceberg", tt.props, []table.Identifier{ident})
		if err := r.Err(); (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if !strings.Contains(r.String(), tt.steps) || strings.Contains(r.String(), secret) {
			t.Errorf("%s: report without %q, or with a secret:\n%s", tt.name, tt.steps, r)
		}
	}
	if store.mu.Lock(); len(store.objects) != 0 {
		t.Errorf("objects left: %v", store.objects)
	}
	store.mu.Unlock()
}

// A table that exists is tried where its files go.
func TestSelfTestOfTable(t *testing.T) {
	store := newTinyS3(t)
	cat, _ := lender(t, store, 1<<40, "config")
	ensure(t, cat)
	open := func(context.Context, string, map[string]string) (catalog.Catalog, error) { return cat, nil }
	r := catalog.SelfTest(t.Context(), open, "iceberg", nil, []table.Identifier{ident})
	if r.Err() != nil || !strings.Contains(r.String(), "create s3://b/wh/outer/inner/t/") {
		t.Errorf("report:\n%s", r)
	}
}
