package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker"
)

// A sink has one key, which is required.
type sink struct{ connect.SinkConnector }

func (sink) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{Name: "iceberg.tables", Type: connect.TypeString, Required: true, Importance: connect.High}}}
}
func (sink) Version() string                                                   { return "1" }
func (sink) Validate(context.Context, map[string]string) []connect.ConfigError { return nil }

type converter struct{ connect.Converter }

func (converter) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{Name: "schemas.enable", Type: connect.TypeBoolean, Default: new("true")}}}
}
func (converter) Version() string                         { return "1" }
func (converter) Configure(map[string]string, bool) error { return nil }

const (
	icebergSink = "org.apache.iceberg.connect.IcebergSinkConnector"
	jsonClass   = "org.apache.kafka.connect.json.JsonConverter"
	stringClass = "org.apache.kafka.connect.storage.StringConverter"
)

func plugins() worker.Plugins {
	newConverter := func() connect.Converter { return converter{} }
	return worker.Plugins{
		Connectors: map[string]func() connect.SinkConnector{icebergSink: func() connect.SinkConnector { return sink{} }},
		Converters: map[string]func() connect.Converter{jsonClass: newConverter, stringClass: newConverter, bareConverter: newConverter},
	}
}

// recorded is the body of a recorded answer.
func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "recorded", name))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(text), "\n<\n")
	if !ok {
		t.Fatalf("%s has no body", name)
	}
	return body
}

// serve answers GET requests by their URI, everything else is a fault of the survey.
func serve(t *testing.T, answers map[string]string) *connectapi.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("the survey sent %s %s", r.Method, r.RequestURI)
		}
		answer, ok := answers[r.RequestURI]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error_code":404,"message":"HTTP 404 Not Found"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return &connectapi.Client{Base: srv.URL, Name: "the cluster"}
}

const expanded = "/connectors?expand=info&expand=status"

// What a Java worker has answered, replayed.
func TestJavaCluster(t *testing.T) {
	api := serve(t, map[string]string{
		"/":                         `{"version":"4.3.1","commit":"x","kafka_cluster_id":"k"}`,
		expanded:                    recorded(t, "054-expand-both.txt"),
		"/connectors":               `["bad-5","cap-a","cap-int","cap-paused","cap-stopped","new","gone"]`,
		"/connectors/new":           `{"name":"new","type":"source","config":{"connector.class":"x.Source"}}`,
		"/connectors/cap-a/offsets": recorded(t, "117-offsets-after-patch.txt"),
		"/connectors/bad-5/offsets": `{"offsets":[]}`,
	})
	r, err := (&Survey{API: api, Plugins: plugins()}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Connectors {
		got = append(got, fmt.Sprintf("%s %s %d %s: %s%s%s %s %v", c.Name, c.State, c.Tasks, c.Verdict, c.Reasons, c.Differences, c.Unchecked, c.Group, c.Offsets))
	}
	want := []string{
		`bad-5 RUNNING 2 not supported: [Missing required configuration "iceberg.tables" which has no default value.][][] connect-bad-5 []`,
		`cap-a RUNNING 2 runs as is: [][][] connect-cap-a [{cap-events 0 5 <nil>}]`,
		`cap-int STOPPED 0 runs as is: [][][the workers do not tell offsets: give their properties with --worker] connect-cap-int []`,
		`cap-paused PAUSED 0 runs as is: [][][the workers do not tell offsets: give their properties with --worker] connect-cap-paused []`,
		`cap-stopped STOPPED 0 runs as is: [][][the workers do not tell offsets: give their properties with --worker] connect-cap-stopped []`,
		`new  0 not supported: [it is a source connector; this build runs sinks][][]  []`,
	}
	if !slices.Equal(got, want) || r.AllRun || r.Version != "4.3.1" || r.Cluster != "k" {
		t.Errorf("got %+v\n%s\nwant\n%s", r, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		name, kind string
		more       map[string]string
		verdict    Verdict
		says       string // everything that is said
	}{
		{"as is", "sink", nil, AsIs, ""},
		{"source", "source", nil, Unsupported, "it is a source connector; this build runs sinks"},
		{"class", "sink", map[string]string{"connector.class": "x.JdbcSink"}, Unsupported, "class x.JdbcSink is not in this build"},
		{"transform", "sink", map[string]string{"transforms": "a", "transforms.a.type": "x.Mask"}, Unsupported, "Invalid value x.Mask for configuration transforms.a.type: Class x.Mask could not be found."},
		{"converter", "sink", map[string]string{"value.converter": "x.Protobuf"}, Unsupported, "Invalid value x.Protobuf for configuration value.converter: Class x.Protobuf could not be found. This build has org.apache.kafka.connect.converters.ByteArrayConverter, org.apache.kafka.connect.json.JsonConverter, org.apache.kafka.connect.storage.StringConverter"},
		{"predicate", "sink", map[string]string{"predicates": "p", "predicates.p.type": "x.P"}, Unsupported, "Invalid value x.P for configuration predicates.p.type: Class x.P could not be found."},
		{"KIP-848", "sink", map[string]string{"consumer.override.group.protocol": "consumer"}, Unsupported, "consumer.override.group.protocol: Invalid value consumer for configuration group.protocol: the protocol of KIP-848 is not in this build: use classic"},
		{"unknown key", "sink", map[string]string{"topic": "x"}, Differently, "The configuration 'topic' was supplied but isn't a known config."},
		{"a variable", "sink", map[string]string{"tasks.max": "${file:/x:y}"}, AsIs, "tasks.max holds a variable of a config provider"},
		{"the worker's converter", "sink", map[string]string{"key.converter": ""}, AsIs, "key.converter is that of the workers: give their properties with --worker"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := map[string]string{"name": "c", "connector.class": icebergSink, "topics": "t", "iceberg.tables": "a.b", "key.converter": stringClass, "value.converter": jsonClass}
			for key, value := range tt.more {
				if config[key] = value; value == "" {
					delete(config, key)
				}
			}
			body, err := json.Marshal(map[string]any{"c": map[string]any{"info": map[string]any{"type": tt.kind, "config": config}}})
			if err != nil {
				t.Fatal(err)
			}
			api := serve(t, map[string]string{"/": `{}`, expanded: string(body), "/connectors": `["c"]`, "/connectors/c/offsets": `{"offsets":[]}`})
			r, err := (&Survey{API: api, Plugins: plugins()}).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := r.Connectors[0]
			says := strings.Join(slices.Concat(c.Reasons, c.Differences, c.Unchecked), "\n")
			if c.Verdict != tt.verdict || says != tt.says || r.AllRun != (tt.verdict != Unsupported) {
				t.Errorf("got %s: %s\nwant %s: %s", c.Verdict, says, tt.verdict, tt.says)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	_, err := (&Survey{API: serve(t, nil), Plugins: plugins()}).Run(t.Context())
	if !connectapi.IsStatus(err, http.StatusNotFound) {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, ErrOther) {
		t.Errorf("%v is about another cluster", err)
	}
}
