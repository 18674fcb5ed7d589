package columns

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

// drawSchema draws a struct of a few fields.
func drawSchema(t *rapid.T, depth int) *connect.Schema {
	s := &connect.Schema{Type: connect.StructType, Optional: rapid.Bool().Draw(t, "optional")}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 1, 5, rapid.ID).Draw(t, "names") {
		s.Fields = append(s.Fields, connect.Field{Name: name, Schema: drawFieldSchema(t, depth)})
	}
	return s
}

func drawFieldSchema(t *rapid.T, depth int) *connect.Schema {
	kinds := []connect.Type{connect.Int32, connect.Int64, connect.Float32, connect.Float64, connect.Boolean, connect.StringType, connect.ArrayType, connect.MapType, connect.StructType}
	if depth == 0 {
		kinds = kinds[:6]
	}
	s := &connect.Schema{Type: rapid.SampledFrom(kinds).Draw(t, "type"), Optional: rapid.Bool().Draw(t, "optional")}
	switch s.Type { //nolint:exhaustive // the rest has no parts
	case connect.ArrayType:
		s.Elem = drawFieldSchema(t, depth-1)
	case connect.MapType:
		s.Key, s.Elem = &connect.Schema{Type: connect.StringType}, drawFieldSchema(t, depth-1)
	case connect.StructType:
		fields := drawSchema(t, depth-1)
		fields.Optional = s.Optional
		return fields
	}
	return s
}

// changed draws a later version of a schema: fields come and go, numbers get wider,
// nullability changes.
func changed(t *rapid.T, s *connect.Schema, version, depth int) *connect.Schema {
	c := *s
	c.Optional = rapid.Bool().Draw(t, "optional")
	switch s.Type { //nolint:exhaustive // the rest stays
	case connect.Int32, connect.Float32:
		if rapid.Bool().Draw(t, "wider") {
			c.Type = s.Type + 1 // INT64, FLOAT64
			if s.Type == connect.Int32 {
				c.Type = connect.Int64
			}
		}
	case connect.ArrayType, connect.MapType:
		c.Elem = changed(t, s.Elem, version, depth-1)
	case connect.StructType:
		c.Fields = nil
		for _, f := range s.Fields {
			if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
				c.Fields = append(c.Fields, connect.Field{Name: f.Name, Schema: changed(t, f.Schema, version, depth-1)})
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "new") { // never one that was there with another type
			c.Fields = append(c.Fields, connect.Field{Name: fmt.Sprintf("v%d_%d", version, i), Schema: drawFieldSchema(t, max(depth-1, 0))})
		}
		if len(c.Fields) == 0 {
			c.Fields = []connect.Field{{Name: fmt.Sprintf("x%d", version), Schema: &connect.Schema{Type: connect.Int32}}}
		}
	}
	return &c
}

// drawOf draws a value of a schema.
func drawOf(t *rapid.T, s *connect.Schema) connect.Value {
	if s.Optional && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
		return connect.Value{}
	}
	switch s.Type { //nolint:exhaustive // only what drawFieldSchema draws
	case connect.Int32:
		return integer(int64(rapid.Int32().Draw(t, "int")))
	case connect.Int64:
		return integer(rapid.Int64().Draw(t, "long"))
	case connect.Float32:
		return connect.FloatValue(float64(rapid.Float32().Draw(t, "float")))
	case connect.Float64:
		return connect.FloatValue(rapid.Float64().Draw(t, "double"))
	case connect.Boolean:
		return connect.BoolValue(rapid.Bool().Draw(t, "bool"))
	case connect.StringType:
		return text(rapid.String().Draw(t, "text"))
	case connect.ArrayType:
		var elems []connect.Value
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			elems = append(elems, drawOf(t, s.Elem))
		}
		return listOf(elems...)
	case connect.MapType:
		var pairs []connect.Value
		for i := range rapid.IntRange(0, 3).Draw(t, "size") {
			pairs = append(pairs, text(fmt.Sprintf("k%d", i)), drawOf(t, s.Elem))
		}
		return object(pairs...)
	}
	var vals []connect.Value
	for _, f := range s.Fields {
		vals = append(vals, drawOf(t, f.Schema))
	}
	return structOf(vals...)
}

// content is a value without what tells nothing: null, and fields that are null.
func content(v connect.Value, s *connect.Schema) any {
	switch v.Kind() { //nolint:exhaustive // the rest tells nothing
	case connect.Bool:
		return v.Bool()
	case connect.Int:
		return v.Int()
	case connect.Float:
		return v.Float()
	case connect.String:
		return v.Text()
	case connect.Array:
		out := []any{}
		for _, e := range v.Elems() {
			out = append(out, content(e, elemOf(s)))
		}
		return out
	case connect.Map:
		out := map[string]any{}
		for i := 0; i < len(v.Pairs()); i += 2 {
			out[v.Pairs()[i].Text()] = content(v.Pairs()[i+1], elemOf(s))
		}
		return out
	case connect.Struct:
		out := map[string]any{}
		for i, f := range s.Fields {
			out[f.Name] = content(v.Fields()[i], f.Schema)
		}
		return out
	}
	return nil
}

// stored is the content of one stored value.
func stored(t iceberg.Type, v *vector, i int) any {
	if v.isNull(i) {
		return nil
	}
	switch t := t.(type) {
	case *iceberg.StructType:
		return storedRow(t.FieldList, v.kids, i)
	case *iceberg.ListType:
		out := []any{}
		for k := v.off[i]; k < v.off[i+1]; k++ {
			out = append(out, stored(t.Element, v.kids[0], int(k)))
		}
		return out
	case *iceberg.MapType:
		out := map[string]any{}
		for k := v.off[i]; k < v.off[i+1]; k++ {
			out[string(v.kids[0].bytesAt(int(k)))] = stored(t.ValueType, v.kids[1], int(k))
		}
		return out
	case iceberg.StringType:
		return string(v.bytesAt(i))
	case iceberg.BooleanType:
		return v.boolean(i)
	case iceberg.Float32Type:
		return float64(v.f32[i])
	case iceberg.Float64Type:
		return v.f64[i]
	}
	return Leaf{v}.Int(i)
}

func storedRow(fields []iceberg.NestedField, vecs []*vector, i int) any {
	out := map[string]any{}
	for k, f := range fields {
		out[f.Name] = stored(f.Type, vecs[k], i)
	}
	return out
}

// told drops from a content what tells nothing, so that a missing field is a null one.
func told(x any) any {
	switch x := x.(type) {
	case []any:
		out := []any{}
		for _, e := range x {
			out = append(out, told(e))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			if e = told(e); e != nil {
				out[k] = e
			}
		}
		return out
	}
	return x
}

// kept tells whether a later schema still says the same of what was written before.
func kept(t *rapid.T, before, after []iceberg.NestedField) {
	for _, old := range before {
		at := -1
		for i, f := range after {
			if f.ID == old.ID {
				at = i
			}
		}
		if at < 0 || after[at].Name != old.Name || after[at].Required && !old.Required {
			t.Fatalf("column %v became %v", old, after)
		}
		keptType(t, old.Type, after[at].Type)
	}
}

func keptType(t *rapid.T, old, now iceberg.Type) {
	switch old := old.(type) {
	case *iceberg.StructType:
		kept(t, old.FieldList, now.(*iceberg.StructType).FieldList)
	case *iceberg.ListType:
		keptType(t, old.Element, now.(*iceberg.ListType).Element)
	case *iceberg.MapType:
		keptType(t, old.ValueType, now.(*iceberg.MapType).ValueType)
	default:
		if _, err := iceberg.PromoteType(old, now); err != nil && !old.Equals(now) {
			t.Fatalf("%s became %s: %v", old, now, err)
		}
	}
}

// evolveFor changes a table for a record; nil if the record is refused.
func evolveFor(t *rapid.T, table *iceberg.Schema, r record) *iceberg.Schema {
	changes, err := Evolve(r.schema, &r.value, table, Options{})
	if _, ok := errors.AsType[*connect.DataError](err); err != nil && ok {
		return nil
	}
	if err != nil {
		t.Fatalf("Evolve: %v", err)
	}
	if len(changes) == 0 {
		return table
	}
	next, _, err := Apply(table, table.HighestFieldID(), nil, changes)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	kept(t, table.Fields(), next.Fields())
	if more, err := Evolve(r.schema, &r.value, next, Options{}); err != nil || len(more) > 0 {
		t.Fatalf("after its own changes the record asks for %v (%v)", more, err)
	}
	return next
}

// written appends a record and compares what is stored with what the record has.
func written(t *rapid.T, table *iceberg.Schema, r record) {
	c, err := New(table)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(r.schema, table, Options{Evolve: true})
	if err == nil {
		err = p.Append(c, r.value)
	}
	if err != nil {
		t.Fatalf("%v into %v: %v", r.value, table, err)
	}
	if got, want := told(storedRow(table.Fields(), c.vecs, 0)), told(content(r.value, r.schema)); !reflect.DeepEqual(got, want) {
		t.Fatalf("stored %v, want %v\ntable %v", got, want, table)
	}
	if p.Dropped() > 0 && r.schema != nil {
		t.Fatalf("%d fields dropped", p.Dropped())
	}
}

// Whatever becomes of a topic's schema, a table that follows it holds every record of the
// old and of the new one in full, and what was written before still reads as it did.
func TestEvolveKeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := drawSchema(t, 2)
		table, err := SchemaOf(first, Options{})
		if err != nil {
			t.Fatal(err)
		}
		schemas := []*connect.Schema{first}
		for version := range rapid.IntRange(1, 3).Draw(t, "versions") {
			next := changed(t, schemas[len(schemas)-1], version, 2)
			r := record{next, drawOf(t, &connect.Schema{Type: next.Type, Fields: next.Fields})}
			after := evolveFor(t, table, r)
			if after == nil {
				t.Fatalf("%v is refused by %v", r.value, table)
			}
			table, schemas = after, append(schemas, next)
			written(t, table, r)
		}
		for _, s := range schemas {
			r := record{s, drawOf(t, &connect.Schema{Type: s.Type, Fields: s.Fields})}
			if table = evolveFor(t, table, r); table == nil {
				t.Fatal("a record of an older schema is refused")
			}
			written(t, table, r)
		}
	})
}

// The same without schemas: a record is refused, and the table stays as it is, or each of
// its fields that tells anything is there.
func TestEvolveKeepsAllSchemaless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int32, Required: true})
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			var pairs []connect.Value
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "names") {
				pairs = append(pairs, text(name), drawDistinct(t, 3))
			}
			r := record{value: object(pairs...)}
			after := evolveFor(t, table, r)
			if after == nil {
				continue
			}
			c, err := New(after)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Compile(nil, after, Options{Evolve: true})
			if err != nil {
				t.Fatal(err)
			}
			if p.Append(c, r.value) != nil {
				if after != table {
					t.Fatalf("the table was changed for %v, which it refuses: %v", r.value, after)
				}
				continue // a value of another type
			}
			table = after
			if got := told(storedRow(table.Fields(), c.vecs, 0)); !holds(got, telling(content(r.value, nil))) {
				t.Fatalf("stored %v of %v", got, telling(content(r.value, nil)))
			}
		}
	})
}

// holds tells whether a stored value has all parts of a content. A text holds anything.
func holds(stored, x any) bool {
	if _, ok := stored.(string); ok {
		return true
	}
	switch x := x.(type) {
	case map[string]any:
		in, ok := stored.(map[string]any)
		for name, e := range x {
			ok = ok && holds(in[name], e)
		}
		return ok
	case []any:
		in, ok := stored.([]any)
		for i, e := range x {
			ok = ok && i < len(in) && holds(in[i], e)
		}
		return ok
	}
	return x == nil || stored != nil
}

// telling leaves of a content what asks for a column.
func telling(x any) any {
	switch x := x.(type) {
	case []any:
		out, some := make([]any, len(x)), false
		for i, e := range x {
			out[i] = telling(e)
			some = some || out[i] != nil
		}
		if some {
			return out
		}
		return nil
	case map[string]any:
		out := map[string]any{}
		for name, e := range x {
			if e = telling(e); e != nil {
				out[name] = e
			}
		}
		if len(out) > 0 {
			return out
		}
		return nil
	}
	return x
}

// drawDistinct draws a value whose maps have no key twice.
func drawDistinct(t *rapid.T, depth int) connect.Value {
	v := drawValue(t, depth)
	return distinct(v)
}

func distinct(v connect.Value) connect.Value {
	switch v.Kind() { //nolint:exhaustive // the rest has no parts
	case connect.Array:
		var out []connect.Value
		for _, e := range v.Elems() {
			out = append(out, distinct(e))
		}
		return listOf(out...)
	case connect.Map:
		last := map[string]connect.Value{}
		for i := 0; i < len(v.Pairs()); i += 2 {
			last[v.Pairs()[i].Text()] = distinct(v.Pairs()[i+1])
		}
		var out []connect.Value
		for name, e := range maps.All(last) {
			out = append(out, text(name), e)
		}
		return object(out...)
	}
	return v
}
