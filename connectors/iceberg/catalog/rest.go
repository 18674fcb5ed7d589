package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"sync"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// restCatalog is iceberg-go's REST catalog on connections of our own.
type restCatalog struct {
	*rest.Catalog
	transport *restTransport
	props     map[string]string // the user's, with what the server says to all clients

	ignored ignored

	mu     sync.Mutex                // guards leases
	leases map[string]*storage.Lease // by table
}

var _ Catalog = (*restCatalog)(nil)

// LoadTable loads a table that commits through c.
func (c *restCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return c.own(ctx, t)
}

// CreateTable makes a table that commits through c.
func (c *restCatalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	t, err := c.Catalog.CreateTable(ctx, ident, schema, opts...)
	if err != nil {
		return nil, err
	}
	return c.own(ctx, t)
}

// Close releases the connections.
func (c *restCatalog) Close() error {
	err := c.Catalog.Close()
	c.transport.base.CloseIdleConnections()
	return err
}

// restOnly are the keys that end here. What is left goes to the tables' storage, and
// header.* to the client.
var restOnly = []string{
	"uri", "type", "catalog-impl", "io-impl", "warehouse", "prefix", "credential", "token", "scope", "audience", "resource",
	"oauth2-server-uri", "rest.tls.skip-verify", "rest.auth.basic.username", "rest.auth.basic.password", "rest.client.proxy.password",
}

// openREST takes Java's keys: uri, warehouse, prefix, credential, token, scope,
// audience, resource, oauth2-server-uri, header.*, rest.auth.type and what belongs to
// its kinds, rest.sigv4-enabled, rest.client.connection-timeout-ms, -socket-timeout-ms
// and -proxy.*; and ssl.* (see [storage.TLS]). All others go on to the tables'
// storage, under what the server answers.
func openREST(ctx context.Context, name string, props map[string]string) (Catalog, error) {
	uri := props["uri"]
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("uri is no http or https address: write the address of the REST catalog, for example https://catalog.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "": // would be told in every error message
		return nil, errors.New("uri holds a user or parameters: write them as credential, token or header.NAME")
	}
	transport, err := newRESTTransport(props)
	if err != nil {
		return nil, err
	}
	opts := []rest.Option{rest.WithCustomTransport(transport)}
	for key, opt := range map[string]func(string) rest.Option{"warehouse": rest.WithWarehouseLocation, "prefix": rest.WithPrefix} {
		if v := props[key]; v != "" {
			opts = append(opts, opt(v))
		}
	}
	auth, err := restAuth(ctx, props, transport)
	if err != nil {
		return nil, err
	}
	files := maps.Clone(props)
	for _, key := range restOnly {
		delete(files, key)
	}
	opts = append(append(opts, auth...), rest.WithAdditionalProps(iceberg.Properties(maps.Clone(files))))
	cat, err := rest.NewCatalog(ctx, name, uri, opts...)
	if err != nil {
		transport.base.CloseIdleConnections()
		return nil, fmt.Errorf("open REST catalog %s: %w", uri, err)
	}
	return &restCatalog{
		Catalog: cat, transport: transport, props: transport.server.merge(files),
		leases: map[string]*storage.Lease{},
	}, nil
}
