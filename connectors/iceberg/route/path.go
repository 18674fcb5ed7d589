package route

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A path leads to a field of the value: names with dots between them.
type path struct {
	text  string
	parts []string

	// Where the parts are in structs of the last schema.
	schema  *connect.Schema
	indexes []int
}

func newPath(text string) *path {
	return &path{text: text, parts: strings.Split(text, ".")}
}

// find follows the path. A field or entry that is not there is null; a value on the
// way that has no fields is an error, as in Java.
func (p *path) find(s *connect.Schema, v connect.Value) (connect.Value, *connect.Schema, error) {
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
			Msg:  fmt.Sprintf("route field %q: cannot look up %q in a value that is %s", p.text, name, v.Kind()),
			Hint: "set value.converter or " + KeyRouteField,
		}
	}
	return v, s, nil
}

// learn finds the parts in a schema.
func (p *path) learn(s *connect.Schema) {
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

// appendText writes the text of a route value: a string, number or boolean.
func (p *path) appendText(dst []byte, v connect.Value, s *connect.Schema) ([]byte, error) {
	switch v.Kind() { //nolint:exhaustive // the rest is no route
	case connect.String:
		return append(dst, v.Text()...), nil
	case connect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case connect.Int:
		if s == nil || s.Name == "" {
			return strconv.AppendInt(dst, v.Int(), 10), nil
		}
		return dst, &connect.DataError{Msg: fmt.Sprintf("route field %q is a %s, which names no table", p.text, s.Name), Hint: "route by a text field"}
	case connect.Float:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64), nil
	}
	return dst, &connect.DataError{Msg: fmt.Sprintf("route field %q is %s, which names no table", p.text, v.Kind()), Hint: "route by a text field"}
}
