package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// SelfTestTimeout bounds a self-test; what has not answered by then has failed.
const SelfTestTimeout = 15 * time.Second

// SelfTest opens a catalog with open ([Open], or another's), loads the tables that are
// known by name, and tries the storage where rows will go: that of the first table
// that exists, else the warehouse of a catalog whose tables this process places
// itself. A table that does not exist is no failure here. Everything it makes it
// removes.
func SelfTest(ctx context.Context, open func(context.Context, string, map[string]string) (Catalog, error), name string, props map[string]string, tables []table.Identifier) storage.Report {
	ctx, cancel := context.WithTimeoutCause(ctx, SelfTestTimeout, fmt.Errorf("no answer within %v: %w", SelfTestTimeout, context.DeadlineExceeded))
	defer cancel()
	var r storage.Report
	var cat Catalog
	if !r.Try("open catalog "+name, true, advise, func() (err error) { cat, err = open(ctx, name, props); return err }) {
		return r
	}
	defer cat.Close() //nolint:errcheck // nothing is pending on it
	if !tryNamespaces(ctx, &r, cat) {
		return r
	}
	var first *table.Table
	for _, ident := range tables {
		r.Try("load table "+strings.Join(ident, "."), true, advise, func() error {
			t, err := cat.LoadTable(ctx, ident)
			if first == nil {
				first = t
			}
			if Missing(err) {
				return nil
			}
			return err
		})
	}
	if r.Err() == nil {
		r = append(r, tryStorage(ctx, cat, first, props)...)
	}
	return r
}

// tryNamespaces asks something of the catalog that needs a working connection. Not to
// be allowed to list is no failure.
func tryNamespaces(ctx context.Context, r *storage.Report, cat Catalog) bool {
	var refused error
	ok := r.Try("list namespaces", true, advise, func() error {
		_, err := cat.ListNamespaces(ctx, nil)
		if errors.Is(err, rest.ErrForbidden) || errors.Is(err, rest.ErrEndpointNotSupported) {
			refused = err
			return nil
		}
		return err
	})
	if refused != nil {
		(*r)[len(*r)-1] = storage.Step{Name: "list namespaces", Err: refused}
	}
	return ok
}

func tryStorage(ctx context.Context, cat Catalog, first *table.Table, props map[string]string) (r storage.Report) {
	var files storage.FileIO
	dir := props["warehouse"]
	opened := r.Try("open storage", true, advise, func() (err error) {
		if first != nil {
			dir = first.Location()
			files, err = storage.Of(ctx, first)
			return err
		}
		if _, remote := cat.(*restCatalog); remote || dir == "" {
			return nil // only the catalog knows where tables go, and under what credentials
		}
		if dir, err = absolute(dir); err != nil {
			return err
		}
		files, err = storage.Open(ctx, props, dir)
		return err
	})
	if !opened || files == nil {
		return r
	}
	return append(r, storage.SelfTest(ctx, files, dir)...)
}

// advise says what an operator can do about an error of a catalog.
func advise(err error) string {
	switch {
	case errors.Is(err, rest.ErrOAuthError), errors.Is(err, rest.ErrUnauthorized), errors.Is(err, rest.ErrAuthorizationExpired):
		return "check credential or token, scope and oauth2-server-uri"
	case errors.Is(err, rest.ErrForbidden):
		return "give this user the right to read and write the table"
	case errors.Is(err, rest.ErrBadRequest), errors.Is(err, icebergcatalog.ErrNoSuchNamespace):
		return "check warehouse and prefix"
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return postgresAdvice[e.Code]
	}
	if text := storage.Advice(err); text != "" {
		return text
	}
	if errors.Is(err, rest.ErrRESTError) {
		return "check that uri is the catalog's address, without /v1"
	}
	return ""
}

// postgresAdvice is by SQLSTATE. (Source: PostgreSQL, "Error Codes".)
var postgresAdvice = map[string]string{
	"28P01": "check jdbc.user and jdbc.password",
	"28000": "check jdbc.user and the server's pg_hba.conf",
	"3D000": "create the database, or correct uri",
	"42501": "allow jdbc.user to read and write the tables iceberg_tables and iceberg_namespace_properties",
}
