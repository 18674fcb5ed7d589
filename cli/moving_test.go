package cli

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
)

var orders0 = connect.TopicPartition{Topic: "orders", Partition: 0}

// A kafkaOfTwo is what two Connect clusters share: a topic with one partition of 100
// records, and the group of connector c. Calls are noted in their order.
type kafkaOfTwo struct {
	mu     sync.Mutex
	calls  []string
	offset int64
}

func (k *kafkaOfTwo) note(call string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, call)
}

// A fakeConnect is the REST API of a cluster, with what concerns one connector.
type fakeConnect struct {
	kafka     *kafkaOfTwo
	name, id  string
	firn      bool
	stuck     bool   // it never gets beyond the offset where it begins
	failure   string // what its tasks end with
	busy      int    // requests that meet a rebalance
	elsewhere int64  // its offsets differ by so much
	invalid   string

	mu     sync.Mutex
	config map[string]string // nil: the connector is not there
	state  string
	url    string
}

func (f *fakeConnect) start(t *testing.T) {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	f.url = s.URL
}

func (f *fakeConnect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/validate") {
		if f.busy--; f.busy >= 0 {
			f.answer(w, http.StatusConflict, map[string]any{"message": "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"})
			return
		}
		f.kafka.note(f.name + " " + r.Method + " " + r.URL.Path)
	}
	gone := func() { f.answer(w, http.StatusNotFound, map[string]any{"message": "gone"}) }
	path := strings.TrimPrefix(r.URL.Path, "/connectors/c")
	switch {
	case r.URL.Path == "/":
		f.answer(w, 200, map[string]any{"kafka_cluster_id": f.id})
	case r.URL.Path == "/openapi.json":
		if !f.firn {
			gone()
			return
		}
		f.answer(w, 200, map[string]any{})
	case strings.HasSuffix(r.URL.Path, "/validate"):
		var wrong []string
		if f.invalid != "" {
			wrong = []string{f.invalid}
		}
		f.answer(w, 200, map[string]any{"configs": []any{map[string]any{"value": map[string]any{"name": "topics", "errors": wrong}}}})
	case r.URL.Path == "/connectors":
		var c connectapi.Connector
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			f.answer(w, 400, map[string]any{"message": err.Error()})
			return
		}
		f.config, f.state = c.Config, c.State
		f.answer(w, 201, nil)
	case f.config == nil:
		gone()
	case path == "/config" && r.Method == http.MethodGet:
		f.answer(w, 200, f.config)
	case path == "/config":
		f.answer(w, 200, nil)
	case path == "/status":
		f.status(w)
	case path == "/offsets":
		f.offsets(w)
	case path == "" && r.Method == http.MethodDelete:
		f.config = nil
		w.WriteHeader(http.StatusNoContent)
	default:
		f.state = map[string]string{"/stop": "STOPPED", "/pause": "PAUSED", "/resume": "RUNNING"}[path]
		w.WriteHeader(http.StatusAccepted)
	}
}

func (f *fakeConnect) answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fakeConnect) status(w http.ResponseWriter) {
	tasks := []map[string]any{}
	if f.state != "STOPPED" {
		task := map[string]any{"id": 0, "state": f.state, "worker_id": "w"}
		if f.failure != "" && f.state == "RUNNING" {
			task["state"], task["trace"] = "FAILED", f.failure
		}
		tasks = append(tasks, task)
	}
	f.answer(w, 200, map[string]any{"name": "c", "connector": map[string]any{"state": f.state, "worker_id": "w"}, "tasks": tasks})
}

func (f *fakeConnect) offsets(w http.ResponseWriter) {
	f.kafka.mu.Lock()
	defer f.kafka.mu.Unlock()
	next := f.kafka.offset + f.elsewhere
	if f.state == "RUNNING" && !f.stuck {
		f.kafka.offset = 100
	}
	f.answer(w, 200, map[string]any{"offsets": []any{map[string]any{
		"partition": map[string]any{"kafka_topic": "orders", "kafka_partition": 0}, "offset": map[string]any{"kafka_offset": next},
	}}})
}

// fakeGroup is the connector's group: it has members as long as a cluster runs it.
type fakeGroup struct {
	kafka *kafkaOfTwo
	sides []*fakeConnect
}

func (g *fakeGroup) Close() error { return nil }

func (g *fakeGroup) Members(context.Context) (n int, err error) {
	for _, f := range g.sides {
		f.mu.Lock()
		if f.config != nil && f.state == "RUNNING" {
			n++
		}
		f.mu.Unlock()
	}
	return n, nil
}

func (g *fakeGroup) Ends(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return map[connect.TopicPartition]int64{orders0: 100}, nil
}

func (g *fakeGroup) Settle(context.Context) error {
	g.kafka.note("settle")
	return nil
}

func TestMigrate(t *testing.T) {
	config := map[string]string{"name": "c", "connector.class": "x", "topics": "orders"}
	const (
		stopJava, resumeJava = "java PUT /connectors/c/stop", "java PUT /connectors/c/resume"
		stopFirn, resumeFirn = "firn PUT /connectors/c/stop", "firn PUT /connectors/c/resume"
		createFirn           = "firn POST /connectors"
	)
	for name, c := range map[string]struct {
		change    func(m *moving, java, firn *fakeConnect)
		look      bool
		calls     []string
		err       string
		java      string // its state in the end
		firn      string
		putBack   bool
		unchanged bool
	}{
		"from Java":   {calls: []string{stopJava, createFirn, resumeFirn}, java: "STOPPED", firn: "RUNNING"},
		"only a look": {look: true, java: "RUNNING"},
		"with the source deleted": {
			change: func(m *moving, _, _ *fakeConnect) { m.remove = true },
			calls:  []string{stopJava, createFirn, resumeFirn, "java DELETE /connectors/c"}, firn: "RUNNING",
		},
		"back to Java": {
			change: func(m *moving, java, firn *fakeConnect) {
				firn.config, firn.state, java.state = config, "RUNNING", "STOPPED"
				m.from, m.to = m.to, m.from
			},
			calls: []string{stopFirn, "settle", "java PUT /connectors/c/config", resumeJava}, java: "RUNNING", firn: "STOPPED",
		},
		"a paused one": {
			change: func(_ *moving, java, _ *fakeConnect) { java.state = "PAUSED" },
			calls:  []string{stopJava, createFirn, "firn PUT /connectors/c/pause"}, java: "STOPPED", firn: "PAUSED",
		},
		"while the clusters rebalance": {
			change: func(_ *moving, java, firn *fakeConnect) { java.busy, firn.busy = 2, 1 },
			calls:  []string{stopJava, createFirn, resumeFirn}, java: "STOPPED", firn: "RUNNING",
		},
		"its tasks fail": {
			change: func(_ *moving, _, firn *fakeConnect) { firn.failure = "no such bucket" },
			calls:  []string{stopJava, createFirn, resumeFirn, stopFirn, "settle", "firn DELETE /connectors/c", resumeJava},
			err:    "no such bucket", java: "RUNNING", putBack: true,
		},
		"it does not move on": {
			change: func(_ *moving, _, firn *fakeConnect) { firn.stuck = true },
			calls:  []string{stopJava, createFirn, resumeFirn, stopFirn, "settle", "firn DELETE /connectors/c", resumeJava},
			err:    "do not move", java: "RUNNING", putBack: true,
		},
		"its offsets are others": {
			change: func(_ *moving, _, firn *fakeConnect) { firn.elsewhere = 7 },
			calls:  []string{stopJava, createFirn, stopFirn, "settle", "firn DELETE /connectors/c", resumeJava},
			err:    "consumer.override.group.id", java: "RUNNING", putBack: true,
		},
		"another Kafka": {
			change: func(_ *moving, _, firn *fakeConnect) { firn.id = "k2" },
			err:    "Kafka cluster", java: "RUNNING", unchanged: true,
		},
		"one cluster": {
			change: func(m *moving, _, _ *fakeConnect) { m.to = m.from },
			err:    "one after another", java: "RUNNING", unchanged: true,
		},
		"an invalid config": {
			change: func(_ *moving, _, firn *fakeConnect) { firn.invalid = "must not be empty" },
			err:    "topics: must not be empty", java: "RUNNING", unchanged: true,
		},
		"nothing there": {
			change: func(_ *moving, java, _ *fakeConnect) { java.config = nil },
			err:    "there is no connector c", unchanged: true,
		},
		"stopped at both": {
			change: func(_ *moving, java, firn *fakeConnect) {
				firn.config, firn.state, java.state = config, "STOPPED", "STOPPED"
			},
			err: "--state", java: "STOPPED", firn: "STOPPED", unchanged: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &kafkaOfTwo{offset: 40}
			java := &fakeConnect{kafka: k, name: "java", id: "k1", config: maps.Clone(config), state: "RUNNING"}
			firn := &fakeConnect{kafka: k, name: "firn", id: "k1", firn: true}
			java.start(t)
			firn.start(t)
			m := &moving{
				name: "c", from: &connectapi.Client{Base: java.url}, to: &connectapi.Client{Base: firn.url},
				patience: 3 * time.Second, log: slog.New(slog.DiscardHandler), tell: func(string) {},
				kafka: func(context.Context, map[string]string) (movedGroup, error) {
					return &fakeGroup{k, []*fakeConnect{java, firn}}, nil
				},
			}
			if c.change != nil {
				c.change(m, java, firn)
			}
			r, err := m.run(t.Context(), c.look)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if exit, ok := errors.AsType[*exitError](err); c.unchanged != ok || ok && exit.code != exitConfig {
				t.Errorf("%v has another exit code", err)
			}
			if (r == nil) != c.unchanged {
				t.Fatalf("report %+v", r)
			}
			if !slices.Equal(k.calls, c.calls) {
				t.Errorf("calls\n got %q\nwant %q", k.calls, c.calls)
			}
			if got := java.present(); got != c.java {
				t.Errorf("on Java it is %q, want %q", got, c.java)
			}
			if got := firn.present(); got != c.firn {
				t.Errorf("on Firn it is %q, want %q", got, c.firn)
			}
			if r != nil && (r.PutBack != c.putBack || r.Moved != (err == nil && !c.look)) {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func (f *fakeConnect) present() string {
	if f.config == nil {
		return ""
	}
	return f.state
}
