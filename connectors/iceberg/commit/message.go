package commit

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/firn-io/firn/connect"
)

// Kinds of message. The first byte of a message is its version, the second its kind. A
// message is written in the oldest version that can hold it, so that workers of the
// release before go on understanding what they could say themselves.
const (
	messageVersion = 1
	keyedVersion   = 2 // units with links of keyed tables
	timedVersion   = 3 // units with timestamps, topic ids and bytes; cycles with partitions that are stuck

	kindCycle = 1
	kindUnit  = 2
	kindHello = 3
)

// Bounds of what is believed from the control topic.
const (
	maxMessageBytes = 64 << 20 // of one message after decompression
	gzipAbove       = 4 << 10  // bytes; manifests shrink to a fifth
)

// Hello asks the coordinator to publish its cycle at once: a task has just started.
type Hello struct{}

// encodeMessage makes the bytes of a *Cycle, *Unit or Hello.
func encodeMessage(m any) []byte {
	var w writer
	switch m := m.(type) {
	case *Cycle:
		version := byte(messageVersion)
		if len(m.Stuck) > 0 {
			version = timedVersion
		}
		w.b = append(w.b, version, kindCycle)
		w.cycle(m, version)
	case *Unit:
		version := unitVersion(m)
		w.b = append(w.b, version, kindUnit)
		w.unit(m, version)
	case Hello:
		w.b = append(w.b, messageVersion, kindHello)
	default:
		panic(fmt.Sprintf("commit: no encoding for %T", m))
	}
	if len(w.b) < gzipAbove {
		return w.b
	}
	var z bytes.Buffer
	z.Write([]byte{w.b[0], 0}) // kind 0: a gzipped message follows
	gz := gzip.NewWriter(&z)
	gz.Write(w.b) //nolint:errcheck // a bytes.Buffer takes everything
	gz.Close()    //nolint:errcheck // as above
	return z.Bytes()
}

// decodeMessage returns a *Cycle, *Unit or Hello. The result shares memory with b.
func decodeMessage(b []byte) (any, error) {
	if len(b) < 2 {
		return nil, errShort
	}
	version := b[0]
	if version < messageVersion || version > timedVersion {
		return nil, fmt.Errorf("message version %d, this worker knows %d to %d (upgrade it)", version, messageVersion, timedVersion)
	}
	if b[1] == 0 {
		plain, err := gunzip(b[2:])
		if err != nil {
			return nil, err
		}
		if len(plain) < 2 || plain[0] != version || plain[1] == 0 {
			return nil, errShort
		}
		b = plain
	}
	r := reader{b: b[2:]}
	var m any
	switch b[1] {
	case kindCycle:
		m = r.cycle(version)
	case kindUnit:
		m = r.unit(version)
	case kindHello:
		m = Hello{}
	default:
		return nil, fmt.Errorf("message kind %d is unknown", b[1])
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return m, nil
}

func gunzip(b []byte) ([]byte, error) {
	gz, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("gunzip message: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(gz, maxMessageBytes+1))
	if err != nil {
		return nil, fmt.Errorf("gunzip message: %w", err)
	}
	if len(plain) > maxMessageBytes {
		return nil, errors.New("message is larger than 64 MiB")
	}
	return plain, nil
}

func (w *writer) unitID(id UnitID) { w.id(id.Task); w.uvarint(id.Counter) }

func (r *reader) unitID() UnitID { return UnitID{Task: r.id(), Counter: r.uvarint()} }

// topics writes the distinct topic names in order of appearance and returns the index of each.
func (w *writer) topics(names []string) map[string]int {
	index := make(map[string]int)
	var list []string
	for _, n := range names {
		if _, ok := index[n]; !ok {
			index[n] = len(list)
			list = append(list, n)
		}
	}
	w.uvarint(uint64(len(list)))
	for _, n := range list {
		w.text(n)
	}
	return index
}

func (r *reader) topics() []string {
	list := make([]string, 0, r.count(1))
	for range cap(list) {
		list = append(list, r.text())
	}
	return list
}

func (r *reader) partition(topics []string) connect.TopicPartition {
	i, p := r.uvarint(), r.uvarint()
	if i >= uint64(len(topics)) || p > 1<<31-1 {
		r.fail()
		return connect.TopicPartition{}
	}
	return connect.TopicPartition{Topic: topics[i], Partition: int32(p)}
}

func (w *writer) cycle(c *Cycle, version byte) {
	w.id(c.Coordinator)
	w.uvarint(c.Sequence)
	w.varint(int64(c.Epoch))
	w.u64(c.ConfigHash)
	w.id(c.Commit)
	names := make([]string, len(c.Levels))
	for i, l := range c.Levels {
		names[i] = l.Topic
	}
	index := w.topics(names)
	w.uvarint(uint64(len(c.Levels)))
	for _, l := range c.Levels {
		w.uvarint(uint64(index[l.Topic]))
		w.uvarint(uint64(l.Partition))
		w.id(l.TopicID)
		w.varint(l.End)
		w.varint(l.End - l.Done)
	}
	w.uvarint(uint64(len(c.Void)))
	for _, id := range c.Void {
		w.unitID(id)
	}
	if version >= timedVersion {
		w.stuck(c)
	}
}

func (r *reader) cycle(version byte) *Cycle {
	c := &Cycle{Coordinator: r.id(), Sequence: r.uvarint(), Epoch: int32(r.varint()), ConfigHash: r.u64(), Commit: r.id()}
	topics := r.topics()
	c.Levels = make([]Level, 0, r.count(20))
	for range cap(c.Levels) {
		l := Level{TopicPartition: r.partition(topics), TopicID: r.id(), End: r.varint()}
		l.Done = l.End - r.varint()
		c.Levels = append(c.Levels, l)
	}
	c.Void = make([]UnitID, 0, r.count(17))
	for range cap(c.Void) {
		c.Void = append(c.Void, r.unitID())
	}
	if version >= timedVersion {
		r.stuck(c)
	}
	return c
}

// stuck writes what version 3 adds to a cycle: the tables, then for each partition its
// place among the levels and its floors.
func (w *writer) stuck(c *Cycle) {
	var targets []Target
	index := make(map[Target]int)
	for _, s := range c.Stuck {
		for t := range s.Floors {
			if _, ok := index[t]; !ok {
				index[t] = len(targets)
				targets = append(targets, t)
			}
		}
	}
	slices.SortFunc(targets, func(a, b Target) int { return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Branch, b.Branch)) })
	w.uvarint(uint64(len(targets)))
	for i, t := range targets {
		index[t] = i
		w.text(t.Table)
		w.text(t.Branch)
	}
	level := make(map[connect.TopicPartition]int, len(c.Levels))
	for i, l := range c.Levels {
		level[l.TopicPartition] = i
	}
	w.uvarint(uint64(len(c.Stuck)))
	for _, s := range c.Stuck {
		w.uvarint(uint64(level[s.TopicPartition]))
		w.uvarint(uint64(len(s.Floors)))
		for i, t := range targets {
			if f, ok := s.Floors[t]; ok {
				w.uvarint(uint64(i))
				w.varint(f)
			}
		}
	}
}

func (r *reader) stuck(c *Cycle) {
	targets := make([]Target, 0, r.count(2))
	for range cap(targets) {
		targets = append(targets, Target{Table: r.text(), Branch: r.text()})
	}
	c.Stuck = make([]Stuck, 0, r.count(2))
	for range cap(c.Stuck) {
		at := r.uvarint()
		n := r.count(2)
		if at >= uint64(len(c.Levels)) {
			r.fail()
			return
		}
		s := Stuck{TopicPartition: c.Levels[at].TopicPartition, Floors: make(map[Target]int64, n)}
		for range n {
			i := r.uvarint()
			if i >= uint64(len(targets)) {
				r.fail()
				return
			}
			s.Floors[targets[i]] = r.varint()
		}
		c.Stuck = append(c.Stuck, s)
	}
}

func unitVersion(u *Unit) byte {
	if slices.ContainsFunc(u.Ranges, func(r Range) bool { return r.Newest != None || r.TopicID != TopicID{} }) ||
		slices.ContainsFunc(u.Links, func(l Link) bool { return l.Bytes != 0 }) {
		return timedVersion
	}
	if slices.ContainsFunc(u.Links, func(l Link) bool { return l.Keyed }) {
		return keyedVersion
	}
	return messageVersion
}

func (w *writer) unit(u *Unit, version byte) {
	w.unitID(u.ID)
	w.u64(u.ConfigHash)
	w.id(u.Cycle)
	names := make([]string, len(u.Ranges))
	for i, p := range u.Ranges {
		names[i] = p.Topic
	}
	index := w.topics(names)
	w.uvarint(uint64(len(u.Ranges)))
	for _, p := range u.Ranges {
		w.uvarint(uint64(index[p.Topic]))
		w.uvarint(uint64(p.Partition))
		w.varint(p.First)
		w.varint(p.Next - p.First)
		if version >= timedVersion {
			w.id(p.TopicID)
			w.varint(p.Newest)
		}
	}
	w.uvarint(uint64(len(u.Links)))
	for _, l := range u.Links {
		w.link(l)
		if version >= keyedVersion {
			w.keyed(l)
		}
		if version >= timedVersion {
			w.uvarint(uint64(l.Bytes))
		}
	}
}

func (r *reader) unit(version byte) *Unit {
	u := &Unit{ID: r.unitID(), ConfigHash: r.u64(), Cycle: r.id()}
	topics := r.topics()
	u.Ranges = make([]Range, 0, r.count(4))
	for range cap(u.Ranges) {
		p := Range{TopicPartition: r.partition(topics), First: r.varint(), Newest: None}
		p.Next = p.First + r.varint()
		if version >= timedVersion {
			p.TopicID, p.Newest = r.id(), r.varint()
		}
		if p.Next < p.First {
			r.fail()
		}
		u.Ranges = append(u.Ranges, p)
	}
	u.Links = make([]Link, 0, r.count(20))
	for range cap(u.Links) {
		l := r.link(len(u.Ranges))
		if version >= keyedVersion {
			r.keyed(&l)
		}
		if version >= timedVersion {
			l.Bytes = int64(r.uvarint())
		}
		u.Links = append(u.Links, l)
	}
	return u
}

func (w *writer) link(l Link) {
	w.text(l.Table)
	w.text(l.Branch)
	w.id(l.UUID)
	w.uvarint(uint64(l.Version))
	w.uvarint(uint64(l.SpecID))
	keys := make([]int, 0, len(l.Floors))
	for i := range l.Floors {
		keys = append(keys, i)
	}
	slices.Sort(keys)
	w.uvarint(uint64(len(keys)))
	for _, i := range keys {
		w.uvarint(uint64(i))
		w.varint(l.Floors[i])
	}
	w.uvarint(uint64(l.Records))
	w.bytes(l.Files)
}

func (r *reader) link(ranges int) Link {
	l := Link{Target: Target{Table: r.text(), Branch: r.text()}, UUID: r.id(), Version: int(r.uvarint()), SpecID: int(r.uvarint())}
	n := r.count(2)
	l.Floors = make(map[int]int64, n)
	for range n {
		i := r.uvarint()
		if i >= uint64(ranges) {
			r.fail()
			return l
		}
		l.Floors[int(i)] = r.varint()
	}
	l.Records = int64(r.uvarint())
	l.Files = r.bytes()
	return l
}

// keyed writes what version 2 adds to a link.
func (w *writer) keyed(l Link) {
	if !l.Keyed {
		w.uvarint(0)
		return
	}
	w.uvarint(1)
	w.uvarint(uint64(l.DeleteSpecID))
	w.bytes(l.Deletes)
}

func (r *reader) keyed(l *Link) {
	switch r.uvarint() {
	case 0:
	case 1:
		l.Keyed, l.DeleteSpecID, l.Deletes = true, int(r.uvarint()), r.bytes()
	default:
		r.fail()
	}
}
