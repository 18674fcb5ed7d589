package columns

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/firn-io/firn/connect"
)

// appendString writes text; numbers and booleans in Java's spelling, maps, lists
// and structs as JSON. Bytes and logical dates have no text in the Java sink.
func (f *field) appendString(vec *vector, v connect.Value) error {
	if v.Kind() == connect.String {
		vec.pushText(v.Text())
		return nil
	}
	if f.temporal() || v.Kind() == connect.Bytes && !f.isDecimal() {
		return f.mismatch(v)
	}
	vec.data = f.render(vec.data, v)
	vec.endBytes()
	return nil
}

// render writes the text of a value.
func (f *field) render(dst []byte, v connect.Value) []byte {
	switch v.Kind() {
	case connect.Null:
		return append(dst, "null"...)
	case connect.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case connect.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case connect.Float:
		if f.from.source == float32Source {
			return appendFloat(dst, v.Float(), 32)
		}
		return appendFloat(dst, v.Float(), 64)
	case connect.String:
		return append(dst, v.Text()...)
	case connect.Bytes:
		if f.isDecimal() {
			return f.appendDecimalText(dst, v.Bytes())
		}
	case connect.Array, connect.Map, connect.Struct:
	}
	return appendJSON(dst, v, f.schema)
}

// appendJSON writes a value as the schemaless JsonConverter does: bytes and
// decimals in base64, logical times as numbers, maps whose keys are no text as
// lists of pairs. s is the value's schema, nil if it has none.
func appendJSON(dst []byte, v connect.Value, s *connect.Schema) []byte {
	switch v.Kind() {
	case connect.Null:
		return append(dst, "null"...)
	case connect.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case connect.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case connect.Float:
		return appendJSONFloat(dst, v.Float(), s)
	case connect.String:
		return appendQuoted(dst, v.Text())
	case connect.Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"')
	case connect.Array:
		dst = append(dst, '[')
		for i, e := range v.Elems() {
			dst = appendJSON(comma(dst, i), e, elemOf(s))
		}
		return append(dst, ']')
	case connect.Map:
		return appendJSONMap(dst, v, s)
	case connect.Struct:
		return appendJSONStruct(dst, v, s)
	}
	return dst
}

// appendJSONFloat quotes what is no JSON number, as Jackson does.
func appendJSONFloat(dst []byte, x float64, s *connect.Schema) []byte {
	bits := 64
	if s != nil && s.Type == connect.Float32 {
		bits = 32
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		dst = append(dst, '"')
		return append(appendFloat(dst, x, bits), '"')
	}
	return appendFloat(dst, x, bits)
}

func appendJSONMap(dst []byte, v connect.Value, s *connect.Schema) []byte {
	pairs := v.Pairs()
	object := s == nil || s.Key == nil || s.Key.Type == connect.StringType
	for i := 0; i < len(pairs); i += 2 {
		object = object && pairs[i].Kind() == connect.String
	}
	if !object {
		dst = append(dst, '[')
		for i := 0; i < len(pairs); i += 2 {
			dst = appendJSON(append(comma(dst, i), '['), pairs[i], keyOf(s))
			dst = append(appendJSON(append(dst, ','), pairs[i+1], elemOf(s)), ']')
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	n := 0
	for i := 0; i < len(pairs); i += 2 {
		if repeated(pairs[i+2:], pairs[i]) {
			continue
		}
		dst = appendQuoted(comma(dst, n), pairs[i].Text())
		dst = appendJSON(append(dst, ':'), pairs[i+1], elemOf(s))
		n++
	}
	return append(dst, '}')
}

func appendJSONStruct(dst []byte, v connect.Value, s *connect.Schema) []byte {
	dst = append(dst, '{')
	for i, e := range v.Fields() {
		if s == nil || i >= len(s.Fields) {
			break
		}
		dst = appendQuoted(comma(dst, i), s.Fields[i].Name)
		dst = appendJSON(append(dst, ':'), e, s.Fields[i].Schema)
	}
	return append(dst, '}')
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// appendQuoted writes a JSON string with the escapes of Jackson.
func appendQuoted(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf || c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendFloat writes a float as Double.toString (or Float.toString) of Java 19 and
// later: the shortest digits that tell the number, with an exponent outside of
// 1e-3 … 1e7.
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	case x == 0:
		if math.Signbit(x) {
			dst = append(dst, '-')
		}
		return append(dst, "0.0"...)
	}
	start := len(dst)
	if a := math.Abs(x); a >= 1e-3 && a < 1e7 {
		dst = strconv.AppendFloat(dst, x, 'f', -1, bits)
		if bytes.IndexByte(dst[start:], '.') >= 0 {
			return dst
		}
		return append(dst, '.', '0')
	}
	var buf [32]byte
	text := strconv.AppendFloat(buf[:0], x, 'e', -1, bits) // -d.ddde±dd
	e := len(text) - 1
	for text[e] != 'e' {
		e--
	}
	dst = append(dst, text[:e]...)
	if e <= 2 { // one digit, perhaps a sign: no point yet
		dst = append(dst, '.', '0')
	}
	exp, err := strconv.Atoi(string(text[e+1:]))
	if err != nil {
		panic("columns: strconv wrote an exponent that it cannot read: " + string(text))
	}
	return strconv.AppendInt(append(dst, 'E'), int64(exp), 10)
}
