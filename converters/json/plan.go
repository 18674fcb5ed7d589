package json

import (
	"encoding/base64"
	"fmt"

	"github.com/firn-io/firn/connect"
)

const maxScale = 1000

// An op is how a value is read: by its type's number, or as a logical type. (Not a type
// of its own: each of the switches over it knows some of them only.)
type op = uint8

const (
	opDate op = 100 + iota
	opTime
	opTimestamp
	opDecimal
)

// base is the type that a logical type must have, 0 for the others.
func base(o op) connect.Type {
	switch o {
	case opDate, opTime:
		return connect.Int32
	case opTimestamp:
		return connect.Int64
	case opDecimal:
		return connect.BytesType
	}
	return 0
}

// A plan reads values of one schema. (Source: JsonConverter.convertToConnect.)
type plan struct {
	schema      *connect.Schema
	op          op
	scale       int
	replaceNull bool
	fields      []field // of a STRUCT
	index       map[string]int
	key, elem   *plan
}

type field struct {
	token string // "name": as it most likely stands
	plan  *plan
}

// typed reads the value at p by the plan.
func (s *scanner) typed(pl *plan, p int) (v connect.Value, next int) {
	if p >= len(s.b) {
		return v, s.unexpected(p, "a value")
	}
	if s.b[p] == 'n' {
		if _, next = s.literal(p); next < 0 {
			return v, -1
		}
		if v, ok := pl.null(); ok {
			return v, next
		}
		return v, s.invalid("Invalid null value for required " + pl.schema.Type.String() + " field")
	}
	switch pl.op {
	case op(connect.Int8), op(connect.Int16), op(connect.Int32), op(connect.Int64):
		return s.integer(pl, p)
	case op(connect.Float32):
		return s.float(p, 32)
	case op(connect.Float64):
		return s.float(p, 64)
	case op(connect.Boolean):
		if v, next = s.value(p); v.Kind() != connect.Bool {
			v = connect.BoolValue(false)
		}
		return v, next
	case op(connect.StringType):
		if v, next = s.value(p); v.Kind() != connect.String {
			v = connect.Value{}
		}
		return v, next
	case op(connect.BytesType):
		return s.base64(p, "Invalid bytes field")
	case op(connect.ArrayType):
		return s.elements(pl, p)
	case op(connect.MapType):
		if pl.key.schema.Type == connect.StringType {
			return s.members(pl, p)
		}
		return s.tuples(pl, p)
	case op(connect.StructType):
		return s.record(pl, p)
	case opDate, opTime, opTimestamp:
		return s.temporal(pl, p)
	case opDecimal:
		return s.decimal(pl, p)
	}
	panic("json: plan without operation")
}

// null is the value that stands for a null or for a missing member.
func (pl *plan) null() (connect.Value, bool) {
	if pl.schema.Default != nil && pl.replaceNull {
		return *pl.schema.Default, true
	}
	return connect.Value{}, pl.schema.Optional
}

func (s *scanner) isNumber(p int) bool { return s.b[p] == '-' || s.b[p]-'0' < 10 }

// integer drops fractions and the bits that the type has no room for; what is not a
// number is 0. All as Jackson does it.
func (s *scanner) integer(pl *plan, p int) (connect.Value, int) {
	if !s.isNumber(p) {
		_, p = s.value(p)
		return connect.IntValue(0), p
	}
	var d decimal
	end := s.scanNumber(p, &d)
	if end < 0 {
		return connect.Value{}, -1
	}
	i, ok := d.int()
	if !ok && !d.integral {
		i, ok = d.truncate(s.b[p:end])
	}
	if !ok {
		return connect.Value{}, s.fail(p, "an integer of more than 64 bits")
	}
	switch pl.op {
	case op(connect.Int8):
		i = int64(int8(i))
	case op(connect.Int16):
		i = int64(int16(i))
	case op(connect.Int32):
		i = int64(int32(i))
	}
	return connect.IntValue(i), end
}

// truncate is the integer part.
func (d *decimal) truncate(text []byte) (int64, bool) {
	if d.exact && d.exp <= 0 {
		m := d.mantissa
		for e := d.exp; e < 0 && m > 0; e++ {
			m /= 10
		}
		whole := decimal{neg: d.neg, integral: true, exact: true, mantissa: m}
		return whole.int()
	}
	f, ok := d.float(text, 64)
	if !ok || f >= 1<<63 || f < -1<<63 {
		return 0, false
	}
	return int64(f), true
}

func (s *scanner) float(p, size int) (connect.Value, int) {
	if !s.isNumber(p) {
		_, p = s.value(p)
		return connect.FloatValue(0), p
	}
	var d decimal
	end := s.scanNumber(p, &d)
	if end < 0 {
		return connect.Value{}, -1
	}
	f, ok := d.float(s.b[p:end], size)
	if !ok {
		return connect.Value{}, s.fail(p, fmt.Sprintf("a number out of the range of %d-bit floating point", size))
	}
	return connect.FloatValue(f), end
}

// base64 reads bytes; what is not a text is null.
func (s *scanner) base64(p int, what string) (connect.Value, int) {
	v, next := s.value(p)
	if next < 0 || v.Kind() != connect.String {
		return connect.Value{}, next
	}
	text := v.Bytes()
	out := s.arena.Bytes(base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return connect.Value{}, s.invalid(what + ": it is not base64")
	}
	return connect.BytesValue(out[:n]), next
}

// temporal reads a number of days or milliseconds.
func (s *scanner) temporal(pl *plan, p int) (connect.Value, int) {
	v, next := s.value(p)
	if next < 0 {
		return v, -1
	}
	i := v.Int()
	switch {
	case pl.op == opTimestamp && v.Kind() != connect.Int:
		return v, s.invalid("Invalid type for Timestamp, underlying representation should be integral but was " + nodeType(v))
	case pl.op == opDate && (v.Kind() != connect.Int || i != int64(int32(i))):
		return v, s.invalid("Invalid type for Date, underlying representation should be integer but was " + nodeType(v))
	case pl.op == opTime && (v.Kind() != connect.Int || i != int64(int32(i))):
		return v, s.invalid("Invalid type for Time, underlying representation should be integer but was " + nodeType(v))
	case pl.op == opTime && (i < 0 || i > 86_400_000):
		return v, s.invalid("Time values must use number of milliseconds greater than 0 and less than 86400000")
	}
	return v, next
}

// decimal reads a number, or the base64 of the unscaled number.
func (s *scanner) decimal(pl *plan, p int) (connect.Value, int) {
	if !s.isNumber(p) {
		if s.b[p] != '"' {
			v, next := s.value(p)
			if next < 0 {
				return v, -1
			}
			return v, s.invalid("Invalid type for Decimal, underlying representation should be numeric or bytes but was " + nodeType(v))
		}
		return s.base64(p, "Invalid bytes for Decimal field")
	}
	var d decimal
	end := s.scanNumber(p, &d)
	if end < 0 {
		return connect.Value{}, -1
	}
	if i, ok := d.shifted(pl.scale); ok {
		return connect.BytesValue(shortest(s.arena, i)), end
	}
	unscaled, ok := d.unscaled(s.b[p:end], pl.scale)
	if !ok {
		return connect.Value{}, s.invalid(fmt.Sprintf("the number %.60s does not fit a Decimal of scale %d", s.b[p:end], pl.scale))
	}
	return connect.BytesValue(twosComplement(s.arena, unscaled)), end
}

// nodeType is Jackson's name for the kind of a JSON value.
func nodeType(v connect.Value) string {
	return [...]string{
		connect.Null: "NULL", connect.Bool: "BOOLEAN", connect.Int: "NUMBER", connect.Float: "NUMBER", connect.String: "STRING",
		connect.Array: "ARRAY", connect.Map: "OBJECT",
	}[v.Kind()]
}
