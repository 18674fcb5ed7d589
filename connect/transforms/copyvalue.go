package transforms

import "github.com/firn-io/firn/connect"

// CopyValue adds a field that repeats another one of the value, so that, for instance,
// the field that routes need not be the field that is stored
// (org.apache.iceberg.connect.transforms.CopyValue).
type CopyValue struct {
	source, target string
	cache          planCache[copyPlan]
}

// A copyPlan is the new schema and the position of the source field.
type copyPlan struct {
	to *connect.Schema
	at int
}

var _ connect.Transformation = (*CopyValue)(nil)

// NewCopyValue makes one, to be configured.
func NewCopyValue() connect.Transformation { return new(CopyValue) }

// Version is that of the sink whose behaviour is followed.
func (*CopyValue) Version() string { return sinkVersion }

// ConfigDef declares source.field and target.field.
func (*CopyValue) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		{Name: "source.field", Type: connect.TypeString, Required: true, Importance: connect.High, Order: -1, Doc: "Source field name."},
		{Name: "target.field", Type: connect.TypeString, Required: true, Importance: connect.High, Order: -1, Doc: "Target field name."},
	}}
}

// Configure reads the two names.
func (t *CopyValue) Configure(config map[string]string) error {
	values, err := t.ConfigDef().Parse(config)
	t.source, t.target = values["source.field"], values["target.field"]
	return err
}

// Apply adds the field. A null value stays null.
func (t *CopyValue) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	return true, intoEither(arena, r, t.intoMap, t.intoStruct)
}

func (t *CopyValue) intoMap(arena *connect.Arena, r *connect.Record) error {
	old, err := mapOf(r.Value, "copy value")
	if err != nil {
		return err
	}
	v, _ := r.Value.Lookup(t.source) // a field that is missing is copied as null
	r.Value = connect.MapValue(putEntry(roomForEntries(arena, old, 1), t.target, v))
	return nil
}

func (t *CopyValue) intoStruct(arena *connect.Arena, r *connect.Record) error {
	from := r.ValueSchema
	old, err := structOf(from, r.Value, "copy value")
	if err != nil {
		return err
	}
	plan, ok := t.cache.get(from, nil)
	if !ok {
		if plan, err = t.plan(from); err != nil {
			return err
		}
		t.cache.put(from, nil, plan)
	}
	room := extend(arena, from, old, 1)
	room[len(old)] = room[plan.at]
	r.ValueSchema, r.Value = plan.to, connect.StructValue(room)
	return nil
}

func (t *CopyValue) plan(from *connect.Schema) (copyPlan, error) {
	at := from.FieldIndex(t.source)
	if at < 0 {
		return copyPlan{}, &connect.DataError{Msg: "The value has no field " + t.source + " to copy", Hint: "correct source.field"}
	}
	to, err := extended(from, connect.Field{Name: t.target, Schema: from.Fields[at].Schema})
	return copyPlan{to, at}, err
}
