package columns

import (
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// maxDepth bounds the nesting of a schema: Connect schemas may refer to
// themselves (recursive Avro records), which no table can hold.
const maxDepth = 64

// maxPrecision is the largest precision of an Iceberg decimal.
const maxPrecision = 38

// SchemaOf maps the Connect schema of a record to a table schema, with field ids
// from 1 in the order of iceberg-go, as the Java sink maps it when it creates a
// table; but Debezium's and Avro's dates, times and UUIDs get the types they stand for,
// unless opts.JavaTypes. With opts.ForceOptional every column is optional. A struct without
// fields becomes no column. It fails with a [connect.DataError] that names the field.
func SchemaOf(s *connect.Schema, opts Options) (*iceberg.Schema, error) {
	if s == nil || s.Type != connect.StructType {
		return nil, &connect.DataError{Msg: "a table schema needs a STRUCT value", Hint: "use a converter or a transformation that gives structs"}
	}
	m := mapper{opts: opts}
	fields, err := m.fields("", s, 0)
	if err != nil {
		return nil, err
	}
	return freshIDs(fields)
}

// freshIDs makes a schema of fields whose ids are only known to differ.
func freshIDs(fields []iceberg.NestedField) (*iceberg.Schema, error) {
	sc, err := iceberg.AssignFreshSchemaIDs(iceberg.NewSchema(0, fields...), nil)
	if err != nil {
		return nil, fmt.Errorf("assign field ids: %w", err)
	}
	return sc, nil
}

// A mapper gives out provisional field ids while it maps.
type mapper struct {
	opts Options
	last int
}

func (m *mapper) id() int {
	m.last++
	return m.last
}

func (m *mapper) fields(path string, s *connect.Schema, depth int) ([]iceberg.NestedField, error) {
	if depth > maxDepth {
		return nil, &connect.DataError{Msg: fmt.Sprintf("field %q: the schema nests deeper than %d levels or refers to itself", path, maxDepth)}
	}
	var out []iceberg.NestedField
	for _, f := range s.Fields {
		t, err := m.typeOf(join(path, f.Name), f.Schema, depth+1)
		if err != nil {
			return nil, err
		}
		if t != nil {
			out = append(out, iceberg.NestedField{ID: m.id(), Name: f.Name, Type: t, Required: !f.Schema.Optional && !m.opts.ForceOptional})
		}
	}
	return out, nil
}

// typeOf is the Iceberg type of a Connect schema, nil for a struct without fields.
func (m *mapper) typeOf(path string, s *connect.Schema, depth int) (iceberg.Type, error) {
	if depth > maxDepth {
		return nil, &connect.DataError{Msg: fmt.Sprintf("field %q: the schema nests deeper than %d levels or refers to itself", path, maxDepth)}
	}
	if meant := meaningOf(s); meant.java(s) || !m.opts.JavaTypes {
		if t := meant.columnType(m.opts.FormatVersion); t != nil {
			return t, nil
		}
	}
	switch s.Type {
	case connect.Boolean:
		return iceberg.PrimitiveTypes.Bool, nil
	case connect.Int8, connect.Int16, connect.Int32:
		return iceberg.PrimitiveTypes.Int32, nil
	case connect.Int64:
		return iceberg.PrimitiveTypes.Int64, nil
	case connect.Float32:
		return iceberg.PrimitiveTypes.Float32, nil
	case connect.Float64:
		return iceberg.PrimitiveTypes.Float64, nil
	case connect.BytesType:
		if s.Name == connect.LogicalDecimal {
			scale, err := decimalScale(s)
			if err != nil || scale < 0 || scale > maxPrecision {
				return nil, &connect.DataError{Msg: fmt.Sprintf("field %q: a decimal of scale %q does not fit decimal(38, 0…38)", path, s.Parameters["scale"])}
			}
			return iceberg.DecimalTypeOf(maxPrecision, scale), nil
		}
		return iceberg.PrimitiveTypes.Binary, nil
	case connect.StringType:
		return iceberg.PrimitiveTypes.String, nil
	case connect.ArrayType:
		return m.list(path, s, depth)
	case connect.MapType:
		return m.mapOf(path, s, depth)
	case connect.StructType:
		fields, err := m.fields(path, s, depth)
		if err != nil || len(fields) == 0 {
			return nil, err
		}
		return &iceberg.StructType{FieldList: fields}, nil
	}
	return nil, &connect.DataError{Msg: fmt.Sprintf("field %q: no Iceberg type for %s", path, s.Type)}
}

func (m *mapper) list(path string, s *connect.Schema, depth int) (iceberg.Type, error) {
	elem, err := m.typeOf(join(path, "element"), s.Elem, depth+1)
	if err != nil || elem == nil {
		return nil, err
	}
	return &iceberg.ListType{ElementID: m.id(), Element: elem, ElementRequired: !s.Elem.Optional && !m.opts.ForceOptional}, nil
}

func (m *mapper) mapOf(path string, s *connect.Schema, depth int) (iceberg.Type, error) {
	key, err := m.typeOf(join(path, "key"), s.Key, depth+1)
	if err != nil || key == nil {
		return nil, err
	}
	value, err := m.typeOf(join(path, "value"), s.Elem, depth+1)
	if err != nil || value == nil {
		return nil, err
	}
	return &iceberg.MapType{
		KeyID: m.id(), KeyType: key,
		ValueID: m.id(), ValueType: value, ValueRequired: !s.Elem.Optional && !m.opts.ForceOptional,
	}, nil
}

// decimalScale reads the scale parameter of a Connect Decimal schema.
func decimalScale(s *connect.Schema) (int, error) { return strconv.Atoi(s.Parameters["scale"]) }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
