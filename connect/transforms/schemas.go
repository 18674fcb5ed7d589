package transforms

import "github.com/firn-io/firn/connect"

// A planCache remembers what was worked out for a schema, or for a pair of them, by
// their addresses, the most recently used first (Java: SynchronizedCache(LRUCache(16))).
type planCache[P any] struct {
	n       int
	entries [schemasKept]planEntry[P]
}

type planEntry[P any] struct {
	of, with *connect.Schema // with is nil if one schema is enough
	plan     P
}

// get returns the plan for a pair of schemas.
func (c *planCache[P]) get(of, with *connect.Schema) (plan P, ok bool) {
	for i := range c.n {
		if e := &c.entries[i]; e.of == of && e.with == with {
			if i > 0 {
				first := *e
				copy(c.entries[1:i+1], c.entries[:i])
				c.entries[0] = first
			}
			return c.entries[0].plan, true
		}
	}
	return plan, false
}

func (c *planCache[P]) put(of, with *connect.Schema, plan P) {
	c.n = min(c.n+1, schemasKept)
	copy(c.entries[1:c.n], c.entries[:c.n-1])
	c.entries[0] = planEntry[P]{of, with, plan}
}

// extended is the struct schema from with more fields: name, version, doc and parameters
// stay, the struct itself becomes required and loses its default, as with Java's
// SchemaUtil.copySchemaBasics.
func extended(from *connect.Schema, more ...connect.Field) (*connect.Schema, error) {
	to := &connect.Schema{Type: connect.StructType, Name: from.Name, Version: from.Version, Doc: from.Doc, Parameters: from.Parameters}
	to.Fields = make([]connect.Field, len(from.Fields), len(from.Fields)+len(more))
	copy(to.Fields, from.Fields)
	for _, f := range more {
		if to.FieldIndex(f.Name) >= 0 {
			return nil, &connect.DataError{Msg: "Cannot create field because of field name duplication " + f.Name}
		}
		to.Fields = append(to.Fields, f)
	}
	return to, nil
}

// extend copies the fields of a struct into room for more, null ones as their defaults,
// as Java's Struct.get does.
func extend(arena *connect.Arena, s *connect.Schema, fields []connect.Value, more int) []connect.Value {
	room := arena.Values(len(fields) + more)
	copy(room, fields)
	for i := range fields {
		if room[i].IsNull() {
			if def := s.Fields[i].Schema.Default; def != nil {
				room[i] = *def
			}
		}
	}
	return room
}

// intoEither changes a value by what is for its form, a map without a schema or a struct.
// A null value stays null.
func intoEither(arena *connect.Arena, r *connect.Record, intoMap, intoStruct func(*connect.Arena, *connect.Record) error) error {
	switch {
	case r.Value.IsNull():
		return nil
	case r.ValueSchema == nil:
		return intoMap(arena, r)
	}
	return intoStruct(arena, r)
}

// structOf returns the fields of a value that has to be a struct of schema s; purpose
// is what the error says they were needed for.
func structOf(s *connect.Schema, v connect.Value, purpose string) ([]connect.Value, error) {
	fields := v.Fields()
	if v.Kind() != connect.Struct || s.Type != connect.StructType || len(fields) != len(s.Fields) {
		return nil, &connect.DataError{Msg: "Only Struct objects supported for [" + purpose + "], found: " + javaClass(s, v)}
	}
	return fields, nil
}

// mapOf returns the entries of a value that has to be a map.
func mapOf(v connect.Value, purpose string) ([]connect.Value, error) {
	if v.Kind() != connect.Map {
		return nil, &connect.DataError{Msg: "Only Map objects supported in absence of schema for [" + purpose + "], found: " + javaClass(nil, v)}
	}
	return v.Pairs(), nil
}

// roomForEntries copies a map's entries into the arena with room for more after them.
func roomForEntries(arena *connect.Arena, pairs []connect.Value, more int) []connect.Value {
	room := arena.Values(len(pairs) + 2*more)
	return room[:copy(room, pairs)]
}

// putEntry sets the entry under a key, in place if there is one.
func putEntry(pairs []connect.Value, key string, v connect.Value) []connect.Value {
	if at := lastKey(pairs, key); at >= 0 {
		pairs[at+1] = v
		return pairs
	}
	return append(pairs, connect.StringValue(key), v)
}

// lastKey finds the entry that counts when keys repeat, -1 if there is none.
func lastKey(pairs []connect.Value, key string) int {
	for i := len(pairs) - 2; i >= 0; i -= 2 {
		if pairs[i].Kind() == connect.String && pairs[i].Text() == key {
			return i
		}
	}
	return -1
}

// Schemas of inserted fields.
var (
	requiredString = &connect.Schema{Type: connect.StringType}
	optionalString = &connect.Schema{Type: connect.StringType, Optional: true}
	optionalLong   = &connect.Schema{Type: connect.Int64, Optional: true}
)

// stringMap is map<string,string>, optional as a whole.
var stringMap = &connect.Schema{Type: connect.MapType, Optional: true, Key: requiredString, Elem: requiredString}

// javaClass names the Java class of a value, as it appears in error messages.
func javaClass(s *connect.Schema, v connect.Value) string {
	switch v.Kind() {
	case connect.Null:
		return "null"
	case connect.Bool:
		return "java.lang.Boolean"
	case connect.Int:
		return intClass(s)
	case connect.Float:
		if s != nil && s.Type == connect.Float32 {
			return "java.lang.Float"
		}
		return "java.lang.Double"
	case connect.String:
		return "java.lang.String"
	case connect.Bytes:
		if s != nil && s.Name == connect.LogicalDecimal {
			return "java.math.BigDecimal"
		}
		return "[B"
	case connect.Array:
		return "java.util.ArrayList"
	case connect.Map:
		return "java.util.HashMap"
	case connect.Struct:
		return "org.apache.kafka.connect.data.Struct"
	}
	panic("transforms: value of unknown kind " + v.Kind().String())
}

func intClass(s *connect.Schema) string {
	switch {
	case s == nil:
		return "java.lang.Long"
	case s.Name == connect.LogicalDate, s.Name == connect.LogicalTime, s.Name == connect.LogicalTimestamp:
		return "java.util.Date"
	case s.Type == connect.Int8:
		return "java.lang.Byte"
	case s.Type == connect.Int16:
		return "java.lang.Short"
	case s.Type == connect.Int32:
		return "java.lang.Integer"
	}
	return "java.lang.Long"
}
