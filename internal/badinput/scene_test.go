package badinput

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/cli"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/converters/avro"
	"github.com/firn-io/firn/converters/registry"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/rest"
	"github.com/firn-io/firn/worker"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	os.Exit(m.Run())
}

const (
	restAddr   = "localhost:8083"
	brokerPort = 9001
	soon       = 30 * time.Second // in fake time: what should happen by itself
)

var errRefused = errors.New("connect: connection refused")

// A scene is one worker with its REST API, and what it talks to.
type scene struct {
	*testing.T
	vn       kfake.VirtualNetwork
	kafka    *kfake.Cluster
	servers  string
	catalog  *icetest.Catalog
	open     func(ctx context.Context, name string, props map[string]string) (catalog.Catalog, error) // nil: catalog
	props    map[string]string                                                                        // for open
	schemas  *schemas
	log      *logbook
	client   *http.Client
	producer *kafka.Producer
	end      func()
	ended    chan struct{} // closed when the worker has
	err      error         // the worker's; after ended

	mu    sync.Mutex // guards what follows
	down  bool       // the brokers, as the worker sees them
	conns map[net.Conn]bool
}

// play runs a story in a bubble. The worker runs when it begins.
func play(t *testing.T, story func(s *scene)) {
	t.Helper()
	prepare(t, func(s *scene) {
		s.start()
		story(s)
	})
}

// prepare is play without a worker yet.
func prepare(t *testing.T, story func(s *scene)) {
	t.Helper()
	log := new(logbook)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the worker's log:\n" + log.text())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, catalog: icetest.New(icetest.NewFiles()), schemas: newSchemas(), log: log, conns: map[net.Conn]bool{}, end: func() {}}
		var err error
		if s.kafka, err = kfake.NewCluster(kfake.Ports(brokerPort), kfake.ListenFn(s.vn.Listen), kfake.SeedTopics(1, "events")); err != nil {
			t.Fatal(err)
		}
		defer s.kafka.Close()
		s.servers = strings.Join(s.kafka.ListenAddrs(), ",")
		if s.producer, err = kafka.NewProducer(s.own()); err != nil {
			t.Fatal(err)
		}
		defer s.producer.Close() //nolint:errcheck // everything was sent
		s.client = &http.Client{Transport: &http.Transport{DialContext: s.vn.DialContext, DisableKeepAlives: true}}
		defer func() { s.end() }()
		story(s)
	})
}

// own is the configuration of the test's own clients.
func (s *scene) own() *kafka.Config {
	cfg, err := kafka.NewConfig(map[string]string{"bootstrap.servers": s.servers}, s.vn.DialContext)
	if err != nil {
		s.Fatal(err)
	}
	return cfg
}

// dial is how the worker reaches brokers.
func (s *scene) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errRefused
	}
	c, err := s.vn.DialContext(ctx, network, addr)
	if err == nil {
		s.conns[c] = true
	}
	return c, err
}

// brokers takes the brokers away from the worker, or brings them back.
func (s *scene) brokers(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = !up
	for c := range s.conns {
		c.Close() //nolint:errcheck // it is cut
	}
	clear(s.conns)
}

// start runs a worker as cli does, with every plugin of the build.
func (s *scene) start() {
	s.Helper()
	cfg, _, err := worker.NewConfig(map[string]string{
		"bootstrap.servers": s.servers, "group.id": "cluster", "listeners": "http://" + restAddr,
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "false",
		"config.storage.topic":           "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1",
		"scheduled.rebalance.max.delay.ms": "0", "connector.client.config.override.policy": "All",
	})
	if err != nil {
		s.Fatal(err)
	}
	w, err := worker.New(worker.Options{
		Config: cfg, AdvertisedURL: "http://" + restAddr + "/", Logger: slog.New(slog.NewTextHandler(s.log, nil)), Dial: s.dial, Client: s.client,
		Plugins: cli.Builtin().With(iceberg.ApacheClass, s.connector).With(avroClass, s.avro).Plugins,
	})
	if err != nil {
		s.Fatal(err)
	}
	ln, err := s.vn.Listen("tcp", restAddr)
	if err != nil {
		s.Fatal(err)
	}
	server := rest.New(rest.Options{Herder: w.Herder(), Listeners: []net.Listener{ln}, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	ctx, stop := context.WithCancel(context.Background())
	sctx, stopServer := context.WithCancel(context.Background())
	s.ended = make(chan struct{})
	var g errgroup.Group
	g.Go(func() error { return server.Run(sctx) })
	g.Go(func() error {
		defer stopServer()
		defer close(s.ended)
		s.err = w.Run(ctx)
		return nil
	})
	s.end = func() {
		stop()
		if err := g.Wait(); err != nil {
			s.Error(err)
		}
	}
}

const avroClass = "io.confluent.connect.avro.AvroConverter"

func (s *scene) connector() connect.SinkConnector {
	open := s.open
	if open == nil {
		open = func(context.Context, string, map[string]string) (catalog.Catalog, error) { return s.catalog, nil }
	}
	return &iceberg.Connector{Dial: s.dial, OpenCatalog: open}
}

// An avroConverter asks the scene's registry.
type avroConverter struct {
	avro.Converter
	s *scene
}

func (s *scene) avro() connect.Converter { return &avroConverter{s: s} }

func (c *avroConverter) Configure(config map[string]string, isKey bool) error {
	client, err := registry.NewClient(config)
	if err != nil {
		return err
	}
	client.SetTransport(c.s.schemas)
	c.Source = client
	return c.Converter.Configure(config, isKey)
}

// call asks the REST API.
func (s *scene) call(method, path string, body, into any) (status int, text string) {
	s.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	req, err := http.NewRequestWithContext(s.Context(), method, "http://"+restAddr+path, bytes.NewReader(b))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			s.Fatalf("%s %s: %d %s: %v", method, path, resp.StatusCode, answer, err)
		}
	}
	return resp.StatusCode, string(answer)
}

// base is a connector as a user would write it, from JSON in topic events to table db.events.
func base(more map[string]string) map[string]string {
	config := map[string]string{
		"name": "c", "connector.class": iceberg.ApacheClass, "tasks.max": "1", "topics": "events",
		"iceberg.tables": "db.events", "iceberg.tables.auto-create-enabled": "true",
		"iceberg.tables.auto-create-props.write.parquet.compression-codec": "uncompressed", // zstd's goroutines outlive a bubble
		"iceberg.catalog.type": "rest", "iceberg.catalog.uri": "http://catalog",
		"iceberg.control.commit.interval-ms": "1000",
	}
	maps.Copy(config, more)
	for k, v := range config {
		if v == "" {
			delete(config, k)
		}
	}
	return config
}

func (s *scene) create(more map[string]string) {
	s.Helper()
	if status, text := s.call(http.MethodPost, "/connectors", map[string]any{"name": "c", "config": base(more)}, nil); status != http.StatusCreated {
		s.Fatalf("create: %d %s", status, text)
	}
}

// refuse wants a config to be refused when it is created, with a reason.
func (s *scene) refuse(more map[string]string, status int, reason string) {
	s.Helper()
	got, text := s.call(http.MethodPost, "/connectors", map[string]any{"name": "c", "config": base(more)}, nil)
	if got != status || !strings.Contains(text, reason) {
		s.Errorf("created with %v: got %d %s\nwant %d with %q", more, got, text, status, reason)
	}
}

// produce appends values to the topic.
func (s *scene) produce(topic string, values ...string) {
	s.Helper()
	var msgs []kafka.Message
	for _, v := range values {
		msgs = append(msgs, kafka.Message{Topic: topic, Value: []byte(v)})
	}
	if err := s.producer.SendAll(s.Context(), msgs); err != nil {
		s.Fatal(err)
	}
}

// numbers are the JSON records {"id":from} … {"id":to}.
func numbers(from, to int) (values []string) {
	for i := from; i <= to; i++ {
		values = append(values, fmt.Sprintf(`{"id":%d}`, i))
	}
	return values
}

// eventually waits in fake time until check returns "".
func (s *scene) eventually(limit time.Duration, check func() string) {
	s.Helper()
	pause := max(limit/300, 100*time.Millisecond)
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("after %v: %s", limit, problem)
		}
	}
}

func (s *scene) task() (state, trace string) {
	var info entities.ConnectorStateInfo
	s.call(http.MethodGet, "/connectors/c/status", nil, &info)
	if len(info.Tasks) != 1 {
		return fmt.Sprintf("%d tasks", len(info.Tasks)), ""
	}
	return info.Tasks[0].State.State, info.Tasks[0].Trace
}

// running wants the task to be at work.
func (s *scene) running() {
	s.Helper()
	s.eventually(soon, func() string {
		if state, trace := s.task(); state != "RUNNING" {
			return "the task is " + state + ": " + trace
		}
		return ""
	})
}

// failed waits until the task has failed, and wants each of the texts in the first line of
// its trace.
func (s *scene) failed(limit time.Duration, texts ...string) {
	s.Helper()
	s.shown(limit, texts...)
	if !s.log.has("ERROR", texts...) {
		s.Errorf("no error line in the log with %q", texts)
	}
}

// troubled waits until the task is shown as failed, with each of the texts in the first line
// of its trace, though it goes on.
func (s *scene) troubled(limit time.Duration, texts ...string) {
	s.Helper()
	s.shown(limit, texts...)
	if !s.log.has("WARN", append(texts, "task shows as failed, and goes on")...) {
		s.Errorf("no warning in the log with %q", texts)
	}
}

func (s *scene) shown(limit time.Duration, texts ...string) {
	s.Helper()
	var trace string
	s.eventually(limit, func() string {
		var state string
		if state, trace = s.task(); state != "FAILED" {
			return "the task is " + state + ", want FAILED"
		}
		return ""
	})
	line, _, _ := strings.Cut(trace, "\n")
	s.Log(line)
	for _, text := range texts {
		if !strings.Contains(line, text) {
			s.Errorf("the trace's first line is\n%s\nwant %q in it", line, text)
		}
	}
}

// warned waits for a warning with all the texts in the log.
func (s *scene) warned(limit time.Duration, texts ...string) {
	s.Helper()
	s.eventually(limit, func() string {
		if s.log.has("WARN", texts...) {
			return ""
		}
		return fmt.Sprintf("no warning in the log with %q", texts)
	})
	s.Log(s.log.find("WARN", texts...)[0])
}

// restart is what an operator does with a failed task.
func (s *scene) restart() {
	s.Helper()
	if status, text := s.call(http.MethodPost, "/connectors/c/restart?includeTasks=true&onlyFailed=true", nil, nil); status != http.StatusAccepted {
		s.Fatalf("restart: %d %s", status, text)
	}
}

// reconfigure is what an operator does with a config that was wrong.
func (s *scene) reconfigure(more map[string]string) {
	s.Helper()
	if status, text := s.call(http.MethodPut, "/connectors/c/config", base(more), nil); status != http.StatusOK {
		s.Fatalf("change the config: %d %s", status, text)
	}
}

// rows wants the ids from 1 to n, without the missing, to be in db.events once each.
func (s *scene) rows(n int, missing ...int) {
	s.Helper()
	var want []int64
	for i := range n {
		if !slices.Contains(missing, i+1) {
			want = append(want, int64(i+1))
		}
	}
	s.ids(want)
	time.Sleep(10 * time.Second) // what would come twice
	s.ids(want)
}

func (s *scene) ids(want []int64) {
	s.Helper()
	s.eventually(2*time.Minute, func() string {
		if got := s.read(); !slices.Equal(got, want) {
			return fmt.Sprintf("db.events holds %v, want %v", got, want)
		}
		return ""
	})
}

// read gives the ids in db.events in order.
func (s *scene) read() (ids []int64) {
	s.Helper()
	t, err := s.peek()
	if catalog.Missing(err) {
		return nil
	}
	if err != nil {
		s.Fatal(err)
	}
	rows, err := icetest.ReadRows(context.Background(), t)
	if err != nil {
		s.Fatal(err)
	}
	for _, row := range rows {
		id, _ := row["id"].(int64)
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (s *scene) peek() (*table.Table, error) {
	ident := table.Identifier{"db", "events"}
	if s.open == nil {
		return s.catalog.Peek(ident)
	}
	c, err := s.open(s.Context(), "iceberg", s.props)
	if err != nil {
		return nil, err
	}
	defer c.Close() //nolint:errcheck // it was only read
	return c.LoadTable(s.Context(), ident)
}

// onDisk makes the connector use the real catalog that its config describes, with real
// files.
func (s *scene) onDisk(config map[string]string) {
	s.open, s.props = catalog.Open, map[string]string{}
	for k, v := range config {
		if name, ok := strings.CutPrefix(k, "iceberg.catalog."); ok {
			s.props[name] = v
		}
	}
}

// A logbook keeps the lines of a log.
type logbook struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// has tells whether a line of the level has all the texts.
func (l *logbook) has(level string, texts ...string) bool { return l.count(level, texts...) > 0 }

func (l *logbook) count(level string, texts ...string) int { return len(l.find(level, texts...)) }

func (l *logbook) find(level string, texts ...string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		plain := strings.ReplaceAll(line, `\"`, `"`)
		if strings.Contains(line, "level="+level) && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(plain, text) }) {
			lines = append(lines, strings.TrimSpace(plain))
		}
	}
	return lines
}
