package iceberg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// answering is a connector on a catalog that answers.
func answering() *Connector {
	cat := icetest.New(icetest.NewFiles())
	return &Connector{OpenCatalog: func(context.Context, string, map[string]string) (catalog.Catalog, error) { return cat, nil }}
}

// TestValidateTriesTheCatalog sees that a catalog that does not answer is an error for a
// connector that is new or whose catalog keys have changed, and for no other.
func TestValidateTriesTheCatalog(t *testing.T) {
	cat := icetest.New(icetest.NewFiles())
	var down error
	c := Factory()().(*Connector)
	c.OpenCatalog = func(context.Context, string, map[string]string) (catalog.Catalog, error) { return cat, down }
	steps := []struct {
		name string
		down bool
		raw  map[string]string
		bad  bool
	}{
		{"new, away", true, with(), true},
		{"a fault that needs no catalog comes first", true, with("iceberg.tables", ""), true},
		{"new", false, with(), false},
		{"the same, away", true, with(), false},
		{"another key, away", true, with("iceberg.control.commit.interval-ms", "1"), false},
		{"a catalog key, away", true, with("iceberg.catalog.uri", "x"), true},
		{"the catalog's name, away", true, with("iceberg.catalog", "x"), true},
		{"a table, away", true, with("iceberg.tables", "db.other"), true},
		{"ID columns, away", true, with("iceberg.table.db.t.id-columns", "x"), true},
		{"another connector, away", true, with("name", "payments"), true},
		{"a catalog key", false, with("iceberg.catalog.uri", "x"), false},
		{"the old one, away", true, with(), true},
	}
	for _, s := range steps {
		if down = nil; s.down {
			down = errors.New("connection refused")
		}
		got := c.Validate(t.Context(), s.raw)
		switch {
		case !s.bad && len(got) > 0:
			t.Errorf("%s: %v, want no error", s.name, got)
		case s.bad && len(got) != 1:
			t.Errorf("%s: %v, want one error", s.name, got)
		case s.bad && got[0].Key == "iceberg.tables" && s.raw["iceberg.tables"] == "":
		case s.bad && (got[0].Key != "iceberg.catalog" || !strings.Contains(got[0].Message, "connection refused")):
			t.Errorf("%s: %v, want that the catalog is away", s.name, got)
		}
	}
	down = errors.New("connection refused")
	again := Factory()().(*Connector)
	again.OpenCatalog = c.OpenCatalog
	if err := again.Start(t.Context(), with()); err != nil {
		t.Errorf("started while the catalog is away: %v", err)
	}
	if got := again.Validate(t.Context(), with("tasks.max", "2")); len(got) > 0 {
		t.Errorf("a config that is in use: %v", got)
	}
}

// TestValidateLooksAtTables sees that ID columns are looked up in the tables that exist.
func TestValidateLooksAtTables(t *testing.T) {
	cat := icetest.New(icetest.NewFiles())
	c := &Connector{OpenCatalog: func(context.Context, string, map[string]string) (catalog.Catalog, error) { return cat, nil }}
	ident := table.Identifier{"db", "t"}
	if err := cat.CreateNamespace(t.Context(), ident[:1], nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "Id", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.Int64})
	if _, err := cat.CreateTable(t.Context(), ident, schema); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		raw         map[string]string
		key, reason string // "" for no error
	}{
		{with("iceberg.tables.default-id-columns", "Id,v"), "", ""},
		{with("iceberg.tables.default-id-columns", "Id, w"), "iceberg.tables.default-id-columns", `id column "w" does not exist`},
		{with("iceberg.table.db.t.id-columns", "id"), "iceberg.table.db.t.id-columns", `id column "id" does not exist`},
		{with("iceberg.table.db.t.id-columns", "id", "iceberg.tables.schema-case-insensitive", "true"), "", ""},
		{with("iceberg.table.t.id-columns", "x"), "iceberg.table.t.id-columns", `id column "x" does not exist`},
		{with("iceberg.tables.upsert-mode-enabled", "true"), "iceberg.tables.default-id-columns", "rows cannot be replaced without a key"},
		{with("iceberg.tables.upsert-mode-enabled", "true", "iceberg.table.t.id-columns", "Id"), "", ""},
		{with("iceberg.tables", "db.later", "iceberg.tables.default-id-columns", "x"), "", ""},
	} {
		got := c.Validate(t.Context(), tt.raw)
		switch {
		case tt.key == "" && len(got) > 0:
			t.Errorf("%v: %v, want no error", tt.raw, got)
		case tt.key != "" && (len(got) != 1 || got[0].Key != tt.key || !strings.Contains(got[0].Message, tt.reason)):
			t.Errorf("%v: %v, want %s for %s", tt.raw, got, tt.reason, tt.key)
		}
	}
}

// TestDoubts sees that what the sink can do without is no error.
func TestDoubts(t *testing.T) {
	cat := icetest.New(icetest.NewFiles())
	c := &Connector{OpenCatalog: func(context.Context, string, map[string]string) (catalog.Catalog, error) { return unlisted{cat}, nil }}
	if got := c.Validate(t.Context(), with()); len(got) > 0 {
		t.Fatalf("%v, want no error", got)
	}
	got := c.Doubts()
	if len(got) != 1 || got[0].Key != "iceberg.catalog" || !strings.Contains(got[0].Message, "list namespaces") {
		t.Errorf("%v, want that namespaces cannot be listed", got)
	}
}

// An unlisted catalog does not tell its namespaces.
type unlisted struct{ catalog.Catalog }

func (unlisted) ListNamespaces(context.Context, table.Identifier) ([]table.Identifier, error) {
	return nil, fmt.Errorf("namespaces: %w", rest.ErrForbidden)
}

func TestAcceptanceIsBounded(t *testing.T) {
	var a acceptance
	for i := range 3 * maxAccepted {
		a.add(map[string]string{"name": strings.Repeat("x", i%5000)})
	}
	if len(a.digests) > maxAccepted {
		t.Errorf("%d names, want at most %d", len(a.digests), maxAccepted)
	}
}
