package topics

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/firn-io/firn/worker/group"
)

// describe prints what matters of a state, as "a STARTED 2 a-0=x a-1=y applied=1; b …".
func describe(s *ClusterState) string {
	var out []string
	for _, c := range s.Connectors() {
		line := []string{c, string(s.TargetState(c))}
		if n, ok := s.TaskCount(c); ok {
			line = append(line, strconv.Itoa(n))
		}
		for _, id := range s.Tasks(c) {
			line = append(line, id.String()+"="+s.TaskConfig(id)["v"])
		}
		if s.Inconsistent(c) {
			line = append(line, "inconsistent")
		}
		if applied := s.AppliedConfig(c); applied != nil {
			line = append(line, "applied="+applied["v"])
		}
		out = append(out, strings.Join(line, " "))
	}
	return strings.Join(out, "; ")
}

func config(v string) string { return `{"properties":{"v":"` + v + `"}}` }

// Workers in Java that run exactly-once source connectors leave one trace.
func TestExactlyOnceSourcesAreNoticed(t *testing.T) {
	var log strings.Builder
	m := newMachine(slog.New(slog.NewTextHandler(&log, nil)))
	m.apply("connector-a", []byte(config("1")), 0)
	m.apply("tasks-fencing-gone", nil, 1)
	if log.Len() > 0 {
		t.Errorf("without cause logged %s", log.String())
	}
	for i := range int64(3) {
		m.apply("tasks-fencing-src", []byte(`{"tasks":2}`), 2+i)
	}
	if got := log.String(); strings.Count(got, "connector=src") != 1 || strings.Count(got, "\n") != 1 || !strings.Contains(got, "WARN") {
		t.Errorf("logged %q, want one warning of src", got)
	}
	if got := m.state.Offset(); got != 5 {
		t.Errorf("the offset is %d, want 5", got)
	}
}

func TestStateMachine(t *testing.T) {
	const tombstone = "(null)"
	tests := []struct {
		name    string
		records [][2]string
		want    string
		offset  int64
	}{
		{"nothing", nil, "", -1},
		{"a connector", [][2]string{{"connector-a", config("1")}}, "a STARTED", 1},
		{"task configs wait for their commit", [][2]string{{"connector-a", config("1")}, {"task-a-0", config("x")}}, "a STARTED", 2},
		{"a commit makes them count", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"task-a-1", config("y")}, {"commit-a", `{"tasks":2}`},
		}, "a STARTED 2 a-0=x a-1=y applied=1", 4},
		{"a second set replaces the first at its commit only", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`}, {"connector-a", config("2")}, {"task-a-0", config("z")},
		}, "a STARTED 1 a-0=x applied=1", 5},
		{"fewer tasks: the old config stays unused", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"task-a-1", config("y")}, {"commit-a", `{"tasks":2}`}, {"task-a-0", config("z")}, {"commit-a", `{"tasks":1}`},
		}, "a STARTED 1 a-0=z applied=1", 6},
		{"compaction took a task config", [][2]string{
			{"connector-a", config("1")}, {"task-a-1", config("y")}, {"commit-a", `{"tasks":2}`},
		}, "a STARTED 2 inconsistent", 3},
		{"extra task configs do not matter", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"task-a-7", config("y")}, {"commit-a", `{"tasks":1}`},
		}, "a STARTED 1 a-0=x applied=1", 4},
		{"an inconsistent connector heals with the next commit", [][2]string{
			{"connector-a", config("1")}, {"task-a-1", config("y")}, {"commit-a", `{"tasks":2}`}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`},
		}, "a STARTED 1 a-0=x applied=1", 5},
		{"the configs of a broken set are not kept for the next", [][2]string{
			{"connector-a", config("1")}, {"task-a-1", config("y")}, {"commit-a", `{"tasks":2}`}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":2}`},
		}, "a STARTED 2 inconsistent", 5},
		{"stop commits no tasks", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`}, {"commit-a", `{"tasks":0}`}, {"target-state-a", `{"state":"PAUSED","state.v2":"STOPPED"}`},
		}, "a STOPPED 0 applied=1", 5},
		{"an old worker's target state", [][2]string{{"connector-a", config("1")}, {"target-state-a", `{"state":"PAUSED"}`}}, "a PAUSED", 2},
		{"state.v2 that is no string is passed over", [][2]string{{"connector-a", config("1")}, {"target-state-a", `{"state":"PAUSED","state.v2":7}`}}, "a PAUSED", 2},
		{"an unknown target state", [][2]string{{"connector-a", config("1")}, {"target-state-a", `{"state":"STARTED","state.v2":"DREAMING"}`}}, "a STARTED", 2},
		{"target state forgotten while the connector exists", [][2]string{
			{"connector-a", config("1")}, {"target-state-a", `{"state":"PAUSED"}`}, {"target-state-a", tombstone},
		}, "a STARTED", 3},
		{"initial state comes before its connector", [][2]string{{"target-state-a", `{"state":"PAUSED","state.v2":"STOPPED"}`}, {"connector-a", config("1")}}, "a STOPPED", 2},
		{"delete", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`}, {"connector-a", tombstone}, {"target-state-a", tombstone},
		}, "", 5},
		{"created again: the old tasks are gone", [][2]string{
			{"connector-a", config("1")}, {"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`}, {"connector-a", tombstone}, {"target-state-a", tombstone}, {"connector-a", config("2")},
		}, "a STARTED", 6},
		{"a deletion forgets no target state by itself", [][2]string{
			{"connector-a", config("1")}, {"target-state-a", `{"state":"PAUSED"}`}, {"connector-a", tombstone}, {"connector-a", config("2")},
		}, "a PAUSED", 4},
		{"a commit without its connector", [][2]string{{"task-a-0", config("x")}, {"commit-a", `{"tasks":1}`}, {"connector-a", config("1")}}, "a STARTED", 3},
		{"names with dashes", [][2]string{{"connector-a-1", config("1")}, {"task-a-1-0", config("x")}, {"commit-a-1", `{"tasks":1}`}}, "a-1 STARTED 1 a-1-0=x applied=1", 3},
		{"no JSON does not count", [][2]string{{"connector-a", config("1")}, {"connector-b", `{"properties":`}}, "a STARTED", 1},
		{"unknown keys count", [][2]string{{"connector-a", config("1")}, {"zebra", `{}`}, {"tasks-fencing-a", `{"task-count":1}`}}, "a STARTED", 3},
		{"values of the wrong shape change nothing", [][2]string{
			{"connector-a", config("1")}, {"connector-a", `{"properties":"x"}`}, {"task-a-0", tombstone}, {"task-a-0", `[]`}, {"commit-a", `{"tasks":"1"}`}, {"commit-a", `{"tasks":1.5}`}, {"session-key", `{}`},
		}, "a STARTED", 7},
		{"a huge count is incomplete", [][2]string{{"connector-a", config("1")}, {"commit-a", `{"tasks":2000000000}`}}, "a STARTED 2000000000 inconsistent", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(quiet)
			for i, r := range tt.records {
				value := []byte(r[1])
				if r[1] == tombstone {
					value = nil
				}
				m.apply(r[0], value, int64(i))
			}
			s := m.snapshot()
			if got := describe(s); got != tt.want || s.Offset() != tt.offset {
				t.Errorf("got %q at %d, want %q at %d", got, s.Offset(), tt.want, tt.offset)
			}
			if c := m.pending.changes(); !c.Empty() {
				t.Errorf("changes before the start: %+v", c)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	m := newMachine(quiet)
	n := int64(0)
	feed := func(records ...[2]string) Changes {
		for _, r := range records {
			value := []byte(r[1])
			if r[1] == "" {
				value = nil
			}
			m.apply(r[0], value, n)
			n++
		}
		c := m.pending.changes()
		m.pending = newPending()
		return c
	}
	feed([2]string{"connector-a", config("1")}, [2]string{"restart-connector-a", `{"include-tasks":true}`}, [2]string{"logger-cluster-root", `{"level":"DEBUG"}`})
	m.started = true

	c := feed([2]string{"task-a-0", config("x")})
	if !c.Empty() {
		t.Errorf("a deferred task config: %+v", c)
	}
	c = feed([2]string{"commit-a", `{"tasks":1}`})
	if fmt.Sprint(c.Committed, c.Tasks) != "[a] [a-0]" {
		t.Errorf("commit: %+v", c)
	}
	c = feed([2]string{"commit-a", `{"tasks":0}`})
	if fmt.Sprint(c.Committed, c.Tasks) != "[a] []" {
		t.Errorf("commit of nothing: %+v", c)
	}
	c = feed([2]string{"target-state-a", `{"state":"STARTED","state.v2":"STARTED"}`}, [2]string{"target-state-x", `{"state":"PAUSED"}`})
	if !c.Empty() {
		t.Errorf("the same target state, and that of an unknown connector: %+v", c)
	}
	c = feed([2]string{"target-state-a", `{"state":"PAUSED"}`})
	if fmt.Sprint(c.TargetStates) != "[a]" {
		t.Errorf("target state: %+v", c)
	}
	c = feed([2]string{"connector-b", config("1")}, [2]string{"connector-b", ""}, [2]string{"connector-a", ""}, [2]string{"connector-a", config("2")})
	if fmt.Sprint(c.Updated, c.Removed) != "[a] [a b]" {
		t.Errorf("deletions: %+v", c)
	}
	c = feed([2]string{"restart-connector-a", `{"include-tasks":true,"only-failed":true}`}, [2]string{"restart-connector-a", `{"include-tasks":false,"only-failed":false}`},
		[2]string{"restart-connector-a", `{}`}, [2]string{"restart-connector-b", `{"only-failed":1}`}, [2]string{"logger-cluster-root", `{"level":"WARN"}`})
	if fmt.Sprint(c.Restarts) != "[{a false false} {b false false}]" || c.Levels["root"] != "WARN" {
		t.Errorf("restarts and levels: %+v", c)
	}
	c = feed([2]string{"session-key", recorded(t)["session-key"]})
	if c.SessionKey == nil || strings.Contains(fmt.Sprint(*c.SessionKey), "0123") {
		t.Errorf("session key: %v", c.SessionKey)
	}
}

func TestSnapshotsDoNotChange(t *testing.T) {
	m := newMachine(quiet)
	m.apply("connector-a", []byte(config("1")), 0)
	m.apply("task-a-0", []byte(config("x")), 1)
	m.apply("commit-a", []byte(`{"tasks":1}`), 2)
	before := m.snapshot()
	want := describe(before)
	for i, r := range [][2]string{
		{"task-a-0", config("y")},
		{"commit-a", `{"tasks":1}`},
		{"connector-a", config("2")},
		{"target-state-a", `{"state":"PAUSED"}`},
		{"connector-b", config("1")},
		{"commit-a", `{"tasks":3}`},
		{"connector-a", "null"},
	} {
		m.apply(r[0], []byte(r[1]), int64(3+i))
		m.snapshot()
	}
	if got := describe(before); got != want || before.Offset() != 3 {
		t.Errorf("a snapshot changed from %q to %q at %d", want, got, before.Offset())
	}
	if got := describe(m.snapshot()); got != "b STARTED" {
		t.Errorf("the last snapshot is %q", got)
	}
}

func TestStatusTable(t *testing.T) {
	running := `{"state":"RUNNING","trace":null,"worker_id":"w1","generation":5}` // as before Kafka 4.1
	tests := []struct {
		name    string
		records [][2]string
		want    string
	}{
		{"statuses", [][2]string{{"status-connector-a", running}, {"status-task-a-0", running}}, "a:RUNNING/5 a-0:RUNNING/5"},
		{"a late UNASSIGNED", [][2]string{{"status-task-a-0", running}, {"status-task-a-0", `{"state":"UNASSIGNED","worker_id":"w0","generation":5}`}}, "a-0:RUNNING/5"},
		{"a later UNASSIGNED", [][2]string{{"status-task-a-0", running}, {"status-task-a-0", `{"state":"UNASSIGNED","worker_id":"w0","generation":6}`}}, "a-0:UNASSIGNED/6"},
		{"UNASSIGNED of a connector", [][2]string{{"status-connector-a", running}, {"status-connector-a", `{"state":"UNASSIGNED","worker_id":"w0","generation":4}`}}, "a:UNASSIGNED/4"},
		{"an unknown state is dropped", [][2]string{{"status-task-a-0", running}, {"status-task-a-0", `{"state":"DREAMING","worker_id":"w","generation":9}`}}, "a-0:RUNNING/5"},
		{"no generation", [][2]string{{"status-task-a-0", `{"state":"RUNNING","worker_id":"w"}`}}, ""},
		{"a generation that is no integer", [][2]string{{"status-task-a-0", `{"state":"RUNNING","worker_id":"w","generation":1.0}`}}, ""},
		{"a task tombstone takes one task", [][2]string{{"status-connector-a", running}, {"status-task-a-0", running}, {"status-task-a-1", running}, {"status-task-a-0", ""}}, "a:RUNNING/5 a-1:RUNNING/5"},
		{"a connector tombstone takes its tasks", [][2]string{{"status-connector-a", running}, {"status-task-a-0", running}, {"status-task-b-0", running}, {"status-connector-a", ""}}, "b-0:RUNNING/5"},
		{"foreign records", [][2]string{{"zebra", running}, {"status-connector-", running}, {"status-task-a", running}, {"status-connector-a", "{"}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newStatusTable(quiet)
			for _, r := range tt.records {
				table.apply(r[0], []byte(r[1]))
			}
			var got []string
			for _, name := range table.names() {
				if s, ok := table.connectors[name]; ok {
					got = append(got, fmt.Sprintf("%s:%s/%d", name, s.State, s.Generation))
				}
				for _, i := range slices.Sorted(maps.Keys(table.tasks[name])) {
					s := table.tasks[name][i]
					got = append(got, fmt.Sprintf("%s:%s/%d", group.TaskID{Connector: name, Task: i}, s.State, s.Generation))
				}
			}
			if line := strings.Join(got, " "); line != tt.want {
				t.Errorf("got %q, want %q", line, tt.want)
			}
		})
	}
}
