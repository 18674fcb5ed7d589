package commit

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
)

// A Cadence says when a table gets a snapshot.
type Cadence struct {
	Interval time.Duration // from start to start, in whole flushes
	Bytes    int64         // sooner when its files have so many; 0: bytes do not count
}

// A lane is the way of the accepted units into one table. Lanes work side by side.
type lane struct {
	job
	target Target
	due    bool      // an attempt was begun and has not succeeded yet
	next   time.Time // when its interval is over
}

const (
	// maxRounds is for how many flushes a table may wait at most, whatever its interval: a
	// task has a bound on what it keeps unconfirmed (see heldUnits).
	maxRounds = 64

	// slowAttempt is when an attempt is counted among those of tables in trouble, so that
	// it does not take the place of a healthy one.
	slowAttempt = time.Minute

	// foreseeAfter is how long something is pending before the cycle tells which floors
	// will come of it.
	foreseeAfter = 10 * time.Second

	maxUntold = 16 // commits of which not all tables have the rows

	// aloneAfter is how often in a row a table may fail before its commits go without those
	// of others, so that they do not share its trouble again and again. It is not after the
	// first time: when a request of several tables was lost, they try together once more.
	aloneAfter = 2
)

// publish begins attempts for the tables that are due, those that wait longest first. As
// many as there are threads may be under way, and as many more of tables in trouble.
func (c *Coordinator) publish(ctx context.Context, now time.Time) {
	c.layLanes(now)
	if c.joint != nil { // those that are begun here wait for each other
		defer c.joint.Join().Leave()
	}
	for {
		var first *lane
		healthy, troubled := 0, 0
		for _, l := range c.lanes {
			bad := l.failures > 0 || l.busy && now.Sub(l.begun) > slowAttempt
			switch {
			case l.busy && bad:
				troubled++
			case l.busy:
				healthy++
			}
		}
		for _, l := range c.lanes {
			n := healthy
			if l.failures > 0 {
				n = troubled
			}
			if l.busy || now.Before(l.after) || n >= max(1, c.cfg.Threads) || !c.isDue(l, now) {
				continue
			}
			if first == nil || c.ledger.queues[l.target][0].number < c.ledger.queues[first.target][0].number {
				first = l
			}
		}
		if first == nil {
			return
		}
		c.attempt(ctx, first, now)
	}
}

// layLanes makes lanes for tables that have units to get, and forgets those that have none
// and whose interval is over, with the trouble there was.
func (c *Coordinator) layLanes(now time.Time) {
	for target := range c.ledger.queues {
		if c.lanes[target] == nil {
			c.lanes[target] = &lane{target: target}
		}
	}
	for target, l := range c.lanes {
		if len(c.ledger.queues[target]) > 0 || l.busy {
			continue
		}
		if l.due, l.job = false, (job{}); !now.Before(l.next) {
			delete(c.lanes, target)
		}
	}
}

// isDue tells whether a table is to get its units now. Those that nobody asked for do not
// wait: a task gave partitions up, and others cannot have them before; or they were
// announced again to this coordinator. The others wait until all tasks have answered, and
// for the table's cadence.
func (c *Coordinator) isDue(l *lane, now time.Time) bool {
	q := c.ledger.queues[l.target]
	switch {
	case len(q) == 0:
		return false
	case l.due || c.finishing || slices.ContainsFunc(q, func(e *entry) bool { return !c.asked(e.Cycle) }):
		return true
	case c.gathering:
		return false
	}
	if c.round-q[0].round >= maxRounds || !now.Add(c.cfg.Interval/2).Before(l.next) {
		return true
	}
	bytes := int64(0)
	for _, e := range q {
		for i := range e.Links {
			if e.Links[i].Target == l.target {
				bytes += e.Links[i].Bytes
			}
		}
	}
	most := c.cadence(l.target).Bytes
	return most > 0 && bytes >= most
}

// A commit id of this coordinator begins like its own.
func (c *Coordinator) newCommitID() [16]byte {
	id := c.id
	binary.BigEndian.PutUint64(id[8:], c.round)
	return id
}

func (c *Coordinator) asked(id [16]byte) bool { return [8]byte(id[:8]) == [8]byte(c.id[:8]) }

// attempt tries to bring everything that is accepted into a table.
func (c *Coordinator) attempt(ctx context.Context, l *lane, now time.Time) {
	p := newPublisher(&c.cfg, c.beside.position)
	p.through = c.ledger.validThrough(ends, c.isIdle)
	a := attempted{units: c.ledger.pending(l.target), upTo: c.ledger.last, id: c.newCommitID(), begun: now}
	levels := c.ledger.snapshot()
	l.due = true
	if c.joint != nil && l.failures < aloneAfter {
		p.joint = c.joint.Join()
		p.catalog = p.joint
	}
	c.start(ctx, &l.job, "commit to table "+l.target.Table, func(ctx context.Context) (func() error, error) {
		defer p.joint.Leave()
		out, err := p.publish(ctx, l.target, a.units, levels, a.id)
		return func() error {
			c.published(ctx, l, a, out)
			return nil
		}, err
	})
}

type attempted struct {
	units []*Unit
	upTo  uint64 // number of the unit accepted last
	id    [16]byte
	begun time.Time
}

// published runs in Run. It is step C5 for a refused unit, C4 for the others.
func (c *Coordinator) published(ctx context.Context, l *lane, a attempted, out outcome) {
	c.dirty = true
	if out.refused != nil {
		for _, d := range c.ledger.refuse(out.refused) {
			c.cfg.Logger.Warn("unit refused; its task reads the ranges again", "unit", d.ID, "table", out.target.Table, "reason", out.reason, "ranges", d.Ranges)
		}
		c.ledger.offerWaiting(c.stamp())
		return // what is left is tried again
	}
	l.due, l.next = false, a.begun.Add(c.cadence(l.target).Interval)
	c.ledger.land(l.target, a.units)
	c.beside.touched = c.beside.touched || (out.snapshot != 0 && c.cfg.Java != nil)
	c.tell(ctx, out, a)
}

// tell sends Java's events for other programs; nobody waits for them. A commit is complete
// when all tables have what was accepted by then.
func (c *Coordinator) tell(ctx context.Context, out outcome, a attempted) {
	var events []any
	if out.snapshot != 0 {
		ident := out.target.Identifier()
		at := javaevent.Table{Catalog: c.cfg.CatalogName, Namespace: ident[:len(ident)-1], Name: ident[len(ident)-1], UUID: &out.uuid}
		events = append(events, javaevent.CommitToTable{Commit: a.id, Table: at, Snapshot: &out.snapshot, ValidThrough: eventTime(out.through)})
		c.cfg.Logger.Info("committed", "table", out.target.Table, "branch", out.target.Branch, "snapshot", out.snapshot)
		c.untold = slices.DeleteFunc(c.untold, func(o attempted) bool { return o.id == a.id })
		if len(c.untold) == maxUntold {
			c.untold = c.untold[1:]
		}
		c.untold = append(c.untold, attempted{upTo: a.upTo, id: a.id})
	}
	c.untold = slices.DeleteFunc(c.untold, func(o attempted) bool {
		if c.ledger.oldest() <= o.upTo {
			return false
		}
		events = append(events, javaevent.CommitComplete{Commit: o.id, ValidThrough: eventTime(c.ledger.validThrough(dones, c.isIdle))})
		return true
	})
	if len(events) == 0 {
		return
	}
	c.wg.Go(func() {
		if err := c.cfg.Send(ctx, events...); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Warn("commit events were not sent", "error", err)
		}
	})
}

// A quiet partition is one whose chain did not move between two flushes. For the
// watermark it counts as idle if its chain ends where the log does, and still does not move.
type quiet struct {
	end, logEnd int64
	asked       int64 // when, in milliseconds
}

// look asks where the logs of quiet partitions end. It is called at every flush.
func (c *Coordinator) look(ctx context.Context) {
	var ask []connect.TopicPartition
	was := c.ends
	c.ends = make(map[connect.TopicPartition]int64, len(c.ledger.levels))
	for tp, l := range c.ledger.levels {
		c.ends[tp] = l.End
		if end, ok := was[tp]; ok && end == l.End {
			ask = append(ask, tp)
		}
	}
	at, now := c.ends, time.Now().UnixMilli()
	c.start(ctx, &c.jobs.look, "looking up the ends of quiet partitions", func(ctx context.Context) (func() error, error) {
		found := make(map[connect.TopicPartition]quiet)
		if len(ask) > 0 {
			logEnds, err := c.cfg.Broker.Latest(ctx, ask)
			if err != nil { // none is idle then; the next flush asks again
				c.cfg.Logger.Warn("ends of quiet partitions are not known: the watermark waits for them", "error", err)
			}
			for tp, end := range logEnds {
				found[tp] = quiet{at[tp], end, now}
			}
		}
		return func() error {
			c.quiet = found
			return nil
		}, nil
	})
}

func (c *Coordinator) isIdle(l Level) (since int64, ok bool) {
	q, ok := c.quiet[l.TopicPartition]
	return q.asked, ok && q.end == l.End && q.logEnd <= l.End
}

// trouble says what has not worked for longer than the error budget, "" if all is well.
// key is the same as long as the same things are at fault.
func (c *Coordinator) trouble(now time.Time) (text, key string) {
	var texts, keys []string
	add := func(j *job, budget time.Duration, what string) {
		since := j.since
		if since.IsZero() && j.busy {
			since = j.begun
		}
		if since.IsZero() || now.Sub(since) < budget {
			return
		}
		cause := "there is no answer"
		if j.err != nil {
			cause = j.err.Error()
		}
		keys = append(keys, what)
		texts = append(texts, fmt.Sprintf("%s: no success since %s, failed %d times: %s", what, since.UTC().Format(time.RFC3339), j.failures, cause))
	}
	for _, l := range c.lanes {
		add(&l.job, Budget(c.cfg.Failures, c.cadence(l.target).Interval), "commit to table "+l.target.Table+" (branch "+l.target.Branch+")")
	}
	add(&c.jobs.java, Budget(c.cfg.Failures, c.cfg.Interval), "looking for what a Java sink has left")
	add(&c.jobs.open, Budget(c.cfg.Failures, c.cfg.Interval), "looking up where to begin")
	add(&c.jobs.admit, Budget(c.cfg.Failures, c.cfg.Interval), "looking up the topics of announced ranges")
	add(&c.jobs.store, Budget(c.cfg.Failures, c.cfg.Interval), "commit of the group's offsets")
	add(&c.jobs.send, Budget(c.cfg.Failures, c.cfg.Interval), "writing to the control topic")
	slices.Sort(keys)
	slices.Sort(texts)
	const most = 5
	if n := len(texts); n > most {
		texts = append(texts[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(texts, "; "), strings.Join(keys, "; ")
}

// Budget is how long something may fail before the status tells: as long as so many
// commits in a row would take (iceberg.control.commit.max-consecutive-failures), and two
// minutes at least.
func Budget(failures int, interval time.Duration) time.Duration {
	return max(minBudget, time.Duration(failures)*interval)
}

const (
	minBudget     = 2 * time.Minute  // what a restart of a catalog may take
	troubleUpdate = 10 * time.Minute // how often the text is brought up to date
)

// report tells of trouble, and of its end.
func (c *Coordinator) report(now time.Time) {
	if c.cfg.Trouble == nil {
		return
	}
	text, key := c.trouble(now)
	if key == c.troubled && (key == "" || now.Sub(c.reported) < troubleUpdate) {
		return
	}
	c.troubled, c.reported = key, now
	c.cfg.Trouble(text)
}
