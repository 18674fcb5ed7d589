package iceberg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/columns"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
	"github.com/firn-io/firn/connectors/iceberg/route"
	"github.com/firn-io/firn/connectors/iceberg/verify"
)

// A Topic is what a [TopicReader] knows of a topic.
type Topic struct {
	ID        [16]byte        // zero if the broker tells none
	First     map[int32]int64 // log start by partition
	End       map[int32]int64
	Compacted bool
}

// A TopicReader reads topics as the worker does for a task.
type TopicReader interface {
	// Topics describes those of the topics that exist.
	Topics(ctx context.Context, names []string) (map[string]Topic, error)

	// Read goes through the records of a partition in [from, to). A record that a
	// transformation drops comes with keep false, one that a converter or a transformation
	// refuses with an error. It is valid until each returns.
	Read(ctx context.Context, part connect.TopicPartition, from, to int64, each func(r *connect.Record, keep bool, refusal error) error) error
}

// A Verification asks whether tables of a connector have what its topics hold. See
// package verify for what is proved.
type Verification struct {
	Config      map[string]string // of the connector
	Tables      []string          // none: those that the config names
	Topics      []string          // none: all that the tables store offsets of
	Reader      TopicReader
	Coordinates *verify.Coordinates // columns; nil if rows have none

	FromFirstRow bool
	MemoryBytes  int64
	Examples     int
	Progress     func(table string, done, total int64)
}

// Verify looks at one table after the other and tells each the outcome: a report, or why
// there is none.
func (c *Connector) Verify(ctx context.Context, v *Verification, tell func(table string, r *verify.Report, err error)) error {
	cfg, err := parseConfig(v.Config)
	if err != nil {
		return err
	}
	router, err := route.Parse(v.Config)
	if err != nil {
		return err
	}
	names := v.Tables
	if len(names) == 0 {
		for _, id := range router.Static() {
			names = append(names, strings.Join(id, "."))
		}
	}
	if len(names) == 0 {
		return errors.New("the names of the tables come from records or topics: say which to verify")
	}
	cat, err := c.catalogOpener()(ctx, cfg.catalogName, cfg.catalogProps)
	if err != nil {
		return fmt.Errorf("open catalog %s: %w", cfg.catalogName, err)
	}
	defer cat.Close() //nolint:errcheck // nothing is pending on it
	for _, name := range names {
		s := &expectation{Verification: v, cfg: cfg, router: router, changes: cfg.changes(), target: cfg.target(name), counted: make(map[connect.TopicPartition]int64)}
		r, err := s.verify(ctx, cat)
		if ctx.Err() != nil {
			return err
		}
		tell(name, r, err)
	}
	return nil
}

// An expectation is what the connector's chain makes of its topics for one table.
type expectation struct {
	*Verification
	cfg     *config
	router  *route.Router
	changes changes
	target  commit.Target

	rows *expectedRows
	keys *expectedRows // of deletes; nil for tables without a key

	idents  []table.Identifier
	fates   verify.Fates
	counted map[connect.TopicPartition]int64 // offset above which records are yet to be counted
	refusal string
}

func (s *expectation) verify(ctx context.Context, cat catalog.Catalog) (*verify.Report, error) {
	tbl, err := cat.LoadTable(ctx, s.target.Identifier())
	if err != nil {
		return nil, fmt.Errorf("load table %s: %w", s.target.Table, err)
	}
	files, err := verify.Load(ctx, tbl, s.target.Branch)
	if err != nil {
		return nil, err
	}
	ranges, err := s.ranges(ctx, tbl)
	if err != nil {
		return nil, err
	}
	job := verify.Job{
		Table: files, Ranges: ranges, Source: s, Coordinates: s.Coordinates,
		FromFirstRow: s.FromFirstRow, MemoryBytes: s.MemoryBytes, Examples: s.Examples,
	}
	if s.Progress != nil {
		job.Progress = func(done, total int64) { s.Progress(s.target.Table, done, total) }
	}
	if job.Key, err = s.prepare(tbl); err != nil {
		return nil, err
	}
	report, err := verify.Run(ctx, job)
	if err != nil {
		return nil, err
	}
	report.Records = s.fates
	if s.fates.Refused > 0 {
		report.Unchecked = append(report.Unchecked, fmt.Sprintf("%d records are refused on their way, and no row is expected of them; the first: %s", s.fates.Refused, s.refusal))
	}
	return report, nil
}

// prepare makes room for rows of the table and returns its key.
func (s *expectation) prepare(tbl *table.Table) (key []int, err error) {
	options := s.cfg.columnOptions()
	options.NameMapping, options.FormatVersion = tbl.NameMapping(), tbl.Metadata().Version()
	if s.cfg.keyed() {
		if key, err = s.cfg.keyOf(s.target.Table, tbl.Schema()); err != nil {
			return nil, err
		}
		options.Key = key
	}
	if s.rows, err = newExpectedRows(tbl.Schema(), options); err != nil || key == nil {
		return nil, err
	}
	projection, err := columns.Project(s.rows.columns, key)
	if err != nil {
		return nil, err
	}
	options.Evolve = false // the other fields of a delete have their columns elsewhere
	s.keys, err = newExpectedRows(projection.Schema(), options)
	return key, err
}

// ranges are the offsets that the table stores of the connector's topics.
func (s *expectation) ranges(ctx context.Context, tbl *table.Table) ([]verify.Range, error) {
	floors, err := commit.ReadFloors(tbl, s.target.Branch)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", s.target.Table, err)
	}
	group := s.cfg.identity().Group
	named := make(map[string]bool)
	for src := range floors {
		switch {
		case src.Group == group:
			if len(s.Topics) == 0 || slices.Contains(s.Topics, src.Topic) {
				named[src.Topic] = true
			} else if s.Coordinates == nil {
				return nil, &verify.CannotError{Reason: "rows have no coordinates, so the rows of topic " + src.Topic + " cannot be left out"}
			}
		case s.Coordinates == nil || slices.Contains(s.Topics, src.Topic) || len(s.Topics) == 0:
			return nil, &verify.CannotError{Reason: fmt.Sprintf("group %s writes rows of topic %s to the table, too (verify the topics that it does not write, one by one)", src.Group, src.Topic)}
		}
	}
	topics, err := s.Reader.Topics(ctx, slices.Sorted(maps.Keys(named)))
	if err != nil {
		return nil, err
	}
	var out []verify.Range
	for src, f := range floors {
		t, ok := topics[src.Topic]
		tp := connect.TopicPartition{Topic: src.Topic, Partition: src.Partition}
		switch {
		case src.Group != group || !named[src.Topic] || f.F < 0:
			continue
		case !ok:
			return nil, &verify.CannotError{Reason: "topic " + src.Topic + " does not exist any more"}
		case t.ID != [16]byte(src.TopicID):
			return nil, &verify.CannotError{Reason: "topic " + src.Topic + " was created anew, and the table has rows of the old one"}
		case f.F > t.End[src.Partition]:
			return nil, &verify.CannotError{Reason: fmt.Sprintf("the table stores offset %d of %s, which ends at %d", f.F, tp, t.End[src.Partition])}
		}
		out = append(out, verify.Range{TopicPartition: tp, First: min(t.First[src.Partition], f.F), Next: f.F, Compacted: t.Compacted})
	}
	slices.SortFunc(out, func(a, b verify.Range) int { return a.Compare(b.TopicPartition) })
	return out, nil
}

// expectedBatch is how many rows come at once.
const expectedBatch = 1024

// Read is [verify.Source].
func (s *expectation) Read(ctx context.Context, part connect.TopicPartition, from, to int64, seen func(int64), rows func(*verify.Batch) error) error {
	next, ok := s.counted[part]
	if !ok {
		next = from
	}
	last := (*expectedRows)(nil)
	flush := func() error {
		if last == nil {
			return nil
		}
		return last.flush(rows)
	}
	err := s.Reader.Read(ctx, part, from, to, func(r *connect.Record, keep bool, refusal error) error {
		seen(r.Offset)
		fates := &s.fates
		if r.Offset < next {
			fates = new(verify.Fates) // counted before
		}
		fates.Read++
		switch {
		case refusal != nil:
			return s.blame(fates, part, r, refusal)
		case !keep:
			fates.Dropped++
			return nil
		case r.Value.IsNull():
			fates.Tombstones++
			return nil
		}
		ours, err := s.routed(fates, r)
		if err != nil || !ours {
			return s.refused(fates, part, r, err)
		}
		op, into := verify.Insert, s.rows
		if s.keys != nil {
			change, err := s.changes.of(r)
			if err != nil {
				return s.refused(fates, part, r, err)
			}
			switch change {
			case datafile.Upsert:
				op = verify.Upsert
			case datafile.Delete:
				op, into = verify.Delete, s.keys
			case datafile.Insert:
			}
		}
		if last != nil && (last != into || last.batch.Op != op || len(last.batch.Offsets) == expectedBatch) {
			if err := last.flush(rows); err != nil {
				return err
			}
		}
		last = into
		if err := into.add(r, op); err != nil {
			return s.refused(fates, part, r, err)
		}
		fates.Rows++
		return nil
	})
	if err != nil {
		return err
	}
	s.counted[part] = max(next, to)
	return flush()
}

// routed tells whether a record goes to the table.
func (s *expectation) routed(fates *verify.Fates, r *connect.Record) (bool, error) {
	var err error
	if s.idents, err = s.router.Tables(r, s.idents[:0]); err != nil {
		return false, err
	}
	for _, id := range s.idents {
		if strings.Join(id, ".") == s.target.Table {
			return true, nil
		}
	}
	if len(s.idents) == 0 {
		fates.Unrouted++
	} else {
		fates.Elsewhere++
	}
	return false, nil
}

// refused deals with a record that the routing or a column refuses; other errors end the
// verification, and nil is none.
func (s *expectation) refused(fates *verify.Fates, part connect.TopicPartition, r *connect.Record, err error) error {
	if _, ok := errors.AsType[*connect.DataError](err); !ok {
		return err
	}
	return s.blame(fates, part, r, err)
}

// blame counts a refused record. Where errors are not tolerated no offset above it could
// have been stored: then it is the verification that reads it in another way.
func (s *expectation) blame(fates *verify.Fates, part connect.TopicPartition, r *connect.Record, err error) error {
	at := fmt.Sprintf("%s@%d: %v", part, r.Offset, err)
	if !strings.EqualFold(strings.TrimSpace(s.Config["errors.tolerance"]), "all") {
		return &verify.CannotError{Reason: "a record below the stored offset is refused, which ends a task unless errors.tolerance=all: " + at + " (is this the configuration that wrote the table, with the worker's own converters?)"}
	}
	fates.Refused++
	if s.refusal == "" {
		s.refusal = at
	}
	return nil
}

// expectedRows gathers rows of one schema.
type expectedRows struct {
	schema  *iceberg.Schema
	options columns.Options
	columns *columns.Columns
	plans   map[*connect.Schema]*columns.Plan
	batch   verify.Batch
}

func newExpectedRows(schema *iceberg.Schema, options columns.Options) (*expectedRows, error) {
	c, err := columns.New(schema)
	if err != nil {
		return nil, err
	}
	return &expectedRows{schema: schema, options: options, columns: c, plans: make(map[*connect.Schema]*columns.Plan)}, nil
}

// plansKept bounds the plans of an expectation.
const plansKept = 256

func (e *expectedRows) add(r *connect.Record, op verify.Op) error {
	plan := e.plans[r.ValueSchema]
	if plan == nil {
		var err error
		if plan, err = columns.Compile(r.ValueSchema, e.schema, e.options); err != nil {
			return err
		}
		if len(e.plans) == plansKept {
			clear(e.plans)
		}
		e.plans[r.ValueSchema] = plan
	}
	if err := plan.Append(e.columns, r.Value); err != nil {
		return err
	}
	e.batch.Op = op
	e.batch.Offsets = append(e.batch.Offsets, r.Offset)
	return nil
}

// flush hands the rows over and drops them.
func (e *expectedRows) flush(rows func(*verify.Batch) error) error {
	if len(e.batch.Offsets) == 0 {
		return nil
	}
	e.batch.Rows = e.columns.Batch()
	err := rows(&e.batch)
	e.batch.Rows.Release()
	e.columns.Reset()
	e.batch.Offsets = e.batch.Offsets[:0]
	return err
}
