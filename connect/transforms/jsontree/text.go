package jsontree

import (
	"math"
	"strconv"
	"strings"
)

// AppendJSON prints a value as Jackson's JsonNode.toString does: no white space, and
// doubles in Java's form.
func (t *Tree) AppendJSON(dst []byte, n *Node) []byte {
	switch n.Kind {
	case Null:
		return append(dst, "null"...)
	case False:
		return append(dst, "false"...)
	case True:
		return append(dst, "true"...)
	case Int, Long:
		return strconv.AppendInt(dst, n.Int, 10)
	case BigInt:
		return append(dst, n.Text...)
	case Double:
		return appendDouble(dst, n.Float)
	case Text:
		return appendQuoted(dst, n.Text)
	case Array:
		dst = append(dst, '[')
		for e := t.First(n); e != nil; e = t.Next(e) {
			dst = append(t.AppendJSON(dst, e), ',')
		}
		return closed(dst, n, ']')
	case Object:
		dst = append(dst, '{')
		for m := t.First(n); m != nil; m = t.Next(m) {
			dst = append(appendQuoted(dst, m.Key), ':')
			dst = append(t.AppendJSON(dst, m), ',')
		}
		return closed(dst, n, '}')
	}
	panic("jsontree: unknown kind of node")
}

// closed puts the bracket where the last comma is.
func closed(dst []byte, n *Node, bracket byte) []byte {
	if n.Len > 0 {
		dst = dst[:len(dst)-1]
	}
	return append(dst, bracket)
}

func appendQuoted(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	const short = "\b\t\n\f\r"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		default:
			if at := strings.IndexByte(short, c); at >= 0 {
				dst = append(dst, '\\', "btnfr"[at])
				continue
			}
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(dst, '"')
}

// appendDouble prints a finite number as Double.toString of Java 19 and later: the
// shortest digits that tell it, with an exponent outside of 1e-3 … 1e7.
func appendDouble(dst []byte, x float64) []byte {
	start := len(dst)
	if a := math.Abs(x); a == 0 || a >= 1e-3 && a < 1e7 {
		dst = strconv.AppendFloat(dst, x, 'f', -1, 64)
		if strings.IndexByte(string(dst[start:]), '.') < 0 {
			dst = append(dst, '.', '0')
		}
		return dst
	}
	text := strconv.FormatFloat(x, 'e', -1, 64) // -d.ddde±dd
	mantissa, exponent, _ := strings.Cut(text, "e")
	dst = append(dst, mantissa...)
	if !strings.Contains(mantissa, ".") {
		dst = append(dst, '.', '0')
	}
	exp := strings.TrimLeft(exponent[1:], "0")
	dst = append(dst, 'E')
	if exponent[0] == '-' {
		dst = append(dst, '-')
	}
	return append(dst, exp...)
}
