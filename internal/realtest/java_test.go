//go:build real && unix

package realtest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// A migration is one connector that the Java sink and Firn run in turn, on the same
// topic, table, consumer group and control topic. Java sees the catalog through a trap.
type migration struct {
	*feed
	s      *stack
	name   string
	config map[string]string // of the connector, for both
	trap   *trap
	java   *parts.JavaConnect
	rows   int
}

func (s *stack) migration(t *testing.T, name string) *migration {
	t.Helper()
	m := &migration{s: s, name: name + "-readings", feed: s.feed(t, name+"-readings")}
	var url string
	m.trap, url = s.trapCatalog(t, name, "readings")
	m.config = sink(m.topic, name+".readings", "bucket(n, 2)", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
		"iceberg.catalog.uri":                 url,
		"key.converter":                       "org.apache.kafka.connect.storage.StringConverter",
		"iceberg.control.commit.timeout-ms":   "5000",
		"consumer.override.auto.offset.reset": "earliest",
	})
	// Two tasks of Java that both find no namespace make one fail on this catalog.
	if err := call(t.Context(), http.MethodPost, s.catalog.URL+"/v1/namespaces", map[string]any{"namespace": []string{name}}, nil); err != nil {
		t.Fatal(err)
	}
	s.controlTopic(t, m.config["iceberg.control.topic"], m.name)
	var err error
	m.java, err = parts.NewJavaConnect(t.Context(), s.folder(t, name+"-java"), s.kafka.Bootstrap, name+"-java", nil)
	have(t, err)
	m.startJava(t)
	t.Cleanup(func() { stop(t, m.java.Process) })
	return m
}

func (m *migration) startJava(t *testing.T) {
	t.Helper()
	began := time.Now()
	if err := m.java.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("Java Connect answers after %.1f s", time.Since(began).Seconds())
}

// more writes records.
func (m *migration) more(t *testing.T) {
	t.Helper()
	const n = 4000
	if err := m.json(t.Context(), m.rows, n); err != nil {
		t.Fatal(err)
	}
	m.rows += n
}

// post creates the connector in a cluster, remove deletes it there, which stops it cleanly.
func (m *migration) post(t *testing.T, url string) {
	t.Helper()
	if err := call(t.Context(), http.MethodPost, url+"/connectors", connectapi.Connector{Name: m.name, Config: m.config}, nil); err != nil {
		t.Fatal(err)
	}
}

func (m *migration) remove(t *testing.T, url string) {
	t.Helper()
	m.drop(t, url)
	m.awaitNobody(t)
}

func (m *migration) drop(t *testing.T, url string) {
	t.Helper()
	if err := call(t.Context(), http.MethodDelete, url+"/connectors/"+m.name, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// awaitNobody waits until the connector's group has no members.
func (m *migration) awaitNobody(t *testing.T) {
	t.Helper()
	admin, err := kafka.NewAdmin(m.s.client)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // it only asks
	m.await(t, "the group to be empty", func() bool {
		info, err := admin.DescribeGroup(t.Context(), "connect-"+m.name)
		return err == nil && len(info.Members) == 0
	})
}

// await waits for something, or for the connector to fail on Java.
func (m *migration) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		var st connectapi.Status
		if m.java.Running() && call(t.Context(), http.MethodGet, m.java.URL+"/connectors/"+m.name+"/status", nil, &st) == nil {
			for _, task := range st.Tasks {
				if task.State == "FAILED" {
					t.Fatalf("task %d has failed on Java: %s", task.ID, task.Trace)
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; the end of Java's log:\n%s", what, m.java.Tail())
		}
	}
}

// groupAtEnd tells whether the consumer group has the topic's ends.
func (m *migration) groupAtEnd(t *testing.T) bool {
	t.Helper()
	return maps.Equal(m.group(t), m.s.ends(t, m.topic))
}

func (m *migration) group(t *testing.T) map[connect.TopicPartition]int64 {
	t.Helper()
	admin, err := kafka.NewAdmin(m.s.client)
	if err != nil {
		t.Fatal(err)
	}
	offsets, err := admin.GroupOffsets(t.Context(), "connect-"+m.name, nil, false)
	if err := errors.Join(err, admin.Close()); err != nil {
		t.Fatal(err)
	}
	return offsets
}

// tableRows is how many rows the catalog says that the table has.
func (m *migration) tableRows(t *testing.T) int {
	t.Helper()
	namespace, _, _ := strings.Cut(m.config["iceberg.tables"], ".")
	return m.s.tableRows(t, namespace, "readings")
}

// tableRows is how many rows the catalog says that a table has; none if it is not there.
func (s *stack) tableRows(t *testing.T, namespace, table string) int {
	t.Helper()
	var answer struct {
		Metadata struct {
			Head      int64 `json:"current-snapshot-id"`
			Snapshots []struct {
				ID      int64             `json:"snapshot-id"`
				Summary map[string]string `json:"summary"`
			} `json:"snapshots"`
		} `json:"metadata"`
	}
	if err := call(t.Context(), http.MethodGet, s.catalog.URL+"/v1/namespaces/"+namespace+"/tables/"+table, nil, &answer); err != nil {
		return 0 // not there yet
	}
	for _, s := range answer.Metadata.Snapshots {
		if s.ID == answer.Metadata.Head {
			n, err := strconv.Atoi(s.Summary["total-records"])
			if err != nil {
				t.Fatalf("snapshot %d: %v", s.ID, err)
			}
			return n
		}
	}
	return 0
}

// awaitRows waits until the table has as many rows as were written; it fails at once
// when there are more.
func (m *migration) awaitRows(t *testing.T) {
	t.Helper()
	m.await(t, strconv.Itoa(m.rows)+" rows", func() bool {
		n := m.tableRows(t)
		if n > m.rows {
			t.Fatalf("the table has %d rows of %d records", n, m.rows)
		}
		return n == m.rows && m.groupAtEnd(t)
	})
}

// check reads the table, after Firn was the last to write: what Java adds later is above
// the offsets that the table stores, and firn verify says so.
func (m *migration) check(t *testing.T, c *cluster) {
	t.Helper()
	m.s.verify(t, m.s.restCatalog(""), m.config["iceberg.tables"], "n", m.want)
	c.prove(t, m.name, m.config)
}

// javaThereAndBack stops and starts everything cleanly: Java, Firn, Java, Firn.
func (s *stack) javaThereAndBack(t *testing.T) {
	m := s.migration(t, "back")
	c := s.cluster(t, "back", 1, nil)
	firn := c.workers[0].url
	for range 2 {
		m.more(t)
		m.post(t, m.java.URL)
		m.awaitRows(t)
		m.more(t)
		m.awaitRows(t)
		m.remove(t, m.java.URL)

		m.more(t)
		m.post(t, firn)
		m.awaitRows(t)
		m.more(t)
		m.awaitRows(t)
		m.remove(t, firn)
	}
	m.check(t, c)
}

// javaKilled takes over from a Java sink that has announced files, moved the source
// offsets, and is killed before its commit reaches the catalog.
func (s *stack) javaKilled(t *testing.T) {
	m := s.migration(t, "killed")
	c := s.cluster(t, "killed", 1, nil)
	m.more(t)
	m.post(t, m.java.URL)
	m.awaitRows(t)

	h := m.trap.set(false)
	m.more(t)
	m.await(t, "Java's commit", func() bool { return closed(h.caught) })
	m.await(t, "Java's offsets", func() bool { return m.groupAtEnd(t) })
	m.java.Kill()
	h.release <- false
	<-h.status
	if n := m.tableRows(t); n >= m.rows {
		t.Fatalf("the table has %d rows: nothing is left to take over", n)
	}

	m.more(t)
	m.post(t, c.workers[0].url)
	m.awaitRows(t)
	m.check(t, c)
}

// javaBeside starts Firn while Java is at work in a cluster of its own: Firn's tasks stay out
// of the group, Java's work as before, and when they are gone Firn's go on.
func (s *stack) javaBeside(t *testing.T) {
	m := s.migration(t, "beside")
	c := s.cluster(t, "beside", 1, nil)
	m.more(t)
	m.post(t, m.java.URL)
	m.awaitRows(t)

	m.post(t, c.workers[0].url)
	m.await(t, "Firn to wait for Java", func() bool {
		st, err := c.status(t.Context(), m.name)
		return err == nil && len(st.Tasks) == 2 && strings.Contains(st.Tasks[0].Trace, "waits outside of consumer group") && strings.Contains(st.Tasks[1].Trace, "waits outside of consumer group")
	})
	m.more(t)
	m.awaitRows(t) // by Java
	if trace := c.failure(t.Context(), m.name); trace != "" {
		t.Fatal(trace)
	}
	m.more(t)
	m.drop(t, m.java.URL)
	m.more(t)
	m.awaitRows(t)
	m.check(t, c)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// javaSettled gives a connector back to Java after a crash that left a table ahead of the
// group's offsets.
func (s *stack) javaSettled(t *testing.T) {
	for _, tables := range []int{1, 2} {
		m := s.migration(t, "settled"+strconv.Itoa(tables))
		if tables == 2 { // then the offsets do not follow from one table's floors
			m.config["iceberg.tables"] += ",settled2.copies"
		}
		m.settled(t, map[int]string{1: "offsets", 2: "run"}[tables])
	}
}

func (m *migration) settled(t *testing.T, action string) {
	c := m.s.cluster(t, m.name, 1, nil)
	w := c.workers[0]
	m.more(t)
	m.post(t, w.url)
	m.awaitRows(t)

	h := m.trap.set(true)
	m.more(t)
	m.await(t, "Firn's commit", func() bool { return closed(h.caught) })
	w.Kill()
	w.Process = nil // it was we who ended it
	h.release <- false
	<-h.status
	if m.groupAtEnd(t) {
		t.Fatal("the group is not behind the table: nothing is left to settle")
	}
	m.awaitNobody(t)

	cmd := exec.CommandContext(t.Context(), m.s.firn, "settle", "--json", w.config, m.name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("firn settle: %v\n%s\n%s", err, out, stderr.String())
	}
	var report struct {
		Action  string `json:"action"`
		Settled bool   `json:"settled"`
	}
	if err := json.Unmarshal(out, &report); err != nil || report.Action != action || !report.Settled {
		t.Fatalf("firn settle said %v\n%s", err, out)
	}
	if n := m.tableRows(t); n > m.rows {
		t.Fatalf("the table has %d rows of %d records", n, m.rows)
	}
	c.prove(t, m.name, m.config)

	m.post(t, m.java.URL)
	m.more(t)
	m.awaitRows(t)
	for table := range strings.SplitSeq(m.config["iceberg.tables"], ",") {
		m.s.verify(t, m.s.restCatalog(""), table, "n", m.want)
	}
	m.remove(t, m.java.URL)
}
