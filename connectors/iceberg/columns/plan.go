package columns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// Options say how record fields find their columns.
type Options struct {
	// CaseInsensitive ignores the case of names (iceberg.tables.schema-case-insensitive).
	CaseInsensitive bool

	// NameMapping, from the table property schema.name-mapping.default, gives the only
	// names of the columns it lists, and columns it does not list have none; with it
	// the case of names counts. Nil: columns go by their own names.
	NameMapping iceberg.NameMapping

	// Evolve refuses records that have fields without a column (with a value that tells of
	// a type), or schemas that Evolve would change the table for, instead of leaving the
	// fields out: the caller is to change the table (iceberg.tables.evolve-schema-enabled).
	Evolve bool

	// Key are the ids of columns that stay required in any case, besides the identifier
	// fields of the schema.
	Key []int

	// ForceOptional makes everything inside new columns optional
	// (iceberg.tables.schema-force-optional).
	ForceOptional bool

	// FormatVersion of the table decides which types new columns may have.
	FormatVersion int

	// JavaTypes gives new columns the types that the Java sink would give them: numbers and
	// texts for Debezium's and Avro's times and UUIDs (iceberg.tables.java-types-enabled).
	JavaTypes bool
}

// folds tells whether the case of names is ignored.
func (o Options) folds() bool { return o.CaseInsensitive && o.NameMapping == nil }

// A Plan appends records of one schema to Columns of one table schema.
type Plan struct {
	root    *structPlan
	evolve  bool // see Options
	dropped int64
	scratch scratch
}

// Compile makes the plan for records of a Connect schema, or for schemaless records
// (maps) if record is nil. It fails when the table has columns that this build
// cannot write or that the options cannot tell apart. What only a value can show (a
// text in a number column may be a number) is left to Append.
func Compile(record *connect.Schema, table *iceberg.Schema, opts Options) (*Plan, error) {
	for _, f := range table.Fields() {
		if err := supported(f.Name, f.Type); err != nil {
			return nil, err
		}
	}
	if opts.Evolve && record != nil {
		changes, err := Evolve(record, nil, table, opts)
		if err != nil {
			return nil, err
		}
		if len(changes) > 0 {
			return nil, &connect.DataError{Msg: "the table lacks what the record's schema needs: " + changes[0].String(), Hint: "change the table"}
		}
	}
	p := &Plan{evolve: opts.Evolve}
	c := compiler{plan: p, fold: opts.folds()}
	var err error
	p.root, err = c.structOf("", record, table.Fields(), opts.NameMapping, opts.NameMapping != nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Append adds one record, a struct of the plan's schema or a map, to columns of the
// plan's table schema. Record fields without a column are dropped and counted;
// columns without a field get null. A value that its column cannot hold, and a null
// for a required column, is a [connect.DataError] that names the column; the columns
// are then as before. With Options.Evolve, so is a field without a column.
//
// Conversions follow the target type as in the Java sink. Where Java stores another
// number than the record has, Append refuses: integers and dates that wrap, NaN and
// infinity as a number without them, floats that overflow, decimals above the
// precision, fixed values of the wrong length. A whole double above 2^63 keeps its
// value in a decimal, where Java stores 2^63-1. Fractions finer than a microsecond
// are cut, as in Java's files.
func (p *Plan) Append(dst *Columns, v connect.Value) error {
	n, dropped := dst.rows, p.dropped
	if k := v.Kind(); k != connect.Struct && k != connect.Map {
		return &connect.DataError{Msg: "cannot convert a value that is " + k.String() + " to a table row", Hint: "the sink takes structs and maps: set value.converter, or use a transformation"}
	}
	if err := p.root.append(dst.vecs, v); err != nil {
		dst.truncate(n)
		p.dropped = dropped
		return err
	}
	dst.rows++
	return nil
}

// Fits tells whether Append would take a record. dst is as before.
func (p *Plan) Fits(dst *Columns, v connect.Value) bool {
	n, dropped := dst.rows, p.dropped
	if p.Append(dst, v) != nil {
		return false
	}
	dst.truncate(n)
	p.dropped = dropped
	return true
}

// Dropped counts the record fields, of records that were appended, for which the
// table has no column.
func (p *Plan) Dropped() int64 { return p.dropped }

// A structPlan distributes the fields of a struct or the entries of a map.
type structPlan struct {
	plan   *Plan
	path   string
	fields []*field

	// For structs: the record's field of each column, -1 for none.
	record  *connect.Schema
	from    []int
	dropped int64 // fields without a column

	// For maps: records usually have their keys in the same order, so a slot remembers
	// which key it saw last and predicts it. entries are those of this record.
	names   names
	slots   []slot
	whole   bool    // the slots are the keys of a map that had one value for each column
	entries []entry // by column
	round   uint64
}

// An entry is the value of a column, if it was set in the round at hand.
type entry struct {
	value *connect.Value
	round uint64
}

// absent is what a column without a field gets: null.
var absent connect.Value // read only

// A slot is the n-th key of the last map.
type slot struct {
	key []byte
	col int32 // -1: no column
}

// is tells whether key is the slot's. An empty key is no slot's: Text is empty for other
// kinds too.
func (sl *slot) is(key *connect.Value) bool {
	return string(sl.key) == key.Text() && len(sl.key) > 0
}

// maxSlots and maxSlotKey bound what a hostile map can make a plan remember.
const (
	maxSlots   = 4096
	maxSlotKey = 256
)

func (s *structPlan) append(vecs []*vector, v connect.Value) error {
	switch v.Kind() { //nolint:exhaustive // the rest is refused below
	case connect.Struct:
		return s.appendStruct(vecs, v.Fields())
	case connect.Map:
		return s.appendMap(vecs, v.Pairs())
	}
	return s.mismatch(v)
}

func (s *structPlan) mismatch(v connect.Value) error {
	return &connect.DataError{Msg: fmt.Sprintf("column %q: cannot convert %s to struct", s.path, v.Kind())}
}

func (s *structPlan) appendStruct(vecs []*vector, vals []connect.Value) error {
	if s.record == nil || len(vals) != len(s.record.Fields) {
		return &connect.DataError{Msg: fmt.Sprintf("column %q: a struct of %d fields does not match the record's schema", s.path, len(vals))}
	}
	for i, f := range s.fields {
		v := &absent
		if at := s.from[i]; at >= 0 {
			v = &vals[at]
		}
		if f.quick(vecs[i], v) {
			continue
		}
		if err := f.append(vecs[i], *v); err != nil {
			return err
		}
	}
	s.plan.dropped += s.dropped
	return nil
}

func (s *structPlan) appendMap(vecs []*vector, pairs []connect.Value) error {
	if s.whole && s.predicted(pairs) {
		return s.appendPredicted(vecs, pairs)
	}
	s.round++
	s.whole = false // the slots change
	var dropped, absents int64
	for i := 0; i+1 < len(pairs); i += 2 {
		col := s.column(i/2, &pairs[i])
		if col < 0 {
			if s.plan.evolve && pairs[i].Kind() == connect.String && tells(&pairs[i+1], 0) {
				return &connect.DataError{Msg: fmt.Sprintf("field %q: the table has no column for it", join(s.path, pairs[i].Text())), Hint: "add the column"}
			}
			dropped++
			continue
		}
		s.entries[col] = entry{&pairs[i+1], s.round} // the last of equal keys wins, as in Java's map
	}
	for i, f := range s.fields {
		v := &absent
		if e := &s.entries[i]; e.round == s.round {
			v = e.value
		} else {
			absents++
		}
		if f.quick(vecs[i], v) {
			continue
		}
		if err := f.append(vecs[i], *v); err != nil {
			return err
		}
	}
	s.plan.dropped += dropped
	s.whole = dropped == 0 && absents == 0 && s.predicted(pairs)
	return nil
}

// predicted tells whether the keys of a map are those of the slots.
func (s *structPlan) predicted(pairs []connect.Value) bool {
	if len(pairs) != 2*len(s.slots) {
		return false
	}
	for n := range s.slots {
		if !s.slots[n].is(&pairs[2*n]) {
			return false
		}
	}
	return true
}

// appendPredicted appends a map that has one value for each column, in the slots' order.
func (s *structPlan) appendPredicted(vecs []*vector, pairs []connect.Value) error {
	for n := range s.slots {
		col, v := s.slots[n].col, &pairs[2*n+1]
		if s.fields[col].quick(vecs[col], v) {
			continue
		}
		if err := s.fields[col].append(vecs[col], *v); err != nil {
			return err
		}
	}
	return nil
}

// column finds the column of the n-th key of a map, -1 if it has none.
func (s *structPlan) column(n int, key *connect.Value) int32 {
	if n < len(s.slots) && s.slots[n].is(key) {
		return s.slots[n].col
	}
	if key.Kind() != connect.String {
		return -1
	}
	text := key.Text()
	col, ok := s.names.lookup(text)
	if !ok {
		col = -1
	}
	if n < maxSlots && len(text) <= maxSlotKey {
		for len(s.slots) <= n {
			s.slots = append(s.slots, slot{col: -1})
		}
		sl := &s.slots[n]
		sl.key, sl.col = append(sl.key[:0], text...), col
	}
	return col
}

// names find the columns of one struct level.
type names struct {
	cols       map[string]int32
	ignoreCase bool
}

func (n names) fold(name string) string {
	if n.ignoreCase {
		return strings.ToLower(name)
	}
	return name
}

func (n names) lookup(name string) (int32, bool) {
	col, ok := n.cols[n.fold(name)]
	return col, ok
}

// A compiler builds the tree of a plan.
type compiler struct {
	plan *Plan
	fold bool
}

// structOf plans the columns of one struct level. mapped says that a name mapping
// rules; mapping is its part for this level.
func (c compiler) structOf(path string, record *connect.Schema, cols []iceberg.NestedField, mapping iceberg.NameMapping, mapped bool) (*structPlan, error) {
	names, inner, err := c.namesOf(path, cols, mapping, mapped)
	if err != nil {
		return nil, err
	}
	s := &structPlan{plan: c.plan, path: path, record: record, names: names, from: make([]int, len(cols)), entries: make([]entry, len(cols))}
	if record != nil && record.Type != connect.StructType {
		s.record = nil
	}
	schemas := s.match(len(cols))
	for i, col := range cols {
		f, err := c.fieldOf(join(path, col.Name), schemas[i], col.Type, col.Required, inner[i], mapped)
		if err != nil {
			return nil, err
		}
		s.fields = append(s.fields, f)
	}
	return s, nil
}

// namesOf gives the names of the columns of one struct level, and the part of the mapping
// inside each.
func (c compiler) namesOf(path string, cols []iceberg.NestedField, mapping iceberg.NameMapping, mapped bool) (names, []iceberg.NameMapping, error) {
	n := names{cols: make(map[string]int32, len(cols)), ignoreCase: c.fold}
	inner := make([]iceberg.NameMapping, len(cols))
	for i, col := range cols {
		known := []string{col.Name}
		if mapped {
			known = nil
			for _, m := range mapping {
				if m.FieldID != nil && *m.FieldID == col.ID {
					known, inner[i] = m.Names, m.Fields
				}
			}
		}
		for _, name := range known {
			name = n.fold(name)
			if other, taken := n.cols[name]; taken && int(other) != i {
				return n, nil, fmt.Errorf("columns %q and %q go by the same name: rename one, or set iceberg.tables.schema-case-insensitive to false",
					join(path, cols[other].Name), join(path, col.Name))
			}
			n.cols[name] = int32(i)
		}
	}
	return n, inner, nil
}

// match finds the record field of each column, and returns its schema.
func (s *structPlan) match(cols int) []*connect.Schema {
	for i := range s.from {
		s.from[i] = -1
	}
	schemas := make([]*connect.Schema, cols)
	if s.record == nil {
		return schemas
	}
	for at, f := range s.record.Fields {
		col, ok := s.names.lookup(f.Name)
		if !ok {
			s.dropped++
			continue
		}
		s.from[col], schemas[col] = at, f.Schema // of several the last counts, as in Java
	}
	return schemas
}

// fieldOf plans one column or one part of a nested column.
func (c compiler) fieldOf(path string, record *connect.Schema, t iceberg.Type, required bool, mapping iceberg.NameMapping, mapped bool) (*field, error) {
	f := &field{path: path, typ: t, required: required, schema: record, scratch: &c.plan.scratch}
	if err := f.readSource(); err != nil {
		return nil, err
	}
	switch {
	case f.from.source == plain || f.from.source == timestampSource && f.from.unit == milli:
		f.toMicro = milli / micro
	case f.from.source == timestampSource && f.from.unit == micro:
		f.toMicro = 1
	}
	var err error
	switch t := t.(type) {
	case *iceberg.StructType:
		f.to = toStruct
		f.sub, err = c.structOf(path, record, t.FieldList, mapping, mapped)
	case *iceberg.ListType:
		f.to = toList
		f.elem, err = c.fieldOf(path+".element", elemOf(record), t.Element, t.ElementRequired, partOf(mapping, "element"), mapped)
	case *iceberg.MapType:
		f.to = toMap
		if f.key, err = c.fieldOf(path+".key", keyOf(record), t.KeyType, true, partOf(mapping, "key"), mapped); err != nil {
			return nil, err
		}
		f.elem, err = c.fieldOf(path+".value", elemOf(record), t.ValueType, t.ValueRequired, partOf(mapping, "value"), mapped)
	default:
		f.setTarget(t)
	}
	return f, err
}

// partOf is the mapping under a list's element or a map's key or value.
func partOf(mapping iceberg.NameMapping, name string) iceberg.NameMapping {
	for _, m := range mapping {
		if slices.Contains(m.Names, name) {
			return m.Fields
		}
	}
	return nil
}

func elemOf(s *connect.Schema) *connect.Schema {
	if s == nil {
		return nil
	}
	return s.Elem
}

func keyOf(s *connect.Schema) *connect.Schema {
	if s == nil {
		return nil
	}
	return s.Key
}
