//go:build !noglue

package catalog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

// fakeGlue keeps databases and tables as AWS Glue does, as far as a catalog asks:
// an update names the version that it replaces.
// (Source: AWS Glue Web API Reference, "Catalog".)
type fakeGlue struct {
	url string

	mu        sync.Mutex
	databases map[string]map[string]map[string]any // tables by database
	calls     map[string]int
	auth      string
	// fault answers a call by code and status before or after it is done.
	fault func(op string, n int) (code string, after bool)
}

func newFakeGlue(t *testing.T) *fakeGlue {
	g := &fakeGlue{databases: map[string]map[string]map[string]any{}, calls: map[string]int{}}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	g.url = srv.URL
	return g
}

func (g *fakeGlue) open(t *testing.T, props map[string]string) catalog.Catalog {
	t.Helper()
	return opened(t, with(map[string]string{
		"catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog", "glue.endpoint": g.url, "warehouse": "file://" + t.TempDir(),
		"client.region": "eu-north-1", "client.access-key-id": "AK", "client.secret-access-key": secret,
	}, props))
}

func (g *fakeGlue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		DatabaseName, Name, VersionId string
		DatabaseInput                 struct{ Name string }
		TableInput                    map[string]any
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSGlue.")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[op]++
	g.auth = r.Header.Get("Authorization")
	refuse := func(code string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"Message":"refused"}`, code)
	}
	code, after := "", false
	if g.fault != nil {
		code, after = g.fault(op, g.calls[op])
	}
	if code != "" && !after {
		refuse(code)
		return
	}
	answer, refusal := g.apply(op, in.DatabaseName, in.Name, in.VersionId, in.DatabaseInput.Name, in.TableInput)
	switch {
	case refusal != "":
		refuse(refusal)
	case code == "cut":
		panic(http.ErrAbortHandler)
	case code != "":
		refuse(code)
	default:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (g *fakeGlue) apply(op, database, name, version, newDatabase string, input map[string]any) (answer map[string]any, refusal string) {
	tables, ok := g.databases[database]
	if input != nil {
		name, _ = input["Name"].(string)
	}
	current := tables[name]
	switch op {
	case "CreateDatabase":
		if g.databases[newDatabase] != nil {
			return nil, "AlreadyExistsException"
		}
		g.databases[newDatabase] = map[string]map[string]any{}
	case "GetDatabase":
		if g.databases[name] == nil {
			return nil, "EntityNotFoundException"
		}
		return map[string]any{"Database": map[string]any{"Name": name}}, ""
	case "GetDatabases":
		var list []any
		for _, db := range slices.Sorted(maps.Keys(g.databases)) {
			list = append(list, map[string]any{"Name": db})
		}
		return map[string]any{"DatabaseList": list}, ""
	case "CreateTable":
		switch {
		case !ok:
			return nil, "EntityNotFoundException"
		case current != nil:
			return nil, "AlreadyExistsException"
		}
		tables[name] = with2(input, map[string]any{"DatabaseName": database, "VersionId": "0"})
	case "GetTable":
		if current == nil {
			return nil, "EntityNotFoundException"
		}
		return map[string]any{"Table": current}, ""
	case "UpdateTable":
		switch {
		case current == nil:
			return nil, "EntityNotFoundException"
		case current["VersionId"] != version:
			return nil, "ConcurrentModificationException"
		}
		n, _ := strconv.Atoi(version)
		tables[name] = with2(input, map[string]any{"DatabaseName": database, "VersionId": strconv.Itoa(n + 1)})
	case "DeleteTable":
		if current == nil {
			return nil, "EntityNotFoundException"
		}
		delete(tables, name)
	default:
		return nil, "Unexpected" + op
	}
	return map[string]any{}, ""
}

func with2(m, more map[string]any) map[string]any {
	all := maps.Clone(m)
	maps.Copy(all, more)
	return all
}

// eachGlue runs a test of each on Glue.
func eachGlue(t *testing.T, test func(t *testing.T, cat catalog.Catalog)) {
	t.Run("glue", func(t *testing.T) {
		inDatabase(t)
		test(t, newFakeGlue(t).open(t, nil))
	})
}

// inDatabase has a test use a table one level deep, which is all that Glue has.
func inDatabase(t *testing.T) {
	whole := ident
	t.Cleanup(func() { ident = whole })
	ident = table.Identifier{"outer", "t"}
}

// A reply that is lost after the commit is an unknown outcome, never a refusal; only
// what AWS has not executed is sent again.
func TestGlueFaults(t *testing.T) {
	inDatabase(t)
	tests := []struct {
		name   string
		code   string
		after  bool
		calls  int
		landed bool
		failed bool // the error is a definite refusal
		ok     bool
	}{
		{"throttled once", "ThrottlingException", false, 2, true, false, true},
		{"cut after landing", "cut", true, 1, true, false, false},
		{"error after landing", "InternalServiceException", true, 1, true, false, false},
		{"error before", "InternalServiceException", false, 1, false, false, false},
		{"moved", "ConcurrentModificationException", false, 1, false, true, false},
	}
	g := newFakeGlue(t)
	cat := g.open(t, nil)
	ensure(t, cat)
	if !strings.Contains(g.auth, "Credential=AK/") || !strings.Contains(g.auth, "/eu-north-1/glue/aws4_request") {
		t.Errorf("Authorization %q", g.auth)
	}
	for i, tt := range tests {
		before := offsets(t, cat)
		tx := stage(t, load(t, cat), int64(i))
		g.mu.Lock()
		start := g.calls["UpdateTable"]
		g.fault = func(op string, n int) (string, bool) {
			if op == "UpdateTable" && n == start+1 {
				return tt.code, tt.after
			}
			return "", false
		}
		g.mu.Unlock()
		_, err := tx.Commit(t.Context())
		if (err == nil) != tt.ok || errors.Is(err, table.ErrCommitFailed) != tt.failed {
			t.Errorf("%s: %v, want ok %v, a refusal %v", tt.name, err, tt.ok, tt.failed)
		}
		if got := len(offsets(t, cat)) > len(before); got != tt.landed {
			t.Errorf("%s: landed %v, want %v", tt.name, got, tt.landed)
		}
		if got := g.calls["UpdateTable"] - start; got != tt.calls {
			t.Errorf("%s: %d requests, want %d", tt.name, got, tt.calls)
		}
	}
}

func TestGlueRefusals(t *testing.T) {
	_, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "glue", "warehouse": "file:///w", "client.region": "eu-north-1", "glue.lakeformation-enabled": "true"})
	if err == nil || !strings.Contains(err.Error(), "Lake Formation") {
		t.Errorf("Lake Formation: %v", err)
	}
	_, err = catalog.Open(t.Context(), "iceberg", map[string]string{"type": "glue", "warehouse": "s3://b/w", "client.region": "eu-north-1", "glue.secret-access-key": secret})
	if err == nil || !strings.Contains(err.Error(), "glue.access-key-id and glue.secret-access-key belong together") {
		t.Errorf("half a key: %v", err)
	}
	g := newFakeGlue(t)
	g.fault = func(string, int) (string, bool) { return "UnrecognizedClientException", false }
	r := catalog.SelfTest(t.Context(), catalog.Open, "iceberg", map[string]string{
		"type": "glue", "glue.endpoint": g.url, "warehouse": "file:///w", "client.region": "eu-north-1", "client.access-key-id": "AK", "client.secret-access-key": secret,
	}, nil)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "check the access-key-id") || strings.Contains(r.String(), secret) {
		t.Errorf("wrong key: %v", err)
	}
}
