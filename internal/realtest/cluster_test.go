//go:build real && unix

package realtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// A cluster is a group of worker processes, each on a port that it keeps.
type cluster struct {
	*stack
	name    string
	dir     string
	workers []*workerProcess
}

type workerProcess struct {
	*parts.Process
	url, config string
	starts      int
}

// cluster starts n workers of a new group. The properties are added to the workers'.
func (s *stack) cluster(t *testing.T, name string, n int, props map[string]string) *cluster {
	t.Helper()
	c := s.clusterOf(t, name, n, props)
	for i := range c.workers {
		c.launch(t, i)
	}
	c.awaitReady(t)
	return c
}

// clusterOf makes the workers without starting them.
func (s *stack) clusterOf(t *testing.T, name string, n int, props map[string]string) *cluster {
	t.Helper()
	c := &cluster{stack: s, name: name, dir: s.folder(t, name)}
	for i := range n {
		port, err := parts.FreePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := &workerProcess{
			url:    fmt.Sprintf("http://127.0.0.1:%d", port),
			config: filepath.Join(c.dir, fmt.Sprintf("worker-%d.properties", i)),
		}
		all := merged(map[string]string{
			"bootstrap.servers":                   s.kafka.Bootstrap,
			"group.id":                            name,
			"listeners":                           w.url,
			"key.converter":                       "org.apache.kafka.connect.storage.StringConverter",
			"value.converter":                     "io.confluent.connect.avro.AvroConverter",
			"value.converter.schema.registry.url": s.registry.URL,
			"config.storage.topic":                name + "-configs",
			"offset.storage.topic":                name + "-offsets",
			"status.storage.topic":                name + "-status",
			"config.storage.replication.factor":   "1",
			"offset.storage.replication.factor":   "1",
			"status.storage.replication.factor":   "1",
			"offset.storage.partitions":           "1",
			"status.storage.partitions":           "1",
			// Losses are noticed soon, or the stories would mostly wait.
			"session.timeout.ms":               "3000",
			"heartbeat.interval.ms":            "500",
			"scheduled.rebalance.max.delay.ms": "0",
			"consumer.session.timeout.ms":      "3000",
			"consumer.heartbeat.interval.ms":   "500",
			"consumer.auto.offset.reset":       "earliest",
		}, props)
		var text strings.Builder
		for k, v := range all {
			fmt.Fprintf(&text, "%s=%s\n", k, strings.ReplaceAll(v, parts.OwnURL, w.url))
		}
		if err := os.WriteFile(w.config, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		c.workers = append(c.workers, w)
	}
	t.Cleanup(func() {
		for _, w := range c.workers {
			if w.Process == nil {
				continue
			}
			if !w.Running() && !t.Failed() {
				t.Errorf("worker %s has ended by itself; the end of its log:\n%s", w.url, w.Tail())
			}
			stop(t, w.Process)
		}
	})
	return c
}

// launch starts worker i, without waiting for it.
func (c *cluster) launch(t *testing.T, i int) {
	t.Helper()
	w := c.workers[i]
	w.starts++
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), c.firn, "distributed", w.config)
	p, err := parts.Start("worker", filepath.Join(c.dir, fmt.Sprintf("worker-%d-%02d.log", i, w.starts)), cmd)
	if err != nil {
		t.Fatal(err)
	}
	w.Process = p
}

// awaitReady waits until every worker is a member of the group. A port that somebody
// else has taken shows: then the worker has ended.
func (c *cluster) awaitReady(t *testing.T) {
	t.Helper()
	for _, w := range c.workers {
		err := w.Await(t.Context(), func(ctx context.Context) error {
			return call(ctx, http.MethodGet, w.url+"/health", nil, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// post creates a connector by way of worker i.
func (c *cluster) post(t *testing.T, i int, name string, config map[string]string) {
	t.Helper()
	err := call(t.Context(), http.MethodPost, c.workers[i].url+"/connectors", connectapi.Connector{Name: name, Config: config}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// status asks every worker in turn until one answers.
func (c *cluster) status(ctx context.Context, connector string) (st connectapi.Status, err error) {
	for _, w := range c.workers {
		if err = call(ctx, http.MethodGet, w.url+"/connectors/"+connector+"/status", nil, &st); err == nil {
			return st, nil
		}
	}
	return st, err
}

// failure returns the trace of the connector or its first task that has failed.
func (c *cluster) failure(ctx context.Context, connector string) (trace string) {
	st, err := c.status(ctx, connector)
	if err != nil {
		return ""
	}
	for _, state := range append(st.Tasks, st.Connector) {
		if state.State == "FAILED" {
			return state.Trace
		}
	}
	return ""
}

// awaitCommitted waits until the offsets that the connector has committed are those
// of the topic's end.
func (c *cluster) awaitCommitted(t *testing.T, connector string, ends map[connect.TopicPartition]int64, patience time.Duration) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if trace := c.failure(t.Context(), connector); trace != "" {
			t.Fatalf("connector %s has failed: %s", connector, trace)
		}
		got, err := c.offsets(t.Context(), connector)
		if last = err; err != nil {
			continue
		}
		behind := 0
		for tp, end := range ends {
			if got[tp] > end {
				t.Fatalf("connector %s has committed offset %d of %v, which ends at %d", connector, got[tp], tp, end)
			}
			if got[tp] < end {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		last = fmt.Errorf("committed %v, want %v", got, ends)
	}
	st, err := c.status(t.Context(), connector)
	t.Fatalf("connector %s has not committed everything after %s: %v; status %+v, %v", connector, patience, last, st, err)
}

func (c *cluster) offsets(ctx context.Context, connector string) (map[connect.TopicPartition]int64, error) {
	var errs error
	for _, w := range c.workers {
		client := connectapi.Client{Base: w.url, Name: w.url}
		ctx, cancel := context.WithTimeout(ctx, callPatience)
		got, err := client.Offsets(ctx, connector)
		cancel()
		if err == nil {
			return got, nil
		}
		errs = errors.Join(errs, err)
	}
	return nil, errs
}

// ends asks the broker where the partitions of a topic end.
func (s *stack) ends(t *testing.T, topic string) map[connect.TopicPartition]int64 {
	t.Helper()
	admin, err := kafka.NewAdmin(s.client)
	if err != nil {
		t.Fatal(err)
	}
	var tps []connect.TopicPartition
	for p := range partitions {
		tps = append(tps, connect.TopicPartition{Topic: topic, Partition: p})
	}
	ends, err := admin.Offsets(t.Context(), tps, kafka.Latest)
	if err := errors.Join(err, admin.Close()); err != nil {
		t.Fatal(err)
	}
	return ends
}

const callPatience = 15 * time.Second

// call is one request that gives up in time: a worker may be killed under it.
func call(ctx context.Context, method, url string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	client := connectapi.Client{Base: url, Name: url}
	return client.Call(ctx, method, "", body, into)
}
