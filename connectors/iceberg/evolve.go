package iceberg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// Schema evolution. A record that the table's columns cannot take as they are is compared
// with the schema as a whole (columns.Evolve); if a change would help, the record waits
// while the change is made beside the task, and comes again. Records that fit cost
// nothing: the open writer refuses those that do not.
//
// The catalog decides between tasks that ask for a change at the same time. Each commits
// on condition that the schema is still the one it knows; the first one owns the change,
// and the others, reading the schema again, find that nothing is left to do. So no
// election has to work, and a change that is lost, repeated or late does no harm. A
// random pause keeps most tasks from trying at all. Commits of a schema alone do not move
// the branch head, so they do not disturb the pins of the coordinator.
//
// Files of the old schema stay valid. They are closed, as a unit of their own, when the
// first record needs the new one: a unit has one schema for each table.

// evolveSpread is how long a task waits at most before it changes a table: the tasks of a
// connector tend to meet a new field at the same time.
const evolveSpread = 200 * time.Millisecond

// columnOptions are those for tables that are yet to be created.
func (c *config) columnOptions() columns.Options {
	format, err := strconv.Atoi(c.createProps[table.PropertyFormatVersion])
	if err != nil {
		format = 2
	}
	return columns.Options{CaseInsensitive: c.anyCase, Evolve: c.evolve, ForceOptional: c.optional, FormatVersion: format, JavaTypes: c.javaTypes}
}

// columnOptions say how record fields find the columns of d.
func (t *Task) columnOptions(d *destination) columns.Options {
	o := t.cfg.columnOptions()
	o.NameMapping, o.FormatVersion = d.table.NameMapping(), d.table.Metadata().Version()
	if t.cfg.keyed() {
		if ids, err := t.cfg.keyOf(d.target.Table, d.table.Schema()); err == nil {
			o.Key = ids
		}
	}
	return o
}

// fit makes sure that a table can take a record that its open files have refused, or
// might. It may close files of an older schema, which it reports. A [connect.RetryError]
// means that the table is being changed; a [connect.DataError] that no change helps.
func (t *Task) fit(ctx context.Context, d *destination, tp connect.TopicPartition, r *connect.Record) (renewed bool, err error) {
	if renewed, err = t.renew(ctx, d, tp, r); err != nil {
		return renewed, err
	}
	schema := d.table.Schema()
	changes, err := columns.Evolve(r.ValueSchema, &r.Value, schema, t.columnOptions(d))
	if err != nil || len(changes) == 0 {
		return renewed, err
	}
	wanted := make([]string, len(changes))
	for i, c := range changes {
		wanted[i] = c.String()
	}
	e := &evolution{uuid: d.table.Metadata().TableUUID(), changes: changes, text: strings.Join(wanted, ", ")}
	if d.refused != nil && d.refused.text == e.text {
		return renewed, &connect.DataError{Msg: fmt.Sprintf("the record needs a change (%s): %v", e.text, d.refused.err), Hint: "change the table, or the record"}
	}
	if err := t.load(d, nil, e); err != nil {
		return renewed, err
	}
	if d.trouble != nil {
		return renewed, &tableError{d, fmt.Errorf("table %s cannot be changed yet: %w", d.target.Table, d.trouble)}
	}
	return renewed, &connect.RetryError{Err: fmt.Errorf("table %s is being changed: %s", d.target.Table, e.text)}
}

// renew closes open files of an older schema than the table has now. Offsets below the
// record's belong to them.
func (t *Task) renew(ctx context.Context, d *destination, tp connect.TopicPartition, r *connect.Record) (bool, error) {
	if d.writer == nil || d.schema.ID == d.table.Schema().ID {
		return false, nil
	}
	t.chain.Advance(tp, r.Offset)
	if err := t.flush(ctx, [16]byte{}); err != nil {
		return false, err
	}
	d.writer, d.keyed = nil, nil // if nothing was in it, it was not sealed
	return true, nil
}

// writeEvolving writes a record that was refused because of refusal, if the table can be
// made to take it.
func (t *Task) writeEvolving(ctx context.Context, d *destination, tp connect.TopicPartition, r *connect.Record, refusal error) error {
	renewed, err := t.fit(ctx, d, tp, r)
	switch {
	case err != nil:
		return err
	case renewed:
		return t.write(d, r)
	}
	return refusal
}

// fitAll does it for every table of a record before any is written: what a record has in
// one table would be there twice when it comes again.
func (t *Task) fitAll(ctx context.Context, tp connect.TopicPartition, r *connect.Record) error {
	for _, d := range t.into {
		if r.Offset < d.floor {
			continue
		}
		if d.writer == nil {
			if err := t.openWriter(d); err != nil {
				return err
			}
		}
		if d.writer.Fits(r.ValueSchema, r.Value) {
			continue
		}
		_, err := t.fit(ctx, d, tp, r)
		if _, bad := errors.AsType[*connect.DataError](err); err != nil && !bad {
			return err // what is wrong with the record is found again when it is written
		}
	}
	return nil
}

// An evolution is a change of a table that a record asked for.
type evolution struct {
	uuid    [16]byte // of the table
	changes []columns.Change
	text    string // what changes
	err     error  // why the catalog refused it
}

// apply makes the change beside the task.
func (e *evolution) apply(ctx context.Context, t *Task, d *destination) (*table.Table, error) {
	timer := time.NewTimer(rand.N(evolveSpread))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	changed := false
	tbl, err := catalog.EvolveSchema(ctx, t.catalog, d.target.Identifier(), func(now *table.Table) (*iceberg.Schema, iceberg.NameMapping, error) {
		changed = false
		if now.Metadata().TableUUID() != e.uuid {
			return nil, nil, nil // made anew: its columns are others
		}
		schema, mapping, err := columns.Apply(now.Schema(), now.Metadata().LastColumnID(), now.NameMapping(), e.changes)
		changed = schema != nil
		return schema, mapping, err
	})
	switch {
	case err != nil:
		t.tc.Logger().Warn("table schema cannot be changed", "table", d.target.Table, "change", e.text, "error", err)
	case changed:
		t.tc.Logger().Info("changed table schema", "table", d.target.Table, "change", e.text)
	}
	return tbl, err
}
