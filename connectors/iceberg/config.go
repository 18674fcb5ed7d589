package iceberg

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
)

// A config is the sink's configuration, checked.
type config struct {
	raw     map[string]string
	name    string // of the connector
	tabular bool   // connector.class is Tabular's

	branch      string            // default
	partitionBy []string          // default
	cdcField    string            // dotted path of the operation; "" for none
	upsert      bool              // every row replaces its key
	autoCreate  bool              //
	optional    bool              // schema-force-optional
	anyCase     bool              // schema-case-insensitive
	evolve      bool              //
	javaTypes   bool              // new columns get the types of Java's sink
	createProps map[string]string // of tables that are created
	writeProps  map[string]string // over the table's own
	drops       dropPolicy        // "" if not set

	catalogName  string
	catalogProps map[string]string
	kafkaProps   map[string]string // iceberg.kafka.*

	controlTopic string
	connectGroup string        // iceberg.connect.group-id
	controlGroup string        // iceberg.control.group-id
	cadences                   // when tables are committed
	timeout      time.Duration // of a flush
	threads      int
	failures     int // iceberg.control.commit.max-consecutive-failures
}

// parseConfig checks everything that can be checked without I/O and reports all of it.
func parseConfig(raw map[string]string) (*config, error) {
	v, err := configDef().Parse(raw)
	c := &config{
		raw:          raw,
		name:         raw["name"],
		tabular:      raw["connector.class"] == TabularClass,
		branch:       v["iceberg.tables.default-commit-branch"],
		partitionBy:  catalog.SplitPartitionBy(v[keyPartitionBy]),
		cdcField:     v[keyCDCField],
		upsert:       v.Bool(keyUpsert),
		autoCreate:   v.Bool("iceberg.tables.auto-create-enabled"),
		optional:     v.Bool("iceberg.tables.schema-force-optional"),
		anyCase:      v.Bool(keyAnyCase),
		evolve:       v.Bool("iceberg.tables.evolve-schema-enabled"),
		javaTypes:    v.Bool(keyJavaTypes),
		createProps:  under(raw, "iceberg.tables.auto-create-props."),
		writeProps:   under(raw, "iceberg.table.write-props."), // as Tabular's code and Apache 1.6 spell it
		drops:        dropPolicy(v[keyDropPolicy]),
		catalogName:  v[keyCatalog],
		catalogProps: under(raw, "iceberg.catalog."),
		kafkaProps:   under(raw, "iceberg.kafka."),
		controlTopic: v["iceberg.control.topic"],
		connectGroup: v[keyConnectGroup],
		controlGroup: v[keyControlGroup],
		timeout:      v.Millis("iceberg.control.commit.timeout-ms"),
		threads:      int(v.Int("iceberg.control.commit.threads")),
		failures:     int(v.Int("iceberg.control.commit.max-consecutive-failures")),
	}
	var wrong []error
	c.cadences, wrong = parseCadences(raw, commit.Cadence{Interval: v.Millis("iceberg.control.commit.interval-ms"), Bytes: v.Int(keyCommitBytes)})
	maps.Copy(c.writeProps, under(raw, "iceberg.tables.write-props."))
	hadoop, _ := translateS3A(raw, c.catalogProps)
	maps.Copy(c.catalogProps, hadoop)
	if c.branch == "" {
		c.branch = table.MainBranch
	}
	return c, errors.Join(slices.Concat(unjoin(err), wrong, c.check())...)
}

// check looks at what ConfigDef does not see.
func (c *config) check() []error {
	var errs []error
	blame := func(key, why string) { errs = append(errs, connect.ConfigError{Key: key, Message: why}) }
	if len(c.catalogProps) == 0 {
		blame(keyCatalogType, "Must specify Iceberg catalog properties (iceberg.catalog.type and those of that type)")
	}
	for _, key := range slices.Sorted(maps.Keys(c.raw)) {
		text := c.raw[key]
		ofTable := strings.HasPrefix(key, tablePrefix) && strings.HasSuffix(key, partitionBySuffix)
		if key != keyPartitionBy && !ofTable {
			continue
		}
		if err := catalog.CheckPartitionBy(catalog.SplitPartitionBy(text)); err != nil {
			blame(key, fmt.Sprintf("Invalid value %s for configuration %s: %v", text, key, err))
		}
	}
	if c.drops == dropDeadLetter && (!strings.EqualFold(strings.TrimSpace(c.raw["errors.tolerance"]), "all") || c.raw["errors.deadletterqueue.topic.name"] == "") {
		blame(keyDropPolicy, "Invalid value dead-letter for configuration "+keyDropPolicy+": it needs errors.tolerance=all and errors.deadletterqueue.topic.name")
	}
	return errs
}

// target is the branch of a table that commits go to.
func (c *config) target(name string) commit.Target {
	branch := strings.TrimSpace(c.raw[tablePrefix+name+commitBranchSuffix])
	if branch == "" {
		branch = c.branch
	}
	return commit.Target{Table: name, Branch: branch}
}

// partitions is the partition-by of a table that is to be created.
func (c *config) partitions(name string) []string {
	if text, ok := c.raw[tablePrefix+name+partitionBySuffix]; ok {
		return catalog.SplitPartitionBy(text)
	}
	return c.partitionBy
}

// idColumns are the columns that tell the rows of a table apart, in the order given; none
// leaves it to the table's identifier fields.
func (c *config) idColumns(name string) []string {
	return connect.Values(c.raw).List(c.idColumnsKey(name))
}

// idColumnsKey is the key that names a table's ID columns. Apache's sink from 1.11 on asks
// under the name without its namespace, all others, and all documentation, under the
// whole name.
func (c *config) idColumnsKey(name string) string {
	for _, n := range []string{name, name[strings.LastIndexByte(name, '.')+1:]} {
		if _, ok := c.raw[tablePrefix+n+idColumnsSuffix]; ok {
			return tablePrefix + n + idColumnsSuffix
		}
	}
	return keyIDColumns
}

// keyed tells whether rows replace or delete others, so that tables need ID columns.
func (c *config) keyed() bool { return c.upsert || c.cdcField != "" }

// checkKey looks whether the columns of a table hold the key that the config gives it, or,
// where rows replace others, any key.
func (c *config) checkKey(name string, schema *iceberg.Schema) error {
	if !c.keyed() && len(c.idColumns(name)) == 0 {
		return nil
	}
	_, err := c.keyOf(name, schema)
	return err
}

// identity is what the Java sink of the configured class goes by.
func (c *config) identity() commit.Identity {
	group := "connect-" + c.name
	switch {
	case c.tabular && c.controlGroup != "":
		group = c.controlGroup
	case c.tabular:
		group = "cg-control-" + c.name
	case c.connectGroup != "":
		group = c.connectGroup
	}
	return commit.JavaIdentity(c.controlTopic, group, c.tabular)
}

// Keys that a connector adds to each task's config, in Java too. Java's tasks make the
// transactional ids of their producers of the second, and without it all have the same.
const (
	taskIDKey        = "task.id"
	transactionalKey = "iceberg.coordinator.transactional.suffix"
)

// hash is the same for all tasks of one configuration, and another after any change.
func (c *config) hash() uint64 {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.raw)) {
		if k == taskIDKey || k == transactionalKey {
			continue
		}
		text.WriteString(strconv.Quote(k) + "=" + strconv.Quote(c.raw[k]) + "\n")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return binary.BigEndian.Uint64(sum[:])
}

// under returns what follows a prefix, with its values.
func under(raw map[string]string, prefix string) map[string]string {
	out := make(map[string]string)
	for k, v := range raw {
		if name, ok := strings.CutPrefix(k, prefix); ok && name != "" {
			out[name] = v
		}
	}
	return out
}
