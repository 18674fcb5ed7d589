package iceberg

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
)

// with is a config that is right, changed.
func with(changes ...string) map[string]string {
	config := map[string]string{"name": "orders", "connector.class": ApacheClass, "iceberg.tables": "db.t", "iceberg.catalog.type": "rest"}
	for i := 0; i < len(changes); i += 2 {
		config[changes[i]] = changes[i+1]
	}
	return config
}

// TestPropertyEffect holds, for the properties that end in a field of config, the value
// by default and one that was given.
func TestPropertyEffect(t *testing.T) {
	tests := []struct {
		key, value string
		get        func(c *config) any
		dflt, want any
	}{
		{"iceberg.tables.default-commit-branch", " audit ", func(c *config) any { return c.target("db.t") }, commit.Target{Table: "db.t", Branch: "main"}, commit.Target{Table: "db.t", Branch: "audit"}},
		{"iceberg.table.db.t.commit-branch", "audit", func(c *config) any { return c.target("db.t").Branch }, "main", "audit"},
		{"iceberg.table.t.commit-branch", "audit", func(c *config) any { return c.target("db.t").Branch }, "main", "main"},
		{"iceberg.tables.default-id-columns", "a, b.c,", func(c *config) any { return strings.Join(c.idColumns("db.t"), "|") }, "", "a|b.c"},
		{"iceberg.table.db.t.id-columns", "a", func(c *config) any { return strings.Join(c.idColumns("db.t"), "|") }, "", "a"},
		{"iceberg.table.t.id-columns", "a", func(c *config) any { return strings.Join(c.idColumns("db.t"), "|") }, "", "a"},
		{"iceberg.table.t.id-columns", "a", func(c *config) any { return strings.Join(c.idColumns("t"), "|") }, "", "a"},
		{"iceberg.tables.default-partition-by", "day(ts), bucket(id, 4)", func(c *config) any { return strings.Join(c.partitions("db.t"), "|") }, "", "day(ts)|bucket(id, 4)"},
		{"iceberg.table.db.t.partition-by", "region", func(c *config) any { return strings.Join(c.partitions("db.t"), "|") }, "", "region"},
		{"iceberg.tables.cdc-field", "_cdc.op", func(c *config) any { return c.cdcField }, "", "_cdc.op"},
		{"iceberg.tables.cdc-field", "_cdc.op", func(c *config) any { return c.keyed() }, false, true},
		{"iceberg.tables.upsert-mode-enabled", "TRUE", func(c *config) any { return c.keyed() && c.upsert }, false, true},
		{"iceberg.tables.auto-create-enabled", "true", func(c *config) any { return c.autoCreate }, false, true},
		{"iceberg.tables.evolve-schema-enabled", "true", func(c *config) any { return c.evolve }, false, true},
		{"iceberg.tables.schema-force-optional", "true", func(c *config) any { return c.optional }, false, true},
		{"iceberg.tables.schema-case-insensitive", "true", func(c *config) any { return c.anyCase }, false, true},
		{"iceberg.tables.auto-create-props.write.format.default", "avro", func(c *config) any { return c.createProps["write.format.default"] }, "", "avro"},
		{"iceberg.tables.write-props.x", "1", func(c *config) any { return c.writeProps["x"] }, "", "1"},
		{"iceberg.table.write-props.x", "1", func(c *config) any { return c.writeProps["x"] }, "", "1"},
		{"iceberg.catalog", "lake", func(c *config) any { return c.catalogName }, "iceberg", "lake"},
		{"iceberg.catalog.uri", "u", func(c *config) any { return c.catalogProps["uri"] }, "", "u"},
		{"iceberg.kafka.ssl.truststore.type", "PEM", func(c *config) any { return c.kafkaProps["ssl.truststore.type"] }, "", "PEM"},
		{"iceberg.control.topic", "ct", func(c *config) any { return c.controlTopic }, "control-iceberg", "ct"},
		{"iceberg.control.commit.interval-ms", "1500", func(c *config) any { return c.flush }, 5 * time.Minute, 1500 * time.Millisecond},
		{"iceberg.control.commit.timeout-ms", "1500", func(c *config) any { return c.timeout }, 30 * time.Second, 1500 * time.Millisecond},
		{"iceberg.tables.drop-policy", "fail", func(c *config) any { return c.drops }, dropPolicy(""), dropFail},
	}
	for _, tt := range tests {
		for _, given := range []bool{false, true} {
			raw, want := with(), tt.dflt
			if given {
				raw[tt.key], want = tt.value, tt.want
			}
			c, err := parseConfig(raw)
			if err != nil {
				t.Errorf("%v: %v", raw, err)
			} else if got := tt.get(c); got != want {
				t.Errorf("%s given %v: got %v, want %v", tt.key, given, got, want)
			}
		}
	}
}

// TestPrecedence holds which key wins where several say the same.
func TestPrecedence(t *testing.T) {
	c, err := parseConfig(with("iceberg.tables.default-id-columns", "d", "iceberg.table.t.id-columns", "bare", "iceberg.table.db.t.id-columns", "whole", "iceberg.table.write-props.x", "old", "iceberg.tables.write-props.x", "new"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"db.t": "whole", "other.t": "bare", "db.u": "d"} {
		if got := strings.Join(c.idColumns(name), ","); got != want {
			t.Errorf("id columns of %s: %s, want %s", name, got, want)
		}
	}
	if c.writeProps["x"] != "new" {
		t.Errorf("write property %s, want that under the newer spelling", c.writeProps["x"])
	}
}

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		raw  map[string]string
		want commit.Identity
	}{
		{with(), commit.Identity{Group: "connect-orders", OffsetsProperty: "kafka.connect.offsets.control-iceberg.connect-orders", ValidThroughKey: "kafka.connect.valid-through-ts"}},
		{
			with("connector.class", "IcebergSink", "iceberg.connect.group-id", "g", "iceberg.control.topic", "ct", "iceberg.control.group-id", "unused"),
			commit.Identity{Group: "g", OffsetsProperty: "kafka.connect.offsets.ct.g", ValidThroughKey: "kafka.connect.valid-through-ts"},
		},
		{with("connector.class", TabularClass, "iceberg.connect.group-id", "unused"), commit.Identity{Group: "cg-control-orders", OffsetsProperty: "kafka.connect.offsets.control-iceberg.cg-control-orders", ValidThroughKey: "kafka.connect.vtts", Tabular: true}},
		{with("connector.class", TabularClass, "iceberg.control.group-id", "g"), commit.Identity{Group: "g", OffsetsProperty: "kafka.connect.offsets.control-iceberg.g", ValidThroughKey: "kafka.connect.vtts", Tabular: true}},
	} {
		c, err := parseConfig(tt.raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.identity(); got != tt.want {
			t.Errorf("got %+v, want %+v", got, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		raw    map[string]string
		key    string // blamed, "" for none
		reason string
	}{
		{"nothing wrong", with(), "", ""},
		{"no tables", with("iceberg.tables", ""), "iceberg.tables", "list the tables, or set iceberg.tables.dynamic-enabled=true"},
		{"both", with("iceberg.tables.dynamic-enabled", "true", "iceberg.tables.route-field", "f"), "iceberg.tables", "not both"},
		{"no catalog", map[string]string{"iceberg.tables": "db.t"}, "iceberg.catalog.type", "Must specify Iceberg catalog properties"},
		{"partition text", with("iceberg.table.db.t.partition-by", "days(ts"), "iceberg.table.db.t.partition-by", "no closing parenthesis"},
		{"default partition text", with("iceberg.tables.default-partition-by", "a, bucket(16, id)"), "iceberg.tables.default-partition-by", `"id" is no positive number`},
		{"pattern", with("iceberg.tables.route-field", "f", "iceberg.table.db.t.route-regex", "("), "iceberg.table.db.t.route-regex", "missing closing"},
		{"dead-letter without a queue", with("iceberg.tables.drop-policy", "dead-letter", "errors.tolerance", "all"), "iceberg.tables.drop-policy", "errors.deadletterqueue.topic.name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []connect.ConfigError
			got = append(got, answering().Validate(t.Context(), tt.raw)...)
			if tt.key == "" {
				if len(got) > 0 {
					t.Errorf("errors %v, want none", got)
				}
				return
			}
			if len(got) != 1 || got[0].Key != tt.key || !strings.Contains(got[0].Message, tt.reason) {
				t.Errorf("errors %+v, want one for %s with %q", got, tt.key, tt.reason)
			}
		})
	}
}

// TestOneByOne sees that what ConfigDef blames by itself is in the definition's errors
// and not in the connector's, and that Start says it.
func TestOneByOne(t *testing.T) {
	for key, value := range map[string]string{
		"iceberg.control.commit.interval-ms": "0", "iceberg.control.commit.timeout-ms": "soon", "iceberg.control.commit.threads": "0",
		"iceberg.control.commit.max-consecutive-failures": "0", "iceberg.coordinator-executor-keep-alive-timeout-ms": "x",
		"iceberg.tables.drop-policy": "ignore", "iceberg.tables.route-by": "key", "iceberg.tables.dynamic-enabled": "yes",
		"iceberg.tables.upsert-mode-enabled": "on", "iceberg.tables.preserve-case": "on",
	} {
		raw := with(key, value)
		if got := answering().Validate(t.Context(), raw); len(got) > 0 {
			t.Errorf("%s=%s: Validate says %v again", key, value, got)
		}
		var blamed []string
		given := make(map[string]*string)
		for k, v := range raw {
			given[k] = &v
		}
		for _, info := range configDef().Validate(given) {
			if len(info.Value.Errors) > 0 {
				blamed = append(blamed, info.Value.Name)
			}
		}
		if !slices.Equal(blamed, []string{key}) {
			t.Errorf("%s=%s: ConfigDef blames %v", key, value, blamed)
		}
		err := answering().Start(t.Context(), raw)
		if e, ok := errors.AsType[connect.ConfigError](err); !ok || e.Key != key {
			t.Errorf("%s=%s: Start: %v", key, value, err)
		}
	}
}

func TestHash(t *testing.T) {
	raw := with("task.id", "0")
	a, err := parseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	other := maps.Clone(raw)
	other["task.id"], other["iceberg.coordinator.transactional.suffix"] = "1", "-txn-1"
	b, _ := parseConfig(other)
	other = maps.Clone(raw)
	other["iceberg.tables"] = "db.u"
	c, _ := parseConfig(other)
	if a.hash() != b.hash() || a.hash() == c.hash() {
		t.Errorf("hashes %d, %d, %d: want the first two alike", a.hash(), b.hash(), c.hash())
	}
}

// Java's tasks fence each other if two have the same transactional id.
func TestTaskConfigs(t *testing.T) {
	c := &Connector{config: with("name", "orders")}
	configs, err := c.TaskConfigs(2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := configs[0]["iceberg.coordinator.transactional.suffix"], configs[1]["iceberg.coordinator.transactional.suffix"]
	if !strings.HasPrefix(a, "-txn-") || a == b || configs[1]["task.id"] != "1" {
		t.Errorf("suffixes %q and %q of task configs %v", a, b, configs)
	}
	again, err := c.TaskConfigs(2)
	if err != nil || !maps.Equal(again[0], configs[0]) {
		t.Errorf("the same config gives other task configs: %v, %v", again, err)
	}
}
