//go:build real && unix

package realtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/realtest/parts"
)

// stockClient drives two workers with kafka-connect-py: the class asks one, the command
// line the other, so that one of them has to ask the leader.
func (s *stack) stockClient(t *testing.T) {
	client, err := parts.NewStockClient(t.Context(), s.folder(t, "stock-client"))
	have(t, err)
	c := s.cluster(t, "stock", 2, nil)
	f := s.feed(t, "stock-readings")
	if err := f.json(t.Context(), 0, 1000); err != nil {
		t.Fatal(err)
	}
	for _, u := range []stockUser{
		{name: "stock-class", ask: func(method string, args map[string]any, answer any, _ ...string) error {
			return client.Call(t.Context(), c.workers[0].url, method, args, answer)
		}},
		{name: "stock-line", ask: func(_ string, _ map[string]any, answer any, command ...string) error {
			return client.Command(t.Context(), c.workers[1].url, answer, command...)
		}},
	} {
		t.Run(u.name, func(t *testing.T) {
			u.T = t
			u.config = sink(f.topic, strings.ReplaceAll(u.name, "-", "_")+".readings", "city", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
				"iceberg.control.topic": "control-" + u.name,
			})
			u.play(c, f.topic)
		})
	}
}

// A stockUser knows a connector by its name and has one way to ask for something: it is
// given the method of the class with its arguments, and the command with its own.
type stockUser struct {
	*testing.T
	name   string
	config map[string]string
	ask    func(method string, args map[string]any, answer any, command ...string) error
}

// gets asks until the answer holds all texts, and fails after a while.
func (u *stockUser) gets(method string, args map[string]any, command []string, want ...string) {
	u.Helper()
	var answer json.RawMessage
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = u.ask(method, args, &answer, command...); err == nil && hasAll(string(answer), want) {
			return
		}
	}
	u.Fatalf("%s answered %.500s, %v; want %q", method, answer, err, want)
}

func hasAll(text string, want []string) bool {
	for _, w := range want {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// does asks for something that has no answer.
func (u *stockUser) does(method string, command ...string) {
	u.Helper()
	if err := u.ask(method, map[string]any{"connector": u.name}, nil, command...); err != nil {
		u.Fatal(err)
	}
}

// fails asks for something that has to be refused with a status.
func (u *stockUser) fails(status, method string, args map[string]any, command ...string) {
	u.Helper()
	var answer json.RawMessage
	if err := u.ask(method, args, &answer, command...); err == nil || !strings.Contains(err.Error(), status) {
		u.Errorf("%s answered %.500s, %v; want the status %s", method, answer, err, status)
	}
}

func (u *stockUser) play(c *cluster, topic string) {
	named := map[string]any{"connector": u.name}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			u.Fatal(err)
		}
		return string(b)
	}
	whole := map[string]any{"name": u.name, "config": u.config}
	const class = "org.apache.iceberg.connect.IcebergSinkConnector"
	state := func(s string) []string {
		return []string{`"connector": {"state": "` + s + `"`, `"name": "` + u.name + `"`}
	}
	status := func(want ...string) { u.gets("get_connector_status", named, []string{"status", u.name}, want...) }

	u.gets("get_cluster_info", nil, []string{"info"}, `"version": "4.`, `"kafka_cluster_id"`)
	u.gets("list_connector_plugins", nil, []string{"list-plugins"}, class)
	u.fails("404", "get_connector", named, "get", u.name)
	u.fails("400", "create_connector", map[string]any{"config": map[string]any{"name": u.name, "config": map[string]string{"connector.class": class}}},
		"create", "-d", text(map[string]any{"name": u.name, "config": map[string]string{"connector.class": class}}))

	u.gets("create_connector", map[string]any{"config": whole}, []string{"create", "-d", text(whole)}, `"type": "sink"`, `"name": "`+u.name+`"`)
	u.fails("409", "create_connector", map[string]any{"config": whole}, "create", "-d", text(whole))
	status(append(state("RUNNING"), `"id": 1, "state": "RUNNING"`)...)
	u.gets("list_connectors", nil, []string{"list"}, u.name)
	u.gets("list_connectors", map[string]any{"expand": "status", "state": "running"}, []string{"list", "-e", "status", "-s", "RUNNING"}, state("RUNNING")...)
	u.gets("list_connectors", map[string]any{"expand": "info", "pattern": u.name}, []string{"list", "-e", "info", "-p", u.name}, `"topics": "`+topic+`"`)
	u.gets("get_connector", named, []string{"get", u.name}, `"task": 1`)
	u.gets("get_connector_config", named, []string{"config", u.name}, `"connector.class": "`+class+`"`)
	u.gets("list_connector_tasks", named, []string{"list-tasks", u.name}, `"task.class"`)
	u.gets("get_connector_task_status", map[string]any{"connector": u.name, "task_id": 0}, []string{"task-status", u.name, "0"}, `"state": "RUNNING"`)
	c.awaitCommitted(u.T, u.name, c.ends(u.T, topic), time.Minute)
	u.gets("list_connector_topics", named, []string{"list-topics", u.name}, topic)
	u.does("reset_connector_topics", "reset-topics", u.name)

	u.does("pause_connector", "pause", u.name)
	status(append(state("PAUSED"), `"id": 1, "state": "PAUSED"`)...)
	u.does("resume_connector", "resume", u.name)
	status(append(state("RUNNING"), `"id": 1, "state": "RUNNING"`)...)
	if u.name == "stock-class" { // the command line has none to stop
		u.does("stop_connector")
		status(append(state("STOPPED"), `"tasks": []`)...)
		u.does("resume_connector")
		status(append(state("RUNNING"), `"id": 1, "state": "RUNNING"`)...)
	}

	u.gets("restart_connector", map[string]any{"connector": u.name, "include_tasks": true}, []string{"restart", "-i", u.name}, `"name": "`+u.name+`"`)
	status(append(state("RUNNING"), `"id": 1, "state": "RUNNING"`)...)
	if err := u.ask("restart_connector_task", map[string]any{"connector": u.name, "task_id": 1}, nil, "restart-task", u.name, "1"); err != nil {
		u.Fatal(err)
	}
	status(append(state("RUNNING"), `"id": 1, "state": "RUNNING"`)...)

	u.config["tasks.max"] = "1"
	u.gets("update_connector", map[string]any{"connector": u.name, "config": u.config}, []string{"update", u.name, "-d", text(u.config)}, `"tasks.max": "1"`)
	u.gets("list_connector_tasks", named, []string{"list-tasks", u.name}, `"task": 0`)
	if u.name == "stock-class" { // the command line sends the config as a text, which no worker takes
		u.config["name"] = u.name
		u.gets("validate_connector_config", map[string]any{"plugin": class, "config": u.config}, nil, `"error_count": 0`)
		u.config["tasks.max"] = "many"
		u.gets("validate_connector_config", map[string]any{"plugin": class, "config": u.config}, nil, `"error_count": 2`, "Invalid value many for configuration tasks.max")
	}
	u.does("delete_connector", "delete", u.name)
	u.fails("404", "get_connector", named, "get", u.name)
	u.fails("404", "pause_connector", named, "pause", u.name)
}
