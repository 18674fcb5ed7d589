//go:build real && unix

package realtest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// secureGroup has a worker in Java and one of Firn in one group, each of which others reach
// by https alone and with a certificate. What a follower is asked for it has the leader do,
// and what its connector instance makes it sends there: first Java leads, and is killed; then
// Firn leads, and is killed.
func (s *stack) secureGroup(t *testing.T) {
	stores, err := parts.NewStores(t.Context(), s.folder(t, "secure-stores"))
	have(t, err)
	listeners := func() (map[string]string, int) {
		port, err := parts.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return merged(stores.Properties(), map[string]string{
			"listeners":                parts.OwnURL + fmt.Sprintf(",https://127.0.0.1:%d", port),
			"rest.advertised.listener": "https", "rest.advertised.port": strconv.Itoa(port),
		}), port
	}
	props, _ := listeners()
	java, err := parts.NewJavaConnect(t.Context(), s.folder(t, "secure-java"), s.kafka.Bootstrap, "secure", props)
	have(t, err)
	if err := java.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, java.Process) })
	props, port := listeners()
	c := s.cluster(t, "secure", 1, props)
	firn := c.workers[0].url

	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it is the server that has to refuse
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := stranger.Do(req); err == nil {
		answer.Body.Close() //nolint:errcheck,gosec // it should not have come
		t.Errorf("Firn answers %s to a stranger without a certificate", answer.Status)
	}

	f := s.feed(t, "secure-readings")
	config := func(name, tasks string) map[string]string {
		return sink(f.topic, "secure."+name, "", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
			"iceberg.control.topic": "control-secure", "tasks.max": tasks,
		})
	}
	s.createTopicOf(t, "control-secure", 1)
	var names []string
	create := func(url, tasks string) {
		t.Helper()
		for range 2 { // one instance for each worker
			name := fmt.Sprintf("secure%d", len(names))
			names = append(names, name)
			var err error
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
				err = call(t.Context(), http.MethodPost, url+"/connectors", connectapi.Connector{Name: name, Config: config(name, tasks)}, nil)
				if err == nil || !connectapi.IsStatus(err, http.StatusConflict) && !connectapi.IsStatus(err, http.StatusInternalServerError) {
					break // else it still goes to a leader that was killed
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitTasks := func(url string, n int) {
		t.Helper()
		var last any
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			right := 0
			for _, name := range names {
				var tasks []any
				err := call(t.Context(), http.MethodGet, url+"/connectors/"+name+"/tasks", nil, &tasks)
				if last = err; err == nil && len(tasks) == n {
					right++
				}
			}
			if right == len(names) {
				return
			}
		}
		t.Fatalf("not all of %q have %d tasks (%v); the ends of the logs:\n%s\n%s", names, n, last, java.Tail(), c.workers[0].Tail())
	}
	create(firn, "2")
	awaitTasks(java.URL, 2)

	java.Kill()
	for !c.workers[0].Printed("leader=https://127.0.0.1:" + strconv.Itoa(port)) {
		if !c.workers[0].Running() {
			t.Fatalf("Firn has ended:\n%s", c.workers[0].Tail())
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err := java.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(java.URL, "2")
	awaitTasks(firn, 2)

	// A class that the leader does not have is validated by the worker that has it.
	foreign := map[string]string{"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector"}
	err = call(t.Context(), http.MethodPost, firn+"/connectors", connectapi.Connector{Name: "foreign", Config: foreign}, nil)
	if !connectapi.IsStatus(err, http.StatusBadRequest) || !strings.Contains(err.Error(), "Must configure one of topics or topics.regex") {
		t.Errorf("a bad connector of Java's is answered with %v, want Java's reason", err)
	}
	foreign["topics"] = f.topic
	if err := call(t.Context(), http.MethodPost, firn+"/connectors", connectapi.Connector{Name: "foreign", Config: foreign}, nil); err != nil {
		t.Errorf("a connector of Java's: %v", err)
	}
	if err := call(t.Context(), http.MethodDelete, firn+"/connectors/foreign", nil, nil); err != nil {
		t.Error(err)
	}
	for _, name := range names {
		if err := call(t.Context(), http.MethodPut, java.URL+"/connectors/"+name+"/config", config(name, "1"), nil); err != nil {
			t.Fatal(err)
		}
	}
	awaitTasks(firn, 1)

	c.workers[0].Kill()
	create(java.URL, "1")
	c.launch(t, 0)
	c.awaitReady(t)
	awaitTasks(firn, 1)
	create(firn, "1")
	awaitTasks(java.URL, 1)
	for _, name := range names {
		if err := call(t.Context(), http.MethodDelete, java.URL+"/connectors/"+name, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if trouble := "post task configs to the leader"; strings.Count(c.workers[0].Tail(), trouble) > 3 {
		t.Errorf("Firn could not send its task configs:\n%s", c.workers[0].Tail())
	}
}
