package connect

import "unicode/utf8"

// Text makes a String over b, which must not change afterwards. Bytes that are not
// UTF-8 become U+FFFD, one for each maximal part of a sequence, as Java's decoder
// does it: then the string is a copy in the arena.
func (a *Arena) Text(b []byte) Value {
	if utf8.Valid(b) {
		return StringOf(b)
	}
	n := 0
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			size = malformed(b[i:])
		}
		n += utf8.RuneLen(r)
		i += size
	}
	out := a.Bytes(n)[:0]
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			size = malformed(b[i:])
		}
		out = utf8.AppendRune(out, r)
		i += size
	}
	return StringOf(out)
}

// malformed is the length of the maximal part of a sequence that b, which starts with
// malformed UTF-8, could have begun. (Source: Unicode standard, "U+FFFD Substitution
// of Maximal Subparts".)
func malformed(b []byte) int {
	lo, hi, need := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			lo = 0xA0
		}
		if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			lo = 0x90
		}
		if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for n <= need && n < len(b) && b[n] >= lo && b[n] <= hi {
		lo, hi = 0x80, 0xBF
		n++
	}
	return n
}
