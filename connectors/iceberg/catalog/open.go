package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// An opener makes a catalog of one kind; props are complete and checked for what
// all kinds share.
type opener func(ctx context.Context, name string, props map[string]string) (Catalog, error)

// kinds is every catalog in this build, under the values of "type" and the class
// names of "catalog-impl".
var kinds = map[string]opener{
	"glue": openGlue,
	"jdbc": openSQL,
	"org.apache.iceberg.aws.glue.GlueCatalog": openGlue,
	"org.apache.iceberg.jdbc.JdbcCatalog":     openSQL,
	"org.apache.iceberg.rest.RESTCatalog":     openREST,
	"rest":                                    openREST,
	"sql":                                     openSQL,
}

// elsewhere is what Java has besides, and what to use in its place.
var elsewhere = map[string]string{
	"hadoop":    noHadoop,
	"hive":      noHive,
	"nessie":    noNessie,
	"bigquery":  noBigQuery,
	"dynamodb":  noDynamoDB,
	"snowflake": noSnowflake,
	"org.apache.iceberg.hadoop.HadoopCatalog":                  noHadoop,
	"org.apache.iceberg.hive.HiveCatalog":                      noHive,
	"org.apache.iceberg.nessie.NessieCatalog":                  noNessie,
	"org.apache.iceberg.gcp.bigquery.BigQueryMetastoreCatalog": noBigQuery,
	"org.apache.iceberg.aws.dynamodb.DynamoDbCatalog":          noDynamoDB,
	"org.apache.iceberg.snowflake.SnowflakeCatalog":            noSnowflake,
	"org.apache.iceberg.inmemory.InMemoryCatalog":              "its tables end with the process",
}

const (
	noHadoop    = "the head of its tables is a file name, which object stores do not let a writer replace on condition, so two writers could both commit and exactly-once cannot be promised; register the tables in a REST, SQL or Glue catalog"
	noHive      = "it needs the metastore's Thrift protocol and its locks; use a REST catalog in front of the metastore, or register the tables in a SQL or Glue catalog"
	noNessie    = "use Nessie's Iceberg REST endpoint: type=rest, uri=http://HOST:19120/iceberg/BRANCH"
	noBigQuery  = "use BigLake's Iceberg REST endpoint: type=rest, uri=https://biglake.googleapis.com/iceberg/v1/restcatalog, rest.auth.type=google, header.x-goog-user-project=PROJECT"
	noDynamoDB  = "register the tables in Glue or a SQL catalog"
	noSnowflake = "it is read-only; use Snowflake's Polaris (Open Catalog) by type=rest"
)

// fileIOs are the values of "io-impl" that this build stands in for. The location's
// scheme decides what is used, so the key only needs to be understood.
var fileIOs = map[string]bool{
	"":                                   true,
	"org.apache.iceberg.aws.s3.S3FileIO": true,
	"org.apache.iceberg.azure.adlsv2.ADLSFileIO": true,
	"org.apache.iceberg.gcp.gcs.GCSFileIO":       true,
	"org.apache.iceberg.hadoop.HadoopFileIO":     true, // local files and s3a, gs, abfs by their Hadoop names
	"org.apache.iceberg.io.ResolvingFileIO":      true,
}

// Open makes the catalog that props describe: Java's keys with the prefix
// "iceberg.catalog." taken off. The name is the catalog's own (iceberg.catalog,
// default "iceberg"); a SQL catalog stores it in every row.
//
// Errors name the key and the remedy, never a value that may be secret.
func Open(ctx context.Context, name string, props map[string]string) (Catalog, error) {
	open, err := kind(props)
	if err != nil {
		return nil, err
	}
	if impl := props["io-impl"]; !fileIOs[impl] {
		return nil, fmt.Errorf("io-impl %q is not in this build; it has %s", impl, strings.TrimPrefix(strings.Join(slices.Sorted(maps.Keys(fileIOs)), ", "), ", "))
	}
	storage.Register()
	if warehouse := props["warehouse"]; strings.Contains(warehouse, "://") {
		if _, err := storage.Open(ctx, props, warehouse); err != nil {
			return nil, fmt.Errorf("warehouse: %w", err)
		}
	}
	return open(ctx, name, maps.Clone(props))
}

// kind finds the opener that type or catalog-impl names.
func kind(props map[string]string) (opener, error) {
	typ, impl := strings.TrimSpace(props["type"]), strings.TrimSpace(props["catalog-impl"])
	known := strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
	switch {
	case typ != "" && impl != "":
		return nil, errors.New("type and catalog-impl are both set: keep one")
	case impl != "":
		if open, ok := kinds[impl]; ok && strings.Contains(impl, ".") {
			return open, nil
		}
		if instead, ok := elsewhere[impl]; ok && strings.Contains(impl, ".") {
			return nil, fmt.Errorf("catalog-impl %s is not supported: %s", impl, instead)
		}
		return nil, fmt.Errorf("catalog-impl %q is not in this build; it has %s", impl, known)
	case typ == "":
		return nil, fmt.Errorf("type is not set, and hive, Java's default, is not in this build; it has %s", known)
	}
	if open, ok := kinds[strings.ToLower(typ)]; ok {
		return open, nil
	}
	if instead, ok := elsewhere[strings.ToLower(typ)]; ok {
		return nil, fmt.Errorf("type %s is not supported: %s", typ, instead)
	}
	return nil, fmt.Errorf("type %q is not in this build; it has %s", typ, known)
}
