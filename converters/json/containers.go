package json

import (
	"strconv"

	"github.com/firn-io/firn/connect"
)

// separator goes past a comma or the closing bracket after an element.
func (s *scanner) separator(p int, closing byte) (next int, more bool) {
	if p < len(s.b) && s.b[p] <= ' ' {
		p = s.space(p)
	}
	if p < len(s.b) && s.b[p] == ',' {
		return s.space(p + 1), true
	}
	if p < len(s.b) && s.b[p] == closing {
		s.depth--
		return p + 1, false
	}
	return s.unexpected(p, "a comma or "+string(closing)), false
}

// enter goes into the container at p; more is false if it is empty.
func (s *scanner) enter(p int, closing byte) (next int, more bool) {
	if p = s.open(p); p >= 0 && p < len(s.b) && s.b[p] == closing {
		s.depth--
		return p + 1, false
	}
	return p, p >= 0
}

// otherKind notes that the value at p is of the wrong kind.
func (s *scanner) otherKind(p int, msg string) (connect.Value, int) {
	v, next := s.value(p)
	if next < 0 {
		return v, -1
	}
	return v, s.invalid(msg + nodeType(v))
}

// required reads a part of a container. Where a value of another kind reads as null,
// the part must be optional. (Source: ConnectSchema.validateValue.)
func (s *scanner) required(pl *plan, p int) (connect.Value, int) {
	v, next := s.typed(pl, p)
	if next >= 0 && v.IsNull() && !pl.schema.Optional {
		return v, s.invalid("Invalid value: null used for required field, schema type: " + pl.schema.Type.String())
	}
	return v, next
}

func (s *scanner) elements(pl *plan, p int) (connect.Value, int) {
	if s.b[p] != '[' {
		return s.otherKind(p, "Arrays should be encoded as JSON arrays, but found ")
	}
	base := len(s.stack)
	p, more := s.enter(p, ']')
	for more {
		var v connect.Value
		if v, p = s.required(pl.elem, p); p < 0 {
			return v, -1
		}
		s.stack = append(s.stack, v)
		p, more = s.separator(p, ']')
	}
	return connect.ArrayValue(s.unload(base)), p
}

// members reads a map with string keys.
func (s *scanner) members(pl *plan, p int) (connect.Value, int) {
	if s.b[p] != '{' {
		return s.otherKind(p, "Maps with string fields should be encoded as JSON objects, but found ")
	}
	base := len(s.stack)
	p, more := s.enter(p, '}')
	for more {
		var key, v connect.Value
		if key, p = s.key(p); p < 0 {
			return v, -1
		}
		if v, p = s.required(pl.elem, p); p < 0 {
			return v, -1
		}
		s.stack = append(s.stack, key, v)
		p, more = s.separator(p, '}')
	}
	return connect.MapValue(s.unload(base)), p
}

// tuples reads a map with other keys: an array of pairs.
func (s *scanner) tuples(pl *plan, p int) (connect.Value, int) {
	if s.b[p] != '[' {
		return s.otherKind(p, "Maps with non-string fields should be encoded as JSON array of tuples, but found ")
	}
	base := len(s.stack)
	p, more := s.enter(p, ']')
	for more {
		if p, more = s.tuple(pl, p); more {
			p, more = s.separator(p, ']')
		}
	}
	return connect.MapValue(s.unload(base)), p
}

// tuple pushes one key and its value.
func (s *scanner) tuple(pl *plan, p int) (next int, ok bool) {
	if p >= len(s.b) || s.b[p] != '[' {
		_, p = s.otherKind(p, "Found invalid map entry instead of array tuple: ")
		return p, false
	}
	n := 0
	p, more := s.enter(p, ']')
	for more {
		part := pl.elem
		if n == 0 {
			part = pl.key
		}
		if n++; n > 2 {
			break
		}
		var v connect.Value
		if v, p = s.required(part, p); p < 0 {
			return -1, false
		}
		s.stack = append(s.stack, v)
		p, more = s.separator(p, ']')
	}
	if p >= 0 && n != 2 {
		p = s.invalid("Found invalid map entry, expected length 2 but found :" + strconv.Itoa(n))
	}
	return p, p >= 0
}

// record reads a STRUCT: the fields most likely stand in the schema's order.
func (s *scanner) record(pl *plan, p int) (connect.Value, int) {
	if s.b[p] != '{' {
		return s.otherKind(p, "Structs should be encoded as JSON objects, but found ")
	}
	out := s.arena.Values(len(pl.fields))
	slot := 0
	p, more := s.enter(p, '}')
	for more {
		i := slot
		if !pl.starts(s.b[p:], slot) {
			var key connect.Value
			if key, p = s.key(p); p < 0 {
				return key, -1
			}
			at, known := pl.index[key.Text()]
			if !known {
				if _, p = s.value(p); p < 0 {
					return connect.Value{}, -1
				}
				p, more = s.separator(p, '}')
				continue
			}
			i = at
		} else if p += len(pl.fields[i].token); s.b[p] <= ' ' {
			p = s.space(p)
		}
		slot = i + 1
		if out[i], p = s.required(pl.fields[i].plan, p); p < 0 {
			return connect.Value{}, -1
		}
		p, more = s.separator(p, '}')
	}
	for i := range out { // a missing member counts as null
		if p >= 0 && out[i].IsNull() {
			v, ok := pl.fields[i].plan.null()
			if !ok {
				p = s.invalid("Invalid null value for required " + pl.schema.Fields[i].Schema.Type.String() + " field")
			}
			out[i] = v
		}
	}
	return connect.StructValue(out), p
}

// starts tells whether b begins with the member that belongs in the slot, and goes on.
func (pl *plan) starts(b []byte, slot int) bool {
	if slot >= len(pl.fields) {
		return false
	}
	token := pl.fields[slot].token
	return token != "" && len(b) > len(token) && string(b[:len(token)]) == token
}
