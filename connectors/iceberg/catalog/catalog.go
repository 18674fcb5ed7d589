// Package catalog opens Iceberg catalogs from the properties that Java's sink
// takes under iceberg.catalog.*, and creates the tables that do not exist yet.
//
// A Catalog is safe for use from several goroutines. Its tables read and write
// through package storage, whatever the catalog's type. An error of CommitTable
// says nothing certain unless it wraps table.ErrCommitFailed (a definite refusal):
// the caller loads the table again and decides from what it finds there.
//
// It retries nothing and keeps no table in memory.
package catalog

import (
	"context"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
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
