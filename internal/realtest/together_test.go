//go:build real && unix

package realtest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// together brings changes of keys into two tables of a catalog that commits several tables in
// one request: both change in the same request, whenever there is something new, and by as
// many snapshots as tasks had rows.
func (s *stack) together(t *testing.T) {
	seen := &commits{}
	c := s.cluster(t, "together", 2, nil)
	f := &changes{feed: s.feed(t, "together-changes"), last: make(map[int64]int64)}
	config := sink(f.topic, "together.left,together.right", "bucket(id, 3)", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
		"iceberg.catalog.uri":      s.overhear(t, seen),
		"iceberg.tables.cdc-field": "op", "iceberg.tables.default-id-columns": "id",
		"iceberg.tables.auto-create-props.format-version": "3",
	})
	const rounds = 4
	for round := range rounds {
		if err := f.play(t.Context(), 2000); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			c.post(t, 0, "together", config)
		}
		c.awaitCommitted(t, "together", s.ends(t, f.topic), time.Minute)
	}
	var want [][]int64
	for _, id := range slices.Sorted(maps.Keys(f.last)) {
		want = append(want, []int64{id, f.last[id]})
	}
	for _, table := range []string{"together.left", "together.right"} {
		got, err := s.readers.Rows(t.Context(), s.restCatalog(""), table, "id", "n")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, slices.Equal[[]int64]) {
			t.Errorf("table %s has %d rows, or others than the %d expected", table, len(got), len(want))
		}
	}
	c.proven(t, "together")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	t.Logf("%d requests changed both tables by %d snapshots, %d one", seen.both, seen.snapshots, seen.one)
	if seen.both < rounds || seen.one > 0 || seen.snapshots <= 2*seen.both {
		t.Errorf("want %d requests or more that change both tables, none that changes one, and more snapshots than one for each", rounds)
	}
}

// commits counts requests that brought snapshots.
type commits struct {
	mu                   sync.Mutex
	both, one, snapshots int
}

// overhear puts a proxy before the catalog, and returns its URL.
func (s *stack) overhear(t *testing.T, to *commits) string {
	t.Helper()
	target, err := url.Parse(s.catalog.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	heard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a request to the catalog: %v", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
		to.hear(t, r.URL.Path, body)
	}))
	t.Cleanup(heard.Close)
	return heard.URL
}

func (c *commits) hear(t *testing.T, path string, body []byte) {
	n := bytes.Count(body, []byte(`"add-snapshot"`))
	if n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshots += n
	if !strings.HasSuffix(path, "/transactions/commit") {
		c.one++
		return
	}
	var request struct {
		Changes []struct {
			Identifier struct{ Name string }
		} `json:"table-changes"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		t.Errorf("a commit of several tables: %v", err)
	}
	var names []string
	for _, change := range request.Changes {
		names = append(names, change.Identifier.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"left", "right"}) {
		t.Errorf("a request changes the tables %v", names)
	}
	c.both++
}
