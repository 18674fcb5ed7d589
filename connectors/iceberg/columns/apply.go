package columns

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// Apply makes the schema that changes lead to. table may be a later schema than the one
// they were planned for: what it has already, or has no place for any more, is left out,
// so that tasks which ask for the same do no harm to each other. New columns get ids
// above last, the table's last-column-id; the schema keeps table's own id, for the
// catalog to change. next is nil if there is nothing to do.
//
// A name mapping that is not nil comes back with the new columns in it.
func Apply(table *iceberg.Schema, last int, mapping iceberg.NameMapping, changes []Change) (next *iceberg.Schema, _ iceberg.NameMapping, err error) {
	a := applier{
		last: last, adds: make(map[int][]Change), wider: make(map[int]iceberg.Type), relaxed: make(map[int]bool),
		added: make(map[int][]iceberg.NestedField),
	}
	for _, c := range changes {
		switch {
		case c.Add != nil:
			a.adds[c.ID] = append(a.adds[c.ID], c)
		case c.Relax:
			a.relaxed[c.ID] = !slices.Contains(table.IdentifierFieldIDs, c.ID)
		default:
			a.wider[c.ID] = c.Widen
		}
	}
	fields := a.fields(Root, table.Fields())
	if !a.changed {
		return nil, mapping, nil
	}
	next = iceberg.NewSchemaWithIdentifiers(table.ID, slices.Clone(table.IdentifierFieldIDs), fields...)
	if _, err := iceberg.IndexByName(next); err != nil {
		return nil, nil, &connect.DataError{Msg: fmt.Sprintf("the record's fields cannot become columns: %v", err), Hint: "rename the field: a dot in a name reads like a path"}
	}
	if mapping != nil {
		if mapping, err = iceberg.UpdateNameMapping(mapping, nil, a.added); err != nil {
			return nil, nil, fmt.Errorf("add columns to the name mapping: %w", err)
		}
	}
	return next, mapping, nil
}

// An applier rebuilds a schema.
type applier struct {
	adds    map[int][]Change // these three by the ID of Change
	wider   map[int]iceberg.Type
	relaxed map[int]bool

	last    int
	added   map[int][]iceberg.NestedField
	changed bool
}

// fields rebuilds the fields of the struct with that id and appends its new ones.
func (a *applier) fields(parent int, in []iceberg.NestedField) []iceberg.NestedField {
	out := make([]iceberg.NestedField, 0, len(in))
	names := make(map[string]bool, len(in))
	for _, f := range in {
		names[f.Name] = true
		f.Type = a.typeOf(f.ID, f.Type)
		f.Required = a.required(f.ID, f.Required)
		out = append(out, f)
	}
	for _, c := range a.adds[parent] {
		if names[c.Add.Name] {
			continue
		}
		names[c.Add.Name] = true
		f := *c.Add
		f.ID = a.id()
		f.Type = a.fresh(f.Type)
		out = append(out, f)
		a.added[parent] = append(a.added[parent], f)
		a.changed = true
	}
	return out
}

func (a *applier) typeOf(id int, t iceberg.Type) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		return &iceberg.StructType{FieldList: a.fields(id, t.FieldList)}
	case *iceberg.ListType:
		l := *t
		l.Element, l.ElementRequired = a.typeOf(l.ElementID, l.Element), a.required(l.ElementID, l.ElementRequired)
		return &l
	case *iceberg.MapType:
		m := *t
		m.KeyType = a.typeOf(m.KeyID, m.KeyType)
		m.ValueType, m.ValueRequired = a.typeOf(m.ValueID, m.ValueType), a.required(m.ValueID, m.ValueRequired)
		return &m
	}
	if w := a.wider[id]; w != nil && widens(t, w) {
		t, a.changed = w, true
	}
	return t
}

// widens tells whether Iceberg allows to go from one type to the other, and they differ.
func widens(from, to iceberg.Type) bool {
	switch from := from.(type) {
	case iceberg.Int32Type:
		return to == iceberg.PrimitiveTypes.Int64
	case iceberg.Float32Type:
		return to == iceberg.PrimitiveTypes.Float64
	case iceberg.DecimalType:
		d, ok := to.(iceberg.DecimalType)
		return ok && d.Scale() == from.Scale() && d.Precision() > from.Precision()
	}
	return false
}

func (a *applier) required(id int, required bool) bool {
	if required && a.relaxed[id] {
		a.changed = true
		return false
	}
	return required
}

func (a *applier) id() int {
	a.last++
	return a.last
}

// fresh gives ids to everything inside a new column, in Java's order: all fields of a
// struct before what is inside them.
func (a *applier) fresh(t iceberg.Type) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		fields := slices.Clone(t.FieldList)
		for i := range fields {
			fields[i].ID = a.id()
		}
		for i := range fields {
			fields[i].Type = a.fresh(fields[i].Type)
		}
		return &iceberg.StructType{FieldList: fields}
	case *iceberg.ListType:
		l := *t
		l.ElementID = a.id()
		l.Element = a.fresh(l.Element)
		return &l
	case *iceberg.MapType:
		m := *t
		m.KeyID, m.ValueID = a.id(), a.id()
		m.KeyType, m.ValueType = a.fresh(m.KeyType), a.fresh(m.ValueType)
		return &m
	}
	return t
}
