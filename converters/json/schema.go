package json

import (
	"math"
	"strconv"

	"github.com/firn-io/firn/connect"
)

const maxSchemaDepth = 100

// A schemaReader turns the schema object of an envelope into a Connect schema and the
// plan that reads by it. It reads members in any order, so it first notes where each
// stands. (Source: JsonConverter.asConnectSchema.)
type schemaReader struct {
	scan        scanner
	waste       connect.Arena // what is only skipped
	keep        connect.Arena // defaults
	replaceNull bool
	depth       int
}

var types = map[string]connect.Type{
	"boolean": connect.Boolean, "int8": connect.Int8, "int16": connect.Int16, "int32": connect.Int32, "int64": connect.Int64,
	"float": connect.Float32, "double": connect.Float64, "bytes": connect.BytesType, "string": connect.StringType,
	"array": connect.ArrayType, "map": connect.MapType, "struct": connect.StructType,
}

// members notes where the members of the object at p start.
func (r *schemaReader) members(p int) (map[string]int, bool) {
	s := &r.scan
	at := map[string]int{}
	if p >= len(s.b) || s.b[p] != '{' {
		return at, true // not an object: it has no members
	}
	if p = s.open(p); p < 0 {
		return nil, false
	}
	defer func() { s.depth-- }()
	if p < len(s.b) && s.b[p] == '}' {
		return at, true
	}
	for {
		key, start := s.key(p)
		if start < 0 {
			return nil, false
		}
		at[key.Text()] = start
		_, end := s.value(start)
		if end < 0 {
			return nil, false
		}
		if p = s.space(end); p < len(s.b) && s.b[p] == '}' {
			return at, true
		}
		if p >= len(s.b) || s.b[p] != ',' {
			s.unexpected(p, "a comma or the end of the object")
			return nil, false
		}
		p++
	}
}

// at reads the member of the given kind; ok is false if it is missing or of another kind.
func (r *schemaReader) at(members map[string]int, key string, kind connect.Kind) (v connect.Value, ok bool) {
	p, ok := members[key]
	if !ok {
		return v, false
	}
	v, p = r.scan.value(p)
	return v, p >= 0 && v.Kind() == kind
}

func (r *schemaReader) invalid(msg string) (*plan, bool) {
	r.scan.invalid(msg)
	return nil, false
}

// read reads the schema at p.
func (r *schemaReader) read(p int) (*plan, bool) {
	if r.depth++; r.depth > maxSchemaDepth {
		return r.invalid("the schema has more than 100 levels of nesting")
	}
	defer func() { r.depth-- }()
	members, ok := r.members(p)
	if !ok {
		return nil, false
	}
	text, ok := r.at(members, "type", connect.String)
	if !ok {
		return r.invalid("Schema must contain 'type' field")
	}
	schema := &connect.Schema{Type: types[text.Text()]}
	pl := &plan{schema: schema, replaceNull: r.replaceNull}
	if schema.Type == 0 {
		return r.invalid("Unknown schema type: " + text.Text())
	}
	if !r.parts(pl, members) {
		return nil, false
	}
	if !r.attributes(schema, members) {
		return nil, false
	}
	if err := pl.compile(); err != nil {
		r.scan.err = err
		return nil, false
	}
	return pl, r.defaults(pl, members)
}

// parts reads the schemas of what the type consists of.
func (r *schemaReader) parts(pl *plan, members map[string]int) (ok bool) {
	schema := pl.schema
	if schema.Type == connect.StructType {
		return r.fields(pl, members)
	}
	elem, missing := "items", "Array schema did not specify the element type"
	if schema.Type == connect.MapType {
		if pl.key, ok = r.part(members, "keys", "Map schema did not specify the key type"); !ok {
			return false
		}
		schema.Key = pl.key.schema
		elem, missing = "values", "Map schema did not specify the value type"
	} else if schema.Type != connect.ArrayType {
		return true
	}
	if pl.elem, ok = r.part(members, elem, missing); ok {
		schema.Elem = pl.elem.schema
	}
	return ok
}

// part reads the schema that a member holds.
func (r *schemaReader) part(members map[string]int, key, missing string) (*plan, bool) {
	p, ok := members[key]
	if !ok || r.scan.b[p] == 'n' {
		return r.invalid(missing)
	}
	return r.read(p)
}

func (r *schemaReader) fields(pl *plan, members map[string]int) bool {
	s := &r.scan
	p, ok := members["fields"]
	if !ok || s.b[p] != '[' {
		_, ok = r.invalid(`Struct schema's "fields" argument is not an array.`)
		return ok
	}
	for p = s.space(p + 1); s.b[p] != ']'; p = s.space(p) { // the array was scanned once, so it ends
		m, ok := r.members(p)
		if !ok {
			return false
		}
		name, ok := r.at(m, "field", connect.String)
		if !ok {
			_, ok = r.invalid("Struct schema's field name not specified properly")
			return ok
		}
		if pl.schema.FieldIndex(name.Text()) >= 0 {
			_, ok = r.invalid("Cannot create field because of field name duplication " + name.Text())
			return ok
		}
		sub, ok := r.read(p)
		if !ok {
			return false
		}
		pl.schema.Fields = append(pl.schema.Fields, connect.Field{Name: name.Text(), Schema: sub.schema})
		pl.fields = append(pl.fields, field{plan: sub})
		_, p = s.value(p)
		if p = s.space(p); s.b[p] == ',' {
			p++
		}
	}
	return true
}

// attributes reads what every schema may have. Members of the wrong kind do not count,
// as in Java, except for parameters.
func (r *schemaReader) attributes(schema *connect.Schema, members map[string]int) bool {
	if v, ok := r.at(members, "optional", connect.Bool); ok {
		schema.Optional = v.Bool()
	}
	if v, ok := r.at(members, "name", connect.String); ok {
		schema.Name = v.Text()
	}
	if v, ok := r.at(members, "version", connect.Int); ok && v.Int() >= math.MinInt32 && v.Int() <= math.MaxInt32 {
		schema.Version = int(v.Int())
	}
	if v, ok := r.at(members, "doc", connect.String); ok {
		schema.Doc = v.Text()
	}
	v, _ := r.at(members, "parameters", connect.Map)
	for i, pairs := 0, v.Pairs(); i < len(pairs); i += 2 {
		if pairs[i+1].Kind() != connect.String {
			_, ok := r.invalid("Schema parameters must have string values.")
			return ok
		}
		if schema.Parameters == nil {
			schema.Parameters = map[string]string{}
		}
		schema.Parameters[pairs[i].Text()] = pairs[i+1].Text()
	}
	return true
}

// defaults reads the default by the schema itself.
func (r *schemaReader) defaults(pl *plan, members map[string]int) bool {
	p, ok := members["default"]
	if !ok {
		return true
	}
	r.scan.arena = &r.keep
	defer func() { r.scan.arena = &r.waste }()
	v, p := r.scan.typed(pl, p)
	if p < 0 {
		return false
	}
	if !v.IsNull() {
		pl.schema.Default = &v
	}
	return true
}

// compile finds the operation that reads the type, and what it needs.
func (pl *plan) compile() error {
	schema := pl.schema
	for i := range pl.fields {
		pl.fields[i].token = token(schema.Fields[i].Name)
	}
	if schema.Type == connect.StructType {
		pl.index = make(map[string]int, len(schema.Fields))
		for i := range schema.Fields {
			pl.index[schema.Fields[i].Name] = i
		}
	}
	pl.op = op(schema.Type)
	switch schema.Name {
	case connect.LogicalDate:
		pl.op = opDate
	case connect.LogicalTime:
		pl.op = opTime
	case connect.LogicalTimestamp:
		pl.op = opTimestamp
	case connect.LogicalDecimal:
		pl.op = opDecimal
		text, ok := schema.Parameters["scale"]
		if !ok {
			return &connect.DataError{Msg: "Invalid Decimal schema: scale parameter not found."}
		}
		scale, err := strconv.Atoi(text)
		if err != nil || scale < -maxScale || scale > maxScale {
			return &connect.DataError{Msg: "Invalid scale parameter found in Decimal schema: " + text}
		}
		pl.scale = scale
	}
	if want := base(pl.op); want != 0 && want != schema.Type {
		return &connect.DataError{Msg: "Schema of type " + schema.Type.String() + " cannot have the name " + schema.Name}
	}
	return nil
}

// token is how a member of the name most likely starts; "" if it needs escapes.
func token(name string) string {
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c == '"' || c == '\\' {
			return ""
		}
	}
	return `"` + name + `":`
}
