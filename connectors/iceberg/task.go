package iceberg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
	"github.com/firn-io/firn/connectors/iceberg/route"
	"github.com/firn-io/firn/internal/kafka"
)

// A Task writes the records of its partitions into tables. Its exported methods are
// called by the worker from one goroutine, which owns everything here but mail, reader
// side of coordinator, and what the announcer has been handed.
type Task struct {
	openCatalog func(ctx context.Context, name string, props map[string]string) (catalog.Catalog, error)
	dial        kafka.Dialer

	cfg     *config
	tc      connect.TaskContext
	catalog catalog.Catalog
	router  *route.Router
	changes changes
	client  map[string]string // properties of clients for the control topic
	channel *commit.Channel
	budget  *datafile.Budget

	identity   commit.Identity
	chain      *commit.Chain
	tables     map[string]*destination  // by name
	byIdent    map[*string]*destination // by the address of the router's identifier
	idents     []table.Identifier       // of the present record
	into       []*destination           // likewise
	lastIdent  *string                  // of the record before, with its destination
	lastDest   *destination
	batch      uint64 // counts batches, so that floors are looked up once in each
	generation int32  // of the session when lead last looked
	clock      int    // counts openings, to tell floors read before from those read after
	opened     map[connect.TopicPartition]int
	topicIDs   map[connect.TopicPartition]topicIDs
	strangers  int  // batches of another topic than the chain's
	throttled  bool // open partitions are paused until files have been uploaded
	hello      bool // a cycle is wanted soon
	drops      drops

	awaited       map[connect.TopicPartition]*destination // partitions that wait for a table
	leaderTrouble string                                  // what the coordinator has told
	told          string                                  // what the status shows
	reported      time.Time

	mail      mailbox
	announcer *announcer
	leader    atomic.Pointer[commit.Coordinator]
	leading   *leadership       // nil when the coordinator is another task's
	beside    *commit.KafkaJava // for Others alone

	cancel context.CancelFunc // ends everything beside the task's goroutine
	life   context.Context    //nolint:containedctx // of the goroutines that Start begins and Stop ends
	wg     sync.WaitGroup
}

var _ connect.SinkTask = (*Task)(nil)

// Start opens the catalog and the control topic.
func (t *Task) Start(ctx context.Context, tc connect.TaskContext, raw map[string]string) (err error) {
	t.tc = tc
	if t.cfg, err = parseConfig(raw); err != nil {
		return err
	}
	if t.router, err = route.Parse(raw); err != nil {
		return err
	}
	t.changes = t.cfg.changes()
	if tc.Task() == 0 {
		for _, w := range warnings(raw) {
			tc.Logger().Warn(w.Message)
		}
	}
	if t.catalog, err = t.openCatalog(ctx, t.cfg.catalogName, t.cfg.catalogProps); err != nil {
		return fmt.Errorf("open catalog %s: %w", t.cfg.catalogName, err)
	}
	t.client = commit.ClientProps(tc.ClientConfig(), t.cfg.kafkaProps)
	client, err := kafka.NewConfig(t.client, t.dial)
	if err != nil {
		return fmt.Errorf("client of the control topic: %w", err)
	}
	t.identity = t.cfg.identity()
	if group := tc.Group().ID(); !t.identity.Tabular && group != t.identity.Group {
		tc.Logger().Warn("the sink's group is not the consumer group of the connector: a Java sink would not find its own offsets (iceberg.connect.group-id, consumer.override.group.id)",
			"sink", t.identity.Group, "consumer", group)
	}
	if t.beside, err = t.besides(); err != nil {
		return fmt.Errorf("client that looks at the group: %w", err)
	}
	if t.channel, err = commit.OpenChannel(ctx, client, t.cfg.controlTopic, t.identity.Group, tc.Logger()); err != nil {
		return err
	}
	t.chain = commit.NewChain(t.cfg.hash())
	t.tables = make(map[string]*destination)
	t.byIdent = make(map[*string]*destination)
	t.opened = make(map[connect.TopicPartition]int)
	t.topicIDs = make(map[connect.TopicPartition]topicIDs)
	t.awaited = make(map[connect.TopicPartition]*destination)
	t.budget = datafile.NewBudget(tc.MemoryBytes(), tc.Wake)
	t.mail.wake = tc.Wake
	t.life, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.announcer = newAnnouncer(t)
	t.wg.Go(func() { t.announcer.run(t.life) })
	t.wg.Go(t.read)
	return nil
}

// read runs beside the task: what the control topic says goes to the chain as mail, and
// to the coordinator if there is one here.
func (t *Task) read() {
	err := t.channel.Run(t.life, func(m any) {
		if cy, ok := m.(*commit.Cycle); ok {
			t.mail.post(func(ctx context.Context) error { return t.observe(ctx, cy) })
			return
		}
		if c := t.leader.Load(); c != nil {
			c.Offer(m)
		}
	})
	if err != nil {
		t.tc.Fail(err)
	}
}

// Open takes partitions over. They wait, paused, until a cycle says where their chain
// ends and that nothing is pending.
func (t *Task) Open(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	t.chain.Assign(parts, t.tc.Group().Session().Generation)
	t.tc.Pause(parts...)
	t.hello = true
	t.lead(ctx)
	return nil, nil //nolint:nilnil // no position is known better than the group's before the first cycle
}

// Close gives partitions up. What was read of them is announced, unless they are lost:
// then others read it again, and files that mix them with the partitions that stay are
// of no use.
func (t *Task) Close(ctx context.Context, parts []connect.TopicPartition, lost bool) error {
	if lost {
		t.reset("the membership was lost")
	} else if err := t.flush(ctx, [16]byte{}); err != nil {
		return err
	}
	t.chain.Revoke(parts)
	for _, tp := range parts {
		t.forget(tp)
	}
	for _, d := range t.tables {
		d.unstored = unstored{} // the records that need it may be another task's now
	}
	t.lead(ctx)
	return nil
}

// PreCommit returns nothing: the coordinator moves the group's offsets when all tables
// have the rows.
func (t *Task) PreCommit(context.Context) (map[connect.TopicPartition]int64, error) {
	return nil, nil //nolint:nilnil // see above
}

// Put takes a batch; a nil one only gives time to the mail.
func (t *Task) Put(ctx context.Context, b *connect.Batch) error {
	if err := t.mail.handle(ctx); err != nil {
		return err
	}
	t.lead(ctx)
	t.throttle()
	t.retry()
	t.report()
	if t.heavy() {
		if err := t.flush(ctx, t.chain.Answered()); err != nil {
			return err
		}
	}
	if t.hello {
		t.hello = false
		t.announcer.greet()
	}
	if b == nil {
		return nil
	}
	t.batch++
	pos, open := t.chain.Position(b.TopicPartition)
	if !open {
		return nil // closed since it was fetched: it is read again where the chain ends
	}
	if b.First > pos {
		// Fetched before the mail just handled opened the partition at a lower offset: the
		// next unit would cover a hole.
		t.tc.Seek(b.TopicPartition, pos)
		return nil
	}
	if !t.sameTopic(b) {
		return t.anotherTopic(b, pos)
	}
	newest := commit.None
	for i := range b.Records {
		r := &b.Records[i]
		if r.Offset < pos {
			continue // taken before the batch came again
		}
		if err := t.take(ctx, b.TopicPartition, r); err != nil {
			if _, ok := errors.AsType[*unstoredError](err); ok {
				return t.rest(err)
			}
			t.chain.Saw(b.TopicPartition, newest)
			t.chain.Advance(b.TopicPartition, r.Offset) // what came before it is taken
			if e, ok := errors.AsType[*tableError](err); ok {
				t.await(b.TopicPartition, r.Offset, e.d)
				return nil
			}
			return err
		}
		newest = max(newest, r.Timestamp)
	}
	t.chain.Saw(b.TopicPartition, newest)
	t.chain.Advance(b.TopicPartition, b.Next)
	return t.makeRoom(ctx)
}

// topicIDs are the ids of a partition's topic as the cycles told them.
type topicIDs struct{ now, before commit.TopicID }

// sameTopic is false for records of a topic that was created anew while the chain is still
// that of the old one: the coordinator must see it first, or the floors of one topic would
// stand for offsets of the other. The other way round, records under the id from before
// came after a Seek of the new chain: the worker's fetcher has yet to learn the id.
func (t *Task) sameTopic(b *connect.Batch) bool {
	ids, id := t.topicIDs[b.TopicPartition], commit.TopicID(b.TopicID)
	return id == (commit.TopicID{}) || id == ids.now || id == ids.before
}

// anotherTopic has the coordinator look at the topics' ids while the batch waits. Now and
// then the batch is fetched again: its own id may be the wrong one.
func (t *Task) anotherTopic(b *connect.Batch, pos int64) error {
	t.hello = true
	if t.strangers++; t.strangers%4 == 0 {
		t.tc.Seek(b.TopicPartition, pos)
		return nil
	}
	return &connect.RetryError{Err: fmt.Errorf("topic %s was created anew; the coordinator is yet to see it", b.Topic)}
}

// observe does what a cycle asks for.
func (t *Task) observe(ctx context.Context, cy *commit.Cycle) error {
	if s := t.tc.Group().Session(); s.Member != "" {
		t.chain.In(s.Generation)
	}
	step := t.chain.Observe(cy, time.Now())
	if step.Reset != "" {
		t.dropFiles()
		t.tc.Logger().Warn("reading ranges again from the end of the chain", "reason", step.Reset)
		clear(t.awaited)
	}
	for tp, next := range step.Open {
		t.clock++
		t.opened[tp] = t.clock
		if id := t.chain.TopicID(tp); t.topicIDs[tp].now != id {
			t.topicIDs[tp] = topicIDs{now: id, before: t.topicIDs[tp].now}
		}
		t.tc.Seek(tp, next)
	}
	t.steer(t.tc.Assignment()...)
	for _, u := range step.Announce {
		t.announcer.again(u)
	}
	if step.Flush {
		return t.seal(ctx, step.Commit)
	}
	return nil
}

// reset starts over with every partition.
func (t *Task) reset(reason string) {
	t.chain.Reset()
	t.dropFiles()
	t.tc.Logger().Info("dropping what is not announced", "reason", reason)
	clear(t.awaited)
	t.steer(t.tc.Assignment()...)
	t.hello = true
}

// dropFiles drops open files, files on their way, and the floors they were filtered with.
func (t *Task) dropFiles() {
	t.announcer.drop()
	for _, d := range t.tables {
		if w := d.drop(); w != nil {
			t.wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.life), discardWait)
				defer cancel()
				if err := w.Drain(ctx); err != nil {
					t.tc.Logger().Warn("data files are left to the removal of orphans", "error", err)
				}
			})
		}
	}
}

// forget drops the floors of one partition.
func (t *Task) forget(tp connect.TopicPartition) {
	delete(t.opened, tp)
	delete(t.topicIDs, tp)
	delete(t.awaited, tp)
	for _, d := range t.tables {
		delete(d.floors, tp)
	}
}

// flush seals what was read, if anything was.
func (t *Task) flush(ctx context.Context, asked [16]byte) error {
	if !t.chain.Dirty() {
		return nil
	}
	return t.seal(ctx, asked)
}

// seal is step T3: all open files become a unit, which is announced once they are
// uploaded. What was sent to the dead-letter topic, by this task or, for records that
// it never saw, by the worker, must be safe there first: the coordinator moves offsets.
func (t *Task) seal(ctx context.Context, asked [16]byte) error {
	if err := t.tc.FlushErrants(ctx); err != nil {
		return err
	}
	t.drops.report(t.tc.Logger(), time.Now(), false)
	u := t.chain.Seal(asked)
	s := &sealed{unit: u}
	for _, d := range t.tables {
		if l, ok := d.seal(u); ok {
			s.links = append(s.links, l)
		}
	}
	t.announcer.add(s)
	for _, d := range t.tables {
		t.refresh(d)
	}
	return nil
}

// throttle pauses reading while the uploads lag behind the memory they may use.
func (t *Task) throttle() {
	full := false
	for _, d := range t.tables {
		full = full || (d.writer != nil && d.writer.Full())
	}
	if full != t.throttled {
		t.throttled = full
		t.steer(t.tc.Assignment()...)
	}
}

// Stop flushes and waits until the tables have it, or ctx ends; the rest is read again
// by whoever comes next. Then everything beside the task ends.
func (t *Task) Stop(ctx context.Context) error {
	var err error
	if end, ok := ctx.Deadline(); ok { // to close everything in time, else the worker takes the task for stuck
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/5))
		defer cancel()
	}
	if t.chain != nil && t.announcer != nil {
		if err = t.flush(ctx, [16]byte{}); err == nil {
			err = t.settle(ctx)
		}
		t.retire(ctx, finishPatience)
		t.drops.report(t.tc.Logger(), time.Now(), true)
		t.dropFiles()
	}
	if t.cancel != nil {
		t.cancel()
	}
	t.wg.Wait()
	if t.channel != nil {
		t.channel.Close()
	}
	if t.beside != nil {
		err = errors.Join(err, t.beside.Admin.Close())
	}
	if t.catalog != nil {
		if cerr := t.catalog.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// settle handles mail until every unit is confirmed.
func (t *Task) settle(ctx context.Context) error {
	for !t.chain.Settled() {
		if err := t.mail.wait(ctx); err != nil {
			t.tc.Logger().Warn("stopped before the last commit was confirmed; its records are read again if it does not land")
			return nil //nolint:nilerr // the grace period is over, nothing is lost
		}
		if err := t.mail.handle(ctx); err != nil {
			return err
		}
	}
	return nil
}
