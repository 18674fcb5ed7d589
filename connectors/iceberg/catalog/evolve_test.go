package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// adding asks for a column of type long, unless the table has it.
func adding(name string) func(*table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
	return func(t *table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
		if _, ok := t.Schema().FindFieldByName(name); ok {
			return nil, nil, nil
		}
		f := iceberg.NestedField{ID: t.Metadata().LastColumnID() + 1, Name: name, Type: iceberg.PrimitiveTypes.Int64}
		return iceberg.NewSchema(0, append(t.Schema().Fields(), f)...), t.NameMapping(), nil
	}
}

func evolvable(t *testing.T) (*icetest.Catalog, table.Identifier) {
	t.Helper()
	cat, ident := icetest.New(icetest.NewFiles()), table.Identifier{"db", "t"}
	if err := cat.CreateNamespace(t.Context(), ident[:1], nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	if _, err := cat.CreateTable(t.Context(), ident, schema); err != nil {
		t.Fatal(err)
	}
	return cat, ident
}

// Rivals with the same and with other changes, and lost replies: each change is made once,
// and every caller sees its own in what it gets.
func TestEvolveSchemaTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cat, ident := evolvable(t)
		cat.Chaos(func(op icetest.Op, n int) icetest.Fault {
			switch {
			case op == icetest.Commit && n%6 == 1:
				return icetest.Fault{After: errors.New("504")}
			case op == icetest.Commit && n%6 == 4:
				return icetest.Fault{Before: errors.New("503")}
			}
			return icetest.Fault{}
		})
		var wg sync.WaitGroup
		for i := range 9 {
			wg.Go(func() {
				name := fmt.Sprintf("c%d", i%3)
				for {
					tbl, err := catalog.EvolveSchema(t.Context(), cat, ident, adding(name))
					if err != nil {
						continue // all tries failed; the caller comes again
					}
					if _, ok := tbl.Schema().FindFieldByName(name); !ok {
						t.Errorf("%s is not in %v", name, tbl.Schema())
					}
					return
				}
			})
		}
		wg.Wait()
		tbl, err := cat.Peek(ident)
		if err != nil {
			t.Fatal(err)
		}
		if n, schemas := tbl.Schema().NumFields(), len(tbl.Metadata().Schemas()); n != 4 || schemas != 4 {
			t.Errorf("%d columns and %d schemas, want 4 and 4: %v", n, schemas, tbl.Schema())
		}
	})
}

func TestEvolveSchemaErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault error
		next  func(*table.Table) (*iceberg.Schema, iceberg.NameMapping, error)
		want  error
		calls int
	}{
		{"bad request", fmt.Errorf("%w: no", rest.ErrBadRequest), adding("x"), catalog.ErrRefused, 1},
		{"forbidden", fmt.Errorf("%w: no", rest.ErrForbidden), adding("x"), catalog.ErrNotAllowed, 1},
		{"conflicts without end", table.ErrCommitFailed, adding("x"), table.ErrCommitFailed, 4},
		{"no plan", nil, func(*table.Table) (*iceberg.Schema, iceberg.NameMapping, error) { return nil, nil, errors.New("no") }, catalog.ErrRefused, 0},
		{"a type of format 3", nil, func(t *table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
			f := iceberg.NestedField{ID: 9, Name: "v", Type: iceberg.VariantType{}}
			return iceberg.NewSchema(0, append(t.Schema().Fields(), f)...), nil, nil
		}, catalog.ErrRefused, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			cat, ident := evolvable(t)
			cat.Chaos(func(op icetest.Op, _ int) icetest.Fault {
				if op == icetest.Commit {
					return icetest.Fault{Before: c.fault}
				}
				return icetest.Fault{}
			})
			_, err := catalog.EvolveSchema(t.Context(), cat, ident, c.next)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "db.t") || cat.Calls(icetest.Commit) != c.calls {
				t.Errorf("%s: got %v after %d commits, want %v after %d", c.name, err, cat.Calls(icetest.Commit), c.want, c.calls)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		cat, ident := evolvable(t)
		ctx, cancel := context.WithCancel(t.Context())
		cat.Inject(icetest.Commit, icetest.Fault{Before: errors.New("503")})
		next := func(tbl *table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
			cancel()
			return adding("x")(tbl)
		}
		if _, err := catalog.EvolveSchema(ctx, cat, ident, next); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
	})
}

// Each catalog takes the change, refuses it to a rival who knows an older schema, and
// keeps columns, ids and the name mapping.
func TestEvolveSchemaInCatalogs(t *testing.T) {
	each(t, func(t *testing.T, cat catalog.Catalog) {
		before := ensure(t, cat)
		columns := before.Schema().NumFields()
		var wg sync.WaitGroup
		for _, name := range []string{"x", "y", "x"} {
			wg.Go(func() {
				for try := 0; ; try++ {
					tbl, err := catalog.EvolveSchema(t.Context(), cat, before.Identifier(), adding(name))
					if err != nil && try < 5 {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					if _, ok := tbl.Schema().FindFieldByName(name); !ok {
						t.Errorf("%s is not in %v", name, tbl.Schema())
					}
					return
				}
			})
		}
		wg.Wait()
		mapped := func(tbl *table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
			schema, _, err := adding("z")(tbl)
			if schema == nil {
				return nil, nil, err
			}
			return schema, schema.NameMapping(), err
		}
		after, err := catalog.EvolveSchema(t.Context(), cat, before.Identifier(), mapped)
		if err != nil {
			t.Fatal(err)
		}
		ids := make(map[int]bool)
		for _, f := range after.Schema().Fields() {
			ids[f.ID] = true
		}
		if n := after.Schema().NumFields(); n != columns+3 || len(ids) != n || len(after.NameMapping()) != n {
			t.Errorf("%d columns, %d ids, %d names; want %d of each: %v", n, len(ids), len(after.NameMapping()), columns+3, after.Schema())
		}
		if after.Metadata().LastColumnID() != after.Schema().HighestFieldID() || after.Metadata().TableUUID() != before.Metadata().TableUUID() {
			t.Errorf("last column id %d of %v", after.Metadata().LastColumnID(), after.Schema())
		}
	})
}

// What a REST catalog answers when it does not want the change.
func TestEvolveSchemaRESTRefusals(t *testing.T) {
	for status, want := range map[int]error{http.StatusBadRequest: catalog.ErrRefused, http.StatusForbidden: catalog.ErrNotAllowed} {
		var refuse atomic.Bool
		cat, _ := openREST(t, nil, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if refuse.Load() && r.Method == http.MethodPost {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					if _, err := fmt.Fprintf(w, `{"error":{"message":"no","type":"X","code":%d}}`, status); err != nil {
						t.Error(err)
					}
					return
				}
				h.ServeHTTP(w, r)
			})
		})
		before := ensure(t, cat)
		refuse.Store(true)
		if _, err := catalog.EvolveSchema(t.Context(), cat, before.Identifier(), adding("x")); !errors.Is(err, want) {
			t.Errorf("status %d: got %v, want %v", status, err, want)
		}
	}
}
