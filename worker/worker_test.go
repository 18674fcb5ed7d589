package worker_test

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
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	m.Run()
}

// A fixture is a fake Kafka cluster on a virtual network, in a bubble of fake time, and
// the workers that run against it.
type fixture struct {
	t     *testing.T
	vn    kfake.VirtualNetwork
	kafka *kfake.Cluster
	probe *probe
	log   slog.Handler // of the workers

	mu      sync.Mutex // guards what follows
	workers map[string]*running
	posts   []string // task configs sent from worker to worker, and the answers
}

type running struct {
	*worker.Worker
	id   string
	stop context.CancelFunc
	done chan struct{}
	err  error

	mu    sync.Mutex // guards conns and dead
	conns []net.Conn
	dead  bool
}

func inBubble(t *testing.T, run func(t *testing.T, fx *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fx := &fixture{t: t, log: slog.DiscardHandler, workers: map[string]*running{}, probe: &probe{running: map[string]string{}, starts: map[string]int{}, release: make(chan struct{})}}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9001), kfake.ListenFn(fx.vn.Listen), kfake.SeedTopics(2, "events"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fx.kafka = c
		defer func() {
			for _, w := range fx.workers {
				fx.end(w)
			}
		}()
		run(t, fx)
	})
}

// worker starts a worker with the given name as its host.
func (fx *fixture) worker(name string, props map[string]string) *running {
	fx.t.Helper()
	w := &running{id: name + ":8083", done: make(chan struct{})}
	all := distributed(map[string]string{
		"bootstrap.servers": strings.Join(fx.kafka.ListenAddrs(), ","), "scheduled.rebalance.max.delay.ms": "20000",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1", "key.converter": "probe.Converter", "value.converter": "probe.Converter",
	})
	maps.Copy(all, props)
	cfg, _, err := worker.NewConfig(all)
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.start(w, name, worker.Options{Config: cfg})
	return w
}

// standalone starts a worker without a group.
func (fx *fixture) standalone(name string, connectors ...map[string]string) *running {
	fx.t.Helper()
	w := &running{id: name + ":8083", done: make(chan struct{})}
	cfg, _, err := worker.NewStandaloneConfig(map[string]string{
		"bootstrap.servers": strings.Join(fx.kafka.ListenAddrs(), ","), "key.converter": "probe.Converter", "value.converter": "probe.Converter",
		"offset.storage.file.filename": "/tmp/connect.offsets",
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.start(w, name, worker.Options{Config: cfg, Standalone: true, Connectors: connectors})
	return w
}

func (fx *fixture) start(w *running, name string, o worker.Options) {
	fx.t.Helper()
	o = worker.Options{
		Config: o.Config, Standalone: o.Standalone, Connectors: o.Connectors, AdvertisedURL: "http://" + w.id + "/", Logger: slog.New(fx.log),
		Plugins: fx.probe.plugins(name), Client: &http.Client{Transport: wire{fx}},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.dead {
				return nil, fmt.Errorf("%s is cut off", name)
			}
			c, err := fx.vn.DialContext(ctx, network, addr)
			if err == nil {
				w.conns = append(w.conns, c)
			}
			return c, err
		},
	}
	var err error
	if w.Worker, err = worker.New(o); err != nil {
		fx.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	fx.mu.Lock()
	fx.workers[name] = w
	fx.mu.Unlock()
	go func() {
		defer close(w.done)
		w.err = w.Run(ctx)
	}()
}

// A wire carries task configs from worker to worker, without HTTP servers.
type wire struct{ fx *fixture }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.fx.mu.Lock()
	to := w.fx.workers[r.URL.Hostname()]
	w.fx.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if plugin, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/connector-plugins/"), "/config/validate"); ok {
		return to.validates(r.Context(), plugin, body, r.Header.Get("Authorization"))
	}
	var configs []map[string]*string
	if err := json.Unmarshal(body, &configs); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/connectors/"), "/tasks")
	s := entities.Signature{Algorithm: r.Header.Get("X-Connect-Request-Signature-Algorithm"), MAC: r.Header.Get("X-Connect-Authorization")}
	err = to.Herder().PutTaskConfigs(r.Context(), name, configs, body, s)
	answer := &http.Response{StatusCode: http.StatusNoContent, Status: "204 No Content", Body: http.NoBody}
	if err != nil {
		answer = &http.Response{StatusCode: http.StatusConflict, Status: err.Error(), Body: http.NoBody}
	}
	w.fx.mu.Lock()
	defer w.fx.mu.Unlock()
	w.fx.posts = append(w.fx.posts, fmt.Sprintf("%s to %s: %s", name, r.URL.Host, answer.Status))
	return answer, nil
}

// validates answers PUT /connector-plugins/PLUGIN/config/validate as the REST API does.
func (w *running) validates(ctx context.Context, plugin string, body []byte, authorization string) (*http.Response, error) {
	if authorization != "secret" {
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: io.NopCloser(strings.NewReader("User cannot access the resource."))}, nil
	}
	var config map[string]*string
	if err := json.Unmarshal(body, &config); err != nil {
		return nil, err
	}
	status := http.StatusOK
	infos, err := w.Herder().Validate(ctx, plugin, config)
	answer := any(infos)
	if err != nil {
		status, answer = http.StatusInternalServerError, map[string]any{"error_code": 500, "message": err.Error()}
	}
	text, err := json.Marshal(answer)
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(text))}, err
}

// end stops a worker in order.
func (fx *fixture) end(w *running) {
	fx.t.Helper()
	w.stop()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil && !w.dead {
		fx.t.Errorf("worker %s ended with %v", w.id, w.err)
	}
}

// cut takes a worker off the network, as a pulled cable would.
func (w *running) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for _, c := range w.conns {
		c.Close() //nolint:errcheck // it is cut
	}
	w.conns = nil
}

// plug puts a worker back onto the network.
func (w *running) plug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
}

// eventually waits in fake time until check returns "".
func (fx *fixture) eventually(limit time.Duration, check func() string) {
	fx.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(end) {
			fx.t.Fatalf("after %v: %s", limit, problem)
		}
	}
}

// wantHealth waits until workers say that they are well.
func (fx *fixture) wantHealth(workers ...*running) {
	fx.t.Helper()
	fx.eventually(time.Minute, func() string {
		for _, w := range workers {
			if err := w.Herder().Health(fx.t.Context()); err != nil {
				return err.Error()
			}
		}
		return ""
	})
}

func sinkConfig(name string, more map[string]string) map[string]*string {
	config := map[string]*string{}
	for k, v := range map[string]string{"name": name, "connector.class": "probe.ProbeSinkConnector", "tasks.max": "2", "topics": "events"} {
		config[k] = &v
	}
	for k, v := range more {
		config[k] = &v
	}
	return config
}

// states spells a connector's status as "RUNNING@a [RUNNING@a RUNNING@b]".
func (fx *fixture) states(w *running, name string) string {
	s, err := w.Herder().Status(fx.t.Context(), name)
	if err != nil {
		return err.Error()
	}
	text := s.Connector.State + "@" + strings.TrimSuffix(s.Connector.WorkerID, ":8083")
	var tasks []string
	for _, task := range s.Tasks {
		tasks = append(tasks, task.State.State+"@"+strings.TrimSuffix(task.WorkerID, ":8083"))
	}
	return text + " " + fmt.Sprint(tasks)
}

func (fx *fixture) wantStates(limit time.Duration, w *running, name, want string) {
	fx.t.Helper()
	fx.eventually(limit, func() string {
		if got := fx.states(w, name); got != want {
			return fmt.Sprintf("connector %s is %s, want %s", name, got, want)
		}
		return ""
	})
}

func (fx *fixture) create(w *running, name string, more map[string]string) {
	fx.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	if _, err := w.Herder().Create(ctx, entities.CreateRequest{Name: name, Config: sinkConfig(name, more)}); err != nil {
		fx.t.Fatalf("create %s: %v", name, err)
	}
}

// A probe makes connectors and tasks that do nothing but tell where they run.
type probe struct {
	mu      sync.Mutex        // guards what follows
	running map[string]string // "a-0" -> worker
	starts  map[string]int    // "a-0" -> how often it was started
	double  []string          // tasks that were started while they ran

	release chan struct{} // lets connectors stop that hang
	lacks   string        // the worker that has another class instead
}

func (p *probe) plugins(worker string) (out worker.Plugins) {
	out.Connectors = map[string]func() connect.SinkConnector{
		"probe.ProbeSinkConnector": func() connect.SinkConnector { return &probeConnector{probe: p, worker: worker} },
	}
	if worker == p.lacks {
		out.Connectors["firn.OwnSinkConnector"] = out.Connectors["probe.ProbeSinkConnector"]
		delete(out.Connectors, "probe.ProbeSinkConnector")
	}
	out.Converters = map[string]func() connect.Converter{"probe.Converter": func() connect.Converter { return probeConverter{} }}
	return out
}

func (p *probe) started(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts[key]
}

type probeConnector struct {
	probe  *probe
	worker string
	config map[string]string
	doubts []connect.ConfigError
}

func (c *probeConnector) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		{Name: "probe.fail", Type: connect.TypeString, Importance: connect.Low, Doc: "What fails: start, once (the first start), panic, stop (it hangs), task, slow (tasks stop slowly)."},
		{Name: "probe.count", Type: connect.TypeInt, Importance: connect.Low, Doc: "Number of tasks."},
		{Name: "probe.password", Type: connect.TypePassword, Importance: connect.Low, Doc: "A secret."},
	}}
}
func (c *probeConnector) Version() string { return "1" }

func (c *probeConnector) Validate(_ context.Context, config map[string]string) []connect.ConfigError {
	if what := config["probe.doubt"]; what != "" {
		c.doubts = []connect.ConfigError{{Key: "probe.doubt", Message: what}}
	}
	return nil
}

func (*probeConnector) Faults(map[string]string) []connect.ConfigError { return nil }

func (c *probeConnector) Doubts() []connect.ConfigError { return c.doubts }

func (c *probeConnector) Start(_ context.Context, config map[string]string) error {
	c.config = config
	c.probe.mu.Lock()
	defer c.probe.mu.Unlock()
	c.probe.starts["connector "+config["name"]]++
	if f := config["probe.fail"]; f == "start" || f == "once" && c.probe.starts["connector "+config["name"]] == 1 {
		return errors.New("told to fail")
	} else if f == "leak" {
		return fmt.Errorf("refused: https://me:%s@host", url.QueryEscape(config["probe.password"]))
	}
	return nil
}

func (c *probeConnector) TaskConfigs(most int) ([]map[string]string, error) {
	if c.config["probe.fail"] == "panic" {
		panic("told to panic")
	}
	configs := make([]map[string]string, most)
	for i := range configs {
		configs[i] = maps.Clone(c.config)
	}
	return configs, nil
}

func (c *probeConnector) Stop(context.Context) error {
	if c.config["probe.fail"] == "stop" {
		<-c.probe.release
	}
	return nil
}

func (c *probeConnector) NewTask() connect.SinkTask {
	return &probeTask{probe: c.probe, worker: c.worker}
}

func (c *probeConnector) OffsetGroup(config map[string]string) (string, map[string]string, error) {
	return config["probe.group"], nil, nil
}

func (c *probeConnector) AlterOffsets(context.Context, map[string]string, map[connect.TopicPartition]*int64) (bool, error) {
	return false, nil
}

type probeTask struct {
	probe  *probe
	worker string
	key    string
	slow   bool
	next   map[connect.TopicPartition]int64
}

func (t *probeTask) Start(_ context.Context, tc connect.TaskContext, config map[string]string) error {
	switch config["probe.fail"] {
	case "task":
		return errors.New("told to fail")
	case "leak task":
		tc.Logger().With("login", "me:"+config["probe.password"]).Warn("trying "+config["probe.password"], "config", config)
		return fmt.Errorf("refused: %q", config["probe.password"])
	}
	t.slow = config["probe.fail"] == "slow"
	t.key = fmt.Sprintf("%s-%d", tc.Connector(), tc.Task())
	t.next = map[connect.TopicPartition]int64{}
	t.probe.mu.Lock()
	defer t.probe.mu.Unlock()
	if on := t.probe.running[t.key]; on != "" {
		t.probe.double = append(t.probe.double, t.key+" on "+on+" and "+t.worker)
	}
	t.probe.running[t.key] = t.worker
	t.probe.starts[t.key]++
	return nil
}

func (t *probeTask) Open(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return nil, nil
}

func (t *probeTask) Put(_ context.Context, b *connect.Batch) error {
	if b != nil {
		t.next[b.TopicPartition] = b.Next
	}
	return nil
}

func (t *probeTask) PreCommit(context.Context) (map[connect.TopicPartition]int64, error) {
	return t.next, nil
}
func (t *probeTask) Close(context.Context, []connect.TopicPartition, bool) error { return nil }
func (t *probeTask) Stop(context.Context) error {
	if t.slow {
		time.Sleep(4500 * time.Millisecond) // longer than heartbeats are apart, shorter than the grace period
	}
	t.probe.mu.Lock()
	defer t.probe.mu.Unlock()
	if t.probe.running[t.key] == t.worker {
		delete(t.probe.running, t.key)
	}
	return nil
}

type probeConverter struct{}

func (probeConverter) ConfigDef() *connect.ConfigDef           { return &connect.ConfigDef{} }
func (probeConverter) Version() string                         { return "1" }
func (probeConverter) Configure(map[string]string, bool) error { return nil }
func (probeConverter) ToConnect(_ context.Context, _ *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	return nil, connect.BytesValue(data), nil
}
