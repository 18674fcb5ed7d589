// Package catalog opens Iceberg catalogs from the properties that Java's sink
// takes under iceberg.catalog.*, and creates the tables that do not exist yet.
//
// A Catalog is safe for use from several goroutines. Its tables read and write
// through package storage, whatever the catalog's type. A commit that the catalog
// refuses wraps table.ErrCommitFailed; what any other error of CommitTable means is
// unknown. After either the caller loads the table again and decides from what it
// finds there: a proxy may have sent the request twice.
//
// It retries nothing and keeps no table in memory.
package catalog

import (
	"context"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// A Catalog is the part of iceberg-go's catalog.Catalog that the sink needs, and
// Close; the SQL and REST catalogs of iceberg-go satisfy it.
//
// Errors wrap iceberg-go's sentinels: catalog.ErrNoSuchTable, ErrNoSuchNamespace,
// ErrTableAlreadyExists, ErrNamespaceAlreadyExists, table.ErrCommitFailed.
type Catalog interface {
	table.CatalogIO // LoadTable, CommitTable

	CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error)
	DropTable(ctx context.Context, ident table.Identifier) error
	CreateNamespace(ctx context.Context, namespace table.Identifier, props iceberg.Properties) error
	ListNamespaces(ctx context.Context, parent table.Identifier) ([]table.Identifier, error)

	// Close releases connections. Tables loaded before must not be used afterwards.
	Close() error
}

// own makes a table of iceberg-go's commit and reload through cat, and read and write
// through the storage that open returns, bound to the context of each call. Only
// CatalogIO is shown to the table: scans are planned here, never by a server.
func own(cat Catalog, t *table.Table, open func(context.Context) (storage.FileIO, error)) *table.Table {
	fsys := func(ctx context.Context) (icebergio.IO, error) {
		files, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return storage.Bind(ctx, files), nil
	}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), fsys, struct{ table.CatalogIO }{cat})
}

// fixed opens the storage of a table by the catalog's properties alone.
func fixed(props map[string]string, t *table.Table) func(context.Context) (storage.FileIO, error) {
	location := t.MetadataLocation()
	return func(ctx context.Context) (storage.FileIO, error) { return storage.Open(ctx, props, location) }
}
