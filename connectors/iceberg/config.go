package iceberg

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
)

// configDef declares the keys of org.apache.iceberg.connect.IcebergSinkConnector 1.12,
// in its order and with its words.
func configDef() *connect.ConfigDef {
	key := func(name string, t connect.ConfigType, dflt *string, imp connect.Importance, doc string) connect.ConfigKey {
		return connect.ConfigKey{Name: name, Type: t, Default: dflt, Importance: imp, Doc: doc, Order: -1}
	}
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		key("iceberg.tables", connect.TypeList, nil, connect.High, "Comma-delimited list of destination tables"),
		key("iceberg.tables.dynamic-enabled", connect.TypeBoolean, new("false"), connect.Medium, "Enable dynamic routing to tables based on a record value"),
		key("iceberg.tables.route-field", connect.TypeString, nil, connect.Medium, "Source record field for routing records to tables"),
		key("iceberg.tables.default-commit-branch", connect.TypeString, nil, connect.Medium, "Default branch for commits"),
		key("iceberg.tables.default-id-columns", connect.TypeString, nil, connect.Medium, "Default ID columns for tables, comma-separated"),
		key("iceberg.tables.default-partition-by", connect.TypeString, nil, connect.Medium, "Default partition spec to use when creating tables, comma-separated"),
		key("iceberg.tables.auto-create-enabled", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to automatically create destination tables, false otherwise"),
		key("iceberg.tables.schema-force-optional", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to set columns as optional during table create and evolution, false to respect schema"),
		key("iceberg.tables.schema-case-insensitive", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to look up table columns by case-insensitive name, false for case-sensitive"),
		key("iceberg.tables.evolve-schema-enabled", connect.TypeBoolean, new("false"), connect.Medium, "Set to true to add any missing record fields to the table schema, false otherwise"),
		key("iceberg.catalog", connect.TypeString, new("iceberg"), connect.Medium, "Iceberg catalog name"),
		key("iceberg.control.topic", connect.TypeString, new("control-iceberg"), connect.Medium, "Name of the control topic"),
		key("iceberg.control.group-id-prefix", connect.TypeString, new("cg-control-"), connect.Low, "Prefix of the control consumer group"),
		key("iceberg.connect.group-id", connect.TypeString, nil, connect.Low, "Name of the Connect consumer group, should not be set under normal conditions"),
		key("iceberg.control.commit.interval-ms", connect.TypeInt, new("300000"), connect.Medium, "Coordinator interval for performing Iceberg table commits, in millis"),
		key("iceberg.control.commit.timeout-ms", connect.TypeInt, new("30000"), connect.Medium, "Coordinator time to wait for worker responses before committing, in millis"),
		key("iceberg.control.commit.threads", connect.TypeInt, new(strconv.Itoa(2*runtime.NumCPU())), connect.Medium, "Coordinator threads to use for table commits, default is (cores * 2)"),
		key("iceberg.coordinator.transactional.prefix", connect.TypeString, nil, connect.Low, "Optional prefix of the transactional id for the coordinator"),
		key("iceberg.hadoop-conf-dir", connect.TypeString, nil, connect.Medium, "If specified, Hadoop config files in this directory will be loaded"),
		key("iceberg.coordinator-executor-keep-alive-timeout-ms", connect.TypeLong, new("120000"), connect.Low, "config to control coordinator executor keep alive time"),
		key("iceberg.control.commit.max-consecutive-failures", connect.TypeInt, new("1"), connect.Medium, "Maximum number of consecutive commit failures before the coordinator terminates"),
	}}
}

// A config is the sink's configuration, checked.
type config struct {
	raw         map[string]string
	branch      string   // default
	partitionBy []string // default
	autoCreate  bool
	optional    bool // schema-force-optional
	anyCase     bool // schema-case-insensitive
	evolve      bool
	createProps map[string]string
	writeProps  map[string]string

	catalogName  string
	catalogProps map[string]string
	kafkaProps   map[string]string // iceberg.kafka.*

	controlTopic      string
	interval, timeout time.Duration
	threads           int
}

// parseConfig checks everything that can be checked without I/O and reports all of it.
func parseConfig(raw map[string]string) (*config, error) {
	p := parser{raw: raw}
	c := &config{
		raw:          raw,
		branch:       p.text("iceberg.tables.default-commit-branch", table.MainBranch),
		autoCreate:   p.flag("iceberg.tables.auto-create-enabled"),
		optional:     p.flag("iceberg.tables.schema-force-optional"),
		anyCase:      p.flag("iceberg.tables.schema-case-insensitive"),
		evolve:       p.flag("iceberg.tables.evolve-schema-enabled"),
		partitionBy:  catalog.SplitPartitionBy(raw["iceberg.tables.default-partition-by"]),
		createProps:  p.prefix("iceberg.tables.auto-create-props."),
		writeProps:   p.prefix("iceberg.table.write-props."), // spelling of Tabular's code and Apache 1.6
		catalogName:  p.text("iceberg.catalog", "iceberg"),
		catalogProps: p.prefix("iceberg.catalog."),
		kafkaProps:   p.prefix("iceberg.kafka."),
		controlTopic: p.text("iceberg.control.topic", "control-iceberg"),
		interval:     p.millis("iceberg.control.commit.interval-ms", 300_000),
		timeout:      p.millis("iceberg.control.commit.timeout-ms", 30_000),
		threads:      p.number("iceberg.control.commit.threads", 2*runtime.NumCPU()),
	}
	maps.Copy(c.writeProps, p.prefix("iceberg.tables.write-props."))
	if len(c.catalogProps) == 0 {
		p.fail("iceberg.catalog.type", "Must specify Iceberg catalog properties (iceberg.catalog.type and those of that type)")
	}
	return c, errors.Join(p.errs...)
}

// target is the branch of a table that commits go to.
func (c *config) target(name string) commit.Target {
	branch := c.raw["iceberg.table."+name+".commit-branch"]
	if branch == "" {
		branch = c.branch
	}
	return commit.Target{Table: name, Branch: branch}
}

// partitions is the partition-by of a table that is to be created.
func (c *config) partitions(name string) []string {
	if text, ok := c.raw["iceberg.table."+name+".partition-by"]; ok {
		return catalog.SplitPartitionBy(text)
	}
	return c.partitionBy
}

// hash is the same for all tasks of one configuration, and another after any change.
func (c *config) hash() uint64 {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(c.raw)) {
		if k == "task.id" {
			continue
		}
		text.WriteString(strconv.Quote(k) + "=" + strconv.Quote(c.raw[k]) + "\n")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return binary.BigEndian.Uint64(sum[:])
}

// A parser reads typed values and collects what is wrong.
type parser struct {
	raw  map[string]string
	errs []error
}

func (p *parser) fail(key, msg string) {
	p.errs = append(p.errs, connect.ConfigError{Key: key, Message: msg})
}

func (p *parser) text(key, dflt string) string {
	if v := strings.TrimSpace(p.raw[key]); v != "" {
		return v
	}
	return dflt
}

func (p *parser) flag(key string) bool {
	return strings.EqualFold(strings.TrimSpace(p.raw[key]), "true")
}

func (p *parser) number(key string, dflt int) int {
	v := strings.TrimSpace(p.raw[key])
	if v == "" {
		return dflt
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		p.fail(key, fmt.Sprintf("Invalid value %s for configuration %s: Value must be a number of at least 1", v, key))
		return dflt
	}
	return n
}

func (p *parser) millis(key string, dflt int) time.Duration {
	return time.Duration(p.number(key, dflt)) * time.Millisecond
}

func (p *parser) prefix(prefix string) map[string]string {
	out := make(map[string]string)
	for k, v := range p.raw {
		if name, ok := strings.CutPrefix(k, prefix); ok && name != "" {
			out[name] = v
		}
	}
	return out
}
