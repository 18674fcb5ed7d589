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
	cache  planCache[*connect.Schema]
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
	old, err := mapOf(*value, "field insertion")
	if err != nil {
		return err
	}
	pairs := roomForEntries(arena, old, len(t.fields))
	for i := range t.fields {
		f := &t.fields[i]
		if v := f.value(r); !v.IsNull() {
			pairs = putEntry(pairs, f.name, v)
		}
	}
	*value = connect.MapValue(pairs)
	return nil
}

func (t *InsertField) intoStruct(arena *connect.Arena, r *connect.Record, schema **connect.Schema, value *connect.Value) error {
	from := *schema
	old, err := structOf(from, *value, "field insertion")
	if err != nil {
		return err
	}
	to, ok := t.cache.get(from, nil)
	if !ok {
		if to, err = t.extend(from); err != nil {
			return err
		}
		t.cache.put(from, nil, to)
	}
	var room []connect.Value
	if t.nulls {
		room = arena.Values(len(to.Fields))
		copy(room, old)
	} else {
		room = extend(arena, from, old, len(t.fields))
	}
	for i := range t.fields {
		room[len(old)+i] = t.fields[i].value(r)
	}
	*schema, *value = to, connect.StructValue(room)
	return nil
}

func (t *InsertField) extend(from *connect.Schema) (*connect.Schema, error) {
	more := make([]connect.Field, len(t.fields))
	for i, f := range t.fields {
		more[i] = connect.Field{Name: f.name, Schema: f.schema}
	}
	return extended(from, more...)
}
