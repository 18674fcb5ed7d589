package iceberg

import (
	"maps"
	"testing"
)

// TestHadoopKeysForS3 gives a connector of Java's, whose storage is told to Hadoop, the
// properties that it means.
func TestHadoopKeysForS3(t *testing.T) {
	const s3a, impl = "iceberg.hadoop.fs.s3a.", "org.apache.iceberg.hadoop.HadoopFileIO"
	with := func(pairs ...string) map[string]string {
		m := make(map[string]string)
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	tests := []struct {
		name      string
		raw, want map[string]string // want lacks what raw has under iceberg.catalog.
	}{
		{
			"a store with keys", with("iceberg.catalog.type", "rest", "iceberg.catalog.io-impl", impl, s3a+"endpoint", "minio:9000", s3a+"connection.ssl.enabled", "false", s3a+"path.style.access", "true",
				s3a+"access.key", "a", s3a+"secret.key", "b", s3a+"session.token", "c", s3a+"endpoint.region", "here"),
			with("s3.endpoint", "http://minio:9000", "s3.path-style-access", "true", "s3.access-key-id", "a", "s3.secret-access-key", "b", "s3.session-token", "c", "client.region", "here"),
		},
		{"TLS unless it is switched off", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "store"), with("s3.endpoint", "https://store")},
		{"an address", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "http://store:80", s3a+"connection.ssl.enabled", "true"), with("s3.endpoint", "http://store:80")},
		{"AWS itself", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "s3.amazonaws.com"), nil},
		{"a region of AWS", with("iceberg.catalog.type", "JDBC", s3a+"endpoint", "s3.eu-west-1.amazonaws.com"), with("client.region", "eu-west-1")},
		{"an old region of AWS", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "https://s3-eu-west-1.amazonaws.com/"), with("client.region", "eu-west-1")},
		{"a region besides", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "s3.eu-west-1.amazonaws.com", s3a+"endpoint.region", "x"), with("client.region", "x")},
		{"a private way into AWS", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "vpce-1.s3.eu-west-1.vpce.amazonaws.com"), with("s3.endpoint", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com")},
		{"a host that begins like AWS", with("iceberg.catalog.type", "jdbc", s3a+"endpoint", "s3.example.com"), with("s3.endpoint", "https://s3.example.com")},
		{"encryption", with("iceberg.catalog.type", "jdbc", s3a+"encryption.algorithm", "SSE-KMS", s3a+"encryption.key", "k"), with("s3.sse.type", "kms", "s3.sse.key", "k")},
		{"encryption of old", with("iceberg.catalog.type", "jdbc", s3a+"server-side-encryption-algorithm", "AES256"), with("s3.sse.type", "s3")},
		{"encryption that is refused later", with("iceberg.catalog.type", "jdbc", s3a+"encryption.algorithm", "SSE-C"), with("s3.sse.type", "SSE-C")},
		{
			"what the catalog says counts", with("iceberg.catalog.type", "jdbc", "iceberg.catalog.s3.endpoint", "x", "iceberg.catalog.s3.access-key-id", "x", "iceberg.catalog.s3.secret-access-key", "y",
				s3a+"endpoint", "store", s3a+"access.key", "a", s3a+"secret.key", "b", s3a+"session.token", "c"), nil,
		},
		{"other keys of AWS count", with("iceberg.catalog.type", "jdbc", "iceberg.catalog.client.access-key-id", "x", "iceberg.catalog.client.secret-access-key", "y", s3a+"access.key", "a", s3a+"secret.key", "b"), nil},
		{"the class of a JDBC catalog", with("iceberg.catalog.catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog", s3a+"endpoint", "store"), with("s3.endpoint", "https://store")},
		{"not without HadoopFileIO", with("iceberg.catalog.type", "rest", s3a+"endpoint", "store"), nil},
		{"not with another", with("iceberg.catalog.type", "jdbc", "iceberg.catalog.io-impl", "org.apache.iceberg.aws.s3.S3FileIO", s3a+"endpoint", "store"), nil},
	}
	for _, tt := range tests {
		raw := with("name", "c", "topics", "t", "connector.class", ApacheClass, "iceberg.tables", "db.t")
		maps.Copy(raw, tt.raw)
		cfg, err := parseConfig(raw)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want := under(tt.raw, "iceberg.catalog.")
		maps.Copy(want, tt.want)
		if !maps.Equal(cfg.catalogProps, want) {
			t.Errorf("%s: got %v, want %v", tt.name, cfg.catalogProps, want)
		}
	}
}
