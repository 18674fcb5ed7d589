package connect

import "strconv"

// Type is a Connect schema type.
type Type uint8

// The schema types, named as org.apache.kafka.connect.data.Schema.Type.
const (
	Int8 Type = iota + 1
	Int16
	Int32
	Int64
	Float32
	Float64
	Boolean
	StringType
	BytesType
	ArrayType
	MapType
	StructType
)

var typeNames = [...]string{"", "INT8", "INT16", "INT32", "INT64", "FLOAT32", "FLOAT64", "BOOLEAN", "STRING", "BYTES", "ARRAY", "MAP", "STRUCT"}

// String spells the type as Java does: INT8 … STRUCT.
func (t Type) String() string {
	if t >= Int8 && t <= StructType {
		return typeNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// Kind is the kind of the Values of this type.
func (t Type) Kind() Kind {
	switch t {
	case Int8, Int16, Int32, Int64:
		return Int
	case Float32, Float64:
		return Float
	case Boolean:
		return Bool
	case StringType:
		return String
	case BytesType:
		return Bytes
	case ArrayType:
		return Array
	case MapType:
		return Map
	case StructType:
		return Struct
	}
	return Null
}

// Names of the logical types of org.apache.kafka.connect.data.
const (
	LogicalDecimal   = "org.apache.kafka.connect.data.Decimal"   // BYTES, parameter "scale"
	LogicalDate      = "org.apache.kafka.connect.data.Date"      // INT32, days since the epoch
	LogicalTime      = "org.apache.kafka.connect.data.Time"      // INT32, milliseconds since midnight
	LogicalTimestamp = "org.apache.kafka.connect.data.Timestamp" // INT64, milliseconds since the epoch
)

// ParameterAvroLogicalType is the schema parameter in which the Avro converter passes on
// logical types that Connect has no name for: timestamp-micros, uuid and the like. Java's
// converter drops them; values are the same.
const ParameterAvroLogicalType = "avro.logicalType"

// A Schema describes values. It is immutable once it has been handed on, so that
// its address may serve as the key of whatever is compiled from it: a converter
// returns the same *Schema for the same schema id.
type Schema struct {
	Type       Type
	Optional   bool
	Name       string // logical or record name, "" for none
	Version    int    // 0 for none
	Doc        string
	Default    *Value            // nil for none
	Parameters map[string]string // nil for none
	Fields     []Field           // of a STRUCT
	Key        *Schema           // of a MAP
	Elem       *Schema           // of an ARRAY's elements or a MAP's values
}

// A Field is a member of a STRUCT schema.
type Field struct {
	Name   string
	Schema *Schema
}

// FieldIndex returns the position of the named field, -1 if there is none. It
// searches: compile the position once per schema instead of calling it per record.
func (s *Schema) FieldIndex(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}
