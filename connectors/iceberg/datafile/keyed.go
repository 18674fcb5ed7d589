package datafile

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A Change is what a record does to the row of its key.
type Change uint8

// Changes, as Tabular's sink applies them.
const (
	Insert Change = iota // a row whose key the table does not have: nothing is deleted
	Upsert               // a row in place of the key's rows
	Delete               // the key's rows go
)

// A KeyedConfig is that of a table whose rows have a key.
type KeyedConfig struct {
	Config

	// Key are the field ids of the key's columns: primitive, no floats, in no list or map.
	Key []int

	// DeleteSpec is the partition spec of delete files: that of the data if the key's
	// columns determine the partition, else one without partitions, whose deletes are
	// global. A row that moves between partitions is found only by those.
	DeleteSpec iceberg.PartitionSpec
}

// A KeyedWriter writes what records make of the rows of their keys: data files with the
// last row of each key, and equality delete files with each key whose older rows must go.
//
// A row once encoded cannot be taken back, short of position deletes, which readers of v3
// tables want as deletion vectors. So rows stay in memory until the Seal, as columns with
// an index of their keys, and what a later record replaces is never written. All of it
// counts in the Budget. When it is [KeyedWriter.Crowded], a [KeyedWriter.Spill] encodes the
// rows and keeps only hashes of their keys: as long as no such key comes again, as in the
// first load of a table, the unit goes on. Otherwise [ErrSealFirst] asks for its end.
//
// A KeyedWriter belongs to one goroutine, as its Writers do.
type KeyedWriter struct {
	data    *Writer
	deletes *Writer

	rows  *columns.Columns    // since the last Seal, replaced ones among them
	owner []int32             // of each row: the entry of its key, noRow once it was replaced
	dead  int                 // rows without an owner
	gone  *columns.Projection // the keys to delete
	index *keyIndex
	spilt hashSet   // of keys whose rows are in the open files
	key   []keyPart // of rows
	lost  []keyPart // of gone
	buf   []byte
	taken int   // records since the last Seal
	held  int64 // what the budget knows
}

// maxKeyedBytes bounds the rows of a KeyedWriter whatever the budget: their texts are
// addressed by 31 bits.
const maxKeyedBytes = 512 << 20

// A keyPart is one column of the key.
type keyPart struct {
	leaf   columns.Leaf
	append keyFunc
}

// NewKeyedWriter makes a KeyedWriter. It does no I/O. Beyond what [NewWriter] refuses, it
// refuses tables of format version 1 and columns that no key can have, naming them.
func NewKeyedWriter(cfg KeyedConfig) (*KeyedWriter, error) {
	if cfg.FormatVersion < 2 {
		return nil, errors.New("its format version is 1, which has no row-level deletes: upgrade the table (format-version=2)")
	}
	if err := CheckKey(cfg.Schema, cfg.Key); err != nil {
		return nil, err
	}
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(DefaultBudgetBytes, nil)
	}
	w := &KeyedWriter{index: newKeyIndex()}
	var err error
	if w.data, err = NewWriter(cfg.Config); err != nil {
		return nil, err
	}
	w.rows = w.data.stage.Fresh()
	if w.gone, err = columns.Project(w.rows, cfg.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	del := cfg.Config
	del.Schema, del.Spec, del.Equality = w.gone.Schema(), cfg.DeleteSpec, cfg.Key
	del.Columns.Evolve = false // the record's other fields have their columns elsewhere
	if w.deletes, err = NewWriter(del); err != nil {
		return nil, err
	}
	w.key, w.lost = keyParts(cfg.Schema, cfg.Key, w.rows), keyParts(cfg.Schema, cfg.Key, w.gone.Columns())
	return w, nil
}

func keyParts(schema *iceberg.Schema, ids []int, c *columns.Columns) []keyPart {
	var parts []keyPart
	for _, id := range ids {
		field, _ := schema.FindFieldByID(id)
		leaf, _ := c.Leaf(id)
		parts = append(parts, keyPart{leaf, identityKey(field.Type)})
	}
	return parts
}

// CheckKey says why the columns with these field ids cannot be the key of a table, if they
// cannot.
func CheckKey(schema *iceberg.Schema, ids []int) error {
	if len(ids) == 0 {
		return errors.New("no columns for a key")
	}
	for _, id := range ids {
		field, ok := columnOf(schema.Fields(), id)
		if !ok {
			return fmt.Errorf("no column has id %d, outside of lists and maps", id)
		}
		_, primitive := field.Type.(iceberg.PrimitiveType)
		switch field.Type.(type) {
		case iceberg.Float32Type, iceberg.Float64Type:
			primitive = false
		}
		if !primitive {
			return fmt.Errorf("column %q is a %s, which no key can have: equality deletes take whole numbers, decimals, times, texts and bytes", field.Name, field.Type.Type())
		}
	}
	return nil
}

// columnOf finds a column at the top or inside structs.
func columnOf(fields []iceberg.NestedField, id int) (iceberg.NestedField, bool) {
	for _, f := range fields {
		if f.ID == id {
			return f, true
		}
		if st, ok := f.Type.(*iceberg.StructType); ok {
			if found, ok := columnOf(st.FieldList, id); ok {
				return found, true
			}
		}
	}
	return iceberg.NestedField{}, false
}

// Data is the writer of the data files: whose failures, schema and counts count.
func (w *KeyedWriter) Data() *Writer { return w.data }

// ErrSealFirst refuses a record whose key has a row in the open files: Seal, then apply it
// again.
var ErrSealFirst = errors.New("the key has a row in files that are not sealed yet")

// Apply takes one record, as [Writer.Append] does. Of a Delete only the key's fields need
// to be there. After [ErrSealFirst] it is as if the record had never come.
func (w *KeyedWriter) Apply(c Change, s *connect.Schema, v connect.Value) error {
	if err := w.Err(); err != nil {
		return err
	}
	var err error
	if c == Delete {
		err = w.remove(s, v)
	} else {
		err = w.put(c, s, v)
	}
	if w.taken++; w.taken%checkRows == 0 {
		w.tidy()
	}
	return err
}

// put makes the record's row the one of its key.
func (w *KeyedWriter) put(c Change, s *connect.Schema, v connect.Value) error {
	plan, err := w.data.planOf(s)
	if err != nil {
		return err
	}
	if err := plan.Append(w.rows, v); err != nil {
		return err
	}
	row := w.rows.Len() - 1
	n, err := w.find(w.key, row)
	if err != nil {
		w.rows.Truncate(row)
		return err
	}
	e := &w.index.entries[n]
	w.disown(e)
	e.row = int32(row)
	w.owner = append(w.owner, n)
	if c == Upsert && !e.deleted {
		e.deleted = true
		w.gone.Append(row)
	}
	return nil
}

// remove takes the row of the record's key away.
func (w *KeyedWriter) remove(s *connect.Schema, v connect.Value) error {
	plan, err := w.deletes.planOf(s)
	if err != nil {
		return err
	}
	gone := w.gone.Columns()
	if err := plan.Append(gone, v); err != nil {
		return err
	}
	last := gone.Len() - 1
	n, err := w.find(w.lost, last)
	if err != nil {
		gone.Truncate(last)
		return err
	}
	e := &w.index.entries[n]
	w.disown(e)
	if e.deleted {
		gone.Truncate(last)
	}
	e.deleted = true
	return nil
}

// disown leaves the entry's row, if it has one, to be dropped.
func (w *KeyedWriter) disown(e *keyEntry) {
	if e.row != noRow {
		w.owner[e.row] = noRow
		w.dead++
		e.row = noRow
	}
}

// find returns the place of the entry for the key of a row.
func (w *KeyedWriter) find(parts []keyPart, row int) (int32, error) {
	w.buf = w.buf[:0]
	for _, p := range parts {
		if p.leaf.Null(row) {
			w.buf = append(w.buf, 0)
			continue
		}
		w.buf = p.append(append(w.buf, 1), p.leaf, row)
	}
	h := w.index.hash(w.buf)
	if w.spilt.has(h) { // or another key has the same hash, which costs a file and no more
		return 0, ErrSealFirst
	}
	return w.index.find(w.buf, h), nil
}

// tidy drops replaced rows once they are the larger part of much memory, and brings the
// budget up to date.
func (w *KeyedWriter) tidy() {
	if 2*w.dead > len(w.owner) && w.rows.Bytes() >= stageBytes {
		w.rows.Keep(w.live())
		owner := w.owner[:0]
		for _, n := range w.owner {
			if n != noRow {
				w.index.entries[n].row = int32(len(owner))
				owner = append(owner, n)
			}
		}
		w.owner, w.dead = owner, 0
	}
	w.account()
}

// live lists the rows that count.
func (w *KeyedWriter) live() []int32 {
	out := make([]int32, 0, len(w.owner)-w.dead)
	for i, n := range w.owner {
		if n != noRow {
			out = append(out, int32(i))
		}
	}
	return out
}

func (w *KeyedWriter) account() {
	held := int64(0)
	if w.taken > 0 {
		held = w.Held() + w.spilt.held()
	}
	w.data.budget.keep(held - w.held)
	w.held = held
}

// Held is the memory of rows that are not encoded, and their keys.
func (w *KeyedWriter) Held() int64 {
	return w.rows.Held() + w.gone.Columns().Held() + w.index.held() + int64(4*cap(w.owner))
}

// Crowded tells that the rows of KeyedWriters fill half of the budget: time to Spill, or to
// Seal.
func (w *KeyedWriter) Crowded() bool { return w.data.budget.crowded() || w.held > maxKeyedBytes }

// Bytes is about the size of the files since the last Seal or Abort, those that the rows in
// memory will make included.
func (w *KeyedWriter) Bytes() int64 {
	const packed = 4 // files are usually smaller than their rows by more than this
	return w.data.Bytes() + w.deletes.Bytes() + w.rows.Bytes()/packed
}

// Err is the failure that ended the writer, if any.
func (w *KeyedWriter) Err() error { return errors.Join(w.data.Err(), w.deletes.Err()) }

// Spill encodes the rows so far. It is false, and nothing is done, when that would not
// free more than half of the memory: then Seal.
func (w *KeyedWriter) Spill() bool {
	if 2*w.Held() <= w.held {
		return false
	}
	w.encode()
	for _, e := range w.index.entries {
		if e.row != noRow {
			w.spilt.add(e.hash)
		}
	}
	w.empty()
	w.account()
	return true
}

// Spilt tells whether a record may be refused with [ErrSealFirst].
func (w *KeyedWriter) Spilt() bool { return w.spilt.n > 0 }

// Seal encodes what is left of the rows, and the keys to delete, and hands both over as
// [Writer.Seal] does. Neither may be announced without the other. The order in which
// readers apply them is that of Iceberg: deletes reach older snapshots only.
func (w *KeyedWriter) Seal() (data, deletes *Pending) {
	w.encode()
	w.forget()
	return w.data.Seal(), w.deletes.Seal()
}

// encode gives the rows that count to the files.
func (w *KeyedWriter) encode() {
	for _, i := range w.live() {
		if w.data.appendRow(w.rows, int(i)) != nil {
			break // the Pending says why
		}
	}
	gone := w.gone.Columns()
	for i := range gone.Len() {
		if w.deletes.appendRow(gone, i) != nil {
			break
		}
	}
}

// Abort drops everything since the last Seal, as [Writer.Abort] does.
func (w *KeyedWriter) Abort() {
	w.forget()
	w.data.Abort()
	w.deletes.Abort()
}

// forget drops the rows in memory and all keys.
func (w *KeyedWriter) forget() {
	w.empty()
	w.spilt, w.taken = hashSet{}, 0
	w.account()
}

// empty drops the rows in memory.
func (w *KeyedWriter) empty() {
	w.rows.Release()
	w.gone.Columns().Release()
	w.index.reset()
	w.owner, w.dead = nil, 0
}

// Drain waits until what Abort has left to the background is done.
func (w *KeyedWriter) Drain(ctx context.Context) error {
	return errors.Join(w.data.Drain(ctx), w.deletes.Drain(ctx))
}

// planOf is the plan of a record schema.
func (w *Writer) planOf(s *connect.Schema) (*columns.Plan, error) {
	if !w.planned || s != w.lastFor {
		if err := w.plan(s); err != nil {
			return nil, err
		}
	}
	return w.last, nil
}

// appendRow is Append of a row that is in columns already.
func (w *Writer) appendRow(src *columns.Columns, i int) error {
	if err := w.Err(); err != nil {
		return err
	}
	w.stage.AppendRow(src, i)
	w.rows++
	if n := w.stage.Len(); n >= stageRows || n%checkRows == 0 && w.stage.Bytes() >= stageBytes {
		return w.flush()
	}
	return nil
}
