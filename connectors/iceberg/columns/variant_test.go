package columns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/variant"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

// variantText writes a variant as the vectors do.
func variantText(metadata, value []byte) string {
	v, err := variant.New(metadata, value)
	if err != nil {
		return err.Error()
	}
	var names []string
	m := v.Metadata()
	for i := range m.DictionarySize() {
		name, err := m.KeyAt(i)
		if err != nil {
			return err.Error()
		}
		names = append(names, fmt.Sprintf("%d => %s", i, name))
	}
	return "Variant(metadata=VariantMetadata(dict={" + strings.Join(names, ", ") + "}), value=" + variantValueText(v) + ")"
}

func variantValueText(v variant.Value) string {
	primitive := func(class, text string) string { return "Variant(type=" + class + ", value=" + text + ")" }
	switch x := v.Value().(type) {
	case nil:
		return primitive("NULL", "null")
	case bool:
		return primitive(strings.ToUpper("BOOLEAN_"+strconv.FormatBool(x)), strconv.FormatBool(x))
	case int8, int16, int32, int64:
		return primitive(strings.ToUpper(fmt.Sprintf("%T", x)), fmt.Sprint(x))
	case float32:
		return primitive("FLOAT", string(appendFloat(nil, float64(x), 32)))
	case float64:
		return primitive("DOUBLE", string(appendFloat(nil, x, 64)))
	case string:
		return primitive("STRING", x)
	case []byte:
		return primitive("BINARY", hex.EncodeToString(x))
	case arrow.Date32:
		return primitive("DATE", x.FormattedString())
	case arrow.Time64:
		return primitive("TIME", x.FormattedString(arrow.Microsecond))
	case arrow.Timestamp:
		return primitive("TIMESTAMPTZ", x.ToTime(arrow.Microsecond).Format(time.RFC3339Nano))
	case variant.ArrayValue:
		var out []string
		for e := range x.Values() {
			out = append(out, variantValueText(e))
		}
		return "VariantArray([" + strings.Join(out, ", ") + "])"
	case variant.ObjectValue:
		var out []string
		for name, e := range x.Values() {
			out = append(out, name+": "+variantValueText(e))
		}
		return "VariantObject(fields={" + strings.Join(out, ", ") + "})"
	}
	class := map[variant.Type]string{variant.Decimal4: "DECIMAL4", variant.Decimal8: "DECIMAL8", variant.Decimal16: "DECIMAL16"}[v.Type()]
	text, err := v.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return primitive(class, string(text))
}

var variantTable = iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: iceberg.VariantType{}})

func TestVariant(t *testing.T) {
	long := strings.Repeat("x", 70)
	many := make([]connect.Value, 300)
	for i := range many {
		many[i] = integer(int64(i))
	}
	var wide []connect.Value
	for i := range 100 { // the library's reader fails above 126 names
		wide = append(wide, text(fmt.Sprintf("f%03d", i)), text(long))
	}
	for _, c := range []struct {
		in   input
		want string // a part of the text; "!" and a part of the error
	}{
		{javaDate(-1), "value=Variant(type=TIMESTAMPTZ, value=1969-12-31T23:59:59.999Z)"},
		{input{integer(19724), named(connect.Int32, connect.LogicalDate)}, "value=Variant(type=DATE, value=2024-01-02)"},
		{input{integer(1500), named(connect.Int32, connect.LogicalTime)}, "value=Variant(type=TIME, value=00:00:01.500000)"},
		{input{integer(-5), &connect.Schema{Type: connect.Int16}}, "value=Variant(type=INT16, value=-5)"},
		{input{value: text(long)}, "value=Variant(type=STRING, value=" + long + ")"},
		{decimal("12345678901234567890", 3), "value=Variant(type=DECIMAL16, value=12345678901234567.890)"},
		{decimal("5", -2), "value=Variant(type=DECIMAL4, value=500)"},
		{decimal("1", 40), "!has no form as a variant"},
		{input{value: object(text("b"), integer(1), text("a"), object(text("c"), connect.Value{}), text("b"), integer(2))}, "dict={0 => a, 1 => b, 2 => c}), value=VariantObject(fields={a: VariantObject(fields={c: Variant(type=NULL, value=null)}), b: Variant(type=INT64, value=2)})"},
		{input{value: object(integer(1), integer(1))}, "!keys that are int"},
		{input{value: listOf(many...)}, "Variant(type=INT64, value=299)])"},
		{input{value: object(wide...)}, "f099: Variant(type=STRING, value=" + long + ")})"},
		{input{value: object()}, "value=VariantObject(fields={})"},
		{input{value: listOf()}, "value=VariantArray([])"},
	} {
		got, err := convertOne(t, variantTable, c.in)
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if _, ok := errors.AsType[*connect.DataError](err); !ok || !strings.Contains(err.Error(), part) {
				t.Errorf("got %s and error %v, want an error with %q", got, err, part)
			}
			continue
		}
		if err != nil || !strings.Contains(got, c.want) {
			t.Errorf("got %.400s (%v), want %.200s", got, err, c.want)
		}
	}
	deep := integer(1)
	for range maxVariantDepth + 1 {
		deep = listOf(deep)
	}
	if _, err := convertOne(t, variantTable, input{value: deep}); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("a value without end: got error %v", err)
	}
}

// An object of so many fields, and with so many names, that all numbers in it take two
// bytes or more. The library's reader cannot read those.
func TestVariantOfManyFields(t *testing.T) {
	const n = 300
	var pairs []connect.Value
	for i := range n {
		pairs = append(pairs, text(fmt.Sprintf("f%03d", n-1-i)), text(fmt.Sprintf("v%03d", n-1-i)))
	}
	p, c := mustCompile(t, nil, variantTable, Options{})
	if err := p.Append(c, object(text("c"), object(pairs...))); err != nil {
		t.Fatal(err)
	}
	m, v := c.vecs[0].kids[0].bytesAt(0), c.vecs[0].kids[1].bytesAt(0)
	two := func(b []byte, i int) int { return int(b[2*i]) | int(b[2*i+1])<<8 }
	if m[0] != 0x51 || two(m[1:], 0) != n || two(m[3:], n) != 4*n || len(m) != 1+2+2*(n+1)+4*n {
		t.Fatalf("metadata %x", m[:16])
	}
	// Header: an object, offsets and ids of two bytes, a number of fields of four.
	if v[0] != 2|1<<2|1<<4|1<<6 || int(v[1])|int(v[2])<<8 != n {
		t.Fatalf("value %x", v[:16])
	}
	ids, ends := v[5:], v[5+2*n:]
	values := v[5+2*n+2*(n+1):]
	for i := range n {
		name := m[1+2+2*(n+1):][two(m[3:], two(ids, i)):][:4]
		value := values[two(ends, i):two(ends, i+1)]
		if string(name) != fmt.Sprintf("f%03d", i) || string(value[1:]) != fmt.Sprintf("v%03d", i) || value[0] != 1|4<<2 {
			t.Fatalf("field %d: %q is %q", i, name, value)
		}
	}
}

// A reader finds in a variant what was written.
func TestVariantRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, 4)
		p, c := mustCompile(t, nil, variantTable, Options{})
		for range 2 { // the second meets what the first left in the scratch
			if err := p.Append(c, object(text("c"), v)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 {
			if v.IsNull() {
				if !c.vecs[0].isNull(i) {
					t.Fatal("null became a value")
				}
				continue
			}
			got, err := variant.New(c.vecs[0].kids[0].bytesAt(i), c.vecs[0].kids[1].bytesAt(i))
			if err != nil {
				t.Fatal(err)
			}
			if a, b := variantValueText(got), connectText(v); a != b {
				t.Fatalf("got %s, want %s", a, b)
			}
		}
	})
}

func drawValue(t *rapid.T, depth int) connect.Value {
	most := 6
	if depth == 0 {
		most = 4
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return connect.Value{}
	case 1:
		return integer(rapid.Int64().Draw(t, "int"))
	case 2:
		return text(rapid.StringN(0, 80, -1).Draw(t, "text"))
	case 3:
		return connect.FloatValue(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "float"))
	case 4:
		return connect.BoolValue(rapid.Bool().Draw(t, "bool"))
	case 5:
		var elems []connect.Value
		for range rapid.IntRange(0, 5).Draw(t, "length") {
			elems = append(elems, drawValue(t, depth-1))
		}
		return listOf(elems...)
	}
	var pairs []connect.Value
	for range rapid.IntRange(0, 5).Draw(t, "size") {
		pairs = append(pairs, text(rapid.StringMatching("[a-e]{1,2}").Draw(t, "name")), drawValue(t, depth-1))
	}
	return object(pairs...)
}

// connectText is what variantValueText should write for a schemaless value.
func connectText(v connect.Value) string {
	primitive := func(class, text string) string { return "Variant(type=" + class + ", value=" + text + ")" }
	switch v.Kind() { //nolint:exhaustive // the rest is not drawn
	case connect.Int:
		return primitive("INT64", strconv.FormatInt(v.Int(), 10))
	case connect.String:
		return primitive("STRING", v.Text())
	case connect.Float:
		return primitive("DOUBLE", string(appendFloat(nil, v.Float(), 64)))
	case connect.Bool:
		return primitive(strings.ToUpper("BOOLEAN_"+strconv.FormatBool(v.Bool())), strconv.FormatBool(v.Bool()))
	case connect.Array:
		var out []string
		for _, e := range v.Elems() {
			out = append(out, connectText(e))
		}
		return "VariantArray([" + strings.Join(out, ", ") + "])"
	case connect.Map:
		last := map[string]connect.Value{}
		for i := 0; i < len(v.Pairs()); i += 2 {
			last[v.Pairs()[i].Text()] = v.Pairs()[i+1]
		}
		var out []string
		for _, name := range slices.Sorted(maps.Keys(last)) {
			out = append(out, name+": "+connectText(last[name]))
		}
		return "VariantObject(fields={" + strings.Join(out, ", ") + "})"
	}
	return primitive("NULL", "null")
}
