package commit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// openPartitions is step C0 for partitions that have no level yet. Done now and then, it
// also sees whether a topic was made anew (then its levels start over, since neither the
// group's offsets nor the floors of the old topic say anything about the new one's
// records), and whether the group's offsets are still those that were stored: a rival that
// was still at work may have set them back after us, in the same generation.
func (c *Coordinator) openPartitions(ctx context.Context, missing []connect.TopicPartition) {
	subscribed, session, known := c.session.Subscribed, c.session, maps.Clone(c.known)
	c.start(ctx, &c.jobs.open, "looking up start offsets", func(ctx context.Context) (func() error, error) {
		o := opener{cfg: c.cfg}
		if err := o.identify(ctx, subscribed, missing, known); err != nil {
			return nil, err
		}
		var err error
		if o.group, err = c.cfg.Group.Committed(ctx, subscribed); err != nil {
			return nil, fmt.Errorf("read group offsets: %w", err)
		}
		fatal := o.resolve(ctx)
		var stop *StopError
		if fatal != nil && !errors.As(fatal, &stop) {
			return nil, fatal
		}
		if stop == nil && len(o.unstored) > 0 {
			// Before the first record is read: else `latest`, resolved again after a crash,
			// would skip what came in between.
			if err := c.cfg.Group.Commit(ctx, session, o.unstored); err != nil {
				return nil, fmt.Errorf("commit start offsets: %w", err)
			}
		}
		return func() error {
			if stop != nil {
				return stop
			}
			return c.openedPartitions(&o)
		}, nil
	})
}

func (c *Coordinator) openedPartitions(o *opener) error {
	c.nextCheck = time.Now().Add(checkInterval)
	for _, tp := range o.renewed {
		c.cfg.Logger.Warn("topic was deleted and created again: its records are new, the floors of the old topic do not count", "partition", tp.String())
		c.ledger.drop(tp)
		delete(c.stored, tp)
	}
	for tp := range c.stored {
		g, ok := o.group[tp]
		if !ok {
			g = None
		}
		if g < c.stored[tp] && !c.jobs.store.busy {
			c.stored[tp] = g
		}
	}
	for tp, next := range o.start {
		c.ledger.open(tp, o.ids[tp.Topic], next)
		c.stored[tp] = next
	}
	maps.Copy(c.known, o.ids)
	c.opened = true
	if len(o.start) > 0 {
		c.dirty = true
		c.ledger.offerWaiting(c.stamp())
	}
	return nil
}

// A StopError says that the connector cannot go on without the operator's decision.
type StopError struct{ Msg string }

func (e *StopError) Error() string { return e.Msg }

// An opener finds out where the chains of some partitions begin.
type opener struct {
	cfg      Config
	ids      map[string]TopicID
	group    map[connect.TopicPartition]int64 // the group's offsets
	parts    []connect.TopicPartition         // to open
	renewed  []connect.TopicPartition         // of those, the ones whose topic has a new id
	start    map[connect.TopicPartition]int64
	unstored map[connect.TopicPartition]int64 // of start, what the group does not hold yet
	javaLast string                           // a table to which a Java sink committed last
	routed   []routed
}

// A routed is what a table says of the configuration that routed its last rows.
type routed struct {
	table, hash string
	floors      Floors
}

func (o *opener) identify(ctx context.Context, subscribed, missing []connect.TopicPartition, known map[string]TopicID) error {
	var err error
	if o.ids, err = topicIDs(ctx, o.cfg.Broker, subscribed); err != nil {
		return err
	}
	for _, tp := range subscribed {
		id, ok := o.ids[tp.Topic]
		if !ok {
			continue // deleted: the next generation does not have it any more
		}
		before, seen := known[tp.Topic]
		switch {
		case seen && before != id:
			o.parts, o.renewed = append(o.parts, tp), append(o.renewed, tp)
		case slices.Contains(missing, tp):
			o.parts = append(o.parts, tp)
		}
	}
	return nil
}

// topicIDs looks up the ids of the partitions' topics.
func topicIDs(ctx context.Context, b Broker, parts []connect.TopicPartition) (map[string]TopicID, error) {
	var topics []string
	for _, tp := range parts {
		if !slices.Contains(topics, tp.Topic) {
			topics = append(topics, tp.Topic)
		}
	}
	ids, err := b.TopicIDs(ctx, topics)
	if err != nil {
		return nil, fmt.Errorf("look up topic ids: %w", err)
	}
	return ids, nil
}

// resolve finds the start of each partition: the group's offset; without one the
// greatest D that a table has (a true lower bound, since done never falls); without any
// the end of the log that auto.offset.reset names. The group's offset, when present, must
// beat D: setting it back is how an operator replays a rolled back table.
func (o *opener) resolve(ctx context.Context) error {
	o.start, o.unstored = make(map[connect.TopicPartition]int64), make(map[connect.TopicPartition]int64)
	if len(o.parts) == 0 {
		return nil
	}
	latest, err := o.cfg.Broker.Latest(ctx, o.parts)
	if err != nil {
		return fmt.Errorf("read log ends: %w", err)
	}
	earliest, err := o.cfg.Broker.Earliest(ctx, o.parts)
	if err != nil {
		return fmt.Errorf("read log starts: %w", err)
	}
	needed := slices.ContainsFunc(o.parts, func(tp connect.TopicPartition) bool {
		next, have := o.group[tp]
		return !have || next > latest[tp] || slices.Contains(o.renewed, tp)
	})
	tables, err := o.floors(ctx, needed)
	if err != nil {
		return err
	}
	if len(o.group) == 0 && o.javaLast != "" {
		return &StopError{fmt.Sprintf("group %s has no offsets, but a Java sink was the last to write to table %s: what it has read is not known "+
			"(stop the connector and set its offsets by PATCH /connectors/NAME/offsets)", o.cfg.Identity.Group, o.javaLast)}
	}
	for _, tp := range o.parts {
		next, have := o.group[tp]
		// An offset of a deleted topic? Kafka forgets it with the topic, but a coordinator that
		// had not seen the new topic yet may have stored it again.
		if slices.Contains(o.renewed, tp) || (have && (next > latest[tp] || !o.cfg.Latest) && tables.hasOther(o.cfg.Identity.Group, tp, o.ids[tp.Topic])) {
			have = false // the start is safe: what of the new topic is in tables has floors
		}
		d := tables.D(NewSource(o.cfg.Identity.Group, tp, o.ids[tp.Topic]))
		switch {
		case have:
		case d != None:
			next = d
		case o.cfg.Latest:
			next = latest[tp]
		default:
			next = earliest[tp]
		}
		if next > latest[tp] {
			if err := o.beyondEnd(ctx, tp, next); err != nil {
				return err
			}
		}
		o.start[tp] = next
		if !have {
			o.unstored[tp] = next
		}
		o.reportRouting(tp)
	}
	return nil
}

// beyondEnd looks again whether the log ends before an offset. The first look came before the
// offset was read, long before if the process was frozen between: meanwhile others have gone
// on, or the topic was made anew. Now the end is that of the topic whose id is read after it.
func (o *opener) beyondEnd(ctx context.Context, tp connect.TopicPartition, next int64) error {
	parts := []connect.TopicPartition{tp}
	latest, err := o.cfg.Broker.Latest(ctx, parts)
	if err != nil {
		return fmt.Errorf("read log ends again: %w", err)
	}
	ids, err := topicIDs(ctx, o.cfg.Broker, parts)
	switch {
	case err != nil:
		return err
	case ids[tp.Topic] != o.ids[tp.Topic]:
		return fmt.Errorf("topic %s was made anew while start offsets were looked up", tp.Topic)
	case next <= latest[tp]:
		return nil
	}
	return &StopError{fmt.Sprintf("%s: the offset to go on from is %d, but the log ends at %d and the topic is the same: records were lost in Kafka or another cluster answers "+
		"(check bootstrap.servers; to go on with what is there, stop the connector and set its offsets by PATCH /connectors/NAME/offsets)", tp, next, latest[tp])}
}

// reportRouting tells of records that were routed twice. A table that is ahead of the
// others got a range under a configuration that is no longer: the others get it under the
// present one. What the change sends elsewhere is in neither or both.
func (o *opener) reportRouting(tp connect.TopicPartition) {
	for _, r := range o.routed {
		f := r.floors.F(NewSource(o.cfg.Identity.Group, tp, o.ids[tp.Topic]))
		if f <= o.start[tp] || r.hash == "" || r.hash == configText(o.cfg.ConfigHash) {
			continue
		}
		o.cfg.Logger.Warn("the configuration was changed while a commit was half done: records of these offsets went to this table under the old one and go to the others under the new one; "+
			"compare them if the change was about routing", "table", r.table, "partition", tp.String(), "from", o.start[tp], "to", f)
	}
}

// floors merges what the tables known from the config say. Where the group has all offsets
// they are not needed: then a table that cannot be loaded is passed over, so that it does
// not keep the others waiting.
func (o *opener) floors(ctx context.Context, needed bool) (Floors, error) {
	all := Floors{}
	for _, target := range o.cfg.Tables {
		err := o.floorsOf(ctx, target, all, needed)
		switch {
		case err == nil || errors.Is(err, icebergcatalog.ErrNoSuchTable):
		case needed || ctx.Err() != nil:
			return nil, fmt.Errorf("table %s: %w", target.Table, err)
		default:
			o.cfg.Logger.Warn("going on without a look at a table", "table", target.Table, "error", err)
		}
	}
	return all, nil
}

const glance = 10 * time.Second // for a table that is not needed

func (o *opener) floorsOf(ctx context.Context, target Target, all Floors, needed bool) error {
	if !needed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, glance)
		defer cancel()
	}
	t, err := o.cfg.Catalog.LoadTable(ctx, target.Identifier())
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	fs, err := ReadFloors(t, target.Branch)
	if err != nil {
		return err
	}
	for s, f := range fs {
		all.raise(s, f.F, f.D)
	}
	o.routed = append(o.routed, routed{target.Table, readConfig(t, target.Branch), fs})
	if o.cfg.Java != nil && javaWasLast(t, target.Branch, o.cfg.Identity.OffsetsProperty) {
		o.javaLast = target.Table
	}
	return nil
}

// hasOther tells whether the floors know the partition under another topic id only.
func (fs Floors) hasOther(group string, tp connect.TopicPartition, id TopicID) bool {
	if _, ok := fs[NewSource(group, tp, id)]; ok {
		return false
	}
	for s := range fs {
		if s.Group == group && s.Topic == tp.Topic && s.Partition == tp.Partition {
			return true
		}
	}
	return false
}

// LoadFloors returns what a table says about source offsets, nothing if there is no table.
func LoadFloors(ctx context.Context, cat table.CatalogIO, target Target) (Floors, error) {
	t, err := cat.LoadTable(ctx, target.Identifier())
	if errors.Is(err, icebergcatalog.ErrNoSuchTable) {
		return Floors{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load table %s: %w", target.Table, err)
	}
	fs, err := ReadFloors(t, target.Branch)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", target.Table, err)
	}
	return fs, nil
}
