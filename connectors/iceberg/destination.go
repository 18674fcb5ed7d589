package iceberg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/columns"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// A destination is one table as this task writes to it. The task's goroutine owns it;
// loads run beside and come back as mail.
type destination struct {
	target commit.Target

	table      *table.Table  // as last loaded; nil before
	read       commit.Floors // at its head
	readAt     int           // the task's clock when that load was begun
	loadedAt   time.Time
	loading    bool
	notNow     time.Time     // after a failed load
	pause      time.Duration // grows with failures
	trouble    error         // of the last load, nil after a good one
	troubledAt time.Time     // of the first of these loads
	unstored   unstored      // while its files cannot be stored
	missing    bool          // the last load found no table: the next creates it
	absent     bool          // the last load found no table, and records for it are dropped
	refused    *evolution    // the last change that the table cannot get

	floors map[connect.TopicPartition]int64 // f of the protocol: what rows of the open ranges are filtered with
	batch  uint64                           // the task's batch for which floor was looked up
	floor  int64                            // of that batch's partition
	writer *datafile.Writer                 // nil until the first row after a seal
	spec   iceberg.PartitionSpec            // of writer
	schema *iceberg.Schema
	uuid   [16]byte
	format int

	keyed   *datafile.KeyedWriter // around writer, if rows have a key; else nil
	deletes iceberg.PartitionSpec // of its delete files
}

// Rhythms of loading tables.
const (
	reloadAfter   = 30 * time.Second // a table in use is looked at again for a new schema or spec
	firstLoadWait = 100 * time.Millisecond
	lastLoadWait  = 10 * time.Second
)

// take writes one record to its tables. A [connect.RetryError] means that a table is
// being loaded; nothing of the record has been written then.
func (t *Task) take(ctx context.Context, tp connect.TopicPartition, r *connect.Record) error {
	if r.Value.IsNull() {
		t.drops.tombstones++
		return nil // a tombstone has no row; the offset moves on
	}
	var absent *destination
	var err error
	if t.idents, err = t.router.Tables(r, t.idents[:0]); err != nil {
		return t.errant(ctx, r, err)
	}
	t.into = t.into[:0]
	for _, ident := range t.idents {
		d := t.lastDest
		if t.lastIdent != &ident[0] {
			d = t.destination(ident)
			t.lastIdent, t.lastDest = &ident[0], d
		}
		if d.batch != t.batch {
			if ready, err := t.meet(ctx, d, tp, r); err != nil || !ready && !d.absent {
				return err
			}
			if d.absent {
				absent = d
				continue
			}
		}
		t.into = append(t.into, d)
	}
	if len(t.idents) == 0 || absent != nil {
		if done, err := t.drop(ctx, tp, r, absent); done || err != nil {
			return err
		}
	}
	if t.cfg.evolve && len(t.into) > 1 {
		if err := t.fitAll(ctx, tp, r); err != nil {
			return err
		}
	}
	if t.cfg.keyed() && len(t.into) > 1 {
		if err := t.sealSpilt(ctx, tp, r); err != nil {
			return err
		}
	}
	for _, d := range t.into {
		if r.Offset < d.floor {
			continue // the table has it
		}
		err := t.write(d, r)
		if errors.Is(err, datafile.ErrSealFirst) {
			err = t.sealFirst(ctx, d, tp, r)
		}
		if _, bad := errors.AsType[*connect.DataError](err); bad && t.cfg.evolve {
			err = t.writeEvolving(ctx, d, tp, r, err)
		}
		if err != nil {
			return t.errant(ctx, r, d.blame(err))
		}
	}
	return nil
}

// errant reports a record that is to blame; other errors end the task.
func (t *Task) errant(ctx context.Context, r *connect.Record, err error) error {
	if _, ok := errors.AsType[*connect.DataError](err); !ok {
		return err
	}
	return t.tc.Errant(ctx, r, err)
}

// blame adds the table to what is wrong with a record, or with the files that it goes to.
func (d *destination) blame(err error) error {
	if e, ok := errors.AsType[*connect.DataError](err); ok {
		return &connect.DataError{Msg: "table " + d.target.Table + ": " + e.Msg, Hint: e.Hint}
	}
	if _, ok := errors.AsType[*datafile.StorageError](err); ok {
		return writing(d.target.Table, err)
	}
	return err
}

// destination finds the state of a table. The router shares its identifiers, so that
// their address finds it without building a name.
func (t *Task) destination(ident table.Identifier) *destination {
	if d, ok := t.byIdent[&ident[0]]; ok {
		return d
	}
	name := strings.Join(ident, ".")
	d, ok := t.tables[name]
	if !ok {
		if len(t.tables) >= t.drops.sweepAt {
			t.sweep()
		}
		d = &destination{target: t.cfg.target(name), floors: make(map[connect.TopicPartition]int64)}
		t.tables[name] = d
	}
	if len(t.byIdent) >= maxIdents {
		clear(t.byIdent)
	}
	t.byIdent[&ident[0]] = d
	return d
}

// maxIdents bounds the addresses remembered.
const maxIdents = 16 << 10

// meet finds the floor for the records of a batch. It is step T2 for the first record of
// a range that routes to d: the floor is what the table says now, and a load begun before
// the range was opened says nothing.
func (t *Task) meet(ctx context.Context, d *destination, tp connect.TopicPartition, r *connect.Record) (ready bool, err error) {
	if err := d.rested(); err != nil {
		return false, err
	}
	f, ok := d.floors[tp]
	if !ok || d.table == nil {
		if d.table == nil || d.readAt < t.opened[tp] {
			if err := t.load(d, r, nil); err != nil {
				return false, t.errant(ctx, r, d.blame(err))
			}
			if d.absent {
				return false, nil
			}
			if d.trouble != nil {
				return false, &tableError{d, fmt.Errorf("table %s cannot be loaded yet: %w", d.target.Table, d.trouble)}
			}
			return false, &connect.RetryError{Err: fmt.Errorf("table %s is being loaded", d.target.Table)}
		}
		f = max(d.read.F(commit.NewSource(t.identity.Group, tp, t.chain.TopicID(tp))), t.chain.Foreseen(tp, d.target))
		d.floors[tp] = f
	}
	d.batch, d.floor = t.batch, f // None lies below every offset
	return true, nil
}

// load begins to load a table beside the task, after a change if there is one to make, or,
// once it is known not to exist, to create it from the record. A [connect.DataError] is the
// record's: no table can be made from it.
func (t *Task) load(d *destination, r *connect.Record, change *evolution) error {
	if d.loading || time.Now().Before(d.notNow) {
		return nil
	}
	var schema *iceberg.Schema
	if d.missing && r != nil {
		var err error
		if schema, err = t.schemaFor(r); err != nil {
			return err
		}
		if _, err := catalog.PartitionSpec(schema, t.cfg.partitions(d.target.Table)); err != nil {
			return fmt.Errorf("create table %s: %w (correct partition-by, or create the table)", d.target.Table, err)
		}
		if err := t.cfg.checkKey(d.target.Table, schema); err != nil {
			return fmt.Errorf("create table from its first record: %w", err)
		}
	}
	d.loading = true
	begun := t.clock
	t.wg.Go(func() {
		tbl, err := t.loadTable(t.life, d, schema, change)
		if err == nil {
			tbl, err = t.withDeleteSpec(t.life, d.target, tbl)
		}
		var floors commit.Floors
		if err == nil {
			floors, err = commit.ReadFloors(tbl, d.target.Branch)
		}
		t.mail.post(func(context.Context) error { return t.loaded(d, begun, tbl, floors, change, err) })
	})
	return nil
}

func (t *Task) schemaFor(r *connect.Record) (*iceberg.Schema, error) {
	var schema *iceberg.Schema
	var err error
	if r.ValueSchema != nil {
		schema, err = columns.SchemaOf(r.ValueSchema, t.cfg.columnOptions())
	} else {
		schema, err = columns.Infer(r.Value)
	}
	if err == nil && schema.NumFields() == 0 {
		err = &connect.DataError{Msg: "no field of the record tells of a column, so no table can be created from it", Hint: "create the table, or let a fuller record come first"}
	}
	return schema, err
}

func (t *Task) loadTable(ctx context.Context, d *destination, schema *iceberg.Schema, change *evolution) (*table.Table, error) {
	switch {
	case change != nil:
		return change.apply(ctx, t, d)
	case schema == nil:
		return t.catalog.LoadTable(ctx, d.target.Identifier())
	}
	return catalog.EnsureTable(ctx, t.catalog, d.target.Identifier(), schema, t.cfg.partitions(d.target.Table), t.cfg.createProps)
}

// loaded takes in the result of a load.
func (t *Task) loaded(d *destination, begun int, tbl *table.Table, floors commit.Floors, change *evolution, err error) error {
	d.loading = false
	switch {
	case err == nil:
		d.table, d.read, d.readAt, d.loadedAt = tbl, floors, begun, time.Now()
		d.notNow, d.pause, d.trouble, d.missing, d.absent, d.refused = time.Time{}, 0, nil, false, false, nil
		return nil
	case errors.Is(err, catalog.ErrRefused):
		change.err = err
		d.refused = change
		return nil
	case errors.Is(err, catalog.ErrNotAllowed):
		return fmt.Errorf("%w (grant the right, or set iceberg.tables.evolve-schema-enabled=false)", err)
	case catalog.Missing(err) && !t.cfg.autoCreate && t.cfg.drops != "" && len(t.router.Static()) == 0:
		d.table, d.absent, d.trouble, d.notNow = nil, true, nil, time.Now().Add(lookAgain)
		return nil
	case catalog.Missing(err) && !t.cfg.autoCreate:
		return fmt.Errorf("table %s does not exist (create it, or set iceberg.tables.auto-create-enabled=true)", d.target.Table)
	case catalog.Missing(err) && !d.missing:
		d.table, d.missing = nil, true // not there yet, or dropped
		return nil
	}
	if d.trouble == nil {
		d.troubledAt = time.Now()
	}
	d.trouble = err
	d.pause = min(max(2*d.pause, firstLoadWait), lastLoadWait)
	d.notNow = time.Now().Add(d.pause)
	t.tc.Logger().Warn("table cannot be loaded; records wait", "table", d.target.Table, "retry_in", d.pause, "error", err)
	return nil
}

// refresh looks for a new schema or partition spec now and then. The floors of open
// ranges stay those that their rows were filtered with.
func (t *Task) refresh(d *destination) {
	if d.table != nil && time.Since(d.loadedAt) > reloadAfter {
		_ = t.load(d, nil, nil) // without a record there is none to blame
	}
}

// write adds the record's row to the open files.
func (t *Task) write(d *destination, r *connect.Record) error {
	if d.writer == nil {
		if err := t.openWriter(d); err != nil {
			return err
		}
	}
	if d.keyed != nil {
		return t.apply(d, r)
	}
	return d.writer.Append(r.ValueSchema, r.Value)
}

func (t *Task) openWriter(d *destination) error {
	files, err := storage.Of(t.life, d.table)
	if err != nil {
		return err
	}
	locations, err := d.table.LocationProvider()
	if err != nil {
		return fmt.Errorf("table %s: %w", d.target.Table, err)
	}
	props := maps.Clone(map[string]string(d.table.Properties()))
	maps.Copy(props, t.cfg.writeProps)
	d.schema, d.spec, d.uuid, d.format = d.table.Schema(), d.table.Spec(), d.table.Metadata().TableUUID(), d.table.Metadata().Version()
	cfg := datafile.Config{
		IO: files, Schema: d.schema, Spec: d.spec, Location: locations.NewDataLocation, Properties: props,
		FormatVersion: d.format, Task: t.tc.Task(), Budget: t.budget, Logger: t.tc.Logger(),
		Columns: t.columnOptions(d),
	}
	if t.cfg.keyed() {
		return t.openKeyed(d, cfg)
	}
	if d.writer, err = datafile.NewWriter(cfg); err != nil {
		d.writer = nil
		return fmt.Errorf("table %s: %w", d.target.Table, err)
	}
	return nil
}

// seal closes the open files into a link of u. The floors of the link's partitions move
// to the end of their ranges: that is where the table will be when the unit has landed.
func (d *destination) seal(u *commit.Unit) (sealedLink, bool) {
	if d.writer == nil {
		return sealedLink{}, false
	}
	l := sealedLink{link: commit.Link{Target: d.target, UUID: d.uuid, Version: d.format, SpecID: d.spec.ID(), Floors: make(map[int]int64)}, spec: d.spec, schema: d.schema}
	if rows, err := d.closeFiles(&l); rows == 0 && err == nil {
		return sealedLink{}, false
	}
	d.writer, d.keyed = nil, nil
	for i, r := range u.Ranges {
		if f, ok := d.floors[r.TopicPartition]; ok && !r.Empty() {
			l.link.Floors[i] = f
			d.floors[r.TopicPartition] = max(f, r.Next)
		}
	}
	return l, true
}

// closeFiles closes the open files into l. It returns how many rows they have, delete
// files included, and the failure that makes them useless.
func (d *destination) closeFiles(l *sealedLink) (rows int64, err error) {
	if d.keyed == nil {
		l.pending = d.writer.Seal()
		return l.pending.Rows(), d.writer.Err()
	}
	l.link.Keyed, l.link.DeleteSpecID, l.deleteSpec = true, d.deletes.ID(), d.deletes
	l.pending, l.deletes = d.keyed.Seal()
	return l.pending.Rows() + l.deletes.Rows(), d.keyed.Err()
}

// A dropped writer has files that are being deleted in the background.
type dropped interface {
	Drain(ctx context.Context) error
}

// drop forgets open files and floors. It returns the writer that had them, nil if there
// was none.
func (d *destination) drop() dropped {
	var w dropped
	switch {
	case d.keyed != nil:
		d.keyed.Abort()
		w = d.keyed
	case d.writer != nil:
		d.writer.Abort()
		w = d.writer
	}
	d.writer, d.keyed = nil, nil
	clear(d.floors)
	return w
}
