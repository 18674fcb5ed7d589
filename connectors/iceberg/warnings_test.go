package iceberg

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestWarnings(t *testing.T) {
	tests := []struct {
		raw  map[string]string
		want string // "" for none
	}{
		{with(), ""},
		{with("iceberg.tables.auto-create-props.a", "1", "iceberg.tables.write-props.a", "1", "iceberg.table.write-props.a", "1", "iceberg.kafka.a", "1", "iceberg.coordinator.transactional.suffix", "-txn"), ""},
		{with("iceberg.table.t.id-columns", "a", "iceberg.table.db.t.partition-by", "a", "iceberg.table.db.t.commit-branch", "b"), ""},
		{with("consumer.override.x", "1", "topics", "t"), ""},
		{with("iceberg.table.auto-create-enabled", "true"), "iceberg.table.auto-create-enabled is not known and has no effect: did you mean iceberg.tables.auto-create-enabled?"},
		{with("iceberg.tables.auto-create-prop.a.b", "true"), "iceberg.tables.auto-create-prop.a.b is not known and has no effect: did you mean iceberg.tables.auto-create-props.a.b?"},
		{with("iceberg.catalogue.uri", "x"), "iceberg.catalogue.uri is not known and has no effect: did you mean iceberg.catalog.uri?"},
		{with("iceberg.table.db.t.id-column", "x"), "iceberg.table.db.t.id-column is not known and has no effect: did you mean iceberg.table.db.t.id-columns?"},
		{with("iceberg.something.else", "x"), "iceberg.something.else is not known and has no effect"},
		{with("iceberg.catalog.", "x"), "iceberg.catalog. is not known and has no effect: did you mean iceberg.catalog?"},
		{with("iceberg.table.db.tt.partition-by", "x"), "iceberg.table.db.tt.partition-by is about a table that no record goes to: did you mean iceberg.table.db.t.partition-by?"},
		{with("iceberg.table.t.partition-by", "x"), "iceberg.table.t.partition-by is about a table that no record goes to: did you mean iceberg.table.db.t.partition-by?"},
		{with("iceberg.tables", "db.${topic}", "iceberg.table.db.any.partition-by", "x"), ""},
		{with("iceberg.tables.route-field", "f"), "iceberg.tables lists tables, and a route value is to choose among them, but none has its iceberg.table.NAME.route-regex: no record will go anywhere"},
		{with("iceberg.tables.route-field", "f", "iceberg.table.db.t.route-regex", "x"), ""},
		{with("iceberg.control.group-id-prefix", "x"), "iceberg.control.group-id-prefix has no effect: the control topic is read without consumer groups"},
		{with("iceberg.coordinator.transactional.prefix", "x"), "iceberg.coordinator.transactional.prefix has no effect: the control topic is written without transactions"},
		{with("iceberg.coordinator-executor-keep-alive-timeout-ms", "1"), "iceberg.coordinator-executor-keep-alive-timeout-ms has no effect: there is no thread pool to keep alive"},
		{with("iceberg.hadoop-conf-dir", "/etc"), "iceberg.hadoop-conf-dir has no effect: there is no Hadoop in this build; put the settings under iceberg.catalog."},
		{with("iceberg.hadoop.fs.s3a.endpoint", "x"), "iceberg.hadoop.fs.s3a.endpoint has no effect, as in Java without HadoopFileIO; write iceberg.catalog.s3.endpoint"},
		{with("iceberg.hadoop.fs.gs.project.id", "x"), "iceberg.hadoop.fs.gs.project.id has no effect: there is no Hadoop in this build; put the setting under iceberg.catalog."},
		{with("iceberg.hadoop.fs.s3a.connection.ssl.enabled", "x"), "iceberg.hadoop.fs.s3a.connection.ssl.enabled has no effect: there is no Hadoop in this build; begin iceberg.catalog.s3.endpoint with http:// or https://"},
		{with("iceberg.hadoop.fs.s3a.bucket.b.endpoint", "x", "iceberg.catalog.type", "jdbc"), "iceberg.hadoop.fs.s3a.bucket.b.endpoint has no effect: there is no Hadoop in this build; put the setting under iceberg.catalog."},
		{
			with("iceberg.catalog.io-impl", "org.apache.iceberg.hadoop.HadoopFileIO", "iceberg.hadoop.fs.s3a.endpoint", "x", "iceberg.hadoop.fs.s3a.connection.ssl.enabled", "false", "iceberg.hadoop.fs.s3a.access.key", "x", "iceberg.catalog.s3.secret-access-key", "x"),
			"iceberg.hadoop.fs.s3a.access.key has no effect: iceberg.catalog.s3.access-key-id, or what belongs to it, is there already\n" +
				"iceberg.hadoop.fs.s3a.endpoint is taken for iceberg.catalog.s3.endpoint: there is no Hadoop in this build",
		},
		{with("iceberg.control.group-id", "g"), "iceberg.control.group-id has no effect with this connector class: only io.tabular.iceberg.connect.IcebergSinkConnector keeps its state under it"},
		{with("iceberg.control.group-id", "g", "connector.class", TabularClass), ""},
		{with("iceberg.connect.group-id", "g", "connector.class", TabularClass), "iceberg.connect.group-id has no effect with this connector class: its state is kept under iceberg.control.group-id"},
		{with("iceberg.tables.cdc-field", "op"), "iceberg.tables.cdc-field takes effect: rows are updated and deleted, where Apache's sink for Java would append every change (leave it out to append)"},
		{with("iceberg.tables.upsert-mode-enabled", "true"), "iceberg.tables.upsert-mode-enabled takes effect: rows replace those with the same ID columns, where Apache's sink for Java would append them (leave it out to append)"},
		{with("iceberg.tables.upsert-mode-enabled", "false"), ""},
		{with("iceberg.tables.upsert-mode-enabled", "true", "iceberg.tables.cdc-field", "op", "connector.class", TabularClass), ""},
	}
	for _, tt := range tests {
		var got []string
		for _, w := range (&Connector{}).Warnings(tt.raw) {
			if !strings.HasPrefix(w.Message, w.Key+" ") {
				t.Errorf("%q does not begin with its key %s", w.Message, w.Key)
			}
			got = append(got, w.Message)
		}
		if strings.Join(got, "\n") != tt.want {
			t.Errorf("%v:\ngot  %s\nwant %s", tt.raw, strings.Join(got, "\n"), tt.want)
		}
	}
}

// TestKeysAreKnown sees that no key that has an effect is warned of as unknown.
func TestKeysAreKnown(t *testing.T) {
	for _, k := range configDef().Keys {
		for _, w := range (&Connector{}).Warnings(map[string]string{k.Name: "x"}) {
			if strings.Contains(w.Message, "not known") {
				t.Error(w.Message)
			}
		}
	}
}

// TestTaskWarnsOnce sees that the log has the warnings once, and not for each task.
func TestTaskWarnsOnce(t *testing.T) {
	for number, want := range []int{1, 0} {
		var log bytes.Buffer
		inStage(t, func(config map[string]string) { config["iceberg.table.auto-create-enabled"] = "true" }, func(s *stage) {
			s.stop()
			s.tc.Log, s.tc.Number = slog.New(slog.NewTextHandler(&log, nil)), number
			s.start()
		})
		if got := strings.Count(log.String(), "did you mean iceberg.tables.auto-create-enabled?"); got != want {
			t.Errorf("task %d: the warning is in the log %d times, want %d", number, got, want)
		}
	}
}

// TestTaskWarnsOfGroup sees that a group in the config that is not the consumer's is told:
// with Java it stops all commits, in silence.
func TestTaskWarnsOfGroup(t *testing.T) {
	for group, want := range map[string]int{"": 0, "connect-test": 0, "another": 1} {
		var log bytes.Buffer
		inStage(t, func(config map[string]string) {
			if config["name"] = "test"; group != "" {
				config["iceberg.connect.group-id"] = group
			}
		}, func(s *stage) {
			s.stop()
			s.tc.Log = slog.New(slog.NewTextHandler(&log, nil))
			s.start()
			s.mustPoll(3 * time.Second)
			s.exactlyOnce("orders")
		})
		if got := strings.Count(log.String(), "sink=another consumer=connect-test"); got != want {
			t.Errorf("group %q: %d warnings, want %d:\n%s", group, got, want, log.String())
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}, {"ab", "ba", 2}, {strings.Repeat("a", 1000), "b", 256}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%.10q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
