package transforms

import "github.com/firn-io/firn/connect"

// Names within the field _cdc that the change-data transforms add, and its operations.
const (
	cdcField = "_cdc"

	cdcInsert = "I"
	cdcUpdate = "U"
	cdcDelete = "D"
)

// DMS flattens the change records of AWS Database Migration Service: the fields of data,
// and a map _cdc with op, ts and source. It takes values without schema only
// (org.apache.iceberg.connect.transforms.DmsTransform).
type DMS struct{}

var _ connect.Transformation = DMS{}

// NewDMS makes one.
func NewDMS() connect.Transformation { return DMS{} }

// Version is that of the sink whose behaviour is followed.
func (DMS) Version() string { return sinkVersion }

// ConfigDef has no keys.
func (DMS) ConfigDef() *connect.ConfigDef { return new(connect.ConfigDef) }

// Configure has nothing to read.
func (DMS) Configure(map[string]string) error { return nil }

// Apply flattens the value. It drops records that have no map under data and metadata,
// such as those about the task itself. A null value stays null.
func (DMS) Apply(arena *connect.Arena, r *connect.Record) (bool, error) {
	if r.Value.IsNull() {
		return true, nil
	}
	if r.ValueSchema != nil {
		return false, &connect.DataError{Msg: "Schema not support for DMS records", Hint: "set schemas.enable=false for the value converter"}
	}
	if _, err := mapOf(r.Value, "DMS transform"); err != nil {
		return false, err
	}
	data, _ := r.Value.Lookup("data")
	metadata, _ := r.Value.Lookup("metadata")
	if data.Kind() != connect.Map || metadata.Kind() != connect.Map {
		return false, nil
	}
	operation, _ := metadata.Lookup("operation")
	if operation.IsNull() {
		return false, &connect.DataError{Msg: "The DMS record has no metadata.operation"}
	}
	op := cdcInsert
	switch operation.Text() {
	case "update":
		op = cdcUpdate
	case "delete":
		op = cdcDelete
	}
	ts, _ := metadata.Lookup("timestamp")
	schema, _ := metadata.Lookup("schema-name")
	table, _ := metadata.Lookup("table-name")
	cdc := arena.Values(6)
	cdc[0], cdc[1] = connect.StringValue("op"), connect.StringValue(op)
	cdc[2], cdc[3] = connect.StringValue("ts"), ts
	cdc[4], cdc[5] = connect.StringValue("source"), dotted(arena, orNull(schema), orNull(table))
	r.Value = connect.MapValue(putEntry(roomForEntries(arena, data.Pairs(), 1), cdcField, connect.MapValue(cdc)))
	return true, nil
}

// orNull is Java's text of a name that may be missing.
func orNull(v connect.Value) string {
	if v.Kind() != connect.String {
		return "null"
	}
	return v.Text()
}

// dotted joins two names in the arena.
func dotted(arena *connect.Arena, a, b string) connect.Value {
	out := arena.Bytes(len(a) + 1 + len(b))
	copy(out, a)
	out[len(a)] = '.'
	copy(out[len(a)+1:], b)
	return connect.StringOf(out)
}
