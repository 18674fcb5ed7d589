//go:build real && unix

package realtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// A mixed cluster is one Connect cluster, with one set of internal topics, of workers of
// both kinds, and a connector of four tasks under load.
type mixed struct {
	*feed
	s         *stack
	name      string
	connector string
	config    map[string]string
	java      []*parts.JavaConnect
	firn      *cluster // of one worker; nil before it has joined
	admin     *kafka.Admin
	feeding   context.CancelFunc
	fed       chan error
}

// mixed starts workers of Java, the connector on them, and the load.
func (s *stack) mixed(t *testing.T, name string, workers int) *mixed {
	t.Helper()
	m := &mixed{s: s, name: name, connector: name + "-readings", feed: s.feed(t, name+"-readings"), fed: make(chan error, 1)}
	m.config = sink(m.topic, name+".readings", "bucket(n, 2)", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
		"tasks.max":                         "4",
		"key.converter":                     "org.apache.kafka.connect.storage.StringConverter",
		"iceberg.control.commit.timeout-ms": "5000",
		// A worker that is killed leaves a transaction and a member of its coordinator's group.
		"iceberg.kafka.transaction.timeout.ms": "10000",
		"iceberg.kafka.session.timeout.ms":     "6000",
		"consumer.override.auto.offset.reset":  "earliest",
	})
	if err := call(t.Context(), http.MethodPost, s.catalog.URL+"/v1/namespaces", map[string]any{"namespace": []string{name}}, nil); err != nil {
		t.Fatal(err)
	}
	s.controlTopic(t, m.config["iceberg.control.topic"], m.connector)
	var err error
	if m.admin, err = kafka.NewAdmin(s.client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.admin.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range workers {
		j, err := parts.NewJavaConnect(t.Context(), s.folder(t, fmt.Sprintf("%s-java-%d", name, i)), s.kafka.Bootstrap, name, nil)
		have(t, err)
		m.java = append(m.java, j)
	}
	var g errgroup.Group
	for _, j := range m.java {
		t.Cleanup(func() {
			if j.Process != nil {
				stop(t, j.Process)
			}
		})
		g.Go(func() error { return j.Start(t.Context()) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := call(t.Context(), http.MethodPost, m.java[0].URL+"/connectors", connectapi.Connector{Name: m.connector, Config: m.config}, nil); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, m.feeding = context.WithCancel(t.Context())
	t.Cleanup(m.feeding)
	go func() { m.fed <- m.endlessly(ctx) }()
	m.awaitCaughtUp(t)
	return m
}

// startFirn has a worker of Firn's join.
func (m *mixed) startFirn(t *testing.T) {
	t.Helper()
	m.firn = m.s.cluster(t, m.name, 1, nil)
}

// stopFirn stops it cleanly.
func (m *mixed) stopFirn(t *testing.T) {
	t.Helper()
	w := m.firn.workers[0]
	stop(t, w.Process)
	w.Process = nil // it was we who ended it
}

// urls are those of the workers that run.
func (m *mixed) urls() (urls []string) {
	for _, j := range m.java {
		if j.Process != nil && j.Running() {
			urls = append(urls, j.URL)
		}
	}
	if m.firn != nil && m.firn.workers[0].Process != nil {
		urls = append(urls, m.firn.workers[0].url)
	}
	return urls
}

// status is what any worker that runs says.
func (m *mixed) status(ctx context.Context) (st connectapi.Status, err error) {
	err = errors.New("no worker runs")
	for _, url := range m.urls() {
		if err = call(ctx, http.MethodGet, url+"/connectors/"+m.connector+"/status", nil, &st); err == nil {
			return st, nil
		}
	}
	return st, err
}

// await waits for something, or for a task to fail on Firn. Java's sometimes fail when the
// group rebalances ("Coordinator unexpectedly terminated": its coordinator has no threads any
// more); they are started again, as an operator would.
func (m *mixed) await(t *testing.T, what string, done func() error) {
	t.Helper()
	began, again := time.Now(), time.Now()
	for {
		err := done()
		if err == nil {
			t.Logf("%s after %.1f s", what, time.Since(began).Seconds())
			return
		}
		st, serr := m.status(t.Context())
		for _, task := range st.Tasks {
			if task.State == "FAILED" && m.onFirn(task) {
				t.Fatalf("task %d has failed: %s", task.ID, task.Trace)
			}
			if task.State == "FAILED" && time.Since(again) > 5*time.Second {
				again = time.Now()
				t.Logf("task %d is started again on %s: %.400s", task.ID, task.Worker, task.Trace[max(0, strings.LastIndex(task.Trace, "Caused by")):])
				m.restart(t)
			}
		}
		if time.Since(began) > stuck {
			t.Fatalf("waited in vain for %s: %v; status %+v, %v", what, err, st, serr)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// restart starts what has failed again. That the cluster is busy is no matter.
func (m *mixed) restart(t *testing.T) {
	t.Helper()
	for _, url := range m.urls() {
		if err := call(t.Context(), http.MethodPost, url+"/connectors/"+m.connector+"/restart?includeTasks=true&onlyFailed=true", nil, nil); err == nil {
			return
		}
	}
}

// awaitCaughtUp waits until the group has come to where the topic ends now.
func (m *mixed) awaitCaughtUp(t *testing.T) {
	t.Helper()
	ends := m.s.ends(t, m.topic)
	m.await(t, "the group has what was there", func() error {
		offsets, err := m.admin.GroupOffsets(t.Context(), "connect-"+m.connector, nil, false)
		for tp, end := range ends {
			if err == nil && offsets[tp] < end {
				err = fmt.Errorf("%s is at %d of %d", tp, offsets[tp], end)
			}
		}
		return err
	})
}

// awaitWaiting waits until some tasks are on Firn's worker, and all of them say that they wait.
func (m *mixed) awaitWaiting(t *testing.T) {
	t.Helper()
	m.await(t, "Firn's tasks wait", func() error {
		st, err := m.status(t.Context())
		if err != nil {
			return err
		}
		waiting := 0
		for _, task := range st.Tasks {
			switch there := m.onFirn(task); {
			case there && task.State == "RUNNING" && strings.Contains(task.Trace, "waits outside of consumer group"):
				waiting++
			case there || task.State != "RUNNING":
				return fmt.Errorf("task %d is %s on %s: %s", task.ID, task.State, task.Worker, task.Trace)
			}
		}
		if waiting == 0 {
			return errors.New("Firn has no task")
		}
		return nil
	})
}

func (m *mixed) onFirn(task connectapi.State) bool {
	return m.firn != nil && task.Worker == strings.TrimPrefix(m.firn.workers[0].url, "http://")
}

// awaitMembers waits until the group's members are all of one kind, and hold all partitions.
func (m *mixed) awaitMembers(t *testing.T, firn bool) {
	t.Helper()
	m.await(t, fmt.Sprintf("members are Firn's alone (%t) or Java's", firn), func() error {
		info, err := m.admin.DescribeGroup(t.Context(), "connect-"+m.connector)
		if err != nil {
			return err
		}
		held := 0
		for _, member := range info.Members {
			if strings.HasSuffix(member.ClientID, "-firn") != firn {
				return fmt.Errorf("%s is a member", member.ClientID)
			}
			a, err := kafka.DecodeAssignment(member.Assignment)
			if err != nil {
				return err
			}
			held += len(a.Partitions)
		}
		if held != int(partitions) {
			return fmt.Errorf("%d partitions are held, in state %s", held, info.State)
		}
		return nil
	})
}

// finish ends the load, waits until all is in the table, and reads the table.
func (m *mixed) finish(t *testing.T) {
	t.Helper()
	m.feeding()
	if err := <-m.fed; err != nil {
		t.Fatal(err)
	}
	m.awaitCaughtUp(t)
	var rows int64
	for _, slice := range m.want {
		rows += slice.Rows
	}
	m.await(t, fmt.Sprintf("the table has %d rows", rows), func() error {
		n := m.s.tableRows(t, m.name, "readings")
		if int64(n) < rows {
			return fmt.Errorf("it has %d", n)
		}
		return nil
	})
	m.s.verify(t, m.s.restCatalog(""), m.name+".readings", "n", m.want)
}

// mixedRolling brings a cluster from Java to Firn and back, one worker after another, each
// stopped cleanly.
func (s *stack) mixedRolling(t *testing.T) {
	m := s.mixed(t, "rolling", 2)
	m.startFirn(t)
	m.awaitWaiting(t)
	m.awaitMembers(t, false)
	m.awaitCaughtUp(t)

	stop(t, m.java[0].Process)
	m.awaitMembers(t, false)
	m.awaitCaughtUp(t)
	stop(t, m.java[1].Process)
	m.awaitMembers(t, true)
	m.awaitCaughtUp(t)

	if err := m.java[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.awaitWaiting(t)
	m.awaitMembers(t, false)
	m.awaitCaughtUp(t)
	m.stopFirn(t)
	m.awaitMembers(t, false)
	m.finish(t)
}

// mixedLeaderKilled kills the cluster's leader as kill -9 does: first Java's, while Firn's
// tasks wait, then Firn's, while Java's are at work.
func (s *stack) mixedLeaderKilled(t *testing.T) {
	m := s.mixed(t, "leaders", 1)
	m.startFirn(t)
	m.awaitWaiting(t)
	m.awaitCaughtUp(t)

	m.java[0].Kill()
	m.awaitMembers(t, true)
	m.awaitCaughtUp(t)

	if err := m.java[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.awaitWaiting(t)
	m.awaitMembers(t, false)
	m.awaitCaughtUp(t)
	w := m.firn.workers[0]
	w.Kill()
	w.Process = nil // it was we who ended it
	m.awaitAll(t)
	m.awaitMembers(t, false)
	m.finish(t)
}

// awaitAll waits until all tasks run on workers of Java.
func (m *mixed) awaitAll(t *testing.T) {
	t.Helper()
	m.await(t, "Java has all tasks", func() error {
		st, err := m.status(t.Context())
		if err != nil {
			return err
		}
		for _, task := range st.Tasks {
			if task.State != "RUNNING" || m.onFirn(task) {
				return fmt.Errorf("task %d is %s on %s", task.ID, task.State, task.Worker)
			}
		}
		return nil
	})
}
