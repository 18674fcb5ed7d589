package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A stage is where a Java sink and Firn work one after the other: one source partition,
// two tables, a control topic of one partition. All records go to table a, those of odd
// offsets to b too. Files are made up: only which offsets they hold is known.
type stage struct {
	t       *testing.T
	catalog *icetest.Catalog
	id      Identity
	end     int64 // of the source partition

	mu          sync.Mutex        // guards what follows while a life of Firn's runs
	files       map[string]string // path: the offsets in it
	group       int64             // the group's offset; None for none
	pending     *int64
	coord       Positions // of the group -coord; nil for none
	control     []controlValue
	members     []string // that are not Firn's
	emptyHanded bool     // they have no partitions
	asked       int      // times the offsets were asked for
	onOffset    func()   // called then
}

type controlValue struct {
	value []byte
	open  bool // its transaction has not ended
}

const stageGroup = "connect-stage"

var stageTables = []Target{{"db.a", "main"}, {"db.b", "main"}}

func newStage(t *testing.T, records int64) *stage {
	s := &stage{
		t: t, catalog: icetest.New(icetest.NewFiles()), id: JavaIdentity("control", stageGroup, false),
		end: records, files: map[string]string{}, group: None,
	}
	if err := s.catalog.CreateNamespace(t.Context(), table.Identifier{"db"}, nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "o", Type: iceberg.PrimitiveTypes.Int64})
	for _, target := range stageTables {
		if _, err := s.catalog.CreateTable(t.Context(), target.Identifier(), schema); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stage) load(target Target) *table.Table {
	t, err := s.catalog.Peek(target.Identifier())
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// routes lists the offsets from first to next that go to a table.
func routesTo(target Target, first, next int64) []int64 {
	var out []int64
	for o := first; o < next; o++ {
		if target == stageTables[0] || o%2 == 1 {
			out = append(out, o)
		}
	}
	return out
}

// file makes up a data file.
func (s *stage) file(target Target, offsets []int64) string {
	path := s.load(target).Location() + "/data/" + uuid.NewString() + ".parquet"
	s.files[path] = fmt.Sprint(offsets)
	return path
}

// counts tells how often each offset is in a table.
func (s *stage) counts(target Target) map[int64]int {
	t := s.load(target)
	out := map[int64]int{}
	head := t.SnapshotByName(target.Branch)
	if head == nil {
		return out
	}
	fs, err := t.FS(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	manifests, err := head.Manifests(fs)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			if err != nil {
				s.t.Fatal(err)
			}
			var n int64
			for text := range strings.FieldsSeq(strings.Trim(s.files[e.DataFile().FilePath()], "[]")) {
				if _, err := fmt.Sscan(text, &n); err != nil {
					s.t.Fatal(err)
				}
				out[n]++
			}
		}
	}
	return out
}

// verdict is "" if every record below next is in its tables exactly once, else LOST or
// DUP, or both, as PROTOCOL's table says it.
func (s *stage) verdict(next int64) string {
	var lost, dup bool
	for _, target := range stageTables {
		counts := s.counts(target)
		for _, o := range routesTo(target, 0, next) {
			lost = lost || counts[o] == 0
			dup = dup || counts[o] > 1
		}
	}
	switch {
	case lost && dup:
		return "LOST and DUP"
	case lost:
		return "LOST"
	case dup:
		return "DUP"
	}
	return ""
}

func (s *stage) expect(want string) {
	s.t.Helper()
	if got := s.verdict(s.end); got != want {
		s.t.Errorf("verdict %q, want %q; a %v, b %v", got, want, s.counts(stageTables[0]), s.counts(stageTables[1]))
	}
}

// meanwhile changes the stage while a life of Firn's runs.
func (s *stage) meanwhile(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Java's workers and coordinator.

// javaWorker reads to next and announces in one transaction, which stays open if asked.
func (s *stage) javaWorker(next int64, open bool) {
	cycle := randomID()
	first := max(s.group, 0)
	for _, target := range stageTables {
		offsets := routesTo(target, first, next)
		if len(offsets) == 0 {
			continue
		}
		id := [16]byte(s.load(target).Metadata().TableUUID())
		ident := target.Identifier()
		s.announce(stageGroup, javaevent.DataWritten{
			Commit: cycle, Table: javaevent.Table{Catalog: "c", Namespace: ident[:1], Name: ident[1], UUID: &id},
			Data: []javaevent.File{{Path: s.file(target, offsets), Format: "PARQUET", Records: int64(len(offsets)), Bytes: 100}},
		}, open)
	}
	s.announce(stageGroup, javaevent.DataComplete{Commit: cycle}, open)
	if open {
		s.pending = &next
	} else {
		s.group = next
	}
}

func (s *stage) announce(group string, p javaevent.Payload, open bool) {
	value, err := javaevent.Encode(&javaevent.Event{ID: randomID(), Time: time.Now(), Group: group, Payload: p})
	if err != nil {
		s.t.Fatal(err)
	}
	s.control = append(s.control, controlValue{value, open})
}

// endTransaction commits the one that is open.
func (s *stage) endTransaction() {
	for i := range s.control {
		s.control[i].open = false
	}
	if s.pending != nil {
		s.group, s.pending = *s.pending, nil
	}
}

// A javaCoordinator is one of Java's, with what it has read of the control topic.
type javaCoordinator struct {
	s         *stage
	next      int64
	buffer    []announcement
	validator bool // 1.11 and later
}

func (s *stage) javaCoordinator(reset string) *javaCoordinator {
	c := &javaCoordinator{s: s, validator: true}
	switch next, ok := s.coord[0]; {
	case ok:
		c.next = next
	case reset == "latest":
		c.next = int64(len(s.control))
	}
	return c
}

func (c *javaCoordinator) read() {
	var d javaevent.Decoder
	for ; c.next < int64(len(c.s.control)); c.next++ {
		e, err := d.Decode(c.s.control[c.next].value)
		if err != nil {
			c.s.t.Fatal(err)
		}
		if w, ok := e.Payload.(javaevent.DataWritten); ok && e.Group == stageGroup {
			c.buffer = append(c.buffer, announcement{0, c.next, e, w})
		}
	}
}

// stage filters what a table needs, and returns what commits it then. commit reports
// whether Java's validator let it pass.
func (c *javaCoordinator) prepare(target Target) (commit func() bool) {
	before, err := readPositions(c.s.load(target), "main", c.s.id.OffsetsProperty)
	if err != nil {
		c.s.t.Fatal(err)
	}
	next := c.next
	var files []iceberg.DataFile
	for _, a := range c.buffer {
		if a.written.Table.Name != target.Identifier()[1] || a.offset < before[0] {
			continue
		}
		for _, f := range a.written.Data {
			file, err := dataFile(c.s.load(target).Metadata(), f)
			if err != nil {
				c.s.t.Fatal(err)
			}
			files = append(files, file)
		}
	}
	return func() bool {
		t := c.s.load(target)
		now, err := readPositions(t, "main", c.s.id.OffsetsProperty)
		if err != nil {
			c.s.t.Fatal(err)
		}
		if len(files) == 0 {
			return true
		}
		if c.validator && !maps.Equal(now, before) {
			return false
		}
		tx := t.NewTransaction()
		summary := iceberg.Properties{c.s.id.OffsetsProperty: Positions{0: next}.String()}
		if err := tx.NewRowDelta(summary).AddRows(files...).Commit(context.Background()); err != nil {
			c.s.t.Fatal(err)
		}
		if _, err := tx.Commit(context.Background()); err != nil {
			c.s.t.Fatal(err)
		}
		return true
	}
}

// commit is a whole cycle's.
func (c *javaCoordinator) commit() {
	c.read()
	for _, target := range stageTables {
		c.prepare(target)()
	}
	c.s.coord = Positions{0: c.next}
	c.buffer = nil
}

// java plays a whole Java sink to the end of the log.
func (s *stage) java(reset string) {
	c := s.javaCoordinator(reset)
	c.read()
	s.javaWorker(s.end, false)
	c.commit()
}

// What Firn sees of the stage: Group, Broker and Java.

var _ Java = (*stage)(nil)

var source = connect.TopicPartition{Topic: "orders"}

func (s *stage) ID() string { return stageGroup }

func (s *stage) Session() connect.Session {
	return connect.Session{Member: "m", Generation: 1, Subscribed: []connect.TopicPartition{source}, Owned: []connect.TopicPartition{source}}
}

// Committed waits, as the broker does with require_stable, for transactions with offsets.
func (s *stage) Committed(ctx context.Context, _ []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	for {
		s.mu.Lock()
		if s.pending == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	defer s.mu.Unlock()
	if s.asked++; s.onOffset != nil {
		s.onOffset()
	}
	if s.group == None {
		return map[connect.TopicPartition]int64{}, nil
	}
	return map[connect.TopicPartition]int64{source: s.group}, nil
}

func (s *stage) Commit(_ context.Context, _ connect.Session, offsets map[connect.TopicPartition]int64) error {
	s.meanwhile(func() { s.group = offsets[source] })
	return nil
}

func (s *stage) TopicIDs(context.Context, []string) (map[string]TopicID, error) {
	return map[string]TopicID{source.Topic: {7}}, nil
}

func (s *stage) Earliest(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return map[connect.TopicPartition]int64{source: 0}, nil
}

func (s *stage) Latest(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return map[connect.TopicPartition]int64{source: s.end}, nil
}

func (s *stage) Strangers(context.Context) (out Strangers, _ error) {
	s.meanwhile(func() { out = Strangers{Names: s.members, Hold: len(s.members) > 0 && !s.emptyHanded} })
	return out, nil
}

func (s *stage) Position(context.Context) (out Positions, _ error) {
	s.meanwhile(func() { out = maps.Clone(s.coord) })
	return out, nil
}

func (s *stage) SetPosition(_ context.Context, p Positions) error {
	s.meanwhile(func() { s.coord = maps.Clone(p) })
	return nil
}

func (s *stage) Starts(context.Context) (Positions, error) { return Positions{0: 0}, nil }

func (s *stage) Ends(context.Context) (Positions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Positions{0: int64(len(s.control))}, nil
}

func (s *stage) Read(ctx context.Context, from, to Positions, take func(partition int32, offset int64, value []byte) error) error {
	for at := from[0]; at < to[0]; at++ {
		var v controlValue
		for s.meanwhile(func() { v = s.control[at] }); v.open; s.meanwhile(func() { v = s.control[at] }) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
		}
		if err := take(0, at, v.value); err != nil {
			return err
		}
	}
	return nil
}

// A run is one life of Firn on the stage: a coordinator, and a task of one unit.
type run struct {
	s           *stage
	coordinator *Coordinator
	cancel      context.CancelFunc
	ended       chan error
	opened      chan int64 // where the chain was opened
	done        chan bool  // closed when everything below the end is done
	sent        bool
	reached     bool // done is closed
}

func (s *stage) config() Config {
	return Config{
		Group: s, Identity: s.id, Java: s, Broker: s, Catalog: s.catalog, CatalogName: "c", Tables: stageTables,
		Target: func(name string) Target { return Target{name, "main"} },
		Task:   "stage-0", ConfigHash: 1, Interval: 10 * time.Second, Timeout: time.Second, Threads: 1,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// start begins a life of Firn's. idle leaves out the task.
func (s *stage) start(cfg Config, idle bool) *run {
	r := &run{s: s, ended: make(chan error, 1), opened: make(chan int64, 1), done: make(chan bool)}
	cfg.Send = func(ctx context.Context, messages ...any) error {
		for _, m := range messages {
			cy, ok := m.(*Cycle)
			if !ok {
				continue
			}
			s.meanwhile(func() {
				s.control = append(s.control, controlValue{value: javaevent.Envelope(randomID(), time.Now(), stageGroup)})
				if !idle {
					r.observe(cy)
				}
			})
		}
		return nil
	}
	r.coordinator = NewCoordinator(cfg)
	ctx, cancel := context.WithCancel(s.t.Context())
	r.cancel = cancel
	go func() { r.ended <- r.coordinator.Run(ctx) }()
	return r
}

// observe is the task: all there is to read becomes one unit.
func (r *run) observe(cy *Cycle) {
	if len(cy.Levels) == 0 {
		return
	}
	l := cy.Levels[0]
	if l.Done == r.s.end && !r.reached {
		r.reached = true
		close(r.done)
	}
	if r.sent || l.Done == r.s.end {
		return
	}
	r.sent = true
	r.opened <- l.End
	u := &Unit{ID: UnitID{randomID(), 1}, ConfigHash: cy.ConfigHash, Ranges: []Range{{TopicPartition: source, First: l.End, Next: r.s.end, Newest: None}}}
	for _, target := range stageTables {
		t := r.s.load(target)
		floors, err := ReadFloors(t, "main")
		if err != nil {
			r.s.t.Error(err)
		}
		f := floors.F(NewSource(stageGroup, source, l.TopicID))
		offsets := routesTo(target, max(l.End, f), r.s.end)
		var files []iceberg.DataFile
		if len(offsets) > 0 {
			b, err := iceberg.NewDataFileBuilder(t.Spec(), iceberg.EntryContentData, r.s.file(target, offsets), iceberg.ParquetFile, nil, nil, nil, int64(len(offsets)), 100)
			if err != nil {
				r.s.t.Error(err)
			}
			files = append(files, b.Build())
		}
		manifest, err := EncodeFiles(t.Metadata().Version(), t.Spec(), t.Schema(), files)
		if err != nil {
			r.s.t.Error(err)
		}
		u.Links = append(u.Links, Link{
			Target: target, UUID: t.Metadata().TableUUID(), Version: t.Metadata().Version(),
			Floors: map[int]int64{0: f}, Records: int64(len(offsets)), Files: manifest,
		})
	}
	r.coordinator.Offer(u)
}

// kill ends it as kill -9 does.
func (r *run) kill() {
	r.cancel()
	if err := <-r.ended; err != nil {
		r.s.t.Error(err)
	}
}

// end waits for it to end by itself.
func (r *run) end() error {
	defer r.cancel()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(10 * time.Minute):
		return errors.New("it does not end")
	}
}

// stop ends it cleanly.
func (r *run) stop() error {
	r.coordinator.Finish()
	return r.end()
}

// firn plays a whole life to the end of the log, stopped cleanly.
func (s *stage) firn(cfg Config) {
	s.t.Helper()
	r := s.start(cfg, false)
	select {
	case <-r.done:
	case err := <-r.ended:
		s.t.Fatalf("the coordinator ended: %v", err)
	case <-time.After(5 * time.Minute):
		s.t.Fatal("the end of the log is not reached")
	}
	if err := r.stop(); err != nil {
		s.t.Fatal(err)
	}
}

// crash plays a life that ends after a number of commits, in the middle of the next.
func (s *stage) crash(after int) {
	s.t.Helper()
	var committed atomic.Int32
	s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
		if op != icetest.Commit {
			return icetest.Fault{}
		}
		if int(committed.Add(1)) <= after {
			return icetest.Fault{}
		}
		return icetest.Fault{Before: errSim}
	})
	defer s.catalog.Chaos(nil)
	r := s.start(s.config(), false)
	for int(committed.Load()) <= after {
		time.Sleep(time.Second)
	}
	r.kill()
}

// slowCommits lets every commit land at once and be answered late.
func (s *stage) slowCommits() {
	s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
		if op == icetest.Commit {
			return icetest.Fault{DelayAfter: 5 * time.Second}
		}
		return icetest.Fault{}
	})
}

func onStage(t *testing.T, records int64, play func(s *stage)) {
	synctest.Test(t, func(t *testing.T) { play(newStage(t, records)) })
}
