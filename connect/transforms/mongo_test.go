package transforms

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
)

func TestMongoTypes(t *testing.T) {
	tests := []struct{ doc, want string }{
		{`{"a":{"$numberLong":"3"},"b":{"$numberInt":"4"},"c":{"$numberDouble":"-Infinity"},"d":{"$numberDecimal":"1E+3"},"e":3000000000}`, `(3 4 float -Inf "1E+3" 3000000000)`},
		{`{"a":{"$date":5},"b":{"$date":{"$numberLong":"-5"}},"c":{"$date":"1970-01-01T00:00:01.5Z"},"d":{"$timestamp":{"t":2,"i":1}}}`, `(5 -5 1500 2000)`},
		{
			`{"a":{"$binary":"AQI=","$type":"00"},"b":{"$binary":{"base64":"AQI=","subType":"00"}},"c":{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"},"d":{"$type":"00","$binary":"/w=="}}`,
			`(x'0102' x'0102' x'00112233445566778899aabbccddeeff' x'ff')`,
		},
		{`{"a":{"$regex":"^x","$options":"i"},"b":{"$regularExpression":{"pattern":"y","options":""}}}`, `(("^x" "i") ("y" ""))`},
		{`{"a":{"$code":"f()"},"b":{"$code":"g()","$scope":{"x":{"$numberLong":"1"}}},"c":{"$symbol":"s"},"d":{"$undefined":true}}`, `("f()" ("g()" (1)) "s" null)`},
		{`{"a":{"$minKey":1},"b":{"$maxKey":1},"c":1}`, `(1)`},
		{`{"a":{"$ref":"c","$id":7},"o":{"$oid":"65000000000000000000000A"}}`, `(("c" 7) "65000000000000000000000a")`},
		{`{"a":[1,{"$numberLong":"2"},null],"b":[null],"c":[[],[1]],"d":[{"$date":1},{"$date":2}]}`, `([1 2 null] [null] [[] [1]] [1 2])`},
		{`{"a":[{"x":null,"s":{"p":1}},{"y":"b","x":3,"s":{"q":true}}]}`, `([(null (1 null) null) (3 (null true) "b")])`},
		{`{"a":{},"b":[{}],"c":1,"c":"again"}`, `(() [()] "again")`},
	}
	for _, tt := range tests {
		r := mongoRecord("7", "", tt.doc, connect.Value{}, "c")
		apply(t, configured(t, NewMongoDebezium(), nil), r)
		after := r.Value.Fields()[r.ValueSchema.FieldIndex("after")]
		if got := connecttest.Render(after); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.doc, got, tt.want)
		}
		fits(t, r.ValueSchema, r.Value)
	}
}

func TestMongoDocumentMode(t *testing.T) {
	tr := configured(t, NewMongoDebezium(), map[string]string{"array_handling_mode": "DOCUMENT"})
	r := mongoRecord("7", "", `{"a":[1,"x",{"$minKey":1},[true]],"b":[]}`, connect.Value{}, "c")
	apply(t, tr, r)
	after := r.ValueSchema.FieldIndex("after")
	if got, want := connecttest.Render(r.Value.Fields()[after]), `((1 "x" (true)) ())`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a := r.ValueSchema.Fields[after].Schema.Fields[0].Schema
	if a.Name != "null.a" || a.Fields[0].Name != "_0" || a.Fields[2].Name != "_3" || a.Fields[2].Schema.Name != "null.a._3" {
		t.Errorf("got schema %+v", a)
	}
}

// TestMongoUpdates has the three forms of capture: with the old document, with the new one,
// with neither.
func TestMongoUpdates(t *testing.T) {
	tests := []struct {
		name, before, after string
		update              connect.Value
		want                string // before and after, those that there are
	}{
		{"delete", `{"_id":7,"a":1}`, "", connect.Value{}, `(7 1)`},
		{"full", "", `{"_id":7,"a":2}`, update(`{"a":2}`), `(7 2)`},
		{"on the old", `{"_id":7,"a":1,"b":2,"c":3}`, "", update(`{"a":"x","d":4}`, "b", "no"), `(7 1 2 3) (7 "x" 3 4)`},
		{"alone", "", "", update(`{"a":2}`, "b"), `(2 7)`},
		{"only removed", "", "", connect.StructValue([]connect.Value{connect.ArrayValue([]connect.Value{text("b")}), {}}), `(7)`},
	}
	tr := configured(t, NewMongoDebezium(), nil)
	for _, tt := range tests {
		r := mongoRecord("7", tt.before, tt.after, tt.update, "u")
		apply(t, tr, r)
		var got []string
		for i, f := range r.ValueSchema.Fields {
			if f.Name == "before" || f.Name == "after" {
				got = append(got, connecttest.Render(r.Value.Fields()[i]))
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if got := connecttest.Render(r.Key); got != "(7)" || r.KeySchema.Optional {
			t.Errorf("%s: got key %s of %+v", tt.name, got, r.KeySchema)
		}
	}
}

func TestMongoBlames(t *testing.T) {
	for _, tt := range []struct{ id, doc, want string }{
		{"7", "", "malformed record topic: tp, partition: 3, offset: 42"},
		{"x", `{}`, "the key's id is no JSON text"},
		{"7", `[]`, "after is not in extended JSON: no document"},
		{"7", `{"a":{"$oid":"1"}}`, `{"$oid":"1"} is no extended JSON`},
		{"7", `{"a":{"$date":"soon"}}`, "is no extended JSON"},
		{"7", `{"a":{"$numberLong":"x"}}`, "is no extended JSON"},
		{"7", `{"a":{"$binary":5}}`, "no base64"},
		{"7", `{"a":{"$timestamp":{"t":-1}}}`, "is no extended JSON"},
		{"7", `{"a":9223372036854775808}`, "more than 64 bits"},
		{"7", `{"a":[{"$minKey":1}]}`, "has no type"},
		{"7", `{"p":{"a":[[1],["x"]]}}`, "Field a of schema null.p is not a homogenous array."},
		{"7", `{"p":[{"k":1},{"k":"x"}]}`, "Field k of schema null is not the same type for all documents in the array."},
		{"7", strings.Repeat(`{"a":`, 2000), "more than 1000 levels"},
	} {
		_, err := configured(t, NewMongoDebezium(), nil).Apply(new(connect.Arena), mongoRecord(tt.id, "", tt.doc, connect.Value{}, "c"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: got error %v, want %q", tt.doc, err, tt.want)
		}
	}
}

func TestMongoSharesSchemas(t *testing.T) {
	tr := configured(t, NewMongoDebezium(), nil)
	envelope := mongoRecord("7", "", `{"a":1}`, connect.Value{}, "c")
	schemas := map[*connect.Schema]bool{}
	for _, doc := range []string{`{"a":1}`, `{"a":2}`, `{"a":"x"}`} {
		r := mongoRecord("7", "", doc, connect.Value{}, "c")
		r.ValueSchema, r.KeySchema = envelope.ValueSchema, envelope.KeySchema
		apply(t, tr, r)
		schemas[r.ValueSchema] = true
	}
	if len(schemas) != 2 {
		t.Errorf("got %d schemas for documents of two forms", len(schemas))
	}
}

// FuzzMongoDebezium feeds documents of any kind: no panic, and every value fits its schema.
func FuzzMongoDebezium(f *testing.F) {
	f.Add(`{"$oid":"650000000000000000000001"}`, `{"a":[{"b":[1]},{"c":null}]}`, `{"a":{"$code":"x","$scope":{"y":[[1],[null]]}}}`, true)
	f.Add(`7`, `{"a":{"$regex":"a","$options":"b"}}`, `{"b":{"$binary":{"base64":"AA==","subType":"0"}}}`, false)
	f.Add(`7`, strings.Repeat(`{"a":`, 1200), strings.Repeat("[", 999), false)
	f.Fuzz(func(t *testing.T, id, before, after string, documents bool) {
		config := map[string]string{"array_handling_mode": "array"}
		if documents {
			config["array_handling_mode"] = "document"
		}
		tr := configured(t, NewMongoDebezium(), config)
		for _, r := range []*connect.Record{mongoRecord(id, before, after, connect.Value{}, "u"), mongoRecord(id, before, "", update(after, id), "u")} {
			if _, err := tr.Apply(new(connect.Arena), r); err == nil {
				fits(t, r.ValueSchema, r.Value)
				fits(t, r.KeySchema, r.Key)
			}
		}
	})
}

// TestMongoTruncatedArrays has an update that cuts an array and says so in truncatedArrays
// alone, which Java's transform does not look at.
func TestMongoTruncatedArrays(t *testing.T) {
	cut, value := row("", "field", requiredString, text("a"), "size", optionalLong, num(1))
	schema := &connect.Schema{Type: connect.StructType, Optional: true, Fields: append(updateSchema.Fields[:2:2],
		connect.Field{Name: "truncatedArrays", Schema: &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: cut}})}
	r := mongoRecord("7", `{"_id":7,"a":[1,2,3]}`, "", connect.Value{}, "u")
	at := r.ValueSchema.FieldIndex("updateDescription")
	r.ValueSchema.Fields[at].Schema = schema
	r.Value.Fields()[at] = connect.StructValue([]connect.Value{{}, text(`{"b":1}`), connect.ArrayValue([]connect.Value{value})})
	apply(t, configured(t, NewMongoDebezium(), nil), r)
	if got, want := connecttest.Render(r.Value.Fields()[r.ValueSchema.FieldIndex("after")]), `(7 [1 2 3] 1)`; got != want {
		t.Errorf("got %s, want %s as from Java", got, want)
	}
}
