package columns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// An input is a value of the recorded vectors with its Connect schema; nil where
// Java had only the object.
type input struct {
	value  connect.Value
	schema *connect.Schema
}

func decimal(unscaled string, scale int) input {
	x, _ := new(big.Int).SetString(unscaled, 10)
	return input{
		connect.BytesValue(append([]byte{0}, x.Bytes()...)),
		&connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": strconv.Itoa(scale)}},
	}
}

func javaDate(ms int64) input {
	return input{connect.IntValue(ms), &connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp}}
}

func listOf(v ...connect.Value) connect.Value { return connect.ArrayValue(v) }
func object(v ...connect.Value) connect.Value { return connect.MapValue(v) }
func text(s string) connect.Value             { return connect.StringValue(s) }
func integer(i int64) connect.Value           { return connect.IntValue(i) }

// inputs are the inputs of the vectors; those in quotes stand for themselves.
func inputs(t *testing.T, label string) input {
	t.Helper()
	if s, err := strconv.Unquote(label); err == nil {
		return input{value: text(s)}
	}
	all := map[string]input{
		"Byte 1":                   {integer(1), &connect.Schema{Type: connect.Int8}},
		"Int 7":                    {integer(7), &connect.Schema{Type: connect.Int32}},
		"Long 2^40":                {value: integer(1 << 40)},
		"Long 1704164645123":       {value: integer(1704164645123)},
		"Float 1.1f":               {connect.FloatValue(float64(float32(1.1))), &connect.Schema{Type: connect.Float32}},
		"Double 2.9":               {value: connect.FloatValue(2.9)},
		"Double 1e20":              {value: connect.FloatValue(1e20)},
		"Double NaN":               {value: connect.FloatValue(math.NaN())},
		"BigDecimal 1.005":         decimal("1005", 3),
		"BigDecimal 12345678901.5": decimal("123456789015", 1),
		"true":                     {value: connect.BoolValue(true)},
		"byte[]{1,2,3,4}":          {value: connect.BytesValue([]byte{1, 2, 3, 4})},
		"ByteBuffer 3 bytes":       {value: connect.BytesValue([]byte{1, 2, 3})},
		"Date(1704164645123)":      javaDate(1704164645123),
		"Date(-1)":                 javaDate(-1),
		"Date(-86400001)":          javaDate(-86400001),
		"Map{a:1,b:x}":             {value: object(text("a"), integer(1), text("b"), text("x"))},
		"Map{a:1}":                 {value: object(text("a"), integer(1))},
		`List[1,null,"3"]`:         {value: listOf(integer(1), connect.Value{}, text("3"))},
		"Struct{a=1}":              {connect.StructValue([]connect.Value{integer(1)}), &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "a", Schema: &connect.Schema{Type: connect.Int32}}}}},
		"[]":                       {value: listOf()},
		"[null,1]":                 {value: listOf(connect.Value{}, integer(1))},
		"[{}]":                     {value: listOf(object())},
		"{}":                       {value: object()},
		"{a:null}":                 {value: object(text("a"), connect.Value{})},
		"[[1]]":                    {value: listOf(listOf(integer(1)))},
	}
	in, ok := all[label]
	if !ok {
		t.Fatalf("no input called %q", label)
	}
	return in
}

// vectors reads a recorded file: lines of fields, and a first line that tells where
// they come from.
func vectors(t *testing.T, path string) [][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "# ") {
			out = append(out, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	return out
}

var types = map[string]iceberg.Type{
	"int": iceberg.PrimitiveTypes.Int32, "long": iceberg.PrimitiveTypes.Int64,
	"float": iceberg.PrimitiveTypes.Float32, "double": iceberg.PrimitiveTypes.Float64,
	"decimal(9,2)": iceberg.DecimalTypeOf(9, 2), "boolean": iceberg.PrimitiveTypes.Bool,
	"string": iceberg.PrimitiveTypes.String, "uuid": iceberg.PrimitiveTypes.UUID,
	"binary": iceberg.PrimitiveTypes.Binary, "fixed4": iceberg.FixedTypeOf(4),
	"date": iceberg.PrimitiveTypes.Date, "time": iceberg.PrimitiveTypes.Time,
	"timestamp": iceberg.PrimitiveTypes.Timestamp, "timestamptz": iceberg.PrimitiveTypes.TimestampTz,
	"variant":      iceberg.VariantType{},
	"timestamp_ns": iceberg.PrimitiveTypes.TimestampNs, "timestamptz_ns": iceberg.PrimitiveTypes.TimestampTzNs,
	"list<int>":    &iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.Int32},
	"map<str,int>": &iceberg.MapType{KeyID: 2, KeyType: iceberg.PrimitiveTypes.String, ValueID: 3, ValueType: iceberg.PrimitiveTypes.Int32},
	"struct<a:int>": &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 2, Name: "a", Type: iceberg.PrimitiveTypes.Int32},
	}},
}

// refused are the lines where Java stores another value than the record has and we
// refuse the record, and those where we store the value that Java loses.
var refused = map[string]string{
	"int|Long 2^40": "wraps to 0", "int|Long 1704164645123": "wraps", "int|Double 1e20": "becomes 2^31-1", "int|Double NaN": "becomes 0",
	"int|BigDecimal 12345678901.5": "wraps",
	"long|Double 1e20":             "becomes 2^63-1", "long|Double NaN": "becomes 0",
	"decimal(9,2)|Long 2^40": "too many digits", "decimal(9,2)|Long 1704164645123": "too many digits",
	"decimal(9,2)|Double 1e20": "becomes 2^63-1", "decimal(9,2)|Double NaN": "becomes 0",
	"decimal(9,2)|BigDecimal 12345678901.5": "too many digits", `decimal(9,2)|"20240102"`: "too many digits",
	"fixed4|ByteBuffer 3 bytes": "3 bytes", `fixed4|"TRUE"`: "3 bytes", `fixed4|""`: "0 bytes", `fixed4|"20240102"`: "6 bytes",
	`fixed4|"abc"`: "2 bytes", `fixed4|"yes"`: "2 bytes",
	"date|Long 2^40": "wraps", "date|Long 1704164645123": "wraps", "date|Double 1e20": "becomes 2^31-1", "date|Double NaN": "becomes 1970-01-01",
	"date|BigDecimal 12345678901.5": "wraps",
	"time|Double NaN":               "becomes midnight",
	"timestamp|Double 1e20":         "becomes 1969-12-31", "timestamp|Double NaN": "becomes 1970-01-01",
	"timestamptz|Double 1e20": "becomes 1969-12-31", "timestamptz|Double NaN": "becomes 1970-01-01",
}

// unreachable are inputs that no converter of Connect makes: objects of Java alone.
var unreachable = []string{"Character", "LocalDate", "LocalDateTime", "OffsetDateTime+1", "UUID"}

// accepted are the lines where Java refuses the value and we store it: all values that a
// timestamp takes, for columns of nanoseconds, and java.util.Date as a variant, for which
// Java does not look at the schema.
func accepted(target, label string) bool {
	return target == "timestamp_ns" || target == "variant" && strings.HasPrefix(label, "Date(")
}

func TestConvert(t *testing.T) {
	seen, lines := 0, 0
	for _, line := range vectors(t, "testdata/convert.tsv") {
		target, label, want := line[0], line[1], strings.Join(line[2:], "\t")
		if lines++; slices.Contains(unreachable, label) || accepted(target, label) {
			continue // see TestSemanticTypes and TestVariant for what comes out of the latter
		}
		if in := inputs(t, label); target == "variant" && in.schema == nil {
			want = strings.ReplaceAll(want, "type=INT32", "type=INT64") // the vectors hold Integers; converters give Longs
		}
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: types[target]})
		got, err := convertOne(t, schema, inputs(t, label))
		if err != nil {
			if _, ok := errors.AsType[*connect.DataError](err); !ok {
				t.Errorf("%s <- %s: error %T, want a DataError", target, label, err)
			}
		}
		why, refuse := refused[target+"|"+label]
		switch {
		case refuse:
			seen++
			if err == nil {
				t.Errorf("%s <- %s: got %s, want it refused: in Java it %s", target, label, got, why)
			}
		case strings.HasPrefix(want, "!"):
			if err == nil {
				t.Errorf("%s <- %s: got %s, want an error (Java: %s)", target, label, got, want)
			}
		case err != nil:
			t.Errorf("%s <- %s: %v, want %s", target, label, err, want)
		case !same(got, want):
			t.Errorf("%s <- %s: got %s, want %s", target, label, got, want)
		}
	}
	if lines != 19*49 {
		t.Errorf("%d lines, want 19 types times 49 inputs", lines)
	}
	if seen != len(refused) {
		t.Errorf("%d of %d listed differences are in the vectors", seen, len(refused))
	}
}

// convertOne appends one value to a table of one column, as schemaless record and,
// if the value has a schema, within a struct.
func convertOne(t *testing.T, schema *iceberg.Schema, in input) (string, error) {
	t.Helper()
	var record *connect.Schema
	v := object(text("c"), in.value)
	if in.schema != nil {
		record = &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "c", Schema: in.schema}}}
		v = connect.StructValue([]connect.Value{in.value})
	}
	p, err := Compile(record, schema, Options{})
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	c, err := New(schema)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := p.Append(c, v); err != nil {
		if empty, _ := New(schema); c.Len() != 0 || c.Bytes() != empty.Bytes() {
			t.Errorf("a refused record left %d rows and %d bytes", c.Len(), c.Bytes())
		}
		return "", err
	}
	return java(schema.Field(0).Type, c.vecs[0], 0), nil
}

// java writes a stored value as the vectors do.
func java(t iceberg.Type, v *vector, i int) string {
	if v.isNull(i) {
		return "null"
	}
	switch t := t.(type) {
	case iceberg.Int32Type:
		return fmt.Sprintf("Integer:%d", v.i32[i])
	case iceberg.Int64Type:
		return fmt.Sprintf("Long:%d", v.i64[i])
	case iceberg.Float32Type:
		return "Float:" + string(appendFloat(nil, float64(v.f32[i]), 32))
	case iceberg.Float64Type:
		return "Double:" + string(appendFloat(nil, v.f64[i], 64))
	case iceberg.BooleanType:
		return fmt.Sprintf("Boolean:%v", v.boolean(i))
	case iceberg.StringType:
		return "String:" + string(v.bytesAt(i))
	case iceberg.DecimalType:
		return "BigDecimal:" + v.dec[i].ToString(int32(t.Scale()))
	case iceberg.BinaryType:
		return "bb:" + hex.EncodeToString(v.bytesAt(i))
	case iceberg.FixedType:
		return "bytes:" + hex.EncodeToString(v.bytesAt(i))
	case iceberg.UUIDType:
		h := hex.EncodeToString(v.bytesAt(i))
		return "UUID:" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	case iceberg.DateType:
		return "LocalDate:" + time.Unix(int64(v.i32[i])*86400, 0).UTC().Format("2006-01-02")
	case iceberg.TimeType:
		return "LocalTime:" + time.UnixMicro(v.i64[i]).UTC().Format("15:04:05.999999")
	case iceberg.TimestampType:
		return "LocalDateTime:" + time.UnixMicro(v.i64[i]).UTC().Format("2006-01-02T15:04:05.999999")
	case iceberg.TimestampTzType:
		return "OffsetDateTime:" + time.UnixMicro(v.i64[i]).UTC().Format("2006-01-02T15:04:05.999999Z")
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return fmt.Sprintf("Nanos:%d", v.i64[i])
	case iceberg.VariantType:
		return "VariantData:" + variantText(v.kids[0].bytesAt(i), v.kids[1].bytesAt(i))
	case *iceberg.ListType:
		var out []string
		for k := v.off[i]; k < v.off[i+1]; k++ {
			out = append(out, bare(java(t.Element, v.kids[0], int(k))))
		}
		return "ArrayList:[" + strings.Join(out, ", ") + "]"
	case *iceberg.MapType:
		var out []string
		for k := v.off[i]; k < v.off[i+1]; k++ {
			out = append(out, bare(java(t.KeyType, v.kids[0], int(k)))+"="+bare(java(t.ValueType, v.kids[1], int(k))))
		}
		return "HashMap:{" + strings.Join(out, ", ") + "}"
	case *iceberg.StructType:
		return "GenericRecord:Record(" + bare(java(t.FieldList[0].Type, v.kids[0], i)) + ")"
	}
	return "?"
}

func bare(s string) string {
	if _, after, ok := strings.Cut(s, ":"); ok {
		return after
	}
	return s
}

// same compares results; times by their instant in microseconds.
func same(got, want string) bool {
	if got == want {
		return true
	}
	class, g, _ := strings.Cut(got, ":")
	wclass, w, _ := strings.Cut(want, ":")
	layouts := map[string][]string{
		"LocalTime":      {"15:04", "15:04:05", "15:04:05.999999999"},
		"LocalDateTime":  {"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04:05.999999999"},
		"OffsetDateTime": {"2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.999999999Z07:00"},
	}[class]
	parse := func(s string) (time.Time, bool) {
		for _, l := range layouts {
			if t, err := time.Parse(l, s); err == nil {
				return t.Truncate(time.Microsecond), true
			}
		}
		return time.Time{}, false
	}
	if class == "Float" { // the vectors are of a Java that does not write the shortest digits
		a, err1 := strconv.ParseFloat(g, 32)
		b, err2 := strconv.ParseFloat(w, 32)
		return class == wclass && err1 == nil && err2 == nil && a == b
	}
	a, ok1 := parse(g)
	b, ok2 := parse(w)
	return class == wclass && ok1 && ok2 && a.Equal(b)
}

// inferred are the lines where Java finds no type and leaves the values out.
var inferred = map[string]string{
	"byte[]{1,2,3,4}": "binary", "ByteBuffer 3 bytes": "binary",
	"[null,1]": "list<long>",
}

func TestInfer(t *testing.T) {
	for _, line := range vectors(t, "testdata/infer.tsv") {
		in, want := inputs(t, line[0]), line[1]
		if differs, ok := inferred[line[0]]; ok {
			want = differs
		}
		sc, err := Infer(object(text("c"), in.value))
		if err != nil {
			t.Errorf("%s: %v", line[0], err)
			continue
		}
		got := "null"
		if sc.NumFields() > 0 {
			got = sc.Field(0).Type.String()
		}
		// The vectors number fields from the value on; we from the column.
		if strings.HasPrefix(want, "struct<") {
			want = strings.NewReplacer("1: a", "2: a", "2: b", "3: b").Replace(want)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", line[0], got, want)
		}
	}
}
