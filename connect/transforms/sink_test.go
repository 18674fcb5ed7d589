package transforms

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
)

func long(optional bool) *connect.Schema {
	return &connect.Schema{Type: connect.Int64, Optional: optional}
}

func TestCopyValueIntoStruct(t *testing.T) {
	tr := configured(t, NewCopyValue(), map[string]string{"source.field": "n", "target.field": "copy"})
	for range 2 { // the second time from the cache
		r := record()
		r.ValueSchema, r.Value = orders(), connect.StructValue([]connect.Value{num(1), {}})
		apply(t, tr, r)
		if got := connecttest.Render(r.Value); got != "(1 7 7)" {
			t.Errorf("got %s, want the default of n, and its copy", got)
		}
		if f := r.ValueSchema.Fields[2]; f.Name != "copy" || f.Schema != r.ValueSchema.Fields[1].Schema {
			t.Errorf("got field %+v, want copy with the schema of n", f)
		}
	}
}

func TestKafkaMetadata(t *testing.T) {
	structOf := func() (*connect.Schema, connect.Value) { return row("orders", "id", long(false), num(1)) }
	tests := []struct {
		name   string
		config map[string]string
		noTime bool
		fields string // of the struct
		value  string
		entry  string // of the map, rendered
	}{
		{
			"flat", nil, false, "id _kafka_metadata_topic _kafka_metadata_partition _kafka_metadata_offset _kafka_metadata_timestamp",
			`(1 "orders" 3 41 1000)`,
			`{"id":1 "_kafka_metadata_topic":"orders" "_kafka_metadata_partition":3 "_kafka_metadata_offset":41 "_kafka_metadata_timestamp":1000}`,
		},
		{
			"nested with a constant",
			map[string]string{"field_name": "m", "nested": "true", "external_field": "c,prod"},
			false, "id m",
			`(1 ("orders" 3 41 1000 "prod"))`, `{"id":1 "m":{"topic":"orders" "partition":3 "offset":41 "timestamp":1000 "c":"prod"}}`,
		},
		{
			"flat with a constant, without a time",
			map[string]string{"field_name": "m", "external_field": "c,prod"},
			true,
			"id m_topic m_partition m_offset m_timestamp m_c", `(1 "orders" 3 41 null "prod")`,
			`{"id":1 "m_topic":"orders" "m_partition":3 "m_offset":41 "m_c":"prod"}`,
		},
	}
	for _, tt := range tests {
		tr := configured(t, NewKafkaMetadata(), tt.config)
		configured(t, NewKafkaMetadata(), map[string]string{"field_name": "other"}) // must not matter
		for _, schemaless := range []bool{false, true} {
			r := record()
			if tt.noTime {
				r.Timestamp = -1
			}
			r.ValueSchema, r.Value = structOf()
			want := tt.value
			if schemaless {
				r.ValueSchema, r.Value, want = nil, obj("id", num(1)), tt.entry
			}
			apply(t, tr, r)
			if got := connecttest.Render(r.Value); got != want {
				t.Errorf("%s: got %s, want %s", tt.name, got, want)
			}
			if !schemaless {
				var names []string
				for _, f := range r.ValueSchema.Fields {
					names = append(names, f.Name)
				}
				if got := strings.Join(names, " "); got != tt.fields {
					t.Errorf("%s: got fields %s, want %s", tt.name, got, tt.fields)
				}
			}
		}
	}
}

func TestDebeziumStruct(t *testing.T) {
	tr := configured(t, NewDebezium(), map[string]string{"cdc.target.pattern": "lake.{db}_{table}"})
	key, keyValue := row("k", "id", long(false), num(1))
	before := connect.StructValue([]connect.Value{num(9)})
	for _, tt := range []struct{ op, want string }{
		{"c", `(1 ("I" 5 42 "s.t" "lake.s_t" (1)))`},
		{"r", `(1 ("I" 5 42 "s.t" "lake.s_t" (1)))`},
		{"u", `(1 ("U" 5 42 "s.t" "lake.s_t" (1)))`},
		{"d", `(9 ("D" 5 42 "s.t" "lake.s_t" (1)))`},
	} {
		r := debeziumRecord(tt.op, before, num(5), text("s"))
		r.KeySchema, r.Key = key, keyValue
		apply(t, tr, r)
		if got := connecttest.Render(r.Value); got != tt.want {
			t.Errorf("op %s: got %s, want %s", tt.op, got, tt.want)
		}
		cdc := r.ValueSchema.Fields[1]
		if cdc.Name != "_cdc" || cdc.Schema.Fields[1].Schema.Name != connect.LogicalTimestamp || cdc.Schema.Fields[5].Schema != key || r.ValueSchema.Optional {
			t.Errorf("op %s: got schema %+v", tt.op, r.ValueSchema)
		}
	}
}

func TestDebeziumNames(t *testing.T) {
	for _, tt := range []struct {
		source connect.Value
		want   string
	}{
		{obj("db", text("d"), "table", text("t")), "d.t"},
		{obj("db", text("d"), "schema", text("s"), "table", text("t")), "s.t"},
		{obj("db", text("d"), "schema", connect.Value{}, "table", text("t")), "d.t"}, // Java: null.t
	} {
		tr := configured(t, NewDebezium(), nil)
		r := goldenRecord(nil, obj("op", text("c"), "ts_ms", num(1), "after", obj("id", num(1)), "source", tt.source))
		r.Key = obj("id", num(1))
		apply(t, tr, r)
		want := `{"id":1 "_cdc":{"op":"I" "ts":1 "offset":42 "source":"` + tt.want + `" "target":"` + tt.want + `" "key":{"id":1}}}`
		if got := connecttest.Render(r.Value); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestSinkTransformsBlameOrDrop goes through what is no change record.
func TestSinkTransformsBlameOrDrop(t *testing.T) {
	number := &connect.Schema{Type: connect.Int32}
	tests := []struct {
		name   string
		make   func() connect.Transformation
		schema *connect.Schema
		value  connect.Value
		want   string // the error; empty: dropped
	}{
		{"dms with schema", NewDMS, number, num(1), "Schema not support for DMS records"},
		{"dms text", NewDMS, nil, text("x"), "Only Map objects supported in absence of schema for [DMS transform], found: java.lang.String"},
		{"dms control record", NewDMS, nil, obj("metadata", obj()), ""},
		{"debezium number", NewDebezium, number, num(1), "Only Struct objects supported for [Debezium transform], found: java.lang.Integer"},
		{"debezium heartbeat", NewDebezium, nil, obj("ts_ms", num(1)), "no op"},
		{"debezium truncate", NewDebezium, nil, obj("op", text("t"), "after", connect.Value{}), ""},
		{"debezium no source", NewDebezium, nil, obj("op", text("c"), "after", obj()), "Only Map objects"},
		{"debezium no table", NewDebezium, nil, obj("op", text("c"), "after", obj(), "source", obj("db", text("d"))), "no source.table"},
		{"json number", NewJSONToMap, number, num(1), "record value is not a string, use StringConverter"},
		{"json and more", NewJSONToMap, nil, text(`{"a":1}{"b":2}`), "something follows"},
		{"metadata number", NewKafkaMetadata, number, num(1), "Only Struct objects"},
		{"metadata text", NewKafkaMetadata, nil, text("x"), "Only Map objects"},
		{"copy text", NewCopyValue, nil, text("x"), "Only Map objects"},
	}
	for _, tt := range tests {
		config := map[string]string{"source.field": "a", "target.field": "b"}
		keep, err := configured(t, tt.make(), config).Apply(new(connect.Arena), goldenRecord(tt.schema, tt.value))
		if tt.want == "" {
			if keep || err != nil {
				t.Errorf("%s: got keep %v, error %v, want it dropped", tt.name, keep, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSinkTransformsKeepTombstones(t *testing.T) {
	for _, newTransform := range []func() connect.Transformation{NewCopyValue, NewDMS, NewDebezium, NewJSONToMap, NewKafkaMetadata, NewMongoDebezium} {
		tr := configured(t, newTransform(), map[string]string{"source.field": "a", "target.field": "b"})
		r := goldenRecord(orders(), connect.Value{})
		apply(t, tr, r)
		if !r.Value.IsNull() || r.ValueSchema == nil || len(r.Headers) != 1 {
			t.Errorf("%T: a tombstone became %+v", tr, r)
		}
	}
}

func TestSinkConfigure(t *testing.T) {
	tests := []struct {
		new    func() connect.Transformation
		config map[string]string
		want   string
	}{
		{NewCopyValue, map[string]string{"source.field": "a"}, `Missing required configuration "target.field"`},
		{NewKafkaMetadata, map[string]string{"external_field": "a,"}, "Could not parse a, for external_field"},
		{NewKafkaMetadata, map[string]string{"nested": "maybe"}, "configuration nested"},
		{NewKafkaMetadata, map[string]string{"external_field": "topic,x", "nested": "true"}, "duplication topic"},
		{NewJSONToMap, map[string]string{"json.root": "1"}, "configuration json.root"},
	}
	for _, tt := range tests {
		if err := tt.new().Configure(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Configure(%v): got error %v, want %q", tt.config, err, tt.want)
		}
	}
}

func TestJSONToMapTypes(t *testing.T) {
	tr := configured(t, NewJSONToMap(), nil)
	tests := []struct{ in, want string }{
		{`{"n":-123456789012345678901234,"m":-9223372036854775809}`, `(x'e5db64e0ef5f9369500e' x'ff7fffffffffffffff')`},
		{
			`{"a":[[],[1]],"b":[[],[]],"c":[[{"x":1}],[{"y":[2]}]],"d":[{},{}],"e":[1,3000000000],"f":[true,false]}`,
			`([[] ["1"]] [[{"x":"1"}] [{"y":"[2]"}]] [{} {}] ["1" "3000000000"] [true false])`,
		},
		{`{"a":1,"b":2,"a":"last"}`, `("last" 2)`},
		{`{"o":{"f":1e10,"t":"\u0001é","b":false,"o":{"k":"\""}}}`, `({"f":"1.0E10" "t":"\x01é" "b":"false" "o":"{\"k\":\"\\\"\"}"})`},
	}
	for _, tt := range tests {
		r := jsonRecord(tt.in)
		apply(t, tr, r)
		if got := connecttest.Render(r.Value); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
	first, second, other := jsonRecord(`{"a":1,"b":[2.5]}`), jsonRecord(`{ "a":7,"b":[1.5,2.5]}`), jsonRecord(`{"a":3000000000,"b":[2.5]}`)
	for _, r := range []*connect.Record{first, second, other} {
		apply(t, tr, r)
	}
	if first.ValueSchema != second.ValueSchema || first.ValueSchema == other.ValueSchema {
		t.Error("messages have one schema exactly if their members have the same names and types: they do not")
	}
}

func TestFormsAreBounded(t *testing.T) {
	built := 0
	f := forms{build: func([]byte) *connect.Schema { built++; return new(connect.Schema) }}
	for i := range 10 * formsKept {
		f.schema(appendName(nil, strings.Repeat("x", i%1000)))
		if len(f.known) > formsKept || f.bytes > formBytesKept {
			t.Fatalf("%d forms of %d bytes are kept", len(f.known), f.bytes)
		}
	}
	f.schema(make([]byte, formBytesKept+1))
	if f.bytes > formBytesKept {
		t.Error("a form that is too large was kept")
	}
	if built < formsKept {
		t.Errorf("%d schemas built", built)
	}
}

func TestSinkTransformsDoNotAllocatePerRecord(t *testing.T) {
	idSchema, idValue := row("", "id", long(true), num(1))
	envelope := debeziumRecord("u", connect.Value{}, num(1), text("s"))
	tests := []struct {
		name   string
		make   func() connect.Transformation
		config map[string]string
		in     connect.Record
	}{
		{"copy struct", NewCopyValue, map[string]string{"source.field": "id", "target.field": "b"}, *goldenRecord(idSchema, idValue)},
		{"copy map", NewCopyValue, map[string]string{"source.field": "id", "target.field": "b"}, *goldenRecord(nil, obj("id", num(1)))},
		{"metadata struct", NewKafkaMetadata, nil, *goldenRecord(idSchema, idValue)},
		{"metadata nested", NewKafkaMetadata, map[string]string{"nested": "true"}, *goldenRecord(idSchema, idValue)},
		{"metadata map", NewKafkaMetadata, nil, *goldenRecord(nil, obj("id", num(1)))},
		{"debezium struct", NewDebezium, nil, *envelope},
		{"debezium map", NewDebezium, nil, *goldenRecord(nil, obj("op", text("c"), "after", obj("id", num(1)), "source", obj("db", text("d"), "table", text("t"))))},
		{"dms", NewDMS, nil, *goldenRecord(nil, obj("data", obj(), "metadata", obj("operation", text("update"))))},
		{"json", NewJSONToMap, nil, *goldenRecord(nil, text(`{"id":1,"s":"a\n","l":[1,2],"o":{"a":2.5},"d":1.25}`))},
	}
	for _, tt := range tests {
		tr := configured(t, tt.make(), tt.config)
		var arena connect.Arena
		var r connect.Record
		n := testing.AllocsPerRun(100, func() {
			for range 10 {
				r = tt.in
				if keep, err := tr.Apply(&arena, &r); !keep || err != nil {
					t.Fatal(keep, err)
				}
			}
			arena.Reset()
		})
		if n > 0.5 {
			t.Errorf("%s: %v allocations per 10 records, want 0", tt.name, n)
		}
	}
}

// FuzzJSONToMap feeds texts of any kind: no panic, and every value fits its schema.
func FuzzJSONToMap(f *testing.F) {
	for name := range map[string]bool{
		`{"a":[[1],[2,null]],"b":{"c":[]},"d":[[[]]]}`: true, `{"a":[[[1]],[["x"]]]}`: true, `{"x":[{}]}`: true,
		strings.Repeat(`{"a":`, 1200): true, `{"a":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "}": true,
	} {
		f.Add(name, false)
		f.Add(name, true)
	}
	f.Fuzz(func(t *testing.T, in string, root bool) {
		config := map[string]string{"json.root": "false"}
		if root {
			config["json.root"] = "true"
		}
		r := jsonRecord(in)
		if _, err := configured(t, NewJSONToMap(), config).Apply(new(connect.Arena), r); err == nil {
			fits(t, r.ValueSchema, r.Value)
		}
	})
}

// fits checks that a value is what its schema says.
func fits(t *testing.T, s *connect.Schema, v connect.Value) {
	t.Helper()
	if v.IsNull() && s.Optional {
		return
	}
	if v.Kind() != s.Type.Kind() {
		t.Fatalf("a value of kind %s under schema %s", v.Kind(), s.Type)
	}
	switch v.Kind() {
	case connect.Struct:
		if len(v.Fields()) != len(s.Fields) {
			t.Fatalf("%d values for %d fields", len(v.Fields()), len(s.Fields))
		}
		for i, f := range v.Fields() {
			fits(t, s.Fields[i].Schema, f)
		}
	case connect.Array:
		for _, e := range v.Elems() {
			fits(t, s.Elem, e)
		}
	case connect.Map:
		for i, p := range v.Pairs() {
			if i%2 == 0 {
				fits(t, s.Key, p)
			} else {
				fits(t, s.Elem, p)
			}
		}
	case connect.Null, connect.Bool, connect.Int, connect.Float, connect.String, connect.Bytes:
	}
}
