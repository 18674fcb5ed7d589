package columns

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/viewtest"
)

func column(id int, name string, t iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t}
}

func mustCompile(t rapid.TB, record *connect.Schema, schema *iceberg.Schema, opts Options) (*Plan, *Columns) {
	t.Helper()
	p, err := Compile(record, schema, opts)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	c, err := New(schema)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return p, c
}

// row writes row i of c.
func row(c *Columns, i int) string {
	var out []string
	for k, f := range c.schema.Fields() {
		out = append(out, bare(java(f.Type, c.vecs[k], i)))
	}
	return strings.Join(out, " ")
}

func TestMapKeys(t *testing.T) {
	schema := iceberg.NewSchema(0, column(1, "a", iceberg.PrimitiveTypes.Int64), column(2, "B", iceberg.PrimitiveTypes.Int64))
	tests := []struct {
		name    string
		fold    bool
		keys    []string // with values 1, 2, …
		want    string
		dropped int64
	}{
		{"in order", false, []string{"a", "B"}, "1 2", 0},
		{"again", false, []string{"a", "B"}, "1 2", 0},
		{"other order", false, []string{"B", "a"}, "2 1", 0},
		{"missing", false, []string{"B"}, "null 1", 0},
		{"unknown", false, []string{"x", "a"}, "2 null", 1},
		{"unknown of the same length", false, []string{"y", "a"}, "2 null", 1},
		{"unknown again", false, []string{"y", "b"}, "null null", 2},
		{"the last of equal keys", false, []string{"a", "a", "B"}, "2 3", 0},
		{"any case", true, []string{"A", "b"}, "1 2", 0},
		{"any case, twice", true, []string{"A", "a"}, "2 null", 0},
		{"none", false, nil, "null null", 0},
	}
	plans := make(map[bool]*Plan)
	for _, tt := range tests {
		p, c := mustCompile(t, nil, schema, Options{CaseInsensitive: tt.fold})
		if plans[tt.fold] == nil {
			plans[tt.fold] = p
		}
		p = plans[tt.fold] // with what it remembers of the maps before
		before := p.Dropped()
		var pairs []connect.Value
		for i, k := range tt.keys {
			pairs = append(pairs, text(k), integer(int64(i+1)))
		}
		if err := p.Append(c, connect.MapValue(pairs)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := row(c, 0); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if got := p.Dropped() - before; got != tt.dropped {
			t.Errorf("%s: %d fields dropped, want %d", tt.name, got, tt.dropped)
		}
	}
}

// What a plan has learned from earlier maps must not show in later ones.
func TestMapKeysInAnyOrder(t *testing.T) {
	long := strings.Repeat("l", maxSlotKey+1)
	learnsNothing(t, long, [][]string{{"a", "b", "a"}, {"a", "b", long}, {"a", "b", "a"}})
	keys := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", long, "x", ""}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		usual := rapid.SliceOfN(keys, 1, 3).Draw(t, "shapes")
		learnsNothing(t, long, rapid.SliceOfN(rapid.SampledFrom(usual), 8, 8).Draw(t, "maps"))
	})
}

// learnsNothing appends maps with these keys to a table of the columns a, b and long:
// each must give the row that a new plan gives.
func learnsNothing(t rapid.TB, long string, maps [][]string) {
	t.Helper()
	schema := iceberg.NewSchema(0, column(1, "a", iceberg.PrimitiveTypes.Int64), column(2, "b", iceberg.PrimitiveTypes.Int64), column(3, long, iceberg.PrimitiveTypes.Int64))
	compile := func() *Plan {
		p, err := Compile(nil, schema, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	learned := compile()
	for _, keys := range maps {
		var pairs []connect.Value
		for i, k := range keys {
			pairs = append(pairs, connect.StringValue(k), connect.IntValue(int64(i)))
		}
		var rows []string
		for _, p := range []*Plan{learned, compile()} {
			c, err := New(schema)
			if err != nil {
				t.Fatal(err)
			}
			before := p.Dropped()
			if err := p.Append(c, connect.MapValue(pairs)); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprintf("%s, %d dropped", row(c, 0), p.Dropped()-before))
		}
		if rows[0] != rows[1] {
			t.Fatalf("keys %q: got %q, want %q", keys, rows[0], rows[1])
		}
	}
}

func TestStructFields(t *testing.T) {
	schema := iceberg.NewSchema(0, column(1, "a", iceberg.PrimitiveTypes.Int64), column(2, "b", iceberg.PrimitiveTypes.String))
	record := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		{Name: "B", Schema: &connect.Schema{Type: connect.StringType}},
		{Name: "x", Schema: &connect.Schema{Type: connect.StringType}},
		{Name: "a", Schema: &connect.Schema{Type: connect.Int32}},
	}}
	v := connect.StructValue([]connect.Value{text("t"), text("u"), integer(5)})
	mapping := iceberg.NameMapping{{FieldID: new(1), Names: []string{"old", "x"}}}
	for _, tt := range []struct {
		name    string
		opts    Options
		want    string
		dropped int64
	}{
		{"exact", Options{}, "5 null", 2},
		{"any case", Options{CaseInsensitive: true}, "5 t", 1},
	} {
		p, c := mustCompile(t, record, schema, tt.opts)
		if err := p.Append(c, v); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := row(c, 0); got != tt.want || p.Dropped() != tt.dropped {
			t.Errorf("%s: got %q and %d dropped, want %q and %d", tt.name, got, p.Dropped(), tt.want, tt.dropped)
		}
	}
	p, c := mustCompile(t, nil, schema, Options{CaseInsensitive: true, NameMapping: mapping})
	if err := p.Append(c, object(text("x"), integer(1), text("a"), integer(2), text("b"), text("t"))); err != nil || row(c, 0) != "1 null" {
		t.Errorf("name mapping: got %q, %v; want the alias only", row(c, 0), err)
	}
}

func TestRefusals(t *testing.T) {
	required := iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true}
	nested := column(2, "n", &iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 3, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true}}})
	elems := column(4, "l", &iceberg.ListType{ElementID: 5, Element: iceberg.PrimitiveTypes.Int32, ElementRequired: true})
	schema := iceberg.NewSchema(0, required, nested, elems)
	id := func(pairs ...connect.Value) connect.Value {
		return connect.MapValue(append([]connect.Value{text("id"), integer(1)}, pairs...))
	}
	for _, tt := range []struct {
		value connect.Value
		want  string // "": taken
	}{
		{id(), ""},
		{object(), `column "id" is required and the record has no value for it (make the column optional, or fill the field)`},
		{object(text("id"), connect.Value{}), `column "id" is required`},
		{id(text("n"), object()), `column "n.x" is required`},
		{id(text("n"), connect.Value{}), ""},
		{id(text("n"), object(text("x"), integer(1<<31))), `column "n.x": 2147483648 is out of range for int`},
		{id(text("l"), listOf(integer(1), connect.Value{})), `column "l.element" is required`},
		{id(text("l"), integer(1)), `column "l": cannot convert integer to list<int>`},
		{id(text("l"), listOf(text(strings.Repeat("é", 100)))), `column "l.element": cannot read "` + strings.Repeat("é", 32) + `"… as int`},
		{text("x"), "cannot convert a value that is string to a table row"},
		{connect.Value{}, "cannot convert a value that is null to a table row"},
		{connect.StructValue(nil), "does not match the record's schema"},
	} {
		p, c := mustCompile(t, nil, schema, Options{})
		err := p.Append(c, tt.value)
		if tt.want == "" && err == nil {
			continue
		}
		de, ok := errors.AsType[*connect.DataError](err)
		if tt.want == "" || !ok || !strings.Contains(de.Error(), tt.want) {
			t.Errorf("got error %v, want %q", err, tt.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, tt := range []struct {
		schema *iceberg.Schema
		opts   Options
		want   string
	}{
		{iceberg.NewSchema(0, column(1, "v", iceberg.UnknownType{})), Options{}, `column "v" has type unknown`},
		{iceberg.NewSchema(0, column(1, "s", &iceberg.StructType{FieldList: []iceberg.NestedField{column(2, "t", iceberg.GeometryType{})}})), Options{}, `column "s.t" has type geometry`},
		{iceberg.NewSchema(0, column(1, "a", iceberg.PrimitiveTypes.Int32), column(2, "A", iceberg.PrimitiveTypes.Int32)), Options{CaseInsensitive: true}, `columns "a" and "A" go by the same name`},
	} {
		if _, err := Compile(nil, tt.schema, tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want %q", err, tt.want)
		}
	}
}

func TestSchemaOf(t *testing.T) {
	field := func(name string, s connect.Schema) connect.Field { return connect.Field{Name: name, Schema: &s} }
	optional := func(s connect.Schema) *connect.Schema { s.Optional = true; return &s }
	loop := &connect.Schema{Type: connect.StructType}
	loop.Fields = []connect.Field{{Name: "next", Schema: loop}}
	record := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		field("b", connect.Schema{Type: connect.Boolean}),
		field("i8", connect.Schema{Type: connect.Int8}),
		field("date", connect.Schema{Type: connect.Int32, Name: connect.LogicalDate}),
		field("time", connect.Schema{Type: connect.Int32, Name: connect.LogicalTime}),
		field("ts", connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp, Optional: true}),
		field("dec", connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": "4"}}),
		field("u", connect.Schema{Type: connect.StringType, Name: "uuid"}),
		field("empty", connect.Schema{Type: connect.StructType}),
		field("l", connect.Schema{Type: connect.ArrayType, Elem: optional(connect.Schema{Type: connect.Float32})}),
		field("m", connect.Schema{Type: connect.MapType, Key: &connect.Schema{Type: connect.StringType}, Elem: &connect.Schema{Type: connect.BytesType}}),
		field("s", connect.Schema{Type: connect.StructType, Fields: []connect.Field{field("x", connect.Schema{Type: connect.Int64})}}),
	}}
	want := `table {
	1: b: required boolean
	2: i8: required int
	3: date: required date
	4: time: required time
	5: ts: optional timestamptz
	6: dec: required decimal(38, 4)
	7: u: required uuid
	8: l: required list<float>
	10: m: required map<string, binary>
	13: s: required struct<14: x: required long>
}`
	sc, err := SchemaOf(record, Options{})
	if err != nil || sc.String() != want {
		t.Errorf("got %v, %v; want %s", sc, err, want)
	}
	sc, err = SchemaOf(record, Options{ForceOptional: true})
	if err != nil || strings.Contains(sc.String(), "required") {
		t.Errorf("force optional: got %v, %v", sc, err)
	}
	for _, bad := range []*connect.Schema{nil, {Type: connect.StringType}, loop, {Type: connect.StructType, Fields: []connect.Field{
		field("d", connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": "39"}}),
	}}} {
		_, err := SchemaOf(bad, Options{})
		if _, ok := errors.AsType[*connect.DataError](err); !ok {
			t.Errorf("SchemaOf(%+v): got %v, want a DataError", bad, err)
		}
	}
}

// TestUndo appends records of which some fail anywhere inside, and compares with the
// columns of the others alone.
func TestUndo(t *testing.T) {
	inner := &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 3, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true}, {ID: 4, Name: "y", Type: iceberg.PrimitiveTypes.String},
	}}
	schema := iceberg.NewSchema(0,
		column(1, "b", iceberg.PrimitiveTypes.Bool),
		column(2, "s", inner),
		column(5, "l", &iceberg.ListType{ElementID: 6, Element: &iceberg.ListType{ElementID: 7, Element: iceberg.PrimitiveTypes.Int32}}),
		column(8, "m", &iceberg.MapType{KeyID: 9, KeyType: iceberg.PrimitiveTypes.String, ValueID: 10, ValueType: iceberg.FixedTypeOf(2)}),
		column(11, "d", iceberg.DecimalTypeOf(5, 1)),
		column(12, "u", iceberg.PrimitiveTypes.Binary),
		column(13, "z", iceberg.PrimitiveTypes.Float32))
	value := func(t *rapid.T, good connect.Value, bad ...connect.Value) connect.Value {
		switch rapid.IntRange(0, 9).Draw(t, "pick") {
		case 0:
			return connect.Value{}
		case 1:
			return bad[rapid.IntRange(0, len(bad)-1).Draw(t, "bad")]
		}
		return good
	}
	rapid.Check(t, func(rt *rapid.T) {
		p, c := mustCompile(t, nil, schema, Options{})
		q, want := mustCompile(t, nil, schema, Options{})
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			i := integer(rapid.Int64Range(0, 9).Draw(rt, "i"))
			s := text(rapid.SampledFrom([]string{"", "a", "abc"}).Draw(rt, "s"))
			list := value(rt, listOf(i, i), listOf(i, integer(1<<40)))
			v := object(
				text("b"), value(rt, connect.BoolValue(true), i),
				text("s"), value(rt, object(text("x"), value(rt, i, s), text("y"), s), i, object(text("y"), s)),
				text("l"), value(rt, listOf(list, connect.Value{}, list), listOf(list, i)),
				text("m"), value(rt, object(s, connect.BytesValue([]byte{1, 2})), object(s, connect.BytesValue([]byte{1})), i),
				text("d"), value(rt, connect.FloatValue(0.25), integer(100000), connect.FloatValue(math.NaN())),
				text("u"), value(rt, connect.BytesValue([]byte("abc")), i),
				text("z"), value(rt, connect.FloatValue(0.5), connect.FloatValue(1e300)))
			if p.Append(c, v) == nil {
				if err := q.Append(want, v); err != nil {
					rt.Fatalf("taken once, then refused: %v", err)
				}
			}
		}
		got, expected := c.Batch(), want.Batch()
		if c.Len() != want.Len() || c.Bytes() != want.Bytes() {
			rt.Fatalf("got %d rows in %d bytes, want %d in %d", c.Len(), c.Bytes(), want.Len(), want.Bytes())
		}
		for i, col := range got.Columns() {
			if col.String() != expected.Column(i).String() {
				rt.Fatalf("column %d: got %s, want %s", i, col, expected.Column(i))
			}
		}
		// Row by row into others: the same again.
		moved := c.Fresh()
		for i := range c.Len() {
			moved.AppendRow(c, i)
		}
		for i, col := range moved.Batch().Columns() {
			if col.String() != expected.Column(i).String() {
				rt.Fatalf("moved column %d: got %s, want %s", i, col, expected.Column(i))
			}
		}
	})
}

func TestReset(t *testing.T) {
	schema := iceberg.NewSchema(0, column(1, "a", iceberg.PrimitiveTypes.Int64), column(2, "s", iceberg.PrimitiveTypes.String))
	p, c := mustCompile(t, nil, schema, Options{})
	for round := range 3 {
		for i := range 20 {
			v := object(text("a"), integer(int64(i)))
			if i%3 == round {
				v = object(text("s"), text("t"))
			}
			if err := p.Append(c, v); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			if null := c.vecs[0].isNull(i); null != (i%3 == round) {
				t.Errorf("round %d, row %d: null is %v", round, i, null)
			}
		}
		c.Reset()
	}
}

// TestRelease sees that one huge record does not keep its memory.
func TestRelease(t *testing.T) {
	schema := iceberg.NewSchema(0, column(1, "s", iceberg.PrimitiveTypes.String), column(2, "l", &iceberg.ListType{ElementID: 3, Element: iceberg.PrimitiveTypes.String}))
	p, c := mustCompile(t, nil, schema, Options{})
	small := object(text("s"), text("a"), text("l"), listOf(text("b"), connect.Value{}))
	if err := errors.Join(p.Append(c, object(text("s"), text(strings.Repeat("x", 2*keepBytes)))), p.Append(c, small)); err != nil {
		t.Fatal(err)
	}
	c.Reset()
	if held := c.Held(); held > 1000 {
		t.Errorf("%d bytes held after Reset", held)
	}
	if err := p.Append(c, small); err != nil || row(c, 0) != "a [b, null]" {
		t.Errorf("got %q, %v after Reset", row(c, 0), err)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]int64{
		"1970-01-01": 0, "1969-12-31": -1, "2000-02-29": 11016, "-0001-03-01": -719468 - 366, "0000-02-29": -719469, "+12345-01-01": 3789391,
	} {
		if got, ok := parseDate(in); !ok || got != want {
			t.Errorf("parseDate(%q) = %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "1970-1-1", "1970-13-01", "2001-02-29", "12345-01-01", "+1970-01-01", "1970-01-01 ", "1970-01-00", "99999999999-01-01"} {
		if got, ok := parseDate(in); ok {
			t.Errorf("parseDate(%q) = %d, want it refused", in, got)
		}
	}
	for in, want := range map[string]int64{
		"1969-12-31T23:59:59.999999999": -1, "1970-01-01 00:00": 0, "1970-01-01T01:00:00.5+01:00": 500_000,
		"1969-12-31T23:00:00-0100": 0, "1970-01-01T00:00:01.Z": 1_000_000, "1970-01-01T18:00+18": 0,
	} {
		days, ns, ok := parseTimestamp(in, true)
		got, inRange := sinceEpoch(days, ns, micro)
		if !ok || !inRange || got != want {
			t.Errorf("parseTimestamp(%q) = %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"1970-01-01T24:00", "1970-01-01T00:60", "1970-01-01T00:00:60", "1970-01-01T00:00+18:01", "1970-01-01T00:00+1", "1970-01-01T00:00 Z", "1970-01-01", "1970-01-01T", "+999999999-01-01T00:00"} {
		days, ns, ok := parseTimestamp(in, true)
		if got, inRange := sinceEpoch(days, ns, micro); ok && inRange {
			t.Errorf("parseTimestamp(%q) = %d, want it refused", in, got)
		}
	}
}

func TestDecimals(t *testing.T) {
	schema := func(p, s int) *iceberg.Schema {
		return iceberg.NewSchema(0, column(1, "c", iceberg.DecimalTypeOf(p, s)))
	}
	bytes := func(scale string, b ...byte) input {
		return input{connect.BytesValue(b), &connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": scale}}}
	}
	for _, tt := range []struct {
		p, s int
		in   input
		want string // "": refused
	}{
		{9, 2, bytes("2", 0xff), "-0.01"},
		{9, 2, bytes("3", 0xff), "0.00"},
		{9, 2, bytes("3", 0xfb), "-0.01"}, // -0.005, half up is away from zero
		{9, 2, bytes("2"), "0.00"},
		{9, 2, bytes("-1", 7), "70.00"},
		{3, 2, bytes("2", 0x03, 0xe7), "9.99"},
		{3, 2, bytes("2", 0x03, 0xe8), ""},
		{38, 0, bytes("0", append([]byte{0x7f}, make([]byte, 15)...)...), ""},
		{38, 0, input{value: connect.FloatValue(1e20)}, "100000000000000000000"},
		{9, 2, input{value: connect.FloatValue(math.Inf(1))}, ""},
		{9, 2, input{value: text("1e3")}, "1000.00"},
		{9, 2, input{value: text("1e1000000000")}, ""},
		{9, 2, input{value: text("1e-1000000000")}, "0.00"},
		{9, 2, input{value: text("-.5")}, "-0.50"},
		{9, 2, input{value: text("5.")}, "5.00"},
		{9, 2, input{value: text(".")}, ""},
		{9, 2, input{value: text("1_0")}, ""},
		{9, 2, input{value: text(strings.Repeat("9", 5000))}, ""},
	} {
		got, err := convertOne(t, schema(tt.p, tt.s), tt.in)
		if (err == nil) != (tt.want != "") || bare(got) != tt.want {
			t.Errorf("decimal(%d,%d) <- %v: got %q, %v; want %q", tt.p, tt.s, tt.in.value.Bytes(), got, err, tt.want)
		}
	}
}

func TestRender(t *testing.T) {
	record := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		{Name: "q\"\n\x01é", Schema: &connect.Schema{Type: connect.Float32}},
		{Name: "m", Schema: &connect.Schema{Type: connect.MapType, Key: &connect.Schema{Type: connect.Int32}, Elem: &connect.Schema{Type: connect.BytesType}}},
	}}
	v := connect.StructValue([]connect.Value{
		connect.FloatValue(float64(float32(1.1))), object(integer(1), connect.BytesValue([]byte("a"))),
	})
	schema := iceberg.NewSchema(0, column(1, "c", iceberg.PrimitiveTypes.String))
	for _, tt := range []struct {
		in   input
		want string
	}{
		{input{v, record}, `{"q\"\n\u0001é":1.1,"m":[[1,"YQ=="]]}`},
		{input{value: listOf(connect.FloatValue(math.NaN()), connect.Value{}, connect.BoolValue(false))}, `["NaN",null,false]`},
		{input{value: object(text("a"), integer(1), text("a"), integer(2))}, `{"a":2}`},
		{input{value: connect.FloatValue(123456789)}, "1.23456789E8"},
		{input{value: connect.FloatValue(0.001)}, "0.001"},
		{input{value: connect.FloatValue(-0.00099)}, "-9.9E-4"},
		{input{value: connect.FloatValue(100)}, "100.0"},
		{input{value: connect.FloatValue(math.Copysign(0, -1))}, "-0.0"},
		{decimal("5", 7), "5E-7"},
		{decimal("50", 8), "5.0E-7"},
		{decimal("5", 6), "0.000005"},
		{decimal("123", -2), "1.23E+4"},
	} {
		got, err := convertOne(t, schema, tt.in)
		if err != nil || bare(got) != tt.want {
			t.Errorf("got %q, %v; want %q", bare(got), err, tt.want)
		}
	}
}

// FuzzText feeds text to every type that reads text.
func FuzzText(f *testing.F) {
	for _, s := range []string{"2024-01-02T03:04:05.123456789-08:00", "-1.5e-3", "0x1p3", "AQ==", "1-1-1-1-1", "NaN", "+", "true"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, typ := range types {
			got, err := convertOne(t, iceberg.NewSchema(0, column(1, "c", typ)), input{value: text(s)})
			if name == "string" && (err != nil || got != "String:"+s) {
				t.Errorf("string %q became %q, %v", s, got, err)
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	p, c := mustCompile(t, nil, viewtest.Table(), Options{})
	v, sv := viewtest.Map(7), viewtest.Struct(7)
	sp, _ := mustCompile(t, viewtest.Record(), viewtest.Table(), Options{})
	for range 2000 { // grow the vectors
		if err := errors.Join(p.Append(c, v), sp.Append(c, sv)); err != nil {
			t.Fatal(err)
		}
	}
	c.Reset()
	if allocs := testing.AllocsPerRun(1000, func() {
		if p.Append(c, v) != nil || sp.Append(c, sv) != nil {
			t.Fatal("refused")
		}
	}); allocs > 0 {
		t.Errorf("%v allocations per pair of records, want none", allocs)
	}
}

// A refused map leaves nothing behind that the next one is taken for.
func TestAppendAfterRefusal(t *testing.T) {
	table := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	p, c := mustCompile(t, nil, table, Options{})
	for _, v := range []connect.Value{object(text("id"), integer(1)), object(text("ID"), text("x"), text("id"), text("bad")), object(text("ID"), text("x"), text("id"), integer(2)), object(text("ID"), integer(1))} {
		_ = p.Append(c, v) // the second is refused
	}
	if c.Len() != 3 || p.Dropped() != 2 {
		t.Errorf("%d rows, %d fields dropped; want 3 and 2", c.Len(), p.Dropped())
	}
}
