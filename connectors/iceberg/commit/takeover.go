package commit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// Java is what a coordinator asks and tells because of a Java sink of the same identity,
// which worked before, or will after, or runs by mistake at the same time.
type Java interface {
	// Strangers are the members of the connector's groups that are not Firn's.
	Strangers(ctx context.Context) (Strangers, error)

	// Position is how far Java's coordinator was done with the control topic (its group
	// -coord); partitions without a word are left out. SetPosition says it.
	Position(ctx context.Context) (Positions, error)
	SetPosition(ctx context.Context, p Positions) error

	// Starts and Ends are those of the control topic's log, open transactions included.
	Starts(ctx context.Context) (Positions, error)
	Ends(ctx context.Context) (Positions, error)

	// Read calls take for every committed value of the control topic from from to to, in
	// the order of each partition. It waits for the transactions in between to end.
	Read(ctx context.Context, from, to Positions, take func(partition int32, offset int64, value []byte) error) error
}

// Strangers are members of a group that are not Firn's.
type Strangers = kafka.Strangers

// ErrNotAlone is what ends a coordinator beside which others have begun to read.
var ErrNotAlone = errors.New("members of the group that are not Firn's read from its topics")

const (
	strangerAgain   = 2 * time.Second
	freshenInterval = time.Minute
)

// A beside is what a coordinator knows of Java. Source offsets move in Java's
// transactions, and files that Java has announced count as delivered: they must be in the
// tables before Firn reads on, and nobody may announce in Java's way after that.
type beside struct {
	member     string // member id and generation for which no stranger was found
	generation int32
	waiting    bool // for strangers to leave
	drained    bool
	position   Positions // of the control topic, for Java to go on from
	touched    bool      // a table has a new snapshot since position was told
	freshened  time.Time
}

// knownAlone tells whether the protocol may run: all members of this generation are
// Firn's, and what Java left is in the tables.
func (c *Coordinator) knownAlone() bool {
	return c.cfg.Java == nil || (c.beside.drained && c.knowsMembers())
}

func (c *Coordinator) knowsMembers() bool {
	return c.beside.member == c.session.Member && c.beside.generation == c.session.Generation
}

// alone is knownAlone, but finds out if it is not known yet.
func (c *Coordinator) alone(ctx context.Context) bool {
	switch {
	case c.knownAlone():
		return true
	case !c.knowsMembers():
		c.lookForStrangers(ctx)
	default:
		c.takeOver(ctx)
	}
	return false
}

func (c *Coordinator) lookForStrangers(ctx context.Context) {
	s := c.session
	c.start(ctx, &c.jobs.java, "looking for members that are not Firn's", func(ctx context.Context) (func() error, error) {
		strangers, err := c.cfg.Java.Strangers(ctx)
		return func() error {
			if len(strangers.Names) == 0 || (c.opened && !strangers.Hold) {
				c.beside.member, c.beside.generation, c.beside.waiting = s.Member, s.Generation, false
			} else {
				c.notAlone(strangers)
			}
			return nil
		}, err
	})
}

// notAlone waits for strangers to go; the tasks, which see them too, leave the group. If
// Firn has begun already it brings to an end what it has accepted, and returns. Strangers
// that read nothing are no reason to: that lasts for as long as the generation does, in
// which the tasks come to an end with what they have read.
func (c *Coordinator) notAlone(strangers Strangers) {
	if !c.beside.waiting {
		c.beside.waiting = true
		c.cfg.Logger.Warn("members of the group are not Firn's: nothing is committed beside them", "group", c.cfg.Identity.Group, "members", strangers.Names)
	}
	if c.opened {
		c.finishing, c.verdict = true, ErrNotAlone
		return
	}
	c.jobs.java.after = time.Now().Add(strangerAgain)
}

// takeOver brings what Java has announced into the tables.
func (c *Coordinator) takeOver(ctx context.Context) {
	subscribed := c.session.Subscribed
	c.start(ctx, &c.jobs.java, "taking over from Java", func(ctx context.Context) (func() error, error) {
		d := drain{cfg: c.cfg}
		position, err := d.run(ctx, subscribed)
		if stop, ok := errors.AsType[*StopError](err); ok {
			return func() error { return stop }, nil
		}
		return func() error {
			c.beside.drained, c.beside.position, c.beside.freshened = true, position, time.Now()
			return nil
		}, err
	})
}

// freshen keeps the position for Java at the end of the control topic: what is there was
// announced by Firn, or is done with. An old one would expire, or be cut off from the log.
func (c *Coordinator) freshen(ctx context.Context) {
	if c.cfg.Java == nil || (!c.beside.touched && time.Since(c.beside.freshened) < freshenInterval) {
		return
	}
	c.start(ctx, &c.jobs.java, "telling Java's group how far the control topic is done with", func(ctx context.Context) (func() error, error) {
		ends, err := c.cfg.Java.Ends(ctx)
		if err == nil {
			err = c.cfg.Java.SetPosition(ctx, ends)
		}
		return func() error {
			c.beside.touched, c.beside.position, c.beside.freshened = false, ends, time.Now()
			return nil
		}, err
	})
}

// A drain carries what a Java sink has announced into the tables. Java filters what it
// has announced by a property of the table's snapshots, Positions of the control topic;
// so does the drain, at the head that its commit pins, and it moves the property along.
type drain struct {
	cfg    Config
	events announced
}

// run returns the position up to which the control topic is done with.
//
// First the group's offsets are read, which waits for Java's open transactions on them;
// the end of the topic is looked up after that, so that it has all announcements that go
// with these offsets. Offsets that have moved meanwhile mean that Java was not at its end.
func (d *drain) run(ctx context.Context, subscribed []connect.TopicPartition) (Positions, error) {
	before, err := d.cfg.Group.Committed(ctx, subscribed)
	if err != nil {
		return nil, fmt.Errorf("read group offsets: %w", err)
	}
	from, err := d.from(ctx)
	if err != nil {
		return nil, err
	}
	for {
		to, err := d.cfg.Java.Ends(ctx)
		if err != nil {
			return nil, fmt.Errorf("read end of the control topic: %w", err)
		}
		if err := d.pass(ctx, subscribed, before, from, to); err != nil {
			return nil, err
		}
		after, err := d.cfg.Group.Committed(ctx, subscribed)
		if err != nil {
			return nil, fmt.Errorf("read group offsets: %w", err)
		}
		if maps.Equal(before, after) {
			if err := d.cfg.Java.SetPosition(ctx, to); err != nil {
				return nil, fmt.Errorf("commit the position in the control topic: %w", err)
			}
			return to, nil
		}
		before, from = after, to
	}
}

// from is where Java's coordinator would begin: at its group's offset, else at the start.
func (d *drain) from(ctx context.Context) (Positions, error) {
	position, err := d.cfg.Java.Position(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the position in the control topic: %w", err)
	}
	starts, err := d.cfg.Java.Starts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read start of the control topic: %w", err)
	}
	ends, err := d.cfg.Java.Ends(ctx)
	if err != nil {
		return nil, fmt.Errorf("read end of the control topic: %w", err)
	}
	from := maps.Clone(starts)
	for partition, next := range position.below(ends) {
		if next < starts[partition] {
			d.cfg.Logger.Warn("the control topic no longer has all that a Java sink may have announced: retention was too short", "partition", partition, "next", next, "start", starts[partition])
		}
		from[partition] = max(next, starts[partition])
	}
	return from, nil
}

// pass reads one stretch of the control topic and commits what it announces. The group's
// offsets go along as D: once the drain is through, all that is below them is in every table.
func (d *drain) pass(ctx context.Context, subscribed []connect.TopicPartition, group map[connect.TopicPartition]int64, from, to Positions) error {
	d.events = announced{cfg: d.cfg, ends: to}
	err := d.cfg.Java.Read(ctx, from, to, func(partition int32, offset int64, value []byte) error {
		return d.events.take(ctx, partition, offset, value)
	})
	if err != nil {
		return fmt.Errorf("read the control topic: %w", err)
	}
	if len(d.events.byTable) == 0 {
		return nil
	}
	levels, err := d.levels(ctx, subscribed, group)
	if err != nil {
		return err
	}
	for _, target := range slices.SortedFunc(maps.Keys(d.events.byTable), compareTargets) {
		if err := d.settle(ctx, target, d.events.byTable[target], levels, to); err != nil {
			return err
		}
	}
	return nil
}

func compareTargets(a, b Target) int { return strings.Compare(a.Table, b.Table) }

func (d *drain) levels(ctx context.Context, subscribed []connect.TopicPartition, group map[connect.TopicPartition]int64) ([]Level, error) {
	ids, err := topicIDs(ctx, d.cfg.Broker, subscribed)
	if err != nil {
		return nil, err
	}
	var out []Level
	for tp, next := range group {
		if id, ok := ids[tp.Topic]; ok {
			out = append(out, Level{TopicPartition: tp, TopicID: id, End: next, Done: next})
		}
	}
	return out, nil
}

// settle tries until it is certain that a table has what was announced for it.
func (d *drain) settle(ctx context.Context, target Target, events []announcement, levels []Level, to Positions) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := d.try(ctx, target, events, levels, to)
		if _, stop := errors.AsType[*StopError](err); err == nil || stop {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.cfg.Logger.Warn("commit of what Java has announced is not confirmed; reading the head again", "table", target.Table, "branch", target.Branch, "retry_in", wait, "error", err)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (d *drain) try(ctx context.Context, target Target, events []announcement, levels []Level, to Positions) error {
	t, err := loadAnnounced(ctx, d.cfg, target, events[0])
	if err != nil {
		return err
	}
	at, err := readPositions(t, target.Branch, d.cfg.Identity.OffsetsProperty)
	if err != nil {
		return &StopError{fmt.Sprintf("table %s: %v", target.Table, err)}
	}
	floors, err := ReadFloors(t, target.Branch)
	if err != nil {
		return fmt.Errorf("table %s: %w", target.Table, err)
	}
	p := newPublisher(&d.cfg, nil)
	sources := p.sources(levels)
	for _, l := range levels {
		floors.raise(sources[l.TopicPartition], None, l.Done)
	}
	at = at.below(to)
	for _, cut := range cuts(events, to) {
		delta, err := filesBetween(t.Metadata(), events, at, cut)
		if err != nil {
			return &StopError{fmt.Sprintf("table %s: %v", target.Table, err)}
		}
		if at = cut; len(delta.rows)+len(delta.deletes) == 0 {
			continue
		}
		p.position, delta.floors = cut, floors.String()
		if t, err = p.commit(ctx, t, target.Branch, randomID(), delta); err != nil {
			return err
		}
		d.cfg.Logger.Info("committed what a Java sink had announced", "table", target.Table, "branch", target.Branch,
			"data_files", len(delta.rows), "delete_files", len(delta.deletes), "snapshot", t.SnapshotByName(target.Branch).SnapshotID)
	}
	return nil
}
