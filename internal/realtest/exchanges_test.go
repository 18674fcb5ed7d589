//go:build real && unix

package realtest

import (
	"encoding/json"
	"maps"
	"testing"
)

// Pieces of docs/COMPATIBILITY.md.
const (
	unreadableBody = "500 with the parser's exception, or a null pointer's"
	emptySegment   = "an empty path segment answers with Jetty's HTML page"
	itsPlugins     = "plugins and stack traces are its own"
	setRoot        = "what is set on `root` shows neither"
	slashName      = "a connector whose name has a slash"
	otherName      = "with another name: taken, under the old one"
	moreErrors     = "secrets in it are hidden"
	movedOffsets   = "move the group's offsets"
)

// exchangesOfUsers are requests with and without passwords: alice's is s3cret.
func exchangesOfUsers() []exchange {
	const (
		right  = "Authorization: Basic YWxpY2U6czNjcmV0"
		wrong  = "Authorization: Basic YWxpY2U6d3Jvbmc="
		nobody = "Authorization: Basic Ym9iOnMzY3JldA=="
	)
	return []exchange{
		{request: "GET /connectors", header: right, until: `^\[\]$`},
		{request: "GET /connectors"},
		{request: "GET /connectors", header: wrong},
		{request: "GET /connectors", header: nobody},
		{request: "GET /connectors", header: "Authorization: Basic ???", differs: "an `Authorization` that cannot be decoded"},
		{request: "GET /connectors", header: "Accept: */*"},
		{request: "GET /connectors", header: "Accept: text/plain", differs: "406 and 415 come before 401"},
		{request: "GET /connectors", header: "Authorization: Bearer YWxpY2U6czNjcmV0"},
		{request: "GET /connectors", header: "Authorization: basic YWxpY2U6czNjcmV0"},
		{request: "GET /"},
		{request: "GET /health"},
		{request: "GET /health", header: right, until: "healthy"},
		{request: "HEAD /connectors"},
		{request: "OPTIONS /connectors", differs: "`OPTIONS` asks for a password"},
		{request: "GET /nope"},
		{request: "GET /nope", header: right},
		{request: "DELETE /connectors", header: right},
		{request: "POST /connectors", body: `{}`},
		{request: "POST /connectors/c/tasks", body: `[]`},
		{request: "PUT /connectors/c/fence"},
		{request: "PUT /connectors/c/tasks", body: `[]`},
		{request: "GET /admin/loggers/none"},
	}
}

// exchanges are the requests, in their order, about connectors whose config is the one given.
func exchanges(t *testing.T, config map[string]string) []exchange {
	t.Helper()
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	with := func(more ...string) map[string]string {
		c := maps.Clone(config)
		for i := 0; i < len(more); i += 2 {
			if more[i+1] == "-" {
				delete(c, more[i])
			} else {
				c[more[i]] = more[i+1]
			}
		}
		return c
	}
	create := func(name string, config map[string]string, more ...string) string {
		all := map[string]any{"name": name, "config": config}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return text(all)
	}
	const class = "org.apache.iceberg.connect.IcebergSinkConnector"
	return []exchange{
		// The worker itself, methods and paths.
		{request: "GET /"},
		{request: "HEAD /"},
		{request: "GET /health", until: "healthy"},
		{request: "GET /health/"},
		{request: "HEAD /health"},
		{request: "GET /connectors"},
		{request: "GET /connectors/"},
		{request: "HEAD /connectors"},
		{request: "GET /connectors?expand=status&expand=info"},
		{request: "GET /connectors?expand=nothing"},
		{request: "GET /nope"},
		{request: "GET /connectors/none/nope"},
		{request: "GET /connectors/none/tasks/x/status"},
		{request: "GET //connectors", differs: emptySegment},
		{request: "OPTIONS /"},
		{request: "OPTIONS /connectors"},
		{request: "OPTIONS /connectors/none"},
		{request: "OPTIONS /connectors/none/config"},
		{request: "OPTIONS /connectors/none/pause"},
		{request: "OPTIONS /connectors/none/restart"},
		{request: "OPTIONS /connectors/none/offsets"},
		{request: "OPTIONS /connectors/none/tasks"},
		{request: "OPTIONS /connectors/none/tasks/0/status"},
		{request: "OPTIONS /connectors/none/topics/reset"},
		{request: "OPTIONS /connector-plugins/none/config/validate"},
		{request: "OPTIONS /admin/loggers/root"},
		{request: "OPTIONS /nope"},
		{request: "DELETE /connectors"},
		{request: "POST /connectors/none"},
		{request: "GET /connectors/none/pause"},
		{request: "PATCH /connectors/none"},
		{request: "POST /connectors/none/status"},
		{request: "GET /connectors", header: "Accept: */*"},
		{request: "GET /connectors", header: "Accept: text/html"},
		{request: "GET /connectors", header: "Accept: text/plain"},

		// Browsers.
		{request: "GET /connectors", header: "Origin: https://ui.example.com"},
		{request: "GET /connectors", header: "Origin: https://other.example.com"},
		{request: "GET /connectors/none", header: "Origin: https://ui.example.com"},
		{request: "OPTIONS /connectors", header: "Origin: https://ui.example.com"},
		{request: "OPTIONS /connectors/none/config", header: "Origin: https://ui.example.com|Access-Control-Request-Method: PUT|Access-Control-Request-Headers: content-type"},
		{request: "OPTIONS /connectors/none/config", header: "Origin: https://other.example.com|Access-Control-Request-Method: PUT"},
		{request: "OPTIONS /connectors/none/config", header: "Origin: https://ui.example.com|Access-Control-Request-Method: DELETE"},

		// Plugins.
		{request: "GET /connector-plugins", only: class},
		{request: "GET /connector-plugins/", only: class},
		{request: "GET /connector-plugins?connectorsOnly=false", only: class + "|InsertField.Value|json.JsonConverter.*\"converter"},
		{request: "GET /connector-plugins/IcebergSink/config", only: `"name":"(topics|tasks.max|iceberg.tables|errors.tolerance|transforms)"`},
		{request: "GET /connector-plugins/org.apache.kafka.connect.json.JsonConverter/config"},
		{request: "GET /connector-plugins/org.apache.kafka.connect.transforms.InsertField$Value/config"},
		{request: "GET /connector-plugins/no.such.Plugin/config"},

		// Validation.
		{request: "PUT /connector-plugins/IcebergSinkConnector/config/validate", body: text(with("name", "a")), only: `"name":"(name|topics|tasks.max|iceberg.tables|errors.tolerance|transforms.at.type|(key|value).converter.*)"`},
		{request: "PUT /connector-plugins/" + class + "/config/validate", body: text(with("name", "a", "topics", "-", "tasks.max", "many")), only: `"name":"(name|topics|topics.regex|tasks.max)"`},
		{request: "PUT /connector-plugins/IcebergSink/config/validate", body: text(with("name", "a", "topics.regex", "a.*")), only: `"name":"(topics|topics.regex)"`},
		{request: "PUT /connector-plugins/Other/config/validate", body: text(with("name", "a"))},
		{request: "PUT /connector-plugins/no.such.Plugin/config/validate", body: `{"connector.class":"no.such.Plugin"}`, differs: itsPlugins},
		{request: "PUT /connector-plugins/IcebergSink/config/validate", body: `{}`},
		{request: "PUT /connector-plugins/IcebergSink/config/validate", body: `[`, differs: unreadableBody},

		// Creating.
		{request: "POST /connectors", body: create("c", with("topics", "-"))},
		{request: "POST /connectors", body: create("c", with("value.converter", "no.such.Converter"))},
		{request: "POST /connectors", body: create("c", with("tasks.max", "0"))},
		{request: "POST /connectors", body: create("c", with("name", "d"))},
		{request: "POST /connectors", body: create("c", with("connector.class", "-")), differs: moreErrors},
		{request: "POST /connectors", body: create("", config)},
		{request: "POST /connectors", body: create("a/b", config, "initial_state", "STOPPED"), differs: slashName},
		{request: "GET /connectors/a%2Fb", differs: slashName},
		{request: "POST /connectors", body: `{"name":"c"`, differs: unreadableBody},
		{request: "POST /connectors", body: `{"name":"c","config":null}`, differs: unreadableBody},
		{request: "POST /connectors", body: `{"name":"c","config":{"a":[1]}}`, differs: unreadableBody},
		{request: "POST /connectors", body: `{"name":"c","config":{},"more":1}`, differs: unreadableBody},
		{request: "POST /connectors", body: create("c", config, "initial_state", "BUSY"), differs: unreadableBody},
		{request: "POST /connectors", body: `null`, differs: unreadableBody},
		{request: "POST /connectors", body: `{}`, header: "Content-Type: text/plain"},
		{request: "POST /connectors", body: `[]`, header: "Content-Type: application/json; charset=utf-8", differs: unreadableBody},
		{request: "POST /connectors", body: create("@-a", config)},
		{request: "POST /connectors", body: create("@-a", config)},
		{request: "POST /connectors", body: create(" @-s ", with("tasks.max", "1"), "initial_state", "stopped")},
		{request: "POST /connectors", body: create("@-p", with("tasks.max", "1"), "initial_state", "PAUSED")},
		{request: "PUT /connectors/@-put/config", body: text(with("tasks.max", "1", "iceberg.tables", "@.put"))},

		// Looking.
		{request: "GET /connectors/@-a/status", until: `("state":"RUNNING".*){3}`},
		{request: "GET /connectors/@-s/status", until: `STOPPED`},
		{request: "GET /connectors/@-p/status", until: `PAUSED`},
		{request: "GET /connectors/@-put/status", until: `("state":"RUNNING".*){2}`},
		{request: "GET /connectors?expand=status", until: `"@-put"`},
		{request: "GET /connectors?expand=info"},
		{request: "GET /connectors?expand=info&expand=status"},
		{request: "GET /connectors/@-a"},
		{request: "GET /connectors/@-a/"},
		{request: "HEAD /connectors/@-a"},
		{request: "GET /connectors/@-a/config"},
		{request: "GET /connectors/@-s/tasks"},
		{request: "GET /connectors/@-a/tasks/1/status"},
		{request: "GET /connectors/@-a/tasks/2/status"},
		{request: "GET /connectors/none"},
		{request: "GET /connectors/none/config"},
		{request: "GET /connectors/none/status"},
		{request: "GET /connectors/none/tasks"},
		{request: "GET /connectors/none/tasks/0/status"},
		{request: "GET /connectors/none/tasks-config"},
		{request: "GET /connectors/a%20b"},

		// Changing.
		{request: "PUT /connectors/@-put/config", body: text(with("tasks.max", "2", "iceberg.tables", "@.put"))},
		{request: "PUT /connectors/@-put/config", body: text(with("tasks.max", "none"))},
		{request: "PUT /connectors/@-put/config", body: text(with("name", "other"))},
		{request: "PUT /connectors/@-put/config", body: `{`, differs: unreadableBody},
		{request: "PUT /connectors/@-put/config", body: `null`, differs: unreadableBody},
		{request: "PATCH /connectors/@-put/config", body: `{"tasks.max":"1","iceberg.control.commit.interval-ms":null}`},
		{request: "PATCH /connectors/@-put/config", body: `{"tasks.max":1}`},
		{request: "PATCH /connectors/@-put/config", body: `{"topics":null}`},
		{request: "PATCH /connectors/@-put/config", body: `{"name":"other"}`, differs: otherName},
		{request: "PATCH /connectors/@-put/config", body: `x`, differs: unreadableBody},
		{request: "PATCH /connectors/none/config", body: `{"tasks.max":"1"}`},

		// Pause, resume, stop, restart.
		{request: "PUT /connectors/@-a/pause"},
		{request: "GET /connectors/@-a/status", until: `("state":"PAUSED".*){3}`},
		{request: "PUT /connectors/@-a/resume"},
		{request: "GET /connectors/@-a/status", until: `("state":"RUNNING".*){3}`},
		{request: "POST /connectors/@-a/restart"},
		{request: "POST /connectors/@-a/restart?includeTasks=true&onlyFailed=true"},
		{request: "GET /connectors/@-a/status", until: `("state":"RUNNING".*){3}`},
		{request: "POST /connectors/@-a/tasks/0/restart"},
		{request: "GET /connectors/@-a/status", until: `("state":"RUNNING".*){3}`},
		{request: "POST /connectors/@-a/tasks/7/restart"},
		{request: "POST /connectors/none/restart"},
		{request: "POST /connectors/none/restart?includeTasks=true"},
		{request: "POST /connectors/none/tasks/0/restart"},
		{request: "PUT /connectors/none/pause"},
		{request: "PUT /connectors/none/resume"},
		{request: "PUT /connectors/none/stop"},

		// Topics.
		{request: "GET /connectors/@-a/topics", until: "side-events"},
		{request: "GET /connectors/none/topics"},
		{request: "PUT /connectors/none/topics/reset"},

		// Offsets.
		{request: "GET /connectors/@-a/offsets", until: `("kafka_offset":250.*){4}`},
		{request: "GET /connectors/none/offsets"},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":0},"offset":{"kafka_offset":10}}]}`},
		{request: "DELETE /connectors/@-a/offsets"},
		{request: "PATCH /connectors/none/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"t","kafka_partition":0},"offset":null}]}`},
		{request: "DELETE /connectors/none/offsets"},
		{request: "PUT /connectors/@-a/stop"},
		{request: "GET /connectors/@-a/status", until: `"state":"STOPPED".*"tasks":\[\]`},
		{request: "GET /connectors/@-a/tasks"},
		{request: "PUT /connectors/@-a/topics/reset"},
		{request: "GET /connectors/@-a/topics", until: `\[\]`},
		{request: "PATCH /connectors/@-a/offsets", body: `{}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":null,"offset":{"kafka_offset":1}}]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events"},"offset":{"kafka_offset":1}}]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":"x"},"offset":{"kafka_offset":1}}]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":0},"offset":{"kafka_offset":"x"}}]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":0},"offset":{"other":1}}]}`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":0},"offset":{"kafka_offset":-1}}]}`, differs: "500 for an offset below 0"},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[`, differs: unreadableBody},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":0},"offset":{"kafka_offset":"10"}}]}`, differs: movedOffsets},
		{request: "GET /connectors/@-a/offsets", until: `"kafka_offset":10\b`},
		{request: "PATCH /connectors/@-a/offsets", body: `{"offsets":[{"partition":{"kafka_topic":"side-events","kafka_partition":1},"offset":null}]}`, differs: movedOffsets},
		{request: "GET /connectors/@-a/offsets"},
		{request: "DELETE /connectors/@-a/offsets", differs: movedOffsets},
		{request: "GET /connectors/@-a/offsets"},
		{request: "DELETE /connectors/@-a/offsets", differs: movedOffsets},

		// Loggers: which there are differs.
		{request: "GET /admin/loggers/none"},
		{request: "PUT /admin/loggers/org.apache.kafka.connect.runtime", body: `{}`},
		{request: "PUT /admin/loggers/org.apache.kafka.connect.runtime", body: `x`, differs: unreadableBody},
		{request: "PUT /admin/loggers/org.apache.kafka.connect.runtime", body: `{"level":"LOUD"}`},
		{request: "PUT /admin/loggers/org.apache.kafka.connect.runtime?scope=cluster", body: `{"level":"warn"}`},
		{request: "GET /admin/loggers/org.apache.kafka.connect.runtime", until: "WARN"},
		{request: "PUT /admin/loggers/org.apache.kafka.connect.runtime?scope=worker", body: `{"level":"ERROR"}`, only: `^"org.apache.kafka.connect.runtime"$`},
		{request: "GET /admin/loggers/org.apache.kafka.connect.runtime"},
		{request: "PUT /admin/loggers/root?scope=nowhere", body: `{"level":"warn"}`, only: `^"root"$`, differs: setRoot},
		{request: "GET /admin/loggers/root", differs: setRoot},

		// Between workers.
		{request: "POST /connectors/@-a/tasks", body: `[]`},
		{request: "PUT /connectors/@-a/fence", body: `[]`},
		{request: "PUT /connectors/@-a/fence"},

		// Removing.
		{request: "DELETE /connectors/none"},
		{request: "DELETE /connectors/@-a"},
		{request: "DELETE /connectors/@-p"},
		{request: "DELETE /connectors/@-put/"},
		{request: "GET /connectors/@-a"},
		{request: "GET /connectors/@-a/status", until: "No status"},
		{request: "DELETE /connectors/@-a"},
		{request: "DELETE /connectors/@-s"},
		{request: "GET /connectors", until: `^\["a/b"\]$`}, // which cannot be addressed in Java
	}
}
