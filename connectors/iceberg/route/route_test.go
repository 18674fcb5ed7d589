package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

func text(s string) connect.Value { return connect.StringValue(s) }

func object(pairs ...connect.Value) connect.Value { return connect.MapValue(pairs) }

// names joins identifiers for comparison.
func names(ids []table.Identifier) string {
	var out []string
	for _, id := range ids {
		out = append(out, strings.Join(id, "."))
	}
	return strings.Join(out, " ")
}

func TestTables(t *testing.T) {
	static := map[string]string{KeyTables: " db.a , x.y.b"}
	regexes := map[string]string{
		KeyTables: "db.a,db.b,db.c", KeyRouteField: "meta.kind",
		"iceberg.table.db.a.route-regex": "a.*", "iceberg.table.db.b.route-regex": "[ab]1|true|7",
	}
	dynamic := map[string]string{KeyDynamic: " TRUE", KeyRouteField: "kind"}
	topic := map[string]string{KeyTables: "lake.${topic}, db.all"}
	prefixed := map[string]string{KeyTables: "raw.${topic}, shadow.t_${topic}", KeyMapping: "eu.orders.v1:orders, odd: other.ns.Odd , eu.orders.v1:x.y"}
	onlyMapped := map[string]string{KeyMapping: "a:db.a,b:db.a,b:b", KeyNamespace: "home"}
	header := map[string]string{KeyDynamic: "true", KeyRouteBy: ByHeader, KeyRouteHeader: "table"}
	headerRegex := map[string]string{KeyTables: "db.a,db.b", KeyRouteBy: ByHeader, KeyRouteHeader: "table", "iceberg.table.db.b.route-regex": "DB.*|"}
	byTopic := map[string]string{KeyTables: "db.a,db.b", KeyRouteBy: ByTopic, "iceberg.table.db.a.route-regex": "eu-.*", "iceberg.table.db.b.route-regex": ".*-orders"}
	topicNames := map[string]string{KeyDynamic: "true", KeyRouteBy: ByTopic, KeyNamespace: "home.raw", KeyPreserveCase: "true"}
	kind := func(v connect.Value) connect.Value { return object(text("kind"), v) }
	meta := func(v connect.Value) connect.Value { return object(text("meta"), kind(v)) }
	tests := []struct {
		name   string
		config map[string]string
		topic  string
		value  connect.Value
		want   string
		err    string
	}{
		{"every table of the list", static, "t", text("no fields"), "db.a x.y.b", ""},
		{"one pattern", regexes, "t", meta(text("abc")), "db.a", ""},
		{"two patterns", regexes, "t", meta(text("a1")), "db.a db.b", ""},
		{"the whole value must match", regexes, "t", meta(text("xa")), "", ""},
		{"a prefix is no match", regexes, "t", meta(text("b12")), "", ""},
		{"a line feed is no match", regexes, "t", meta(text("b1\n")), "", ""},
		{"boolean", regexes, "t", meta(connect.BoolValue(true)), "db.b", ""},
		{"number", regexes, "t", meta(connect.IntValue(7)), "db.b", ""},
		{"null", regexes, "t", meta(connect.Value{}), "", ""},
		{"no such entry", regexes, "t", object(text("other"), text("a")), "", ""},
		{"null on the way", regexes, "t", object(text("meta"), connect.Value{}), "", ""},
		{"tombstone", regexes, "t", connect.Value{}, "", ""},
		{"no fields on the way", regexes, "t", object(text("meta"), text("a")), "", `iceberg.tables.route-field=meta.kind: cannot look up "kind" in a value that is string (set value.converter, or correct the path)`},
		{"no fields at all", regexes, "t", text("a"), "", `cannot look up "meta" in a value that is string`},
		{"a map names no table", regexes, "t", meta(object()), "", `route field "meta.kind" is map, which names no table`},
		{"named by the record", dynamic, "t", kind(text("DB.Orders")), "db.orders", ""},
		{"the last of equal keys", dynamic, "t", object(text("kind"), text("db.a"), text("kind"), text("db.b")), "db.b", ""},
		{"empty part", dynamic, "t", kind(text("db..x")), "", "is no table name"},
		{"empty name", dynamic, "t", kind(text("")), "", "is no table name"},
		{"slash", dynamic, "t", kind(text("db.a/../../b")), "", "is no table name"},
		{"control character", dynamic, "t", kind(text("db.a\x00")), "", "is no table name"},
		{"endless name", dynamic, "t", kind(text(strings.Repeat("a", maxName+1))), "", "is no table name"},
		{"topic", topic, "Orders.EU-1", connect.Value{}, "lake.orders_eu-1 db.all", ""},
		{"topic that is no name", topic, "a/b", connect.Value{}, "", `topic "a/b" makes no table name`},
		{"topic outside of the mapping", prefixed, "Payments", connect.Value{}, "raw.payments shadow.t_payments", ""},
		{"mapped to a table and what stands for the topic", prefixed, "eu.orders.v1", connect.Value{}, "x.y raw.orders shadow.t_orders", ""},
		{"mapped to a table", prefixed, "odd", connect.Value{}, "other.ns.Odd", ""},
		{"mapping alone", onlyMapped, "a", connect.Value{}, "db.a", ""},
		{"mapped twice", onlyMapped, "b", connect.Value{}, "db.a home.b", ""},
		{"not in the mapping", onlyMapped, "c", connect.Value{}, "", ""},
		{"header", header, "t", connect.Value{}, "db.x", ""},
		{"header with a pattern", headerRegex, "t", connect.Value{}, "db.b", ""},
		{"topic with patterns", byTopic, "eu-orders", connect.Value{}, "db.a db.b", ""},
		{"topic without a pattern", byTopic, "orders", connect.Value{}, "", ""},
		{"topic names the table", topicNames, "Shop.Orders", connect.Value{}, "Shop.Orders", ""},
		{"topic names it without a namespace", topicNames, "Orders", connect.Value{}, "home.raw.Orders", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Parse(tt.config)
			if err != nil {
				t.Fatalf("Parse: %v", err)
			}
			for range 2 { // the second time from memory
				rec := &connect.Record{Topic: tt.topic, Value: tt.value, Headers: []connect.Header{{Key: "table", Value: []byte("no")}, {Key: "table", Value: []byte("DB.x")}, {Key: "x"}}}
				got, err := r.Tables(rec, nil)
				if names(got) != tt.want {
					t.Errorf("got tables %q, want %q", names(got), tt.want)
				}
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				if _, ok := errors.AsType[*connect.DataError](err); err != nil && !ok {
					t.Errorf("error %T, want a DataError", err)
				}
			}
		})
	}
}

// TestTopicsTakeTurns sees that the tables of one topic are not taken for another's.
func TestTopicsTakeTurns(t *testing.T) {
	r, err := Parse(map[string]string{KeyTables: "raw.${topic}"})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	for _, topic := range []string{"a", "b", "b", "x", "a", "x"} {
		got, err := r.Tables(&connect.Record{Topic: topic}, nil)
		if err != nil || names(got) != "raw."+topic {
			t.Errorf("topic %s: got %s, %v", topic, names(got), err)
		}
	}
}

func TestStructPath(t *testing.T) {
	inner := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		{Name: "x", Schema: &connect.Schema{Type: connect.Int32}},
		{Name: "kind", Schema: &connect.Schema{Type: connect.StringType}},
	}}
	outer := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "meta", Schema: inner}}}
	other := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "else", Schema: inner}}}
	r, err := Parse(map[string]string{KeyDynamic: "true", KeyRouteField: "meta.kind"})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	value := connect.StructValue([]connect.Value{connect.StructValue([]connect.Value{connect.IntValue(1), text("db.t")})})
	for _, tt := range []struct {
		schema *connect.Schema
		want   string
	}{{outer, "db.t"}, {other, ""}, {outer, "db.t"}} {
		got, err := r.Tables(&connect.Record{ValueSchema: tt.schema, Value: value}, nil)
		if err != nil || names(got) != tt.want {
			t.Errorf("got %q, %v; want %q", names(got), err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		key    string
	}{
		{map[string]string{}, KeyTables},
		{map[string]string{KeyTables: "a.b", KeyDynamic: "true", KeyRouteField: "f"}, KeyTables},
		{map[string]string{KeyDynamic: "true"}, KeyRouteField},
		{map[string]string{KeyDynamic: "yes", KeyTables: "a.b"}, KeyDynamic},
		{map[string]string{KeyTables: "a..b"}, KeyTables},
		{map[string]string{KeyTables: "a.${topic}", KeyRouteField: "f"}, KeyTables},
		{map[string]string{KeyTables: "a.b", KeyRouteField: "f", "iceberg.table.a.b.route-regex": "(?=x)"}, "iceberg.table.a.b.route-regex"},
		{map[string]string{KeyTables: "a.b", KeyRouteBy: "key"}, KeyRouteBy},
		{map[string]string{KeyTables: "a.b", KeyRouteHeader: "h"}, KeyRouteBy},
		{map[string]string{KeyTables: "a.b", KeyRouteBy: ByHeader}, KeyRouteHeader},
		{map[string]string{KeyTables: "a.b", KeyRouteBy: ByTopic, KeyRouteField: "f"}, KeyRouteField},
		{map[string]string{KeyTables: "a.${topic}", KeyRouteBy: ByTopic}, KeyTables},
		{map[string]string{KeyMapping: "t"}, KeyMapping},
		{map[string]string{KeyMapping: ":a.b"}, KeyMapping},
		{map[string]string{KeyMapping: "t:a."}, KeyMapping},
		{map[string]string{KeyMapping: "t:a.b", KeyTables: "a.b"}, KeyTables},
		{map[string]string{KeyMapping: "t:a.b", KeyRouteField: "f"}, KeyMapping},
		{map[string]string{KeyMapping: "t:a.b", KeyDynamic: "true", KeyRouteBy: ByTopic}, KeyMapping},
		{map[string]string{KeyTables: "a", KeyNamespace: ".x"}, KeyNamespace},
		{map[string]string{KeyTables: "a.b", KeyPreserveCase: "1"}, KeyPreserveCase},
	} {
		_, err := Parse(tt.config)
		ce, ok := errors.AsType[connect.ConfigError](err)
		if !ok || ce.Key != tt.key {
			t.Errorf("Parse(%v) = %v, want an error for %s", tt.config, err, tt.key)
		}
	}
}

// TestTranslate holds patterns whose meaning in Java is known from its documentation.
func TestTranslate(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no []string // no yes and no no: refused
	}{
		{`us|eu`, []string{"us", "eu"}, []string{"use", "xeu", ""}},
		{`(?i)EU-\d+`, []string{"eu-1"}, []string{"eu-"}},
		{`\Qa.b\E+`, []string{"a.b", "a.bb"}, []string{"axb"}},
		{`\p{Alpha}{2}`, []string{"aB"}, []string{"a1"}},
		{`[\p{Digit}x]\P{Space}`, []string{"1a", "xa"}, []string{"1 "}},
		{`\u0041\e?`, []string{"A", "A\x1b"}, []string{"u0041"}},
		{`a\sb`, []string{"a\vb", "a b"}, []string{"ab"}},
		{`[^a]`, []string{"b"}, []string{"a"}},
		{`[\[\]]`, []string{"[", "]"}, []string{"a"}},
		{`(?<n>a)b`, []string{"ab"}, []string{"a"}},
		{`(?=a)a`, nil, nil},
		{`(a)\1`, nil, nil},
		{`a*+`, nil, nil},
		{`[a-z&&[^b]]`, nil, nil},
		{`[a[bc]]`, nil, nil},
		{`[]a]`, nil, nil},
		{`a\`, nil, nil},
		{`\u00`, nil, nil},
		{`[\S]`, nil, nil},
	} {
		m, err := compile(tt.pattern)
		if refused := tt.yes == nil; refused != (err != nil) {
			t.Errorf("compile(%q): %v, want refused %v", tt.pattern, err, refused)
			continue
		}
		for _, s := range tt.yes {
			if !m.matches(s) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range tt.no {
			if m.matches(s) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
	}
}

func FuzzTranslate(f *testing.F) {
	for _, s := range []string{`a`, `\p`, `\p{Alpha}`, `[^\Q]\E]`, `\u12`, `[`, `\`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, pattern string) {
		if m, err := compile(pattern); err == nil {
			m.matches("x")
		}
	})
}

// TestForgets sees that unlimited route values do not take unlimited memory.
func TestForgets(t *testing.T) {
	r, err := Parse(map[string]string{KeyDynamic: "true", KeyRouteField: "kind"})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	for i := range 3 * maxCached {
		value := fmt.Sprintf("db.t%d", i)
		got, err := r.Tables(&connect.Record{Value: object(text("kind"), text(value))}, nil)
		if err != nil || names(got) != value {
			t.Fatalf("got %q, %v; want %s", names(got), err, value)
		}
		if len(r.known) > maxCached {
			t.Fatalf("%d values remembered, want at most %d", len(r.known), maxCached)
		}
	}
}

// TestWhy holds the reason for each way in which a record has no table.
func TestWhy(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		want   string
	}{
		{map[string]string{KeyTables: "db.a", KeyRouteField: "kind"}, `route field "kind" is "x", which matches no iceberg.table.NAME.route-regex`},
		{map[string]string{KeyDynamic: "true", KeyRouteField: "a.b"}, `route field "a.b" is null or not there`},
		{map[string]string{KeyDynamic: "true", KeyRouteBy: ByHeader, KeyRouteHeader: "h"}, `header "h" is null or not there`},
		{map[string]string{KeyMapping: "a:db.a"}, `topic "t" is not in iceberg.tables.topic-to-table-mapping`},
		{map[string]string{KeyTables: "db.a", KeyRouteBy: ByTopic}, `topic "t" matches no iceberg.table.NAME.route-regex`},
	} {
		r, err := Parse(tt.config)
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		rec := &connect.Record{Topic: "t", Value: object(text("kind"), text("x")), Headers: []connect.Header{{Key: "h"}}}
		if ids, err := r.Tables(rec, nil); err != nil || len(ids) > 0 {
			t.Errorf("%v: tables %v, %v, want none", tt.config, names(ids), err)
		}
		if got := r.Why(rec); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestStatic sees that tables are listed only if those are all.
func TestStatic(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		want   string
	}{
		{map[string]string{KeyTables: "db.a,b", KeyNamespace: "home"}, "db.a home.b"},
		{map[string]string{KeyTables: "db.a", KeyRouteField: "f"}, "db.a"},
		{map[string]string{KeyTables: "db.a,x.${topic}"}, ""},
		{map[string]string{KeyDynamic: "true", KeyRouteField: "f"}, ""},
		{map[string]string{KeyMapping: "b:db.b,a:db.a,c:db.b"}, "db.a db.b"},
		{map[string]string{KeyMapping: "b:db.b", KeyTables: "x.${topic}"}, ""},
	} {
		r, err := Parse(tt.config)
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		if got := names(r.Static()); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.config, got, tt.want)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, tt := range []struct {
		config map[string]string
		want   string
		all    bool
	}{
		{map[string]string{KeyTables: "db.a"}, "db.a", true},
		{map[string]string{KeyTables: "db.a,x.${topic}"}, "db.a x.t1 x.t2", true},
		{map[string]string{KeyDynamic: "true", KeyRouteField: "f"}, "", false},
		{map[string]string{KeyDynamic: "true", KeyRouteBy: ByTopic, KeyNamespace: "home"}, "home.t1 home.t2", true},
		{map[string]string{KeyMapping: "t1:db.b", KeyTables: "x.${topic}"}, "db.b x.t2", true},
	} {
		r, err := Parse(tt.config)
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		got, all := r.Known([]string{"t1", "t2", "no/name"})
		if names(got) != tt.want || all != tt.all {
			t.Errorf("%v: got %s, %v, want %s, %v", tt.config, names(got), all, tt.want, tt.all)
		}
	}
}

// modes is one config for each way of routing.
var modes = map[string]map[string]string{
	"static":   {KeyTables: "db.a"},
	"regex":    {KeyTables: "db.a,db.b", KeyRouteField: "kind", "iceberg.table.db.b.route-regex": "db.*"},
	"dynamic":  {KeyDynamic: "true", KeyRouteField: "kind"},
	"template": {KeyTables: "lake.${topic}"},
	"mapping":  {KeyMapping: "t:lake.orders"},
	"topic":    {KeyTables: "db.a", KeyRouteBy: ByTopic, "iceberg.table.db.a.route-regex": "t.*"},
	"header":   {KeyDynamic: "true", KeyRouteBy: ByHeader, KeyRouteHeader: "table"},
	"dropped":  {KeyMapping: "other:lake.orders"},
}

func example() *connect.Record {
	return &connect.Record{
		Topic: "t", Value: object(text("x"), connect.IntValue(1), text("kind"), text("DB.x")),
		Headers: []connect.Header{{Key: "table", Value: []byte("db.h")}},
	}
}

func TestNoAllocation(t *testing.T) {
	for name, config := range modes {
		r, err := Parse(config)
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		rec := example()
		var buf []table.Identifier
		allocs := testing.AllocsPerRun(100, func() {
			var err error
			if buf, err = r.Tables(rec, buf[:0]); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations per record, want none", name, allocs)
		}
	}
}

func BenchmarkTables(b *testing.B) {
	for name, config := range modes {
		b.Run(name, func(b *testing.B) {
			r, err := Parse(config)
			if err != nil {
				b.Fatal(err)
			}
			rec := example()
			var buf []table.Identifier
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = r.Tables(rec, buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzTables feeds values as a record may hold them.
func FuzzTables(f *testing.F) {
	for _, s := range []string{"db.t", "a", "..", "/", "A.\xff", "\u212a.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, config := range modes {
			r, err := Parse(config)
			if err != nil {
				t.Fatal(err)
			}
			rec := &connect.Record{Topic: value, Value: object(text("kind"), text(value)), Headers: []connect.Header{{Key: "table", Value: []byte(value)}}}
			ids, err := r.Tables(rec, nil)
			if _, ok := errors.AsType[*connect.DataError](err); err != nil && !ok {
				t.Fatalf("error %T, want a DataError", err)
			}
			for _, id := range ids {
				for _, part := range id {
					if part == "" || strings.ContainsAny(part, "/\\") {
						t.Fatalf("identifier %q", id)
					}
				}
			}
			if len(ids) == 0 && err == nil && r.Why(rec) == "" {
				t.Fatal("no table and no reason")
			}
		}
	})
}
