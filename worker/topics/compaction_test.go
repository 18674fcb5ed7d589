package topics

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// A history is the config topic with all its records; "" is a tombstone.
type history [][2]string

func (h *history) put(key, value string) { *h = append(*h, [2]string{key, value}) }

// publish writes a set of task configs as leaders do, up to the record stop.
func (h *history) publish(name, v string, tasks, stop int) {
	for i := range min(tasks, stop) {
		h.put("task-"+name+"-"+strconv.Itoa(i), config(v+"."+strconv.Itoa(i)))
	}
	if stop > tasks {
		h.put("commit-"+name, string(encodeCommit(tasks)))
	}
}

// compact is what is left after the log cleaner has been at the first clean records: the
// newest of each key, with or without tombstones. The others are marked by an empty key.
func (h *history) compact(clean int, tombstones bool) history {
	newest := make(map[string]int)
	for i, r := range (*h)[:clean] {
		newest[r[0]] = i
	}
	out := append(history{}, *h...)
	for i, r := range (*h)[:clean] {
		if newest[r[0]] != i || r[1] == "" && !tombstones {
			out[i][0] = ""
		}
	}
	return out
}

func (h *history) read() *ClusterState {
	m := newMachine(quiet)
	for i, r := range *h {
		if r[0] == "" {
			continue
		}
		var value []byte
		if r[1] != "" {
			value = []byte(r[1])
		}
		m.apply(r[0], value, int64(i))
	}
	return m.snapshot()
}

// TestCompaction lets leaders write, crash between the records of a set and follow each
// other. A worker that reads the compacted topic must know the same connectors, and for
// each either the same tasks with the same configs, or none until they are committed again:
// never some of one set and some of another.
func TestCompaction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := history{{"connector-a", config("x")}, {"connector-a-1", config("y")}}
		for n := range rapid.IntRange(1, 12).Draw(t, "writes") {
			name := rapid.SampledFrom([]string{"a", "a-1"}).Draw(t, "connector")
			v := strconv.Itoa(n)
			switch rapid.IntRange(0, 9).Draw(t, "write") {
			case 9:
				all.put("connector-"+name, config(v))
			case 8:
				all.put("connector-"+name, "")
				all.put("target-state-"+name, "")
			case 7:
				all.publish(name, v, 0, 1)
				all.put("target-state-"+name, string(encodeTargetState(Stopped)))
			case 6:
				all.put("tasks-fencing-"+name, `{"task-count":1}`)
				all.put("foreign-"+name, `{"properties":{}}`)
			default:
				tasks := rapid.IntRange(0, 3).Draw(t, "tasks")
				all.publish(name, v, tasks, rapid.IntRange(0, tasks+2).Draw(t, "stop"))
			}
		}
		clean := len(all) - rapid.IntRange(0, len(all)).Draw(t, "dirty")
		rest := all.compact(clean, rapid.Bool().Draw(t, "tombstones"))
		want, got := all.read(), rest.read()
		if !slices.Equal(got.Connectors(), want.Connectors()) {
			t.Fatalf("connectors %v, want %v", got.Connectors(), want.Connectors())
		}
		for _, name := range want.Connectors() {
			if !maps.Equal(got.Config(name), want.Config(name)) || got.TargetState(name) != want.TargetState(name) {
				t.Fatalf("%s is %v %s, want %v %s", name, got.Config(name), got.TargetState(name), want.Config(name), want.TargetState(name))
			}
			tasks := got.Tasks(name)
			if len(tasks) == 0 {
				continue
			}
			if len(tasks) != len(want.Tasks(name)) {
				t.Fatalf("%s has tasks %v, want %v", name, tasks, want.Tasks(name))
			}
			for _, id := range tasks {
				if !maps.Equal(got.TaskConfig(id), want.TaskConfig(id)) {
					t.Fatalf("task %v has %v, want %v", id, got.TaskConfig(id), want.TaskConfig(id))
				}
			}
		}
	})
}
