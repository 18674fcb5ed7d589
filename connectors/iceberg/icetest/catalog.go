// Package icetest is an Iceberg lakehouse in memory for tests: a catalog that keeps
// real table metadata and validates real requirements, a file store, both with
// faults on demand, and readers for assertions.
//
// It works inside testing/synctest bubbles: it starts no goroutine, keeps no global
// state and waits only by timers. Tables are created uncompressed unless the test
// asks for a codec, since zstd encoders outlive a bubble. Everything is safe for use
// from several goroutines.
package icetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// Warehouse is the location under which tables are created.
const Warehouse = "mem://warehouse"

var (
	_ catalog.Catalog    = (*Catalog)(nil)
	_ catalog.MultiTable = (*Catalog)(nil)
)

// A Catalog is an in-memory Iceberg catalog. Every load parses the stored
// metadata.json anew, as a real catalog's does, so that no two tables share state.
type Catalog struct {
	files  *Files
	faults faults
	multi  bool // commits of several tables are offered

	mu         sync.Mutex // guards what follows; never held while a call waits
	namespaces map[string]table.Identifier
	tables     map[string]entry
	broken     map[string]map[Op]error // by table
}

// An entry is a catalog's row of one table.
type entry struct {
	ident    table.Identifier
	location string // of the metadata.json
	version  int
}

// New makes an empty catalog whose tables lie in files.
func New(files *Files) *Catalog {
	return &Catalog{files: files, namespaces: map[string]table.Identifier{}, tables: map[string]entry{}}
}

// OfferMultiTable has the catalog say that it commits several tables in one step. It is
// called before the catalog is used.
func (c *Catalog) OfferMultiTable() { c.multi = true }

// OffersMultiTable tells whether OfferMultiTable was called.
func (c *Catalog) OffersMultiTable() bool { return c.multi }

// Files is the store that the tables lie in.
func (c *Catalog) Files() *Files { return c.files }

// key cannot be the key of another identifier: no name holds a zero byte.
func key(ident table.Identifier) string { return strings.Join(ident, "\x00") }

// LoadTable gives the table as it is now, or wraps catalog.ErrNoSuchTable.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	if err := c.isBroken(ident, Load); err != nil {
		return nil, err
	}
	var t *table.Table
	err := c.faults.call(ctx, Load, func() (err error) {
		t, err = c.load(ident, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Catalog) load(ident table.Identifier, cat table.CatalogIO) (*table.Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, meta, err := c.metadata(ident)
	if err != nil {
		return nil, err
	}
	return c.table(e.ident, meta, e.location, cat), nil
}

func (c *Catalog) table(ident table.Identifier, meta table.Metadata, location string, cat table.CatalogIO) *table.Table {
	return table.New(ident, meta, location, func(ctx context.Context) (icebergio.IO, error) {
		return storage.Bind(ctx, c.files), nil
	}, cat)
}

// metadata reads a table's present metadata.json; c.mu is held.
func (c *Catalog) metadata(ident table.Identifier) (entry, table.Metadata, error) {
	e, ok := c.tables[key(ident)]
	if !ok {
		return entry{}, nil, fmt.Errorf("%w: %s", icebergcatalog.ErrNoSuchTable, strings.Join(ident, "."))
	}
	data, err := c.files.read(e.location)
	if err != nil {
		return entry{}, nil, err
	}
	meta, err := table.ParseMetadataBytes(data)
	return e, meta, err
}

// store writes a metadata.json and points the table at it; c.mu is held.
func (c *Catalog) store(ident table.Identifier, meta table.Metadata, version int) (string, error) {
	provider, err := table.LoadLocationProvider(meta.Location(), meta.Properties())
	if err != nil {
		return "", err
	}
	location, err := provider.NewTableMetadataFileLocation(version)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(meta); err != nil {
		return "", err
	}
	c.files.put(location, buf.Bytes())
	c.tables[key(ident)] = entry{slices.Clone(ident), location, version}
	return location, nil
}

// CommitTable validates reqs against the present metadata and applies updates; a
// failed requirement wraps table.ErrCommitFailed.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if err := c.isBroken(ident, Commit); err != nil {
		return nil, "", err
	}
	var meta table.Metadata
	var location string
	err := c.faults.call(ctx, Commit, func() (err error) {
		meta, location, err = c.commit(ident, reqs, updates)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return meta, location, nil
}

func (c *Catalog) commit(ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, base, meta, err := c.changed(ident, reqs, updates)
	if err != nil || meta.Equals(base) {
		return base, e.location, err
	}
	location, err := c.store(ident, meta, e.version+1)
	return meta, location, err
}

// changed is what a commit makes of a table, if it can be; c.mu is held.
func (c *Catalog) changed(ident table.Identifier, reqs []table.Requirement, updates []table.Update) (e entry, base, meta table.Metadata, err error) {
	if e, base, err = c.metadata(ident); err != nil {
		return e, nil, nil, err
	}
	for _, r := range reqs {
		if err := r.Validate(base); err != nil {
			return e, nil, nil, fmt.Errorf("%w: %s: %w", table.ErrCommitFailed, strings.Join(ident, "."), err)
		}
	}
	meta, err = table.UpdateTableMetadata(base, updates, e.location)
	return e, base, meta, err
}

// CommitTransaction commits to all of the tables, or to none: then the first failed
// requirement wraps table.ErrCommitFailed.
func (c *Catalog) CommitTransaction(ctx context.Context, commits []table.TableCommit) error {
	for _, t := range commits {
		if err := c.isBroken(t.Identifier, Commit); err != nil {
			return err
		}
	}
	return c.faults.call(ctx, CommitMany, func() error { return c.commitMany(commits) })
}

func (c *Catalog) commitMany(commits []table.TableCommit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	metas, versions := make([]table.Metadata, len(commits)), make([]int, len(commits))
	for i, t := range commits {
		e, _, meta, err := c.changed(t.Identifier, t.Requirements, t.Updates)
		if err != nil {
			return err
		}
		metas[i], versions[i] = meta, e.version+1
	}
	for i, t := range commits {
		if _, err := c.store(t.Identifier, metas[i], versions[i]); err != nil {
			return err
		}
	}
	return nil
}

// CreateTable makes a table of its own uuid in an existing namespace.
func (c *Catalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	cfg := icebergcatalog.NewCreateTableCfg()
	for _, opt := range opts {
		opt(&cfg)
	}
	var t *table.Table
	err := c.faults.call(ctx, Create, func() (err error) {
		t, err = c.create(ident, schema, cfg)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Catalog) create(ident table.Identifier, schema *iceberg.Schema, cfg icebergcatalog.CreateTableCfg) (*table.Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := icebergcatalog.ValidateTableIdentifier(ident); err != nil {
		return nil, err
	}
	if _, ok := c.namespaces[key(ident[:len(ident)-1])]; !ok {
		return nil, fmt.Errorf("%w: %s", icebergcatalog.ErrNoSuchNamespace, strings.Join(ident[:len(ident)-1], "."))
	}
	if _, ok := c.tables[key(ident)]; ok {
		return nil, fmt.Errorf("%w: %s", icebergcatalog.ErrTableAlreadyExists, strings.Join(ident, "."))
	}
	location := cfg.Location
	if location == "" {
		location = Warehouse + "/" + strings.Join(ident, "/")
	}
	props := maps.Clone(cfg.Properties)
	if props == nil {
		props = iceberg.Properties{}
	}
	if _, ok := props[table.ParquetCompressionKey]; !ok {
		props[table.ParquetCompressionKey] = "uncompressed"
	}
	meta, err := table.NewMetadata(schema, cfg.PartitionSpec, cfg.SortOrder, location, props)
	if err != nil {
		return nil, err
	}
	at, err := c.store(ident, meta, 0)
	if err != nil {
		return nil, err
	}
	return c.table(ident, meta, at, c), nil
}

// DropTable forgets a table; its files stay.
func (c *Catalog) DropTable(ctx context.Context, ident table.Identifier) error {
	return c.faults.call(ctx, Drop, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.tables[key(ident)]; !ok {
			return fmt.Errorf("%w: %s", icebergcatalog.ErrNoSuchTable, strings.Join(ident, "."))
		}
		delete(c.tables, key(ident))
		return nil
	})
}

// CreateNamespace makes one namespace; its parent must exist.
func (c *Catalog) CreateNamespace(ctx context.Context, namespace table.Identifier, _ iceberg.Properties) error {
	return c.faults.call(ctx, CreateNamespace, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := icebergcatalog.ValidateNamespaceIdentifier(namespace); err != nil {
			return err
		}
		if _, ok := c.namespaces[key(namespace)]; ok {
			return fmt.Errorf("%w: %s", icebergcatalog.ErrNamespaceAlreadyExists, strings.Join(namespace, "."))
		}
		if parent := namespace[:len(namespace)-1]; len(parent) > 0 {
			if _, ok := c.namespaces[key(parent)]; !ok {
				return fmt.Errorf("%w: %s", icebergcatalog.ErrNoSuchNamespace, strings.Join(parent, "."))
			}
		}
		c.namespaces[key(namespace)] = slices.Clone(namespace)
		return nil
	})
}

// ListNamespaces gives the namespaces one level under parent, sorted.
func (c *Catalog) ListNamespaces(ctx context.Context, parent table.Identifier) ([]table.Identifier, error) {
	var found []table.Identifier
	err := c.faults.call(ctx, ListNamespaces, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.namespaces[key(parent)]; !ok && len(parent) > 0 {
			return fmt.Errorf("%w: %s", icebergcatalog.ErrNoSuchNamespace, strings.Join(parent, "."))
		}
		for _, ns := range c.namespaces {
			if len(ns) == len(parent)+1 && slices.Equal(ns[:len(parent)], parent) {
				found = append(found, slices.Clone(ns))
			}
		}
		return nil
	})
	slices.SortFunc(found, slices.Compare)
	return found, err
}

// Close does nothing.
func (c *Catalog) Close() error { return nil }
