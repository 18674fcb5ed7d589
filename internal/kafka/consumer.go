package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/firn-io/firn/connect"
)

// A Subscription is the metadata of a member of a consumer group
// (ConsumerProtocolSubscription).
type Subscription struct {
	Topics     []string
	UserData   []byte                   // nil for none
	Owned      []connect.TopicPartition // version 1
	Generation int32                    // version 2; -1 for none
	Rack       string                   // version 3; "" for none
}

// An Assignment is what the leader of a consumer group gives a member
// (ConsumerProtocolAssignment).
type Assignment struct {
	Partitions []connect.TopicPartition
	UserData   []byte // nil for none
}

// consumerVersion is the newest version of the consumer protocol (Kafka 3.5). Readers
// of older ones read as much as they know.
const consumerVersion = 3

// EncodeSubscription encodes as Java's ConsumerProtocol does, in version 3: topics and
// owned partitions are sorted.
func EncodeSubscription(s Subscription) []byte {
	b := binary.BigEndian.AppendUint16(nil, consumerVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Topics)))
	for _, t := range slices.Sorted(slices.Values(s.Topics)) {
		b = appendString(b, t)
	}
	b = appendBytes(b, s.UserData)
	b = appendPartitions(b, s.Owned)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Generation))
	if s.Rack == "" {
		return append(b, 0xff, 0xff)
	}
	return appendString(b, s.Rack)
}

// DecodeSubscription decodes a subscription of version 0 or newer.
func DecodeSubscription(data []byte) (Subscription, error) {
	r := &reader{rest: data}
	out := Subscription{Generation: -1}
	version := r.int16()
	if version < 0 {
		return Subscription{}, fmt.Errorf("consumer subscription: version %d", version)
	}
	for range r.count(2) {
		out.Topics = append(out.Topics, r.string())
	}
	out.UserData = r.bytes()
	if version >= 1 {
		out.Owned = r.partitions()
	}
	if version >= 2 {
		out.Generation = r.int32()
	}
	if version >= 3 {
		out.Rack = r.string()
	}
	if r.err != nil {
		return Subscription{}, fmt.Errorf("consumer subscription: %w", r.err)
	}
	return out, nil
}

// EncodeAssignment encodes as Java's ConsumerProtocol does, in version 3, sorted.
func EncodeAssignment(a Assignment) []byte {
	b := binary.BigEndian.AppendUint16(nil, consumerVersion)
	b = appendPartitions(b, a.Partitions)
	return appendBytes(b, a.UserData)
}

// DecodeAssignment decodes an assignment of version 0 or newer; empty data is none.
func DecodeAssignment(data []byte) (Assignment, error) {
	if len(data) == 0 {
		return Assignment{}, nil
	}
	r := &reader{rest: data}
	if version := r.int16(); version < 0 {
		return Assignment{}, fmt.Errorf("consumer assignment: version %d", version)
	}
	out := Assignment{Partitions: r.partitions(), UserData: r.bytes()}
	if r.err != nil {
		return Assignment{}, fmt.Errorf("consumer assignment: %w", r.err)
	}
	return out, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendBytes(b, data []byte) []byte {
	if data == nil {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

// appendPartitions writes an array of topics with their partitions, sorted.
func appendPartitions(b []byte, tps []connect.TopicPartition) []byte {
	tps = slices.SortedFunc(slices.Values(tps), connect.TopicPartition.Compare)
	topics := 0
	for i, tp := range tps {
		if i == 0 || tp.Topic != tps[i-1].Topic {
			topics++
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(topics))
	for len(tps) > 0 {
		n := 1
		for n < len(tps) && tps[n].Topic == tps[0].Topic {
			n++
		}
		b = appendString(b, tps[0].Topic)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		for _, tp := range tps[:n] {
			b = binary.BigEndian.AppendUint32(b, uint32(tp.Partition))
		}
		tps = tps[n:]
	}
	return b
}

var (
	errShort  = errors.New("data ends early")
	errLength = errors.New("impossible length")
)

// A reader takes values off the front of untrusted bytes. After its first error it
// yields zero values.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.rest)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
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

// string reads a nullable string; null is "".
func (r *reader) string() string {
	n := r.int16()
	if n < -1 && r.err == nil {
		r.err = errLength
	}
	return string(r.take(max(int(n), 0)))
}

// bytes reads nullable bytes.
func (r *reader) bytes() []byte {
	n := r.int32()
	if n < -1 && r.err == nil {
		r.err = errLength
	}
	if n < 0 {
		return nil
	}
	return r.take(int(n))
}

// count reads the length of an array whose elements have at least size bytes.
func (r *reader) count(size int) int {
	n := int(r.int32())
	if n > len(r.rest)/size && r.err == nil {
		r.err = errLength
	}
	if r.err != nil || n < 0 {
		return 0
	}
	return n
}

func (r *reader) partitions() []connect.TopicPartition {
	var out []connect.TopicPartition
	for range r.count(6) {
		topic := r.string()
		for range r.count(4) {
			out = append(out, connect.TopicPartition{Topic: topic, Partition: r.int32()})
		}
	}
	return out
}
