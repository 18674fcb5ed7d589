package commit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
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

var (
	simSeeds = flag.Int("sim.seeds", defaultSeeds(), "how many seeds TestSimulation runs; the environment's SEEDS is its default")
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed alone, and tell what happens")
)

// defaultSeeds is few: the simulation of whole clusters (internal/simtest) runs the same
// code, and this one is for finding out which part of the protocol is to blame.
func defaultSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil && n > 0 {
		return n
	}
	return 40
}

// TestSimulation runs the real coordinator, chain and publisher in fake time, against a
// catalog that loses and delays requests and replies, a control topic that loses, repeats
// and reorders, tasks that die, sleep as zombies and come back, and other engines that
// commit and expire. When the faults stop, every record must be in every table it routes
// to exactly once, and the group's offsets at the end of the log.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed)
		return
	}
	for seed := range *simSeeds {
		t.Run(strconv.Itoa(seed+1), func(t *testing.T) { simulate(t, uint64(seed+1)) })
	}
}

const (
	simTasks  = 3
	simParts  = 3
	simFaults = 40 * time.Second // how long faults happen
	simLimit  = 20 * time.Minute // by then everything must be settled
)

var simTables = []Target{{"db.a", "main"}, {"db.b", "main"}, {"db.k", "main"}}

// simKeyed is the table whose rows replace older ones with their key.
const simKeyed = 2

// simRoutes: most records go to a, some go to b or k too, a few to b alone, some nowhere.
func simRoutes(tp connect.TopicPartition, offset int64) []int {
	switch (offset + int64(tp.Partition)) % 7 {
	case 0:
		return []int{0, 1}
	case 1, 2:
		return []int{0, simKeyed}
	case 3:
		return []int{0, 1, simKeyed}
	case 5:
		return []int{1}
	case 6:
		return nil
	}
	return []int{0}
}

type simRow struct {
	tp     connect.TopicPartition
	offset int64
}

// key is that of the record in the keyed table: some keys are in all partitions.
func (r simRow) key() int64 {
	if r.offset%3 == 0 {
		return r.offset % 4
	}
	return 100*int64(r.tp.Partition+1) + r.offset%5
}

// deletes tells whether the record takes its key's row away.
func (r simRow) deletes() bool { return r.offset%5 == 4 }

// A world is the cluster as it truly is. mu guards everything.
type world struct {
	t       *testing.T
	log     *slog.Logger
	catalog *icetest.Catalog
	topicID TopicID
	routes  func(tp connect.TopicPartition, offset int64) []int // indexes of simTables
	cadence func(table string) Cadence
	trouble func(what string)

	mu         sync.Mutex
	rng        *rand.Rand
	calm       bool // no more faults
	logEnd     map[connect.TopicPartition]int64
	made       map[connect.TopicPartition][]int64 // timestamps of the records, which do not fall
	group      map[connect.TopicPartition]int64
	watermarks int // seen
	generation int32
	owner      map[connect.TopicPartition]int
	members    [simTasks]*member
	rows       map[string][]simRow // by file
	gone       map[string][]int64  // keys, by equality delete file
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rng.IntN(100) < percent
}

func (w *world) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func simulate(t *testing.T, seed uint64) {
	inWorld(t, seed, func(w *world) {
		w.catalog.Chaos(w.catalogFault)
		w.begin()
		w.disturb()
		w.mu.Lock()
		w.calm = true
		w.mu.Unlock()
		w.settle()
		w.verify()
	})
}

// inWorld plays a story, which calls begin, in fake time.
func inWorld(t *testing.T, seed uint64, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		out := io.Discard
		if *simSeed != 0 {
			out = os.Stderr
		}
		w := &world{
			t: t, log: slog.New(slog.NewTextHandler(out, nil)), catalog: icetest.New(icetest.NewFiles()), topicID: TopicID{7}, routes: simRoutes,
			rng: rand.New(rand.NewPCG(seed, 1)), logEnd: make(map[connect.TopicPartition]int64), group: make(map[connect.TopicPartition]int64),
			owner: make(map[connect.TopicPartition]int), made: make(map[connect.TopicPartition][]int64),
			rows: make(map[string][]simRow), gone: make(map[string][]int64),
			generation: 1,
		}
		w.createTables()
		for i, tp := range w.partitions() {
			w.owner[tp] = i % simTasks
		}
		defer func() { // also when the test failed: a bubble waits for its goroutines
			for _, m := range w.members {
				if m != nil {
					m.kill()
				}
			}
		}()
		story(w)
	})
}

func (w *world) begin() {
	for slot := range simTasks {
		w.start(slot)
	}
}

func (w *world) partitions() []connect.TopicPartition {
	out := make([]connect.TopicPartition, simParts)
	for i := range out {
		out[i] = connect.TopicPartition{Topic: "orders", Partition: int32(i)}
	}
	return out
}

func (w *world) createTables() {
	ctx := w.t.Context()
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "o", Type: iceberg.PrimitiveTypes.Int64})
	if err := w.catalog.CreateNamespace(ctx, table.Identifier{"db"}, nil); err != nil {
		w.t.Fatal(err)
	}
	for _, target := range simTables {
		if _, err := w.catalog.CreateTable(ctx, target.Identifier(), schema); err != nil {
			w.t.Fatal(err)
		}
	}
}

var errSim = errors.New("simulated fault")

func (w *world) catalogFault(op icetest.Op, _ int) icetest.Fault {
	var f icetest.Fault
	if w.chance(25) {
		f.DelayBefore = time.Duration(w.pick(1500)) * time.Millisecond
		f.Detached = w.chance(50)
	}
	if w.chance(25) {
		f.DelayAfter = time.Duration(w.pick(1000)) * time.Millisecond
	}
	switch {
	case w.chance(10):
		f.Before = errSim
	case op == icetest.Commit && w.chance(15):
		f.After = errSim
	}
	return f
}

func (w *world) produce(tp connect.TopicPartition, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		w.made[tp] = append(w.made[tp], time.Now().UnixMilli())
	}
	w.logEnd[tp] += int64(n)
}

// disturb produces records and does harm, step by step.
func (w *world) disturb() {
	end := time.Now().Add(simFaults)
	for time.Now().Before(end) {
		time.Sleep(time.Duration(w.pick(800)) * time.Millisecond)
		for _, tp := range w.partitions() {
			w.produce(tp, w.pick(6))
		}
		slot := w.pick(simTasks)
		switch w.pick(14) {
		case 0, 1:
			w.log.Info("sim: kill", "task", slot)
			w.members[slot].kill()
			w.start(slot)
			w.rebalance()
		case 2:
			w.log.Info("sim: zombie", "task", slot)
			w.members[slot].sleepwalk(time.Duration(w.pick(15000)) * time.Millisecond)
			w.rebalance()
		case 3, 4:
			w.rebalance()
		case 5:
			w.foreign()
		case 6:
			w.mu.Lock()
			lose := w.rng.IntN(4) == 0
			if lose {
				clear(w.group)
			}
			w.mu.Unlock()
			w.log.Info("sim: group offsets lost", "lost", lose)
		case 7:
			target := simTables[w.pick(len(simTables))]
			w.breakTable(target, time.Duration(w.pick(60_000))*time.Millisecond, w.chance(50))
		}
	}
}

// breakTable has the catalog take no commits to a table for a while, and, if it is hidden,
// not load it either. It may outlast the time of the other faults.
func (w *world) breakTable(target Target, d time.Duration, hidden bool) {
	w.log.Info("sim: table breaks", "table", target.Table, "for", d, "hidden", hidden)
	ops := []icetest.Op{icetest.Commit}
	if hidden {
		ops = append(ops, icetest.Load)
	}
	w.catalog.Break(target.Identifier(), errSim, ops...)
	time.AfterFunc(d, func() { w.catalog.Mend(target.Identifier()) })
}

func (w *world) foreign() {
	target := simTables[w.pick(len(simTables))]
	var err error
	if w.pick(2) == 0 {
		_, err = w.catalog.ForeignAppend(context.Background(), target.Identifier(), "main")
	} else {
		_, err = w.catalog.ForeignExpire(target.Identifier())
	}
	w.log.Info("sim: another engine commits", "table", target.Table, "error", err)
}

// rebalance gives partitions to other tasks; members hear of it one after the other.
func (w *world) rebalance() {
	w.mu.Lock()
	w.generation++
	for tp := range w.owner {
		if w.rng.IntN(2) == 0 {
			w.owner[tp] = w.rng.IntN(simTasks)
		}
	}
	for _, m := range w.members {
		delay := time.Duration(w.rng.IntN(600)) * time.Millisecond
		time.AfterFunc(delay, m.rejoin)
	}
	w.log.Info("sim: rebalance", "generation", w.generation, "owner", fmt.Sprint(w.owner))
	w.mu.Unlock()
}

// settle waits until the group's offsets are at the ends of the log.
func (w *world) settle() {
	w.rebalance()
	for start := time.Now(); ; time.Sleep(time.Second) {
		w.mu.Lock()
		done := maps.Equal(w.group, w.logEnd)
		w.mu.Unlock()
		if done {
			return
		}
		if time.Since(start) > simLimit {
			w.t.Errorf("stuck: group offsets %v, log ends %v", w.group, w.logEnd)
			for _, m := range w.members {
				m.describe()
			}
			return
		}
	}
}

// verify reads the tables' manifests: which files are live, and so which rows.
func (w *world) verify() {
	for i, target := range simTables {
		live := w.readTable(target)
		if i == simKeyed {
			w.verifyKeyed(live)
			continue
		}
		count := make(map[simRow]int)
		for _, r := range live {
			count[r]++
		}
		w.verifyWatermarks(i, target)
		for tp, end := range w.logEnd {
			for o := range end {
				want := 0
				if slices.Contains(w.routes(tp, o), i) {
					want = 1
				}
				if got := count[simRow{tp, o}]; got != want {
					w.t.Errorf("%s: %s@%d is there %d times, want %d", target.Table, tp, o, got, want)
				}
			}
		}
	}
}

// verifyWatermarks checks that each snapshot has all rows that are older than its
// watermark, and that no watermark is below the one before.
func (w *world) verifyWatermarks(at int, target Target) {
	tbl, err := w.catalog.Peek(target.Identifier())
	if err != nil {
		w.t.Fatal(err)
	}
	last := int64(math.MaxInt64)
	for s := tbl.CurrentSnapshot(); s != nil; s = parent(tbl, s) {
		if _, ours := s.Summary.Properties[SummaryKey]; !ours {
			continue
		}
		through := None
		if text, ok := s.Summary.Properties[apacheWatermark]; ok {
			through = parseWatermark(apacheWatermark, text)
			w.watermarks++
		}
		if through > last {
			w.t.Errorf("%s: the watermark went from %d back to %d", target.Table, through, last)
		}
		last = through
		if s.SequenceNumber%5 != 0 {
			continue // reading all of them takes long
		}
		have := make(map[simRow]bool)
		for _, r := range w.rowsOf(tbl, s) {
			have[r] = true
		}
		for tp, made := range w.made {
			for o, time := range made {
				r := simRow{tp, int64(o)}
				if time < through && !have[r] && slices.Contains(w.routes(tp, r.offset), at) {
					w.t.Errorf("%s: a snapshot with watermark %d lacks %s@%d of time %d", target.Table, through, tp, o, time)
				}
			}
		}
	}
}

// readTable lists the rows of a table: an equality delete hides those of its key that
// have a lower sequence number.
func (w *world) readTable(target Target) []simRow {
	tbl, err := w.catalog.Peek(target.Identifier())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.rowsOf(tbl, tbl.CurrentSnapshot())
}

func (w *world) rowsOf(tbl *table.Table, snapshot *table.Snapshot) []simRow {
	fs, err := tbl.FS(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	if snapshot == nil {
		return nil
	}
	manifests, err := snapshot.Manifests(fs)
	if err != nil {
		w.t.Fatal(err)
	}
	var entries []iceberg.ManifestEntry
	deleted := make(map[int64]int64) // key to the highest sequence number of a delete
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			if err != nil {
				w.t.Fatal(err)
			}
			entries = append(entries, e)
			for _, k := range w.gone[e.DataFile().FilePath()] {
				deleted[k] = max(deleted[k], e.SequenceNum())
			}
		}
	}
	var live []simRow
	for _, e := range entries {
		for _, r := range w.rows[e.DataFile().FilePath()] {
			if e.SequenceNum() >= deleted[r.key()] {
				live = append(live, r)
			}
		}
	}
	return live
}

// verifyKeyed checks that each key has the row that its last record left. A key of several
// partitions has one of their last rows, or none if one of the last records deletes.
func (w *world) verifyKeyed(live []simRow) {
	rows := make(map[int64][]simRow)
	for _, r := range live {
		rows[r.key()] = append(rows[r.key()], r)
	}
	last := make(map[int64]map[connect.TopicPartition]simRow)
	for tp, end := range w.logEnd {
		for o := range end {
			if r := (simRow{tp, o}); slices.Contains(w.routes(tp, o), simKeyed) {
				if last[r.key()] == nil {
					last[r.key()] = make(map[connect.TopicPartition]simRow)
				}
				last[r.key()][tp] = r
			}
		}
	}
	for k, byPartition := range last {
		var allowed []simRow
		gone := false
		for _, r := range byPartition {
			if r.deletes() {
				gone = true
			} else {
				allowed = append(allowed, r)
			}
		}
		got := rows[k]
		if len(got) == 0 && gone || len(got) == 1 && slices.Contains(allowed, got[0]) {
			continue
		}
		w.t.Errorf("key %d has rows %v, want one of %v (none is right: %v)", k, got, allowed, gone)
	}
}

// A member is one task instance with its view of the group. mu guards what others touch.
type member struct {
	w      *world
	slot   int
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	session connect.Session
	mail    []any
	asleep  bool // keeps its old session: a zombie
	joined  bool // session has changed since the loop looked

	// The loop's own.
	chain  *Chain
	owned  map[connect.TopicPartition]bool
	tables [3]*simTable
	coord  *Coordinator
	resign context.CancelFunc
	queue  []*Unit
	opened map[connect.TopicPartition]time.Time
}

type simTable struct {
	table  *table.Table
	floors Floors
	read   time.Time
	f      map[connect.TopicPartition]int64
	rows   []simRow
}

func (w *world) start(slot int) {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{
		w: w, slot: slot, cancel: cancel, chain: NewChain(1), owned: make(map[connect.TopicPartition]bool), opened: make(map[connect.TopicPartition]time.Time),
	}
	for i := range m.tables {
		m.tables[i] = &simTable{f: make(map[connect.TopicPartition]int64)}
	}
	w.mu.Lock()
	w.members[slot] = m
	w.mu.Unlock()
	m.rejoin()
	m.done.Go(func() { m.loop(ctx) })
}

func (m *member) kill() {
	m.cancel()
	m.done.Wait()
}

func (m *member) sleepwalk(d time.Duration) {
	m.mu.Lock()
	m.asleep = true
	m.mu.Unlock()
	time.AfterFunc(d, func() {
		m.mu.Lock()
		m.asleep = false
		m.mu.Unlock()
		m.rejoin()
	})
}

// rejoin takes the group's present generation, unless the member is a zombie.
func (m *member) rejoin() {
	m.w.mu.Lock()
	s := connect.Session{Member: fmt.Sprintf("m%d", m.slot), Generation: m.w.generation, Subscribed: m.w.partitions()}
	for _, tp := range s.Subscribed {
		if m.w.owner[tp] == m.slot {
			s.Owned = append(s.Owned, tp)
		}
	}
	m.w.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.asleep && s.Generation >= m.session.Generation {
		m.session, m.joined = s, true
	}
}

// The member is its own connect.Group.

func (m *member) ID() string { return "connect-sim" }

func (m *member) Session() connect.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

func (m *member) Committed(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	if m.w.chance(10) {
		return nil, errSim
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	out := make(map[connect.TopicPartition]int64)
	for _, tp := range parts {
		if o, ok := m.w.group[tp]; ok {
			out[tp] = o
		}
	}
	return out, nil
}

func (m *member) Commit(_ context.Context, s connect.Session, offsets map[connect.TopicPartition]int64) error {
	lost, late := m.w.chance(15), m.w.chance(50)
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if s.Generation != m.w.generation {
		return connect.ErrFenced
	}
	if lost && late {
		return errSim
	}
	maps.Copy(m.w.group, offsets)
	if lost {
		return errSim
	}
	return nil
}

// The member also answers for the brokers.

func (m *member) TopicIDs(context.Context, []string) (map[string]TopicID, error) {
	return map[string]TopicID{"orders": m.w.topicID}, nil
}

func (m *member) Earliest(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	out := make(map[connect.TopicPartition]int64)
	for _, tp := range parts {
		out[tp] = 0
	}
	return out, nil
}

func (m *member) Latest(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	out := make(map[connect.TopicPartition]int64)
	for _, tp := range parts {
		out[tp] = m.w.logEnd[tp]
	}
	return out, nil
}

// send is the control topic: every live member hears it, or not, sooner or later, or twice.
func (w *world) send(_ context.Context, messages ...any) error {
	for _, m := range messages {
		switch m.(type) {
		case javaevent.Payload:
			continue
		}
		b := encodeMessage(m)
		for slot := range simTasks {
			for range 1 + w.pick(10)/9 {
				if w.chance(10) {
					continue
				}
				time.AfterFunc(time.Duration(w.pick(400))*time.Millisecond, func() {
					got, err := decodeMessage(b)
					if err != nil {
						w.t.Error(err)
					}
					w.mu.Lock()
					to := w.members[slot]
					w.mu.Unlock()
					to.mu.Lock()
					to.mail = append(to.mail, got)
					to.mu.Unlock()
				})
			}
		}
	}
	if w.chance(5) {
		return errSim // it was sent all the same
	}
	return nil
}

func (m *member) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		m.mu.Lock()
		mail, joined, s := m.mail, m.joined, m.session
		m.mail, m.joined = nil, false
		m.mu.Unlock()
		if joined {
			m.rebalanced(s)
		}
		m.lead(ctx, s)
		for _, x := range mail {
			switch x := x.(type) {
			case *Cycle:
				m.observe(ctx, x)
			default:
				if m.coord != nil {
					m.coord.Offer(x)
				}
			}
		}
		m.read(ctx)
		m.announce(ctx)
	}
}

func (m *member) lead(ctx context.Context, s connect.Session) {
	leads := len(s.Owned) > 0 && s.Owned[0] == s.Subscribed[0]
	switch {
	case leads && m.coord == nil:
		c := NewCoordinator(Config{
			Group: m, Broker: m, Catalog: m.w.catalog, CatalogName: "iceberg", Tables: simTables, Task: "sim-" + s.Member, ConfigHash: 1,
			Interval: 2 * time.Second, Cadence: m.w.cadence, Trouble: m.w.trouble, Timeout: 3 * time.Second, Threads: 2, Logger: m.w.log.With("coordinator", s.Member), Send: m.w.send,
		})
		var cctx context.Context
		cctx, m.resign = context.WithCancel(ctx)
		m.coord = c
		m.done.Go(func() {
			if err := c.Run(cctx); err != nil {
				m.w.t.Errorf("coordinator: %v", err)
			}
		})
	case !leads && m.coord != nil:
		m.resign()
		m.coord = nil
	}
}

// rebalanced closes what went away, flushing it or not, and assigns what came.
func (m *member) rebalanced(s connect.Session) {
	var gone, came []connect.TopicPartition
	for tp := range m.owned {
		if !slices.Contains(s.Owned, tp) {
			gone = append(gone, tp)
		}
	}
	for _, tp := range s.Owned {
		if !m.owned[tp] {
			came = append(came, tp)
		}
	}
	if len(gone) > 0 {
		if m.w.chance(50) {
			m.reset()
		} else if m.chain.Dirty() {
			m.seal([16]byte{})
		}
	}
	m.chain.Revoke(gone)
	for _, tp := range gone {
		delete(m.owned, tp)
		for _, tab := range m.tables {
			delete(tab.f, tp)
		}
	}
	m.chain.Assign(came, s.Generation)
	for _, tp := range came {
		m.owned[tp] = true
	}
}

func (m *member) reset() {
	m.chain.Reset()
	m.drop()
}

func (m *member) drop() {
	m.queue = nil
	for _, tab := range m.tables {
		clear(tab.f)
		tab.rows = nil
	}
}

func (m *member) observe(ctx context.Context, cy *Cycle) {
	step := m.chain.Observe(cy, time.Now())
	if step.Reset != "" {
		m.w.log.Info("sim: reset", "task", m.slot, "reason", step.Reset)
		m.drop()
	}
	for tp := range step.Open {
		m.opened[tp] = time.Now()
		for _, tab := range m.tables {
			delete(tab.f, tp)
		}
	}
	for _, u := range step.Announce {
		_ = m.w.send(ctx, u)
	}
	if step.Flush {
		m.seal(step.Commit)
	}
}

// read takes some records of every open partition, loading floors where they are missing.
func (m *member) read(ctx context.Context) {
	for tp := range m.owned {
		pos, open := m.chain.Position(tp)
		open = open && !m.chain.Held(tp)
		m.w.mu.Lock()
		end := m.w.logEnd[tp]
		m.w.mu.Unlock()
		for ; open && pos < end; pos++ {
			if !m.take(ctx, tp, pos) {
				break
			}
			m.w.mu.Lock()
			m.chain.Saw(tp, m.w.made[tp][pos])
			m.w.mu.Unlock()
			m.chain.Advance(tp, pos+1)
		}
	}
}

func (m *member) take(ctx context.Context, tp connect.TopicPartition, offset int64) bool {
	source := NewSource(m.ID(), tp, m.w.topicID)
	for _, i := range m.w.routes(tp, offset) {
		tab := m.tables[i]
		if _, ok := tab.f[tp]; ok {
			continue
		}
		if tab.table == nil || !tab.read.After(m.opened[tp]) {
			asked := time.Now()
			loaded, err := m.w.catalog.LoadTable(ctx, simTables[i].Identifier())
			if err != nil {
				return false
			}
			floors, err := ReadFloors(loaded, "main")
			if err != nil {
				m.w.t.Error(err)
				return false
			}
			tab.table, tab.floors, tab.read = loaded, floors, asked
			if !asked.After(m.opened[tp]) {
				return false
			}
		}
		tab.f[tp] = max(tab.floors.F(source), m.chain.Foreseen(tp, simTables[i]))
	}
	for _, i := range m.w.routes(tp, offset) {
		if f := m.tables[i].f[tp]; f == None || offset >= f {
			m.tables[i].rows = append(m.tables[i].rows, simRow{tp, offset})
		}
	}
	return true
}

// seal is step T3 with a file whose rows are only remembered.
func (m *member) seal(asked [16]byte) {
	u := m.chain.Seal(asked)
	for i, tab := range m.tables {
		if len(tab.rows) == 0 {
			continue
		}
		l := Link{Target: simTables[i], UUID: tab.table.Metadata().TableUUID(), Version: tab.table.Metadata().Version(), Floors: make(map[int]int64), Records: int64(len(tab.rows)), Bytes: 100}
		for at, r := range u.Ranges {
			if f, ok := tab.f[r.TopicPartition]; ok && !r.Empty() {
				l.Floors[at] = f
				tab.f[r.TopicPartition] = max(f, r.Next)
			}
		}
		rows := tab.rows
		tab.rows = nil
		if l.Keyed = i == simKeyed; l.Keyed {
			var keys []int64
			rows, keys = collapse(rows)
			l.Deletes = m.file(tab.table, nil, keys)
		}
		l.Files = m.file(tab.table, rows, nil)
		u.Links = append(u.Links, l)
	}
	m.queue = append(m.queue, u)
}

// collapse leaves the last row of each key, and gives the keys whose older rows must go.
func collapse(records []simRow) (rows []simRow, keys []int64) {
	last := make(map[int64]simRow)
	for _, r := range records {
		last[r.key()] = r
	}
	for k, r := range last {
		keys = append(keys, k)
		if !r.deletes() {
			rows = append(rows, r)
		}
	}
	return rows, keys
}

// file makes up a data file of rows, or an equality delete file of keys, and returns its
// manifest; nil if it would be empty.
func (m *member) file(t *table.Table, rows []simRow, keys []int64) []byte {
	if len(rows)+len(keys) == 0 {
		return nil
	}
	path := t.Location() + "/data/" + uuid.NewString() + ".parquet"
	m.w.mu.Lock()
	m.w.rows[path], m.w.gone[path] = rows, keys
	m.w.mu.Unlock()
	content, encode := iceberg.EntryContentData, EncodeFiles
	if keys != nil {
		content, encode = iceberg.EntryContentEqDeletes, EncodeDeletes
	}
	spec := t.Spec()
	b, err := iceberg.NewDataFileBuilder(spec, content, path, iceberg.ParquetFile, nil, nil, nil, int64(len(rows)+len(keys)), 100)
	if err != nil {
		m.w.t.Error(err)
		return nil
	}
	if keys != nil {
		b.EqualityFieldIDs([]int{1})
	}
	manifest, err := encode(t.Metadata().Version(), spec, t.Schema(), []iceberg.DataFile{b.Build()})
	if err != nil {
		m.w.t.Error(err)
	}
	return manifest
}

func (m *member) announce(ctx context.Context) {
	for _, u := range m.queue {
		if !m.w.chance(20) { // else: it dies with the next kill, or waits
			m.chain.Sent(u, time.Now())
			_ = m.w.send(ctx, u)
			m.queue = m.queue[1:]
			continue
		}
		return
	}
}

// describe tells the state of a member of a world that is stuck.
func (m *member) describe() {
	for tp, p := range m.chain.parts {
		m.w.t.Logf("task %d: %s %+v", m.slot, tp, *p)
	}
	for _, s := range m.chain.units {
		m.w.t.Logf("task %d: unit %s sent %v %+v", m.slot, s.unit.ID, s.sent, s.unit.Ranges)
	}
	m.w.t.Logf("task %d: session %+v, epoch %d", m.slot, m.session, m.chain.epoch)
	if m.coord != nil {
		for _, l := range m.coord.ledger.snapshot() {
			m.w.t.Logf("coordinator %d: %+v", m.slot, l)
		}
		m.w.t.Logf("coordinator %d: epoch %d units %d waiting %d jobs %+v gathering %v", m.slot, m.coord.session.Generation, len(m.coord.ledger.units), len(m.coord.ledger.waiting), m.coord.jobs, m.coord.gathering)
	}
}
