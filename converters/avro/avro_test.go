package avro_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	hamba "github.com/hamba/avro/v2"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/converters/avro"
	"github.com/firn-io/firn/converters/registry"
)

// schemas is a registry in memory: ids count from 1.
type schemas []registry.Schema

func (s schemas) Schema(_ context.Context, id uint32) (*registry.Schema, error) {
	if id == 0 || int(id) > len(s) {
		return nil, &connect.DataError{Msg: fmt.Sprintf("schema id %d is not in the registry", id)}
	}
	out := s[id-1]
	out.ID = id
	return &out, nil
}

func texts(list ...string) schemas {
	var s schemas
	for _, text := range list {
		s = append(s, registry.Schema{Type: registry.Avro, Text: text})
	}
	return s
}

func converter(t testing.TB, source registry.Source, config map[string]string) *avro.Converter {
	t.Helper()
	c := &avro.Converter{Source: source}
	if err := c.Configure(config, false); err != nil {
		t.Fatal(err)
	}
	return c
}

// framed puts the wire header in front of data.
func framed(id uint32, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), data...)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describe writes a schema as text.
func describe(s *connect.Schema) string { return describeTo(s, 4) }

func describeTo(s *connect.Schema, depth int) string {
	var b strings.Builder
	b.WriteString(s.Type.String())
	if s.Optional {
		b.WriteByte('?')
	}
	if s.Name != "" {
		b.WriteString(" " + s.Name)
	}
	if s.Version != 0 {
		fmt.Fprintf(&b, " v%d", s.Version)
	}
	if s.Doc != "" {
		b.WriteString(" doc:" + s.Doc)
	}
	if s.Default != nil {
		b.WriteString(" default:" + connecttest.Render(*s.Default))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		b.WriteString(" " + strings.TrimPrefix(name, "io.confluent.connect.avro") + "=" + s.Parameters[name])
	}
	if depth == 0 {
		return b.String() + " …"
	}
	if s.Key != nil {
		b.WriteString(" <" + describeTo(s.Key, depth-1) + ">")
	}
	if s.Elem != nil {
		b.WriteString(" [" + describeTo(s.Elem, depth-1) + "]")
	}
	if s.Type == connect.StructType {
		var parts []string
		for _, f := range s.Fields {
			parts = append(parts, f.Name+": "+describeTo(f.Schema, depth-1))
		}
		b.WriteString(" {" + strings.Join(parts, ", ") + "}")
	}
	return b.String()
}

// TestTypes has one line for every row of the mapping from Avro to Connect.
func TestTypes(t *testing.T) {
	field := func(typ string) string {
		return `{"type":"record","name":"R","fields":[{"name":"f","type":` + typ + `}]}`
	}
	tests := []struct{ schema, data, want, value string }{
		{`"boolean"`, "01", "BOOLEAN", "true"},
		{`string`, "0461c3", "STRING", "\"a\uFFFD\""},
		{`"int"`, "01", "INT32", "-1"},
		{`"long"`, "ffffffffffffffffff01", "INT64", "-9223372036854775808"},
		{`"float"`, "0000803f", "FLOAT32", "float 1"},
		{`"double"`, "000000000000f03f", "FLOAT64", "float 1"},
		{`"bytes"`, "0401ff", "BYTES", "x'01ff'"},
		{`{"type":"int","connect.type":"int8"}`, "01", "INT8", "-1"},
		{`{"type":"int","connect.type":"int16"}`, "01", "INT16", "-1"},
		{`{"type":"int","logicalType":"date"}`, "02", "INT32 org.apache.kafka.connect.data.Date v1", "1"},
		{`{"type":"int","logicalType":"time-millis"}`, "02", "INT32 org.apache.kafka.connect.data.Time v1", "1"},
		{`{"type":"int","logicalType":"other"}`, "02", "INT32", "1"},
		{`{"type":"long","logicalType":"timestamp-millis"}`, "02", "INT64 org.apache.kafka.connect.data.Timestamp v1", "1"},
		{`{"type":"long","logicalType":"timestamp-micros"}`, "02", "INT64 avro.logicalType=timestamp-micros", "1"},
		{`{"type":"long","logicalType":"timestamp-nanos"}`, "02", "INT64 avro.logicalType=timestamp-nanos", "1"},
		{`{"type":"long","logicalType":"time-micros"}`, "02", "INT64 avro.logicalType=time-micros", "1"},
		{`{"type":"long","logicalType":"other"}`, "02", "INT64", "1"},
		{`{"type":"string","logicalType":"uuid"}`, "0261", "STRING avro.logicalType=uuid", `"a"`},
		{`{"type":"fixed","name":"n.F","size":2,"logicalType":"uuid"}`, "0102", "BYTES n.F avro.logicalType=uuid connect.fixed.size=2", "x'0102'"},
		{`{"type":"long","logicalType":"local-timestamp-millis"}`, "02", "INT64 avro.logicalType=local-timestamp-millis", "1"},
		{`{"type":"string","avro.java.string":"String"}`, "0261", "STRING avro.java.string=String", `"a"`},
		{`{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}`, "043039", "BYTES org.apache.kafka.connect.data.Decimal v1 connect.decimal.precision=9 scale=2", "x'3039'"},
		{`{"type":"bytes","logicalType":"decimal","precision":64}`, "0201", "BYTES org.apache.kafka.connect.data.Decimal v1 scale=0", "x'01'"},
		{`{"type":"bytes","logicalType":"decimal","scale":3}`, "0201", "BYTES org.apache.kafka.connect.data.Decimal v1 scale=3", "x'01'"},
		{`{"type":"fixed","name":"n.D","size":2,"logicalType":"decimal","precision":4,"scale":1}`, "ffff", "BYTES org.apache.kafka.connect.data.Decimal v1 connect.decimal.precision=4 connect.fixed.size=2 scale=1", "x'ffff'"},
		{`{"type":"fixed","name":"n.F","size":2}`, "0102", "BYTES n.F connect.fixed.size=2", "x'0102'"},
		{
			`{"type":"enum","name":"E","namespace":"n","symbols":["A","B"],"doc":"d","default":"A"}`, "02",
			"STRING n.E .Enum=n.E .Enum.A=A .Enum.B=B .enum.default.E=A .enum.doc.E=d", `"B"`,
		},
		{`{"type":"array","items":"int"}`, "04020400", "ARRAY [INT32]", "[1 2]"},
		{`{"type":"array","items":"int"}`, "030402040200 00", "ARRAY [INT32]", "[1 2 0]"},
		{`{"type":"map","values":["null","int"]}`, "0202610202 00", "MAP <STRING> [INT32?]", `{"a":1}`},
		{
			`{"type":"array","items":{"type":"record","name":"MapEntry","namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":"int"},{"name":"value","type":"string"}]}}`,
			"02 02 0261 00", "MAP <INT32> [STRING]", `{1:"a"}`,
		},
		{
			`{"type":"array","items":{"type":"record","name":"M","connect.internal.type":"MapEntry","fields":[{"name":"value","type":"string"},{"name":"key","type":"int"}]}}`,
			"02 0261 02 00", "MAP <INT32> [STRING]", `{1:"a"}`,
		},
		{field(`["null","string"]`), "020261", "STRUCT R {f: STRING?}", `("a")`},
		{field(`["string","null"]`), "02", "STRUCT R {f: STRING?}", `(null)`},
		{field(`["string"]`), "000261", "STRUCT R {f: STRING}", `("a")`},
		{field(`["int","string"]`), "020261", "STRUCT R {f: STRUCT .Union {int: INT32?, string: STRING?}}", `((null "a"))`},
		{
			field(`["null","int",{"type":"record","name":"n.S","fields":[]},{"type":"enum","name":"n.E","symbols":["A"]}]`), "0600",
			"STRUCT R {f: STRUCT? .Union {int: INT32?, S: STRUCT? n.S {}, E: STRING? n.E .Enum=n.E .Enum.A=A}}", `((null null "A"))`,
		},
		{field(`["null","int","string"]`), "00", "STRUCT R {f: STRUCT? .Union {int: INT32?, string: STRING?}}", `(null)`},
		{
			`{"type":"record","name":"R","namespace":"n","doc":"rd","connect.version":3,"connect.name":"other","connect.doc":"cd","connect.parameters":{"p":"v"},"fields":[{"name":"f","type":"int","doc":"fd","default":7}]}`,
			"02", "STRUCT other v3 doc:cd .field.doc.f=fd .record.doc=rd p=v {f: INT32 default:7 .field.default=true}", `(1)`,
		},
		{
			`{"type":"record","name":"ConnectDefault2","namespace":"io.confluent.connect.avro","fields":[{"name":"f","type":{"type":"long","connect.default":9007199254740993},"default":9007199254740993}]}`,
			"02", "STRUCT {f: INT64 default:9007199254740993}", `(1)`,
		},
		{field(`["string","null"],"default":null`), "02", "STRUCT R {f: STRING?}", `(null)`}, // a default that does not fit is none
		{field(`"string","default":5`), "00", "STRUCT R {f: STRING}", `("")`},
		{field(`{"type":"array","items":"bytes"},"default":["\u00ff"]`), "00", "STRUCT R {f: ARRAY default:[x'ff'] .field.default=true [BYTES]}", `([])`},
		{
			field(`{"type":"record","name":"S","fields":[{"name":"a","type":"int","default":1},{"name":"b","type":["null","int"]}]},"default":{"b":null}`), "0200",
			"STRUCT R {f: STRUCT S default:(1 null) .field.default=true {a: INT32 default:1 .field.default=true, b: INT32?}}", `((1 null))`,
		},
		{
			`{"type":"record","name":"N","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","N"]}]}`, "02020400",
			"STRUCT N {v: INT32, next: STRUCT? N {v: INT32, next: STRUCT? N {v: INT32, next: STRUCT? N {v: INT32 …, next: STRUCT? N …}}}}", `(1 (2 null))`,
		},
		{ // a name without a namespace, used inside one
			`{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":{"type":"fixed","name":"U","namespace":"","size":1}},{"name":"b","type":"U"}]}`, "0102",
			"STRUCT n.R {a: BYTES U connect.fixed.size=1, b: BYTES U connect.fixed.size=1}", `(x'01' x'02')`,
		},
	}
	for i, tt := range tests {
		c := converter(t, texts(tt.schema), nil)
		var arena connect.Arena
		schema, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, unhex(t, tt.data)))
		if err != nil {
			t.Errorf("%d: %s: %v", i, tt.schema, err)
			continue
		}
		if got := strings.ReplaceAll(describe(schema), "io.confluent.connect.avro.Union", ".Union"); got != tt.want {
			t.Errorf("%d: %s\n got %s\nwant %s", i, tt.schema, got, tt.want)
		}
		if got := connecttest.Render(v); got != tt.value {
			t.Errorf("%d: %s: data %s: got %s, want %s", i, tt.schema, tt.data, got, tt.value)
		}
	}
}

func TestSettings(t *testing.T) {
	const text = `{"type":"record","name":"n.R","doc":"rd","fields":[{"name":"f","type":["int",{"type":"enum","name":"n.E","symbols":["A"]}],"doc":"fd"},{"name":"g","type":["int"],"default":1}]}`
	tests := []struct {
		config map[string]string
		want   string
	}{
		{map[string]string{"connect.meta.data": "false"}, "STRUCT n.R {f: STRUCT io.confluent.connect.avro.Union {int: INT32?, E: STRING? n.E .Enum=n.E .Enum.A=A}, g: INT32}"},
		{map[string]string{"enhanced.avro.schema.support": "true", "connect.meta.data": "false"}, "STRUCT n.R {f: STRUCT io.confluent.connect.avro.Union {int: INT32?, n.E: STRING? n.E .Enum=n.E .Enum.A=A}, g: INT32}"},
		{map[string]string{"flatten.singleton.unions": "false", "connect.meta.data": "false"}, "STRUCT n.R {f: STRUCT io.confluent.connect.avro.Union {int: INT32?, E: STRING? n.E .Enum=n.E .Enum.A=A}, g: STRUCT io.confluent.connect.avro.Union default:(1) {int: INT32?}}"},
		{map[string]string{"generalized.sum.type.support": "true", "connect.meta.data": "false"}, "STRUCT n.R {f: STRUCT connect_union_0 org.apache.kafka.connect.data.Union=connect_union_0 {connect_union_field_0: INT32?, connect_union_field_1: STRING? n.E org.apache.kafka.connect.data.Enum=n.E org.apache.kafka.connect.data.Enum.A=0}, g: INT32}"},
		{map[string]string{"discard.type.doc.default": "true"}, "STRUCT n.R doc:rd connect.record.doc=rd {f: STRUCT io.confluent.connect.avro.Union doc:fd {int: INT32?, E: STRING? n.E .Enum=n.E .Enum.A=A}, g: INT32}"},
	}
	for _, tt := range tests {
		c := converter(t, texts(text), tt.config)
		var arena connect.Arena
		data := "000200 02"
		if tt.config["flatten.singleton.unions"] == "false" {
			data = "0002 0002"
		}
		schema, _, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, unhex(t, data)))
		if err != nil {
			t.Errorf("%v: %v", tt.config, err)
		} else if got := describe(schema); got != tt.want {
			t.Errorf("%v\n got %s\nwant %s", tt.config, got, tt.want)
		}
	}
}

func TestReferences(t *testing.T) {
	source := schemas{{Type: registry.Avro, Text: `{"type":"record","name":"a.Order","fields":[{"name":"c","type":"b.Customer"},{"name":"k","type":["null","Kind"]}]}`, References: []registry.Reference{
		{Name: "Kind", Subject: "kind", Version: 1, Text: `{"type":"enum","name":"Kind","symbols":["X","Y"]}`},
		{Name: "b.Customer", Subject: "customer", Version: 2, Text: `{"type":"record","name":"Customer","namespace":"b","fields":[{"name":"k","type":"Kind"}]}`},
	}}}
	c := converter(t, source, nil)
	var arena connect.Arena
	schema, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, unhex(t, "02 0200")))
	if err != nil {
		t.Fatal(err)
	}
	if got := connecttest.Render(v); got != `(("Y") "X")` || schema.Fields[0].Schema.Name != "b.Customer" || schema.Fields[1].Schema.Name != "Kind" {
		t.Errorf("got %s under %s", got, describe(schema))
	}
}

func TestBadData(t *testing.T) {
	tests := []struct{ schema, data, want string }{
		{`"string"`, "0461", "a length of 2 bytes where 1 are left, at byte 0 of 2, with schema id 1"},
		{`"string"`, "01", "a length of -1 bytes"},
		{`"bytes"`, "feffffffffffffffff01", "a length of 9223372036854775807 bytes"},
		{`"long"`, "ffffffffffffffffff02", "a number of more than 64 bits"},
		{`"long"`, "ffff", "the data ends inside a number"},
		{`"long"`, "", "the data ends inside a number"},
		{`"int"`, "8080808010", "out of its type's range"},
		{`{"type":"int","connect.type":"int8"}`, "8002", "the number 128 is out of its type's range"},
		{`{"type":"int","logicalType":"time-millis"}`, "01", "the number -1 is out of its type's range"},
		{`"boolean"`, "02", "no boolean"},
		{`"double"`, "00", "the data ends inside a double"},
		{`"float"`, "00", "the data ends inside a float"},
		{`{"type":"fixed","name":"F","size":3}`, "0000", "the data ends inside a fixed"},
		{`{"type":"enum","name":"E","symbols":["A"]}`, "02", "the enum has no symbol 1"},
		{`["null","int"]`, "04", "the union has no branch 2"},
		{`["int","string"]`, "01", "the union has no branch -1"},
		{`["int"]`, "02", "the union has no branch 1"},
		{`{"type":"array","items":"int"}`, "feffffffffffffffff01", "a block of 9223372036854775807 elements where the data has room for 0"},
		{`{"type":"array","items":"int"}`, "ffffffffffffffffff0100", "a block of too many elements"},
		{`{"type":"array","items":"int"}`, "010800", "a block longer than the data"},
		{`{"type":"array","items":{"type":"record","name":"E","fields":[]}}`, "feffffff0f00", "elements where the data has room for"},
		{`{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"a","type":{"type":"fixed","name":"Z","size":0}},{"name":"b","type":"Z"}]}}`, "8080060000", "too many values for the size of the record"},
		{`{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}`, strings.Repeat("02", 1001), "more than 1000 levels of nesting"},
		{`{"type":"record","name":"N","fields":[{"name":"n","type":"N"}]}`, "02", "more than 1000 levels of nesting"},
		{`"null"`, "", "Standalone null schemas are not supported by this converter"},
		{`["int",{"type":"int","logicalType":"date"}]`, "00", "Multiple union schemas map to the Connect union field name"},
		{`{"type":"record","name":"R","fields":[{"name":"f","type":"Missing"}]}`, "00", "unknown type: Missing"},
		{`{"type":"int","connect.type":"int4"}`, "00", "Connect type annotation for Avro int field is null"},
		{`{"type":"fixed","name":"F","size":2147483647}`, "00", "impossible size"},
		{strings.Repeat(`{"type":"array","items":`, 300) + `"int"` + strings.Repeat("}", 300), "00", "more than 200 levels of nesting"},
		{doubling(40), "00", "more than 100000 parts"},
		{`{"type":"record"`, "00", "unknown type"},
	}
	for _, tt := range tests {
		c := converter(t, texts(tt.schema), nil)
		var arena connect.Arena
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, unhex(t, tt.data)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.80s: data %.40s: got %s, %v, want an error with %q", tt.schema, tt.data, connecttest.Render(v), err, tt.want)
		}
	}
}

// doubling is a schema of n records, each with two fields of the next.
func doubling(n int) string {
	s := `{"type":"record","name":"R0","fields":[]}`
	for i := 1; i < n; i++ {
		s = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i, s, i-1)
	}
	return s
}

func TestHeader(t *testing.T) {
	c := converter(t, texts(`"int"`), nil)
	for in, want := range map[string]string{
		"{}":                   "no schema-registry header: 2 bytes starting 7b 7d (a header is a zero byte and a schema id of four bytes; the topic seems to hold JSON",
		"":                     "no schema-registry header: 0 bytes",
		"\x00\x00":             "the data is cut off",
		"\x00\x00\x00\x00\x09": "schema id 9 is not in the registry",
	} {
		var arena connect.Arena
		if _, _, err := c.ToConnect(t.Context(), &arena, "topic", []byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", in, err, want)
		}
	}
	other := converter(t, schemas{{Type: registry.Protobuf, Text: "x"}}, nil)
	var arena connect.Arena
	if _, _, err := other.ToConnect(t.Context(), &arena, "topic", framed(1, nil)); err == nil || !strings.Contains(err.Error(), "of type PROTOBUF") {
		t.Errorf("got %v, want an error with the type", err)
	}
}

func TestConfigure(t *testing.T) {
	for key, value := range map[string]string{"connect.meta.data": "yes", "use.latest.version": "true", "scrub.invalid.names": "true"} {
		c := &avro.Converter{Source: schemas{}}
		if err := c.Configure(map[string]string{key: value}, false); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: got %v, want an error with the key", key, value, err)
		}
	}
	if err := new(avro.Converter).Configure(nil, false); err == nil || !strings.Contains(err.Error(), "schema.registry.url") {
		t.Errorf("without a URL: got %v", err)
	}
}

const rich = `{"type":"record","name":"n.Rich","fields":[
	{"name":"a","type":["null","string"]},{"name":"b","type":{"type":"array","items":{"type":"map","values":"bytes"}}},
	{"name":"c","type":["int","string","boolean"]},{"name":"d","type":{"type":"record","name":"D","fields":[{"name":"x","type":"double"},{"name":"self","type":["null","D"]}]}},
	{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"f","type":{"type":"fixed","name":"F","size":4}}]}`

func richData(t testing.TB) []byte {
	t.Helper()
	data, err := hamba.Marshal(hamba.MustParse(rich), map[string]any{
		"a": "grüße", "b": []any{map[string]any{"k": []byte{1, 2}}, map[string]any{}}, "c": map[string]any{"string": "s"},
		"d": map[string]any{"x": 1.5, "self": map[string]any{"n.D": map[string]any{"x": math.Inf(1), "self": nil}}}, "e": "B", "f": [4]byte{1, 2, 3, 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConformance(t *testing.T) {
	source := texts(rich, flat, `"string"`)
	connecttest.Converter(t, func(t *testing.T) connect.Converter { return converter(t, source, nil) },
		framed(1, richData(t)), framed(2, flatData(t)), framed(3, []byte{6, 'a', 0xff, 'b'}))
}

func FuzzDecode(f *testing.F) {
	source := texts(rich, flat, `{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"u","type":["null","int","E"]}]}}`)
	f.Add(byte(1), richData(f))
	f.Add(byte(2), flatData(f))
	f.Add(byte(3), []byte{4, 2, 6, 2, 0, 0})
	c := converter(f, source, nil)
	var arena connect.Arena
	f.Fuzz(func(t *testing.T, id byte, data []byte) {
		arena.Reset()
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(uint32(id%3+1), data))
		if err == nil {
			connecttest.Render(v)
		}
	})
}

// FuzzSchema gives hostile schemas to the parser.
func FuzzSchema(f *testing.F) {
	for _, s := range []string{rich, flat, `["null"]`, `{"type":{"type":"int"}}`, `{"type":"record","name":".","fields":[{"name":"a","type":["x"],"default":{}}]}`} {
		f.Add(s, []byte{0, 1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, schema string, data []byte) {
		c := converter(t, texts(schema), nil)
		var arena connect.Arena
		if s, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, data)); err == nil {
			describe(s)
			connecttest.Render(v)
		}
	})
}

const flat = `{"type":"record","name":"Event","fields":[{"name":"id","type":"long"},{"name":"user_id","type":"long"},{"name":"event","type":"string"},{"name":"page","type":"string"},
	{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"amount","type":"double"},{"name":"score","type":"double"},{"name":"ok","type":"boolean"},
	{"name":"country","type":"string"},{"name":"device","type":"string"},{"name":"session","type":"string"},{"name":"seq","type":"long"}]}`

func flatData(t testing.TB) []byte {
	t.Helper()
	var b []byte
	str := func(s string) { b = append(binary.AppendVarint(b, int64(len(s))), s...) }
	b = binary.AppendVarint(b, 123456)
	b = binary.AppendVarint(b, 4821)
	str("page_view")
	str("/products/10293")
	b = binary.AppendVarint(b, 1764000000123)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(123.45))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(0.123456789))
	b = append(b, 1)
	str("DE")
	str("mobile")
	str("a1b2c3d4e5f60718")
	return binary.AppendVarint(b, 4242)
}

func BenchmarkFlat(b *testing.B) {
	connecttest.BenchmarkConverter(b, converter(b, texts(flat), nil), framed(1, flatData(b)))
}

func BenchmarkOptional(b *testing.B) {
	text := strings.NewReplacer(`"type":"long"}`, `"type":["null","long"]}`, `"type":"string"}`, `"type":["null","string"]}`).Replace(flat)
	c := converter(b, texts(text), nil)
	data := flatData(b)
	// Every nullable field of the schema has one byte more: its branch.
	var opt []byte
	r := bytes.NewReader(data)
	for range 2 {
		v, err := binary.ReadVarint(r)
		if err != nil {
			b.Fatal(err)
		}
		opt = binary.AppendVarint(append(opt, 2), v)
	}
	rest := data[len(data)-r.Len():]
	opt = append(append(append(opt, 2), rest[:10]...), 2)
	rest = rest[10:]
	opt = append(opt, rest[:16+6+8+8+1]...)
	rest = rest[16+6+8+8+1:]
	for _, n := range []int{3, 7, 17, len(rest) - 27} {
		opt = append(append(opt, 2), rest[:n]...)
		rest = rest[n:]
	}
	connecttest.BenchmarkConverter(b, c, framed(1, opt))
}
