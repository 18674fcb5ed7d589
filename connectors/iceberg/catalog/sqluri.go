package catalog

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
)

// A sqlTarget is what database/sql needs to reach a database.
type sqlTarget struct {
	driver, dsn string
	dialect     sqlcatalog.SupportedDialect
	shown       string // for messages: no user, no password
}

// parseSQL reads uri: SQLite as jdbc:sqlite:PATH, sqlite:///PATH, sqlite:PATH,
// file:PATH or an absolute path; PostgreSQL as postgres://, postgresql:// or
// jdbc:postgresql://, with jdbc.user and jdbc.password or user and password in the
// address.
func parseSQL(props map[string]string) (sqlTarget, error) {
	uri := strings.TrimSpace(props["uri"])
	rest := strings.TrimPrefix(uri, "jdbc:")
	scheme, _, _ := strings.Cut(rest, ":")
	scheme, _, _ = strings.Cut(scheme, "+") // PyIceberg writes postgresql+psycopg2://
	switch {
	case uri == "":
		return sqlTarget{}, errors.New("uri is not set: write jdbc:sqlite:/path/catalog.db or postgresql://host:5432/database")
	case strings.HasPrefix(rest, "/"):
		return sqliteTarget(rest)
	}
	switch strings.ToLower(scheme) {
	case "sqlite":
		return sqliteTarget(strings.TrimPrefix(strings.TrimPrefix(rest[len("sqlite"):], ":"), "file:"))
	case "file":
		return sqliteTarget(rest[len("file:"):])
	case "postgres", "postgresql":
		return postgresTarget(rest, props["jdbc.user"], props["jdbc.password"])
	}
	return sqlTarget{}, errors.New("uri names a database that is not in this build; it has SQLite (jdbc:sqlite:/path/catalog.db) and PostgreSQL (postgresql://host:5432/database)")
}

// sqliteTarget makes the data source of a SQLite file. A write transaction takes the
// lock at its start and waits for it: one that upgrades later would fail at once
// beside another writer, whatever the timeout.
func sqliteTarget(path string) (sqlTarget, error) {
	path, query, _ := strings.Cut(path, "?")
	if strings.HasPrefix(path, "///") { // file:///path and SQLAlchemy's sqlite:////path
		path = path[2:]
	}
	if path == "" || strings.Contains(path, ":memory:") || strings.Contains(query, "mode=memory") {
		return sqlTarget{}, errors.New("uri is a SQLite database in memory, which each connection would see anew: name a file, for example jdbc:sqlite:/path/catalog.db")
	}
	abs, err := filepath.Abs(filepath.FromSlash(path))
	if err != nil {
		return sqlTarget{}, fmt.Errorf("uri: SQLite path %s: %w", path, err)
	}
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(abs)}).String() +
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_txlock=immediate"
	return sqlTarget{driver: "sqlite", dsn: dsn, dialect: sqlcatalog.SQLite, shown: abs}, nil
}

// postgresTarget makes the data source of a PostgreSQL database. Parse errors of an
// address that may hold a password are not passed on.
func postgresTarget(address, user, password string) (sqlTarget, error) {
	_, rest, _ := strings.Cut(address, ":")
	u, err := url.Parse("postgres:" + rest)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return sqlTarget{}, errors.New("uri is no PostgreSQL address: write postgresql://host:5432/database")
	}
	query := u.Query()
	for key, value := range map[string]*string{"user": &user, "password": &password} {
		if v := query.Get(key); v != "" && *value == "" { // pgJDBC takes them as parameters
			*value = v
		}
		query.Del(key)
	}
	translateJDBC(query)
	u.RawQuery = query.Encode()
	if u.User != nil {
		if user == "" {
			user = u.User.Username()
		}
		if p, ok := u.User.Password(); ok && password == "" {
			password = p
		}
	}
	u.User = nil
	shown := "postgres://" + u.Host + u.Path
	switch {
	case user != "" && password != "":
		u.User = url.UserPassword(user, password)
	case user != "":
		u.User = url.User(user)
	}
	return sqlTarget{driver: "pgx", dsn: u.String(), dialect: sqlcatalog.Postgres, shown: shown}, nil
}

// translateJDBC turns the parameters of pgJDBC that matter for safety into libpq's,
// and drops its others: PostgreSQL would refuse them as unknown settings.
func translateJDBC(query url.Values) {
	if strings.EqualFold(query.Get("ssl"), "true") && query.Get("sslmode") == "" {
		query.Set("sslmode", "verify-full")
	}
	if schema := query.Get("currentSchema"); schema != "" {
		query.Set("search_path", schema)
	}
	for key := range query {
		switch key {
		case "sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "search_path", "application_name", "target_session_attrs":
		default:
			query.Del(key)
		}
	}
}
