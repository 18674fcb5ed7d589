package topics

import (
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/worker/group"
)

// recorded reads the records that Java wrote.
func recorded(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/records.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimSpace(line), " | ")
		if !ok {
			t.Fatalf("no | in %q", line)
		}
		out[key] = value
	}
	return out
}

var quiet = slog.New(slog.DiscardHandler)

func TestRecordsAsJavaWritesThem(t *testing.T) {
	at := time.UnixMilli(1795239754358)
	written := map[string][]byte{
		"session-key":                  encodeSessionKey(SessionKey{Key: []byte("0123456789abcdef0123456789abcdef"), Algorithm: "HmacSHA256", Created: at}),
		"commit-a":                     encodeCommit(2),
		"target-state-a2":              encodeTargetState(Paused),
		"target-state-a3":              encodeTargetState(Stopped),
		"target-state-a4":              encodeTargetState(Started),
		"restart-connector-a2":         encodeRestart(RestartRequest{Connector: "a2", IncludeTasks: true}),
		connectorStatusKey + "a":       encodeStatus(Status{State: StateRunning, Worker: "127.0.0.1:18481", Generation: 2, Version: "4.3.0"}),
		taskStatusRecordKey(a0):        encodeStatus(Status{State: StateUnassigned, Worker: "127.0.0.1:18481", Generation: 2}),
		topicStatusRecordKey("a", "t"): encodeTopicStatus(TopicStatus{Topic: "t", Connector: "a", Discovered: time.UnixMilli(1795239848415)}),
	}
	want := recorded(t)
	for key, got := range written {
		if want[key] == "" || string(got) != want[key] {
			t.Errorf("%s:\n got %s\nwant %s", key, got, want[key])
		}
		delete(want, key)
	}
	// Configs have the order of Java's hash map: equal but for the order.
	for key, value := range want {
		obj, present, err := parse([]byte(value))
		config := obj.properties()
		if err != nil || !present || config == nil {
			t.Fatalf("%s: parse gave %v, %v, %v", key, obj, present, err)
		}
		again, _, _ := parse(appendProperties(nil, nullable(config)))
		if !reflect.DeepEqual(again.properties(), config) || len(config) < 4 {
			t.Errorf("%s: %v came back as %v", key, config, again.properties())
		}
	}
	if got := string(appendProperties(nil, map[string]*string{"b": new(""), "a": nil})); got != `{"properties":{"a":null,"b":""}}` {
		t.Errorf("a config with a null: %s", got)
	}
	if got := taskRecordKey(a0); got != "task-a-0" {
		t.Errorf("key of task 0 of a: %s", got)
	}
}

var a0 = group.TaskID{Connector: "a", Task: 0}

func TestRecordsAsJavaReadsThem(t *testing.T) {
	records := recorded(t)
	m, table := newMachine(quiet), newStatusTable(quiet)
	m.started = true
	for i, key := range []string{"session-key", "target-state-a2", "target-state-a3", "target-state-a4", "connector-a", "task-a-0", "restart-connector-a2"} {
		m.apply(key, []byte(records[key]), int64(i))
	}
	m.apply("commit-a", []byte(`{"tasks":1}`), 9)
	for _, key := range []string{"status-connector-a", "status-task-a-0", "status-topic-t:connector-a"} {
		table.apply(key, []byte(records[key]))
	}

	s := m.snapshot()
	if k := s.SessionKey(); k == nil || string(k.Key) != "0123456789abcdef0123456789abcdef" || k.Algorithm != "HmacSHA256" || k.Created.UnixMilli() != 1795239754358 {
		t.Errorf("session key %v", k)
	}
	if s.targets["a2"] != Paused || s.targets["a3"] != Stopped || s.targets["a4"] != Started || s.targets["a"] != Started {
		t.Errorf("target states %v", s.targets)
	}
	if c := s.Config("a"); c["connector.class"] != "FileStreamSink" || c["tasks.max"] != "2" || len(c) != 4 {
		t.Errorf("config of a: %v", c)
	}
	if c := s.TaskConfig(a0); c["task.class"] != "org.apache.kafka.connect.file.FileStreamSinkTask" || len(c) != 5 {
		t.Errorf("config of a-0: %v", c)
	}
	if s.Offset() != 10 {
		t.Errorf("offset %d, want 10", s.Offset())
	}
	if c := m.pending.changes(); len(c.Restarts) != 1 || c.Restarts[0] != (RestartRequest{Connector: "a2", IncludeTasks: true}) {
		t.Errorf("restarts %v", c.Restarts)
	}
	if got, want := table.connectors["a"], (Status{State: StateRunning, Worker: "127.0.0.1:18481", Generation: 2, Version: "4.3.0"}); got != want {
		t.Errorf("status of a: %+v, want %+v", got, want)
	}
	if got, want := table.tasks["a"][0], (Status{State: StateUnassigned, Worker: "127.0.0.1:18481", Generation: 2}); got != want {
		t.Errorf("status of a-0: %+v, want %+v", got, want)
	}
	if got := table.topics["a"]["t"]; got.Topic != "t" || got.Connector != "a" || got.Discovered.UnixMilli() != 1795239848415 {
		t.Errorf("topic of a: %+v", got)
	}
}

// Recorded from JsonConverter with schemas.enable=false.
func TestStringsAsJacksonWritesThem(t *testing.T) {
	got := append(appendString([]byte(`{"html":`), "<a href='x'>& é\u0001\"/\\"), '}')
	if want := `{"html":"<a href='x'>& é\u0001\"/\\"}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := appendString(nil, "\x1f\n\t\u2028\xff"); string(got) != `"\u001F\n\t`+"\u2028\uFFFD"+`"` {
		t.Errorf("got %s", got)
	}
}

func TestTraceFitsInARecord(t *testing.T) {
	b := encodeStatus(Status{State: StateFailed, Trace: strings.Repeat("\n", 10<<20), Worker: "w"})
	if len(b) > 1<<20 {
		t.Errorf("a status has %d bytes", len(b))
	}
}

func TestParseTask(t *testing.T) {
	tests := []struct {
		key  string
		want group.TaskID
		ok   bool
	}{
		{"task-a-0", group.TaskID{Connector: "a"}, true},
		{"task-my-sink-12", group.TaskID{Connector: "my-sink", Task: 12}, true},
		{"task-a--1", group.TaskID{Connector: "a-", Task: 1}, true},
		{"task-a", group.TaskID{}, false},
		{"task-a-", group.TaskID{}, false},
		{"task-a-x", group.TaskID{}, false},
		{"task-a-99999999999", group.TaskID{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseTask(tt.key, 1); got != tt.want || ok != tt.ok {
			t.Errorf("parseTask(%q) = %+v, %v; want %+v, %v", tt.key, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzRecords(f *testing.F) {
	for key, value := range recorded(f) {
		f.Add(key, []byte(value))
	}
	f.Add("commit-a", []byte(`{"tasks":4000000000}`))
	f.Add("commit-a", []byte(`{"tasks":-2147483648}`))
	f.Add("connector-a", []byte(`{"properties":{"a":null,"b":1,"c":{"d":[]}}} x`))
	f.Add("target-state-a", []byte(`null`))
	f.Add("status-topic-:", []byte(`{"topic":null}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		m, table := newMachine(quiet), newStatusTable(quiet)
		m.started = true
		for i, r := range [][2]string{
			{"connector-a", `{"properties":{"name":"a"}}`}, {"task-a-0", `{"properties":{}}`}, {key, string(value)}, {"commit-a", `{"tasks":1}`}, {key, string(value)},
		} {
			m.apply(r[0], []byte(r[1]), int64(i))
		}
		s := m.snapshot()
		for _, id := range s.Work().Tasks {
			if s.TaskConfig(id) == nil {
				t.Fatalf("task %v of %q has no config", id, key)
			}
		}
		table.apply(key, value)
		table.apply(key, nil)
		for name, config := range s.connectors {
			b := appendProperties(nil, nullable(config))
			if obj, _, err := parse(b); err != nil || !reflect.DeepEqual(obj.properties(), config) {
				t.Fatalf("config of %q: %v was written as %s (%v)", name, config, b, err)
			}
		}
	})
}
