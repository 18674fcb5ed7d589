package transforms

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/transforms/jsontree"
)

// A bsonKind is what a BSON value becomes; the bytes are codes in forms.
type bsonKind byte

const (
	bsonSkipped  bsonKind = 0 // minKey, maxKey, dbPointer: left out, as Java does
	bsonNull     bsonKind = 'z'
	bsonText     bsonKind = 's' // also objectId, decimal128, javascript and symbol
	bsonDouble   bsonKind = 'd'
	bsonBinary   bsonKind = 'x'
	bsonInt32    bsonKind = 'i'
	bsonInt64    bsonKind = 'l'
	bsonBool     bsonKind = 'b'
	bsonTime     bsonKind = 't' // datetime and timestamp, in milliseconds
	bsonRegex    bsonKind = 'r'
	bsonCode     bsonKind = 'c' // javascript with scope
	bsonDocument bsonKind = '{'
	bsonArray    bsonKind = '['
)

// A bsonValue is one node of a MongoDB extended JSON text, understood.
type bsonValue struct {
	kind  bsonKind
	value connect.Value  // of a scalar
	node  *jsontree.Node // of a document or array; the scope of code
	a, b  string         // pattern and options of a regex; a is code
}

// readBSON understands a node as the extended JSON of MongoDB, in its first (strict) and
// its second version (canonical and relaxed). (Source: MongoDB Extended JSON
// specification; what org.bson.json.JsonReader takes besides, such as ObjectId("…") and
// unquoted keys, is a shell's syntax that Debezium does not write.)
func readBSON(arena *connect.Arena, tree *jsontree.Tree, n *jsontree.Node) (bsonValue, error) {
	scalar := func(kind bsonKind, v connect.Value) (bsonValue, error) { return bsonValue{kind: kind, value: v}, nil }
	switch n.Kind {
	case jsontree.Null:
		return bsonValue{kind: bsonNull}, nil
	case jsontree.False, jsontree.True:
		return scalar(bsonBool, connect.BoolValue(n.Kind == jsontree.True))
	case jsontree.Int:
		return scalar(bsonInt32, connect.IntValue(n.Int))
	case jsontree.Long:
		return scalar(bsonInt64, connect.IntValue(n.Int))
	case jsontree.BigInt:
		return bsonValue{}, &connect.DataError{Msg: "The integer " + n.Text + " has more than 64 bits"}
	case jsontree.Double:
		return scalar(bsonDouble, connect.FloatValue(n.Float))
	case jsontree.Text:
		return scalar(bsonText, connect.StringValue(n.Text))
	case jsontree.Array:
		return bsonValue{kind: bsonArray, node: n}, nil
	case jsontree.Object:
	}
	first := tree.First(n)
	if first == nil || !strings.HasPrefix(first.Key, "$") {
		return bsonValue{kind: bsonDocument, node: n}, nil
	}
	v, err := readWrapper(arena, tree, n, first)
	if err != nil {
		return v, &connect.DataError{Msg: fmt.Sprintf("%s is no extended JSON: %v", tree.AppendJSON(nil, n), err)}
	}
	return v, nil
}

// readWrapper understands an object whose first key starts with $.
func readWrapper(arena *connect.Arena, tree *jsontree.Tree, n, first *jsontree.Node) (bsonValue, error) {
	switch first.Key {
	case "$oid":
		if len(first.Text) != 24 || strings.Trim(first.Text, "0123456789abcdefABCDEF") != "" {
			return bsonValue{}, fmt.Errorf("%q has not 24 hexadecimal digits", first.Text)
		}
		return bsonValue{kind: bsonText, value: connect.StringValue(strings.ToLower(first.Text))}, nil
	case "$date":
		return readDate(tree, first)
	case "$numberInt", "$numberLong":
		bits, kind := 64, bsonInt64
		if first.Key == "$numberInt" {
			bits, kind = 32, bsonInt32
		}
		i, err := strconv.ParseInt(first.Text, 10, bits)
		if first.Kind == jsontree.Int || first.Kind == jsontree.Long && bits == 64 {
			i, err = first.Int, nil
		}
		return bsonValue{kind: kind, value: connect.IntValue(i)}, err
	case "$numberDouble":
		f, err := strconv.ParseFloat(first.Text, 64) // takes NaN and ±Infinity, too
		return bsonValue{kind: bsonDouble, value: connect.FloatValue(f)}, err
	case "$numberDecimal", "$code", "$symbol":
		scope := tree.Member(n, "$scope")
		switch {
		case first.Kind != jsontree.Text:
			return bsonValue{}, fmt.Errorf("%s is no text", first.Key)
		case first.Key == "$code" && scope != nil && scope.Kind == jsontree.Object:
			return bsonValue{kind: bsonCode, a: first.Text, node: scope}, nil
		}
		return bsonValue{kind: bsonText, value: connect.StringValue(first.Text)}, nil
	case "$binary", "$type", "$uuid":
		return readBinary(arena, tree, n, first)
	case "$timestamp":
		seconds := tree.Member(first, "t")
		if seconds == nil || seconds.Int < 0 || seconds.Int > math.MaxUint32 {
			return bsonValue{}, errors.New("no time in seconds under t")
		}
		return bsonValue{kind: bsonTime, value: connect.IntValue(1000 * seconds.Int)}, nil
	case "$regularExpression":
		return readRegex(tree.Member(first, "pattern"), tree.Member(first, "options"))
	case "$regex", "$options":
		return readRegex(tree.Member(n, "$regex"), tree.Member(n, "$options"))
	case "$undefined":
		return bsonValue{kind: bsonNull}, nil
	case "$minKey", "$maxKey", "$dbPointer":
		return bsonValue{}, nil
	}
	return bsonValue{kind: bsonDocument, node: n}, nil // $ref of a DBRef, for one, is a field
}

// readDate takes milliseconds, bare or in $numberLong, or an ISO 8601 text.
func readDate(tree *jsontree.Tree, n *jsontree.Node) (bsonValue, error) {
	if wrapped := tree.Member(n, "$numberLong"); wrapped != nil {
		n = wrapped
		ms, err := strconv.ParseInt(n.Text, 10, 64)
		return bsonValue{kind: bsonTime, value: connect.IntValue(ms)}, err
	}
	if n.Kind == jsontree.Int || n.Kind == jsontree.Long {
		return bsonValue{kind: bsonTime, value: connect.IntValue(n.Int)}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, n.Text)
	return bsonValue{kind: bsonTime, value: connect.IntValue(at.UnixMilli())}, err
}

func readBinary(arena *connect.Arena, tree *jsontree.Tree, n, first *jsontree.Node) (bsonValue, error) {
	if first.Key == "$uuid" {
		raw, err := hex.DecodeString(strings.ReplaceAll(first.Text, "-", ""))
		return bsonValue{kind: bsonBinary, value: connect.BytesValue(raw)}, err
	}
	text := tree.Member(n, "$binary")
	if text != nil && text.Kind == jsontree.Object {
		text = tree.Member(text, "base64")
	}
	if text == nil || text.Kind != jsontree.Text {
		if first.Key == "$type" {
			return bsonValue{kind: bsonDocument, node: n}, nil
		}
		return bsonValue{}, errors.New("no base64 text")
	}
	out := arena.Bytes(base64.StdEncoding.DecodedLen(len(text.Text)))
	size, err := base64.StdEncoding.Decode(out, connect.StringValue(text.Text).Bytes())
	return bsonValue{kind: bsonBinary, value: connect.BytesValue(out[:size])}, err
}

func readRegex(pattern, options *jsontree.Node) (bsonValue, error) {
	if pattern == nil || pattern.Kind != jsontree.Text || options != nil && options.Kind != jsontree.Text {
		return bsonValue{}, errors.New("no regular expression")
	}
	v := bsonValue{kind: bsonRegex, a: pattern.Text}
	if options != nil {
		v.b = options.Text
	}
	return v, nil
}
