package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

func lines(f []connect.ConfigError) (out []string) {
	for _, e := range f {
		out = append(out, e.Key+": "+e.Message)
	}
	return out
}

func TestCheckWorker(t *testing.T) {
	v, _ := recordedValidator(t)
	props := map[string]string{
		keyBootstrap: "localhost:9092", "key.converter": "Json", "value.converter": "Json",
		keyGroupID: "g", "config.storage.topic": "c", "offset.storage.topic": "o", "status.storage.topic": "s",
		"group.idd": "typo", "consumer.fetch.min.byte": "1", "consumer.override.x": "y", "producer.linger.ms": "5",
	}
	cfg, f := CheckWorker(props, *v.plugins, NewConfig)
	if cfg == nil || len(f.Errors) > 0 {
		t.Fatalf("got %v", f)
	}
	want := []string{
		": The configuration 'group.idd' was supplied but isn't a known config.",
		"consumer.fetch.min.byte: The configuration 'consumer.fetch.min.byte' was supplied but isn't a known config.",
	}
	if got := lines(f.Warnings); !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}

	delete(props, "status.storage.topic")
	props["value.converter"] = "x.Protobuf"
	props["session.timeout.ms"], props["consumer.max.poll.records"], props["request.timeout.ms"] = "often", "-1", "soon"
	cfg, f = CheckWorker(props, *v.plugins, NewConfig)
	want = []string{
		"consumer.max.poll.records: Invalid value -1 for configuration max.poll.records: Value must be at least 1",
		"request.timeout.ms: Invalid value soon for configuration request.timeout.ms: Not a number of type LONG",
		"session.timeout.ms: Invalid value often for configuration session.timeout.ms: Not a number of type INT",
		`status.storage.topic: Missing required configuration "status.storage.topic" which has no default value.`,
		"value.converter: Invalid value x.Protobuf for configuration value.converter: Class x.Protobuf could not be found.",
	}
	got := lines(f.Errors)
	slices.Sort(got)
	if cfg == nil || !slices.Equal(got, want) || len(f.Warnings) != 2 {
		t.Errorf("errors %q, warnings %q; want %q", got, f.Warnings, want)
	}
}

// A config provider that is not there hides nothing else, but what needs its variables.
func TestCheckWorkerBesidesProviders(t *testing.T) {
	v, _ := recordedValidator(t)
	cfg, f := CheckWorker(map[string]string{
		keyBootstrap: "${vault:a:servers}", "key.converter": "Json", "value.converter": "Json",
		keyGroupID: "g", "config.storage.topic": "c", "offset.storage.topic": "o",
		"config.providers": "vault", "config.providers.vault.class": "com.example.Vault", "session.timeout.ms": "${vault:a:b}", "heartbeat.interval.ms": "x",
	}, *v.plugins, NewConfig)
	want := []string{
		"config.providers.vault.class: Invalid value com.example.Vault for configuration config.providers.vault.class: Class com.example.Vault could not be found.",
		`status.storage.topic: Missing required configuration "status.storage.topic" which has no default value.`,
		"heartbeat.interval.ms: Invalid value x for configuration heartbeat.interval.ms: Not a number of type INT",
	}
	if got := lines(f.Errors); cfg != nil || !slices.Equal(got, want) {
		t.Errorf("errors %q, want %q", got, want)
	}
}

// What Java classes would do in clients is not done here, and said.
func TestJavaPartsAreNamed(t *testing.T) {
	_, warnings, err := NewConfig(map[string]string{
		keyBootstrap: "localhost:9092", "key.converter": "Json", "value.converter": "Json",
		keyGroupID: "g", "config.storage.topic": "c", "offset.storage.topic": "o", "status.storage.topic": "s",
		"metric.reporters": "com.x", "consumer.interceptor.classes": "com.x", "consumer.fetch.min.bytes": "1",
	})
	want := []string{
		"consumer.interceptor.classes has no effect: interceptors are Java classes, and there is no JVM here",
		"metric.reporters has no effect: reporters of metrics are Java classes, and there is no JVM here",
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("warned %q (%v), want %q", warnings, err, want)
	}
	v, _ := recordedValidator(t)
	f := CheckConnector(t.Context(), v.config, *v.plugins, map[string]string{
		"name": "c", "connector.class": "IcebergSink", "topics": "t", "value.converter": "x.Protobuf",
		"consumer.override.interceptor.classes": "com.x", "connector.plugin.version": "[1,2)",
	}, false)
	if got, want := lines(f.Warnings), []string{
		"consumer.override.interceptor.classes: consumer.override.interceptor.classes has no effect: interceptors are Java classes, and there is no JVM here",
		"connector.plugin.version: connector.plugin.version has no effect: there is one version of each plugin, the built-in",
	}; !slices.Equal(got, want) {
		t.Errorf("warned %q, want %q", got, want)
	}
	if got, want := lines(f.Errors), []string{
		"value.converter: Invalid value x.Protobuf for configuration value.converter: Class x.Protobuf could not be found. This build has org.apache.kafka.connect.json.JsonConverter, org.apache.kafka.connect.storage.StringConverter",
	}; !slices.Equal(got, want) {
		t.Errorf("errors %q, want %q", got, want)
	}
	f = CheckConnector(t.Context(), v.config, *v.plugins, map[string]string{"name": "c", "connector.class": "io.debezium.connector.mysql.MySqlConnector"}, false)
	if got, want := lines(f.Errors), []string{
		"connector.class: this build has no connector class io.debezium.connector.mysql.MySqlConnector, only org.apache.iceberg.connect.IcebergSinkConnector; it runs no source connectors",
	}; !slices.Equal(got, want) {
		t.Errorf("errors %q, want %q", got, want)
	}
}

func TestCheckConnector(t *testing.T) {
	v, _ := recordedValidator(t)
	config := func(more ...string) map[string]string {
		out := map[string]string{"name": "c", "connector.class": "IcebergSink", "topics": "t"}
		for _, line := range more {
			key, value, _ := strings.Cut(line, "=")
			out[key] = value
		}
		return out
	}
	tests := []struct {
		name     string
		config   map[string]string
		errors   []string
		warnings []string
	}{
		{"right", config(), nil, nil},
		{"no class", map[string]string{"name": "c"}, []string{"connector.class: Connector config {name=c} contains no connector type"}, nil},
		{"a client that cannot be", config("consumer.override.group.protocol=consumer", "consumer.override.max.poll.records=x"), []string{
			"consumer.override.max.poll.records: Invalid value x for configuration max.poll.records: Not a number of type INT",
			"consumer.override.group.protocol: Invalid value consumer for configuration group.protocol: the protocol of KIP-848 is not in this build: use classic",
		}, nil},
		{"clients of dead letters count with dead letters alone", config("producer.override.linger.ms=x"), nil, nil},
		{"keys without effect", config(
			"topic=t", "consumer.override.fetch.min.byte=1", "value.converter.schemas.enable=false", "header.converter.x=1",
			"transforms.gone.type=X", "predicates.p.type=Y", "topics.regexp=x",
		), nil, []string{
			"consumer.override.fetch.min.byte: The configuration 'consumer.override.fetch.min.byte' was supplied but isn't a known config.",
			"header.converter.x: header.converter.x has no effect: headers reach a task as bytes",
			"predicates.p.type: The configuration 'predicates.p.type' was supplied but isn't a known config.",
			"topic: The configuration 'topic' was supplied but isn't a known config.",
			"topics.regexp: The configuration 'topics.regexp' was supplied but isn't a known config.",
			"transforms.gone.type: transforms.gone.type has no effect: transforms does not list gone",
			"value.converter.schemas.enable: value.converter.schemas.enable has no effect without value.converter beside it: the worker's converter goes by the worker's settings",
		}},
		{"keys that look like the connector's are its own", config("iceberg.catalog.anything=x"), nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := CheckConnector(t.Context(), v.config, *v.plugins, tt.config, false)
			if got := lines(f.Errors); !slices.Equal(got, tt.errors) {
				t.Errorf("errors %s\nwant %s", strings.Join(got, "\n"), strings.Join(tt.errors, "\n"))
			}
			if got := lines(f.Warnings); !slices.Equal(got, tt.warnings) {
				t.Errorf("warnings %s\nwant %s", strings.Join(got, "\n"), strings.Join(tt.warnings, "\n"))
			}
		})
	}
}

// Only with outside does a connector try what it will work with.
func TestCheckConnectorOffline(t *testing.T) {
	v, _ := recordedValidator(t)
	tried := 0
	v.plugins.Connectors["x.Trying"] = func() connect.SinkConnector { return &tryingConnector{tried: &tried} }
	config := map[string]string{"name": "c", "connector.class": "x.Trying", "topics": "t"}
	for i, outside := range []bool{false, true} {
		f := CheckConnector(t.Context(), v.config, *v.plugins, config, outside)
		if tried != i || fmt.Sprint(lines(f.Errors)) != []string{"[k: offline]", "[k: tried]"}[i] {
			t.Errorf("outside %v: tried %d times, %v", outside, tried, f)
		}
	}
}

// Tasks of one connector cannot have one group.instance.id.
func TestStaticMembershipOfTasks(t *testing.T) {
	c := &Config{Props: map[string]string{"consumer.group.instance.id": "w"}}
	for _, tt := range []struct {
		config map[string]string
		want   []string
	}{
		{nil, []string{"w", "w-1", "w-2"}},
		{map[string]string{"consumer.override.group.instance.id": "mine"}, []string{"mine", "mine-1", "mine-2"}},
	} {
		for task, want := range tt.want {
			if got := c.sinkConsumer("c", task, tt.config)["group.instance.id"]; got != want {
				t.Errorf("task %d of %v: got %s, want %s", task, tt.config, got, want)
			}
		}
	}
	if _, ok := new(Config).sinkConsumer("c", 1, nil)["group.instance.id"]; ok {
		t.Error("a task has an id that nobody gave")
	}
}

// Which client properties a connector may override.
func TestOverridePolicies(t *testing.T) {
	keys := []string{"consumer.override.max.poll.records", "consumer.override.sasl.mechanism", "producer.override.linger.ms"}
	for policy, refused := range map[string][]string{
		"All": nil, "None": keys, "Principal": {keys[0], keys[2]}, "Allowlist": {keys[1], keys[2]},
	} {
		v, _ := recordedValidator(t)
		v.config.OverridePolicy, v.config.OverrideAllowlist = policy, []string{"max.poll.records"}
		for _, dlq := range []string{"d", ""} {
			config := map[string]string{"name": "c", "connector.class": "IcebergSink", "topics": "t", "errors.deadletterqueue.topic.name": dlq, keys[0]: "1", keys[1]: "PLAIN", keys[2]: "1"}
			var want []string
			for _, key := range refused {
				if dlq != "" || !strings.HasPrefix(key, overrideProducer) {
					_, property, _ := strings.Cut(key, ".override.")
					want = append(want, key+": The '"+policy+"' policy does not allow '"+property+"' to be overridden in the connector configuration.")
				}
			}
			if got := lines(CheckConnector(t.Context(), v.config, *v.plugins, config, false).Errors); !slices.Equal(got, want) {
				t.Errorf("%s, dead letters %q: got %q, want %q", policy, dlq, got, want)
			}
			if _, err := (parts{cfg: v.config}).client(overrideConsumer, config, map[string]string{keyBootstrap: "a:1"}); (err == nil) != (policy == "All") {
				t.Errorf("%s: a task starts with %v", policy, err)
			}
		}
	}
}
