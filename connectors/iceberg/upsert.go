package iceberg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
	"github.com/firn-io/firn/connectors/iceberg/route"
)

// A changes says what records do to the rows of their keys. It belongs to one goroutine.
type changes struct {
	field  *route.Path // of the operation; nil: there is none, and all rows replace
	upsert bool        // inserts replace too
}

func (c *config) changes() changes {
	if c.cdcField == "" {
		return changes{upsert: c.upsert}
	}
	return changes{field: route.NewPath(keyCDCField, c.cdcField), upsert: c.upsert}
}

// of is what a record does to the row of its key. As with Tabular the text in the
// cdc-field counts by its first letter: U updates, D deletes, anything else, or nothing,
// inserts. With upsert mode beside it inserts replace as well: "treat all appends as upserts".
func (c *changes) of(r *connect.Record) (datafile.Change, error) {
	if c.field == nil {
		return datafile.Upsert, nil
	}
	op, _, err := c.field.Find(r.ValueSchema, r.Value)
	if err != nil {
		return 0, err
	}
	switch op.Kind() { //nolint:exhaustive // no text of the others begins with U or D
	case connect.String:
		switch text := strings.TrimLeftFunc(op.Text(), func(c rune) bool { return c <= ' ' }); {
		case text == "":
		case text[0] == 'U' || text[0] == 'u':
			return datafile.Upsert, nil
		case text[0] == 'D' || text[0] == 'd':
			return datafile.Delete, nil
		}
	}
	if c.upsert {
		return datafile.Upsert, nil
	}
	return datafile.Insert, nil
}

// keyOf gives the field ids of the table's key: its id-columns, or, if the config names
// none, the identifier fields of its schema.
func (c *config) keyOf(name string, schema *iceberg.Schema) ([]int, error) {
	columns := c.idColumns(name)
	if len(columns) == 0 {
		if len(schema.IdentifierFieldIDs) == 0 {
			return nil, fmt.Errorf("table %s: rows cannot be replaced without a key (set iceberg.table.%s.id-columns or iceberg.tables.default-id-columns, or the table's identifier fields)", name, name)
		}
		return schema.IdentifierFieldIDs, c.checkTypes(name, schema, schema.IdentifierFieldIDs)
	}
	var ids []int
	for _, col := range columns {
		f, ok := schema.FindFieldByName(col)
		if !ok && c.anyCase {
			f, ok = schema.FindFieldByNameCaseInsensitive(col)
		}
		if !ok {
			return nil, fmt.Errorf("table %s: id column %q does not exist (correct id-columns, or add the column)", name, col)
		}
		if !slices.Contains(ids, f.ID) {
			ids = append(ids, f.ID)
		}
	}
	return ids, c.checkTypes(name, schema, ids)
}

// checkTypes is for keys that delete files are written for.
func (c *config) checkTypes(name string, schema *iceberg.Schema, key []int) error {
	if !c.keyed() {
		return nil
	}
	if err := datafile.CheckKey(schema, key); err != nil {
		return fmt.Errorf("table %s: %w (choose other id-columns)", name, err)
	}
	return nil
}

// deleteSpec is the partition spec under which deletes of a key reach all its rows. That
// of the data does if the key determines the partition and no other spec ever was; else a
// row may lie in any partition, and only a spec without partitions reaches those. It is
// nil if the table has none yet.
func deleteSpec(meta table.Metadata, key []int) *iceberg.PartitionSpec {
	specs, current := meta.PartitionSpecs(), meta.PartitionSpec()
	if len(specs) == 1 && determines(key, current) {
		return &current
	}
	for i := range specs {
		if specs[i].IsUnpartitioned() {
			return &specs[i]
		}
	}
	return nil
}

// determines tells whether rows of one key are all in one partition.
func determines(key []int, spec iceberg.PartitionSpec) bool {
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); !void && !slices.Contains(key, f.SourceID()) {
			return false
		}
	}
	return true
}

// withDeleteSpec returns the table with a spec for its deletes, adding one if it has none.
// The default spec, by which rows are divided, stays.
func (t *Task) withDeleteSpec(ctx context.Context, target commit.Target, tbl *table.Table) (*table.Table, error) {
	if !t.cfg.keyed() {
		return tbl, nil
	}
	key, err := t.cfg.keyOf(target.Table, tbl.Schema())
	if err != nil || deleteSpec(tbl.Metadata(), key) != nil {
		return tbl, nil //nolint:nilerr // said when the files are opened, where it ends the task
	}
	uuid := table.AssertTableUUID(tbl.Metadata().TableUUID())
	add := table.NewAddPartitionSpecUpdate(iceberg.UnpartitionedSpec, false)
	_, _, failed := t.catalog.CommitTable(ctx, target.Identifier(), []table.Requirement{uuid}, []table.Update{add})
	after, err := t.catalog.LoadTable(ctx, target.Identifier())
	if err != nil {
		return nil, err
	}
	if failed != nil && deleteSpec(after.Metadata(), key) == nil {
		return nil, fmt.Errorf("add an unpartitioned spec, for deletes of rows that move between partitions: %w", failed)
	}
	return after, nil
}

// openKeyed begins the files of a table with a key.
func (t *Task) openKeyed(d *destination, cfg datafile.Config) error {
	key, err := t.cfg.keyOf(d.target.Table, d.schema)
	if err != nil {
		return err
	}
	spec := deleteSpec(d.table.Metadata(), key)
	if spec == nil {
		return fmt.Errorf("table %s: no partition spec for deletes (it is added when the table is loaded)", d.target.Table)
	}
	w, err := datafile.NewKeyedWriter(datafile.KeyedConfig{Config: cfg, Key: key, DeleteSpec: *spec})
	if err != nil {
		return fmt.Errorf("table %s: %w", d.target.Table, err)
	}
	d.keyed, d.writer, d.deletes = w, w.Data(), *spec
	return nil
}

// apply adds what the record does to its key's row to the open files.
func (t *Task) apply(d *destination, r *connect.Record) error {
	c, err := t.changes.of(r)
	if err != nil {
		return err
	}
	return d.keyed.Apply(c, r.ValueSchema, r.Value)
}

// makeRoom is called after every batch. Rows with keys wait in memory for their seal; when
// they fill it, those of the largest table go into its files early, or the unit ends before
// the next commit asks for it.
func (t *Task) makeRoom(ctx context.Context) error {
	if !t.cfg.keyed() {
		return nil
	}
	for {
		var largest *datafile.KeyedWriter
		for _, d := range t.tables {
			if d.keyed != nil && d.keyed.Crowded() && (largest == nil || d.keyed.Held() > largest.Held()) {
				largest = d.keyed
			}
		}
		if largest == nil {
			return nil
		}
		if !largest.Spill() {
			return t.flush(ctx, [16]byte{})
		}
	}
}

// sealFirst writes a record whose key has a row in the open files: it ends their unit
// before the record.
func (t *Task) sealFirst(ctx context.Context, d *destination, tp connect.TopicPartition, r *connect.Record) error {
	t.chain.Advance(tp, r.Offset)
	if err := t.flush(ctx, [16]byte{}); err != nil {
		return err
	}
	return t.write(d, r)
}

// sealSpilt does so ahead of a record that goes to several tables. One of them might ask
// for it when another has the record already, in a unit that ends before it.
func (t *Task) sealSpilt(ctx context.Context, tp connect.TopicPartition, r *connect.Record) error {
	for _, d := range t.into {
		if d.keyed != nil && d.keyed.Spilt() {
			t.chain.Advance(tp, r.Offset)
			return t.flush(ctx, [16]byte{})
		}
	}
	return nil
}
