// Package jsontext says what JSON strings stand for (RFC 8259, section 7): what the JSON
// converter and the transforms that take JSON apart have in common.
//
// It resolves escapes and nothing else. Whoever scans a text finds the ends of its strings,
// and refuses control characters and bytes that are not UTF-8.
package jsontext

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errEscape = errors.New("an unknown escape")
	errDigits = errors.New(`an escape \u without four hexadecimal digits`)
)

// AppendUnescaped appends to dst what the body of a string, which is what its quotes
// enclose, stands for; that is never longer than the body, so dst may be body[:0]. A
// surrogate that stands alone becomes U+FFFD. An error is about the escape whose letter is
// at byte at of the body.
func AppendUnescaped(dst, body []byte) (out []byte, at int, err error) {
	for i := 0; ; i++ {
		n := bytes.IndexByte(body[i:], '\\')
		if n < 0 {
			return append(dst, body[i:]...), 0, nil
		}
		dst = append(dst, body[i:i+n]...)
		if i += n + 1; i == len(body) {
			return nil, i, errEscape
		}
		switch c := body[i]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unit(body, i+1)
			if n == 0 {
				return nil, i, errDigits
			}
			i += n
			if utf16.IsSurrogate(r) {
				r, n = pair(body, i+1, r)
				i += n
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return nil, i, errEscape
		}
	}
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

// pair completes the surrogate r with the escape at i, which is n bytes long.
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
