package iceberg

import (
	"maps"
	"slices"
	"strings"
)

// s3aPrefix begins the keys of Hadoop's file system for S3. Java's sink hands all keys
// under iceberg.hadoop. to Hadoop's file systems, which HadoopFileIO alone uses.
const s3aPrefix = "iceberg.hadoop.fs.s3a."

// s3aKeys are the keys that have a namesake among the properties of S3FileIO.
// (Source: Hadoop 3.4, "Connecting to an Amazon S3 Bucket through the S3A Connector".)
var s3aKeys = map[string]string{
	"access.key":                       "s3.access-key-id",
	"secret.key":                       "s3.secret-access-key",
	"session.token":                    "s3.session-token",
	"endpoint":                         "s3.endpoint",
	"endpoint.region":                  "client.region",
	"path.style.access":                "s3.path-style-access",
	"encryption.algorithm":             "s3.sse.type",
	"server-side-encryption-algorithm": "s3.sse.type", // its name before Hadoop 3.3.2
	"encryption.key":                   "s3.sse.key",
	"server-side-encryption.key":       "s3.sse.key",
}

// s3aCredentials belong together: those of two sources must not be mixed.
var s3aCredentials = []string{"s3.access-key-id", "s3.secret-access-key", "s3.session-token"}

// s3aNoTLS says, with the value false, that an endpoint without a scheme is plain HTTP.
const s3aNoTLS = "connection.ssl.enabled"

// usesHadoop tells whether Java would read and write through HadoopFileIO, whose S3 keys
// therefore count: by io-impl, or because JDBC catalogs have no other without it.
func usesHadoop(catalogProps map[string]string) bool {
	if impl := strings.TrimSpace(catalogProps["io-impl"]); impl != "" {
		return impl == "org.apache.iceberg.hadoop.HadoopFileIO"
	}
	return strings.EqualFold(strings.TrimSpace(catalogProps["type"]), "jdbc") || catalogProps["catalog-impl"] == "org.apache.iceberg.jdbc.JdbcCatalog"
}

// translateS3A gives Hadoop's keys for S3 as the properties of S3FileIO that stand for them
// here, where the catalog's own do not say it already, and tells under which key of the config
// each was.
func translateS3A(raw, catalogProps map[string]string) (props, from map[string]string) {
	props, from = make(map[string]string), make(map[string]string)
	if !usesHadoop(catalogProps) {
		return props, from
	}
	ownCredentials := slices.ContainsFunc(slices.Concat(s3aCredentials, []string{"client.access-key-id"}), func(k string) bool { return catalogProps[k] != "" })
	for _, key := range slices.Sorted(maps.Keys(s3aKeys)) {
		name, value := s3aKeys[key], strings.TrimSpace(raw[s3aPrefix+key])
		if value == "" || catalogProps[name] != "" || props[name] != "" || ownCredentials && slices.Contains(s3aCredentials, name) {
			continue
		}
		switch name {
		case "s3.endpoint":
			region, address := s3aEndpoint(value, raw[s3aPrefix+s3aNoTLS])
			if value = address; region != "" && raw[s3aPrefix+"endpoint.region"] == "" && catalogProps["client.region"] == "" {
				props["client.region"] = region
			}
		case "s3.sse.type":
			value = s3aEncryption(value)
		}
		if from[name] = s3aPrefix + key; value != "" {
			props[name] = value
		}
	}
	return props, from
}

// s3aEndpoint makes an address of a host, or of AWS's own hosts a region: those are found
// without an address.
func s3aEndpoint(value, tls string) (region, address string) {
	host, aws := strings.CutSuffix(strings.TrimSuffix(strings.TrimPrefix(value, "https://"), "/"), ".amazonaws.com")
	if host == "s3" && aws {
		return "", ""
	}
	for _, before := range []string{"s3.", "s3-"} {
		if name, ok := strings.CutPrefix(host, before); ok && aws && !strings.Contains(name, ".") {
			return name, ""
		}
	}
	switch {
	case strings.Contains(value, "://"):
		return "", value
	case strings.EqualFold(strings.TrimSpace(tls), "false"):
		return "", "http://" + value
	}
	return "", "https://" + value
}

// s3aEncryption is S3FileIO's word for an encryption; what it does not know stays, and is
// refused with the rest of the properties.
func s3aEncryption(value string) string {
	switch strings.ToUpper(value) {
	case "AES256", "SSE-S3":
		return "s3"
	case "SSE-KMS":
		return "kms"
	case "DSSE-KMS":
		return "dsse-kms"
	}
	return value
}

// hadoop is for the keys that Java hands to Hadoop.
func (w *warner) hadoop(key string) {
	const none = "there is no Hadoop in this build"
	rest, s3a := strings.CutPrefix(key, s3aPrefix)
	catalogProps := under(w.raw, "iceberg.catalog.")
	_, from := translateS3A(w.raw, catalogProps)
	name := s3aKeys[rest]
	switch {
	case !s3a || name == "" && rest != s3aNoTLS:
		w.say(key, "has no effect: "+none+"; put the setting under iceberg.catalog.")
	case rest == s3aNoTLS && from["s3.endpoint"] != "":
	case rest == s3aNoTLS:
		w.say(key, "has no effect: "+none+"; begin iceberg.catalog.s3.endpoint with http:// or https://")
	case from[name] == key:
		w.say(key, "is taken for iceberg.catalog."+name+": "+none)
	case !usesHadoop(catalogProps):
		w.say(key, "has no effect, as in Java without HadoopFileIO; write iceberg.catalog."+name)
	default:
		w.say(key, "has no effect: iceberg.catalog."+name+", or what belongs to it, is there already")
	}
}
