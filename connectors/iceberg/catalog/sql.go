package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// sqlCatalog is iceberg-go's SQL catalog, whose tables (iceberg_tables,
// iceberg_namespace_properties) are those of Java's JdbcCatalog. It gives all
// conflicts one face: see CommitTable.
type sqlCatalog struct {
	*sqlcatalog.Catalog
	db      *sql.DB
	props   map[string]string // of the storage
	ignored ignored
}

var _ Catalog = (*sqlCatalog)(nil)

// maxConns bounds the connections to the database: what one task's commits and
// loads need, times a few.
const maxConns = 8

// openSQL takes Java's keys: uri, warehouse, jdbc.user, jdbc.password,
// jdbc.schema-version, jdbc.init-catalog-tables.
func openSQL(ctx context.Context, name string, props map[string]string) (Catalog, error) {
	target, err := parseSQL(props)
	if err != nil {
		return nil, err
	}
	if props["warehouse"] == "" {
		return nil, errors.New("warehouse is not set: write the location under which tables are created, for example s3://bucket/warehouse")
	}
	if props["warehouse"], err = absolute(props["warehouse"]); err != nil {
		return nil, err
	}
	if v, ok := props["jdbc.init-catalog-tables"]; ok {
		props["init_catalog_tables"] = v
	}
	db, err := sql.Open(target.driver, target.dsn)
	if err != nil {
		return nil, fmt.Errorf("open SQL catalog %s: %w", target.shown, err)
	}
	db.SetMaxOpenConns(maxConns)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open SQL catalog %s: %w", target.shown, err), db.Close())
	}
	for _, key := range []string{"uri", "jdbc.user", "jdbc.password"} {
		delete(props, key) // what is left goes to the tables' storage
	}
	cat, err := newSQL(name, db, target.dialect, props)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open SQL catalog %s: %w", target.shown, err), db.Close())
	}
	return &sqlCatalog{Catalog: cat, db: db, props: props}, nil
}

// newSQL makes the catalog's tables if they are missing. Tasks that start together
// on an empty database do so at one time, and PostgreSQL's IF NOT EXISTS fails for
// all but one of them; the next try finds the tables.
func newSQL(name string, db *sql.DB, dialect sqlcatalog.SupportedDialect, props map[string]string) (cat *sqlcatalog.Catalog, err error) {
	const tries = 5 // two tables and a column can be met
	for range tries {
		cat, err = sqlcatalog.NewCatalog(name, db, dialect, iceberg.Properties(props))
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || !madeByAnother[e.Code] {
			break
		}
	}
	return cat, err
}

// madeByAnother are PostgreSQL's codes for a thing that came to be while we made it.
var madeByAnother = map[string]bool{
	pgerrUniqueViolation: true, pgerrDuplicateTable: true, pgerrDuplicateColumn: true, pgerrDuplicateObject: true,
}

const (
	pgerrUniqueViolation = "23505" // in the system's own tables
	pgerrDuplicateTable  = "42P07"
	pgerrDuplicateColumn = "42701"
	pgerrDuplicateObject = "42710"
)

// absolute makes a plain path independent of the working directory, since it ends
// up in the metadata of tables.
func absolute(warehouse string) (string, error) {
	if strings.Contains(warehouse, ":") {
		return warehouse, nil
	}
	path, err := filepath.Abs(warehouse)
	if err != nil {
		return "", fmt.Errorf("warehouse %s: %w", warehouse, err)
	}
	return path, nil
}

// LoadTable loads a table that commits through c.
func (c *sqlCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Catalog.LoadTable(storage.Pin(ctx, c.props), ident)
	if err != nil {
		return nil, err
	}
	c.ignored.tell(ctx, t, c.props)
	return own(c, t, fixed(c.props, t)), nil
}

// CreateTable makes a table that commits through c.
func (c *sqlCatalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	t, err := c.Catalog.CreateTable(storage.Pin(ctx, c.props), ident, schema, opts...)
	if err != nil {
		return nil, err
	}
	return own(c, t, fixed(c.props, t)), nil
}

// CommitTable commits; a requirement that does not hold wraps table.ErrCommitFailed,
// as a moved row does and as a REST catalog's 409 does.
func (c *sqlCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return c.Catalog.CommitTable(storage.Pin(ctx, c.props), ident, refusingAll(reqs), updates)
}

// refusing marks a requirement's failure as a refusal of the commit. iceberg-go's
// SQL and Glue catalogs return what Validate says, without a sentinel of its own.
type refusing struct{ table.Requirement }

func refusingAll(reqs []table.Requirement) []table.Requirement {
	all := make([]table.Requirement, len(reqs))
	for i, r := range reqs {
		all[i] = refusing{r}
	}
	return all
}

func (r refusing) Validate(meta table.Metadata) error {
	if err := r.Requirement.Validate(meta); err != nil {
		return fmt.Errorf("%w: %w", table.ErrCommitFailed, err)
	}
	return nil
}

// Close closes the database.
func (c *sqlCatalog) Close() error { return errors.Join(c.Catalog.Close(), c.db.Close()) }
