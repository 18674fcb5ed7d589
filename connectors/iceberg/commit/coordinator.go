package commit

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

// A Broker tells what the coordinator must know of the source topics.
type Broker interface {
	// TopicIDs leaves out topics that do not exist.
	TopicIDs(ctx context.Context, topics []string) (map[string]TopicID, error)

	// Earliest and Latest are the log's start and end offsets.
	Earliest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error)
	Latest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error)
}

// A Config is what a Coordinator works with.
type Config struct {
	Group       connect.Group
	Identity    Identity // zero: the group's name, and nothing for Java
	Java        Java     // nil: there never was nor will be a Java sink of this identity
	Broker      Broker
	Catalog     table.CatalogIO
	Multi       catalog.MultiTable        // nil: the catalog commits one table at a time
	CatalogName string                    // iceberg.catalog, for the events
	Tables      []Target                  // those known from the config; their D stands in for lost group offsets
	Target      func(table string) Target // where commits to a table of any name go; needed with Java
	Task        string                    // CONNECTOR-TASK
	ConfigHash  uint64
	Interval    time.Duration // iceberg.control.commit.interval-ms, from start to start
	Timeout     time.Duration // iceberg.control.commit.timeout-ms: then commit what was announced
	Threads     int           // tables committed side by side
	Failures    int           // iceberg.control.commit.max-consecutive-failures

	// Cadence is that of a table by name, with intervals not below Interval; nil: the
	// Interval for all.
	Cadence func(table string) Cadence

	Latest bool // auto.offset.reset=latest: where a partition without any offset starts
	Logger *slog.Logger

	// Trouble is told, from Run's goroutine, what has not worked for longer than the error
	// budget, when that changes; "" when all is well again. May be nil.
	Trouble func(what string)

	// Send puts messages on the control topic and returns when the broker has them.
	Send func(ctx context.Context, messages ...any) error
}

// A Coordinator turns what the tasks of a connector announce into snapshots. Only the
// goroutine in Run touches its state; what waits for I/O runs in jobs beside it, at most
// one of each kind, which hand their result back as a function to call in Run.
type Coordinator struct {
	cfg     Config
	id      [16]byte
	inbox   chan any
	wake    chan struct{}
	results chan func() error
	finish  chan struct{}

	beside    beside
	finishing bool  // accept nothing more, bring what was accepted to its end, then return
	verdict   error // what Run returns then

	arrived []*Unit // whose topics are yet to be looked up (see admit)
	ledger  *ledger
	session connect.Session
	opened  bool                             // the first levels are there
	known   map[string]TopicID               // ids seen, to notice a topic made anew
	stored  map[connect.TopicPartition]int64 // group offsets as last read or committed

	lanes  map[Target]*lane
	joint  *catalog.Joint                   // nil without Config.Multi
	untold []attempted                      // commits of which not all tables have the rows
	ends   map[connect.TopicPartition]int64 // at the last flush
	quiet  map[connect.TopicPartition]quiet // as last looked up

	troubled string // what report told
	reported time.Time

	sequence  uint64
	round     uint64 // number of the flush
	commitID  [16]byte
	gathering bool // commitID was published, answers are awaited
	answered  map[connect.TopicPartition]bool
	deadline  time.Time // of the gathering
	nextFlush time.Time

	dirty     bool      // the cycle has changed since it was last sent
	lastSent  time.Time // of the cycle
	nextCheck time.Time // of the topic ids

	jobs struct{ java, open, admit, store, send, look job }
	wg   sync.WaitGroup
}

// A job is one kind of work beside Run: at most one at a time, and after a failure not
// before a pause.
type job struct {
	busy  bool
	begun time.Time     // if busy
	after time.Time     // not before
	pause time.Duration // grows with failures

	failures int       // since the last success
	since    time.Time // when the first of them was begun; zero: none
	err      error     // of the last
}

// Rhythms of the coordinator.
const (
	heartbeat     = time.Second // sessions are looked at
	firstRetry    = 100 * time.Millisecond
	lastRetry     = 10 * time.Second
	resend        = 3 * time.Second       // a cycle is sent again, though nothing has changed
	spacing       = 20 * time.Millisecond // between two cycles: with a rival, each answer to one changes the other's
	checkInterval = 10 * time.Second
	inboxSize     = 1024
)

// NewCoordinator makes a coordinator; it does nothing before Run.
func NewCoordinator(cfg Config) *Coordinator {
	if cfg.Identity.Group == "" {
		cfg.Identity.Group = cfg.Group.ID()
	}
	if cfg.Identity.ValidThroughKey == "" {
		cfg.Identity.ValidThroughKey = apacheWatermark
	}
	c := &Coordinator{
		cfg: cfg, id: randomID(), inbox: make(chan any, inboxSize), wake: make(chan struct{}, 1), results: make(chan func() error),
		finish: make(chan struct{}, 1), lanes: make(map[Target]*lane),
		ledger: newLedger(), known: make(map[string]TopicID), stored: make(map[connect.TopicPartition]int64),
	}
	if cfg.Multi != nil {
		c.joint = catalog.NewJoint(cfg.Catalog, cfg.Multi, cfg.Logger)
	}
	return c
}

func randomID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// Offer hands over a *Unit or Hello from the control topic. It never blocks: what does
// not fit is lost, which the protocol allows, and is announced again.
func (c *Coordinator) Offer(m any) {
	select {
	case c.inbox <- m:
	default:
	}
}

// Wake makes the coordinator look at its session now.
func (c *Coordinator) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Finish makes Run return once all that was accepted is in its tables and the group has
// the offsets: then no table is ahead of the group, and a Java sink, or another
// configuration, may go on from there.
func (c *Coordinator) Finish() {
	select {
	case c.finish <- struct{}{}:
	default:
	}
}

// Run coordinates until ctx ends, or Finish has its way, then waits for what it started.
// An error means that the connector cannot go on without the operator.
func (c *Coordinator) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer c.wg.Wait()
	defer cancel()
	c.nextFlush = time.Now().Add(c.cfg.Interval)
	c.nextCheck = time.Now().Add(checkInterval)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case m := <-c.inbox:
			c.take(m)
		case f := <-c.results:
			err = f()
		case <-c.wake:
		case <-c.finish:
			c.finishing = true
		case <-timer.C:
		}
		if err != nil {
			return err
		}
		c.step(ctx)
		if c.finishing && c.finished() {
			return c.verdict
		}
		timer.Reset(time.Until(c.next()))
	}
}

// next is when step should look again by itself.
func (c *Coordinator) next() time.Time {
	at := time.Now().Add(heartbeat)
	switch {
	case c.finishing || !c.knownAlone(): // the flush does not go on
	case c.gathering && c.deadline.Before(at):
		at = c.deadline
	case c.opened && !c.gathering && c.nextFlush.Before(at):
		at = c.nextFlush // a flush that is due during a gathering follows at its end
	}
	sooner := func(j *job) {
		if !j.after.IsZero() && j.after.After(time.Now()) && j.after.Before(at) {
			at = j.after
		}
	}
	for _, j := range []*job{&c.jobs.java, &c.jobs.open, &c.jobs.admit, &c.jobs.store, &c.jobs.send, &c.jobs.look} {
		sooner(j)
	}
	for _, l := range c.lanes {
		sooner(&l.job)
	}
	return at
}

// start runs work beside Run if none of its kind is under way or pausing. work returns
// what is to be done with its result, in Run; an error pauses the kind.
func (c *Coordinator) start(ctx context.Context, j *job, what string, work func(context.Context) (func() error, error)) {
	if j.busy || time.Now().Before(j.after) {
		return
	}
	j.busy, j.begun = true, time.Now()
	c.wg.Go(func() {
		done, err := work(ctx)
		result := func() error {
			j.busy = false
			if err == nil {
				j.pause, j.after, j.failures, j.since, j.err = 0, time.Time{}, 0, time.Time{}, nil
				return done()
			}
			if j.failures++; j.since.IsZero() {
				j.since = j.begun
			}
			j.err = err
			j.pause = min(max(2*j.pause, firstRetry), lastRetry)
			j.after = time.Now().Add(j.pause)
			if !errors.Is(err, context.Canceled) {
				c.cfg.Logger.Warn(what+" failed", "retry_in", j.pause, "error", err)
			}
			return nil
		}
		select {
		case c.results <- result:
		case <-ctx.Done():
		}
	})
}

// take is one message from the control topic.
func (c *Coordinator) take(m any) {
	if c.finishing {
		return
	}
	u, ok := m.(*Unit)
	if !ok { // Hello: somebody begins, perhaps because a topic was made anew
		c.dirty, c.nextCheck = true, time.Time{}
		return
	}
	if u.ConfigHash != c.cfg.ConfigHash {
		c.cfg.Logger.Info("a unit of another configuration is left alone", "unit", u.ID)
		return
	}
	if !u.reads() {
		c.offer(u)
	} else if len(c.arrived) < inboxSize { // else: it is announced again
		c.arrived = append(c.arrived, u)
	}
}

// offer brings a unit to the ledger.
func (c *Coordinator) offer(u *Unit) {
	v := c.ledger.offer(u, c.stamp())
	switch v {
	case accepted, waits, known, full:
		if c.gathering && u.Cycle == c.commitID {
			for _, r := range u.Ranges {
				c.answered[r.TopicPartition] = true
			}
		}
	case voided, stale:
		c.cfg.Logger.Info("a unit does not continue the chain", "unit", u.ID, "ranges", u.Ranges)
	}
	c.dirty = true
}

// step does whatever the state asks for. It never waits.
func (c *Coordinator) step(ctx context.Context) {
	now := time.Now()
	if s := c.cfg.Group.Session(); s.Generation != c.session.Generation || s.Member != c.session.Member || !slices.Equal(s.Subscribed, c.session.Subscribed) {
		c.session, c.dirty = s, true
		c.dropUnsubscribed()
	}
	if c.session.Member == "" {
		return // between two generations there is nothing to coordinate for
	}
	c.report(now)
	if c.finishing {
		c.complete(ctx, now)
		return
	}
	if !c.alone(ctx) {
		return
	}
	if missing := c.missing(); len(missing) > 0 || (c.opened && now.After(c.nextCheck)) {
		c.openPartitions(ctx, missing)
	}
	if !c.opened {
		return
	}
	c.admit(ctx)
	c.gather(ctx, now)
	c.publish(ctx, now)
	c.storeOffsets(ctx)
	c.freshen(ctx)
	if c.dirty || now.Sub(c.lastSent) >= resend {
		c.sendCycle(ctx)
	}
}

func (c *Coordinator) stamp() stamp { return stamp{c.round, time.Now()} }

func (c *Coordinator) cadence(target Target) Cadence {
	if c.cfg.Cadence == nil {
		return Cadence{Interval: c.cfg.Interval}
	}
	return c.cfg.Cadence(target.Table)
}

// complete is the step of a coordinator that finishes.
func (c *Coordinator) complete(ctx context.Context, now time.Time) {
	if c.jobs.admit.failures > 0 && !c.jobs.admit.busy {
		c.arrived = nil // they are read again
	}
	c.admit(ctx)
	c.publish(ctx, now)
	c.storeOffsets(ctx)
	if c.opened && c.dirty {
		c.sendCycle(ctx)
	}
	if c.beside.drained && c.beside.touched {
		c.freshen(ctx)
	}
}

// finished tells whether nothing is left to complete.
func (c *Coordinator) finished() bool {
	if len(c.arrived) > 0 || len(c.ledger.units) > 0 || c.jobs.store.busy || c.jobs.java.busy || c.beside.touched {
		return false
	}
	if c.jobs.send.busy || (c.opened && c.dirty && c.session.Member != "") {
		return false // the other tasks, which stop too, wait to hear that they are done
	}
	for _, l := range c.lanes {
		if l.busy {
			return false
		}
	}
	for tp, l := range c.ledger.levels {
		if c.stored[tp] < l.Done {
			return false
		}
	}
	return true
}

func (c *Coordinator) dropUnsubscribed() {
	for tp := range c.ledger.levels {
		if !slices.Contains(c.session.Subscribed, tp) {
			c.ledger.drop(tp)
			delete(c.stored, tp)
		}
	}
}

func (c *Coordinator) missing() []connect.TopicPartition {
	var out []connect.TopicPartition
	for _, tp := range c.session.Subscribed {
		if c.ledger.levels[tp] == nil {
			out = append(out, tp)
		}
	}
	return out
}

// gather asks for a flush when the interval is over, and ends the asking when every
// partition has answered or the timeout has passed.
func (c *Coordinator) gather(ctx context.Context, now time.Time) {
	if !c.gathering && !now.Before(c.nextFlush) {
		c.round++
		c.commitID, c.gathering, c.dirty = c.newCommitID(), true, true
		c.look(ctx)
		c.answered = make(map[connect.TopicPartition]bool)
		c.deadline = now.Add(c.cfg.Timeout)
		for !now.Before(c.nextFlush) {
			c.nextFlush = c.nextFlush.Add(c.cfg.Interval)
		}
	}
	if !c.gathering {
		return
	}
	silent := 0
	for tp := range c.ledger.levels {
		if !c.answered[tp] {
			silent++
		}
	}
	switch {
	case silent == 0:
		c.gathering = false
	case !now.Before(c.deadline):
		c.cfg.Logger.Warn("commit timeout reached; committing what was announced", "partitions_without_answer", silent, "timeout", c.cfg.Timeout)
		c.gathering = false
	}
}

// storeOffsets moves the group's offsets to done. It is a level: whatever was lost on
// the way is committed with the next try.
func (c *Coordinator) storeOffsets(ctx context.Context) {
	behind := make(map[connect.TopicPartition]int64)
	for tp, l := range c.ledger.levels {
		if c.stored[tp] < l.Done {
			behind[tp] = l.Done
		}
	}
	if len(behind) == 0 {
		return
	}
	s := c.session
	c.start(ctx, &c.jobs.store, "commit of group offsets", func(ctx context.Context) (func() error, error) {
		err := c.cfg.Group.Commit(ctx, s, behind)
		return func() error {
			maps.Copy(c.stored, behind)
			return nil
		}, err
	})
}

func (c *Coordinator) sendCycle(ctx context.Context) {
	if c.jobs.send.busy || time.Now().Before(c.jobs.send.after) {
		return // dirty still: it is sent then
	}
	c.sequence++
	m := &Cycle{
		Coordinator: c.id, Sequence: c.sequence, Epoch: c.session.Generation, ConfigHash: c.cfg.ConfigHash,
		Commit: c.commitID, Levels: c.ledger.snapshot(), Void: slices.Clone(c.ledger.voidLog),
		Stuck: c.ledger.foreseen(time.Now().Add(-foreseeAfter)),
	}
	c.dirty, c.lastSent = false, time.Now()
	c.start(ctx, &c.jobs.send, "sending the cycle", func(ctx context.Context) (func() error, error) {
		return func() error {
			c.jobs.send.after = time.Now().Add(spacing)
			return nil
		}, c.cfg.Send(ctx, m)
	})
}
