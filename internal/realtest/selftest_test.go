//go:build real && unix

package realtest

import (
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

// selfTest tries the REST catalog and the S3 gateway with credentials that are right and
// wrong, and a bucket that is not there.
func (s *stack) selfTest(t *testing.T) {
	props := s.restCatalog("")
	cat, err := catalog.Open(t.Context(), "iceberg", props)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close() //nolint:errcheck // nothing is pending on it
	ident := table.Identifier{"selftest", "t"}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int64})
	if _, err := catalog.EnsureTable(t.Context(), cat, ident, schema, nil, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		props map[string]string
		want  string // in the error; "" if there is none
	}{
		{"right", nil, ""},
		{"wrong secret", map[string]string{"s3.secret-access-key": "x"}, "the secret does not fit the access key"},
		{"wrong key", map[string]string{"s3.access-key-id": "x"}, "access key"},
		{"nobody there", map[string]string{"s3.endpoint": "http://127.0.0.1:1"}, "nothing listens there"},
		{"no TLS", map[string]string{"s3.endpoint": strings.Replace(s.s3.Endpoint, "http:", "https:", 1)}, "does not speak TLS"},
		{"no catalog", map[string]string{"uri": s.s3.Endpoint}, "uri"},
	}
	for _, tt := range tests {
		r := catalog.SelfTest(t.Context(), catalog.Open, "iceberg", merged(props, tt.props), []table.Identifier{ident})
		t.Logf("%s:\n%s", tt.name, r)
		if err := r.Err(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if strings.Contains(r.String(), s.s3.Secret) {
			t.Errorf("%s: the report tells the secret", tt.name)
		}
	}
	r := catalog.SelfTest(t.Context(), catalog.Open, "iceberg", merged(s.s3.Properties(), map[string]string{
		"type": "jdbc", "uri": "jdbc:sqlite:" + t.TempDir() + "/catalog.db", "warehouse": "s3://no-such-bucket/wh",
	}), nil)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "the bucket does not exist") {
		t.Errorf("no bucket:\n%s", r)
	}
}
