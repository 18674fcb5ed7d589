package connect

import (
	"math"
	"strconv"
	"unsafe"
)

// Kind says which of the Connect value classes a Value holds. Widths (INT8 …
// INT64, FLOAT32) and logical types (Date, Timestamp, Decimal) are told by the
// Schema; a Value carries the encoded form of them: a Date is an Int of days since
// the epoch, a Timestamp an Int of milliseconds, a Decimal the Bytes of its
// unscaled two's complement number, big-endian.
type Kind uint8

// The kinds. The zero Value is Null.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	Bytes
	Array
	Map
	Struct
)

var kindNames = [...]string{"null", "boolean", "integer", "float", "string", "bytes", "array", "map", "struct"}

// String names the kind for error messages.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// A Value is one datum without boxing, in the manner of log/slog's Value: num
// holds the number or the length, any the kind or a typed pointer to the data.
// Copying a Value copies no data; it stays valid as long as its batch does.
type Value struct {
	num uint64
	any any
}

type (
	stringPtr *byte
	bytesPtr  *byte
	arrayPtr  *Value
	mapPtr    *Value
	structPtr *Value
)

// BoolValue makes a boolean.
func BoolValue(b bool) Value {
	if b {
		return Value{1, Bool}
	}
	return Value{0, Bool}
}

// IntValue makes an integer of any width.
func IntValue(i int64) Value { return Value{uint64(i), Int} }

// FloatValue makes a floating-point number; a FLOAT32 is widened.
func FloatValue(f float64) Value { return Value{math.Float64bits(f), Float} }

// StringValue makes a string that shares memory with s.
func StringValue(s string) Value {
	return Value{uint64(len(s)), stringPtr(unsafe.StringData(s))}
}

// StringOf makes a string over the bytes of b, which must not change afterwards
// and must be valid UTF-8.
func StringOf(b []byte) Value { return Value{uint64(len(b)), stringPtr(unsafe.SliceData(b))} }

// BytesValue makes a byte string that shares memory with b.
func BytesValue(b []byte) Value { return Value{uint64(len(b)), bytesPtr(unsafe.SliceData(b))} }

// ArrayValue makes an array over elems.
func ArrayValue(elems []Value) Value {
	return Value{uint64(len(elems)), arrayPtr(unsafe.SliceData(elems))}
}

// MapValue makes a map over pairs: key, value, key, value … in the order in which
// they were read. A schemaless object is a Map with String keys.
func MapValue(pairs []Value) Value {
	return Value{uint64(len(pairs)), mapPtr(unsafe.SliceData(pairs))}
}

// StructValue makes a struct over the values of its schema's fields, in schema order.
func StructValue(fields []Value) Value {
	return Value{uint64(len(fields)), structPtr(unsafe.SliceData(fields))}
}

// Kind tells what v holds.
func (v Value) Kind() Kind {
	switch a := v.any.(type) {
	case nil:
		return Null
	case Kind:
		return a
	case stringPtr:
		return String
	case bytesPtr:
		return Bytes
	case arrayPtr:
		return Array
	case mapPtr:
		return Map
	case structPtr:
		return Struct
	}
	panic("connect: Value of unknown representation")
}

// IsNull tells whether v is the null value.
func (v Value) IsNull() bool { return v.any == nil }

// Bool returns the boolean; false if v is of another kind.
func (v Value) Bool() bool { return v.is(Bool) && v.num != 0 }

// is compares by a type assertion: comparing interfaces would call the runtime.
func (v Value) is(kind Kind) bool {
	k, ok := v.any.(Kind)
	return ok && k == kind
}

// Int returns the integer; 0 if v is of another kind.
func (v Value) Int() int64 {
	if v.is(Int) {
		return int64(v.num)
	}
	return 0
}

// Float returns the floating-point number; 0 if v is of another kind.
func (v Value) Float() float64 {
	if v.is(Float) {
		return math.Float64frombits(v.num)
	}
	return 0
}

// Text returns the string, sharing memory with v; "" if v is of another kind.
func (v Value) Text() string {
	if p, ok := v.any.(stringPtr); ok {
		return unsafe.String((*byte)(p), v.num)
	}
	return ""
}

// Bytes returns the contents of a Bytes or a String, sharing memory with v: read
// only. It is nil if v is of another kind.
func (v Value) Bytes() []byte {
	switch p := v.any.(type) {
	case bytesPtr:
		return unsafe.Slice((*byte)(p), v.num)
	case stringPtr:
		return unsafe.Slice((*byte)(p), v.num)
	}
	return nil
}

// Len is the number of elements of an Array, of fields of a Struct, of entries of
// a Map, of bytes of a String or Bytes; 0 for the other kinds.
func (v Value) Len() int {
	switch v.any.(type) {
	case nil, Kind:
		return 0
	case mapPtr:
		return int(v.num / 2)
	}
	return int(v.num)
}

// Elems returns the elements of an Array, nil for the other kinds.
func (v Value) Elems() []Value {
	if p, ok := v.any.(arrayPtr); ok {
		return unsafe.Slice((*Value)(p), v.num)
	}
	return nil
}

// Fields returns the values of a Struct in schema order, nil for the other kinds.
func (v Value) Fields() []Value {
	if p, ok := v.any.(structPtr); ok {
		return unsafe.Slice((*Value)(p), v.num)
	}
	return nil
}

// Pairs returns the keys and values of a Map, alternating; nil for the other kinds.
func (v Value) Pairs() []Value {
	if p, ok := v.any.(mapPtr); ok {
		return unsafe.Slice((*Value)(p), v.num)
	}
	return nil
}

// Lookup returns the value under a string key of a Map. The last of equal keys
// wins, as in Java's map.
func (v Value) Lookup(key string) (Value, bool) {
	pairs := v.Pairs()
	for i := len(pairs) - 2; i >= 0; i -= 2 {
		if pairs[i].Text() == key && pairs[i].Kind() == String {
			return pairs[i+1], true
		}
	}
	return Value{}, false
}
