package columns

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// Infer guesses a table schema from one schemaless record, a map, as the Java sink
// does when it creates a table: integers are long, floats double, maps structs of
// their non-null entries. What tells nothing (null, an empty map or list) becomes no
// column, so the schema may have no fields at all. Unlike Java, which looks only at the
// first element of a list and has no type for bytes, it merges what all elements tell,
// and bytes are binary: otherwise values of the very record would be left out. Columns are optional in any case and stand in the order of
// the map's keys.
func Infer(v connect.Value) (*iceberg.Schema, error) {
	if v.Kind() != connect.Map {
		return nil, &connect.DataError{Msg: "a table schema needs a map value, not " + v.Kind().String(), Hint: "use a converter or a transformation that gives maps or structs"}
	}
	m := mapper{}
	fields, err := m.inferFields(v, 0)
	if err != nil {
		return nil, err
	}
	return freshIDs(fields)
}

func (m *mapper) inferFields(v connect.Value, depth int) ([]iceberg.NestedField, error) {
	if depth > maxDepth {
		return nil, &connect.DataError{Msg: "the value nests too deep for a table"}
	}
	var out []iceberg.NestedField
	pairs := v.Pairs()
	at := make(map[string]int, len(pairs)/2) // the last of equal keys counts, in the first one's place
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i].Kind() != connect.String {
			continue
		}
		name := pairs[i].Text()
		t, err := m.infer(pairs[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		k, seen := at[name]
		switch {
		case seen:
			out[k].Type = t
		default:
			at[name] = len(out)
			out = append(out, iceberg.NestedField{ID: m.id(), Name: strings.Clone(name), Type: t})
		}
	}
	kept := out[:0]
	for _, f := range out {
		if f.Type != nil {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// infer is the type of one value, nil if it tells none.
func (m *mapper) infer(v connect.Value, depth int) (iceberg.Type, error) {
	switch v.Kind() {
	case connect.Bool:
		return iceberg.PrimitiveTypes.Bool, nil
	case connect.Int:
		return iceberg.PrimitiveTypes.Int64, nil
	case connect.Float:
		return iceberg.PrimitiveTypes.Float64, nil
	case connect.String:
		return iceberg.PrimitiveTypes.String, nil
	case connect.Array:
		if v.Len() == 0 {
			return nil, nil
		}
		if depth > maxDepth {
			return nil, &connect.DataError{Msg: "the value nests too deep for a table"}
		}
		var elem iceberg.Type
		for _, e := range v.Elems() {
			t, err := m.infer(e, depth+1)
			if err != nil {
				return nil, err
			}
			elem = merge(elem, t)
		}
		if elem == nil {
			return nil, nil
		}
		return &iceberg.ListType{ElementID: m.id(), Element: elem}, nil
	case connect.Map:
		fields, err := m.inferFields(v, depth)
		if err != nil || len(fields) == 0 {
			return nil, err
		}
		return &iceberg.StructType{FieldList: fields}, nil
	case connect.Bytes:
		return iceberg.PrimitiveTypes.Binary, nil
	case connect.Null, connect.Struct:
	}
	return nil, nil
}

// merge is a type for values of both types, either of which may be nil: long and double
// give double, structs have the fields of both. Of types without a common one the first
// stays; it is the values of the other that are refused then.
func merge(a, b iceberg.Type) iceberg.Type {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a == iceberg.PrimitiveTypes.Int64 && b == iceberg.PrimitiveTypes.Float64:
		return b
	}
	switch a := a.(type) {
	case *iceberg.ListType:
		if b, ok := b.(*iceberg.ListType); ok {
			return &iceberg.ListType{ElementID: a.ElementID, Element: merge(a.Element, b.Element)}
		}
	case *iceberg.StructType:
		if b, ok := b.(*iceberg.StructType); ok {
			return &iceberg.StructType{FieldList: mergeFields(a.FieldList, b.FieldList)}
		}
	}
	return a
}

func mergeFields(a, b []iceberg.NestedField) []iceberg.NestedField {
	out := slices.Clone(a)
	for _, f := range b {
		at := slices.IndexFunc(out, func(o iceberg.NestedField) bool { return o.Name == f.Name })
		if at < 0 {
			out = append(out, f)
			continue
		}
		out[at].Type = merge(out[at].Type, f.Type)
	}
	return out
}

// tells tells whether infer finds a type for a value.
func tells(v *connect.Value, depth int) bool {
	switch v.Kind() { //nolint:exhaustive // the rest has a type
	case connect.Null, connect.Struct:
		return false
	case connect.Array:
		vals := v.Elems()
		for i := range vals {
			if depth <= maxDepth && tells(&vals[i], depth+1) {
				return true
			}
		}
		return depth > maxDepth
	case connect.Map:
		vals := v.Pairs()
		for i := 0; i+1 < len(vals); i += 2 {
			if depth <= maxDepth && vals[i].Kind() == connect.String && tells(&vals[i+1], depth+1) {
				return true
			}
		}
		return depth > maxDepth
	}
	return true
}
