package commit

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A calamity is what takes rows or records away, so that less can be expected: each world
// has at most one kind.
type calamity int

const (
	none          calamity = iota
	rollBack               // another engine sets a table back
	recreateTable          // a table is dropped and created again
	recreateTopic
	recreateKafka // another cluster answers: topic and group are new
	calamities
)

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
	case (op == icetest.Commit || op == icetest.CommitMany) && w.chance(15):
		f.After = errSim
	}
	return f
}

// disturb produces records and does harm, step by step, in one world more than in another.
func (w *world) disturb() {
	rage := 10 + w.pick(90)
	for end := time.Now().Add(simFaults); time.Now().Before(end); {
		time.Sleep(time.Duration(w.pick(800)) * time.Millisecond)
		w.produceSome()
		if w.pick(100) >= rage {
			continue
		}
		slot := w.pick(simTasks)
		switch w.pick(18) {
		case 0, 1:
			w.restart(slot)
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
			w.loseOffsets()
		case 7:
			if w.pick(5) == 0 {
				w.breakTable(simTables[w.pick(len(simTables))], time.Duration(w.pick(60_000))*time.Millisecond, w.chance(50))
			}
		case 8:
			if w.pick(3) == 0 {
				w.freeze(slot, time.Duration(w.pick(150))*time.Second)
			}
		case 9:
			w.reconfigure()
		case 10:
			if w.pick(2) == 0 {
				w.strike()
			}
		case 11:
			if w.pick(3) == 0 {
				w.outage()
			}
		}
	}
}

func (w *world) produceSome() {
	for _, tp := range w.partitions() {
		if w.chance(2) {
			w.silence(tp, time.Duration(w.pick(20_000))*time.Millisecond)
		}
		w.produce(tp, w.pick(6))
	}
}

// silence lets nothing be produced to a partition for a while.
func (w *world) silence(tp connect.TopicPartition, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent[tp] = time.Now().Add(d)
}

func (w *world) produce(tp connect.TopicPartition, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.silent[tp]) {
		return
	}
	for range n {
		w.made[tp] = append(w.made[tp], time.Now().UnixMilli())
	}
	w.logEnd[tp] += int64(n)
}

// restart kills a task and starts its next life.
func (w *world) restart(slot int) {
	w.log.Info("sim: kill", "task", slot)
	w.members[slot].kill()
	w.start(slot)
}

// reconfigure restarts a task that has not the newest configuration; if all have it, one
// with a newer. They route alike: a change of routes drains first, which is not played here.
func (w *world) reconfigure() {
	for slot, m := range w.members {
		if m.hash != w.hash {
			w.restart(slot)
			return
		}
	}
	w.mu.Lock()
	w.hash++
	w.mu.Unlock()
	w.log.Info("sim: another configuration", "hash", w.hash)
	w.restart(w.pick(simTasks))
}

// loseOffsets has the group forget its offsets, or some of their progress.
func (w *world) loseOffsets() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.rng.IntN(3) {
	case 0:
		w.log.Info("sim: group offsets lost")
		clear(w.group)
	case 1:
		w.log.Info("sim: group offsets set back")
		for _, tp := range w.partitions() {
			if g, ok := w.group[tp]; ok {
				w.group[tp] = max(0, g-int64(w.rng.IntN(20)))
			}
		}
	}
}

// freeze stops a task with everything it does: what it was about to do happens when it
// goes on, long after others have taken its place.
func (w *world) freeze(slot int, d time.Duration) {
	w.log.Info("sim: frozen", "task", slot, "for", d)
	m := w.members[slot]
	m.freeze(d)
	w.mu.Lock()
	if at := time.Now().Add(d); at.After(w.awake) {
		w.awake = at
	}
	w.mu.Unlock()
	w.rebalance()
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

// outage is a table that breaks while most producers are silent, and an operator who starts
// all tasks again because of it: the other tables are at the ends of logs that do not grow.
func (w *world) outage() {
	d := time.Duration(10_000+w.pick(20_000)) * time.Millisecond
	w.breakTable(simTables[w.pick(len(simTables))], d, false)
	for _, tp := range w.partitions() {
		if w.chance(66) {
			w.silence(tp, d+time.Duration(w.pick(20_000))*time.Millisecond)
		}
	}
	time.Sleep(time.Duration(w.pick(8000)) * time.Millisecond)
	for slot := range simTasks {
		w.restart(slot)
	}
}

// strike has the world's calamity happen.
func (w *world) strike() {
	at := w.pick(len(simTables))
	ident := simTables[at].Identifier()
	switch w.calamity {
	case none, calamities:
	case rollBack:
		w.rollBack(at)
	case recreateTable:
		w.mu.Lock()
		w.excused[at].any, w.excused[at].ends = true, maps.Clone(w.logEnd)
		w.mu.Unlock()
		_, err := w.catalog.Recreate(ident)
		w.log.Info("sim: table is dropped and created again", "table", ident, "error", err)
	case recreateTopic:
		w.log.Info("sim: topic is deleted and created again")
		w.mu.Lock()
		w.renewTopic()
		w.mu.Unlock()
	case recreateKafka:
		w.mu.Lock()
		w.renewTopic()
		w.kafka++
		w.generation = 0
		w.log.Info("sim: another Kafka cluster", "number", w.kafka)
		w.mu.Unlock()
		w.rebalance()
	}
}

// renewTopic gives the topic another id. Kafka forgets the group's offsets with the topic.
func (w *world) renewTopic() {
	w.topicID[1]++
	clear(w.logEnd)
	clear(w.made)
	clear(w.group)
	for i := range w.excused {
		w.excused[i].any = true
	}
}

// rollBack sets a table back by some snapshots. What it had and has no more is excused.
func (w *world) rollBack(at int) {
	ident := simTables[at].Identifier()
	t, err := w.catalog.Peek(ident)
	if err != nil {
		w.t.Fatal(err)
	}
	to := t.CurrentSnapshot()
	for range 1 + w.pick(4) {
		if to == nil {
			return
		}
		to = parent(t, to)
	}
	if to == nil {
		return
	}
	after, err := w.catalog.ForeignRollback(ident, table.MainBranch, to.SnapshotID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.log.Info("sim: table is rolled back", "table", ident, "to", to.SnapshotID)
	kept := make(map[simRow]bool)
	for _, r := range w.rowsOf(after, to) {
		kept[r] = true
	}
	w.excused[at].any = true
	for _, s := range after.Metadata().Snapshots() {
		for _, r := range w.rowsOf(after, &s) {
			if !kept[r] {
				w.excused[at].rows[r] = true
			}
		}
	}
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

// A simCatalog is the catalog as one member reaches it.
type simCatalog struct {
	*icetest.Catalog
	m *member
}

func (c simCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	if err := c.m.thawed(ctx); err != nil {
		return nil, err
	}
	t, err := c.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), t.FS, c), c.m.thawed(ctx)
}

// later has a request land within seconds that was given up.
func (w *world) later(request func()) {
	w.late.Add(1)
	time.AfterFunc(time.Duration(w.pick(4000))*time.Millisecond, func() {
		defer w.late.Done()
		request()
	})
}

func (c simCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if err := c.m.thawed(ctx); err != nil {
		return nil, "", err
	}
	if w := c.m.w; w.chance(10) { // a gateway gives up a request that lands all the same
		w.later(func() { _, _, _ = c.Catalog.CommitTable(context.Background(), ident, reqs, updates) })
		return nil, "", errSim
	}
	meta, location, err := c.Catalog.CommitTable(ctx, ident, reqs, updates)
	if frozen := c.m.thawed(ctx); err == nil {
		err = frozen
	}
	return meta, location, err
}

// CommitTransaction is a server's that may be wrong about itself.
func (c simCatalog) CommitTransaction(ctx context.Context, commits []table.TableCommit) error {
	if err := c.m.thawed(ctx); err != nil {
		return err
	}
	w := c.m.w
	switch {
	case w.chance(10): // a gateway gives up a request that lands all the same
		w.later(func() { _ = c.Catalog.CommitTransaction(context.Background(), commits) })
		return errSim
	case w.chance(10): // it goes from table to table, breaks off, and says anything
		for _, t := range commits[:w.pick(len(commits)+1)] {
			_, _, _ = c.Catalog.CommitTable(ctx, t.Identifier, t.Requirements, t.Updates)
		}
		return []error{errSim, table.ErrCommitFailed, catalog.ErrNotTaken}[w.pick(3)]
	}
	err := c.Catalog.CommitTransaction(ctx, commits)
	if frozen := c.m.thawed(ctx); err == nil {
		err = frozen
	}
	return err
}

// send is the control topic: every live member hears it, or not, sooner or later, or twice.
func (m *member) send(ctx context.Context, messages ...any) error {
	if err := m.thawed(ctx); err != nil {
		return err
	}
	w := m.w
	w.mu.Lock()
	kafka := w.kafka
	w.mu.Unlock()
	for _, m := range messages {
		if _, java := m.(javaevent.Payload); java {
			continue
		}
		b := encodeMessage(m)
		for slot := range simTasks {
			for range 1 + w.pick(10)/9 {
				if !w.chance(10) {
					time.AfterFunc(time.Duration(w.pick(400))*time.Millisecond, func() { w.deliver(slot, kafka, b) })
				}
			}
		}
	}
	if w.chance(5) {
		return errSim // it was sent all the same
	}
	return nil
}

// deliver gives a message to a member, if the cluster that it was sent to is still there.
func (w *world) deliver(slot, kafka int, b []byte) {
	m, err := decodeMessage(b)
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	to, here := w.members[slot], w.kafka == kafka
	w.mu.Unlock()
	if !here {
		return
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.mail = append(to.mail, m)
}
