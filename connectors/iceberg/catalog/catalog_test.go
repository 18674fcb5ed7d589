package catalog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var (
	ident  = table.Identifier{"outer", "inner", "t"}
	schema = iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "part", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		iceberg.NestedField{ID: 2, Name: "off", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz})
)

// opened opens a catalog for the time of the test.
func opened(t *testing.T, props map[string]string) catalog.Catalog {
	t.Helper()
	return openedAs(t, "iceberg", props)
}

func openedAs(t *testing.T, name string, props map[string]string) catalog.Catalog {
	t.Helper()
	cat, err := catalog.Open(t.Context(), name, props)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
	})
	return cat
}

func openSQLite(t *testing.T) catalog.Catalog {
	t.Helper()
	dir := t.TempDir()
	return opened(t, map[string]string{
		"type": "jdbc", "uri": "jdbc:sqlite:" + filepath.Join(dir, "catalog.db"), "warehouse": "file://" + dir + "/wh",
	})
}

// openREST serves an in-memory catalog over HTTP and opens it.
func openREST(t *testing.T, props map[string]string, wrap func(http.Handler) http.Handler) (catalog.Catalog, *icetest.Catalog) {
	t.Helper()
	back := icetest.New(icetest.NewFiles())
	handler := back.Handler("file://" + t.TempDir())
	if wrap != nil {
		handler = wrap(handler)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	all := map[string]string{"catalog-impl": "org.apache.iceberg.rest.RESTCatalog", "uri": srv.URL + "/", "io-impl": "org.apache.iceberg.io.ResolvingFileIO"}
	maps.Copy(all, props)
	cat := opened(t, all)
	return cat, back
}

// openPostgres opens an empty catalog of its own name in the database of
// FIRN_TEST_POSTGRES (postgresql://…), which a machine with a server sets.
func openPostgres(t *testing.T) catalog.Catalog {
	t.Helper()
	uri := os.Getenv("FIRN_TEST_POSTGRES")
	if uri == "" {
		t.Skip("NOT CHECKED on PostgreSQL: FIRN_TEST_POSTGRES names no database")
	}
	return openedAs(t, t.Name()+strconv.FormatInt(time.Now().UnixNano(), 36), map[string]string{"type": "jdbc", "uri": "jdbc:" + uri, "warehouse": t.TempDir()})
}

// each runs a test on every catalog of this build.
func each(t *testing.T, test func(t *testing.T, cat catalog.Catalog)) {
	eachGlue(t, test)
	t.Run("postgres", func(t *testing.T) { test(t, openPostgres(t)) })
	t.Run("sqlite", func(t *testing.T) { test(t, openSQLite(t)) })
	t.Run("rest", func(t *testing.T) {
		cat, _ := openREST(t, nil, nil)
		test(t, cat)
	})
	t.Run("icetest", func(t *testing.T) { test(t, icetest.New(icetest.NewFiles())) })
}

func ensure(t *testing.T, cat catalog.Catalog) *table.Table {
	t.Helper()
	tbl, err := catalog.EnsureTable(t.Context(), cat, ident, schema, []string{"day(ts)"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// stage prepares a pinned append of one row with what our commits carry.
func stage(t *testing.T, tbl *table.Table, off int64) *table.Transaction {
	t.Helper()
	file, err := icetest.WriteFile(t.Context(), tbl, icetest.Row{"part": 0, "off": off, "ts": "2026-11-21 10:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	tx := tbl.NewTransaction()
	own := iceberg.Properties{"firn.test": strconv.FormatInt(off, 10)}
	err = errors.Join(tx.AssertRefSnapshotID(table.MainBranch), tx.SetProperties(own),
		tx.NewRowDelta(own).AddRows(file).Commit(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func load(t *testing.T, cat catalog.Catalog) *table.Table {
	t.Helper()
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

func offsets(t *testing.T, cat catalog.Catalog) []int64 {
	t.Helper()
	counts, err := icetest.CoordinateCounts(t.Context(), load(t, cat), "", "part", "off")
	if err != nil {
		t.Fatal(err)
	}
	var offs []int64
	for at, n := range counts {
		for range n {
			offs = append(offs, at.Offset)
		}
	}
	slices.Sort(offs)
	return offs
}

func TestEnsureTable(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		tbl := ensure(t, cat)
		again, err := catalog.EnsureTable(t.Context(), cat, ident, schema, nil, nil)
		if err != nil || again.Metadata().TableUUID() != tbl.Metadata().TableUUID() {
			t.Errorf("second time: %v, want the first table", err)
		}
		if v := tbl.Metadata().Version(); v != 2 {
			t.Errorf("format version %d, want 2", v)
		}
		spec := tbl.Spec()
		if f := spec.Field(0); f.Name != "ts_day" {
			t.Errorf("partition field %v, want ts_day", f)
		}
		for key, want := range map[string]string{"write.parquet.compression-codec": "zstd", "write.metadata.delete-after-commit.enabled": "true"} {
			if got := tbl.Properties()[key]; got != want {
				t.Errorf("property %s is %q, want %q", key, got, want)
			}
		}
		other := table.Identifier{"outer", "other"}
		tbl, err = catalog.EnsureTable(t.Context(), cat, other, schema, nil,
			map[string]string{"format-version": "3", "write.parquet.compression-codec": "snappy", "owner": "me"})
		if err != nil {
			t.Fatal(err)
		}
		if p := tbl.Properties(); tbl.Metadata().Version() != 3 || p["write.parquet.compression-codec"] != "snappy" || p["owner"] != "me" {
			t.Errorf("version %d, properties %v: the user's should win", tbl.Metadata().Version(), p)
		}
		if _, err := catalog.EnsureTable(t.Context(), cat, table.Identifier{"outer", "bad"}, schema, []string{"day(none)"}, nil); err == nil {
			t.Error("bad partition text made a table")
		}
		if _, err := cat.LoadTable(t.Context(), table.Identifier{"outer", "bad"}); !errors.Is(err, icebergcatalog.ErrNoSuchTable) {
			t.Errorf("after bad partition text: %v, want no table", err)
		}
		if _, err := cat.LoadTable(t.Context(), table.Identifier{"nowhere", "t"}); !errors.Is(err, icebergcatalog.ErrNoSuchTable) {
			t.Errorf("table of a missing namespace: %v", err)
		}
	})
}

// Field ids of a table are the catalog's; a schema with others keeps its partitions.
func TestEnsureTableForeignIDs(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		odd := iceberg.NewSchema(0,
			iceberg.NestedField{ID: 7, Name: "a", Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 3, Name: "b", Type: iceberg.PrimitiveTypes.Int64})
		tbl, err := catalog.EnsureTable(t.Context(), cat, ident, odd, []string{"bucket(a,4)", "b"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec := tbl.Spec()
		for i, want := range []string{"a", "b"} {
			if got, _ := tbl.Schema().FindColumnName(spec.Field(i).SourceID()); got != want {
				t.Errorf("partition field %d is of column %q, want %q", i, got, want)
			}
		}
	})
}

func TestEnsureTableRace(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		uuids := make([]string, 6)
		var wg sync.WaitGroup
		for i := range uuids {
			wg.Go(func() {
				tbl, err := catalog.EnsureTable(t.Context(), cat, ident, schema, nil, nil)
				if err != nil {
					t.Error(err)
					return
				}
				uuids[i] = tbl.Metadata().TableUUID().String()
			})
		}
		wg.Wait()
		if slices.Sort(uuids); len(slices.Compact(uuids)) != 1 {
			t.Errorf("rivals got tables %v", uuids)
		}
	})
}

func TestCommitKeepsWhatItCarries(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		ensure(t, cat)
		for off := range int64(3) {
			tx := stage(t, load(t, cat), off)
			if _, err := tx.Commit(t.Context()); err != nil { // the reply is not looked at: it could be lost
				t.Fatal(err)
			}
			after := load(t, cat)
			want := strconv.FormatInt(off, 10)
			if s := after.CurrentSnapshot(); s == nil || s.Summary.Properties["firn.test"] != want || after.Properties()["firn.test"] != want {
				t.Errorf("commit %d: summary %v, property %q", off, s, after.Properties()["firn.test"])
			}
		}
		if got := offsets(t, cat); !slices.Equal(got, []int64{0, 1, 2}) {
			t.Errorf("rows %v, want 0 1 2", got)
		}
	})
}

// Rivals pin the same head: one lands, the others are refused, in every round.
func TestPinnedRace(t *testing.T) {
	const rounds, rivals = 5, 3
	each(t, func(t *testing.T, cat catalog.Catalog) {
		ensure(t, cat)
		for round := range int64(rounds) {
			errs := make([]error, rivals)
			staged := make([]*table.Transaction, rivals)
			for i := range staged {
				staged[i] = stage(t, load(t, cat), round*10+int64(i))
			}
			var wg sync.WaitGroup
			for i, tx := range staged {
				wg.Go(func() { _, errs[i] = tx.Commit(t.Context()) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, table.ErrCommitFailed):
					t.Errorf("round %d: %v, want %v", round, err, table.ErrCommitFailed)
				}
			}
			if got := offsets(t, cat); won != 1 || len(got) != int(round)+1 {
				t.Fatalf("round %d: %d rivals won, rows %v", round, won, got)
			}
		}
	})
}

// A table dropped and created again refuses what was staged for the old one, even
// when both are empty.
func TestRecreatedTableRefuses(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		tx := stage(t, ensure(t, cat), 1)
		if err := cat.DropTable(t.Context(), ident); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); err == nil {
			t.Error("committed to a dropped table")
		}
		tx = stage(t, ensure(t, cat), 2)
		if err := cat.DropTable(t.Context(), ident); err != nil {
			t.Fatal(err)
		}
		ensure(t, cat)
		if _, err := tx.Commit(t.Context()); !errors.Is(err, table.ErrCommitFailed) {
			t.Errorf("commit to the new table: %v, want %v", err, table.ErrCommitFailed)
		}
		if got := offsets(t, cat); len(got) != 0 {
			t.Errorf("rows %v in the new table", got)
		}
	})
}

// What a REST client sees of commits that did or did not land.
func TestRESTFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  icetest.Fault
		landed bool
		failed bool // the error is a definite refusal
	}{
		{"504 after landing", icetest.Fault{After: &icetest.StatusError{Status: http.StatusGatewayTimeout}}, true, false},
		{"500 after landing", icetest.Fault{After: &icetest.StatusError{Status: http.StatusInternalServerError}}, true, false},
		{"cut after landing", icetest.Fault{After: &icetest.StatusError{}}, true, false},
		{"503 before", icetest.Fault{Before: &icetest.StatusError{Status: http.StatusServiceUnavailable}}, false, false},
		{"cut before", icetest.Fault{Before: &icetest.StatusError{}}, false, false},
		{"409", icetest.Fault{Before: table.ErrCommitFailed}, false, true},
	}
	cat, back := openREST(t, nil, nil)
	ensure(t, cat)
	for i, tt := range tests {
		before, calls := offsets(t, cat), back.Calls(icetest.Commit)
		tx := stage(t, load(t, cat), int64(i))
		back.Inject(icetest.Commit, tt.fault)
		_, err := tx.Commit(t.Context())
		if err == nil || errors.Is(err, table.ErrCommitFailed) != tt.failed {
			t.Errorf("%s: %v, want a refusal: %v", tt.name, err, tt.failed)
		}
		if got := len(offsets(t, cat)) > len(before); got != tt.landed {
			t.Errorf("%s: landed %v, want %v", tt.name, got, tt.landed)
		}
		if got := back.Calls(icetest.Commit) - calls; got != 1 {
			t.Errorf("%s: %d requests, want 1: somebody retries", tt.name, got)
		}
	}
}

func TestRESTCredentials(t *testing.T) {
	var mu sync.Mutex
	var grants, headers, delegated []string
	wrap := func(next http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /v1/oauth/tokens", func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			grants = append(grants, r.FormValue("client_id")+":"+r.FormValue("client_secret")+" "+r.FormValue("scope"))
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"access_token":"T","token_type":"bearer","expires_in":3600}`)
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			headers = append(headers, r.Header.Get("Authorization")+" "+r.Header.Get("X-Team"))
			delegated = append(delegated, r.Header.Get("X-Iceberg-Access-Delegation"))
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
		return mux
	}
	cat, _ := openREST(t, map[string]string{"credential": "id:key", "scope": "PRINCIPAL_ROLE:ALL", "header.X-Team": "ice"}, wrap)
	ensure(t, cat)
	if len(grants) == 0 || grants[0] != "id:key PRINCIPAL_ROLE:ALL" {
		t.Errorf("token requests %q", grants)
	}
	for i, got := range headers {
		if got != "Bearer T ice" || delegated[i] != "" {
			t.Errorf("request %d: headers %q, delegation %q, want %q and none", i, got, delegated[i], "Bearer T ice")
		}
	}
	headers, delegated = nil, nil
	openREST(t, map[string]string{"token": "S", "header.X-Iceberg-Access-Delegation": "vended-credentials"}, wrap)
	if len(headers) != 1 || headers[0] != "Bearer S " || delegated[0] != "vended-credentials" {
		t.Errorf("headers %q, delegation %q", headers, delegated)
	}
}

func TestRESTRedirect(t *testing.T) {
	stolen := ""
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = r.Header.Get("Authorization") }))
	defer thief.Close()
	honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer honest.Close()
	_, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "rest", "uri": honest.URL, "token": "T"})
	if err == nil || stolen != "" {
		t.Errorf("opened with %v; the other host got %q", err, stolen)
	}
}

func TestTableFileSystem(t *testing.T) {
	for name, open := range map[string]func() catalog.Catalog{
		"sqlite": func() catalog.Catalog { return openSQLite(t) },
		"rest":   func() catalog.Catalog { cat, _ := openREST(t, nil, nil); return cat },
	} {
		files, err := storage.Of(t.Context(), ensure(t, open()))
		if _, ok := files.(storage.Local); !ok || err != nil {
			t.Errorf("%s: table's files are %T, %v, want storage.Local", name, files, err)
		}
	}
}

// A server that lends credentials: the file system that iceberg-go caches with them
// must not die with the context of its first use.
func TestRESTLentCredentials(t *testing.T) {
	lend := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			body := strings.Replace(rec.Body.String(), `"config":{}`, `"config":{},"storage-credentials":[{"prefix":"file","config":{"s3.access-key-id":"lent"}}]`, 1)
			w.WriteHeader(rec.Code)
			_, _ = fmt.Fprint(w, body)
		})
	}
	cat, _ := openREST(t, nil, lend)
	tbl := ensure(t, cat)
	first, cancel := context.WithCancel(t.Context())
	if _, err := tbl.FS(first); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stage(t, tbl, 1).Commit(t.Context()); err != nil {
		t.Errorf("commit after the first context ended: %v", err)
	}
}

// A database that Java's JdbcCatalog made, of either schema version, is used as it is.
// (Source of the statements: org.apache.iceberg.jdbc.JdbcUtil.)
func TestSQLiteOfJava(t *testing.T) {
	for version, column := range map[string]string{"V0": "", "V1": "iceberg_type VARCHAR(5), "} {
		path := filepath.Join(t.TempDir(), "java.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			"CREATE TABLE iceberg_tables(catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL, " +
				"metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), " + column + "PRIMARY KEY (catalog_name, table_namespace, table_name))",
			"CREATE TABLE iceberg_namespace_properties(catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255), " +
				"property_value VARCHAR(1000), PRIMARY KEY (catalog_name, namespace, property_key))",
		} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		cat, err := catalog.Open(t.Context(), "prod", map[string]string{"catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "uri": "jdbc:sqlite:" + path, "warehouse": t.TempDir()})
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		if _, err := stage(t, ensure(t, cat), 1).Commit(t.Context()); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		var namespace, location string
		row := db.QueryRowContext(t.Context(), "SELECT table_namespace, metadata_location FROM iceberg_tables WHERE catalog_name = 'prod' AND table_name = 't'")
		if err := row.Scan(&namespace, &location); err != nil || namespace != "outer.inner" || location != load(t, cat).MetadataLocation() {
			t.Errorf("%s: row of the table: namespace %q, location %q, %v", version, namespace, location, err)
		}
		if err := errors.Join(cat.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestSQLiteTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	props := map[string]string{"type": "sql", "uri": filepath.Join(dir, "c.db"), "warehouse": filepath.Join(dir, "wh")}
	var cats []catalog.Catalog
	for range 2 {
		cat := opened(t, props)
		cats = append(cats, cat)
	}
	ensure(t, cats[0])
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, cat := range cats {
		wg.Go(func() {
			for off := range int64(8) {
				for {
					_, err := stage(t, load(t, cat), int64(i)*100+off).Commit(context.WithoutCancel(t.Context()))
					if err == nil {
						break
					}
					if !errors.Is(err, table.ErrCommitFailed) {
						mu.Lock()
						t.Errorf("commit: %v", err)
						mu.Unlock()
						return
					}
				}
			}
		})
	}
	wg.Wait()
	got := offsets(t, cats[1])
	if want := []int64{0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 103, 104, 105, 106, 107}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}
