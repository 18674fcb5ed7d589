package transforms

import (
	"fmt"
	"strings"

	"github.com/firn-io/firn/connect"
)

// KafkaMetadata adds a record's topic, partition, offset and timestamp to its value, as
// fields with a prefix or as one nested struct, and perhaps a constant
// (org.apache.iceberg.connect.transforms.KafkaMetadataTransform).
//
// Java keeps the configuration in a static field, so that the instance configured last
// decides for all connectors of a worker; here each has its own.
type KafkaMetadata struct {
	name   string
	nested *connect.Schema // of the one struct; nil for fields with a prefix
	fields []connect.Field // topic, partition, offset, timestamp and perhaps the constant
	added  []connect.Field // what the value gets: the fields, or the one struct of them
	text   string          // the constant
	cache  planCache[*connect.Schema]
}

var _ connect.Transformation = (*KafkaMetadata)(nil)

// NewKafkaMetadata makes one, to be configured.
func NewKafkaMetadata() connect.Transformation { return new(KafkaMetadata) }

// Version is that of the sink whose behaviour is followed.
func (*KafkaMetadata) Version() string { return sinkVersion }

// ConfigDef declares field_name, nested and external_field.
func (*KafkaMetadata) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		{
			Name: "field_name", Type: connect.TypeString, Default: new("_kafka_metadata"), Importance: connect.Low, Order: -1,
			Doc: "Field to add the record's coordinates under, or the prefix of the fields.",
		},
		{
			Name: "nested", Type: connect.TypeBoolean, Default: new("false"), Importance: connect.Low, Order: -1,
			Doc: "Whether to add one nested record instead of fields with a prefix.",
		},
		{
			Name: "external_field", Type: connect.TypeString, Importance: connect.Low, Order: -1,
			Doc: "key,value: a constant text to add beside the coordinates, such as the name of the cluster.",
			Check: func(v string) error {
				_, _, err := externalField(v)
				return err
			},
		},
	}}
}

// externalField takes "key,value" apart; Java's split drops empty parts at the end.
func externalField(text string) (key, value string, err error) {
	parts := strings.Split(text, ",")
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	if len(parts) != 2 {
		return "", "", fmt.Errorf("Could not parse %s for external_field", text) //nolint:staticcheck // Java's words
	}
	return parts[0], parts[1], nil
}

// Configure works out the fields to add.
func (t *KafkaMetadata) Configure(config map[string]string) error {
	values, err := t.ConfigDef().Parse(config)
	if err != nil {
		return err
	}
	t.name = values["field_name"]
	t.fields = []connect.Field{
		{Name: "topic", Schema: requiredString},
		{Name: "partition", Schema: &connect.Schema{Type: connect.Int32}},
		{Name: "offset", Schema: &connect.Schema{Type: connect.Int64}},
		{Name: "timestamp", Schema: optionalLong},
	}
	if external, ok := values["external_field"]; ok {
		key, text, err := externalField(external)
		if err != nil {
			return err
		}
		t.text = text
		t.fields = append(t.fields, connect.Field{Name: key, Schema: requiredString})
	}
	t.nested = nil
	if values.Bool("nested") {
		if t.nested, err = extended(new(connect.Schema), t.fields...); err != nil {
			return err
		}
		t.added = []connect.Field{{Name: t.name, Schema: t.nested}}
		return nil
	}
	for i := range t.fields {
		t.fields[i].Name = t.name + "_" + t.fields[i].Name
	}
	t.added = t.fields
	return nil
}

// Apply adds the fields. A null value stays null.
func (t *KafkaMetadata) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	return true, intoEither(arena, r, t.intoMap, t.intoStruct)
}

// fill puts the values of the fields, in their order, into room.
func (t *KafkaMetadata) fill(room []connect.Value, r *connect.Record) {
	room[0] = connect.StringValue(r.Topic)
	room[1] = connect.IntValue(int64(r.Partition))
	room[2] = connect.IntValue(r.Offset)
	if r.Timestamp >= 0 {
		room[3] = connect.IntValue(r.Timestamp)
	}
	if len(room) > 4 {
		room[4] = connect.StringValue(t.text)
	}
}

func (t *KafkaMetadata) intoMap(arena *connect.Arena, r *connect.Record) error {
	old, err := mapOf(r.Value, "KafkaMetadata transform")
	if err != nil {
		return err
	}
	var values [5]connect.Value
	t.fill(values[:len(t.fields)], r)
	if t.nested != nil {
		inner := arena.Values(2 * len(t.fields))
		room := roomForEntries(arena, old, 1)
		r.Value = connect.MapValue(putEntry(room, t.name, connect.MapValue(t.entries(inner[:0], values[:]))))
		return nil
	}
	r.Value = connect.MapValue(t.entries(roomForEntries(arena, old, len(t.fields)), values[:]))
	return nil
}

// entries adds the fields that have a value to a map.
func (t *KafkaMetadata) entries(pairs, values []connect.Value) []connect.Value {
	for i := range t.fields {
		if !values[i].IsNull() {
			pairs = putEntry(pairs, t.fields[i].Name, values[i])
		}
	}
	return pairs
}

func (t *KafkaMetadata) intoStruct(arena *connect.Arena, r *connect.Record) error {
	from := r.ValueSchema
	old, err := structOf(from, r.Value, "KafkaMetadataTransform")
	if err != nil {
		return err
	}
	to, ok := t.cache.get(from, nil)
	if !ok {
		if to, err = extended(from, t.added...); err != nil {
			return err
		}
		t.cache.put(from, nil, to)
	}
	room := extend(arena, from, old, len(t.added))
	if t.nested != nil {
		inner := arena.Values(len(t.fields))
		t.fill(inner, r)
		room[len(old)] = connect.StructValue(inner)
	} else {
		t.fill(room[len(old):], r)
	}
	r.ValueSchema, r.Value = to, connect.StructValue(room)
	return nil
}
