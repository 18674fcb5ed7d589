package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Source of both formats: org.apache.kafka.connect.runtime.distributed.ConnectProtocol and
// IncrementalCooperativeConnectProtocol. Numbers are big-endian; a string is an int16
// length and UTF-8; an array is an int32 count, -1 for null; nothing is compact or tagged.

// connectorItem stands among a connector's task numbers for the connector itself.
const connectorItem = -1

// version is the format version that goes with a protocol name.
func version(protocol string) int16 {
	switch protocol {
	case Sessioned:
		return 2
	case Compatible:
		return 1
	}
	return 0
}

// Encode writes a in the format of its Version. It fails only for a string longer than
// the format can hold.
func (a *Assignment) Encode() ([]byte, error) { return a.encode(a.Version) }

func (a *Assignment) encode(version int16) ([]byte, error) {
	var w writer
	w.int16(version)
	w.int16(a.Error)
	w.string(a.Leader)
	w.string(a.LeaderURL)
	w.int64(a.ConfigOffset)
	w.work(a.Work)
	if version > 0 {
		w.work(a.Revoked)
		w.int32(a.Delay.Milliseconds())
	}
	return w.b, w.err
}

// DecodeAssignment reads an assignment of any version. Fields missing at the end are
// empty, as for Java's readers. It never allocates more than a small multiple of len(b).
func DecodeAssignment(b []byte) (*Assignment, error) {
	r := reader{b: b}
	a := &Assignment{Version: r.version(), Error: r.int16(), Leader: r.string(), LeaderURL: r.string(), ConfigOffset: r.int64()}
	a.Work = r.work()
	if a.Version > 0 {
		a.Revoked = r.work()
		if len(r.b) > 0 {
			a.Delay = time.Duration(max(0, r.int32())) * time.Millisecond
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode assignment of %d bytes: %w", len(b), r.err)
	}
	return a, nil
}

// Encode writes m in the format of its Version; the allocation takes that version too.
func (m *Metadata) Encode() ([]byte, error) {
	var w writer
	w.int16(m.Version)
	w.string(m.URL)
	w.int64(m.ConfigOffset)
	if m.Version == 0 {
		return w.b, w.err
	}
	if m.Allocation == nil {
		w.int32(-1)
		return w.b, w.err
	}
	allocation, err := m.Allocation.encode(m.Version)
	w.int32(int64(len(allocation)))
	w.b = append(w.b, allocation...)
	return w.b, errors.Join(w.err, err)
}

// DecodeMetadata reads metadata of any version. It never allocates more than a small
// multiple of len(b).
func DecodeMetadata(b []byte) (*Metadata, error) {
	r := reader{b: b}
	m := &Metadata{Version: r.version(), URL: r.string(), ConfigOffset: r.int64()}
	if m.Version > 0 && r.err == nil && len(r.b) > 0 {
		if n := int(r.int32()); n > 0 {
			if allocation := r.take(n); r.err == nil {
				m.Allocation, r.err = DecodeAssignment(allocation)
			}
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode metadata of %d bytes: %w", len(b), r.err)
	}
	return m, nil
}

type writer struct {
	b   []byte
	err error
}

func (w *writer) int16(v int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }

func (w *writer) int32(v int64) {
	if v < math.MinInt32 || v > math.MaxInt32 {
		w.err = fmt.Errorf("%d does not fit the 32 bits of its field", v)
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(v))
}

func (w *writer) string(s string) {
	if len(s) > math.MaxInt16 {
		w.err = fmt.Errorf("%.40q… has %d bytes, the protocol has room for %d", s, len(s), math.MaxInt16)
		return
	}
	w.int16(int16(len(s)))
	w.b = append(w.b, s...)
}

// work writes one entry per connector: its name and its items, the connector itself first.
func (w *writer) work(work Work) {
	items := make(map[string][]int, len(work.Connectors))
	var names []string
	add := func(connector string, item int) {
		if items[connector] == nil {
			names = append(names, connector)
		}
		items[connector] = append(items[connector], item)
	}
	for _, c := range work.Connectors {
		add(c, connectorItem)
	}
	for _, t := range work.Tasks {
		add(t.Connector, t.Task)
	}
	w.int32(int64(len(names)))
	for _, name := range names {
		w.string(name)
		w.int32(int64(len(items[name])))
		for _, item := range items[name] {
			w.int32(int64(item))
		}
	}
}

var errShort = errors.New("it ends too early")

// A reader reads until its first error; what it returns after that means nothing.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) string() string { return string(r.take(int(r.int16()))) }

// version reads a version. Any that is not negative is taken for the known layout, as
// Java does, so that a later Java worker can still be understood.
func (r *reader) version() int16 {
	v := r.int16()
	if v < 0 && r.err == nil {
		r.err = fmt.Errorf("version %d is negative", v)
	}
	return v
}

// count reads the length of an array, of which every element has at least size bytes.
func (r *reader) count(size int) int {
	n := int(r.int32())
	if r.err == nil && n > len(r.b)/size {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	return max(0, n)
}

// work reads an array of entries, which may be absent. What is named twice counts once.
func (r *reader) work() Work {
	var w Work
	if r.err != nil || len(r.b) == 0 {
		return w
	}
	connectors, tasks := make(map[string]bool), make(map[TaskID]bool)
	for range r.count(6) {
		name := r.string()
		for range r.count(4) {
			item := int(r.int32())
			switch id := (TaskID{name, item}); {
			case item == connectorItem && !connectors[name]:
				connectors[name] = true
				w.Connectors = append(w.Connectors, name)
			case item != connectorItem && !tasks[id]:
				tasks[id] = true
				w.Tasks = append(w.Tasks, id)
			}
		}
	}
	return w
}
