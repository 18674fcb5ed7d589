package iceberg

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/route"
)

// Keys that the code asks for in more than one place.
const (
	keyPartitionBy     = "iceberg.tables.default-partition-by"
	keyIDColumns       = "iceberg.tables.default-id-columns"
	keyCDCField        = "iceberg.tables.cdc-field"
	keyAnyCase         = "iceberg.tables.schema-case-insensitive"
	keyUpsert          = "iceberg.tables.upsert-mode-enabled"
	keyJavaTypes       = "iceberg.tables.java-types-enabled"
	keyDropPolicy      = "iceberg.tables.drop-policy"
	keyCatalog         = "iceberg.catalog"
	keyCatalogType     = "iceberg.catalog.type"
	keyConnectGroup    = "iceberg.connect.group-id"
	keyControlGroup    = "iceberg.control.group-id"
	keyGroupPrefix     = "iceberg.control.group-id-prefix"
	keyTxnPrefix       = "iceberg.coordinator.transactional.prefix"
	keyKeepAlive       = "iceberg.coordinator-executor-keep-alive-timeout-ms"
	keyHadoopConf      = "iceberg.hadoop-conf-dir"
	tablePrefix        = "iceberg.table." // then NAME and one of tableSuffixes
	partitionBySuffix  = ".partition-by"
	idColumnsSuffix    = ".id-columns"
	commitBranchSuffix = ".commit-branch"

	keyCommitBytes       = "iceberg.control.commit.bytes"
	commitIntervalSuffix = ".commit-interval-ms"
	commitBytesSuffix    = ".commit-bytes"
)

// tableSuffixes end the keys of one table.
var tableSuffixes = []string{route.RegexSuffix, idColumnsSuffix, partitionBySuffix, commitBranchSuffix, commitIntervalSuffix, commitBytesSuffix}

// prefixes begin keys whose rest is passed on.
var prefixes = []string{
	"iceberg.catalog.", "iceberg.hadoop.", "iceberg.kafka.", "iceberg.tables.auto-create-props.",
	"iceberg.tables.write-props.", "iceberg.table.write-props.",
}

// configDef declares the keys of org.apache.iceberg.connect.IcebergSinkConnector 1.12,
// in its order and with its words; then those that only Tabular's sink has, then ours.
func configDef() *connect.ConfigDef {
	key := func(name string, t connect.ConfigType, dflt *string, imp connect.Importance, doc string) connect.ConfigKey {
		return connect.ConfigKey{Name: name, Type: t, Default: dflt, Importance: imp, Doc: doc, Order: -1}
	}
	def := &connect.ConfigDef{Keys: []connect.ConfigKey{
		key(route.KeyTables, connect.TypeList, nil, connect.High, "Comma-delimited list of destination tables"),
		key(route.KeyDynamic, connect.TypeBoolean, new("false"), connect.Medium, "Enable dynamic routing to tables based on a record value"),
		key(route.KeyRouteField, connect.TypeString, nil, connect.Medium, "Source record field for routing records to tables"),
		key("iceberg.tables.default-commit-branch", connect.TypeString, nil, connect.Medium, "Default branch for commits"),
		key(keyIDColumns, connect.TypeString, nil, connect.Medium, "Default ID columns for tables, comma-separated"),
		key(keyPartitionBy, connect.TypeString, nil, connect.Medium, "Default partition spec to use when creating tables, comma-separated"),
		key("iceberg.tables.auto-create-enabled", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to automatically create destination tables, false otherwise"),
		key("iceberg.tables.schema-force-optional", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to set columns as optional during table create and evolution, false to respect schema"),
		key(keyAnyCase, connect.TypeBoolean, new("false"), connect.Medium, "Set to true to look up table columns by case-insensitive name, false for case-sensitive"),
		key("iceberg.tables.evolve-schema-enabled", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to add any missing record fields to the table schema, false otherwise"),
		key(keyCatalog, connect.TypeString, new("iceberg"), connect.Medium, "Iceberg catalog name"),
		key("iceberg.control.topic", connect.TypeString, new("control-iceberg"), connect.Medium, "Name of the control topic"),
		key(keyGroupPrefix, connect.TypeString, new("cg-control-"), connect.Low, "Prefix of the control consumer group"),
		key(keyConnectGroup, connect.TypeString, nil, connect.Low, "Name of the Connect consumer group, should not be set under normal conditions"),
		key("iceberg.control.commit.interval-ms", connect.TypeInt, new("300000"), connect.Medium, "Coordinator interval for performing Iceberg table commits, in millis"),
		key("iceberg.control.commit.timeout-ms", connect.TypeInt, new("30000"), connect.Medium, "Coordinator time to wait for worker responses before committing, in millis"),
		key("iceberg.control.commit.threads", connect.TypeInt, new(strconv.Itoa(2*runtime.NumCPU())), connect.Medium, "Coordinator threads to use for table commits, default is (cores * 2)"),
		key(keyTxnPrefix, connect.TypeString, nil, connect.Low, "Optional prefix of the transactional id for the coordinator"),
		key(keyHadoopConf, connect.TypeString, nil, connect.Medium, "If specified, Hadoop config files in this directory will be loaded"),
		key(keyKeepAlive, connect.TypeLong, new("120000"), connect.Low, "config to control coordinator executor keep alive time"),
		key("iceberg.control.commit.max-consecutive-failures", connect.TypeInt, new("1"), connect.Medium, "Maximum number of consecutive commit failures before the coordinator terminates"),

		key(keyCDCField, connect.TypeString, nil, connect.Medium, "Dotted path of the field with the operation: one that begins with U updates, with D deletes, any other inserts"),
		key(keyUpsert, connect.TypeBoolean, new("false"), connect.Medium, "Set to true to make every row replace the row with the same ID columns"),
		key(keyControlGroup, connect.TypeString, nil, connect.Low, "Group under which Tabular's sink keeps its offsets, cg-control-NAME if not set; only for that connector class"),

		key(route.KeyMapping, connect.TypeList, nil, connect.Medium, "Comma-delimited list of topic:table. A table without a namespace stands for ${topic} in iceberg.tables"),
		key(route.KeyRouteBy, connect.TypeString, new(route.ByField), connect.Medium, "What the tables are chosen by: field (iceberg.tables.route-field), topic, or header (iceberg.tables.route-header)"),
		key(route.KeyRouteHeader, connect.TypeString, nil, connect.Medium, "Record header for routing records to tables, with iceberg.tables.route-by=header"),
		key(route.KeyNamespace, connect.TypeString, nil, connect.Medium, "Namespace of tables that are named without one"),
		key(route.KeyPreserveCase, connect.TypeBoolean, new("false"), connect.Low, "Set to true to keep the case of table names that come from records and topics, false to lower it"),
		key(keyJavaTypes, connect.TypeBoolean, new("false"), connect.Low, "Set to true to give new columns for times and UUIDs of Debezium and Avro the types that Java's sink gives them: numbers and texts"),
		key(keyDropPolicy, connect.TypeString, nil, connect.Medium, "What becomes of records without a table: skip, dead-letter (as errors.tolerance and errors.deadletterqueue.* say) or fail. Not set: records without a route are skipped, a table that does not exist fails the task"),
		key(keyCommitBytes, connect.TypeLong, new("0"), connect.Medium, "Commit a table before its interval is over when its new files have so many bytes; 0: they do not count"),
	}}
	for i := range def.Keys {
		k := &def.Keys[i]
		switch k.Name {
		case "iceberg.control.commit.interval-ms", "iceberg.control.commit.timeout-ms", "iceberg.control.commit.threads", "iceberg.control.commit.max-consecutive-failures":
			k.Check = atLeastOne
		case keyCommitBytes:
			k.Check = notNegative
		case route.KeyRouteBy:
			k.Check = oneOf(route.ByField, route.ByTopic, route.ByHeader)
		case keyDropPolicy:
			k.Check = oneOf(string(dropSkip), string(dropDeadLetter), string(dropFail))
		}
	}
	return def
}

func atLeastOne(value string) error {
	if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1 {
		return errors.New("Value must be at least 1") //nolint:staticcheck // Java's wording
	}
	return nil
}

func notNegative(value string) error {
	if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
		return errors.New("Value must be at least 0") //nolint:staticcheck // Java's wording
	}
	return nil
}

func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(values, value) {
			return nil
		}
		return errors.New("String must be one of: " + strings.Join(values, ", "))
	}
}
