package transforms

import (
	"errors"
	"strings"

	"github.com/firn-io/firn/connect"
)

// InsertField adds fields about the record itself, and a constant, to a struct or map
// (org.apache.kafka.connect.transforms.InsertField$Key and $Value).
type InsertField struct {
	key    bool // works on the key
	fields []insertion
	nulls  bool // keep nulls instead of the field's default (replace.null.with.default=false)
	cache  schemaCache
}

// An insertion is one field to add.
type insertion struct {
	name   string
	schema *connect.Schema
	what   insertable
	text   string // of a static field
}

type insertable uint8

const (
	insertTopic insertable = iota
	insertPartition
	insertOffset
	insertTimestamp
	insertStatic
)

var _ connect.Transformation = (*InsertField)(nil)

// NewInsertFieldKey makes an InsertField$Key, to be configured.
func NewInsertFieldKey() connect.Transformation { return &InsertField{key: true} }

// NewInsertFieldValue makes an InsertField$Value, to be configured.
func NewInsertFieldValue() connect.Transformation { return new(InsertField) }

// Version is that of the Kafka release whose behaviour is followed.
func (*InsertField) Version() string { return connect.APIVersion }

// ConfigDef declares Java's keys, in Java's order.
func (*InsertField) ConfigDef() *connect.ConfigDef {
	const optionality = " Suffix with ! to make this a required field, or ? to keep it optional (the default)."
	key := func(name, doc string) connect.ConfigKey {
		return connect.ConfigKey{Name: name, Type: connect.TypeString, Importance: connect.Medium, Doc: doc, Order: -1}
	}
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		key("topic.field", "Field name for the Kafka topic."+optionality),
		key("partition.field", "Field name for the Kafka partition."+optionality),
		key("offset.field", "Field name for the Kafka offset; only for sink connectors."+optionality),
		key("timestamp.field", "Field name for the record timestamp."+optionality),
		key("static.field", "Field name for the static data field."+optionality),
		key("static.value", "Value of the static field, if one is configured."),
		{
			Name: "replace.null.with.default", Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Medium, Order: -1,
			Doc: "Whether fields that have a default value and are null get the default.",
		},
	}}
}

// Configure reads which fields to add.
func (t *InsertField) Configure(config map[string]string) error {
	t.fields = nil
	for _, f := range []struct {
		key  string
		what insertable
		of   connect.Schema
	}{
		{"topic.field", insertTopic, connect.Schema{Type: connect.StringType}},
		{"partition.field", insertPartition, connect.Schema{Type: connect.Int32}},
		{"offset.field", insertOffset, connect.Schema{Type: connect.Int64}},
		{"timestamp.field", insertTimestamp, connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp, Version: 1}},
		{"static.field", insertStatic, connect.Schema{Type: connect.StringType}},
	} {
		spec, ok := config[f.key]
		if !ok {
			continue
		}
		spec = strings.TrimSpace(spec)
		schema := f.of
		schema.Optional = !strings.HasSuffix(spec, "!")
		name := spec
		if strings.HasSuffix(spec, "!") || strings.HasSuffix(spec, "?") {
			name = spec[:len(spec)-1]
		}
		t.fields = append(t.fields, insertion{name: name, schema: &schema, what: f.what, text: strings.TrimSpace(config["static.value"])})
	}
	if len(t.fields) == 0 {
		return errors.New("No field insertion configured") //nolint:staticcheck // Java's sentence
	}
	if _, ok := config["static.value"]; !ok && t.fields[len(t.fields)-1].what == insertStatic {
		return errors.New("Invalid value null for configuration static.value: No value specified for static field: " + t.fields[len(t.fields)-1].name)
	}
	switch v := strings.ToLower(strings.TrimSpace(config["replace.null.with.default"])); v {
	case "", "true":
		t.nulls = false
	case "false":
		t.nulls = true
	default:
		return errors.New("Invalid value " + v + " for configuration replace.null.with.default: Expected value to be either true or false")
	}
	return nil
}

// Apply adds the fields. A null key or value stays null.
func (t *InsertField) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	schema, value := &r.ValueSchema, &r.Value
	if t.key {
		schema, value = &r.KeySchema, &r.Key
	}
	switch {
	case value.IsNull():
		return true, nil
	case *schema == nil:
		return true, t.intoMap(arena, r, value)
	}
	return true, t.intoStruct(arena, r, schema, value)
}

// value is what f adds to a record with or without schema; null leaves the field out of a map.
func (f *insertion) value(r *connect.Record) connect.Value {
	switch f.what {
	case insertTopic:
		return connect.StringValue(r.Topic)
	case insertPartition:
		return connect.IntValue(int64(r.Partition))
	case insertOffset:
		return connect.IntValue(r.Offset)
	case insertTimestamp:
		if r.Timestamp < 0 {
			return connect.Value{}
		}
		return connect.IntValue(r.Timestamp)
	case insertStatic:
		return connect.StringValue(f.text)
	}
	panic("transforms: unknown insertion")
}

func (t *InsertField) intoMap(arena *connect.Arena, r *connect.Record, value *connect.Value) error {
	if value.Kind() != connect.Map {
		return &connect.DataError{Msg: "Only Map objects supported in absence of schema for [field insertion], found: " + javaClass(nil, *value)}
	}
	old := value.Pairs()
	room := arena.Values(len(old) + 2*len(t.fields))
	pairs := room[:copy(room, old)]
	for i := range t.fields {
		f := &t.fields[i]
		v := f.value(r)
		if v.IsNull() {
			continue
		}
		if at := lastKey(pairs, f.name); at >= 0 {
			pairs[at+1] = v
			continue
		}
		pairs = append(pairs, connect.StringValue(f.name), v)
	}
	*value = connect.MapValue(pairs)
	return nil
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

func (t *InsertField) intoStruct(arena *connect.Arena, r *connect.Record, schema **connect.Schema, value *connect.Value) error {
	from := *schema
	old := value.Fields()
	if value.Kind() != connect.Struct || from.Type != connect.StructType || len(old) != len(from.Fields) {
		return &connect.DataError{Msg: "Only Struct objects supported for [field insertion], found: " + javaClass(from, *value)}
	}
	to := t.cache.get(from)
	if to == nil {
		var err error
		if to, err = t.extend(from); err != nil {
			return err
		}
		t.cache.put(from, to)
	}
	room := arena.Values(len(to.Fields))
	n := copy(room, old)
	if !t.nulls {
		for i := range old {
			if def := from.Fields[i].Schema.Default; def != nil && old[i].IsNull() {
				room[i] = *def
			}
		}
	}
	for i := range t.fields {
		room[n+i] = t.fields[i].value(r)
	}
	*schema, *value = to, connect.StructValue(room)
	return nil
}

// extend makes the new schema: name, version, doc and parameters stay, the struct itself
// becomes required and loses its default, as with Java's SchemaUtil.copySchemaBasics.
func (t *InsertField) extend(from *connect.Schema) (*connect.Schema, error) {
	to := &connect.Schema{Type: connect.StructType, Name: from.Name, Version: from.Version, Doc: from.Doc, Parameters: from.Parameters}
	to.Fields = make([]connect.Field, len(from.Fields), len(from.Fields)+len(t.fields))
	copy(to.Fields, from.Fields)
	for _, f := range t.fields {
		if to.FieldIndex(f.name) >= 0 {
			return nil, &connect.DataError{Msg: "Cannot create field because of field name duplication " + f.name}
		}
		to.Fields = append(to.Fields, connect.Field{Name: f.name, Schema: f.schema})
	}
	return to, nil
}
