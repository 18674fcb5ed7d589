package columns

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

func structSchema(optional bool, fields ...connect.Field) *connect.Schema {
	return &connect.Schema{Type: connect.StructType, Optional: optional, Fields: fields}
}

func fieldOf(name string, t connect.Type, optional bool) connect.Field {
	return connect.Field{Name: name, Schema: &connect.Schema{Type: t, Optional: optional}}
}

func structOf(v ...connect.Value) connect.Value { return connect.StructValue(v) }

func col(id int, name string, t iceberg.Type, required bool) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t, Required: required}
}

// A record is a value with its schema, nil for a schemaless map.
type record struct {
	schema *connect.Schema
	value  connect.Value
}

var (
	intType, longType = iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64
	stringType        = iceberg.PrimitiveTypes.String
)

// evolved plays records into a table as the sink does and gives the schema after each,
// and the error of those that were refused.
func evolved(t *testing.T, table *iceberg.Schema, opts Options, records ...record) (schemas []string, errs []error) {
	t.Helper()
	opts.Evolve = true
	for _, r := range records {
		changes, err := Evolve(r.schema, &r.value, table, opts)
		if err == nil && len(changes) > 0 {
			var next *iceberg.Schema
			if next, opts.NameMapping, err = Apply(table, table.HighestFieldID(), opts.NameMapping, changes); err != nil {
				t.Fatalf("Apply: %v", err)
			}
			table = next
		}
		if err == nil {
			err = appendTo(t, table, opts, r)
		}
		schemas, errs = append(schemas, strings.Join(strings.Fields(table.String()), " ")), append(errs, err)
	}
	return schemas, errs
}

func appendTo(t *testing.T, table *iceberg.Schema, opts Options, r record) error {
	t.Helper()
	c, err := New(table)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(r.schema, table, opts)
	if err != nil {
		return err
	}
	return p.Append(c, r.value)
}

func TestEvolveLikeJava(t *testing.T) {
	timestamp := &connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp}
	ab := structSchema(false, connect.Field{Name: "p", Schema: structSchema(true, fieldOf("a", connect.Int32, false), fieldOf("b", connect.StringType, true))})
	id := iceberg.NewSchema(0, col(1, "id", longType, false))
	stories := map[string]struct {
		table   *iceberg.Schema
		opts    Options
		records []record
		differs map[int]string // the schema after a record, where Java loses values or breaks the table
		refused bool           // the first record
	}{
		"nested-under-relaxed-parent": {
			table: iceberg.NewSchema(0, col(1, "p", &iceberg.StructType{FieldList: []iceberg.NestedField{col(2, "a", intType, true)}}, true)),
			records: []record{
				{ab, structOf(structOf(integer(1), text("x")))},
				{ab, structOf(structOf(integer(2), text("y")))},
			},
			differs: map[int]string{0: "table { 1: p: optional struct<2: a: required int, 3: b: optional string> }"},
		},
		"timestamp-into-int": {
			table:   iceberg.NewSchema(0, col(1, "v", intType, false)),
			records: []record{{structSchema(false, connect.Field{Name: "v", Schema: timestamp}), structOf(integer(5))}},
			differs: map[int]string{0: "table { 1: v: optional int }"},
			refused: true,
		},
		"add-required": {
			table:   iceberg.NewSchema(0, col(1, "id", intType, false)),
			records: []record{{structSchema(false, fieldOf("id", connect.Int32, false), fieldOf("q", connect.Int32, false)), structOf(integer(1), integer(2))}},
		},
		"schemaless-list-struct": {
			table: id,
			records: []record{
				{nil, object(text("l"), listOf(object(text("x"), integer(1)), object(text("x"), integer(2), text("y"), text("q"))))},
				{nil, object(text("l"), listOf(object(text("x"), integer(1)), object(text("x"), integer(2), text("y"), text("q"))))},
			},
			differs: map[int]string{0: "table { 1: id: optional long 2: l: optional list<struct<4: x: optional long, 5: y: optional string>> }"},
		},
		"case-dup": {
			table:   id,
			opts:    Options{CaseInsensitive: true},
			records: []record{{nil, object(text("A"), integer(1), text("a"), integer(2))}},
			differs: map[int]string{0: "table { 1: id: optional long }"},
			refused: true,
		},
		"required missing": {
			table:   iceberg.NewSchema(0, col(1, "id", longType, true), col(2, "z", stringType, true)),
			records: []record{{nil, object(text("id"), integer(1))}},
			differs: map[int]string{0: "table { 1: id: required long 2: z: optional string }"},
		},
		"type conflict": {
			table:   id,
			records: []record{{nil, object(text("id"), listOf(integer(1)))}},
			refused: true,
		},
		"dotted field name": {
			table:   id,
			records: []record{{nil, object(text("x.y"), integer(1))}},
		},
		"string value": {table: id, records: []record{{nil, text("x")}}, refused: true},
	}
	for _, line := range vectors(t, "testdata/evolve.tsv") {
		name, want := line[0], strings.Join(strings.Fields(line[2]), " ")
		n, err := strconv.Atoi(line[1])
		story, ok := stories[name]
		if err != nil || !ok {
			t.Fatalf("no story called %q", name)
		}
		schemas, errs := evolved(t, story.table, story.opts, story.records...)
		if differs, ok := story.differs[n]; ok {
			if differs == want {
				t.Errorf("%s: record %d is listed as a difference and is none", name, n)
			}
			want = differs
		}
		if schemas[n] != want {
			t.Errorf("%s: after record %d: got %s, want %s", name, n, schemas[n], want)
		}
		if _, ok := errors.AsType[*connect.DataError](errs[n]); ok != story.refused || !ok && errs[n] != nil {
			t.Errorf("%s: record %d: got error %v, want refused %v", name, n, errs[n], story.refused)
		}
	}
}

func TestEvolve(t *testing.T) {
	inner := &iceberg.StructType{FieldList: []iceberg.NestedField{col(5, "x", longType, true)}}
	table := &iceberg.ListType{ElementID: 4, Element: inner, ElementRequired: true}
	wide := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		col(1, "id", intType, true), col(2, "f", iceberg.PrimitiveTypes.Float32, false), col(3, "l", table, true),
		col(6, "d", iceberg.DecimalTypeOf(4, 2), false),
		col(7, "m", &iceberg.MapType{KeyID: 8, KeyType: stringType, ValueID: 9, ValueType: intType, ValueRequired: true}, false))
	decimal := func(scale, precision string) *connect.Schema {
		p := map[string]string{"scale": scale}
		if precision != "" {
			p[decimalPrecision] = precision
		}
		return &connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: p}
	}
	full := func(more ...connect.Value) connect.Value {
		return object(append([]connect.Value{text("id"), integer(1), text("l"), listOf()}, more...)...)
	}
	cases := []struct {
		name   string
		record record
		opts   Options
		want   string // changes, or "!" and a part of the error
	}{
		{"nothing", record{value: full()}, Options{}, ""},
		{"null and empty fields tell of no column", record{value: full(text("n"), connect.Value{}, text("e"), object(text("a"), connect.Value{}), text("q"), listOf(listOf()))}, Options{}, ""},
		{"widen by schema", record{schema: structSchema(false, fieldOf("id", connect.Int64, false), fieldOf("f", connect.Float64, false), connect.Field{Name: "l", Schema: &connect.Schema{Type: connect.ArrayType, Elem: structSchema(false, fieldOf("x", connect.Int64, false))}})}, Options{}, `widen column "id" to long; widen column "f" to double`},
		{"widen by value", record{value: full(text("id"), integer(1<<40), text("f"), connect.FloatValue(1e300), text("m"), object(text("k"), integer(1<<33), text("q"), integer(1)))}, Options{}, `widen column "id" to long; widen column "f" to double; widen column "m.value" to long`},
		{"relax and add in one plan", record{value: full(text("l"), listOf(object(text("y"), integer(1)), connect.Value{}, object(text("x"), integer(1), text("z"), text("t"))))}, Options{}, `add column "l.element.y" of type long; make column "l.element.x" optional; make column "l.element" optional; add column "l.element.z" of type string`},
		{"identifier fields stay required", record{value: object(text("l"), listOf(), text("new"), integer(1))}, Options{}, `!"id" is required`},
		{"decimal precision of the schema", record{schema: structSchema(false, fieldOf("id", connect.Int32, false), connect.Field{Name: "l", Schema: &connect.Schema{Type: connect.ArrayType, Elem: structSchema(false, fieldOf("x", connect.Int64, false))}}, connect.Field{Name: "d", Schema: decimal("1", "10")})}, Options{}, `widen column "d" to decimal(11, 2)`},
		{"no column for what stays out of range", record{value: full(text("d"), text("1e38"), text("new"), integer(1))}, Options{}, "!out of range"},
		{"a number in text", record{value: full(text("d"), text("123456.789"))}, Options{}, `widen column "d" to decimal(8, 2)`},
		{"elements of several types", record{value: full(text("n"), listOf(integer(1), connect.Value{}, connect.FloatValue(1.5)))}, Options{}, `add column "n" of type list<double>`},
		{"elements without a common type", record{value: full(text("n"), listOf(integer(1), text("x")))}, Options{}, `!cannot read "x" as long`},
		{"dots that clash", record{value: full(text("l.element.x"), integer(1))}, Options{}, "!cannot become columns"},
		{"no name", record{value: full(text(""), integer(1))}, Options{}, "!a name of 0 bytes"},
		{"a name without end", record{value: full(text(strings.Repeat("x", maxName+1)), integer(1))}, Options{}, "!a name of 1025 bytes"},
		{"more columns than any engine reads", record{value: full(keys(maxColumns)...)}, Options{}, "!more than 10000"},
		{"case of names counts", record{value: full(text("ID"), integer(1))}, Options{}, `add column "ID" of type long`},
		{"case of names does not count", record{value: full(text("F"), connect.FloatValue(1))}, Options{CaseInsensitive: true}, ""},
		{"nested fields keep being required", record{schema: structSchema(false, fieldOf("id", connect.Int32, false), connect.Field{Name: "l", Schema: &connect.Schema{Type: connect.ArrayType, Elem: structSchema(false, fieldOf("x", connect.Int64, false))}}, connect.Field{Name: "s", Schema: structSchema(false, fieldOf("a", connect.Int32, false))})}, Options{}, `add column "s" of type struct<1: a: required int>`},
		{"nested fields forced optional", record{schema: structSchema(false, fieldOf("id", connect.Int32, false), connect.Field{Name: "l", Schema: &connect.Schema{Type: connect.ArrayType, Elem: structSchema(false, fieldOf("x", connect.Int64, false))}}, connect.Field{Name: "s", Schema: structSchema(false, fieldOf("a", connect.Int32, false))})}, Options{ForceOptional: true}, `add column "s" of type struct<1: a: optional int>`},
	}
	for _, c := range cases {
		value := &c.record.value
		if value.IsNull() {
			value = nil
		}
		changes, err := Evolve(c.record.schema, value, wide, c.opts)
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if _, ok := errors.AsType[*connect.DataError](err); !ok || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v and error %v, want an error with %s", c.name, changes, err, part)
			}
			continue
		}
		var got []string
		for _, ch := range changes {
			got = append(got, ch.String())
		}
		if err != nil || strings.Join(got, "; ") != c.want {
			t.Errorf("%s: got %s (%v), want %s", c.name, strings.Join(got, "; "), err, c.want)
		}
	}
}

// keys are the entries of a map of n numbers.
func keys(n int) []connect.Value {
	var pairs []connect.Value
	for i := range n {
		pairs = append(pairs, text("k"+strconv.Itoa(i)), integer(1))
	}
	return pairs
}

// A table that every record nests deeper has an end.
func TestEvolveDepth(t *testing.T) {
	table := iceberg.NewSchema(0, col(1, "id", longType, false))
	for round := range 10 {
		v := object(text("leaf"), integer(1))
		for range 20 * (round + 1) {
			v = object(text("s"), v, text("n"+strconv.Itoa(round)), integer(1))
		}
		changes, err := Evolve(nil, &v, table, Options{})
		if err != nil {
			if _, ok := errors.AsType[*connect.DataError](err); !ok || round < 2 {
				t.Errorf("round %d: %v", round, err)
			}
			return
		}
		if table, _, err = Apply(table, table.HighestFieldID(), nil, changes); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no end")
}

// Two tasks plan for the same table; whoever comes second finds his change made.
func TestApplyAfterRival(t *testing.T) {
	table := iceberg.NewSchema(3, col(1, "id", intType, true), col(2, "s", &iceberg.StructType{FieldList: []iceberg.NestedField{col(3, "a", intType, false)}}, false))
	mine := []Change{
		{Path: "id", ID: 1, Widen: longType},
		{Path: "id", ID: 1, Relax: true},
		{Path: "s.b", ID: 2, Add: &iceberg.NestedField{Name: "b", Type: stringType}},
		{Path: "n", ID: Root, Add: &iceberg.NestedField{Name: "n", Type: longType}},
	}
	once, mapping, err := Apply(table, 10, table.NameMapping(), mine)
	if err != nil {
		t.Fatal(err)
	}
	want := "table { 1: id: optional long 2: s: optional struct<3: a: optional int, 11: b: optional string> 12: n: optional long }"
	if got := strings.Join(strings.Fields(once.String()), " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if again, _, err := Apply(once, 12, nil, mine); again != nil || err != nil {
		t.Errorf("the same again: got %v, %v", again, err)
	}
	r := record{value: object(text("id"), integer(1), text("s"), object(text("b"), text("x")), text("n"), integer(2))}
	if err := appendTo(t, once, Options{Evolve: true, NameMapping: mapping}, r); err != nil {
		t.Errorf("by the new name mapping: %v", err)
	}
	other, _, err := Apply(table, 10, nil, []Change{{Path: "n", ID: Root, Add: &iceberg.NestedField{Name: "n", Type: stringType}}})
	if err != nil {
		t.Fatal(err)
	}
	both, _, err := Apply(other, 11, nil, mine)
	if err != nil {
		t.Fatal(err)
	}
	want = "table { 1: id: optional long 2: s: optional struct<3: a: optional int, 12: b: optional string> 11: n: optional string }"
	if got := strings.Join(strings.Fields(both.String()), " "); got != want {
		t.Errorf("after another's change: got %s, want %s", got, want)
	}
}

func TestEvolveWithNameMapping(t *testing.T) {
	id := 1
	table := iceberg.NewSchema(0, col(1, "id", longType, false), col(2, "hidden", longType, false))
	opts := Options{NameMapping: iceberg.NameMapping{{FieldID: &id, Names: []string{"key"}}}, CaseInsensitive: true}
	schemas, errs := evolved(t, table, opts,
		record{value: object(text("key"), integer(1), text("KEY"), integer(2), text("s"), object(text("a"), integer(1)))},
		record{value: object(text("s"), object(text("b"), integer(1)))},
		record{value: object(text("hidden"), integer(1))})
	want := "table { 1: id: optional long 2: hidden: optional long 3: KEY: optional long 4: s: optional struct<5: a: optional long, 6: b: optional long> }"
	if errs[0] != nil || errs[1] != nil || schemas[1] != want {
		t.Errorf("got %s (%v), want %s", schemas[1], errs[:2], want)
	}
	if errs[2] == nil || !strings.Contains(errs[2].Error(), "name mapping") {
		t.Errorf("a column that the mapping hides: got error %v", errs[2])
	}
}

// With Evolve a map with a field that has no column is refused, and one whose field tells
// nothing is not.
func TestAppendUnknownField(t *testing.T) {
	table := iceberg.NewSchema(0, col(1, "id", longType, false))
	for _, c := range []struct {
		value  connect.Value
		evolve bool
		want   bool
	}{
		{object(text("id"), integer(1), text("x"), integer(1)), true, false},
		{object(text("id"), integer(1), text("x"), integer(1)), false, true},
		{object(text("id"), integer(1), text("x"), listOf(object(text("a"), connect.Value{}))), true, true},
		{object(text("id"), integer(1), text("x"), listOf(object(text("a"), text("")))), true, false},
	} {
		p, err := Compile(nil, table, Options{Evolve: c.evolve})
		if err != nil {
			t.Fatal(err)
		}
		into, err := New(table)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Fits(into, c.value); got != c.want || into.Len() != 0 || p.Dropped() != 0 {
			t.Errorf("%v, evolve %v: fits %v, leaves %d rows", c.value, c.evolve, got, into.Len())
		}
		if err := appendTo(t, table, Options{Evolve: c.evolve}, record{value: c.value}); (err == nil) != c.want {
			t.Errorf("%v, evolve %v: got error %v", c.value, c.evolve, err)
		}
	}
}
