package iceberg

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/internal/kafka"
)

// orders is the table that a stage is set up for.
var orders = table.Identifier{"db", "orders"}

// A stage is one task between a fake worker, an embedded broker and a catalog in memory.
type stage struct {
	t       *testing.T
	catalog *icetest.Catalog
	config  map[string]string
	dial    kafka.Dialer
	tc      *connecttest.TaskContext
	task    connect.SinkTask
	log     map[connect.TopicPartition][]connect.Record
	next    map[connect.TopicPartition]int64
}

func inStage(t *testing.T, change func(config map[string]string), story func(s *stage)) {
	t.Helper()
	metrics.UseNilMetrics = true
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"), kfake.ListenFn(vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		s := &stage{
			t: t, catalog: icetest.New(icetest.NewFiles()), dial: vn.DialContext,
			log: make(map[connect.TopicPartition][]connect.Record), next: make(map[connect.TopicPartition]int64),
			config: map[string]string{
				"iceberg.tables": "db.orders", "iceberg.catalog.type": "memory", "iceberg.tables.auto-create-enabled": "true",
				"iceberg.tables.auto-create-props.write.parquet.compression-codec": "uncompressed",
				"iceberg.control.commit.interval-ms":                               "1000",
			},
		}
		if change != nil {
			change(s.config)
		}
		s.tc = connecttest.NewTaskContext()
		if testing.Verbose() {
			s.tc.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
		}
		s.tc.Client = map[string]string{"bootstrap.servers": cluster.ListenAddrs()[0]}
		s.produce(t.Context(), 40)
		s.start()
		defer s.stop()
		story(s)
	})
}

func (s *stage) connector() *Connector {
	open := func(context.Context, string, map[string]string) (catalog.Catalog, error) { return s.catalog, nil }
	return &Connector{Dial: s.dial, OpenCatalog: open}
}

func (s *stage) parts() []connect.TopicPartition {
	return []connect.TopicPartition{{Topic: "orders", Partition: 0}, {Topic: "orders", Partition: 1}}
}

// produce writes n records to each partition, to the broker for its offsets and to the
// log that the fake worker reads.
func (s *stage) produce(ctx context.Context, n int) {
	cfg, err := kafka.NewConfig(s.tc.Client, s.dial)
	if err != nil {
		s.t.Fatal(err)
	}
	p, err := kafka.NewProducer(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // everything was acknowledged
	var msgs []kafka.Message
	for _, tp := range s.parts() {
		for range n {
			o := int64(len(s.log[tp]))
			s.log[tp] = append(s.log[tp], connect.Record{Topic: tp.Topic, Partition: tp.Partition, Offset: o, Value: connect.MapValue([]connect.Value{
				connect.StringValue("p"), connect.IntValue(int64(tp.Partition)), connect.StringValue("o"), connect.IntValue(o), connect.StringValue("word"), connect.StringValue("w" + strconv.FormatInt(o, 10)),
			})})
			msgs = append(msgs, kafka.Message{Topic: tp.Topic, Partition: tp.Partition, Value: []byte("x")})
		}
	}
	if err := p.SendAll(ctx, msgs); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) start() {
	s.task = s.connector().NewTask()
	s.tc.Parts = s.parts()
	s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: 1, Subscribed: s.parts(), Owned: s.parts()})
	if err := s.task.Start(s.t.Context(), s.tc, s.config); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.task.Open(s.t.Context(), s.parts()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) stop() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 10*time.Second)
	defer cancel()
	if err := s.task.Stop(ctx); err != nil {
		s.t.Errorf("stop: %v", err)
	}
}

// poll plays the worker for a while: batches of up to 7 records, the same again after a
// RetryError, seeks and pauses obeyed.
func (s *stage) poll(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := s.task.Put(s.t.Context(), nil); err != nil {
			return err
		}
		maps.Copy(s.next, s.tc.TakeSeeks())
		for _, tp := range s.tc.Parts {
			from := s.next[tp]
			to := min(from+7, int64(len(s.log[tp])))
			if s.tc.IsPaused(tp) || from == to {
				continue
			}
			err := s.task.Put(s.t.Context(), &connect.Batch{TopicPartition: tp, Records: s.log[tp][from:to], First: from, Next: to, Arena: new(connect.Arena)})
			if _, again := errors.AsType[*connect.RetryError](err); again {
				continue
			}
			if err != nil {
				return err
			}
			s.next[tp] = to
		}
	}
	return s.tc.Failure()
}

func (s *stage) mustPoll(d time.Duration) {
	s.t.Helper()
	if err := s.poll(d); err != nil {
		s.t.Fatal(err)
	}
}

// peek is a table as it is, whatever faults the catalog plays.
func (s *stage) peek(ident table.Identifier) *table.Table {
	s.t.Helper()
	tbl, err := s.catalog.Peek(ident)
	if err != nil {
		s.t.Fatal(err)
	}
	return tbl
}

func (s *stage) read(ident table.Identifier) []icetest.Row {
	s.t.Helper()
	rows, err := icetest.ReadRows(s.t.Context(), s.peek(ident))
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// counts tells how often each record is in a table.
func (s *stage) counts(ident table.Identifier) map[icetest.Coordinate]int {
	s.t.Helper()
	counts, err := icetest.CoordinateCounts(s.t.Context(), s.peek(ident), "", "p", "o")
	if err != nil {
		s.t.Fatal(err)
	}
	return counts
}

// holds checks that a table has each record as often as times says.
func (s *stage) holds(ident table.Identifier, times func(tp connect.TopicPartition, offset int64) int) {
	s.t.Helper()
	counts := s.counts(ident)
	for tp, log := range s.log {
		for o := range int64(len(log)) {
			if got, want := counts[icetest.Coordinate{Partition: tp.Partition, Offset: o}], times(tp, o); got != want {
				s.t.Fatalf("%s@%d is in %v %d times, want %d", tp, o, ident, got, want)
			}
		}
	}
}

// exactlyOnce checks that a table of db has each record once, and that the group says so.
func (s *stage) exactlyOnce(name string) {
	s.t.Helper()
	s.holds(table.Identifier{"db", name}, func(connect.TopicPartition, int64) int { return 1 })
	s.allRead()
}

// allRead sees that the offsets of all records are committed, those of dropped ones too.
func (s *stage) allRead() {
	s.t.Helper()
	for tp, log := range s.log {
		if got, want := s.tc.Members.Offsets()[tp], int64(len(log)); got != want {
			s.t.Errorf("group offset of %s is %d, want %d", tp, got, want)
		}
	}
}

// belowFloors checks that no snapshot has rows of records that its floors say are missing:
// such records would be written again after a crash. from tells which record a row is of.
func (s *stage) belowFloors(ident table.Identifier, from func(icetest.Row) icetest.Coordinate) {
	s.t.Helper()
	tbl := s.peek(ident)
	for _, snapshot := range tbl.Metadata().Snapshots() {
		floors, err := commit.ParseFloors(snapshot.Summary.Properties[commit.SummaryKey])
		if err != nil {
			s.t.Fatal(err)
		}
		end := make(map[int32]int64)
		for source, f := range floors {
			end[source.Partition] = f.F
		}
		rows, err := icetest.ReadSnapshot(s.t.Context(), tbl, snapshot.SnapshotID)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range rows {
			if c := from(r); c.Offset >= end[c.Partition] {
				s.t.Fatalf("%v: snapshot %d has the row of record %d of partition %d, the floor is %d", ident, snapshot.SequenceNumber, c.Offset, c.Partition, end[c.Partition])
			}
		}
	}
}

// coordinates are those in a row's columns p and o.
func coordinates(row icetest.Row) icetest.Coordinate {
	p, _ := row["p"].(int64)
	o, _ := row["o"].(int64)
	return icetest.Coordinate{Partition: int32(p), Offset: o}
}
