package avro

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/firn-io/firn/connect"
)

// Limits of one record. Every value but an empty one takes a byte of data, so honest
// data stays far below the budget: it is for schemas whose elements take no bytes.
const (
	maxDepth      = 1000
	budgetBase    = 1 << 16 // Values
	budgetPerByte = 64      // Values for each byte of data
	budgetMax     = 1 << 24
)

// An op is how a node's value is read. (Not a type of its own: each of the switches
// over it knows some of them only.)
type op = uint8

const (
	opNull op = iota
	opBoolean
	opInt
	opInt8
	opInt16
	opTime // int, milliseconds of a day
	opLong
	opFloat
	opDouble
	opString
	opBytes
	opFixed
	opEnum
	opRecord
	opArray
	opMap
	opEntries  // array of key and value records, read as a map
	opOptional // union of null and one other
	opUnion
	opSingle // union of one
)

// A node reads the values of one Avro schema. Nodes of recursive schemas form cycles.
type node struct {
	op      op
	nodes   []*node         // fields of a record; key and value of entries; branches of a union, nil for null
	elem    *node           // of an array, a map, an optional, a single
	swapped bool            // the value of an entry stands before its key
	null    int64           // branch of an optional that is null
	fields  []int           // union: position in the struct by branch
	count   int             // union: number of fields of the struct
	symbols []connect.Value // of an enum
	size    int             // of a fixed
	width   int             // least number of bytes of an element, of an array or map
}

// A reader reads one record. Positions are indices into b, -1 means that fail was
// called: that keeps the error out of every return.
type reader struct {
	b      []byte
	arena  *connect.Arena
	depth  int
	budget int
	at     int
	msg    string
}

// decode reads the value of n that b begins with. What follows it is left alone, as
// Java does.
func (r *reader) decode(n *node, b []byte, arena *connect.Arena) (connect.Value, error) {
	r.b, r.arena, r.depth, r.msg = b, arena, 0, ""
	r.budget = min(budgetBase+budgetPerByte*len(b), budgetMax)
	v, p := r.value(n, 0)
	r.b, r.arena = nil, nil
	if p < 0 {
		return connect.Value{}, &connect.DataError{Msg: "read Avro: " + r.msg + " at byte " + strconv.Itoa(r.at) + " of " + strconv.Itoa(len(b))}
	}
	return v, nil
}

func (r *reader) fail(p int, msg string) int {
	r.at, r.msg = p, msg
	return -1
}

// values takes n Values off the budget.
func (r *reader) values(n, p int) ([]connect.Value, int) {
	if r.budget -= n; r.budget < 0 {
		return nil, r.fail(p, "too many values for the size of the record")
	}
	return r.arena.Values(n), p
}

// varint reads a zig-zag number.
func (r *reader) varint(p int) (int64, int) {
	if p < len(r.b) && r.b[p] < 0x80 {
		u := uint64(r.b[p])
		return int64(u>>1) ^ -int64(u&1), p + 1
	}
	return r.long(p)
}

func (r *reader) long(p int) (int64, int) {
	var u uint64
	at := p
	for shift := uint(0); at < len(r.b) && shift < 70; shift += 7 {
		c := r.b[at]
		at++
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break
			}
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	if len(r.b)-p < 10 {
		return 0, r.fail(p, "the data ends inside a number")
	}
	return 0, r.fail(p, "a number of more than 64 bits")
}

// span reads a length and returns that many bytes.
func (r *reader) span(p int) ([]byte, int) {
	n, at := r.varint(p)
	if at < 0 {
		return nil, -1
	}
	if n < 0 || n > int64(len(r.b)-at) {
		return nil, r.fail(p, "a length of "+strconv.FormatInt(n, 10)+" bytes where "+strconv.Itoa(len(r.b)-at)+" are left,")
	}
	return r.b[at : at+int(n)], at + int(n)
}

// value reads the value of n at p.
func (r *reader) value(n *node, p int) (v connect.Value, next int) {
	switch n.op {
	case opOptional:
		branch, at := r.varint(p)
		if at < 0 {
			return v, -1
		}
		if branch == n.null {
			return v, at
		}
		if branch != 1-n.null {
			return v, r.branch(p, branch)
		}
		return r.value(n.elem, at)
	case opLong:
		i, next := r.varint(p)
		return connect.IntValue(i), next
	case opString:
		b, next := r.span(p)
		if next >= 0 && !utf8.Valid(b) {
			return r.arena.Text(b), next
		}
		return connect.StringOf(b), next
	case opInt, opInt8, opInt16, opTime:
		return r.integer(n, p)
	case opDouble:
		if len(r.b)-p < 8 {
			return v, r.fail(p, "the data ends inside a double")
		}
		return connect.FloatValue(math.Float64frombits(binary.LittleEndian.Uint64(r.b[p:]))), p + 8
	case opFloat:
		if len(r.b)-p < 4 {
			return v, r.fail(p, "the data ends inside a float")
		}
		return connect.FloatValue(float64(math.Float32frombits(binary.LittleEndian.Uint32(r.b[p:])))), p + 4
	case opBoolean:
		if p >= len(r.b) || r.b[p] > 1 {
			return v, r.fail(p, "no boolean")
		}
		return connect.BoolValue(r.b[p] == 1), p + 1
	case opBytes:
		b, next := r.span(p)
		return connect.BytesValue(b), next
	case opFixed:
		if len(r.b)-p < n.size {
			return v, r.fail(p, "the data ends inside a fixed")
		}
		return connect.BytesValue(r.b[p : p+n.size]), p + n.size
	case opEnum:
		i, next := r.varint(p)
		if next < 0 {
			return v, -1
		}
		if i < 0 || i >= int64(len(n.symbols)) {
			return v, r.fail(p, "the enum has no symbol "+strconv.FormatInt(i, 10)+",")
		}
		return n.symbols[i], next
	}
	return r.composite(n, p)
}

func (r *reader) branch(p int, branch int64) int {
	return r.fail(p, "the union has no branch "+strconv.FormatInt(branch, 10)+",")
}

// integer reads an int and checks that its type has room for it. (Java drops the high
// bits of an int8 or int16.)
func (r *reader) integer(n *node, p int) (v connect.Value, next int) {
	i, next := r.varint(p)
	if next < 0 {
		return v, -1
	}
	ok := i == int64(int32(i))
	switch n.op {
	case opInt8:
		ok = i == int64(int8(i))
	case opInt16:
		ok = i == int64(int16(i))
	case opTime:
		ok = i >= 0 && i <= 86_400_000
	}
	if !ok {
		return v, r.fail(p, "the number "+strconv.FormatInt(i, 10)+" is out of its type's range")
	}
	return connect.IntValue(i), next
}

// composite reads what has parts.
func (r *reader) composite(n *node, p int) (v connect.Value, next int) {
	if r.depth++; r.depth > maxDepth {
		return v, r.fail(p, "more than 1000 levels of nesting")
	}
	switch n.op {
	case opRecord:
		v, next = r.record(n, p)
	case opArray, opMap, opEntries:
		v, next = r.blocks(n, p)
	case opUnion:
		v, next = r.union(n, p)
	case opSingle:
		branch, at := r.varint(p)
		if at < 0 {
			return v, -1
		}
		if branch != 0 {
			return v, r.branch(p, branch)
		}
		v, next = r.value(n.elem, at)
	case opNull:
		next = p
	default:
		panic("avro: node without operation")
	}
	r.depth--
	return v, next
}

// record reads the fields one after the other. What most records are made of, short
// texts and numbers, is read here without a call.
func (r *reader) record(n *node, p int) (connect.Value, int) {
	out, p := r.values(len(n.nodes), p)
	if p < 0 {
		return connect.Value{}, -1
	}
	b := r.b
	for i, f := range n.nodes {
		if f.op == opOptional && p < len(b) {
			switch b[p] {
			case byte(f.null << 1):
				p++
				continue
			case byte(2 - f.null<<1):
				f = f.elem
				p++
			}
		}
		switch {
		case f.op == opString && p < len(b) && b[p] < 0x80 && b[p]&1 == 0:
			if end := p + 1 + int(b[p]>>1); end <= len(b) && ascii(b, p+1, end) {
				out[i] = connect.StringOf(b[p+1 : end])
				p = end
				continue
			}
		case f.op == opLong && p < len(b):
			if c := b[p]; c < 0x80 {
				out[i] = connect.IntValue(int64(c>>1) ^ -int64(c&1))
				p++
				continue
			}
		case f.op == opDouble && len(b)-p >= 8:
			out[i] = connect.FloatValue(math.Float64frombits(binary.LittleEndian.Uint64(b[p:])))
			p += 8
			continue
		}
		if out[i], p = r.value(f, p); p < 0 {
			return connect.Value{}, -1
		}
	}
	return connect.StructValue(out), p
}

// ascii tells whether b[p:end] is plain ASCII, eight bytes at a time.
func ascii(b []byte, p, end int) bool {
	const highs = 0x8080808080808080
	for ; end-p >= 8; p += 8 {
		if binary.LittleEndian.Uint64(b[p:])&highs != 0 {
			return false
		}
	}
	if p == end {
		return true
	}
	if end >= 8 { // the last bytes, with those before them shifted out
		return binary.LittleEndian.Uint64(b[end-8:])>>(8*(8-end+p))&highs == 0
	}
	for ; p < end; p++ {
		if b[p] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// union reads a value into the field of its branch.
func (r *reader) union(n *node, p int) (v connect.Value, next int) {
	branch, at := r.varint(p)
	if at < 0 {
		return v, -1
	}
	if branch < 0 || branch >= int64(len(n.nodes)) {
		return v, r.branch(p, branch)
	}
	part := n.nodes[branch]
	if part == nil {
		return v, at
	}
	out, at := r.values(n.count, at)
	if at < 0 {
		return v, -1
	}
	out[n.fields[branch]], next = r.value(part, at)
	return connect.StructValue(out), next
}

// blocks reads an array or a map: runs of elements, ended by an empty one.
func (r *reader) blocks(n *node, p int) (connect.Value, int) {
	per := 2 // Values for each element
	if n.op == opArray {
		per = 1
	}
	var out []connect.Value
	used := 0
	for {
		count, at := r.block(n, p)
		if at < 0 {
			return connect.Value{}, -1
		}
		p = at
		if count == 0 {
			break
		}
		if need := used + count*per; need > len(out) {
			grown, at := r.values(max(need, min(2*len(out), 2*need)), p)
			if at < 0 {
				return connect.Value{}, -1
			}
			copy(grown, out[:used])
			out = grown
		}
		for range count {
			if p = r.element(n, out[used:used+per], p); p < 0 {
				return connect.Value{}, -1
			}
			used += per
		}
	}
	if n.op == opArray {
		return connect.ArrayValue(out[:used]), p
	}
	return connect.MapValue(out[:used]), p
}

// block reads the head of a run: its number of elements, and their size in bytes if
// the number is negative.
func (r *reader) block(n *node, p int) (count, next int) {
	c, at := r.varint(p)
	if at >= 0 && c < 0 {
		if c == math.MinInt64 {
			return 0, r.fail(p, "a block of too many elements")
		}
		var size int64
		if size, at = r.varint(at); at >= 0 && (size < 0 || size > int64(len(r.b)-at)) {
			return 0, r.fail(p, "a block longer than the data")
		}
		c = -c
	}
	if at < 0 {
		return 0, -1
	}
	left := int64(len(r.b) - at)
	if n.width > 0 {
		left /= int64(n.width)
	} else {
		left = int64(r.budget)
	}
	if c > left {
		return 0, r.fail(p, "a block of "+strconv.FormatInt(c, 10)+" elements where the data has room for "+strconv.FormatInt(left, 10)+",")
	}
	return int(c), at
}

// element reads one element into out: one Value of an array, two of a map.
func (r *reader) element(n *node, out []connect.Value, p int) int {
	switch n.op {
	case opMap:
		b, at := r.span(p)
		if at < 0 {
			return -1
		}
		out[0] = r.arena.Text(b)
		out[1], p = r.value(n.elem, at)
		return p
	case opEntries:
		first, second := 0, 1
		if n.swapped {
			first, second = 1, 0
		}
		if out[first], p = r.value(n.nodes[first], p); p < 0 {
			return -1
		}
		out[second], p = r.value(n.nodes[second], p)
		return p
	}
	out[0], p = r.value(n.elem, p)
	return p
}
