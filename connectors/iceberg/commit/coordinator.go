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
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
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
	CatalogName string                    // iceberg.catalog, for the events
	Tables      []Target                  // those known from the config; their D stands in for lost group offsets
	Target      func(table string) Target // where commits to a table of any name go; needed with Java
	Task        string                    // CONNECTOR-TASK
	ConfigHash  uint64
	Interval    time.Duration // iceberg.control.commit.interval-ms, from start to start
	Timeout     time.Duration // iceberg.control.commit.timeout-ms: then commit what was announced
	Threads     int           // tables committed side by side
	Latest      bool          // auto.offset.reset=latest: where a partition without any offset starts
	Logger      *slog.Logger

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

	ledger  *ledger
	session connect.Session
	opened  bool                             // the first levels are there
	known   map[string]TopicID               // ids seen, to notice a topic made anew
	stored  map[connect.TopicPartition]int64 // group offsets as last read or committed

	sequence  uint64
	commitID  [16]byte
	gathering bool // commitID was published, answers are awaited
	answered  map[connect.TopicPartition]bool
	deadline  time.Time // of the gathering
	nextFlush time.Time

	dirty     bool      // the cycle has changed since it was last sent
	lastSent  time.Time // of the cycle
	nextCheck time.Time // of the topic ids

	jobs struct{ java, open, publish, store, send job }
	wg   sync.WaitGroup
}

// A job is one kind of work beside Run: at most one at a time, and after a failure not
// before a pause.
type job struct {
	busy  bool
	after time.Time     // not before
	pause time.Duration // grows with failures
}

// Rhythms of the coordinator.
const (
	heartbeat     = time.Second     // sessions are looked at
	resend        = 3 * time.Second // a cycle is sent again, though nothing has changed
	checkInterval = 10 * time.Second
	inboxSize     = 1024
)

// NewCoordinator makes a coordinator; it does nothing before Run.
func NewCoordinator(cfg Config) *Coordinator {
	if cfg.Identity.Group == "" {
		cfg.Identity.Group = cfg.Group.ID()
	}
	return &Coordinator{
		cfg: cfg, id: randomID(), inbox: make(chan any, inboxSize), wake: make(chan struct{}, 1), results: make(chan func() error),
		finish: make(chan struct{}, 1),
		ledger: newLedger(), known: make(map[string]TopicID), stored: make(map[connect.TopicPartition]int64),
	}
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
	for _, j := range []*job{&c.jobs.java, &c.jobs.open, &c.jobs.publish, &c.jobs.store, &c.jobs.send} {
		if !j.after.IsZero() && j.after.After(time.Now()) && j.after.Before(at) {
			at = j.after
		}
	}
	return at
}

// start runs work beside Run if none of its kind is under way or pausing. work returns
// what is to be done with its result, in Run; an error pauses the kind.
func (c *Coordinator) start(ctx context.Context, j *job, what string, work func(context.Context) (func() error, error)) {
	if j.busy || time.Now().Before(j.after) {
		return
	}
	j.busy = true
	c.wg.Go(func() {
		done, err := work(ctx)
		result := func() error {
			j.busy = false
			if err == nil {
				j.pause, j.after = 0, time.Time{}
				return done()
			}
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
	v := c.ledger.offer(u, c.jobs.publish.busy)
	switch v {
	case accepted, waits, known:
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
	if c.finishing {
		c.complete(ctx)
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
	c.gather(now)
	if len(c.ledger.units) > 0 && !c.gathering {
		c.publish(ctx)
	}
	c.storeOffsets(ctx)
	c.freshen(ctx)
	if c.dirty || now.Sub(c.lastSent) >= resend {
		c.sendCycle(ctx)
	}
}

// complete is the step of a coordinator that finishes.
func (c *Coordinator) complete(ctx context.Context) {
	if len(c.ledger.units) > 0 {
		c.publish(ctx)
	}
	c.storeOffsets(ctx)
	if c.beside.drained && c.beside.touched {
		c.freshen(ctx)
	}
}

// finished tells whether nothing is left to complete.
func (c *Coordinator) finished() bool {
	if len(c.ledger.units) > 0 || c.jobs.publish.busy || c.jobs.store.busy || c.jobs.java.busy || c.beside.touched {
		return false
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
		if !slices.Contains(c.session.Subscribed, tp) && !c.jobs.publish.busy {
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
// partition has answered or the timeout has passed. What comes without being asked for
// (a task gives a partition up, a unit is announced again to this coordinator) is
// committed at once: its partitions cannot be opened elsewhere before.
func (c *Coordinator) gather(now time.Time) {
	if !c.gathering && !now.Before(c.nextFlush) {
		c.commitID, c.gathering, c.dirty = randomID(), true, true
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

// publish carries all accepted units into their tables, side by side; refused ones are
// dropped with those that depend on them, and the rest is tried again: tables that have
// it see that it has landed.
func (c *Coordinator) publish(ctx context.Context) {
	units, levels, position, id := slices.Clone(c.ledger.units), c.ledger.snapshot(), c.beside.position, randomID()
	c.start(ctx, &c.jobs.publish, "commit", func(ctx context.Context) (func() error, error) {
		outcomes, err := c.publishAll(ctx, units, levels, position, id)
		return func() error {
			c.published(ctx, units, outcomes, id)
			return nil
		}, err
	})
}

func (c *Coordinator) publishAll(ctx context.Context, units []*Unit, levels []Level, position Positions, id [16]byte) ([]outcome, error) {
	p := newPublisher(&c.cfg, position)
	var targets []Target
	for _, u := range units {
		for _, l := range u.Links {
			if !slices.Contains(targets, l.Target) {
				targets = append(targets, l.Target)
			}
		}
	}
	outcomes, errs := make([]outcome, len(targets)), make([]error, len(targets))
	slots := make(chan struct{}, max(1, c.cfg.Threads))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			outcomes[i], errs[i] = p.publish(ctx, t, units, levels, id)
		})
	}
	wg.Wait()
	return outcomes, errors.Join(errs...)
}

// published runs in Run. It is step C5 for refused units, C4 for the others.
func (c *Coordinator) published(ctx context.Context, units []*Unit, outcomes []outcome, id [16]byte) {
	refused := false
	for _, o := range outcomes {
		if o.refused == nil {
			c.beside.touched = c.beside.touched || (o.snapshot != 0 && c.cfg.Java != nil)
			continue
		}
		refused = true
		for _, d := range c.ledger.refuse(o.refused) {
			c.cfg.Logger.Warn("unit refused; its task reads the ranges again", "unit", d.ID, "table", o.target.Table, "reason", o.reason, "ranges", d.Ranges)
		}
	}
	c.dirty = true
	c.tell(ctx, outcomes, id, !refused)
	if refused {
		return // step publishes what is left
	}
	c.ledger.settle(units)
	c.dropUnsubscribed()
	c.ledger.offerWaiting()
}

// tell sends Java's events for other programs; nobody waits for them.
func (c *Coordinator) tell(ctx context.Context, outcomes []outcome, id [16]byte, complete bool) {
	var events []any
	for _, o := range outcomes {
		if o.snapshot != 0 {
			ident := o.target.Identifier()
			at := javaevent.Table{Catalog: c.cfg.CatalogName, Namespace: ident[:len(ident)-1], Name: ident[len(ident)-1], UUID: &o.uuid}
			events = append(events, javaevent.CommitToTable{Commit: id, Table: at, Snapshot: &o.snapshot})
			c.cfg.Logger.Info("committed", "table", o.target.Table, "branch", o.target.Branch, "snapshot", o.snapshot)
		}
	}
	if len(events) == 0 {
		return
	}
	if complete {
		events = append(events, javaevent.CommitComplete{Commit: id})
	}
	c.wg.Go(func() {
		if err := c.cfg.Send(ctx, events...); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("commit events were not sent", "error", err)
		}
	})
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
	if c.jobs.send.busy {
		return
	}
	c.sequence++
	m := &Cycle{
		Coordinator: c.id, Sequence: c.sequence, Epoch: c.session.Generation, ConfigHash: c.cfg.ConfigHash,
		Commit: c.commitID, Levels: c.ledger.snapshot(), Void: slices.Clone(c.ledger.voidLog),
	}
	c.dirty, c.lastSent = false, time.Now()
	c.start(ctx, &c.jobs.send, "sending the cycle", func(ctx context.Context) (func() error, error) {
		return func() error { return nil }, c.cfg.Send(ctx, m)
	})
}
