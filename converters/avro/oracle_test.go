package avro_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	hamba "github.com/hamba/avro/v2"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/converters/avro"
)

// A shape is a random Avro schema with a way to draw values of it: as hamba/avro takes
// them, and as Render shows what they become.
type shape struct {
	schema any    // JSON
	branch string // how a union names it
	draw   func(t *rapid.T) (value any, want string)
}

// shapes draws schemas; names counts the named types.
type shapes struct{ names int }

func (g *shapes) name(kind string) string {
	g.names++
	return fmt.Sprintf("%s%d", kind, g.names)
}

func (g *shapes) any(t *rapid.T, depth int) shape {
	leaves := []func(*rapid.T) shape{g.boolean, g.int, g.long, g.float, g.double, g.string, g.bytes, g.fixed, g.enum}
	if n := rapid.IntRange(0, len(leaves)+5).Draw(t, "kind"); n < len(leaves) || depth == 0 {
		return leaves[n%len(leaves)](t)
	}
	switch rapid.IntRange(0, 4).Draw(t, "container") {
	case 0:
		return g.array(t, depth)
	case 1:
		return g.mapOf(t, depth)
	case 2:
		return g.union(t, depth)
	case 3:
		return g.optional(t, depth)
	}
	return g.record(t, depth)
}

func leaf[T any](name string, gen *rapid.Generator[T], value func(T) connect.Value) shape {
	return shape{name, name, func(t *rapid.T) (any, string) {
		x := gen.Draw(t, name)
		return x, connecttest.Render(value(x))
	}}
}

func (g *shapes) boolean(*rapid.T) shape { return leaf("boolean", rapid.Bool(), connect.BoolValue) }

func (g *shapes) int(*rapid.T) shape {
	return leaf("int", rapid.Map(rapid.Int32(), func(i int32) int { return int(i) }), func(i int) connect.Value { return connect.IntValue(int64(i)) })
}
func (g *shapes) long(*rapid.T) shape { return leaf("long", rapid.Int64(), connect.IntValue) }
func (g *shapes) float(*rapid.T) shape {
	return leaf("float", rapid.Float32(), func(f float32) connect.Value { return connect.FloatValue(float64(f)) })
}

func (g *shapes) double(*rapid.T) shape { return leaf("double", rapid.Float64(), connect.FloatValue) }

func (g *shapes) string(*rapid.T) shape { return leaf("string", rapid.String(), connect.StringValue) }

func (g *shapes) bytes(*rapid.T) shape {
	return leaf("bytes", rapid.SliceOf(rapid.Byte()), connect.BytesValue)
}

func (g *shapes) fixed(t *rapid.T) shape {
	name, size := g.name("F"), rapid.IntRange(1, 9).Draw(t, "size")
	return shape{map[string]any{"type": "fixed", "name": name, "size": size}, name, func(t *rapid.T) (any, string) {
		b := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "fixed")
		v := reflect.New(reflect.ArrayOf(size, reflect.TypeFor[byte]())).Elem()
		reflect.Copy(v, reflect.ValueOf(b))
		return v.Interface(), connecttest.Render(connect.BytesValue(b))
	}}
}

func (g *shapes) enum(t *rapid.T) shape {
	name, symbols := g.name("E"), []string{"A", "B", "C"}
	return shape{map[string]any{"type": "enum", "name": name, "symbols": symbols}, name, func(t *rapid.T) (any, string) {
		s := rapid.SampledFrom(symbols).Draw(t, "symbol")
		return s, connecttest.Render(connect.StringValue(s))
	}}
}

func (g *shapes) array(t *rapid.T, depth int) shape {
	elem := g.any(t, depth-1)
	return shape{map[string]any{"type": "array", "items": elem.schema}, "array", func(t *rapid.T) (any, string) {
		values, wants := []any{}, []string{}
		for range rapid.IntRange(0, 4).Draw(t, "length") {
			v, want := elem.draw(t)
			values, wants = append(values, v), append(wants, want)
		}
		return values, "[" + strings.Join(wants, " ") + "]"
	}}
}

// mapOf has at most one entry: hamba writes entries in the random order of Go's maps.
func (g *shapes) mapOf(t *rapid.T, depth int) shape {
	elem := g.any(t, depth-1)
	return shape{map[string]any{"type": "map", "values": elem.schema}, "map", func(t *rapid.T) (any, string) {
		if rapid.Bool().Draw(t, "empty") {
			return map[string]any{}, "{}"
		}
		key := rapid.String().Draw(t, "key")
		v, want := elem.draw(t)
		return map[string]any{key: v}, "{" + connecttest.Render(connect.StringValue(key)) + ":" + want + "}"
	}}
}

func (g *shapes) record(t *rapid.T, depth int) shape {
	name := g.name("R")
	var fields []any
	var parts []shape
	for i := range rapid.IntRange(0, 5).Draw(t, "fields") {
		part := g.any(t, depth-1)
		parts = append(parts, part)
		fields = append(fields, map[string]any{"name": fmt.Sprintf("f%d", i), "type": part.schema})
	}
	if fields == nil {
		fields = []any{}
	}
	return shape{map[string]any{"type": "record", "name": name, "fields": fields}, name, func(t *rapid.T) (any, string) {
		value, wants := map[string]any{}, []string{}
		for i, part := range parts {
			v, want := part.draw(t)
			value[fmt.Sprintf("f%d", i)] = v
			wants = append(wants, want)
		}
		return value, "(" + strings.Join(wants, " ") + ")"
	}}
}

// notUnion draws until it has something that may stand in a union.
func (g *shapes) notUnion(t *rapid.T, depth int) shape {
	for {
		if s := g.any(t, depth); s.branch != "" {
			return s
		}
	}
}

func (g *shapes) optional(t *rapid.T, depth int) shape {
	inner := g.notUnion(t, depth-1)
	types := []any{"null", inner.schema}
	if rapid.Bool().Draw(t, "null last") {
		types = []any{inner.schema, "null"}
	}
	return shape{types, "", func(t *rapid.T) (any, string) {
		if rapid.Bool().Draw(t, "null") {
			return nil, "null"
		}
		v, want := inner.draw(t)
		return map[string]any{inner.branch: v}, want
	}}
}

func (g *shapes) union(t *rapid.T, depth int) shape {
	var types []any
	var parts []shape
	seen := map[string]bool{}
	for range rapid.IntRange(2, 4).Draw(t, "branches") {
		part := g.notUnion(t, depth-1)
		if !seen[part.branch] {
			seen[part.branch] = true
			parts = append(parts, part)
			types = append(types, part.schema)
		}
	}
	if len(parts) == 1 {
		parts = append(parts, g.record(t, 0))
		types = append(types, parts[1].schema)
	}
	return shape{types, "", func(t *rapid.T) (any, string) {
		i := rapid.IntRange(0, len(parts)-1).Draw(t, "branch")
		v, want := parts[i].draw(t)
		wants := make([]string, len(parts))
		for j := range wants {
			wants[j] = "null"
		}
		wants[i] = want
		return map[string]any{parts[i].branch: v}, "(" + strings.Join(wants, " ") + ")"
	}}
}

// TestOracle writes random values of random schemas with hamba/avro, looks that hamba
// reads them back, and reads them here. Cut off anywhere, they are an error.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &shapes{}
		root := g.record(t, 3)
		text, err := json.Marshal(root.schema)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := hamba.ParseWithCache(string(text), "", &hamba.SchemaCache{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c := &avro.Converter{Source: texts(string(text))}
		if err := c.Configure(nil, false); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			value, want := root.draw(t)
			data, err := hamba.Marshal(theirs, value)
			if err != nil {
				t.Fatalf("%s: write %v: %v", text, value, err)
			}
			var back any
			if err := hamba.Unmarshal(theirs, data, &back); err != nil {
				t.Fatalf("%s: % x: the oracle itself: %v", text, data, err)
			}
			var arena connect.Arena
			_, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, data))
			if got := connecttest.Render(v); err != nil || got != want {
				t.Fatalf("%s\ndata % x\n got %s, %v\nwant %s", text, data, got, err, want)
			}
			if cut := rapid.IntRange(0, max(len(data)-1, 0)).Draw(t, "cut"); cut < len(data) {
				if _, v, err := c.ToConnect(t.Context(), &arena, "topic", framed(1, data[:cut])); err == nil {
					t.Fatalf("%s\ndata % x, cut to %d bytes: got %s, want an error", text, data, cut, connecttest.Render(v))
				}
			}
		}
	})
}
