package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/converters/json"
)

func converter(t testing.TB, config ...string) *json.Converter {
	t.Helper()
	m := map[string]string{}
	for i := 0; i < len(config); i += 2 {
		m[config[i]] = config[i+1]
	}
	c := new(json.Converter)
	if err := c.Configure(m, false); err != nil {
		t.Fatal(err)
	}
	return c
}

func plain(t testing.TB) *json.Converter {
	t.Helper()
	return converter(t, "schemas.enable", "false")
}

// deviations are the documents on which this converter differs from Java on purpose.
var deviations = map[string]string{
	`12345678901234567890`: "ERR DataException: Converting byte[] to Kafka Connect data failed due to serialization error: an integer of more than 64 bits, at byte 0 of 20",
	`{"schema":{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"1"}},"payload":123.456}`: "ERR DataException: the number 123.456 does not fit a Decimal of scale 1",
	`{"schema":{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}},"payload":123.4}`:   "BYTES:org.apache.kafka.connect.data.Decimal BigDecimal 123.40",
	`{"a":1,"a":2}`: "null HashMap {a=1, a=2}", // the last counts: Value.Lookup
}

func TestAsJava(t *testing.T) {
	file, err := os.ReadFile("testdata/read.txt")
	if err != nil {
		t.Fatal(err)
	}
	var c *json.Converter
	first := false
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if enabled, ok := strings.CutPrefix(line, "== json schemas.enable="); ok {
			enabled, _, _ = strings.Cut(enabled, " ")
			c, first = converter(t, "schemas.enable", enabled), true
			continue
		}
		data, want, ok := strings.Cut(line, " | ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		in := []byte(strings.ReplaceAll(data, `\n`, "\n"))
		if first { // the first line of a part is a record without data
			in, first = nil, false
		}
		if d, ok := deviations[data]; ok {
			want = d
		}
		var arena connect.Arena
		schema, v, err := c.ToConnect(t.Context(), &arena, "topic", in)
		if got := asJava(schema, v, err); !sameText(got, want) {
			t.Errorf("%s\n got %s\nwant %s", data, got, want)
		}
	}
}

func sameText(got, want string) bool {
	if cause, ok := strings.CutSuffix(want, " <- SerializationException"); ok {
		return strings.HasPrefix(got, cause)
	}
	if cause, ok := strings.CutSuffix(want, " <- InvalidFormatException"); ok {
		return strings.HasPrefix(got, cause)
	}
	return got == want
}

func asJava(s *connect.Schema, v connect.Value, err error) string {
	if err != nil {
		return "ERR DataException: " + err.Error()
	}
	name := "null"
	if s != nil {
		name = s.Type.String()
		if s.Name != "" {
			name += ":" + s.Name
		}
	}
	if v.IsNull() {
		if s == nil {
			return "null null"
		}
		return name + " null"
	}
	return name + " " + class(s, v) + text(s, v)
}

func class(s *connect.Schema, v connect.Value) string {
	if s != nil {
		switch s.Name {
		case connect.LogicalTimestamp:
			return "Date "
		case connect.LogicalDecimal:
			return "BigDecimal "
		}
		if name := map[connect.Type]string{connect.Int8: "Byte ", connect.Int32: "Integer ", connect.Float32: "Float "}[s.Type]; name != "" {
			return name
		}
	}
	return map[connect.Kind]string{
		connect.Int: "Long ", connect.Float: "Double ", connect.String: "String ", connect.Bool: "Boolean ",
		connect.Map: "HashMap ", connect.Array: "ArrayList ", connect.Struct: "Struct ",
	}[v.Kind()]
}

func text(s *connect.Schema, v connect.Value) string {
	switch v.Kind() {
	case connect.Null:
		return "null"
	case connect.Bool:
		return strconv.FormatBool(v.Bool())
	case connect.Int:
		if s != nil && s.Name == connect.LogicalTimestamp && v.Int() == 1000 {
			return "Thu Jan 01 00:00:01 UTC 1970"
		}
		return strconv.FormatInt(v.Int(), 10)
	case connect.Float:
		f := strconv.FormatFloat(v.Float(), 'f', -1, 64)
		if !strings.Contains(f, ".") {
			f += ".0"
		}
		return f
	case connect.String:
		return v.Text()
	case connect.Bytes:
		n := 0
		for _, b := range v.Bytes() {
			n = n<<8 | int(b)
		}
		return strconv.Itoa(n/100) + "." + strconv.Itoa(n%100/10) + strconv.Itoa(n%10)
	case connect.Array:
		var parts []string
		for _, e := range v.Elems() {
			parts = append(parts, text(nil, e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case connect.Map:
		var parts []string
		for p := v.Pairs(); len(p) > 0; p = p[2:] {
			parts = append(parts, p[0].Text()+"="+text(nil, p[1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case connect.Struct:
		return "Struct{}"
	}
	return v.Kind().String()
}

const flight = `{"id":1234567,"ts":1764000000123,"user":"user-00012345","page":"/products/1234","amount":123.45,"ok":true,"country":"DE","device":"mobile","ref":null,"n":-17,"ratio":0.12345678,"note":"grüße \"x\" \u00e9\ud83d\ude00"}`

func TestConformance(t *testing.T) {
	connecttest.Converter(t, func(t *testing.T) connect.Converter { return plain(t) },
		[]byte(flight), []byte(`[[],{},[{"a":{}}],"",0,-0.0,1e-7]`), []byte(` "x" `), []byte(`{"b":1,"a":2,"c":[1,2,3]}`))
	connecttest.Converter(t, func(t *testing.T) connect.Converter { return converter(t) },
		[]byte(typed), []byte(`{"payload":{"x":[1]},"schema":null}`))
}

const typed = `{"schema":{"type":"struct","optional":false,"name":"n","version":2,"doc":"d","fields":[` +
	`{"type":"int8","optional":false,"field":"a"},{"type":"string","optional":true,"field":"b"},` +
	`{"type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"ts"},` +
	`{"type":"map","keys":{"type":"string"},"values":{"type":"int16"},"field":"m"},` +
	`{"type":"map","keys":{"type":"int32"},"values":{"type":"string"},"field":"im"},` +
	`{"type":"int64","default":5,"field":"d"},{"type":"bytes","field":"by"},` +
	`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"9"},"field":"de"},` +
	`{"type":"array","items":{"type":"double"},"field":"list"},{"type":"float","field":"f"}]},` +
	`"payload":{"a":1,"b":null,"ts":1000,"m":{"k":3},"im":[[5,"v"]],"d":null,"by":"AQL/","de":"gw==","list":[1,2.5],"f":1.5,"more":{"x":[1]}}}`

func TestEnvelope(t *testing.T) {
	schema := func(s string) string { return `{"schema":` + s + `,"payload":` }
	point := schema(`{"type":"struct","fields":[{"field":"x","type":"int32"},{"field":"y","type":"string","optional":true,"default":"dy"}]}`)
	money := schema(`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}`)
	tests := []struct{ in, want string }{
		{typed, `(1 null 1000 {"k":3} {5:"v"} 5 x'0102ff' x'83' [float 1 float 2.5] float 1.5)`},
		{point + `{"y":"s","x":7}}`, `(7 "s")`},
		{point + `{"x":7,"x":8}}`, `(8 "dy")`},
		{point + `{"x":7,"y":null}}`, `(7 "dy")`},
		{point + `{}}`, `Invalid null value for required INT32 field`},
		{point + `[]}`, `Structs should be encoded as JSON objects, but found ARRAY`},
		{`{"payload":{"x":1},"schema":{"type":"struct","fields":[{"field":"x","type":"int32"}]}}`, `(1)`},
		{schema(`{"type":"struct","fields":[{"field":"x","type":"string"}]}`) + `{"x":5}}`, `Invalid value: null used for required field, schema type: STRING`},
		{schema(`{"type":"int16"}`) + `-40000}`, `25536`},
		{schema(`{"type":"int64"}`) + `1.99e2}`, `199`},
		{schema(`{"type":"int64"}`) + `9007199254740993.7}`, `9007199254740993`},
		{schema(`{"type":"int64"}`) + `1e30}`, `an integer of more than 64 bits`},
		{schema(`{"type":"float"}`) + `0.1}`, `float 0.10000000149011612`},
		{schema(`{"type":"float"}`) + `1e39}`, `a number out of the range of 32-bit floating point`},
		{schema(`{"type":"double"}`) + `5}`, `float 5`},
		{money + `1e1}`, `x'03e8'`},
		{money + `-1.28}`, `x'80'`},
		{money + `-1.29}`, `x'ff7f'`},
		{money + `123456789012345678901234567890.5}`, `x'009bd30a3c645943dd1690a03a3a'`},
		{money + `0.001}`, `the number 0.001 does not fit a Decimal of scale 2`},
		{money + `1e999999999}`, `the number 1e999999999 does not fit a Decimal of scale 2`},
		{money + `true}`, `Invalid type for Decimal, underlying representation should be numeric or bytes but was BOOLEAN`},
		{schema(`{"type":"int32","name":"org.apache.kafka.connect.data.Date"}`) + `1.0}`, `Invalid type for Date, underlying representation should be integer but was NUMBER`},
		{schema(`{"type":"int32","name":"org.apache.kafka.connect.data.Time"}`) + `86400001}`, `Time values must use number of milliseconds`},
		{schema(`{"type":"array","items":{"type":"int8"}}`) + `5}`, `Arrays should be encoded as JSON arrays, but found NUMBER`},
		{schema(`{"type":"array"}`) + `[]}`, `Array schema did not specify the element type`},
		{schema(`{"type":"map","keys":{"type":"int8"},"values":{"type":"int8"}}`) + `[[1]]}`, `Found invalid map entry, expected length 2 but found :1`},
		{schema(`{"type":"map","keys":{"type":"int8"},"values":{"type":"int8"}}`) + `[[1,2],[3,4]]}`, `{1:2 3:4}`},
		{schema(`{"type":"struct","fields":[{"type":"int8"}]}`) + `{}}`, `Struct schema's field name not specified properly`},
		{schema(`{"type":"struct","fields":[{"type":"int8","field":"a"},{"type":"int8","field":"a"}]}`) + `{}}`, `Cannot create field because of field name duplication a`},
		{schema(`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}`) + `1}`, `Invalid Decimal schema: scale parameter not found.`},
		{schema(`{}`) + `1}`, `Schema must contain 'type' field`},
		{schema(`7`) + `1}`, `Schema must contain 'type' field`},
		{schema(strings.Repeat(`{"type":"array","items":`, 101)+`{"type":"int8"}`+strings.Repeat(`}`, 101)) + `1}`, `more than 100 levels`},
	}
	for _, tt := range tests {
		c := converter(t)
		for range 2 { // the second time with the cached schema
			var arena connect.Arena
			_, v, err := c.ToConnect(t.Context(), &arena, "topic", []byte(tt.in))
			got := connecttest.Render(v)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
				t.Errorf("%s\n got %s\nwant %s", tt.in, got, tt.want)
			}
		}
	}
}

func TestKeepNull(t *testing.T) {
	c := converter(t, "replace.null.with.default", "false")
	var arena connect.Arena
	_, v, err := c.ToConnect(t.Context(), &arena, "t", []byte(`{"schema":{"type":"int32","optional":true,"default":4},"payload":null}`))
	if err != nil || !v.IsNull() {
		t.Errorf("got %s, %v, want null", connecttest.Render(v), err)
	}
}

func TestBadDocuments(t *testing.T) {
	tests := []struct{ in, want string }{
		{`abc`, `unexpected "a", expected a value, at byte 0 of 3`},
		{"\x00\x00\x00\x00\x05abc", `set the converter to io.confluent.connect.avro.AvroConverter`},
		{`{"a":1`, `the data ends`},
		{`{"a" 1}`, `expected a colon`},
		{`{"a":1 "b"}`, `expected a comma or the end of the object`},
		{`{"a":1,}`, `a key in double quotes`},
		{`[1,]`, `expected a value`},
		{`"a`, `a string without an end`},
		{"\"a\nb\"", `a control character inside a string`},
		{"\"a\xff\"", `not UTF-8`},
		{`"\x"`, `an unknown escape`},
		{`"\u12g4"`, `four hexadecimal digits`},
		{`1x`, `white space after the number`},
		{`1.`, `a digit after the point`},
		{`-`, `expected a digit`},
		{`1e`, `a digit of the exponent`},
		{`truex`, `expected the end of true`},
		{`1e400`, `out of the range of 64-bit floating point`},
		{`9223372036854775808`, `an integer of more than 64 bits`},
		{strings.Repeat("1", 1001) + ".5", `more than 1000 characters`},
		{strings.Repeat("[", 1001), `more than 1000 levels of nesting`},
	}
	c := plain(t)
	for _, tt := range tests {
		var arena connect.Arena
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", []byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got %s, %v, want an error with %q", tt.in, connecttest.Render(v), err, tt.want)
		}
	}
}

// A key with an escaped quote is not remembered: what it looks like without the escape
// is not JSON.
func TestKeysWithEscapes(t *testing.T) {
	c := plain(t)
	var arena connect.Arena
	for _, tt := range []struct{ in, want string }{{`{"a\"":1,"b":2}`, `{"a\"":1 "b":2}`}, {`{"a"":1,"b":2}`, "expected a colon"}, {`{"b":2,"a\u0022":1}`, `{"b":2 "a\"":1}`}} {
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", []byte(tt.in))
		got := connecttest.Render(v)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// The key that is expected is compared by words: every length, with a byte changed at
// every place, and with the data ending right behind it.
func TestExpectedKeys(t *testing.T) {
	for n := range 20 {
		key := strings.Repeat("k", n)
		others := []string{key, key + "k"}
		for i := range n {
			others = append(others, key[:i]+"j"+key[i+1:], key[:i])
		}
		for _, other := range others {
			c := plain(t)
			var arena connect.Arena
			for _, k := range []string{key, other, key} {
				for _, rest := range []string{"1}", " 1}", "", `1,"` + key + `":2,"a key of the end":3}`} {
					data := []byte(`{"` + k + `":` + rest)
					_, v, err := c.ToConnect(t.Context(), &arena, "topic", data)
					if rest == "" {
						if err == nil {
							t.Errorf("%s: got %s, want an error", data, connecttest.Render(v))
						}
						continue
					}
					want := `{"` + k + `":1`
					if len(rest) > 3 {
						want += ` "` + key + `":2 "a key of the end":3`
					}
					if got := connecttest.Render(v); err != nil || got != want+"}" {
						t.Errorf("after %q, %s: got %s, %v, want %s}", key, data, got, err, want)
					}
				}
			}
		}
	}
}

// A schema in the settings is that of every record, and there are no envelopes.
func TestSchemaContent(t *testing.T) {
	const schema = `{"type":"struct","fields":[{"field":"n","type":"int8"},{"field":"s","type":"string","optional":true}]}`
	for _, tt := range []struct{ enable, content, data, want string }{
		{"true", schema, `{"n":7,"s":"x"}`, "struct"},
		{"true", schema, `{"n":7}`, "struct"},
		{"true", schema, `{"n":300}`, "struct"},
		{"true", schema, `{"schema":null,"payload":1}`, "error"},
		{"true", schema, `{"n":`, "error"},
		{"true", `{"type":"int32"}`, ` 41 `, "int32"},
		{"true", `{"type":"int32"}`, `41x`, "error"},
		{"true", `null`, `{"n":7}`, "error"},
		{"true", ``, `{"schema":{"type":"int32"},"payload":1}`, "int32"},
		{"false", schema, `{"n":7}`, "none"},
	} {
		c := converter(t, "schemas.enable", tt.enable, "schema.content", tt.content)
		var arena connect.Arena
		for range 2 {
			s, v, err := c.ToConnect(t.Context(), &arena, "t", []byte(tt.data))
			got := "none"
			switch {
			case err != nil:
				got = "error"
			case s != nil && s.Type == connect.StructType:
				got = "struct"
			case s != nil && s.Type == connect.Int32 && v.Int() > 0:
				got = "int32"
			}
			if got != tt.want {
				t.Errorf("%s by %s is %s (%v), want %s", tt.data, tt.content, got, err, tt.want)
			}
		}
	}
	for _, bad := range []string{"{", "7", `{"type":"nothing"}`} {
		if err := new(json.Converter).Configure(map[string]string{"schema.content": bad}, false); err == nil || !strings.Contains(err.Error(), "schema.content") {
			t.Errorf("schema.content=%s: got %v, want an error", bad, err)
		}
	}
}

func TestConfigure(t *testing.T) {
	for key, value := range map[string]string{"schemas.enable": "yes", "schemas.cache.size": "-1", "decimal.format": "HEX", "replace.null.with.default": "1"} {
		if err := new(json.Converter).Configure(map[string]string{key: value}, false); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: got %v, want an error with the key", key, value, err)
		}
	}
}

// reference reads a document as this converter should, with encoding/json.
func reference(data []byte) (string, bool) {
	d := stdjson.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var walk func() (string, bool)
	walk = func() (string, bool) {
		tok, err := d.Token()
		if err != nil {
			return "", false
		}
		switch v := tok.(type) {
		case nil:
			return "null", true
		case bool:
			return strconv.FormatBool(v), true
		case string:
			return strconv.Quote(v), true
		case stdjson.Number:
			if !strings.ContainsAny(v.String(), ".eE") {
				i, err := v.Int64()
				return strconv.FormatInt(i, 10), err == nil
			}
			f, err := v.Float64()
			return "float " + strconv.FormatFloat(f, 'g', -1, 64), err == nil
		}
		var parts []string
		for d.More() {
			part, ok := walk()
			if !ok {
				return "", false
			}
			parts = append(parts, part)
		}
		if _, err := d.Token(); err != nil {
			return "", false
		}
		if tok == stdjson.Delim('[') {
			return "[" + strings.Join(parts, " ") + "]", true
		}
		var pairs []string
		for pair := range slices.Chunk(parts, 2) {
			pairs = append(pairs, pair[0]+":"+pair[1])
		}
		return "{" + strings.Join(pairs, " ") + "}", true
	}
	return walk()
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{flight, `{"a":[1,2.5e3,-0.0,"\u0000\ud800x"],"é":{"":null}}`, `[[[[]]]]`, `-9223372036854775808`, `123456789.123456789e-5`, ` {"a" : 1 , "b":[ ] } `, `0.000000000000000000012`} {
		f.Add([]byte(s))
	}
	c := plain(f)
	var arena connect.Arena
	f.Fuzz(func(t *testing.T, data []byte) {
		arena.Reset()
		_, v, err := c.ToConnect(t.Context(), &arena, "topic", bytes.Clone(data))
		if err != nil || !stdjson.Valid(data) {
			if err != nil && stdjson.Valid(data) && !refused(err) {
				t.Fatalf("%q: %v, but encoding/json takes it", data, err)
			}
			return
		}
		if want, ok := reference(data); ok && connecttest.Render(v) != want {
			t.Fatalf("%q\n got %s\nwant %s", data, connecttest.Render(v), want)
		}
	})
}

// refused tells whether the error is one of our own limits.
func refused(err error) bool {
	for _, limit := range []string{"more than 64 bits", "out of the range", "not UTF-8", "levels of nesting", "1000 characters"} {
		if strings.Contains(err.Error(), limit) {
			return true
		}
	}
	return false
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(typed))
	f.Add([]byte(`{"payload":1,"schema":{"type":"int32","default":3}}`))
	c := converter(f, "schemas.cache.size", "2")
	var arena connect.Arena
	f.Fuzz(func(t *testing.T, data []byte) {
		arena.Reset()
		schema, v, err := c.ToConnect(t.Context(), &arena, "topic", bytes.Clone(data))
		if err == nil && schema != nil && !v.IsNull() && v.Kind() != schema.Type.Kind() {
			t.Fatalf("%q: kind %s under type %s", data, v.Kind(), schema.Type)
		}
		connecttest.Render(v)
	})
}

func BenchmarkPlain(b *testing.B) { connecttest.BenchmarkConverter(b, plain(b), []byte(bench)) }

// BenchmarkEscapes has texts that cannot alias the document.
func BenchmarkEscapes(b *testing.B) {
	connecttest.BenchmarkConverter(b, plain(b), []byte(`{"id":123456,"path":"\/products\/10293","title":"a \"quoted\" word and \u00e9\ud83d\ude00","text":"the first line of a text of some length\n\tand the second, indented\n"}`))
}

// bench has the shape of the benchmark topic's records: 12 fields, 216 bytes.
const bench = `{"id":123456,"user_id":4821,"event":"page_view","page":"/products/10293","ts":1764000000123,"amount":123.45,"score":0.123456789012,"ok":true,"country":"DE","device":"mobile","session":"a1b2c3d4e5f60718","seq":4242}`

func BenchmarkEnvelope(b *testing.B) {
	var fields []string
	for f := range strings.SplitSeq("int64 id,int64 user_id,string event,string page,int64 ts,double amount,double score,boolean ok,string country,string device,string session,int64 seq", ",") {
		typ, name, _ := strings.Cut(f, " ")
		fields = append(fields, fmt.Sprintf(`{"type":%q,"optional":true,"field":%q}`, typ, name))
	}
	data := []byte(`{"schema":{"type":"struct","fields":[` + strings.Join(fields, ",") + `]},"payload":` + bench + `}`)
	connecttest.BenchmarkConverter(b, converter(b), data)
}
