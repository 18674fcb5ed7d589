package simtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/connect/transforms"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/converters/json"
	"github.com/firn-io/firn/converters/str"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

const (
	connector  = "sim"
	partitions = 3
	tasks      = 3
	firstPort  = 9001
)

var (
	topics = []string{"alpha", "beta"}
	names  = []string{"w1", "w2", "w3"}
)

// A world is a cluster with everything around it. The test's goroutine tells the story;
// workers and the goroutines beside it use what mu guards.
type world struct {
	t       *testing.T
	seed    uint64
	journal *journal
	vn      kfake.VirtualNetwork
	swap    sync.Mutex     // guards kafka, which the test's goroutine alone changes
	kafka   *kfake.Cluster // nil while one is gone and the next has not begun
	servers string
	catalog *icetest.Catalog
	plot    *rand.Rand // of the story; the test's goroutine alone
	config  map[string]string
	extra   map[string]string // of the workers
	keyed   bool              // rows replace those of their key
	grows   bool              // records get more and more fields
	loses   loss              // what is taken away

	taken  map[string]map[connect.TopicPartition]int64 // by table: rows of records below may be gone
	former former

	own      *process // stands for the test itself: only its connections are used
	producer *kafka.Producer
	sent     int

	asides sync.WaitGroup // harm that goes on beside the story, and its end
	nurses sync.WaitGroup
	over   chan struct{} // closed at the end
	ending sync.Once

	mu    sync.Mutex // guards what follows
	calm  bool       // no more harm
	rolls map[string]uint64
	hosts map[string]*process // the newest life of each
	all   []*process

	members map[membership]time.Time // when last heard of
}

func newWorld(t *testing.T, seed uint64, j *journal) *world {
	j.start = time.Now()
	w := &world{
		t: t, seed: seed, journal: j, catalog: icetest.New(icetest.NewFiles()), plot: rand.New(rand.NewPCG(seed, 1)),
		keyed: seed%3 == 0, grows: seed%2 == 0, taken: make(map[string]map[connect.TopicPartition]int64),
		over: make(chan struct{}), rolls: make(map[string]uint64), hosts: make(map[string]*process),
		members: make(map[membership]time.Time), former: former{consumed: make(map[cell]bool), again: make(map[string]bool)},
	}
	if n := seed % 10; !w.keyed && n < uint64(losses) {
		w.loses = loss(n)
	}
	if seed/2%2 == 0 { // whatever else goes by the seed
		w.catalog.OfferMultiTable()
	}
	w.own = &process{w: w, healed: make(chan struct{}), links: make(map[*link]bool)}
	w.kafka = w.newKafka()
	w.servers = strings.Join(w.kafka.ListenAddrs(), ",")
	w.configure()
	return w
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// configure makes up one of the ways in which clusters are configured.
func (w *world) configure() {
	r := w.plot
	w.extra = map[string]string{
		"connect.protocol":                       pick(r, "sessioned", "sessioned", "compatible", "eager"),
		"consumer.partition.assignment.strategy": pick(r, "org.apache.kafka.clients.consumer.RangeAssignor", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
		"scheduled.rebalance.max.delay.ms":       pick(r, "0", "3000"),
	}
	w.config = map[string]string{
		"name": connector, "connector.class": iceberg.ApacheClass, "tasks.max": strconv.Itoa(tasks), "topics": strings.Join(topics, ","),
		"errors.tolerance": "all",
		"transforms":       "at", "transforms.at.type": "org.apache.kafka.connect.transforms.InsertField$Value",
		"transforms.at.topic.field": "topic", "transforms.at.partition.field": "part", "transforms.at.offset.field": "at",
		"iceberg.tables": "db.all,db.beta", "iceberg.tables.route-field": "topic",
		"iceberg.table.db.all.route-regex": ".*", "iceberg.table.db.beta.route-regex": "beta",
		"iceberg.tables.auto-create-enabled":                               "true",
		"iceberg.tables.auto-create-props.write.parquet.compression-codec": pick(r, "uncompressed", "snappy"),
		"iceberg.tables.auto-create-props.commit.retry.num-retries":        pick(r, "0", "4"), // retries of the library must not be
		"iceberg.tables.default-partition-by":                              pick(r, "", "", "part"),
		"iceberg.catalog.type":                                             "memory",
		"iceberg.control.commit.interval-ms":                               pick(r, "1000", "2000"),
		"iceberg.control.commit.timeout-ms":                                "2500",
		"iceberg.tables.evolve-schema-enabled":                             strconv.FormatBool(w.grows),
	}
	if w.keyed {
		w.config["iceberg.tables.cdc-field"], w.config["iceberg.tables.default-id-columns"] = "op", "k"
		w.config["iceberg.tables.auto-create-props.format-version"] = pick(r, "2", "3")
	}
	w.journal.note("seed %d: %v, partitions by %q, keyed %v, grows %v, loses %d", w.seed, w.extra, w.config["iceberg.tables.default-partition-by"], w.keyed, w.grows, w.loses)
}

func (w *world) workerProps(clientID string) map[string]string {
	sessionMillis := strconv.FormatInt(session.Milliseconds(), 10)
	props := map[string]string{
		"bootstrap.servers": w.servers, "group.id": "cluster",
		"client.id": clientID, "consumer.client.id": clientID,
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "false",
		"config.storage.topic":           "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
		"offset.storage.partitions": "1", "status.storage.partitions": "1",
		"session.timeout.ms": sessionMillis, "heartbeat.interval.ms": "1000", "rebalance.timeout.ms": "3000", "worker.sync.timeout.ms": "3000",
		"task.shutdown.graceful.timeout.ms": "3000",
		"request.timeout.ms":                "3000", "metadata.max.age.ms": "10000", "fetch.max.wait.ms": "2000",
		"consumer.session.timeout.ms": sessionMillis, "consumer.heartbeat.interval.ms": "1000", "consumer.max.poll.interval.ms": "3000",
		"consumer.request.timeout.ms": "3000", "consumer.fetch.max.wait.ms": "2000", "consumer.metadata.max.age.ms": "10000",
	}
	maps.Copy(props, w.extra)
	return props
}

func (w *world) plugins(p *process) worker.Plugins {
	return worker.Plugins{
		Connectors: map[string]func() connect.SinkConnector{iceberg.ApacheClass: func() connect.SinkConnector {
			return &iceberg.Connector{Dial: p.dial, OpenCatalog: func(context.Context, string, map[string]string) (catalog.Catalog, error) {
				return lake{w.catalog, p}, nil
			}}
		}},
		Converters: map[string]func() connect.Converter{
			"org.apache.kafka.connect.storage.StringConverter": func() connect.Converter { return new(str.Converter) },
			"org.apache.kafka.connect.json.JsonConverter":      func() connect.Converter { return new(json.Converter) },
		},
		Transforms: map[string]func() connect.Transformation{"org.apache.kafka.connect.transforms.InsertField$Value": transforms.NewInsertFieldValue},
	}
}

// roll gives the dice for the next event of a kind, nil when no more harm is to be done.
// Each event has its own, so that what happens to it hangs on its number alone.
func (w *world) roll(kind string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return nil
	}
	w.rolls[kind]++
	h := fnv.New64a()
	h.Write([]byte(kind))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()^w.rolls[kind]*0x9e3779b97f4a7c15))
}

func (w *world) chance(kind string, of, in int) bool {
	r := w.roll(kind)
	return r != nil && r.IntN(in) < of
}

func (w *world) host(name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[name]
}

// client is a configuration for the test's own clients, which no harm is done to on their
// way to the brokers.
func (w *world) client() *kafka.Config {
	cfg, err := kafka.NewConfig(map[string]string{"bootstrap.servers": w.servers, "request.timeout.ms": "5000"}, w.own.dial)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// begin starts the workers and creates the connector.
func (w *world) begin() {
	var err error
	if w.producer, err = kafka.NewProducer(w.client()); err != nil {
		w.t.Fatal(err)
	}
	w.produce(20)
	for _, name := range names[:2+w.plot.IntN(2)] {
		w.start(name)
	}
	given := w.given()
	ok := w.ask(30*time.Second, func(ctx context.Context, p *process) error {
		_, err := p.Herder().Create(ctx, entities.CreateRequest{Name: connector, Config: given})
		return err
	})
	if !ok {
		w.t.Fatal("the connector could not be created")
	}
	for _, name := range names {
		if w.host(name) == nil {
			w.start(name)
		}
	}
	w.catalog.Chaos(w.catalogFault)
	w.brokerFaults()
	w.nurses.Go(w.nurse)
	w.nurses.Go(w.reap)
}

// given is the connector's config as a request has it.
func (w *world) given() map[string]*string {
	given := make(map[string]*string, len(w.config))
	for k, v := range w.config {
		if v != "" {
			given[k] = &v
		}
	}
	return given
}

// ask puts a request to one host after the other, as a user would, until one takes it.
func (w *world) ask(limit time.Duration, request func(ctx context.Context, p *process) error) bool {
	var last error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for _, name := range names {
			p := w.host(name)
			if p == nil || !p.reachable() {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			last = request(ctx, p)
			cancel()
			if last == nil {
				return true
			}
		}
		select {
		case <-w.over:
			return false
		default:
		}
	}
	w.journal.note("no host took a request: %v", last)
	return false
}

// nurse restarts what has failed. Only a configuration with fewer tasks than there are
// still configs of may do that; tasks that show a trouble go on, and are restarted all the same.
func (w *world) nurse() {
	for {
		select {
		case <-w.over:
			return
		case <-time.After(time.Second):
		}
		for _, name := range names {
			p := w.host(name)
			if p == nil || !p.reachable() {
				continue
			}
			s, err := p.Herder().Status(context.Background(), connector)
			if err != nil {
				continue
			}
			trace := s.Connector.Trace
			if s.Connector.State != "FAILED" {
				i := slices.IndexFunc(s.Tasks, func(t entities.TaskState) bool { return t.State.State == "FAILED" })
				if i < 0 {
					break
				}
				trace = s.Tasks[i].Trace
			}
			w.failed(trace)
			w.ask(10*time.Second, func(ctx context.Context, p *process) error {
				_, err := p.Herder().RestartPlan(ctx, connector, true, true)
				return err
			})
			break
		}
	}
}

func (w *world) failed(trace string) {
	w.journal.note("connector or task has failed and is restarted: %s", trace)
	if !strings.Contains(trace, "The task goes on with everything else and tries again") && !strings.Contains(trace, "the maximum number of tasks it is configured to create") {
		w.t.Errorf("connector or task has failed: %s", trace)
	}
}

// value makes up a record: with a key of its partition, and with more fields the later it is.
func (w *world) value(topic string, partition int32) []byte {
	w.sent++
	b := fmt.Appendf(nil, `{"id":%d,"word":"w%d"`, w.sent, w.sent%7)
	if w.keyed {
		b = fmt.Appendf(b, `,"k":"%s-%d-%d","op":%q`, topic, partition, w.plot.IntN(8), pick(w.plot, "u", "u", "u", "d"))
	}
	if w.grows && w.sent > 100 {
		b = fmt.Appendf(b, `,"twice":%d`, 2*w.sent)
	}
	if w.grows && w.sent > 200 {
		b = fmt.Appendf(b, `,"deep":{"id":%d`, w.sent)
		if w.sent > 250 {
			b = fmt.Appendf(b, `,"thrice":%d`, 3*w.sent)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

// produce writes n records to partitions at random: rows, tombstones, and what is no JSON.
func (w *world) produce(n int) {
	var msgs []kafka.Message
	for range n {
		m := kafka.Message{Topic: pick(w.plot, topics...), Partition: int32(w.plot.IntN(partitions))}
		m.Value = w.value(m.Topic, m.Partition)
		switch w.plot.IntN(20) {
		case 0:
			m.Key, m.Value = []byte("gone"), nil
		case 1:
			m.Value = []byte("no json")
		}
		msgs = append(msgs, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.producer.SendAll(ctx, msgs); err != nil {
		w.journal.note("not all records were produced: %v", err)
	}
}

// end stops everything that runs. What is called again does nothing.
func (w *world) end() {
	w.ending.Do(func() {
		w.stopHarm()
		close(w.over)
		w.asides.Wait()
		w.nurses.Wait()
		w.mu.Lock()
		all := slices.Clone(w.all)
		w.mu.Unlock()
		for _, p := range all {
			p.cancel()
		}
		for _, p := range all {
			<-p.done
			if p.err != nil && p.alive() {
				w.t.Errorf("worker %s ended with %v", p.name, p.err)
			}
		}
		if w.producer != nil {
			w.producer.Close() //nolint:errcheck // everything was sent
		}
	})
}

func (w *world) stopHarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm = true
}
