package columns

import (
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// Infer guesses a table schema from one schemaless record, a map, as the Java sink
// does when it creates a table: integers are long, floats double, maps structs of
// their non-null entries, a list is decided by its first element. What tells
// nothing (null, an empty map or list, bytes) becomes no column, so the schema may
// have no fields at all. Columns are optional in any case and stand in the order of
// the map's keys.
func Infer(v connect.Value, forceOptional bool) (*iceberg.Schema, error) {
	if v.Kind() != connect.Map {
		return nil, &connect.DataError{Msg: "a table schema needs a map value, not " + v.Kind().String(), Hint: "use a converter or a transformation that gives maps or structs"}
	}
	m := mapper{forceOptional: forceOptional}
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
		elem, err := m.infer(v.Elems()[0], depth+1)
		if err != nil || elem == nil {
			return nil, err
		}
		return &iceberg.ListType{ElementID: m.id(), Element: elem}, nil
	case connect.Map:
		fields, err := m.inferFields(v, depth)
		if err != nil || len(fields) == 0 {
			return nil, err
		}
		return &iceberg.StructType{FieldList: fields}, nil
	case connect.Null, connect.Bytes, connect.Struct:
	}
	return nil, nil
}
