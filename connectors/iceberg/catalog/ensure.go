package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
)

// created are the properties of tables that we create, unless the user gives them.
var created = map[string]string{
	table.PropertyFormatVersion: "2",
	// Java writes zstd by default and other engines gzip: said once, in the table, all
	// writers agree.
	table.ParquetCompressionKey: "zstd",
	// Every commit writes a metadata.json, and at a commit every few seconds nobody
	// else removes the old ones; each holds all snapshots, so their sum is large.
	table.MetadataDeleteAfterCommitEnabledKey: "true",
}

// createPauses are the waits before the second and third try to create a table.
// (Source: IcebergWriterFactory.autoCreateTable of the Java sink.)
var createPauses = []time.Duration{time.Second, 2 * time.Second}

// EnsureTable loads a table, or creates it and its namespaces when it does not
// exist. partitionBy holds items of the partition grammar (see [PartitionSpec]),
// props the table properties of iceberg.tables.auto-create-props.*; they win over
// our defaults (format-version 2, zstd, old metadata deleted).
//
// When another creator wins the race, the winner's table is returned: its schema,
// spec and properties may differ from what was asked for.
func EnsureTable(ctx context.Context, cat Catalog, ident table.Identifier, schema *iceberg.Schema, partitionBy []string, props map[string]string) (*table.Table, error) {
	t, err := cat.LoadTable(ctx, ident)
	if !Missing(err) {
		return t, err
	}
	spec, err := PartitionSpec(schema, partitionBy)
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", strings.Join(ident, "."), err)
	}
	if err := ensureNamespaces(ctx, cat, ident[:len(ident)-1]); err != nil {
		return nil, fmt.Errorf("create table %s: %w", strings.Join(ident, "."), err)
	}
	all := iceberg.Properties(maps.Clone(created))
	maps.Copy(all, props)
	for try := 0; ; try++ {
		t, err := createOrLoad(ctx, cat, ident, schema, icebergcatalog.WithPartitionSpec(spec), icebergcatalog.WithProperties(all))
		if err == nil {
			return t, nil
		}
		if try == len(createPauses) || ctx.Err() != nil {
			return nil, fmt.Errorf("create table %s: %w", strings.Join(ident, "."), err)
		}
		if sleep(ctx, createPauses[try]) != nil {
			return nil, fmt.Errorf("create table %s: %w", strings.Join(ident, "."), err)
		}
	}
}

// createOrLoad creates a table. After any error it looks whether the table is there:
// made by a rival, or by a request whose reply was lost.
func createOrLoad(ctx context.Context, cat Catalog, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	t, err := cat.CreateTable(ctx, ident, schema, opts...)
	if err == nil {
		return t, nil
	}
	t, loadErr := cat.LoadTable(ctx, ident)
	if loadErr == nil {
		return t, nil
	}
	if Missing(loadErr) {
		return nil, err
	}
	return nil, errors.Join(err, loadErr)
}

// ensureNamespaces creates each level. One that exists is left alone, and so is one
// that we may not create: it may exist where it may not be seen.
func ensureNamespaces(ctx context.Context, cat Catalog, namespace table.Identifier) error {
	for i := range namespace {
		err := cat.CreateNamespace(ctx, namespace[:i+1:i+1], iceberg.Properties{})
		if err != nil && !errors.Is(err, icebergcatalog.ErrNamespaceAlreadyExists) && !errors.Is(err, rest.ErrForbidden) {
			return fmt.Errorf("create namespace %s: %w", strings.Join(namespace[:i+1], "."), err)
		}
	}
	return nil
}

// Missing tells a table that is not there from one that cannot be loaded.
func Missing(err error) bool {
	return errors.Is(err, icebergcatalog.ErrNoSuchTable) || errors.Is(err, icebergcatalog.ErrNoSuchNamespace)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
