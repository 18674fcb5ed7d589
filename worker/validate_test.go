package worker

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

// recorded reads the body of a recorded request and of its answer.
func recorded(t *testing.T, name string) (request, answer string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "recorded", name+"*.txt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("recorded exchange %s: %q, %v", name, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	head, answer, _ := strings.Cut(string(data), "\n<\n")
	if _, body, ok := strings.Cut(head, "\n>\n> "); ok {
		request, _, _ = strings.Cut(body, "\n")
	}
	return request, strings.TrimSpace(answer)
}

// A recordedConnector has the keys that Java's Iceberg sink was recorded with.
type recordedConnector struct {
	connect.SinkConnector
	def *connect.ConfigDef
}

func (c recordedConnector) ConfigDef() *connect.ConfigDef { return c.def }
func (recordedConnector) Version() string                 { return "1.12.0" }

func (recordedConnector) Validate(context.Context, map[string]string) []connect.ConfigError {
	return nil
}

type recordedConverter struct{ connect.Converter }

func (recordedConverter) ConfigDef() *connect.ConfigDef           { return &connect.ConfigDef{} }
func (recordedConverter) Version() string                         { return "4.3.1" }
func (recordedConverter) Configure(map[string]string, bool) error { return nil }

const icebergSink = "org.apache.iceberg.connect.IcebergSinkConnector"

// recordedValidator knows what the recorded worker knew.
// tryingConnector counts how often it tries something outside.
type tryingConnector struct {
	recordedConnector
	tried *int
}

func (c *tryingConnector) ConfigDef() *connect.ConfigDef { return &connect.ConfigDef{} }

func (c *tryingConnector) Validate(context.Context, map[string]string) []connect.ConfigError {
	*c.tried++
	return []connect.ConfigError{{Key: "k", Message: "tried"}}
}

func (*tryingConnector) Faults(map[string]string) []connect.ConfigError {
	return []connect.ConfigError{{Key: "k", Message: "offline"}}
}

func (*tryingConnector) Doubts() []connect.ConfigError { return nil }

func recordedValidator(t *testing.T) (*validator, []connect.KeyInfo) {
	t.Helper()
	_, answer := recorded(t, "009")
	var keys []connect.KeyInfo
	if err := json.Unmarshal([]byte(answer), &keys); err != nil {
		t.Fatal(err)
	}
	def := &connect.ConfigDef{}
	for _, k := range keys {
		if k.Group == nil {
			def.Keys = append(def.Keys, connect.ConfigKey{
				Name: k.Name, Type: connect.ConfigType(k.Type), Default: k.DefaultValue, Required: k.Required,
				Importance: connect.Importance(k.Importance), Doc: k.Documentation,
			})
		}
	}
	newConverter := func() connect.Converter { return recordedConverter{} }
	plugins := &Plugins{
		Connectors: map[string]func() connect.SinkConnector{icebergSink: func() connect.SinkConnector { return recordedConnector{def: def} }},
		Converters: map[string]func() connect.Converter{
			"org.apache.kafka.connect.json.JsonConverter": newConverter, "org.apache.kafka.connect.storage.StringConverter": newConverter,
		},
	}
	json := "org.apache.kafka.connect.json.JsonConverter"
	return &validator{config: &Config{Props: map[string]string{keyBootstrap: "localhost:9092"}, BootstrapServers: "localhost:9092", GroupID: "g", KeyConverter: json, ValueConverter: json, OverridePolicy: "All"}, plugins: plugins}, keys
}

func sameKey(t *testing.T, got, want connect.KeyInfo) {
	t.Helper()
	got.Documentation, want.Documentation = "", "" // the sentences are our own
	g, gerr := json.Marshal(got)
	w, werr := json.Marshal(want)
	if gerr != nil || werr != nil || string(g) != string(w) {
		t.Errorf("key %s is defined as\n%s, want\n%s", want.Name, g, w)
	}
}

// The orders of Java's hash maps, as measured.
func TestJavaBucket(t *testing.T) {
	for _, tt := range []struct{ put, want string }{
		{
			"converter.type schemas.enable schemas.cache.size schema.content decimal.format replace.null.with.default",
			"decimal.format converter.type schemas.cache.size replace.null.with.default schemas.enable schema.content",
		},
		{"Schemas Serialization", "Serialization Schemas"},
		{"q b a", "q a b"}, // a and q share a place among 16
	} {
		got := strings.Fields(tt.put)
		slices.SortStableFunc(got, func(a, b string) int { return javaBucket(a, len(got)) - javaBucket(b, len(got)) })
		if want := strings.Fields(tt.want); !slices.Equal(got, want) {
			t.Errorf("the order is %q, want %q", got, want)
		}
	}
	if a, q := javaBucket("a", 13), javaBucket("q", 13); a == q {
		t.Error("the map does not grow")
	}
}

func TestDefinitionAsRecorded(t *testing.T) {
	v, want := recordedValidator(t)
	got, err := v.definition("IcebergSink")
	if err != nil || len(got) != len(want) {
		t.Fatalf("definition has %d keys (%v), want %d", len(got), err, len(want))
	}
	for i := range want {
		sameKey(t, got[i], want[i])
	}
}

func TestValidationAsRecorded(t *testing.T) {
	v, _ := recordedValidator(t)
	request, answer := recorded(t, "015")
	var want connect.ConfigInfos
	if err := json.Unmarshal([]byte(answer), &want); err != nil {
		t.Fatal(err)
	}
	got, err := v.validate(t.Context(), configOf(t, request))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != want.Name || got.ErrorCount != want.ErrorCount || !slices.Equal(got.Groups, want.Groups) || len(got.Configs) != len(want.Configs) {
		t.Fatalf("validated %s with %d errors, groups %q, %d keys; want %s, %d, %q, %d",
			got.Name, got.ErrorCount, got.Groups, len(got.Configs), want.Name, want.ErrorCount, want.Groups, len(want.Configs))
	}
	for i, w := range want.Configs {
		sameKey(t, *got.Configs[i].Definition, *w.Definition)
		g := got.Configs[i].Value
		if strings.HasSuffix(w.Value.Name, ".converter") {
			g.RecommendedValues = w.Value.RecommendedValues // each worker has its own
		}
		gj, gerr := json.Marshal(g)
		wj, werr := json.Marshal(w.Value)
		if gerr != nil || werr != nil || string(gj) != string(wj) {
			t.Errorf("value is\n%s, want\n%s", gj, wj)
		}
	}
}

func configOf(t *testing.T, body string) map[string]*string {
	t.Helper()
	var config map[string]*string
	if err := json.Unmarshal([]byte(body), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestRefusalsAsRecorded creates connectors that Java refused.
func TestRefusalsAsRecorded(t *testing.T) {
	v, _ := recordedValidator(t)
	for _, name := range []string{"021", "024", "027"} {
		request, answer := recorded(t, name)
		var body struct {
			Name   string             `json:"name"`
			Config map[string]*string `json:"config"`
		}
		var want struct {
			Code    int    `json:"error_code"`
			Message string `json:"message"`
		}
		if err := errors.Join(json.Unmarshal([]byte(request), &body), json.Unmarshal([]byte(answer), &want)); err != nil {
			t.Fatal(err)
		}
		body.Config["name"] = &body.Name
		infos, err := v.validate(t.Context(), body.Config)
		if err == nil {
			err = invalid(infos)
		}
		e, ok := errors.AsType[*entities.Error](err)
		if !ok {
			t.Fatalf("%s: got %v, want %d %s", name, err, want.Code, want.Message)
		}
		if name == "024" { // what follows lists the plugins, which differ
			e.Message, _, _ = strings.Cut(e.Message, "PluginDesc")
			want.Message, _, _ = strings.Cut(want.Message, "PluginDesc")
		}
		if e.Status != want.Code || e.Message != want.Message {
			t.Errorf("%s: got %d %s, want %d %s", name, e.Status, e.Message, want.Code, want.Message)
		}
	}
}

func TestValidationFindsEverything(t *testing.T) {
	v, _ := recordedValidator(t)
	v.config.OverridePolicy = "Principal"
	tests := []struct {
		name   string
		config string
		want   []string // "key: text", in the order of the answer
	}{
		{"both topics and regex", `{"topics":"a,b","topics.regex":"c.*"}`, []string{
			"topics: topics and topics.regex are mutually exclusive options, but both are set.",
			"topics.regex: topics and topics.regex are mutually exclusive options, but both are set.",
		}},
		{"dead letters to itself", `{"topics":" a, d ","errors.deadletterqueue.topic.name":"d"}`, []string{
			"topics: The DLQ topic 'd' may not be included in the list of topics ('topics=[a, d]') consumed by the connector",
		}},
		{"dead letters match", `{"topics.regex":"d.*","errors.deadletterqueue.topic.name":"dlq"}`, []string{
			"topics.regex: The DLQ topic 'dlq' may not be matched by the regex for the topics ('topics.regex=d.*') consumed by the connector",
		}},
		{"group of the workers", `{"topics":"a","consumer.override.group.id":"g"}`, []string{
			"consumer.override.group.id: Consumer group g conflicts with Connect worker group g",
			"consumer.override.group.id: The 'Principal' policy does not allow 'group.id' to be overridden in the connector configuration.",
		}},
		{"null", `{"topics":"a","iceberg.tables":null}`, []string{"iceberg.tables: Null value can not be supplied as the configuration value."}},
		{"empty name", `{"topics":"a","name":""}`, []string{"name: Invalid value  for configuration name: String may not be empty"}},
		{"transforms", `{"topics":"a","transforms":"t,u,t","transforms.t.type":"no.Such","transforms.u.negate":"true"}`, []string{
			"transforms: Invalid value t,u,t for configuration transforms: Duplicate alias provided.",
			"transforms.t.type: Invalid value no.Such for configuration transforms.t.type: Class no.Such could not be found.",
			`transforms.u.type: Missing required configuration "transforms.u.type" which has no default value.`,
			"transforms.u.type: Config 'transforms.u.negate' was provided but there is no config 'transforms.u.predicate' defining a predicate to be negated.",
		}},
		{"values", `{"topics":"a","tasks.max":"0","errors.tolerance":"some","iceberg.tables.auto-create-enabled":"yes"}`, []string{
			"tasks.max: Invalid value 0 for configuration tasks.max: Value must be at least 1",
			"errors.tolerance: Invalid value some for configuration errors.tolerance: String must be one of (case insensitive): none, all",
			"iceberg.tables.auto-create-enabled: Invalid value yes for configuration iceberg.tables.auto-create-enabled: Expected value to be either true or false",
		}},
	}
	for _, tt := range tests {
		config := configOf(t, tt.config)
		if config["name"] == nil {
			config["name"] = new("x")
		}
		config["connector.class"] = new("IcebergSink")
		infos, err := v.validate(t.Context(), config)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, info := range infos.Configs {
			for _, e := range info.Value.Errors {
				got = append(got, info.Value.Name+": "+e)
			}
		}
		if !slices.Equal(got, tt.want) || infos.ErrorCount != len(tt.want) {
			t.Errorf("%s: got %d errors\n%s\nwant\n%s", tt.name, infos.ErrorCount, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// A warningConnector has something to say of a key that it declares and of others.
type warningConnector struct{ recordedConnector }

func (warningConnector) Warnings(config map[string]string) []connect.ConfigError {
	var out []connect.ConfigError
	for _, key := range []string{"iceberg.tables", "iceberg.tabels", "iceberg.token"} {
		if config[key] != "" {
			out = append(out, connect.ConfigError{Key: key, Message: key + " is odd"})
		}
	}
	return out
}

// TestValidationShowsWarnings sees that warnings are in the documentation and are no errors.
func TestValidationShowsWarnings(t *testing.T) {
	v, _ := recordedValidator(t)
	plain := v.plugins.Connectors[icebergSink]().(recordedConnector)
	v.plugins.Connectors[icebergSink] = func() connect.SinkConnector { return warningConnector{plain} }
	config := configOf(t, `{"name":"x","topics":"a","iceberg.tables":"a.b","iceberg.tabels":"c.d","iceberg.token":"s3cret"}`)
	config["connector.class"] = new(icebergSink)
	infos, err := v.validate(t.Context(), config)
	if err != nil || infos.ErrorCount != 0 {
		t.Fatalf("%+v, %v, want no errors", infos, err)
	}
	want := map[string]struct{ value, doc string }{
		"iceberg.tables": {"a.b", "Comma-delimited list of destination tables. Warning: iceberg.tables is odd"},
		"iceberg.tabels": {"c.d", "Warning: iceberg.tabels is odd"},
		"iceberg.token":  {"[hidden]", "Warning: iceberg.token is odd"},
	}
	for _, info := range infos.Configs {
		if w, ok := want[info.Value.Name]; ok {
			delete(want, info.Value.Name)
			if info.Definition == nil || info.Definition.Documentation != w.doc || *info.Value.Value != w.value || info.Value.Errors == nil {
				t.Errorf("%s: got %+v %+v, want %+v", info.Value.Name, info.Definition, info.Value, w)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
}
