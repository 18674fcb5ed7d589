package avro

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/connect"
)

// defaultOf reads the default that text gives in JSON; nil for null. ok is false if it
// does not fit the schema.
func defaultOf(s *connect.Schema, a avro.Schema, text string) (v *connect.Value, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var tree any
	if d.Decode(&tree) != nil {
		return nil, false
	}
	value, ok := defaultValue(s, a, tree)
	if !ok || value.IsNull() {
		return nil, ok
	}
	return &value, true
}

// defaultValue converts the default of a schema: tree is decoded JSON.
func defaultValue(s *connect.Schema, a avro.Schema, tree any) (v connect.Value, ok bool) {
	switch a := deref(a).(type) {
	case *avro.NullSchema:
		return v, tree == nil
	case *avro.PrimitiveSchema:
		return primitiveDefault(s, a, tree)
	case *avro.FixedSchema:
		b, ok := latin1(tree)
		return connect.BytesValue(b), ok && len(b) == a.Size()
	case *avro.EnumSchema:
		text, ok := tree.(string)
		return connect.StringValue(text), ok && slices.Contains(a.Symbols(), text)
	case *avro.ArraySchema:
		return arrayDefault(s, a, tree)
	case *avro.MapSchema:
		return mapDefault(s, a, tree)
	case *avro.RecordSchema:
		return recordDefault(s, a, tree)
	case *avro.UnionSchema:
		return unionDefault(s, a, tree)
	}
	return v, false
}

func primitiveDefault(s *connect.Schema, a *avro.PrimitiveSchema, tree any) (v connect.Value, ok bool) {
	switch tree := tree.(type) {
	case bool:
		return connect.BoolValue(tree), a.Type() == avro.Boolean
	case string:
		if a.Type() == avro.Bytes {
			b, ok := latin1(tree)
			return connect.BytesValue(b), ok
		}
		return connect.StringValue(tree), a.Type() == avro.String
	case json.Number:
		return numberDefault(s, a.Type(), tree)
	}
	return v, false
}

func numberDefault(s *connect.Schema, t avro.Type, n json.Number) (v connect.Value, ok bool) {
	f, err := n.Float64()
	if err != nil {
		return v, false
	}
	if t == avro.Double || t == avro.Float {
		if t == avro.Float {
			f = float64(float32(f))
		}
		return connect.FloatValue(f), true
	}
	size := map[connect.Type]int{connect.Int8: 8, connect.Int16: 16, connect.Int32: 32, connect.Int64: 64}[s.Type]
	text := n.String()
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 { // 1.0 and 1e3 are integers
		text = strconv.FormatInt(int64(f), 10)
	}
	i, err := strconv.ParseInt(text, 10, max(size, 1))
	return connect.IntValue(i), err == nil && size > 0
}

// latin1 reads bytes as Avro's JSON has them: a character for each.
func latin1(tree any) ([]byte, bool) {
	text, ok := tree.(string)
	if !ok {
		return nil, false
	}
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}

func arrayDefault(s *connect.Schema, a *avro.ArraySchema, tree any) (v connect.Value, ok bool) {
	list, ok := tree.([]any)
	if !ok || s.Type != connect.ArrayType {
		return connect.MapValue(nil), ok && len(list) == 0
	}
	out := make([]connect.Value, len(list))
	for i := range list {
		if out[i], ok = defaultValue(s.Elem, a.Items(), list[i]); !ok {
			return v, false
		}
	}
	return connect.ArrayValue(out), true
}

func mapDefault(s *connect.Schema, a *avro.MapSchema, tree any) (v connect.Value, ok bool) {
	m, ok := tree.(map[string]any)
	if !ok {
		return v, false
	}
	var out []connect.Value
	for _, key := range slices.Sorted(maps.Keys(m)) {
		part, ok := defaultValue(s.Elem, a.Values(), m[key])
		if !ok {
			return v, false
		}
		out = append(out, connect.StringValue(key), part)
	}
	return connect.MapValue(out), true
}

// recordDefault takes the fields that are missing from their own defaults.
func recordDefault(s *connect.Schema, a *avro.RecordSchema, tree any) (v connect.Value, ok bool) {
	m, ok := tree.(map[string]any)
	if !ok || len(s.Fields) != len(a.Fields()) { // a record inside itself has no fields yet
		return v, false
	}
	out := make([]connect.Value, len(s.Fields))
	for i, f := range a.Fields() {
		part := s.Fields[i].Schema
		if given, ok := m[f.Name()]; ok {
			if out[i], ok = defaultValue(part, f.Type(), given); !ok {
				return v, false
			}
			continue
		}
		text, has := f.Prop(propDefault).(string)
		own, fits := defaultOf(part, f.Type(), text)
		if !has || !fits {
			return v, false
		}
		if own != nil {
			out[i] = *own
		}
	}
	return connect.StructValue(out), true
}

// unionDefault reads the default of a union, which is one of its first branch.
func unionDefault(s *connect.Schema, a *avro.UnionSchema, tree any) (v connect.Value, ok bool) {
	first := a.Types()[0]
	if first.Type() == avro.Null {
		return v, tree == nil
	}
	if s.Name != unionName && s.Parameters[generalUnion] == "" {
		return defaultValue(s, first, tree)
	}
	part, ok := defaultValue(s.Fields[0].Schema, first, tree)
	if !ok {
		return v, false
	}
	out := make([]connect.Value, len(s.Fields))
	out[0] = part
	return connect.StructValue(out), true
}
