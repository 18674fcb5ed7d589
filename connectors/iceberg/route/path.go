package route

import (
	"fmt"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A Path leads to a field of the value: names with dots between them. It belongs to one
// goroutine.
type Path struct {
	key, text string // of the configuration
	parts     []string

	// Where the parts are in structs of the last schema.
	schema  *connect.Schema
	indexes []int
}

// NewPath takes the value of a config key.
func NewPath(key, text string) *Path {
	return &Path{key: key, text: text, parts: strings.Split(text, ".")}
}

// Find follows the path and returns what is there, with its schema. A field or entry that
// is not there is null; a value on the way that has no fields is a [connect.DataError], as
// in Java.
func (p *Path) Find(s *connect.Schema, v connect.Value) (connect.Value, *connect.Schema, error) {
	if s != p.schema || p.indexes == nil {
		p.learn(s)
	}
	for i, name := range p.parts {
		switch v.Kind() { //nolint:exhaustive // the rest has no fields
		case connect.Null:
			return v, nil, nil
		case connect.Struct:
			at := p.indexes[i]
			if fields := v.Fields(); at >= 0 && at < len(fields) {
				v, s = fields[at], s.Fields[at].Schema
				continue
			}
			return connect.Value{}, nil, nil
		case connect.Map:
			v, _ = v.Lookup(name)
			if s != nil {
				s = s.Elem
			}
			continue
		}
		return v, nil, &connect.DataError{
			Msg:  fmt.Sprintf("%s=%s: cannot look up %q in a value that is %s", p.key, p.text, name, v.Kind()),
			Hint: "set value.converter, or correct the path",
		}
	}
	return v, s, nil
}

// learn finds the parts in a schema.
func (p *Path) learn(s *connect.Schema) {
	p.schema, p.indexes = s, make([]int, len(p.parts))
	for i, name := range p.parts {
		p.indexes[i] = -1
		switch {
		case s == nil:
		case s.Type == connect.StructType:
			if p.indexes[i] = s.FieldIndex(name); p.indexes[i] >= 0 {
				s = s.Fields[p.indexes[i]].Schema
			} else {
				s = nil
			}
		case s.Type == connect.MapType:
			s = s.Elem
		default:
			s = nil
		}
	}
}
