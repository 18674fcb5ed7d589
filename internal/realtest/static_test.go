//go:build real && unix

package realtest

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
)

// staticMembers gives the tasks of a connector a group.instance.id: a task that is restarted
// moves no partition of the other, and a connector of the same ids somewhere else ends the
// tasks of the first with the reason.
func (s *stack) staticMembers(t *testing.T) {
	c := s.cluster(t, "static", 1, nil)
	f := s.feed(t, "static-readings")
	if err := f.json(t.Context(), 0, 1000); err != nil {
		t.Fatal(err)
	}
	config := sink(f.topic, "static.readings", "", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
		"consumer.override.group.instance.id": "static", "consumer.override.session.timeout.ms": "30000", "consumer.override.heartbeat.interval.ms": "1000",
	})
	c.post(t, 0, "static", config)
	c.awaitCommitted(t, "static", s.ends(t, f.topic), time.Minute)

	joined := func(task string) int {
		text, err := os.ReadFile(c.workers[0].Log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), `msg="joined the group" connector=static task=`+task+" ")
	}
	zero, one := joined("0"), joined("1")
	if err := call(t.Context(), http.MethodPost, c.workers[0].url+"/connectors/static/tasks/0/restart", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.json(t.Context(), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	c.awaitCommitted(t, "static", s.ends(t, f.topic), time.Minute)
	if zeroNow, oneNow := joined("0"), joined("1"); zeroNow != zero+1 || oneNow != one {
		t.Errorf("task 0 joined %d times and task 1 %d times after a restart of task 0, want 1 and 0", zeroNow-zero, oneNow-one)
	}

	rival := s.cluster(t, "static2", 1, nil)
	if err := call(t.Context(), http.MethodPost, rival.workers[0].url+"/connectors", connectapi.Connector{Name: "static", Config: config}, nil); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		st, err := c.status(t.Context(), "static")
		failed := 0
		for _, task := range st.Tasks {
			if task.State == "FAILED" && strings.Contains(task.Trace, "another member has joined under the same group.instance.id") {
				failed++
			}
		}
		if failed == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the tasks of the first are %+v (%v), want both FAILED with the reason", st, err)
		}
	}
	if err := f.json(t.Context(), 2000, 1000); err != nil {
		t.Fatal(err)
	}
	rival.awaitCommitted(t, "static", s.ends(t, f.topic), time.Minute)
	s.verify(t, s.restCatalog(""), "static.readings", "n", f.want)
}
