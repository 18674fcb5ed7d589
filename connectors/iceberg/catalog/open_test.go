package catalog

import (
	"strings"
	"testing"
)

const secret = "hunter2"

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name  string
		props map[string]string
		want  string
	}{
		{"nothing", nil, "type is not set"},
		{"unknown", map[string]string{"type": "x"}, `"x" is not in this build; it has`},
		{"hive", map[string]string{"type": "hive"}, "register the tables in a SQL or Glue catalog"},
		{"hadoop", map[string]string{"catalog-impl": "org.apache.iceberg.hadoop.HadoopCatalog"}, "exactly-once cannot be promised"},
		{"nessie", map[string]string{"catalog-impl": "org.apache.iceberg.nessie.NessieCatalog"}, "19120/iceberg/BRANCH"},
		{"both", map[string]string{"type": "rest", "catalog-impl": "x"}, "keep one"},
		{"other impl", map[string]string{"catalog-impl": "com.example.Mine"}, "org.apache.iceberg.rest.RESTCatalog"},
		{"impl is a type", map[string]string{"catalog-impl": "rest"}, "not in this build"},
		{"oss", map[string]string{"type": "sql", "io-impl": "org.apache.iceberg.aliyun.oss.OSSFileIO"}, "io-impl"},
		{"oss warehouse", map[string]string{"type": "sql", "uri": "/tmp/x", "warehouse": "oss://b/w"}, "no storage for oss://"},
		{"half a key", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.secret-access-key": secret}, "belong together"},
		{"lone token", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.session-token": secret}, "set all three"},
		{"endpoint", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.endpoint": "http://u:" + secret + "@h"}, "s3.endpoint"},
		{"signer", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.remote-signing-enabled": "true"}, "vend"},
		{"sse", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.sse.type": "custom", "s3.sse.key": secret}, "s3.sse.type"},
		{"part", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.multipart.size": "1024"}, "s3.multipart.size"},
		{"bool", map[string]string{"type": "sql", "warehouse": "s3://b/w", "s3.path-style-access": "maybe"}, "want true or false"},
		{"no uri", map[string]string{"type": "rest"}, "uri is no http"},
		{"uri without host", map[string]string{"type": "rest", "uri": "catalog"}, "uri is no http"},
		{"uri with user", map[string]string{"type": "rest", "uri": "http://u:" + secret + "@h"}, "credential, token or header"},
		{"uri with token", map[string]string{"type": "rest", "uri": "http://h/?token=" + secret}, "credential, token or header"},
		{"timeout", map[string]string{"type": "rest", "uri": "http://h", "rest.client.socket-timeout-ms": "0"}, "milliseconds"},
		{"auth type", map[string]string{"type": "rest", "uri": "http://h", "rest.auth.type": "kerberos", "token": secret}, "rest.auth.type"},
		{"refused", map[string]string{"type": "rest", "uri": "http://127.0.0.1:1/x", "credential": "id:" + secret}, "open REST catalog http://127.0.0.1:1/x"},
		{"no warehouse", map[string]string{"type": "sql", "uri": "/tmp/x"}, "warehouse is not set"},
		{"no sql uri", map[string]string{"type": "sql"}, "uri is not set"},
		{"mysql", map[string]string{"type": "jdbc", "uri": "jdbc:mysql://u:" + secret + "@h/d"}, "it has SQLite"},
		{"memory", map[string]string{"type": "jdbc", "uri": "jdbc:sqlite::memory:"}, "in memory"},
		{"postgres host", map[string]string{"type": "jdbc", "uri": "postgresql:db", "jdbc.password": secret}, "no PostgreSQL address"},
		{"postgres parse", map[string]string{"type": "jdbc", "uri": "postgresql://u:" + secret + "@h:port/db"}, "no PostgreSQL address"},
		{"postgres down", map[string]string{"type": "jdbc", "uri": "postgresql://u:" + secret + "@127.0.0.1:1/db", "warehouse": "/tmp/x"}, "open SQL catalog postgres://127.0.0.1:1/db"},
	}
	for _, tt := range tests {
		cat, err := Open(t.Context(), "iceberg", tt.props)
		if err == nil {
			t.Errorf("%s: opened %v", tt.name, cat)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error tells the secret: %v", tt.name, err)
		}
	}
}

func TestParseSQL(t *testing.T) {
	const pragmas = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_txlock=immediate"
	tests := []struct {
		uri, user, password string
		driver, dsn         string
	}{
		{"jdbc:sqlite:/a/b.db", "", "", "sqlite", "file:/a/b.db" + pragmas},
		{"jdbc:sqlite:file:/a/b.db?cache=shared", "", "", "sqlite", "file:/a/b.db" + pragmas},
		{"sqlite:////a/b.db", "", "", "sqlite", "file:/a/b.db" + pragmas},
		{"sqlite:///a/b.db", "", "", "sqlite", "file:/a/b.db" + pragmas},
		{"file:///a/b c.db", "", "", "sqlite", "file:/a/b%20c.db" + pragmas},
		{"/a/b#1.db", "", "", "sqlite", "file:/a/b%231.db" + pragmas},
		{"postgres://h/d", "", "", "pgx", "postgres://h/d"},
		{"jdbc:postgresql://h:1/d?user=u&password=p%40", "", "", "pgx", "postgres://u:p%40@h:1/d"},
		{"jdbc:postgresql://h:1/d?user=u&password=p&ssl=true&currentSchema=s&tcpKeepAlive=true", "x", "y", "pgx", "postgres://x:y@h:1/d?search_path=s&sslmode=verify-full"},
		{"postgresql+psycopg2://u:p@h/d", "", "", "pgx", "postgres://u:p@h/d"},
		{"postgresql://u:p@h/d", "v", "q", "pgx", "postgres://v:q@h/d"},
	}
	for _, tt := range tests {
		got, err := parseSQL(map[string]string{"uri": tt.uri, "jdbc.user": tt.user, "jdbc.password": tt.password})
		if err != nil || got.driver != tt.driver || got.dsn != tt.dsn {
			t.Errorf("%s: %s %s, %v, want %s %s", tt.uri, got.driver, got.dsn, err, tt.driver, tt.dsn)
		}
	}
}

func FuzzParseSQL(f *testing.F) {
	for _, s := range []string{"", "jdbc:", "jdbc:sqlite:", "sqlite", "file:", "postgres:", "postgresql://[::1", "jdbc:postgresql://h/d?x=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, uri string) {
		if got, err := parseSQL(map[string]string{"uri": uri}); err == nil && got.driver == "" {
			panic("no driver and no error for " + uri)
		}
	})
}
