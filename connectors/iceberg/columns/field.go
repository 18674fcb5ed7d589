package columns

import (
	"fmt"
	"math"
	"math/big"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// A target is what a column stores.
type target uint8

const (
	toBool target = iota
	toInt
	toLong
	toFloat
	toDouble
	toDecimal
	toString
	toBinary
	toFixed
	toUUID
	toDate
	toTime
	toTimestamp
	toTimestampTz
	toTimestampNs
	toTimestampTzNs
	toVariant
	toStruct
	toList
	toMap
)

// A field writes one column, or one part of a nested column.
type field struct {
	path     string
	to       target
	typ      iceberg.Type
	required bool

	from    meaning
	toMicro int64           // what takes an integer to microseconds since the epoch, if it means that
	scale   int             // of a decimal source
	schema  *connect.Schema // of the record's value; nil if unknown

	scaleAt, unscaledAt int // fields of a decimal of variable scale

	precision, toScale int // of a decimal column
	limit              *big.Int

	sub       *structPlan // struct
	key, elem *field      // map; list, map
	scratch   *scratch
}

// A scratch is memory that conversions use between calls. One goroutine owns it.
type scratch struct {
	text, digits []byte
	x, y, z      big.Int
	variant      variantWriter
}

func (f *field) setTarget(t iceberg.Type) {
	switch t := t.(type) {
	case iceberg.BooleanType:
		f.to = toBool
	case iceberg.Int32Type:
		f.to = toInt
	case iceberg.Int64Type:
		f.to = toLong
	case iceberg.Float32Type:
		f.to = toFloat
	case iceberg.Float64Type:
		f.to = toDouble
	case iceberg.DecimalType:
		f.to, f.precision, f.toScale = toDecimal, t.Precision(), t.Scale()
		f.limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision())), nil)
	case iceberg.StringType:
		f.to = toString
	case iceberg.BinaryType:
		f.to = toBinary
	case iceberg.FixedType:
		f.to = toFixed
	case iceberg.UUIDType:
		f.to = toUUID
	case iceberg.DateType:
		f.to = toDate
	case iceberg.TimeType:
		f.to = toTime
	case iceberg.TimestampType:
		f.to = toTimestamp
	case iceberg.TimestampTzType:
		f.to = toTimestampTz
	case iceberg.TimestampNsType:
		f.to = toTimestampNs
	case iceberg.TimestampTzNsType:
		f.to = toTimestampTzNs
	case iceberg.VariantType:
		f.to = toVariant
	default:
		panic(fmt.Sprintf("columns: type %s passed the check of supported types", t))
	}
}

// quick pushes a value that needs no conversion, which is nearly every one, and tells
// whether it did. Zero values and all rarer cases are left to append: Value's
// accessors give zero for other kinds too.
func (f *field) quick(vec *vector, v *connect.Value) bool {
	switch f.to { //nolint:exhaustive // the others always take append
	case toString:
		s := v.Text()
		if s == "" {
			return false
		}
		vec.pushText(s)
	case toLong:
		x := v.Int()
		if x == 0 || f.from.javaDate {
			return false
		}
		vec.pushInt64(x)
	case toDouble:
		x := v.Float()
		if x == 0 {
			return false
		}
		vec.f64 = append(vec.f64, x)
		vec.pushed()
	case toBool:
		if !v.Bool() {
			return false
		}
		vec.pushBool(true)
	case toInt:
		x := v.Int()
		if x == 0 || x != int64(int32(x)) || f.from.javaDate {
			return false
		}
		vec.pushInt32(int32(x))
	case toTimestamp, toTimestampTz:
		x := v.Int()
		if x == 0 || f.toMicro == 0 || x < math.MinInt64/1000 || x > math.MaxInt64/1000 {
			return false
		}
		vec.pushInt64(x * f.toMicro)
	default:
		return false
	}
	return true
}

// append converts v and pushes it to vec. After an error vec may hold a part of
// it: the caller truncates.
func (f *field) append(vec *vector, v connect.Value) error {
	if v.IsNull() {
		if f.required {
			return &connect.DataError{Msg: fmt.Sprintf("column %q is required and the record has no value for it", f.path), Hint: "make the column optional, or fill the field"}
		}
		vec.pushNull()
		return nil
	}
	if f.from.source == variableDecimalSource && f.to >= toInt && f.to <= toDecimal {
		var ok bool
		if v, ok = f.unscaled(v); !ok {
			return f.mismatch(v)
		}
	}
	switch f.to {
	case toBool:
		return f.appendBool(vec, v)
	case toInt, toDate:
		return f.appendInt32(vec, v)
	case toLong:
		return f.appendLong(vec, v)
	case toTime:
		return f.appendTime(vec, v)
	case toTimestamp, toTimestampTz, toTimestampNs, toTimestampTzNs:
		return f.appendTimestamp(vec, v)
	case toFloat, toDouble:
		return f.appendFloat(vec, v)
	case toDecimal:
		return f.appendDecimal(vec, v)
	case toString:
		return f.appendString(vec, v)
	case toBinary, toFixed:
		return f.appendBinary(vec, v)
	case toUUID:
		return f.appendUUID(vec, v)
	case toVariant:
		return f.appendVariant(vec, v)
	case toStruct:
		return f.appendStruct(vec, v)
	case toList:
		return f.appendList(vec, v)
	case toMap:
		return f.appendMap(vec, v)
	}
	panic(fmt.Sprintf("columns: unknown target %d", f.to))
}

func (f *field) appendStruct(vec *vector, v connect.Value) error {
	if k := v.Kind(); k != connect.Struct && k != connect.Map {
		return f.mismatch(v)
	}
	if err := f.sub.append(vec.kids, v); err != nil {
		return err
	}
	vec.pushed()
	return nil
}

func (f *field) appendList(vec *vector, v connect.Value) error {
	if v.Kind() != connect.Array {
		return f.mismatch(v)
	}
	for _, e := range v.Elems() {
		if err := f.elem.append(vec.kids[0], e); err != nil {
			return err
		}
	}
	vec.endList()
	return nil
}

// appendMap keeps the last of equal text keys, as Java's map does.
func (f *field) appendMap(vec *vector, v connect.Value) error {
	if v.Kind() != connect.Map {
		return f.mismatch(v)
	}
	pairs := v.Pairs()
	for i := 0; i < len(pairs); i += 2 {
		if repeated(pairs[i+2:], pairs[i]) {
			continue
		}
		if err := f.key.append(vec.kids[0], pairs[i]); err != nil {
			return err
		}
		if err := f.elem.append(vec.kids[1], pairs[i+1]); err != nil {
			return err
		}
	}
	vec.endList()
	return nil
}

// searchRepeated bounds the quadratic search for repeated keys: a hostile map of
// more entries keeps its repetitions, which readers of Iceberg maps tolerate.
const searchRepeated = 256

func repeated(later []connect.Value, key connect.Value) bool {
	if key.Kind() != connect.String || len(later) > 2*searchRepeated {
		return false
	}
	for i := 0; i < len(later); i += 2 {
		if later[i].Kind() == connect.String && later[i].Text() == key.Text() {
			return true
		}
	}
	return false
}

// mismatch says that no value of v's class fits the column.
func (f *field) mismatch(v connect.Value) error {
	return &connect.DataError{Msg: fmt.Sprintf("column %q: cannot convert %s to %s", f.path, f.classOf(v), f.typ)}
}

// outOfRange says that the column cannot hold this very value.
func (f *field) outOfRange(v connect.Value) error {
	return &connect.DataError{Msg: fmt.Sprintf("column %q: %s is out of range for %s", f.path, f.excerpt(v), f.typ), Hint: "widen the column, or correct the record"}
}

// malformed says that a text is not of the form the column needs.
func (f *field) malformed(v connect.Value) error {
	return &connect.DataError{Msg: fmt.Sprintf("column %q: cannot read %s as %s", f.path, f.excerpt(v), f.typ)}
}

func (f *field) classOf(v connect.Value) string {
	switch {
	case f.from.javaDate && f.from.source == dateSource:
		return "a Connect Date"
	case f.from.javaDate && f.from.source == timeSource:
		return "a Connect Time"
	case f.from.javaDate:
		return "a Connect Timestamp"
	case f.from.source == decimalSource:
		return "a Connect Decimal"
	case f.from.source == dateSource || f.from.source == timeSource || f.from.source == timestampSource:
		if f.schema.Name == "" {
			return "an Avro " + f.schema.Parameters[connect.ParameterAvroLogicalType]
		}
		return "a " + f.schema.Name
	}
	return v.Kind().String()
}

// excerpt shows the begin of a value in an error.
func (f *field) excerpt(v connect.Value) string {
	const most = 64
	s := string(f.render(nil, v))
	if v.Kind() == connect.String {
		s = v.Text()
		if len(s) > most {
			return fmt.Sprintf("%q…", s[:most])
		}
		return fmt.Sprintf("%q", s)
	}
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// whole cuts a float to an integer, as Java's longValue where that is exact.
func whole(x float64) (int64, bool) {
	if !(x >= -(1<<63) && x < 1<<63) { // NaN fails both
		return 0, false
	}
	return int64(x), true
}

// integer reads a number as an integer, cutting fractions toward zero. It knows
// no text and no logical times.
func (f *field) integer(v connect.Value) (int64, error) {
	switch v.Kind() { //nolint:exhaustive // the rest is refused below
	case connect.Int:
		return v.Int(), nil
	case connect.Float:
		if x, ok := whole(v.Float()); ok {
			return x, nil
		}
		return 0, f.outOfRange(v)
	case connect.Bytes:
		if f.isDecimal() {
			if x, ok := f.wholeDecimal(v.Bytes()); ok {
				return x, nil
			}
			return 0, f.outOfRange(v)
		}
	}
	return 0, f.mismatch(v)
}
