package commit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
)

// A member is one task instance with its view of the group. mu guards what others touch.
type member struct {
	w      *world
	slot   int
	hash   uint64
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	session connect.Session
	mail    []any
	kafka   int           // which cluster the session is of
	asleep  bool          // keeps its old session: a zombie
	joined  bool          // session has changed since the loop looked
	ice     chan struct{} // closed at the end of being frozen; nil if it is not

	// The loop's own.
	chain   *Chain
	owned   map[connect.TopicPartition]bool
	tables  [3]*simTable
	coord   *Coordinator
	resign  context.CancelFunc
	queue   []*Unit
	opened  map[connect.TopicPartition]time.Time
	topicID TopicID   // as the metadata had it that the member looked at last
	greeted time.Time // when the last Hello was sent
	of      int       // cluster of the session that was taken in last
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
		w: w, slot: slot, cancel: cancel, hash: w.hash, chain: NewChain(w.hash), owned: make(map[connect.TopicPartition]bool), opened: make(map[connect.TopicPartition]time.Time),
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

// away tells whether the group takes the member for dead.
func (m *member) away() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asleep
}

// freeze stops all that the member does for d. When it goes on it still believes in its
// old session for a moment.
func (m *member) freeze(d time.Duration) {
	ice := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ice != nil {
		return
	}
	m.ice = ice
	time.AfterFunc(d, func() {
		m.mu.Lock()
		m.ice = nil
		m.mu.Unlock()
		close(ice)
	})
	m.asleep = true
	time.AfterFunc(d+3*time.Second, m.wake)
}

// thawed waits while the member is frozen: it is called before everything that has an
// effect on others.
func (m *member) thawed(ctx context.Context) error {
	m.mu.Lock()
	ice := m.ice
	m.mu.Unlock()
	if ice == nil {
		return nil
	}
	select {
	case <-ice:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *member) wake() {
	m.mu.Lock()
	m.asleep = m.ice != nil
	m.mu.Unlock()
	m.rejoin()
}

func (m *member) sleepwalk(d time.Duration) {
	m.mu.Lock()
	m.asleep = true
	m.mu.Unlock()
	time.AfterFunc(d, m.wake)
}

// rejoin takes the group's present generation, unless the member is a zombie.
func (m *member) rejoin() {
	m.w.mu.Lock()
	kafka := m.w.kafka
	s := connect.Session{Member: fmt.Sprintf("m%d of %d", m.slot, kafka), Generation: m.w.generation, Subscribed: m.w.partitions()}
	for _, tp := range s.Subscribed {
		if m.w.owner[tp] == m.slot {
			s.Owned = append(s.Owned, tp)
		}
	}
	m.w.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.asleep && (kafka > m.kafka || kafka == m.kafka && s.Generation >= m.session.Generation) {
		m.session, m.kafka, m.joined = s, kafka, true
	}
}

// The member is its own connect.Group.

func (m *member) ID() string { return "connect-sim" }

func (m *member) Session() connect.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

func (m *member) Committed(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	if err := m.thawed(ctx); err != nil {
		return nil, err
	}
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

func (m *member) Commit(ctx context.Context, s connect.Session, offsets map[connect.TopicPartition]int64) error {
	if err := m.thawed(ctx); err != nil {
		return err
	}
	lost, late := m.w.chance(15), m.w.chance(50)
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if s.Generation != m.w.generation || s.Member != fmt.Sprintf("m%d of %d", m.slot, m.w.kafka) {
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

func (m *member) TopicIDs(ctx context.Context, _ []string) (map[string]TopicID, error) {
	if err := m.thawed(ctx); err != nil {
		return nil, err
	}
	if m.w.chance(5) {
		return nil, errSim
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return map[string]TopicID{"orders": m.w.topicID}, nil
}

func (m *member) Earliest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	if err := m.thawed(ctx); err != nil {
		return nil, err
	}
	out := make(map[connect.TopicPartition]int64)
	for _, tp := range parts {
		out[tp] = 0
	}
	return out, nil
}

func (m *member) Latest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	if err := m.thawed(ctx); err != nil {
		return nil, err
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	out := make(map[connect.TopicPartition]int64)
	for _, tp := range parts {
		out[tp] = m.w.logEnd[tp]
	}
	return out, nil
}

func (m *member) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		if m.thawed(ctx) != nil {
			return
		}
		m.mu.Lock()
		mail, joined, s, kafka := m.mail, m.joined, m.session, m.kafka
		m.mail, m.joined = nil, false
		m.mu.Unlock()
		if joined {
			m.rebalanced(s, kafka)
		}
		m.lead(ctx, s)
		for _, x := range mail {
			switch x := x.(type) {
			case *Cycle:
				m.chain.In(s.Generation)
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
		cfg := Config{
			Group: m, Broker: m, Catalog: simCatalog{m.w.catalog, m}, CatalogName: "iceberg", Tables: simTables, Task: "sim-" + s.Member, ConfigHash: m.hash,
			Interval: 2 * time.Second, Cadence: m.w.cadence, Trouble: m.w.trouble, Timeout: 3 * time.Second, Threads: 2, Logger: m.w.log.With("coordinator", s.Member), Send: m.send,
		}
		if m.w.multi {
			cfg.Multi, cfg.Threads = simCatalog{m.w.catalog, m}, 3
		}
		c := NewCoordinator(cfg)
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

// rebalanced closes what went away, flushing it or not, and assigns what came. With
// another cluster the membership is lost, and everything with it.
func (m *member) rebalanced(s connect.Session, kafka int) {
	lost := kafka != m.of
	m.of = kafka
	var gone, came []connect.TopicPartition
	for tp := range m.owned {
		if lost || !slices.Contains(s.Owned, tp) {
			gone = append(gone, tp)
		}
	}
	for _, tp := range s.Owned {
		if lost || !m.owned[tp] {
			came = append(came, tp)
		}
	}
	if len(gone) > 0 {
		if lost || m.w.chance(50) {
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
		_ = m.send(ctx, u)
	}
	if step.Flush {
		m.seal(step.Commit)
	}
}

// read takes some records of every open partition, loading floors where they are missing.
// Records are fetched by the topic's name: that it was made anew shows only when metadata
// are looked at again, and until then its records are taken for those of the old one.
func (m *member) read(ctx context.Context) {
	if m.w.pick(60) == 0 || m.topicID == (TopicID{}) {
		m.w.mu.Lock()
		m.topicID = m.w.topicID
		m.w.mu.Unlock()
	}
	for tp := range m.owned {
		pos, open := m.chain.Position(tp)
		open = open && !m.chain.Held(tp)
		m.w.mu.Lock()
		end, made := m.w.logEnd[tp], m.w.made[tp]
		m.w.mu.Unlock()
		if open && m.topicID != m.chain.TopicID(tp) { // the coordinator must see it first
			if time.Since(m.greeted) > time.Second {
				m.greeted = time.Now()
				_ = m.send(ctx, Hello{})
			}
			open = false
		}
		for ; open && pos < end; pos++ {
			if !m.take(ctx, tp, pos) {
				break
			}
			m.chain.Saw(tp, made[pos])
			m.chain.Advance(tp, pos+1)
		}
	}
}

func (m *member) take(ctx context.Context, tp connect.TopicPartition, offset int64) bool {
	source := NewSource(m.ID(), tp, m.chain.TopicID(tp))
	m.w.mu.Lock()
	id := m.w.topicID
	m.w.mu.Unlock()
	for _, i := range m.w.routes(tp, offset) {
		tab := m.tables[i]
		if _, ok := tab.f[tp]; ok {
			continue
		}
		if tab.table == nil || !tab.read.After(m.opened[tp]) {
			asked := time.Now()
			loaded, err := simCatalog{m.w.catalog, m}.LoadTable(ctx, simTables[i].Identifier())
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
			m.tables[i].rows = append(m.tables[i].rows, simRow{id, tp, offset})
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
			_ = m.send(ctx, u)
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
