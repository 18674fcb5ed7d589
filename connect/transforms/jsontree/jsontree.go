// Package jsontree reads JSON texts into trees for the transforms that take JSON apart
// (RFC 8259, with the limits of Jackson's StreamReadConstraints), and prints values as
// Jackson does.
//
// A Tree is read into again and again by one goroutine and keeps its memory. It holds
// integers apart by size and gives the last of equal keys the place of the first, as
// Jackson's tree model does. Strings alias the text, or lie in the arena if they had
// escapes. What it does not do: comments, single quotes, NaN, or anything after the value.
package jsontree

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/jsontext"
)

// Limits of a text.
const (
	maxDepth       = 1000
	maxNumberBytes = 1000
)

// Kind says what a Node is.
type Kind uint8

// The kinds, numbers by the class that Jackson would make of them.
const (
	Null Kind = iota
	False
	True
	Int    // 32 bits
	Long   // 64 bits
	BigInt // more
	Double
	Text
	Array
	Object
)

// A Node is one value. Its strings are valid until the arena's batch ends, the Node
// itself until the Tree is reset.
type Node struct {
	Kind  Kind
	Key   string  // of a member of an Object
	Text  string  // of a Text; of a number as it was written
	Int   int64   // of an Int or Long
	Float float64 // of a Double
	Len   int     // elements or members

	first, next int32 // positions in the tree, -1 for none
}

// A Tree is the values of one text, or of several. Reset comes first.
type Tree struct {
	nodes []Node
	text  string
	arena *connect.Arena
	depth int
}

// nodesKept is how many nodes a Tree keeps room for between texts.
const nodesKept = 1 << 16

// smallObject is up to how many members keys are compared pair by pair.
const smallObject = 16

// Reset drops the values read so far. Those read next use the arena.
func (t *Tree) Reset(arena *connect.Arena) {
	if cap(t.nodes) > nodesKept {
		t.nodes = nil
	}
	t.nodes, t.arena = t.nodes[:0], arena
}

// Parse reads a text and returns its value, which stays until Reset. The error says what
// is wrong and where.
func (t *Tree) Parse(text string) (*Node, error) {
	t.text, t.depth = text, 0
	p, at, err := t.value(t.space(0))
	if err != nil {
		return nil, err
	}
	if p = t.space(p); p != len(text) {
		return nil, t.fault(p, "something follows the JSON value")
	}
	return &t.nodes[at], nil // nodes do not change any more: should others need a larger slice, this one stays right
}

// First is the first element or member of n, nil if it has none.
func (t *Tree) First(n *Node) *Node { return t.at(n.first) }

// Next is the element or member after n, nil if n is the last.
func (t *Tree) Next(n *Node) *Node { return t.at(n.next) }

func (t *Tree) at(i int32) *Node {
	if i < 0 {
		return nil
	}
	return &t.nodes[i]
}

// Member is the member of n with that key, nil if there is none.
func (t *Tree) Member(n *Node, key string) *Node {
	if n.Kind != Object {
		return nil
	}
	for m := t.First(n); m != nil; m = t.Next(m) {
		if m.Key == key {
			return m
		}
	}
	return nil
}

func (t *Tree) fault(p int, what string) error { return fmt.Errorf("%s at byte %d", what, p) }

func (t *Tree) space(p int) int {
	for p < len(t.text) && (t.text[p] == ' ' || t.text[p] == '\n' || t.text[p] == '\t' || t.text[p] == '\r') {
		p++
	}
	return p
}

// add appends a node; its position, not its address, outlives the next one.
func (t *Tree) add(n Node) int32 {
	n.first, n.next = -1, -1
	t.nodes = append(t.nodes, n)
	return int32(len(t.nodes) - 1)
}

// value reads the value at p and returns the position after it and its node's.
func (t *Tree) value(p int) (end int, at int32, err error) {
	if p >= len(t.text) {
		return 0, 0, t.fault(p, "the text ends where a value is expected")
	}
	switch c := t.text[p]; {
	case c == '{':
		return t.object(p)
	case c == '[':
		return t.array(p)
	case c == '"':
		s, end, err := t.str(p)
		return end, t.add(Node{Kind: Text, Text: s}), err
	case c == '-' || c >= '0' && c <= '9':
		return t.number(p)
	}
	for _, l := range [...]struct {
		text string
		kind Kind
	}{{"null", Null}, {"true", True}, {"false", False}} {
		if end := p + len(l.text); end <= len(t.text) && t.text[p:end] == l.text {
			return end, t.add(Node{Kind: l.kind}), nil
		}
	}
	return 0, 0, t.fault(p, "no JSON value")
}

func (t *Tree) enter(p int) error {
	if t.depth++; t.depth > maxDepth {
		return t.fault(p, fmt.Sprintf("more than %d levels", maxDepth))
	}
	return nil
}

func (t *Tree) array(p int) (end int, at int32, err error) {
	if err := t.enter(p); err != nil {
		return 0, 0, err
	}
	at = t.add(Node{Kind: Array})
	last := int32(-1)
	p = t.space(p + 1)
	for p < len(t.text) && t.text[p] != ']' {
		var elem int32
		if p, elem, err = t.value(p); err != nil {
			return 0, 0, err
		}
		last = t.link(at, last, elem)
		if p, err = t.separator(p, ']'); err != nil {
			return 0, 0, err
		}
	}
	return t.leave(p, at)
}

// link makes node n the next child of parent, after last, and returns it.
func (t *Tree) link(parent, last, n int32) int32 {
	if last < 0 {
		t.nodes[parent].first = n
	} else {
		t.nodes[last].next = n
	}
	t.nodes[parent].Len++
	return n
}

// leave ends a container at its closing bracket.
func (t *Tree) leave(p int, at int32) (int, int32, error) {
	if p >= len(t.text) {
		return 0, 0, t.fault(p, "the text ends within an array or object")
	}
	t.depth--
	return p + 1, at, nil
}

// separator goes from the end of an element to the next one, or to the closing bracket.
func (t *Tree) separator(p int, closing byte) (int, error) {
	p = t.space(p)
	if p >= len(t.text) || t.text[p] == closing {
		return p, nil
	}
	if t.text[p] != ',' {
		return 0, t.fault(p, "no comma")
	}
	if p = t.space(p + 1); p < len(t.text) && t.text[p] == closing {
		return 0, t.fault(p, "nothing after a comma")
	}
	return p, nil
}

func (t *Tree) object(p int) (end int, at int32, err error) {
	if err := t.enter(p); err != nil {
		return 0, 0, err
	}
	at = t.add(Node{Kind: Object})
	last := int32(-1)
	var index map[string]int32 // of the keys, once there are many
	p = t.space(p + 1)
	for p < len(t.text) && t.text[p] != '}' {
		key, colon, err := t.str(p)
		if err != nil {
			return 0, 0, err
		}
		if p = t.space(colon); p >= len(t.text) || t.text[p] != ':' {
			return 0, 0, t.fault(p, "no colon")
		}
		var member int32
		if p, member, err = t.value(t.space(p + 1)); err != nil {
			return 0, 0, err
		}
		t.nodes[member].Key = key
		if index == nil && t.nodes[at].Len > smallObject {
			index = t.index(at)
		}
		if same := t.find(at, index, key); same >= 0 {
			next := t.nodes[same].next
			t.nodes[same] = t.nodes[member]
			t.nodes[same].next = next
		} else {
			last = t.link(at, last, member)
			if index != nil {
				index[key] = member
			}
		}
		if p, err = t.separator(p, '}'); err != nil {
			return 0, 0, err
		}
	}
	return t.leave(p, at)
}

// index lists the members of an object by key.
func (t *Tree) index(object int32) map[string]int32 {
	index := make(map[string]int32, 4*smallObject)
	for m := t.nodes[object].first; m >= 0; m = t.nodes[m].next {
		index[t.nodes[m].Key] = m
	}
	return index
}

func (t *Tree) find(object int32, index map[string]int32, key string) int32 {
	if index != nil {
		if m, ok := index[key]; ok {
			return m
		}
		return -1
	}
	for m := t.nodes[object].first; m >= 0; m = t.nodes[m].next {
		if t.nodes[m].Key == key {
			return m
		}
	}
	return -1
}

// number reads a number by the grammar of RFC 8259.
func (t *Tree) number(p int) (end int, at int32, err error) {
	start, whole := p, true
	digits := func() bool {
		from := p
		for p < len(t.text) && t.text[p] >= '0' && t.text[p] <= '9' {
			p++
		}
		return p > from
	}
	if t.text[p] == '-' {
		p++
	}
	lead := p
	if !digits() || t.text[lead] == '0' && p > lead+1 {
		return 0, 0, t.fault(start, "no JSON number")
	}
	if p < len(t.text) && t.text[p] == '.' {
		whole = false
		if p++; !digits() {
			return 0, 0, t.fault(start, "no JSON number")
		}
	}
	if p < len(t.text) && t.text[p]|0x20 == 'e' {
		whole = false
		if p++; p < len(t.text) && (t.text[p] == '+' || t.text[p] == '-') {
			p++
		}
		if !digits() {
			return 0, 0, t.fault(start, "no JSON number")
		}
	}
	if p-start > maxNumberBytes {
		return 0, 0, t.fault(start, "a number of more than 1000 characters")
	}
	n := Node{Text: t.text[start:p]}
	if whole {
		n.Kind = BigInt
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
			n.Kind, n.Int = Long, i
			if i == int64(int32(i)) {
				n.Kind = Int
			}
		}
		return p, t.add(n), nil
	}
	n.Kind = Double
	if n.Float, err = strconv.ParseFloat(n.Text, 64); err != nil && math.IsInf(n.Float, 0) {
		return 0, 0, t.fault(start, "a number beyond the range of a double")
	}
	return p, t.add(n), nil
}

// str reads a string and returns what it stands for.
func (t *Tree) str(p int) (s string, end int, err error) {
	if p >= len(t.text) || t.text[p] != '"' {
		return "", 0, t.fault(p, "no string")
	}
	start, escaped := p+1, false
	for p++; p < len(t.text); p++ {
		switch c := t.text[p]; {
		case c == '"':
			body := t.text[start:p]
			if !escaped {
				return body, p + 1, nil
			}
			out := t.arena.Bytes(len(body))
			copy(out, body)
			out, at, err := jsontext.AppendUnescaped(out[:0], out)
			if err != nil {
				return "", 0, t.fault(start+at, err.Error())
			}
			return connect.StringOf(out).Text(), p + 1, nil
		case c == '\\':
			escaped = true
			p++
		case c < ' ':
			return "", 0, t.fault(p, "a control character within a string")
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(t.text[p:])
			if r == utf8.RuneError && size <= 1 {
				return "", 0, t.fault(p, "bytes that are not UTF-8")
			}
			p += size - 1
		}
	}
	return "", 0, t.fault(p, "the text ends within a string")
}
