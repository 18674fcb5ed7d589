package json

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/jsontext"
)

// Limits of a document, those of Jackson's StreamReadConstraints.
const (
	maxDepth       = 1000
	maxNumberBytes = 1000
)

// A scanner reads one document after the other, in one pass over the bytes. Strings
// without escapes alias the document, everything else lives in the arena; containers
// but objects are gathered on a stack that is reused, and copied out when their size is
// known.
//
// Positions are indices into b; -1 means that fail was called, which keeps the error
// out of every return. Loops over a value and its parts are plain recursion, bounded
// by maxDepth.
type scanner struct {
	b     []byte
	arena *connect.Arena
	keys  keys
	stack []connect.Value
	sizes [8]int // values in the last object of each depth; deeper ones share the last
	depth int
	err   error
}

// reset points the scanner at a document.
func (s *scanner) reset(b []byte, arena *connect.Arena) {
	s.b, s.arena, s.depth, s.err = b, arena, 0, nil
	s.stack = s.stack[:0]
	s.keys.last = &s.keys.first
}

// space skips white space.
func (s *scanner) space(p int) int {
	b := s.b
	for p < len(b) && b[p] <= ' ' && (b[p] == ' ' || b[p] == '\n' || b[p] == '\t' || b[p] == '\r') {
		p++
	}
	return p
}

// value reads the value that starts at p, which is past white space.
func (s *scanner) value(p int) (connect.Value, int) {
	if p >= len(s.b) {
		return connect.Value{}, s.unexpected(p, "a value")
	}
	switch c := s.b[p]; c {
	case '"':
		return s.text(p)
	case '{':
		return s.object(p)
	case '[':
		return s.array(p)
	case 't', 'f', 'n':
		return s.literal(p)
	default:
		if c == '-' || c-'0' < 10 {
			return s.number(p)
		}
	}
	return connect.Value{}, s.unexpected(p, "a value")
}

// object reads a map with string keys, in the order in which they stand. Its entries go
// straight into the arena, in room for as many as the last object of that depth had.
func (s *scanner) object(p int) (connect.Value, int) {
	if p = s.open(p); p < 0 {
		return connect.Value{}, -1
	}
	if p < len(s.b) && s.b[p] == '}' {
		s.depth--
		return connect.MapValue(nil), p + 1
	}
	expect := &s.sizes[min(s.depth, len(s.sizes)-1)]
	out := s.arena.Values(max(*expect, 2))
	n := 0
	for {
		var key, v connect.Value
		if key, p = s.key(p); p < 0 {
			return connect.Value{}, -1
		}
		if v, p = s.value(p); p < 0 {
			return connect.Value{}, -1
		}
		if n == len(out) {
			out = s.grow(out)
		}
		out[n], out[n+1] = key, v
		n += 2
		if p < len(s.b) && s.b[p] == ',' {
			p++
			continue
		}
		if p = s.space(p); p < len(s.b) && s.b[p] == '}' {
			s.depth--
			*expect = n
			return connect.MapValue(out[:n:n]), p + 1
		}
		if p >= len(s.b) || s.b[p] != ',' {
			return connect.Value{}, s.unexpected(p, "a comma or the end of the object")
		}
		p++
	}
}

// grow doubles the room of entries. Whatever a document does, the room of all objects
// together is a few times what they hold: an object gets what the one before needed.
func (s *scanner) grow(entries []connect.Value) []connect.Value {
	out := s.arena.Values(2 * len(entries))
	copy(out, entries)
	return out
}

func (s *scanner) array(p int) (connect.Value, int) {
	base := len(s.stack)
	if p = s.open(p); p < 0 {
		return connect.Value{}, -1
	}
	if p < len(s.b) && s.b[p] == ']' {
		s.depth--
		return connect.ArrayValue(nil), p + 1
	}
	for {
		var v connect.Value
		if v, p = s.value(s.space(p)); p < 0 {
			return connect.Value{}, -1
		}
		s.stack = append(s.stack, v)
		if p = s.space(p); p < len(s.b) && s.b[p] == ']' {
			s.depth--
			return connect.ArrayValue(s.unload(base)), p + 1
		}
		if p >= len(s.b) || s.b[p] != ',' {
			return connect.Value{}, s.unexpected(p, "a comma or the end of the array")
		}
		p++
	}
}

// open goes into the container whose bracket is at p.
func (s *scanner) open(p int) int {
	if s.depth++; s.depth > maxDepth {
		return s.fail(p, "more than 1000 levels of nesting")
	}
	return s.space(p + 1)
}

// unload copies what the stack holds above base into the arena.
func (s *scanner) unload(base int) []connect.Value {
	top := s.stack[base:]
	out := s.arena.Values(len(top))
	copy(out, top)
	s.stack = s.stack[:base]
	return out
}

func (s *scanner) literal(p int) (v connect.Value, next int) {
	word := "null"
	switch s.b[p] {
	case 't':
		word, v = "true", connect.BoolValue(true)
	case 'f':
		word, v = "false", connect.BoolValue(false)
	}
	next = p + len(word)
	if next > len(s.b) || string(s.b[p:next]) != word {
		return v, s.unexpected(p, "a value")
	}
	if next < len(s.b) && (s.b[next]|0x20 >= 'a' && s.b[next]|0x20 <= 'z' || s.b[next]-'0' < 10 || s.b[next] == '_') {
		return v, s.unexpected(next, "the end of "+word)
	}
	return v, next
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain finds the end of the string whose opening quote is at p: the position of its
// closing quote if there is no escape, control character or byte outside ASCII
// before it, else where the first of these stands. It looks at eight bytes at a time.
func (s *scanner) plain(p int) int {
	b := s.b
	for p++; p+8 <= len(b); p += 8 {
		w := binary.LittleEndian.Uint64(b[p:])
		quote, escape := w^('"'*ones), w^('\\'*ones)
		if m := ((quote-ones)&^quote | (escape-ones)&^escape | (w-0x20*ones)&^w | w) & highs; m != 0 {
			return p + bits.TrailingZeros64(m)>>3
		}
	}
	for p < len(b) && b[p] != '"' && b[p] != '\\' && b[p] >= 0x20 && b[p] < utf8.RuneSelf {
		p++
	}
	return p
}

// text reads the string whose opening quote is at p.
func (s *scanner) text(p int) (connect.Value, int) {
	end := s.plain(p)
	if end < len(s.b) && s.b[end] == '"' {
		return connect.StringOf(s.b[p+1 : end]), end + 1
	}
	body, next := s.odd(p, end)
	return connect.StringOf(body), next
}

// odd reads the string at p, of which the bytes before at are plain.
func (s *scanner) odd(p, at int) ([]byte, int) {
	b, start, escapes := s.b, p+1, false
	for ; ; at++ {
		if at >= len(b) {
			return nil, s.fail(p, "a string without an end")
		}
		c := b[at]
		if c == '"' {
			break
		}
		if c < 0x20 {
			return nil, s.fail(at, "a control character inside a string: it must be escaped")
		}
		if c == '\\' {
			escapes = true
			at++
		}
	}
	body := b[start:at]
	if !utf8.Valid(body) {
		return nil, s.fail(p, "a string that is not UTF-8")
	}
	if !escapes {
		return body, at + 1
	}
	out, bad, err := jsontext.AppendUnescaped(s.arena.Bytes(len(body))[:0], body)
	if err != nil {
		return nil, s.fail(start+bad, err.Error())
	}
	return out, at + 1
}
