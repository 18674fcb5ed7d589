package transforms

import (
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/transforms/jsontree"
)

// JSONToMap parses a value that is a JSON text: into a struct with a typed field for each
// member, or into one map of texts
// (org.apache.iceberg.connect.transforms.JsonToMapTransform).
//
// Java makes a schema per message. Here messages of the same form share one, since plans
// are compiled from schemas. What follows the JSON value, which Java ignores, is an error.
type JSONToMap struct {
	root  bool // one map of texts
	tree  jsontree.Tree
	forms forms
	form  []byte // of the message at hand
	text  []byte // scratch of members printed as JSON
}

var _ connect.Transformation = (*JSONToMap)(nil)

// NewJSONToMap makes one, to be configured.
func NewJSONToMap() connect.Transformation { return new(JSONToMap) }

// payloadSchema is that of all values with json.root=true.
var payloadSchema = &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "payload", Schema: stringMap}}}

// Version is that of the sink whose behaviour is followed.
func (*JSONToMap) Version() string { return sinkVersion }

// ConfigDef declares json.root.
func (*JSONToMap) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{
		Name: "json.root", Type: connect.TypeBoolean, Default: new("false"), Importance: connect.Medium, Order: -1,
		Doc: "Whether all members go as texts into one map, payload, instead of each into a field of its own.",
	}}}
}

// Configure reads json.root.
func (t *JSONToMap) Configure(config map[string]string) error {
	values, err := t.ConfigDef().Parse(config)
	t.root = values.Bool("json.root")
	t.forms = forms{build: jsonSchema}
	return err
}

// Apply parses the value. A null value stays null.
func (t *JSONToMap) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	if r.Value.Kind() != connect.String {
		return false, &connect.DataError{Msg: "record value is not a string, use StringConverter"}
	}
	t.tree.Reset(arena)
	object, err := t.tree.Parse(r.Value.Text())
	if err != nil {
		return false, &connect.DataError{Msg: fmt.Sprintf("record.value is not valid json for record.value: %s: %v", place(r), err)}
	}
	if object.Kind != jsontree.Object {
		return false, &connect.DataError{Msg: "Expected json object for record.value after parsing: " + place(r)}
	}
	if t.root {
		payload := arena.Values(1)
		payload[0] = t.texts(arena, object)
		r.ValueSchema, r.Value = payloadSchema, connect.StructValue(payload)
		return true, nil
	}
	t.form = t.form[:0]
	fields := arena.Values(object.Len)[:0]
	for m := t.tree.First(object); m != nil; m = t.tree.Next(m) {
		mark := len(t.form)
		t.form = appendName(t.form, m.Key)
		code := len(t.form)
		if t.form = t.describe(t.form, m); len(t.form) == code {
			t.form = t.form[:mark] // absent: nothing tells its type
			continue
		}
		v, _ := t.value(arena, m, t.form[code:])
		fields = append(fields, v)
	}
	r.ValueSchema, r.Value = t.forms.schema(t.form), connect.StructValue(fields)
	return true, nil
}

// place says which record it is, in Java's words.
func place(r *connect.Record) string {
	return fmt.Sprintf("topic %s partition %d offset %d", r.Topic, r.Partition, r.Offset)
}

// Codes of the types that JSON values get; an array's is followed by its element's.
const (
	codeText    = 's'
	codeBool    = 'b'
	codeInt     = 'i'
	codeLong    = 'l'
	codeDecimal = 'n'
	codeDouble  = 'd'
	codeMap     = 'm' // a member that is an object
	codeEntries = 'e' // an object within an array
	codeArray   = '['
)

// describe appends the code of n's type, nothing if n is to be left out: a null, an empty
// object, an empty array or an array of such arrays.
func (t *JSONToMap) describe(dst []byte, n *jsontree.Node) []byte {
	switch n.Kind {
	case jsontree.Null:
		return dst
	case jsontree.Object:
		if n.Len == 0 {
			return dst
		}
		return append(dst, codeMap)
	case jsontree.Array:
		return t.describeArray(dst, n)
	case jsontree.False, jsontree.True, jsontree.Int, jsontree.Long, jsontree.BigInt, jsontree.Double, jsontree.Text:
	}
	return append(dst, scalarCode(n.Kind))
}

func scalarCode(k jsontree.Kind) byte {
	switch k {
	case jsontree.False, jsontree.True:
		return codeBool
	case jsontree.Int:
		return codeInt
	case jsontree.Long:
		return codeLong
	case jsontree.BigInt:
		return codeDecimal
	case jsontree.Double:
		return codeDouble
	case jsontree.Null, jsontree.Text, jsontree.Array, jsontree.Object:
	}
	return codeText
}

// describeArray finds the type that all elements have. Elements of several types, or
// nulls, make an array of texts; arrays of several types one of arrays of texts.
func (t *JSONToMap) describeArray(dst []byte, n *jsontree.Node) []byte {
	first := t.tree.First(n)
	if first == nil {
		return dst
	}
	for e := first; e != nil; e = t.tree.Next(e) {
		if class(e.Kind) != class(first.Kind) || e.Kind == jsontree.Null {
			return append(dst, codeArray, codeText)
		}
	}
	switch first.Kind {
	case jsontree.Object:
		return append(dst, codeArray, codeEntries)
	case jsontree.Array:
	case jsontree.Null, jsontree.False, jsontree.True, jsontree.Int, jsontree.Long, jsontree.BigInt, jsontree.Double, jsontree.Text:
		return append(dst, codeArray, scalarCode(first.Kind))
	}
	from := len(dst)
	dst = append(dst, codeArray)
	dst = t.describe(dst, first)
	to := len(dst)
	for e := t.tree.Next(first); e != nil; e = t.tree.Next(e) {
		dst = t.describe(dst, e)
		if string(dst[to:]) != string(dst[from+1:to]) {
			return append(dst[:from], codeArray, codeArray, codeText)
		}
		dst = dst[:to]
	}
	if to == from+1 {
		return dst[:from] // arrays without elements
	}
	return dst
}

// class is what Jackson tells apart: true and false are of one class.
func class(k jsontree.Kind) jsontree.Kind {
	if k == jsontree.False {
		return jsontree.True
	}
	return k
}

// value makes the value of n by the code of its type, and returns the rest of the code.
func (t *JSONToMap) value(arena *connect.Arena, n *jsontree.Node, code []byte) (v connect.Value, rest []byte) {
	switch c, rest := code[0], code[1:]; c {
	case codeBool:
		return connect.BoolValue(n.Kind == jsontree.True), rest
	case codeInt, codeLong:
		return connect.IntValue(n.Int), rest
	case codeDouble:
		return connect.FloatValue(n.Float), rest
	case codeDecimal:
		return unscaled(n.Text), rest
	case codeMap, codeEntries:
		return t.texts(arena, n), rest
	case codeArray:
		elems := arena.Values(n.Len)
		at, after := 0, rest
		for e := t.tree.First(n); e != nil; e = t.tree.Next(e) {
			elems[at], after = t.value(arena, e, rest)
			at++
		}
		return connect.ArrayValue(elems), after
	default:
		return t.textOf(arena, n), rest
	}
}

// unscaled is a decimal of scale 0.
func unscaled(digits string) connect.Value {
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		panic("transforms: jsontree read digits that are no number: " + digits)
	}
	return connect.BytesValue(twosComplement(n))
}

// twosComplement is the shortest big-endian form that keeps the sign, as Java's
// BigInteger.toByteArray.
func twosComplement(n *big.Int) []byte {
	bits := n.BitLen()
	if n.Sign() < 0 {
		bits = new(big.Int).Not(n).BitLen()
	}
	size := bits/8 + 1
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8))
	}
	return n.FillBytes(make([]byte, size))
}

// texts makes a map of an object's members.
func (t *JSONToMap) texts(arena *connect.Arena, n *jsontree.Node) connect.Value {
	pairs := arena.Values(2 * n.Len)
	at := 0
	for m := t.tree.First(n); m != nil; m = t.tree.Next(m) {
		pairs[at], pairs[at+1] = connect.StringValue(m.Key), t.textOf(arena, m)
		at += 2
	}
	return connect.MapValue(pairs)
}

// textOf is a text as it is, anything else as JSON.
func (t *JSONToMap) textOf(arena *connect.Arena, n *jsontree.Node) connect.Value {
	if n.Kind == jsontree.Text {
		return connect.StringValue(n.Text)
	}
	t.text = t.tree.AppendJSON(t.text[:0], n)
	out := arena.Bytes(len(t.text))
	copy(out, t.text)
	return connect.StringOf(out)
}

// appendName appends a field's name, led by its length.
func appendName(dst []byte, name string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

// takeName reads what appendName wrote.
func takeName(form []byte) (name string, rest []byte) {
	n, size := binary.Uvarint(form)
	form = form[size:]
	return string(form[:n]), form[n:]
}

// jsonSchema builds the schema of a form: names and codes of the fields.
func jsonSchema(form []byte) *connect.Schema {
	s := &connect.Schema{Type: connect.StructType}
	for len(form) > 0 {
		var f connect.Field
		f.Name, form = takeName(form)
		f.Schema, form = codeSchema(form)
		s.Fields = append(s.Fields, f)
	}
	return s
}

func codeSchema(code []byte) (s *connect.Schema, rest []byte) {
	c, rest := code[0], code[1:]
	switch c {
	case codeBool:
		return &connect.Schema{Type: connect.Boolean, Optional: true}, rest
	case codeInt:
		return &connect.Schema{Type: connect.Int32, Optional: true}, rest
	case codeLong:
		return optionalLong, rest
	case codeDouble:
		return &connect.Schema{Type: connect.Float64, Optional: true}, rest
	case codeDecimal:
		return &connect.Schema{
			Type: connect.BytesType, Optional: true, Name: connect.LogicalDecimal, Version: 1,
			Parameters: map[string]string{"scale": "0"},
		}, rest
	case codeMap:
		return stringMap, rest
	case codeEntries:
		return &connect.Schema{Type: connect.MapType, Optional: true, Key: optionalString, Elem: optionalString}, rest
	case codeArray:
		elem, rest := codeSchema(rest)
		return &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: elem}, rest
	}
	return optionalString, rest
}
