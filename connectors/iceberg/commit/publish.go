package commit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

// A publisher carries units into tables: step C2 of the protocol.
type publisher struct {
	catalog    table.CatalogIO
	joint      *catalog.Participant // the same, if the table goes with others; else nil
	group      string               // identity group: part of every floor's key
	task       string               // CONNECTOR-TASK of the coordinator, for the snapshot's readers
	configHash uint64
	property   string    // Java's, for the position in the control topic
	position   Positions // nil: as the table has it
	watermark  string    // property with the watermark
	through    int64     // the watermark; None: as the table has it
}

func newPublisher(cfg *Config, position Positions) *publisher {
	return &publisher{
		catalog: cfg.Catalog, group: cfg.Identity.Group, task: cfg.Task, configHash: cfg.ConfigHash,
		property: cfg.Identity.OffsetsProperty, position: position, watermark: cfg.Identity.ValidThroughKey, through: None,
	}
}

// An outcome is how a table took a commit's units.
type outcome struct {
	target   Target
	refused  *Unit  // not nil: nothing can be said before it is dropped
	reason   string // of the refusal
	snapshot int64  // of the new snapshot; 0 when the table needed none
	through  int64  // watermark of the table; None for none
	uuid     [16]byte
}

// publish tries once to bring the links that units have for target into its table, in one
// commit on a pinned head, or a few: with a snapshot for all links that only append, and one
// for each that has a key (see gather). After an error nothing is certain: the next try loads the table anew
// and decides from the floors it finds, with no memory of this one. levels gives done and
// the topic id of every partition.
func (p *publisher) publish(ctx context.Context, target Target, units []*Unit, levels []Level, commitID [16]byte) (outcome, error) {
	out := outcome{target: target}
	t, err := p.catalog.LoadTable(ctx, target.Identifier())
	if errors.Is(err, icebergcatalog.ErrNoSuchTable) {
		out.refused, out.reason = firstWithLink(units, target), "the table does not exist any more"
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("load table %s: %w", target.Table, err)
	}
	floors, err := ReadFloors(t, target.Branch)
	if err != nil {
		return out, fmt.Errorf("table %s: %w", target.Table, err)
	}
	out.uuid = t.Metadata().TableUUID()
	sources := p.sources(levels)
	plan, refused, reason := decide(target, out.uuid, units, maps.Clone(floors), sources)
	if refused != nil {
		out.refused, out.reason = refused, reason
		return out, nil
	}
	deltas, refused, reason := gather(t.Metadata(), plan)
	if refused != nil {
		out.refused, out.reason = refused, reason
		return out, nil
	}
	out.through = max(p.through, watermark(t, target.Branch, p.watermark))
	for _, l := range levels {
		floors.raise(sources[l.TopicPartition], None, l.Done)
	}
	for some := range slices.Chunk(deltas, mostSnapshots) {
		for i := range some {
			some[i].raise(floors, sources)
		}
		if t, err = p.commit(ctx, t, target.Branch, commitID, some...); err != nil {
			return out, err
		}
		out.snapshot = t.SnapshotByName(target.Branch).SnapshotID
	}
	return out, nil
}

// mostSnapshots is how many snapshots one commit may add: what fails is done again, all of
// it.
const mostSnapshots = 16

func firstWithLink(units []*Unit, target Target) *Unit {
	for _, u := range units {
		for _, l := range u.Links {
			if l.Target == target {
				return u
			}
		}
	}
	return nil
}

// sources gives, by partition, the key of its floors.
func (p *publisher) sources(levels []Level) map[connect.TopicPartition]Source {
	out := make(map[connect.TopicPartition]Source, len(levels))
	for _, l := range levels {
		out[l.TopicPartition] = NewSource(p.group, l.TopicPartition, l.TopicID)
	}
	return out
}

type planned struct {
	unit *Unit
	link *Link
}

// raise moves the floors of the link's partitions to where its rows end.
func (l planned) raise(floors Floors, sources map[connect.TopicPartition]Source) {
	for at := range l.link.Floors {
		r := l.unit.Ranges[at]
		floors.raise(sources[r.TopicPartition], r.Next, None)
	}
}

// decide compares every link of the units for a table with the floors at its head, and
// raises floors by those it takes. A link is taken if all its partitions are exact (the
// floor is the one its rows were filtered with) or neutral (the table was past the range
// when the rows were filtered: there are none); passed over if all are landed (a try of
// which we never heard is in the table) or neutral; anything else refuses the unit.
func decide(target Target, uuid [16]byte, units []*Unit, floors Floors, sources map[connect.TopicPartition]Source) (plan []planned, refused *Unit, reason string) {
	for _, u := range units {
		for i := range u.Links {
			l := &u.Links[i]
			if l.Target != target {
				continue
			}
			if l.UUID != uuid {
				return nil, u, "the table was dropped and created again"
			}
			verdict, reason := compare(u, l, floors, sources)
			switch verdict {
			case exact:
				plan = append(plan, planned{u, l})
				plan[len(plan)-1].raise(floors, sources)
			case landed:
			case mismatch:
				return nil, u, reason
			}
		}
	}
	return plan, nil, ""
}

// A fit is how a link stands to the floors of the table.
type fit int

const (
	exact fit = iota
	landed
	mismatch
)

func compare(u *Unit, l *Link, floors Floors, sources map[connect.TopicPartition]Source) (fit, string) {
	exacts, landeds := 0, 0
	for at, f := range l.Floors {
		r := u.Ranges[at]
		now := floors.F(sources[r.TopicPartition])
		switch {
		case f != None && f >= r.Next && now >= r.Next: // neutral
		case now >= r.Next:
			landeds++
		case now == f:
			exacts++
		default:
			return mismatch, fmt.Sprintf("%s: the rows of [%d, %d) were filtered with floor %d, the table has %d now", r.TopicPartition, r.First, r.Next, f, now)
		}
	}
	switch {
	case landeds == 0:
		return exact, ""
	case exacts == 0:
		return landed, ""
	}
	return mismatch, fmt.Sprintf("unit %s is half in the table: %d partitions are, %d are not", u.ID, landeds, exacts)
}

// commit adds each delta as a snapshot, with the floors in its summary and, in the same
// commit, as a table property. The requirements: the table's uuid, and the branch's head
// as in t (none, if it has no snapshot). The library does not retry past a pinned head.
// It returns the table with the new head.
func (p *publisher) commit(ctx context.Context, t *table.Table, branch string, commitID [16]byte, deltas ...delta) (*table.Table, error) {
	tx := t.NewTransactionOnBranch(branch)
	if err := tx.AssertRefSnapshotID(branch); err != nil {
		return nil, fmt.Errorf("pin head of %s: %w", branch, err)
	}
	rows, deletes, text := 0, 0, ""
	for _, d := range deltas {
		rows, deletes, text = rows+len(d.rows), deletes+len(d.deletes), d.floors
		summary := carried(t, branch)
		if p.position != nil {
			summary[p.property] = p.position.String()
		}
		summary[SummaryKey] = text
		summary[configKey] = configText(p.configHash)
		summary["kafka.connect.commit-id"] = uuid.UUID(commitID).String()
		summary["kafka.connect.task-id"] = p.task
		if through := max(p.through, watermark(t, branch, p.watermark)); through != None {
			summary[p.watermark] = watermarkText(p.watermark, through)
		}
		if err := tx.NewRowDelta(summary).AddRows(d.rows...).AddDeletes(d.deletes...).Commit(ctx); err != nil {
			return nil, fmt.Errorf("stage %d data files and %d delete files: %w", len(d.rows), len(d.deletes), err)
		}
	}
	if err := tx.SetProperties(iceberg.Properties{PropertyKey(branch): text}); err != nil {
		return nil, fmt.Errorf("set %s: %w", PropertyKey(branch), err)
	}
	after, err := tx.Commit(ctx)
	if err != nil {
		return nil, fmt.Errorf("commit %d data files and %d delete files: %w", rows, deletes, err)
	}
	return after, nil
}

// carried copies Java's own offsets (kafka.connect.offsets.TOPIC.GROUP, one for each
// connector that feeds the table) from the nearest ancestors that have them, so that a
// Java sink can take the table back.
func carried(t *table.Table, branch string) iceberg.Properties {
	out := iceberg.Properties{}
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		for k, v := range s.Summary.Properties {
			if _, newer := out[k]; !newer && strings.HasPrefix(k, "kafka.connect.offsets.") {
				out[k] = v
			}
		}
		if _, ours := s.Summary.Properties[SummaryKey]; ours {
			break // our snapshots carry them all
		}
	}
	return out
}
