package catalog_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// tinyS3 stores whole objects and remembers who asked.
type tinyS3 struct {
	url string

	mu      sync.Mutex
	objects map[string][]byte
	keys    []string
}

func newTinyS3(t *testing.T) *tinyS3 {
	s := &tinyS3{objects: map[string][]byte{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *tinyS3) props() map[string]string {
	return map[string]string{"s3.endpoint": s.url, "s3.path-style-access": "true", "client.region": "eu-north-1"}
}

func (s *tinyS3) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

func (s *tinyS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	s.keys = append(s.keys, key)
	switch r.Method {
	case http.MethodPut:
		s.objects[r.URL.Path] = body
	case http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		data, ok := s.objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
			return
		}
		_, _ = w.Write(data)
	}
}

func with(props ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range props {
		maps.Copy(all, m)
	}
	return all
}

var userKey = map[string]string{"s3.access-key-id": "USER", "s3.secret-access-key": "SK"}

// Whoever may set properties of a table must not send its files elsewhere.
func TestTablePropertiesDoNotRedirect(t *testing.T) {
	for name, open := range map[string]func(t *testing.T, store *tinyS3) catalog.Catalog{
		"sqlite": func(t *testing.T, store *tinyS3) catalog.Catalog {
			return opened(t, with(store.props(), userKey, map[string]string{
				"type": "jdbc", "uri": "jdbc:sqlite:" + filepath.Join(t.TempDir(), "catalog.db"), "warehouse": "s3://b/wh",
			}))
		},
		"rest": func(t *testing.T, store *tinyS3) catalog.Catalog {
			back := icetest.New(icetest.NewFiles())
			srv := httptest.NewServer(back.Handler("s3://b/wh"))
			t.Cleanup(srv.Close)
			return opened(t, with(store.props(), userKey, map[string]string{"type": "rest", "uri": srv.URL}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, thief := newTinyS3(t), newTinyS3(t)
			cat := open(t, store)
			_, err := catalog.EnsureTable(t.Context(), cat, ident, schema, nil, map[string]string{
				"s3.endpoint": thief.url, "s3.access-key-id": "THIEF", "s3.secret-access-key": "SK", "client.region": "us-west-2",
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stage(t, load(t, cat), 1).Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, key := range store.asked() {
				if key != "USER" {
					t.Errorf("request under %q, want USER", key)
				}
			}
			if len(thief.asked()) != 0 || len(store.asked()) == 0 {
				t.Errorf("%d requests to the table's endpoint and %d to the catalog's, want none and some", len(thief.asked()), len(store.asked()))
			}
		})
	}
}

// lender answers loads with credentials numbered by load, and the endpoint that they
// are for.
func lender(t *testing.T, store *tinyS3, life time.Duration, in string) (catalog.Catalog, func() int) {
	var mu sync.Mutex
	loads := 0
	back := icetest.New(icetest.NewFiles())
	next := back.Handler("s3://b/wh")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/tables") || r.Method == http.MethodDelete {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		var answer map[string]json.RawMessage
		if rec.Code == http.StatusOK && json.Unmarshal(rec.Body.Bytes(), &answer) == nil && answer["config"] != nil {
			mu.Lock()
			loads++
			lent := with(store.props(), map[string]string{
				"s3.access-key-id": "LENT" + strconv.Itoa(loads), "s3.secret-access-key": "SK", "s3.session-token": "T",
				"s3.session-token-expires-at-ms": strconv.FormatInt(time.Now().Add(life).UnixMilli(), 10),
			})
			mu.Unlock()
			if in == "config" {
				answer["config"], _ = json.Marshal(lent)
			} else {
				answer["storage-credentials"], _ = json.Marshal([]any{map[string]any{"prefix": "s3://b/", "config": lent}})
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer)
			return
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	t.Cleanup(srv.Close)
	cat := opened(t, map[string]string{"type": "rest", "uri": srv.URL, "header.X-Iceberg-Access-Delegation": "vended-credentials"})
	return cat, func() int {
		mu.Lock()
		defer mu.Unlock()
		return loads
	}
}

// Credentials that the server lends, in either place of its answer, are used, and new
// ones are asked for before they end, by the table that began with the old ones.
func TestLentCredentialsAreRenewed(t *testing.T) {
	for _, in := range []string{"config", "storage-credentials"} {
		t.Run(in, func(t *testing.T) {
			store := newTinyS3(t)
			cat, _ := lender(t, store, time.Hour, in)
			tbl := ensure(t, cat)
			if _, err := stage(t, tbl, 1).Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			asked := store.asked()
			if stranger := slices.ContainsFunc(asked, func(key string) bool { return !strings.HasPrefix(key, "LENT") }); len(asked) == 0 || stranger {
				t.Errorf("requests under %q, want lent keys", asked)
			}

			brief, loads := lender(t, store, time.Second, in) // renewed after half of it
			tbl = ensure(t, brief)
			before := loads()
			time.Sleep(time.Second) // the credentials' own end
			if _, err := stage(t, tbl, 2).Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if loads() == before {
				t.Error("nothing was renewed")
			}
		})
	}
}
