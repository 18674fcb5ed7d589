package transforms

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

func configured(t testing.TB, tr connect.Transformation, config map[string]string) connect.Transformation {
	t.Helper()
	if err := tr.Configure(config); err != nil {
		t.Fatalf("configure %v: %v", config, err)
	}
	return tr
}

func apply(t testing.TB, tr connect.Transformation, r *connect.Record) {
	t.Helper()
	if keep, err := tr.Apply(new(connect.Arena), r); !keep || err != nil {
		t.Fatalf("apply: keep %v, error %v", keep, err)
	}
}

var everything = map[string]string{
	"topic.field": "t", "partition.field": "p!", "offset.field": "o?", "timestamp.field": "ts", "static.field": "s", "static.value": "fixed",
}

func orders() *connect.Schema {
	def := connect.IntValue(7)
	return &connect.Schema{
		Type: connect.StructType, Name: "orders", Version: 3, Doc: "d", Optional: true, Parameters: map[string]string{"a": "b"},
		Fields: []connect.Field{
			{Name: "id", Schema: &connect.Schema{Type: connect.Int64}},
			{Name: "n", Schema: &connect.Schema{Type: connect.Int32, Optional: true, Default: &def}},
		},
	}
}

func record() *connect.Record {
	return &connect.Record{Topic: "orders", Partition: 3, Offset: 41, Timestamp: 1000, TimestampType: connect.CreateTime}
}

func TestInsertFieldIntoStruct(t *testing.T) {
	tr := configured(t, NewInsertFieldValue(), everything)
	r := record()
	r.ValueSchema, r.Value = orders(), connect.StructValue([]connect.Value{connect.IntValue(1), {}})
	apply(t, tr, r)

	s := r.ValueSchema
	if s.Name != "orders" || s.Version != 3 || s.Doc != "d" || s.Parameters["a"] != "b" || s.Optional {
		t.Errorf("schema basics: got %+v, want name, version, doc and parameters kept, and required", s)
	}
	type field struct {
		name     string
		typ      connect.Type
		logical  string
		optional bool
		value    connect.Value
	}
	want := []field{
		{"id", connect.Int64, "", false, connect.IntValue(1)},
		{"n", connect.Int32, "", true, connect.IntValue(7)},
		{"t", connect.StringType, "", true, connect.StringValue("orders")},
		{"p", connect.Int32, "", false, connect.IntValue(3)},
		{"o", connect.Int64, "", true, connect.IntValue(41)},
		{"ts", connect.Int64, connect.LogicalTimestamp, true, connect.IntValue(1000)},
		{"s", connect.StringType, "", true, connect.StringValue("fixed")},
	}
	if len(s.Fields) != len(want) || r.Value.Len() != len(want) {
		t.Fatalf("got %d fields and %d values, want %d", len(s.Fields), r.Value.Len(), len(want))
	}
	for i, w := range want {
		f, v := s.Fields[i], r.Value.Fields()[i]
		if f.Name != w.name || f.Schema.Type != w.typ || f.Schema.Name != w.logical || f.Schema.Optional != w.optional {
			t.Errorf("field %d: got %s %+v, want %+v", i, f.Name, f.Schema, w)
		}
		if v.Kind() != w.value.Kind() || v.Int() != w.value.Int() || v.Text() != w.value.Text() {
			t.Errorf("value of %s: got %s %d %q, want %d %q", w.name, v.Kind(), v.Int(), v.Text(), w.value.Int(), w.value.Text())
		}
	}

	again := record()
	again.ValueSchema, again.Value = orders(), connect.StructValue([]connect.Value{connect.IntValue(1), {}})
	same := again.ValueSchema
	apply(t, tr, again)
	first := again.ValueSchema
	again.ValueSchema, again.Value = same, connect.StructValue([]connect.Value{connect.IntValue(2), {}})
	apply(t, tr, again)
	if again.ValueSchema != first {
		t.Error("one input schema gave two output schemas: plans compiled from it would be lost")
	}
}

func TestInsertFieldKeepsNullsAndInputs(t *testing.T) {
	tr := configured(t, NewInsertFieldKey(), map[string]string{"timestamp.field": "ts!", "replace.null.with.default": "false"})
	r := record()
	r.Timestamp = -1
	in := []connect.Value{connect.IntValue(1), {}}
	r.KeySchema, r.Key = orders(), connect.StructValue(in)
	apply(t, tr, r)
	if got := r.Key.Fields(); !got[1].IsNull() || !got[2].IsNull() {
		t.Errorf("got %v, want the null kept and no timestamp", got)
	}
	if r.KeySchema.Fields[2].Schema.Optional {
		t.Error("ts! gave an optional field")
	}
	if len(in) != 2 {
		t.Error("input was changed")
	}
}

func TestInsertFieldIntoMap(t *testing.T) {
	tr := configured(t, NewInsertFieldValue(), everything)
	r := record()
	r.Timestamp = -1
	r.Value = connect.MapValue([]connect.Value{connect.StringValue("id"), connect.IntValue(1), connect.StringValue("t"), connect.BoolValue(true)})
	apply(t, tr, r)
	if r.ValueSchema != nil || r.Value.Len() != 5 {
		t.Fatalf("got schema %v and %d entries, want none and id, t, p, o, s", r.ValueSchema, r.Value.Len())
	}
	if v, _ := r.Value.Lookup("t"); v.Text() != "orders" {
		t.Errorf("t: got %s %q, want it overwritten by the topic", v.Kind(), v.Text())
	}
	if v, _ := r.Value.Lookup("o"); v.Int() != 41 {
		t.Errorf("o: got %d, want 41", v.Int())
	}
	if _, ok := r.Value.Lookup("ts"); ok {
		t.Error("a record without timestamp got a timestamp field")
	}
}

func TestInsertFieldTombstone(t *testing.T) {
	tr := configured(t, NewInsertFieldValue(), everything)
	for _, schema := range []*connect.Schema{nil, orders()} {
		r := record()
		r.ValueSchema = schema
		apply(t, tr, r)
		if r.ValueSchema != schema || !r.Value.IsNull() {
			t.Errorf("tombstone with schema %v became %v, %v", schema, r.ValueSchema, r.Value)
		}
	}
}

func TestInsertFieldBlamesRecord(t *testing.T) {
	tests := []struct {
		name   string
		config map[string]string
		schema *connect.Schema
		value  connect.Value
		want   string
	}{
		{"no map", everything, nil, connect.StringValue("x"), "Only Map objects supported in absence of schema for [field insertion], found: java.lang.String"},
		{"no struct", everything, &connect.Schema{Type: connect.Int32}, connect.IntValue(1), "Only Struct objects supported for [field insertion], found: java.lang.Integer"},
		{"short struct", everything, orders(), connect.StructValue([]connect.Value{{}}), "Only Struct objects supported"},
		{"taken name", map[string]string{"topic.field": "id"}, orders(), connect.StructValue(make([]connect.Value, 2)), "field name duplication id"},
	}
	for _, tt := range tests {
		r := record()
		r.ValueSchema, r.Value = tt.schema, tt.value
		_, err := configured(t, NewInsertFieldValue(), tt.config).Apply(new(connect.Arena), r)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestConfigure(t *testing.T) {
	tests := []struct {
		new    func() connect.Transformation
		config map[string]string
		want   string
	}{
		{NewInsertFieldValue, nil, "No field insertion configured"},
		{NewInsertFieldValue, map[string]string{"static.field": "a"}, "No value specified for static field: a"},
		{NewInsertFieldValue, map[string]string{"topic.field": "a", "replace.null.with.default": "maybe"}, "Expected value to be either true or false"},
		{NewRegexRouter, map[string]string{"replacement": "a"}, `"regex" which has no default`},
		{NewRegexRouter, map[string]string{"regex": "a"}, `"replacement" which has no default`},
		{NewRegexRouter, map[string]string{"regex": "(?!a)", "replacement": ""}, "configuration regex: Invalid regex"},
		{NewRegexRouter, map[string]string{"regex": "a", "replacement": "$1"}, "no group 1"},
	}
	for _, tt := range tests {
		if err := tt.new().Configure(tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Configure(%v): got error %v, want %q", tt.config, err, tt.want)
		}
	}
}

func TestRegexRouter(t *testing.T) {
	tr := configured(t, NewRegexRouter(), map[string]string{"regex": "db-(.*)", "replacement": "lake.$1"})
	for in, want := range map[string]string{"db-orders": "lake.orders", "xdb-orders": "xdb-orders", "other": "other"} {
		for range 2 {
			r := record()
			r.Topic = in
			apply(t, tr, r)
			if r.Topic != want || r.Partition != 3 || r.Offset != 41 {
				t.Errorf("%s: got %s-%d@%d, want %s-3@41", in, r.Topic, r.Partition, r.Offset, want)
			}
		}
	}
}

func TestSchemaCacheForgetsTheOldest(t *testing.T) {
	var c planCache[int]
	ss := make([]*connect.Schema, schemasKept+1)
	for i := range ss {
		ss[i] = new(connect.Schema)
		c.get(ss[0], nil)
		c.put(ss[i], nil, i)
	}
	for i, s := range ss {
		if got, ok := c.get(s, nil); ok == (i == 1) || ok && got != i {
			t.Errorf("schema %d: got %v, %v; only the least recently used, 1, should be gone", i, got, ok)
		}
	}
	if _, ok := c.get(ss[0], ss[0]); ok {
		t.Error("a schema was found under a pair of which it is one half")
	}
}

func TestNoAllocationPerRecord(t *testing.T) {
	insert := configured(t, NewInsertFieldValue(), everything)
	router := configured(t, NewRegexRouter(), map[string]string{"regex": "o(.*)", "replacement": "x-$1"})
	schema, fields := orders(), []connect.Value{connect.IntValue(1), {}}
	pairs := []connect.Value{connect.StringValue("id"), connect.IntValue(1)}
	var arena connect.Arena
	records := make([]connect.Record, 100) // reused, as the task's loop does
	n := testing.AllocsPerRun(100, func() {
		for i := range records {
			r := &records[i]
			*r = connect.Record{Topic: "orders"}
			if i%2 == 0 {
				r.ValueSchema, r.Value = schema, connect.StructValue(fields)
			} else {
				r.Value = connect.MapValue(pairs)
			}
			for _, tr := range []connect.Transformation{insert, router} {
				if _, err := tr.Apply(&arena, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		arena.Reset()
	})
	if n > 0.5 {
		t.Errorf("%v allocations per 100 records, want 0", n)
	}
}
