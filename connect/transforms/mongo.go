package transforms

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/transforms/jsontree"
)

// MongoDebezium makes typed structs of the documents that Debezium's MongoDB connector
// writes as extended JSON texts into before and after, and a typed key
// (org.apache.iceberg.connect.transforms.MongoDebeziumTransform). Types are found from
// the values, so that each form of a document has a schema of its own.
type MongoDebezium struct {
	bson        bsonConverter
	keys, docs  forms
	form        []byte
	cache       planCache[*mongoPlan]
	schemas     map[mongoForm]*connect.Schema // of whole values
	before, now []*jsontree.Node              // members of the two documents
	places      map[string]int                // of members, while an update is applied
}

// A mongoForm is what the schema of a value depends on; before and after are nil if the
// value has none.
type mongoForm struct{ envelope, before, after *connect.Schema }

// A mongoPlan is where to find things in an envelope, with its key.
type mongoPlan struct{ before, after, update, id, updated, removed int }

var _ connect.Transformation = (*MongoDebezium)(nil)

// NewMongoDebezium makes one, to be configured.
func NewMongoDebezium() connect.Transformation { return new(MongoDebezium) }

// Version is that of the sink whose behaviour is followed.
func (*MongoDebezium) Version() string { return sinkVersion }

// ConfigDef declares array_handling_mode.
func (*MongoDebezium) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{
		Name: "array_handling_mode", Type: connect.TypeString, Importance: connect.Medium, Order: -1,
		Doc: "array: arrays of one element type each, the default; document: structs with the fields _0, _1 and so on.",
		Check: func(v string) error {
			if !strings.EqualFold(v, "array") && !strings.EqualFold(v, "document") {
				return errors.New("Value must be one of array, document") //nolint:staticcheck // Java's style
			}
			return nil
		},
	}}}
}

// Configure reads the mode.
func (t *MongoDebezium) Configure(config map[string]string) error {
	values, err := t.ConfigDef().Parse(config)
	t.bson.documents = strings.EqualFold(values["array_handling_mode"], "document")
	t.docs = forms{build: func(form []byte) *connect.Schema { s, _ := bsonSchema(form, ""); return s }}
	t.keys = forms{build: func(form []byte) *connect.Schema {
		s, _ := bsonSchema(form, "")
		s.Optional = false
		return s
	}}
	t.schemas, t.places = make(map[mongoForm]*connect.Schema), make(map[string]int)
	return err
}

// Apply makes the structs. A null value stays null. What has not the schemas of a
// Debezium envelope becomes a tombstone without key, as in Java.
func (t *MongoDebezium) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	if !named(r.KeySchema, ".Key") || !named(r.ValueSchema, ".Envelope") {
		r.KeySchema, r.Key, r.ValueSchema, r.Value = nil, connect.Value{}, nil, connect.Value{}
		return true, nil
	}
	if err := t.apply(arena, r); err != nil {
		if _, ok := errors.AsType[*connect.DataError](err); !ok {
			err = &connect.DataError{Msg: err.Error()}
		}
		return true, err
	}
	return true, nil
}

func named(s *connect.Schema, suffix string) bool {
	return s != nil && strings.HasSuffix(s.Name, suffix)
}

func (t *MongoDebezium) apply(arena *connect.Arena, r *connect.Record) error {
	value, err := structOf(r.ValueSchema, r.Value, "copying existing fields besides before/after")
	if err != nil {
		return err
	}
	key, err := structOf(r.KeySchema, r.Key, "field extraction")
	if err != nil {
		return err
	}
	plan, ok := t.cache.get(r.ValueSchema, r.KeySchema)
	if !ok {
		if plan, err = planMongo(r.ValueSchema, r.KeySchema); err != nil {
			return err
		}
		t.cache.put(r.ValueSchema, r.KeySchema, plan)
	}
	before, after, update := value[plan.before], value[plan.after], value[plan.update]
	if before.IsNull() && after.IsNull() && update.IsNull() {
		return fmt.Errorf("malformed record topic: %s, partition: %d, offset: %d", r.Topic, r.Partition, r.Offset)
	}
	t.bson.reset(arena)
	id, err := t.parseID(key[plan.id])
	if err != nil {
		return err
	}
	t.before, t.now = t.before[:0], t.now[:0]
	if t.before, err = t.parse("before", before, t.before); err != nil {
		return err
	}
	if t.now, err = t.parse("after", after, t.now); err != nil {
		return err
	}
	if after.IsNull() && !update.IsNull() {
		if err := t.update(r.ValueSchema.Fields[plan.update].Schema, update, plan, id); err != nil {
			return err
		}
	}
	if r.KeySchema, r.Key, err = t.document(&t.keys, []*jsontree.Node{id}); err != nil {
		return err
	}
	var was, is image
	if !before.IsNull() {
		if was.schema, was.value, err = t.document(&t.docs, t.before); err != nil {
			return err
		}
	}
	if !after.IsNull() || !update.IsNull() {
		if is.schema, is.value, err = t.document(&t.docs, t.now); err != nil {
			return err
		}
	}
	r.ValueSchema, r.Value = t.assemble(arena, r.ValueSchema, value, was, is)
	return nil
}

// An image is a before or after; its schema is nil if there is none.
type image struct {
	schema *connect.Schema
	value  connect.Value
}

func planMongo(envelope, key *connect.Schema) (*mongoPlan, error) {
	p := &mongoPlan{updated: -1, removed: -1}
	for _, f := range []struct {
		s    *connect.Schema
		name string
		at   *int
	}{{key, "id", &p.id}, {envelope, "after", &p.after}, {envelope, "before", &p.before}, {envelope, "updateDescription", &p.update}} {
		if *f.at = f.s.FieldIndex(f.name); *f.at < 0 {
			return nil, errors.New("Unknown field: " + f.name)
		}
	}
	update := envelope.Fields[p.update].Schema
	p.updated, p.removed = update.FieldIndex("updatedFields"), update.FieldIndex("removedFields")
	return p, nil
}

// parseID reads the key's id, which is a JSON text, as a member of that name.
func (t *MongoDebezium) parseID(v connect.Value) (*jsontree.Node, error) {
	text := v.Text()
	switch v.Kind() {
	case connect.String:
	case connect.Int:
		text = strconv.FormatInt(v.Int(), 10)
	case connect.Null, connect.Bool, connect.Float, connect.Bytes, connect.Array, connect.Map, connect.Struct:
		return nil, fmt.Errorf("the key's id is a %s, not a JSON text", v.Kind())
	}
	n, err := t.bson.tree.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the key's id is no JSON text: %w", err)
	}
	return renamed(n, "id"), nil
}

func renamed(n *jsontree.Node, name string) *jsontree.Node {
	m := *n
	m.Key = name
	return &m
}

// parse appends the members of a document in the field of that name.
func (t *MongoDebezium) parse(field string, v connect.Value, members []*jsontree.Node) ([]*jsontree.Node, error) {
	if v.IsNull() {
		return members, nil
	}
	n, err := t.bson.tree.Parse(v.Text())
	if err == nil && n.Kind != jsontree.Object {
		err = errors.New("no document")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not in extended JSON: %w", field, err)
	}
	for m := t.bson.tree.First(n); m != nil; m = t.bson.tree.Next(m) {
		members = append(members, m)
	}
	return members, nil
}

// update makes the present document of the one before, if any, and of what was updated
// and removed. Paths with dots are names of fields as they are, as in Java.
func (t *MongoDebezium) update(schema *connect.Schema, update connect.Value, plan *mongoPlan, id *jsontree.Node) error {
	fields, err := structOf(schema, update, "updateDescription")
	if err != nil {
		return err
	}
	clear(t.places)
	for _, m := range t.before {
		t.put(m)
	}
	base := len(t.before)
	if t.before, err = t.parse("updatedFields", fieldAt(fields, plan.updated), t.before); err != nil {
		return err
	}
	for _, m := range t.before[base:] {
		t.put(m)
	}
	t.before = t.before[:base]
	for _, name := range fieldAt(fields, plan.removed).Elems() {
		if at, ok := t.places[name.Text()]; ok {
			t.now[at] = nil
			delete(t.places, name.Text())
		}
	}
	if _, ok := t.places["_id"]; !ok {
		t.put(renamed(id, "_id"))
	}
	kept := t.now[:0]
	for _, m := range t.now {
		if m != nil {
			kept = append(kept, m)
		}
	}
	t.now = kept
	return nil
}

// put sets a member of the present document.
func (t *MongoDebezium) put(m *jsontree.Node) {
	if at, ok := t.places[m.Key]; ok {
		t.now[at] = m
		return
	}
	t.places[m.Key] = len(t.now)
	t.now = append(t.now, m)
}

// document makes the struct of a document, and its schema.
func (t *MongoDebezium) document(of *forms, members []*jsontree.Node) (*connect.Schema, connect.Value, error) {
	dt, err := t.bson.documentType(members)
	if err != nil {
		return nil, connect.Value{}, err
	}
	v, err := t.bson.structOf(dt, members)
	if err != nil {
		return nil, v, err
	}
	t.form = dt.appendForm(t.form[:0])
	return of.schema(t.form), v, nil
}

// assemble puts the images in place of the texts; an image that there is not has no field.
func (t *MongoDebezium) assemble(arena *connect.Arena, envelope *connect.Schema, value []connect.Value, was, is image) (*connect.Schema, connect.Value) {
	form := mongoForm{envelope, was.schema, is.schema}
	s, ok := t.schemas[form]
	if !ok {
		if len(t.schemas) == formsKept {
			clear(t.schemas)
		}
		s = &connect.Schema{Type: connect.StructType, Name: envelope.Name}
		for _, f := range envelope.Fields {
			switch f.Name {
			case "before":
				f.Schema = was.schema
			case "after":
				f.Schema = is.schema
			}
			if f.Schema != nil {
				s.Fields = append(s.Fields, f)
			}
		}
		t.schemas[form] = s
	}
	room := arena.Values(len(s.Fields))[:0]
	for i, f := range envelope.Fields {
		switch {
		case f.Name == "before":
			if was.schema != nil {
				room = append(room, was.value)
			}
		case f.Name == "after":
			if is.schema != nil {
				room = append(room, is.value)
			}
		case value[i].IsNull() && f.Schema.Default != nil:
			room = append(room, *f.Schema.Default)
		default:
			room = append(room, value[i])
		}
	}
	return s, connect.StructValue(room)
}
