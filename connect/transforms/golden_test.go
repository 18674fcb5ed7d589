package transforms

import (
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

// golden reads testdata/smt.txt: what Java made of each input, by its name.
func golden(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/smt.txt")
	if err != nil {
		t.Fatal(err)
	}
	results, last := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		name, result, ok := strings.Cut(line, " -> ")
		switch {
		case strings.HasPrefix(line, "#"):
		case ok:
			results[name], last = result, name
		default:
			results[last] += " " + line // an exception's second line
		}
	}
	return results
}

func text(s string) connect.Value { return connect.StringValue(s) }
func num(i int64) connect.Value   { return connect.IntValue(i) }
func obj(pairs ...any) connect.Value {
	var vs []connect.Value
	for i, p := range pairs {
		if i%2 == 0 {
			vs = append(vs, text(p.(string)))
			continue
		}
		vs = append(vs, p.(connect.Value))
	}
	return connect.MapValue(vs)
}

// row makes a schema and a struct of it: field name, schema, value …
func row(name string, parts ...any) (*connect.Schema, connect.Value) {
	s := &connect.Schema{Type: connect.StructType, Name: name}
	var vs []connect.Value
	for i := 0; i < len(parts); i += 3 {
		s.Fields = append(s.Fields, connect.Field{Name: parts[i].(string), Schema: parts[i+1].(*connect.Schema)})
		vs = append(vs, parts[i+2].(connect.Value))
	}
	return s, connect.StructValue(vs)
}

func goldenRecord(schema *connect.Schema, value connect.Value) *connect.Record {
	return &connect.Record{
		Topic: "tp", Partition: 3, Offset: 42, Timestamp: 1704164645123, TimestampType: connect.CreateTime,
		ValueSchema: schema, Value: value, Headers: []connect.Header{{Key: "h"}},
	}
}

func jsonRecord(in string) *connect.Record {
	r := goldenRecord(nil, text(in))
	r.KeySchema, r.Key = requiredString, text("k")
	return r
}

// debeziumRecord is a change of a row {id}.
func debeziumRecord(op string, before, ts, schemaName connect.Value) *connect.Record {
	image := &connect.Schema{Type: connect.StructType, Optional: true, Fields: []connect.Field{{Name: "id", Schema: optionalLong}}}
	source, sourceValue := row("", "schema", optionalString, schemaName, "table", optionalString, text("t"))
	s, v := row("x.Envelope", "op", requiredString, text(op), "ts_ms", optionalLong, ts, "source", source, sourceValue,
		"before", image, before, "after", image, connect.StructValue([]connect.Value{num(1)}))
	return goldenRecord(s, v)
}

var updateSchema = &connect.Schema{Type: connect.StructType, Optional: true, Fields: []connect.Field{
	{Name: "removedFields", Schema: &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: optionalString}},
	{Name: "updatedFields", Schema: optionalString},
}}

// update is an updateDescription.
func update(updated string, removed ...string) connect.Value {
	var names []connect.Value
	for _, name := range removed {
		names = append(names, text(name))
	}
	return connect.StructValue([]connect.Value{connect.ArrayValue(names), text(updated)})
}

// mongoRecord is a change of a document; an empty before or after is null.
func mongoRecord(id, before, after string, update connect.Value, op string) *connect.Record {
	image := func(s string) connect.Value {
		if s == "" {
			return connect.Value{}
		}
		return text(s)
	}
	r := goldenRecord(row("m.Envelope", "before", optionalString, image(before), "after", optionalString, image(after),
		"updateDescription", updateSchema, update, "op", requiredString, text(op)))
	r.KeySchema, r.Key = row("m.Key", "id", requiredString, text(id))
	return r
}

func TestGolden(t *testing.T) {
	want := golden(t)
	idSchema, idValue := row("", "id", optionalLong, num(1))
	pattern := map[string]string{"cdc.target.pattern": "{db}_x.{table}"}
	type story struct {
		name   string
		make   func() connect.Transformation
		config map[string]string
		in     *connect.Record
	}
	stories := []story{
		{"copy map", NewCopyValue, map[string]string{"source.field": "id", "target.field": "id2"}, goldenRecord(nil, obj("id", num(1)))},
		{"copy missing map", NewCopyValue, map[string]string{"source.field": "id", "target.field": "id2"}, goldenRecord(nil, obj("x", num(1)))},
		{"copy missing struct", NewCopyValue, map[string]string{"source.field": "no", "target.field": "id2"}, goldenRecord(idSchema, idValue)},
		{"dms", NewDMS, nil, goldenRecord(nil, obj("data", obj("id", num(1)),
			"metadata", obj("operation", text("load"), "timestamp", text("2020"), "schema-name", text("s"), "table-name", text("t"))))},
		{"dms no op", NewDMS, nil, goldenRecord(nil, obj("data", obj(), "metadata", obj("timestamp", text("2020"))))},
		{"dbz r", NewDebezium, pattern, debeziumRecord("r", connect.Value{}, num(1), connect.Value{})},
		{"dbz d no before", NewDebezium, nil, debeziumRecord("d", connect.Value{}, num(1), text("s"))},
		{"dbz null ts", NewDebezium, nil, debeziumRecord("c", connect.Value{}, connect.Value{}, text("s"))},
		{"jsonroot", NewJSONToMap, map[string]string{"json.root": "true"}, jsonRecord(`{"i":1,"n":null,"o":{"a":1}}`)},
		{
			"kmeta first instance after second configured", NewKafkaMetadata,
			map[string]string{"field_name": "m2", "nested": "true", "external_field": "c,prod"},
			goldenRecord(nil, obj("id", num(1))),
		},
	}
	for name := range want {
		if in, ok := strings.CutPrefix(name, "json "); ok {
			stories = append(stories, story{name, NewJSONToMap, nil, jsonRecord(in)})
		}
	}
	for _, m := range []story{
		{name: "mongo after", in: mongoRecord(`{"$oid":"650000000000000000000001"}`, "", `{"_id":{"$oid":"650000000000000000000001"},"a":{"$numberLong":"5"},
			"d":{"$date":1000},"x":[1,2],"e":[],"dec":{"$numberDecimal":"1.10"},"n":null,"s":{"q":1.5}}`, connect.Value{}, "c")},
		{name: "mongo partial", in: mongoRecord("7", "", "", update(`{"a.b":1}`, "z"), "u")},
		{name: "mongo mixed array", in: mongoRecord("7", "", `{"x":[1,"a"]}`, connect.Value{}, "c")},
		{name: "mongo bad names", in: goldenRecord(idSchema, idValue)},
	} {
		m.make = NewMongoDebezium
		stories = append(stories, m)
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			expected, ok := want[s.name]
			if !ok {
				t.Fatal("Java has no such line")
			}
			delete(want, s.name)
			keep, err := configured(t, s.make(), s.config).Apply(new(connect.Arena), s.in)
			if exception, ok := strings.CutPrefix(expected, "!"); ok {
				_, message, _ := strings.Cut(exception, ": ")
				if err == nil || !strings.HasPrefix(exception, "NullPointer") && !strings.Contains(err.Error(), message) {
					t.Errorf("got error %v, want one like Java's %s", err, exception)
				}
				return
			}
			if err != nil || !keep {
				t.Fatalf("got keep %v, error %v, want %s", keep, err, expected)
			}
			got := fmt.Sprintf("hdrs=%d key=%s val=%s", len(s.in.Headers), javaText(s.in.KeySchema, s.in.Key, expected), javaText(s.in.ValueSchema, s.in.Value, expected))
			if got != expected {
				t.Errorf("got  %s\nwant %s", got, expected)
			}
		})
	}
	for name := range want {
		t.Errorf("no test for Java's line %q", name)
	}
}

// javaText prints a value as the recorder of smt.txt did. The entries of maps are in the
// order in which they stand in want, since Java's are in the order of hashes.
func javaText(s *connect.Schema, v connect.Value, want string) string {
	if s == nil {
		s = new(connect.Schema)
	}
	switch v.Kind() {
	case connect.Null:
		return "null"
	case connect.Int:
		if s.Name == connect.LogicalTimestamp {
			return time.UnixMilli(v.Int()).UTC().Format("Mon Jan 02 15:04:05 MST 2006")
		}
		return strconv.FormatInt(v.Int(), 10)
	case connect.Float:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	case connect.Bool:
		return strconv.FormatBool(v.Bool())
	case connect.String:
		return v.Text()
	case connect.Bytes:
		return new(big.Int).SetBytes(v.Bytes()).String()
	case connect.Array:
		var parts []string
		for _, e := range v.Elems() {
			parts = append(parts, javaText(s.Elem, e, want))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case connect.Map:
		var parts []string
		for i, p := 0, v.Pairs(); i < len(p); i += 2 {
			parts = append(parts, p[i].Text()+"="+javaText(s.Elem, p[i+1], want))
		}
		place := func(part string) int { name, _, _ := strings.Cut(part, "="); return strings.Index(want, name+"=") }
		slices.SortStableFunc(parts, func(a, b string) int { return place(a) - place(b) })
		return "{" + strings.Join(parts, ", ") + "}"
	case connect.Struct:
		var b strings.Builder
		for i, f := range s.Fields {
			fmt.Fprintf(&b, "%s:%s", f.Name, f.Schema.Type)
			if f.Schema.Name != "" {
				b.WriteString("/" + f.Schema.Name[strings.LastIndexByte(f.Schema.Name, '.')+1:])
			}
			if f.Schema.Optional {
				b.WriteByte('?')
			}
			fmt.Fprintf(&b, "=%s, ", javaText(f.Schema, v.Fields()[i], want))
		}
		return "{" + b.String() + "}"
	}
	panic("unknown kind")
}
