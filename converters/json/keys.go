package json

import (
	"encoding/binary"

	"github.com/firn-io/firn/connect"
)

// Bounds of what a converter remembers of keys.
const (
	maxKeys     = 4096
	maxKeyBytes = 256
)

// A name is a key seen before. Its value is the same string for every record, so
// that comparing it with itself is comparing two pointers.
type name struct {
	token string // "key": as it stood in the document
	text  string
	value connect.Value
	next  *name // the key that followed last time

	// A short token as two words, and which of their bytes count; no byte for a long one.
	words, masks [2]uint64
}

// shortToken is how many bytes two words hold, with one of the value after them.
const shortToken = 15

// prepare fills the words.
func (n *name) prepare() {
	if len(n.token) > shortToken {
		return
	}
	var token, mask [16]byte
	copy(token[:], n.token)
	for i := range n.token {
		mask[i] = 0xFF
	}
	for i := range n.words {
		n.words[i] = binary.LittleEndian.Uint64(token[8*i:])
		n.masks[i] = binary.LittleEndian.Uint64(mask[8*i:])
	}
}

// at tells whether the token stands at p, with a byte after it.
func (n *name) at(b []byte, p int) bool {
	if p+16 <= len(b) && n.masks[0] != 0 {
		return (binary.LittleEndian.Uint64(b[p:])^n.words[0])&n.masks[0]|(binary.LittleEndian.Uint64(b[p+8:])^n.words[1])&n.masks[1] == 0
	}
	return len(b)-p > len(n.token) && string(b[p:p+len(n.token)]) == n.token
}

// keys predicts the next key from the last: records of one topic mostly have the
// same keys in the same order, and then a key costs one comparison. A key in another
// place costs a look-up.
type keys struct {
	known map[string]*name
	first name  // stands before the first key of a document
	last  *name // what to predict from; never nil after reset
}

// key reads a key and the colon after it and returns the position of the value.
func (s *scanner) key(p int) (connect.Value, int) {
	if n := s.keys.last.next; n != nil && n.at(s.b, p) {
		s.keys.last = n
		p += len(n.token)
		if s.b[p] <= ' ' {
			p = s.space(p)
		}
		return n.value, p
	}
	return s.newKey(p)
}

// newKey reads the key at p in full.
func (s *scanner) newKey(p int) (v connect.Value, next int) {
	p = s.space(p)
	if p >= len(s.b) || s.b[p] != '"' {
		return v, s.unexpected(p, "a key in double quotes")
	}
	v, end := s.text(p)
	if end < 0 {
		return v, -1
	}
	if n := s.keys.remember(v, end-p-2); n != nil {
		v = n.value
	}
	if p = s.space(end); p >= len(s.b) || s.b[p] != ':' {
		return v, s.unexpected(p, "a colon")
	}
	return v, s.space(p + 1)
}

// remember finds the key among those known or adds it, and makes it the successor of
// the last one. raw is its length in the document: a key with escapes is not kept.
func (k *keys) remember(v connect.Value, raw int) *name {
	text := v.Text()
	n := k.known[text]
	if n == nil && raw == len(text) && raw <= maxKeyBytes && len(k.known) < maxKeys {
		if k.known == nil {
			k.known = map[string]*name{}
		}
		token := `"` + text + `":`
		n = &name{token: token, text: token[1 : len(token)-2]}
		n.value = connect.StringValue(n.text)
		n.prepare()
		k.known[n.text] = n
	}
	if n == nil {
		k.last = &k.first
		return nil
	}
	k.last.next = n
	k.last = n
	return n
}
