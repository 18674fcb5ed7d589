package commit

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

// The control topic carries Java's events: C2 01, the length of an Avro schema as two
// bytes, the schema, the Avro body. A Java sink decodes every message and then looks at
// group_id alone, so Firn's own messages are valid events of type START_COMMIT with one
// more field, which Java's reader (it maps by field id) skips, and with a group id that
// no Java sink has. CommitToTable and CommitComplete carry the real group id: other
// programs start pipelines on them. (Source: iceberg-kafka-connect 1.11, bytes recorded
// in testdata.)
const (
	eventHead = "\xc2\x01"

	typeStartCommit    = 0
	typeCommitToTable  = 3
	typeCommitComplete = 4

	schemaHead = `{"type":"record","name":"Event","namespace":"org.apache.iceberg.connect.events","fields":[` +
		`{"name":"id","type":{"type":"fixed","name":"uuid_fixed","namespace":"","size":16,"logicalType":"uuid"},"field-id":10500},` +
		`{"name":"type","type":"int","field-id":10501},` +
		`{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-micros","adjust-to-utc":true},"field-id":10502},` +
		`{"name":"group_id","type":"string","field-id":10503},` +
		`{"name":"payload","type":{"type":"record","name":`
	schemaTail = `]},"field-id":10504}]}`

	optionalTimestamp = `"type":["null",{"type":"long","logicalType":"timestamp-micros","adjust-to-utc":true}],"default":null`

	firnSchema = schemaHead + `"StartCommit","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10200},` +
		`{"name":"firn","type":"bytes","field-id":19000}` + schemaTail

	commitToTableSchema = schemaHead + `"CommitToTable","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10400},` +
		`{"name":"table_reference","type":{"type":"record","name":"TableReference","fields":[` +
		`{"name":"catalog","type":"string","field-id":10600},` +
		`{"name":"namespace","type":{"type":"array","items":"string","element-id":10602},"field-id":10601},` +
		`{"name":"name","type":"string","field-id":10603},` +
		`{"name":"table_uuid","type":["null","uuid_fixed"],"default":null,"field-id":10604}]},"field-id":10401},` +
		`{"name":"snapshot_id","type":["null","long"],"default":null,"field-id":10402},` +
		`{"name":"valid_through_ts",` + optionalTimestamp + `,"field-id":10403}` + schemaTail

	commitCompleteSchema = schemaHead + `"CommitComplete","fields":[{"name":"commit_id","type":"uuid_fixed","field-id":10000},` +
		`{"name":"valid_through_ts",` + optionalTimestamp + `,"field-id":10001}` + schemaTail

	// groupPrefix makes a group id that Java ignores.
	groupPrefix = "firn:"
)

// An event is the common part of the envelope.
type event struct {
	id    [16]byte
	at    time.Time
	group string
}

func (e event) head(schema string, kind int64) *writer {
	w := &writer{b: make([]byte, 0, len(schema)+256)}
	w.b = append(w.b, eventHead...)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(schema)))
	w.b = append(w.b, schema...)
	w.id(e.id)
	w.varint(kind)
	w.varint(e.at.UnixMicro())
	w.avroText(e.group)
	return w
}

// Avro writes lengths as zigzag varints, unlike our own messages.
func (w *writer) avroText(s string) { w.varint(int64(len(s))); w.b = append(w.b, s...) }

func (w *writer) avroTimestamp(t time.Time) {
	if t.IsZero() {
		w.varint(0)
		return
	}
	w.varint(1)
	w.varint(t.UnixMicro())
}

// wrap makes the event that carries a message of ours.
func (e event) wrap(message []byte) []byte {
	e.group = groupPrefix + e.group
	w := e.head(firnSchema, typeStartCommit)
	w.id([16]byte{})
	w.varint(int64(len(message)))
	return append(w.b, message...)
}

// unwrap returns the message of ours that the event carries for group; false for events
// of Java sinks and of other groups. The message shares memory with value.
func unwrap(value []byte, group string) ([]byte, bool) {
	body, ok := bytes.CutPrefix(value, []byte(eventHead))
	if !ok || len(body) < 2 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+n || string(body[2:2+n]) != firnSchema {
		return nil, false
	}
	r := reader{b: body[2+n:]}
	r.take(16)
	kind := r.varint()
	r.varint()
	name := string(r.take(uint64(r.varint())))
	r.take(16)
	message := r.take(uint64(r.varint()))
	own, ok := strings.CutPrefix(name, groupPrefix)
	return message, r.end() == nil && ok && own == group && kind == typeStartCommit
}

// commitToTable says that a snapshot was committed.
func (e event) commitToTable(commit [16]byte, catalog string, ident []string, uuid [16]byte, snapshot int64, validThrough time.Time) []byte {
	w := e.head(commitToTableSchema, typeCommitToTable)
	w.id(commit)
	w.avroText(catalog)
	if namespace := ident[:len(ident)-1]; len(namespace) > 0 {
		w.varint(int64(len(namespace)))
		for _, level := range namespace {
			w.avroText(level)
		}
	}
	w.varint(0)
	w.avroText(ident[len(ident)-1])
	w.varint(1)
	w.id(uuid)
	w.varint(1)
	w.varint(snapshot)
	w.avroTimestamp(validThrough)
	return w.b
}

// commitComplete says that all tables of a commit have their rows.
func (e event) commitComplete(commit [16]byte, validThrough time.Time) []byte {
	w := e.head(commitCompleteSchema, typeCommitComplete)
	w.id(commit)
	w.avroTimestamp(validThrough)
	return w.b
}
