package json

import "github.com/firn-io/firn/connect"

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
	if n := s.keys.last.next; n != nil && len(s.b)-p > len(n.token) && string(s.b[p:p+len(n.token)]) == n.token {
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
