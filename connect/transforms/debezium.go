package transforms

import (
	"strings"

	"github.com/firn-io/firn/connect"
)

// Debezium flattens Debezium's change records: the fields of after (of before, for a
// delete), and a struct or map _cdc with op, ts, offset, source, target and the key
// (org.apache.iceberg.connect.transforms.DebeziumTransform).
type Debezium struct {
	pattern string // of the target, "" for {db}.{table}
	cache   planCache[*envelopePlan]
	targets map[dbTable]cdcNames
}

// A dbTable is where a change comes from.
type dbTable struct{ db, table string }

// cdcNames are the two texts made of it.
type cdcNames struct{ source, target string }

// targetsKept bounds what is remembered of names seen; a task sees a handful of tables.
const targetsKept = 1024

var _ connect.Transformation = (*Debezium)(nil)

// NewDebezium makes one, to be configured.
func NewDebezium() connect.Transformation { return new(Debezium) }

// Version is that of the sink whose behaviour is followed.
func (*Debezium) Version() string { return sinkVersion }

// ConfigDef declares cdc.target.pattern.
func (*Debezium) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{
		Name: "cdc.target.pattern", Type: connect.TypeString, Importance: connect.Medium, Order: -1,
		Doc: "Pattern of the field _cdc.target, in which {db} and {table} stand for the names; {db}.{table} if absent.",
	}}}
}

// Configure reads the pattern.
func (t *Debezium) Configure(config map[string]string) error {
	values, err := t.ConfigDef().Parse(config)
	t.pattern = values["cdc.target.pattern"]
	t.targets = make(map[dbTable]cdcNames)
	return err
}

// Apply flattens the value. A null value stays null; without a schema, a record whose
// payload is no map is dropped.
func (t *Debezium) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	switch {
	case r.Value.IsNull():
		return true, nil
	case r.ValueSchema == nil:
		return t.fromMap(arena, r)
	}
	return true, t.fromStruct(arena, r)
}

// operation maps Debezium's op: c, r and whatever else are inserts.
func operation(op connect.Value) (string, error) {
	if op.IsNull() {
		return "", &connect.DataError{
			Msg:  "The Debezium record has no op",
			Hint: "keep heartbeats, transaction metadata and schema changes out of the connector's topics",
		}
	}
	switch op.Text() {
	case "u":
		return cdcUpdate, nil
	case "d":
		return cdcDelete, nil
	}
	return cdcInsert, nil
}

// names are the texts of _cdc.source and _cdc.target. schema is preferred to db, as
// Postgres has both; a table without any of the two is an error.
func (t *Debezium) names(schema, db, table connect.Value) (cdcNames, error) {
	if schema.IsNull() {
		schema = db
	}
	if schema.Kind() != connect.String || table.Kind() != connect.String {
		return cdcNames{}, &connect.DataError{Msg: "The Debezium record has no source.table, or neither source.schema nor source.db"}
	}
	key := dbTable{schema.Text(), table.Text()}
	if n, ok := t.targets[key]; ok {
		return n, nil
	}
	if len(t.targets) == targetsKept {
		clear(t.targets)
	}
	key = dbTable{strings.Clone(key.db), strings.Clone(key.table)} // the record's memory dies with its batch
	n := cdcNames{source: key.db + "." + key.table}
	n.target = n.source
	if t.pattern != "" {
		n.target = strings.ReplaceAll(strings.ReplaceAll(t.pattern, "{db}", key.db), "{table}", key.table)
	}
	t.targets[key] = n
	return n, nil
}

func (t *Debezium) fromMap(arena *connect.Arena, r *connect.Record) (bool, error) {
	if _, err := mapOf(r.Value, "Debezium transform"); err != nil {
		return false, err
	}
	v, _ := r.Value.Lookup("op")
	op, err := operation(v)
	if err != nil {
		return false, err
	}
	image := "after"
	if op == cdcDelete {
		image = "before"
	}
	payload, _ := r.Value.Lookup(image)
	if payload.Kind() != connect.Map {
		return false, nil
	}
	source, _ := r.Value.Lookup("source")
	if _, err := mapOf(source, "Debezium transform"); err != nil {
		return false, err
	}
	schema, _ := source.Lookup("schema")
	db, _ := source.Lookup("db")
	table, _ := source.Lookup("table")
	names, err := t.names(schema, db, table)
	if err != nil {
		return false, err
	}
	ts, _ := r.Value.Lookup("ts_ms")
	cdc := append(arena.Values(12)[:0],
		connect.StringValue("op"), connect.StringValue(op),
		connect.StringValue("ts"), ts,
		connect.StringValue("offset"), connect.IntValue(r.Offset),
		connect.StringValue("source"), connect.StringValue(names.source),
		connect.StringValue("target"), connect.StringValue(names.target))
	if r.Key.Kind() == connect.Map {
		cdc = append(cdc, connect.StringValue("key"), r.Key)
	}
	r.Value = connect.MapValue(putEntry(roomForEntries(arena, payload.Pairs(), 1), cdcField, connect.MapValue(cdc)))
	return true, nil
}

// An envelopePlan is what an envelope's schema, with a key's, comes to. Positions are -1
// for fields that are not there.
type envelopePlan struct {
	op, ts, before, after, source int
	schema, db, table             int // within source
	deleted, written              *connect.Schema
}

func (t *Debezium) fromStruct(arena *connect.Arena, r *connect.Record) error {
	from := r.ValueSchema
	value, err := structOf(from, r.Value, "Debezium transform")
	if err != nil {
		return err
	}
	plan, ok := t.cache.get(from, r.KeySchema)
	if !ok {
		if plan, err = planEnvelope(from, r.KeySchema); err != nil {
			return err
		}
		t.cache.put(from, r.KeySchema, plan)
	}
	op, err := operation(fieldAt(value, plan.op))
	if err != nil {
		return err
	}
	at, to, image := plan.after, plan.written, "after"
	if op == cdcDelete {
		at, to, image = plan.before, plan.deleted, "before"
	}
	payload, ts, source := fieldAt(value, at), fieldAt(value, plan.ts), fieldAt(value, plan.source)
	if payload.IsNull() {
		return &connect.DataError{Msg: "The Debezium record has no " + image, Hint: "deletes need the old row: REPLICA IDENTITY FULL on Postgres"}
	}
	if ts.Kind() != connect.Int || source.IsNull() {
		return &connect.DataError{Msg: "The Debezium record has no ts_ms or no source"}
	}
	fields, err := structOf(from.Fields[at].Schema, payload, "Debezium transform")
	if err != nil {
		return err
	}
	origin, err := structOf(from.Fields[plan.source].Schema, source, "Debezium transform")
	if err != nil {
		return err
	}
	names, err := t.names(fieldAt(origin, plan.schema), fieldAt(origin, plan.db), fieldAt(origin, plan.table))
	if err != nil {
		return err
	}
	cdc := append(arena.Values(6)[:0], connect.StringValue(op), ts, connect.IntValue(r.Offset),
		connect.StringValue(names.source), connect.StringValue(names.target))
	if r.KeySchema != nil {
		cdc = append(cdc, r.Key)
	}
	room := extend(arena, from.Fields[at].Schema, fields, 1)
	room[len(fields)] = connect.StructValue(cdc)
	r.ValueSchema, r.Value = to, connect.StructValue(room)
	return nil
}

// fieldAt is the value at a position that may be -1.
func fieldAt(fields []connect.Value, at int) connect.Value {
	if at < 0 {
		return connect.Value{}
	}
	return fields[at]
}

func planEnvelope(from, key *connect.Schema) (*envelopePlan, error) {
	p := &envelopePlan{
		op: from.FieldIndex("op"), ts: from.FieldIndex("ts_ms"), source: from.FieldIndex("source"),
		before: from.FieldIndex("before"), after: from.FieldIndex("after"), schema: -1, db: -1, table: -1,
	}
	if p.source >= 0 {
		source := from.Fields[p.source].Schema
		p.schema, p.db, p.table = source.FieldIndex("schema"), source.FieldIndex("db"), source.FieldIndex("table")
	}
	fields := []connect.Field{
		{Name: "op", Schema: requiredString},
		{Name: "ts", Schema: &connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp, Version: 1}},
		{Name: "offset", Schema: optionalLong},
		{Name: "source", Schema: requiredString},
		{Name: "target", Schema: requiredString},
	}
	if key != nil {
		fields = append(fields, connect.Field{Name: "key", Schema: key})
	}
	cdc := connect.Field{Name: cdcField, Schema: &connect.Schema{Type: connect.StructType, Fields: fields}}
	var err error
	if p.after >= 0 {
		if p.written, err = extended(from.Fields[p.after].Schema, cdc); err != nil {
			return nil, err
		}
	}
	if p.before >= 0 {
		if p.deleted = p.written; p.after < 0 || from.Fields[p.before].Schema != from.Fields[p.after].Schema {
			p.deleted, err = extended(from.Fields[p.before].Schema, cdc)
		}
	}
	return p, err
}
