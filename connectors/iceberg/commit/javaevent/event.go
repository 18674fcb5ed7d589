// Package javaevent reads and writes the values of the Java sink's control topic: five
// kinds of event, each as C2 01, the length of an Avro schema in two bytes, that schema,
// and the Avro body.
//
// Decode follows the schema in the message and finds fields by their field-id, as Java
// does, so that fields of later releases are passed over and those of earlier ones are
// simply absent. It is safe on bytes from anybody: time and memory are bounded by the
// length of the message. Encode writes the bytes that Java writes.
//
// A Java sink decodes every value and then looks at the group id alone; it dies of a value
// that it cannot decode, and of a field that it does not know. So messages of Firn's own
// travel in a header of the record, where Java does not look, beside an Envelope: a
// START_COMMIT event as Java writes it, under a group id that no Java sink has.
//
// Source: iceberg-kafka-connect 1.11.0, whose bytes are in testdata. What the events
// mean, and which offsets count, is the business of package commit.
package javaevent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An Event is one value of the control topic.
type Event struct {
	ID      [16]byte
	Time    time.Time // to the microsecond
	Group   string    // id of the sink's group
	Payload Payload
}

// A Payload is a StartCommit, DataWritten, DataComplete, CommitToTable or CommitComplete.
type Payload interface{ kind() int64 }

// Numbers of the event types.
const (
	kindStartCommit int64 = iota
	kindDataWritten
	kindDataComplete
	kindCommitToTable
	kindCommitComplete
)

// StartCommit asks the workers to flush.
type StartCommit struct{ Commit [16]byte }

// DataWritten names files of one table. A nil list is Avro's null.
type DataWritten struct {
	Commit    [16]byte
	Table     Table
	Partition []PartitionField // types of the files' partition values, for Encode; Decode leaves it nil: the table's spec tells
	Data      []File
	Deletes   []File
}

// DataComplete ends a worker's answer.
type DataComplete struct {
	Commit      [16]byte
	Assignments []Assignment
}

// CommitToTable says that a table has a new snapshot.
type CommitToTable struct {
	Commit       [16]byte
	Table        Table
	Snapshot     *int64
	ValidThrough time.Time // zero for none
}

// CommitComplete says that all tables of a commit have their rows.
type CommitComplete struct {
	Commit       [16]byte
	ValidThrough time.Time // zero for none
}

func (StartCommit) kind() int64    { return kindStartCommit }
func (DataWritten) kind() int64    { return kindDataWritten }
func (DataComplete) kind() int64   { return kindDataComplete }
func (CommitToTable) kind() int64  { return kindCommitToTable }
func (CommitComplete) kind() int64 { return kindCommitComplete }

// A Table is a reference to a table.
type Table struct {
	Catalog   string
	Namespace []string
	Name      string
	UUID      *[16]byte // nil: written before 1.11
}

// An Assignment is a source partition of a worker with what it read in the cycle.
type Assignment struct {
	Topic     string
	Partition int32
	Offset    *int64    // the next to read; nil: no records in this cycle
	Time      time.Time // of the last record; zero for none
}

// A File is a data or delete file. Absent optional lists and maps are nil.
type File struct {
	Content       int // 0 data, 1 position deletes, 2 equality deletes
	Path          string
	Format        string // in capitals
	SpecID        int
	Partition     map[int]any // by field id: nil, bool, int32, int64, float32, float64, string, Binary, or []byte (uuid, fixed, decimal)
	Records       int64
	Bytes         int64
	ColumnSizes   map[int]int64
	ValueCounts   map[int]int64
	NullCounts    map[int]int64
	NaNCounts     map[int]int64
	Lower, Upper  map[int][]byte
	KeyMetadata   []byte
	SplitOffsets  []int64
	EqualityIDs   []int
	SortOrderID   *int
	FirstRowID    *int64
	Referenced    *string
	ContentOffset *int64
	ContentSize   *int64
}

const (
	magic = "\xc2\x01"

	timestamp         = `{"type":"long","logicalType":"timestamp-micros","adjust-to-utc":true}`
	optionalTimestamp = `"type":["null",` + timestamp + `],"default":null`

	schemaHead = `{"type":"record","name":"Event","namespace":"org.apache.iceberg.connect.events","fields":[` +
		`{"name":"id","type":{"type":"fixed","name":"uuid_fixed","namespace":"","size":16,"logicalType":"uuid"},"field-id":10500},` +
		`{"name":"type","type":"int","field-id":10501},` +
		`{"name":"timestamp","type":` + timestamp + `,"field-id":10502},` +
		`{"name":"group_id","type":"string","field-id":10503},` +
		`{"name":"payload","type":{"type":"record","name":`
	schemaTail = `]},"field-id":10504}]}`

	startCommitSchema = schemaHead + `"StartCommit","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10200}` + schemaTail

	dataCompleteSchema = schemaHead + `"DataComplete","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10100},` +
		`{"name":"assignments","type":["null",{"type":"array","items":{"type":"record","name":"TopicPartitionOffset","fields":[` +
		`{"name":"topic","type":"string","field-id":10700},` +
		`{"name":"partition","type":"int","field-id":10701},` +
		`{"name":"offset","type":["null","long"],"default":null,"field-id":10702},` +
		`{"name":"timestamp",` + optionalTimestamp + `,"field-id":10703}]},"element-id":10102}],"default":null,"field-id":10101}` + schemaTail

	tableSchema = `{"type":"record","name":"TableReference","fields":[` +
		`{"name":"catalog","type":"string","field-id":10600},` +
		`{"name":"namespace","type":{"type":"array","items":"string","element-id":10602},"field-id":10601},` +
		`{"name":"name","type":"string","field-id":10603},` +
		`{"name":"table_uuid","type":["null","uuid_fixed"],"default":null,"field-id":10604}]}`

	commitToTableSchema = schemaHead + `"CommitToTable","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10400},` +
		`{"name":"table_reference","type":` + tableSchema + `,"field-id":10401},` +
		`{"name":"snapshot_id","type":["null","long"],"default":null,"field-id":10402},` +
		`{"name":"valid_through_ts",` + optionalTimestamp + `,"field-id":10403}` + schemaTail

	commitCompleteSchema = schemaHead + `"CommitComplete","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10000},` +
		`{"name":"valid_through_ts",` + optionalTimestamp + `,"field-id":10001}` + schemaTail

	// groupPrefix makes a group id that Java ignores.
	groupPrefix = "firn:"
)

// ErrNoEvent says that a value is not of the form of control events at all.
var ErrNoEvent = errors.New("not a control event")

// Encode makes the value of an event. It fails only for a DataWritten whose partition
// type has no Avro form, or whose schema is longer than the format allows (64 KiB).
func Encode(e *Event) ([]byte, error) {
	switch p := e.Payload.(type) {
	case StartCommit:
		w := e.head(startCommitSchema)
		w.id(p.Commit)
		return w.b, nil
	case DataComplete:
		w := e.head(dataCompleteSchema)
		w.id(p.Commit)
		optionalList(w, p.Assignments, (*writer).assignment)
		return w.b, nil
	case CommitToTable:
		w := e.head(commitToTableSchema)
		w.id(p.Commit)
		w.table(p.Table)
		optional(w, p.Snapshot, (*writer).long)
		w.optionalTime(p.ValidThrough)
		return w.b, nil
	case CommitComplete:
		w := e.head(commitCompleteSchema)
		w.id(p.Commit)
		w.optionalTime(p.ValidThrough)
		return w.b, nil
	case DataWritten:
		return e.dataWritten(&p)
	}
	return nil, fmt.Errorf("encode control event: no form for %T", e.Payload)
}

func (e *Event) head(schema string) *writer {
	w := &writer{b: make([]byte, 0, len(schema)+256)}
	w.b = append(w.b, magic...)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(schema)))
	w.b = append(w.b, schema...)
	w.id(e.ID)
	w.long(e.Payload.kind())
	w.long(e.Time.UnixMicro())
	w.text(e.Group)
	return w
}

// Header is the key of the record header with a message of Firn's own.
const Header = "firn"

// Envelope makes the value beside such a message for the workers of a group.
func Envelope(id [16]byte, at time.Time, group string) []byte {
	e := Event{ID: id, Time: at, Group: groupPrefix + group, Payload: StartCommit{}}
	w := e.head(startCommitSchema)
	w.id([16]byte{})
	return w.b
}

// IsEnvelope tells whether a value is an Envelope for group.
func IsEnvelope(value []byte, group string) bool {
	schema, body, err := split(value)
	if err != nil || string(schema) != startCommitSchema {
		return false
	}
	r := reader{b: body}
	r.take(16)
	kind := r.long()
	r.long()
	own, ok := strings.CutPrefix(string(r.bytes()), groupPrefix)
	r.take(16)
	return r.err == nil && len(r.b) == 0 && ok && own == group && kind == kindStartCommit
}

// split takes a value apart into schema and body.
func split(value []byte) (schema, body []byte, err error) {
	rest, ok := bytes.CutPrefix(value, []byte(magic))
	if !ok || len(rest) < 2 {
		return nil, nil, ErrNoEvent
	}
	n := 2 + int(binary.BigEndian.Uint16(rest))
	if len(rest) < n {
		return nil, nil, errShort
	}
	return rest[2:n], rest[n:], nil
}
