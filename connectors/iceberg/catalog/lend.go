package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// own gives a table loaded from a REST catalog its storage. Credentials that the
// catalog lends are kept in one lease per table, which every load refreshes; when
// none comes in time, the lease loads the table itself.
func (c *restCatalog) own(ctx context.Context, t *table.Table) (*table.Table, error) {
	props, err := c.storageProperties(ctx, t)
	if err != nil {
		return nil, err
	}
	location := t.MetadataLocation()
	if !storage.Lent(props, c.props) {
		return own(c, t, func(ctx context.Context) (storage.FileIO, error) { return storage.Open(ctx, props, location) }), nil
	}
	lease := c.lease(t.Identifier())
	lease.Update(props)
	return own(c, t, func(ctx context.Context) (storage.FileIO, error) { return lease.FileIO(ctx, location) }), nil
}

// lease returns the one of a table.
func (c *restCatalog) lease(ident table.Identifier) *storage.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := strings.Join(ident, "\x1f")
	l, ok := c.leases[name]
	if !ok {
		l = storage.NewLease(func(ctx context.Context) (map[string]string, error) { return c.lend(ctx, ident) })
		c.leases[name] = l
	}
	return l
}

// lend asks for the credentials of a table again, by loading it: every server that
// lends them answers with fresh ones, while few have the endpoint for credentials
// alone.
func (c *restCatalog) lend(ctx context.Context, ident table.Identifier) (map[string]string, error) {
	t, err := c.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, fmt.Errorf("load table %s for its credentials: %w", strings.Join(ident, "."), err)
	}
	props, err := c.storageProperties(ctx, t)
	if err == nil && !storage.Lent(props, c.props) {
		err = errors.New("the catalog lends no credentials any more")
	}
	return props, err
}

// storageProperties is what the catalog says about the storage of a table: its own
// properties and what the server sent with this table. iceberg-go lays the table's
// properties between the two; they are taken out again (see package storage). Where
// the table says the same as the server sent with it, the two cannot be told apart,
// and the catalog's own properties decide.
func (c *restCatalog) storageProperties(ctx context.Context, t *table.Table) (map[string]string, error) {
	props, err := storage.Properties(ctx, t.FS)
	if err != nil {
		return nil, fmt.Errorf("storage of table %s: %w", strings.Join(t.Identifier(), "."), err)
	}
	for key, v := range t.Properties() {
		if props[key] != v || c.props[key] == v {
			continue
		}
		if v, ok := c.props[key]; ok {
			props[key] = v
		} else {
			delete(props, key)
		}
	}
	c.ignored.tell(ctx, t, props)
	if props["s3.access-key-id"] != c.props["s3.access-key-id"] && props["s3.session-token"] == c.props["s3.session-token"] {
		delete(props, "s3.session-token") // of another key
	}
	return props, nil
}

// An ignored says once of each table which of its properties have no effect.
type ignored struct{ told sync.Map }

// tell compares the table's properties with those that its storage is made from.
func (i *ignored) tell(ctx context.Context, t *table.Table, props map[string]string) {
	var keys []string
	for key, v := range t.Properties() {
		if storage.Decides(key) && props[key] != v {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	name := strings.Join(t.Identifier(), ".")
	if _, told := i.told.LoadOrStore(name, true); !told {
		slices.Sort(keys)
		slog.WarnContext(ctx, "properties of the table that name its storage are ignored: only the catalog says where files go and as whom", "table", name, "properties", keys)
	}
}
