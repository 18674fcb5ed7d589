package javaevent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A Decoder reads events. It remembers the schemas it has parsed, for every event brings
// its own and nearly all are alike. The zero Decoder is ready; one goroutine uses it.
type Decoder struct{ schemas map[string]*node }

const maxSchemas = 64 // remembered; a table has one per partition spec

// Decode reads the value of a record of the control topic. It takes envelopes for the
// StartCommit events that they look like.
func (d *Decoder) Decode(value []byte) (*Event, error) {
	schema, body, err := split(value)
	if err != nil {
		return nil, fmt.Errorf("decode control event: %w", err)
	}
	root, ok := d.schemas[string(schema)]
	if !ok {
		if root, err = parseSchema(schema); err != nil {
			return nil, fmt.Errorf("decode control event: %w", err)
		}
		if d.schemas == nil || len(d.schemas) >= maxSchemas {
			d.schemas = make(map[string]*node)
		}
		d.schemas[string(schema)] = root
	}
	// Values that take no bytes (null, records without fields) must not multiply: an
	// event has few of them, and hostile arrays could claim any number.
	v := values{r: reader{b: body}, left: 4*len(body) + 1024}
	e, err := newEvent(v.value(root, 0))
	if v.r.err != nil {
		err = v.r.err
	}
	if err != nil {
		return nil, fmt.Errorf("decode control event: %w", err)
	}
	return e, nil
}

// Values of a record by field id.
type record map[int]any

// Binary is the value of Avro's bytes; those of fixed types are a []byte.
type Binary []byte

// values reads a body. Numbers become int32, int64, float32, float64; text string;
// arrays []any; records record; null nil.
type values struct {
	r    reader
	left int // values that may still come
}

func (v *values) value(n *node, depth int) any {
	if v.left--; v.left < 0 || depth > maxDepth {
		v.r.fail(errors.New("damaged: more values than its bytes can hold"))
	}
	if v.r.err != nil {
		return nil
	}
	switch n.kind {
	case "null":
		return nil
	case "boolean":
		b := v.r.take(1)
		return len(b) == 1 && b[0] != 0
	case "int", "enum":
		return v.r.int()
	case "long":
		return v.r.long()
	case "float":
		if b := v.r.take(4); b != nil {
			return math.Float32frombits(binary.LittleEndian.Uint32(b))
		}
	case "double":
		if b := v.r.take(8); b != nil {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	case "bytes":
		return Binary(v.r.bytes())
	case "string":
		return string(v.r.bytes())
	case "fixed":
		return v.r.take(n.size)
	case "union":
		return v.branch(n, depth)
	case "array":
		return v.array(n, depth)
	case "map": // no event has one; a later release may add one to be passed over
		v.pairs(n, depth)
	case "record":
		rec := make(record, len(n.fields))
		for _, f := range n.fields {
			rec[f.id] = v.value(f.node, depth+1)
		}
		return rec
	}
	return nil
}

func (v *values) branch(n *node, depth int) any {
	i := v.r.long()
	if i < 0 || i >= int64(len(n.union)) {
		v.r.fail(errShort)
		return nil
	}
	return v.value(n.union[i], depth+1)
}

func (v *values) array(n *node, depth int) any {
	out := []any{}
	v.blocks(func() { out = append(out, v.value(n.items, depth+1)) })
	return out
}

func (v *values) pairs(n *node, depth int) {
	v.blocks(func() {
		v.r.bytes()
		v.value(n.items, depth+1)
	})
}

// blocks calls item for every item of an array or map.
func (v *values) blocks(item func()) {
	for v.r.err == nil {
		count := v.r.long()
		if count < 0 { // the size of the block in bytes follows
			count = -count
			v.r.long()
		}
		if count == 0 {
			return
		}
		if count < 0 || count > int64(v.left) {
			v.r.fail(errShort)
		}
		for ; count > 0 && v.r.err == nil; count-- {
			item()
		}
	}
}

// newEvent makes the event of an envelope's values.
func newEvent(v any) (*Event, error) {
	m := mapper{}
	envelope := m.record(v, "envelope")
	payload := m.record(envelope[10504], "payload")
	e := &Event{ID: m.uuid(envelope, 10500), Time: m.time(envelope, 10502), Group: m.text(envelope, 10503)}
	if e.Time.IsZero() {
		m.fail("timestamp")
	}
	switch kind := m.int(envelope, 10501); int64(kind) {
	case kindStartCommit:
		e.Payload = StartCommit{m.uuid(payload, 10200)}
	case kindDataWritten:
		e.Payload = DataWritten{
			Commit: m.uuid(payload, 10300), Table: m.table(payload[10301]),
			Data: m.files(payload[10302]), Deletes: m.files(payload[10304]),
		}
	case kindDataComplete:
		p := DataComplete{Commit: m.uuid(payload, 10100)}
		p.Assignments = items(&m, payload[10101], m.assignment)
		e.Payload = p
	case kindCommitToTable:
		e.Payload = CommitToTable{m.uuid(payload, 10400), m.table(payload[10401]), pointer[int64](&m, payload, 10402), m.time(payload, 10403)}
	case kindCommitComplete:
		e.Payload = CommitComplete{m.uuid(payload, 10000), m.time(payload, 10001)}
	default:
		return nil, fmt.Errorf("event type %d is unknown", kind)
	}
	return e, m.err
}

// A mapper turns values into events; the first thing amiss stays in err.
type mapper struct{ err error }

func (m *mapper) fail(what string) {
	if m.err == nil {
		m.err = fmt.Errorf("%s is missing or of another type", what)
	}
}

func (m *mapper) record(v any, what string) record {
	rec, ok := v.(record)
	if !ok {
		m.fail(what)
	}
	return rec
}

// required returns the value of a field that must be there.
func required[T any](m *mapper, rec record, id int) T {
	v, ok := rec[id].(T)
	if !ok {
		m.fail(fmt.Sprintf("field %d", id))
	}
	return v
}

// pointer returns the value of a field, nil if it is null or not there.
func pointer[T any](m *mapper, rec record, id int) *T {
	if rec[id] == nil {
		return nil
	}
	v := required[T](m, rec, id)
	return &v
}

func (m *mapper) int(rec record, id int) int     { return int(required[int32](m, rec, id)) }
func (m *mapper) long(rec record, id int) int64  { return required[int64](m, rec, id) }
func (m *mapper) text(rec record, id int) string { return required[string](m, rec, id) }

func (m *mapper) optionalInt(rec record, id int) *int {
	if rec[id] == nil {
		return nil
	}
	v := m.int(rec, id)
	return &v
}

func (m *mapper) uuid(rec record, id int) (out [16]byte) {
	if copy(out[:], required[[]byte](m, rec, id)) != len(out) {
		m.fail(fmt.Sprintf("field %d", id))
	}
	return out
}

func (m *mapper) time(rec record, id int) time.Time {
	if v := pointer[int64](m, rec, id); v != nil {
		return time.UnixMicro(*v).UTC()
	}
	return time.Time{}
}

// items maps an optional array; nil stays nil.
func items[T any](m *mapper, v any, each func(any) T) []T {
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		m.fail("a list")
		return nil
	}
	out := make([]T, len(list))
	for i, item := range list {
		out[i] = each(item)
	}
	return out
}

func (m *mapper) table(v any) Table {
	rec := m.record(v, "table_reference")
	t := Table{Catalog: m.text(rec, 10600), Name: m.text(rec, 10603)}
	t.Namespace = items(m, rec[10601], one[string](m))
	if rec[10604] != nil {
		id := m.uuid(rec, 10604)
		t.UUID = &id
	}
	return t
}

// one maps an element of a list.
func one[T any](m *mapper) func(any) T {
	return func(v any) T { return required[T](m, record{0: v}, 0) }
}

func (m *mapper) assignment(v any) Assignment {
	rec := m.record(v, "assignment")
	return Assignment{m.text(rec, 10700), required[int32](m, rec, 10701), pointer[int64](m, rec, 10702), m.time(rec, 10703)}
}

func (m *mapper) files(v any) []File { return items(m, v, m.file) }

func (m *mapper) file(v any) File {
	rec := m.record(v, "file")
	f := File{
		Path: m.text(rec, 100), Format: m.text(rec, 101), Partition: m.record(rec[102], "partition"),
		Records: m.long(rec, 103), Bytes: m.long(rec, 104),
		ColumnSizes: mapByID[int64](m, rec[108], 117, 118), ValueCounts: mapByID[int64](m, rec[109], 119, 120),
		NullCounts: mapByID[int64](m, rec[110], 121, 122), NaNCounts: mapByID[int64](m, rec[137], 138, 139),
		Lower: plain(mapByID[Binary](m, rec[125], 126, 127)), Upper: plain(mapByID[Binary](m, rec[128], 129, 130)),
		SplitOffsets: items(m, rec[132], one[int64](m)), SortOrderID: m.optionalInt(rec, 140), FirstRowID: pointer[int64](m, rec, 142),
		Referenced: pointer[string](m, rec, 143), ContentOffset: pointer[int64](m, rec, 144), ContentSize: pointer[int64](m, rec, 145),
	}
	f.EqualityIDs = items(m, rec[135], func(v any) int { return int(one[int32](m)(v)) })
	if n := m.optionalInt(rec, 134); n != nil {
		f.Content = *n
	}
	if n := m.optionalInt(rec, 141); n != nil {
		f.SpecID = *n
	}
	if key := pointer[Binary](m, rec, 131); key != nil {
		f.KeyMetadata = *key
	}
	if f.Records < 0 || f.Bytes < 0 || f.Content < 0 || f.Content > 2 || f.Path == "" {
		m.fail("a file's size, kind or path")
	}
	return f
}

// mapByID maps an optional array of pairs.
func mapByID[V any](m *mapper, v any, key, value int) map[int]V {
	if v == nil {
		return nil
	}
	out := make(map[int]V)
	items(m, v, func(pair any) int {
		rec := m.record(pair, "pair")
		out[m.int(rec, key)] = required[V](m, rec, value)
		return 0
	})
	return out
}

func plain(in map[int]Binary) map[int][]byte {
	if in == nil {
		return nil
	}
	out := make(map[int][]byte, len(in))
	for id, v := range in {
		out[id] = v
	}
	return out
}
