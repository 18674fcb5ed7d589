package columns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// A Change is one alteration of a table schema that a record asks for: a new field, a
// wider type, or no longer being required. It names columns by their ids, so that it
// means the same in every later schema of the table.
type Change struct {
	Path string // of the column, for people

	// ID is the column's; of a new field, that of the struct (or of the element, key or
	// value that is one) which gains it, Root for the table.
	ID int

	Add   *iceberg.NestedField // a new field; its ids are provisional
	Widen iceberg.Type         // the wider type
	Relax bool                 // required no more
}

// Root is the ID of a Change that adds a column to the table itself.
const Root = -1

// String says what changes.
func (c Change) String() string {
	switch {
	case c.Add != nil:
		return fmt.Sprintf("add column %q of type %s", c.Path, c.Add.Type)
	case c.Relax:
		return fmt.Sprintf("make column %q optional", c.Path)
	}
	return fmt.Sprintf("widen column %q to %s", c.Path, c.Widen)
}

// Evolve tells how a table schema must change so that a record of schema s (nil for a
// schemaless map) loses nothing: one plan from the whole record, at every level of
// nesting. With a Connect schema the plan serves all records of that schema, and v adds
// what only a value can show (a null where the column is required, a number too large);
// v may be nil. Fields of maps that tell of no type (null, empty) ask for no column.
//
// What it may do: add optional columns; widen int to long, float to double and the
// precision of decimals; make required columns optional, but for identifier fields and Key. The
// plan is tried with v before it is returned: a record that would be refused all the
// same, or that cannot be planned for, gets a [connect.DataError] and must not change
// the table. No changes and no error: the table has all that it takes.
func Evolve(s *connect.Schema, v *connect.Value, table *iceberg.Schema, opts Options) ([]Change, error) {
	e := evolver{
		compiler: compiler{plan: &Plan{}, fold: opts.folds()},
		mapper:   mapper{opts: opts},
		mapped:   opts.NameMapping != nil,
		fixed:    slices.Concat(table.IdentifierFieldIDs, opts.Key),
		planned:  make(map[planKey]int),
	}
	if err := e.level("", Root, table.Fields(), s, v, opts.NameMapping); err != nil {
		return nil, err
	}
	if len(e.changes) == 0 {
		return nil, nil
	}
	next, mapping, err := Apply(table, table.HighestFieldID(), opts.NameMapping, e.changes)
	if err != nil {
		return nil, err
	}
	if n := len(next.FieldIDs()); n > maxColumns {
		return nil, tooMany(n)
	}
	if v == nil {
		return e.changes, nil
	}
	opts.Evolve, opts.NameMapping = false, mapping
	return e.changes, try(s, *v, next, opts)
}

// What a record may make of a table at most. Records whose keys are data would otherwise
// add columns until no engine can read the table.
const (
	maxColumns = 10_000
	maxName    = 1024 // bytes
)

func tooMany(n int) error {
	return &connect.DataError{Msg: fmt.Sprintf("the record would make it %d columns, more than %d", n, maxColumns), Hint: "a map with changing keys belongs in a column of type map, variant or string: create it so"}
}

// try appends a record to columns of a schema that the table does not have yet.
func try(s *connect.Schema, v connect.Value, next *iceberg.Schema, opts Options) error {
	p, err := Compile(s, next, opts)
	if err != nil {
		return &connect.DataError{Msg: err.Error()}
	}
	c, err := New(next)
	if err != nil {
		return &connect.DataError{Msg: err.Error()}
	}
	return p.Append(c, v)
}

// An evolver gathers changes.
type evolver struct {
	compiler

	mapper  mapper
	mapped  bool  // a name mapping rules
	fixed   []int // columns that stay required
	depth   int
	changes []Change
	planned map[planKey]int // where in changes
}

// A planKey finds a change: of a kind, of a column, or of the name of a new field in it.
type planKey struct {
	kind byte // + new, > wider, ? optional
	id   int
	name string
}

// plan adds a change. One with the same key must not be there.
func (e *evolver) plan(k planKey, c Change) {
	e.planned[k] = len(e.changes)
	e.changes = append(e.changes, c)
}

// A member is a field of a record's struct or an entry of its map. Its schema is nil if
// the record has none, its value if only the schema is known.
type member struct {
	name   string
	schema *connect.Schema
	value  *connect.Value
}

// members lists the fields of a struct or a map that goes to a struct column.
func (e *evolver) members(s *connect.Schema, v *connect.Value) []member {
	var out []member
	switch {
	case s != nil && s.Type == connect.StructType:
		var vals []connect.Value
		if v != nil && v.Kind() == connect.Struct && v.Len() == len(s.Fields) {
			vals = v.Fields()
		}
		for i, f := range s.Fields {
			m := member{name: f.Name, schema: f.Schema}
			if vals != nil {
				m.value = &vals[i]
			}
			out = append(out, m)
		}
	case v != nil && v.Kind() == connect.Map:
		at := make(map[string]int)
		pairs := v.Pairs()
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i].Kind() != connect.String {
				continue
			}
			m := member{name: strings.Clone(pairs[i].Text()), schema: elemOf(s), value: &pairs[i+1]}
			if k, seen := at[m.name]; seen {
				out[k] = m // the last of equal keys wins, as in Append
				continue
			}
			at[m.name] = len(out)
			out = append(out, m)
		}
	}
	return out
}

// level compares one struct of the table, whose ID is parent, with one of the record.
func (e *evolver) level(path string, parent int, cols []iceberg.NestedField, s *connect.Schema, v *connect.Value, mapping iceberg.NameMapping) error {
	e.depth++
	defer func() { e.depth-- }()
	known, inner, err := e.namesOf(path, cols, mapping, e.mapped)
	if err != nil {
		return err
	}
	members := e.members(s, v)
	if members == nil && (v == nil || v.Kind() != connect.Map && v.Kind() != connect.Struct) {
		return nil // nothing is known, or the value is no struct at all
	}
	met := make([]bool, len(cols))
	for _, m := range members {
		i, ok := known.lookup(m.name)
		if !ok {
			if err := e.add(path, parent, cols, known, m); err != nil {
				return err
			}
			continue
		}
		met[i] = true
		col := cols[i]
		if err := e.column(join(path, col.Name), col.ID, col.Type, col.Required, m.schema, m.value, inner[i]); err != nil {
			return err
		}
	}
	for i, col := range cols {
		if col.Required && !met[i] {
			e.relax(join(path, col.Name), col.ID)
		}
	}
	return nil
}

// add plans a new field.
func (e *evolver) add(path string, parent int, cols []iceberg.NestedField, known names, m member) error {
	full := join(path, m.name)
	if len(e.changes) >= maxColumns {
		return tooMany(maxColumns + 1)
	}
	if m.name == "" || len(m.name) > maxName {
		return &connect.DataError{Msg: fmt.Sprintf("column %q: a field with a name of %d bytes cannot become a column", path, len(m.name)), Hint: "rename the field"}
	}
	t, err := e.typeOf(full, m)
	if err != nil || t == nil {
		return err
	}
	if e.mapped && slices.ContainsFunc(cols, func(c iceberg.NestedField) bool { return c.Name == m.name }) {
		return &connect.DataError{Msg: fmt.Sprintf("field %q: the table has a column of that name, but its name mapping does not list it", full), Hint: "add the name to the table property schema.name-mapping.default, or rename the field"}
	}
	key := planKey{'+', parent, known.fold(m.name)}
	if at, ok := e.planned[key]; ok {
		c := &e.changes[at]
		if c.Add.Name != m.name {
			return &connect.DataError{Msg: fmt.Sprintf("fields %q and %q of one record differ only in case", c.Path, full), Hint: "rename one, or set iceberg.tables.schema-case-insensitive to false"}
		}
		c.Add.Type = merge(c.Add.Type, t) // of another element of a list
		return nil
	}
	e.plan(key, Change{Path: full, ID: parent, Add: &iceberg.NestedField{Name: m.name, Type: t}})
	return nil
}

// typeOf is the type of a new field, nil if the record tells none.
func (e *evolver) typeOf(path string, m member) (iceberg.Type, error) {
	switch {
	case m.schema != nil:
		return e.mapper.typeOf(path, m.schema, e.depth)
	case m.value != nil:
		return e.mapper.infer(*m.value, e.depth)
	}
	return nil, nil
}

// column compares one column, or one part of a nested column, with its field.
func (e *evolver) column(path string, id int, t iceberg.Type, required bool, s *connect.Schema, v *connect.Value, mapping iceberg.NameMapping) error {
	null := v != nil && v.IsNull()
	if required && (null || s != nil && s.Optional) {
		e.relax(path, id)
	}
	if null {
		v = nil
	}
	switch t := t.(type) {
	case *iceberg.StructType:
		return e.level(path, id, t.FieldList, s, v, mapping)
	case *iceberg.ListType:
		return e.parts(elemOf(s), v, connect.Array, func(s *connect.Schema, v *connect.Value) error {
			return e.column(path+".element", t.ElementID, t.Element, t.ElementRequired, s, v, partOf(mapping, "element"))
		})
	case *iceberg.MapType: // its keys may not change
		return e.parts(elemOf(s), v, connect.Map, func(s *connect.Schema, v *connect.Value) error {
			return e.column(path+".value", t.ValueID, t.ValueType, t.ValueRequired, s, v, partOf(mapping, "value"))
		})
	}
	e.widen(path, id, t, s, v)
	return nil
}

// parts calls f for the schema of a list's elements or a map's values, and for each.
func (e *evolver) parts(s *connect.Schema, v *connect.Value, kind connect.Kind, f func(*connect.Schema, *connect.Value) error) error {
	if s != nil {
		if err := f(s, nil); err != nil {
			return err
		}
	}
	if v == nil || v.Kind() != kind {
		return nil
	}
	vals, at, step := v.Elems(), 0, 1
	if kind == connect.Map {
		vals, at, step = v.Pairs(), 1, 2
	}
	for ; at < len(vals); at += step {
		if err := f(s, &vals[at]); err != nil {
			return err
		}
	}
	return nil
}

// relax plans that a column is required no more.
func (e *evolver) relax(path string, id int) {
	key := planKey{kind: '?', id: id}
	if _, ok := e.planned[key]; !ok && !slices.Contains(e.fixed, id) {
		e.plan(key, Change{Path: path, ID: id, Relax: true})
	}
}

// widen plans a wider type, if the schema or the value needs one.
func (e *evolver) widen(path string, id int, t iceberg.Type, s *connect.Schema, v *connect.Value) {
	key := planKey{kind: '>', id: id}
	at, known := e.planned[key]
	if known {
		t = e.changes[at].Widen
	}
	wide := e.widerBySchema(t, s)
	if v != nil {
		if wide == nil {
			wide = t
		}
		wide = e.widerByValue(path, wide, s, *v)
	}
	switch {
	case wide == nil || wide.Equals(t):
	case known:
		e.changes[at].Widen = wide
	default:
		e.plan(key, Change{Path: path, ID: id, Widen: wide})
	}
}

// widerBySchema is the type that holds every value of a schema, nil if the column's does
// or if none can: then the values decide.
func (e *evolver) widerBySchema(t iceberg.Type, s *connect.Schema) iceberg.Type {
	if s == nil {
		return nil
	}
	want, err := e.mapper.typeOf("", s, 1)
	if err != nil {
		return nil
	}
	switch t := t.(type) {
	case iceberg.Int32Type:
		if want == iceberg.PrimitiveTypes.Int64 {
			return want
		}
	case iceberg.Float32Type:
		if want == iceberg.PrimitiveTypes.Float64 {
			return want
		}
	case iceberg.DecimalType:
		from, ok := want.(iceberg.DecimalType)
		digits, err := strconv.Atoi(s.Parameters[decimalPrecision])
		if !ok || err != nil {
			return nil
		}
		if p := digits - from.Scale() + t.Scale(); p > t.Precision() && p <= maxPrecision {
			return iceberg.DecimalTypeOf(p, t.Scale())
		}
	}
	return nil
}

// decimalPrecision is the parameter in which Java's AvroConverter tells a decimal's
// precision.
const decimalPrecision = "connect.decimal.precision"

// widerByValue is the narrowest wider type that takes a value which t does not; t if t
// takes it or none does.
func (e *evolver) widerByValue(path string, t iceberg.Type, s *connect.Schema, v connect.Value) iceberg.Type {
	if e.takes(path, t, s, v) {
		return t
	}
	var wider []iceberg.Type
	switch t := t.(type) {
	case iceberg.Int32Type:
		wider = append(wider, iceberg.PrimitiveTypes.Int64)
	case iceberg.Float32Type:
		wider = append(wider, iceberg.PrimitiveTypes.Float64)
	case iceberg.DecimalType:
		for p := t.Precision() + 1; p <= maxPrecision; p++ {
			wider = append(wider, iceberg.DecimalTypeOf(p, t.Scale()))
		}
	}
	for _, w := range wider {
		if e.takes(path, w, s, v) {
			return w
		}
	}
	return t
}

// takes tells whether a primitive column takes a value.
func (e *evolver) takes(path string, t iceberg.Type, s *connect.Schema, v connect.Value) bool {
	if supported(path, t) != nil {
		return true // its writer says what is wrong
	}
	f, err := e.fieldOf(path, s, t, false, nil, false)
	return err == nil && f.append(newVector(t, nil), v) == nil
}
