package json

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unescape resolves the escapes of a string's body, which starts at position p of the
// document, into the arena. The result is never longer. It is nil after a failure.
func (s *scanner) unescape(body []byte, p int) []byte {
	out := s.arena.Bytes(len(body))[:0]
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			out = append(out, body[i])
			continue
		}
		i++
		switch c := body[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := unit(body, i+1)
			if n == 0 {
				s.fail(p+i, "an escape \\u without four hexadecimal digits")
				return nil
			}
			i += n
			if utf16.IsSurrogate(r) {
				r, n = pair(body, i+1, r)
				i += n
			}
			out = utf8.AppendRune(out, r)
		default:
			s.fail(p+i, "an unknown escape")
			return nil
		}
	}
	return out
}

// unit reads four hexadecimal digits at i; n is 4, or 0 if they are not there.
func unit(b []byte, i int) (r rune, n int) {
	if i+4 > len(b) {
		return 0, 0
	}
	for _, c := range b[i : i+4] {
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, 0
		}
		r = r<<4 | rune(c)
	}
	return r, 4
}

// pair completes the surrogate r with the escape at i, which is n bytes long. A
// surrogate that stands alone becomes U+FFFD.
func pair(b []byte, i int, r rune) (full rune, n int) {
	if i+1 < len(b) && b[i] == '\\' && b[i+1] == 'u' {
		if low, digits := unit(b, i+2); digits == 4 {
			if full = utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, 6
			}
		}
	}
	return utf8.RuneError, 0
}
