package columns

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
)

// appendBool takes booleans and text: only "true" in any case is true, as in Java.
func (f *field) appendBool(vec *vector, v connect.Value) error {
	switch v.Kind() { //nolint:exhaustive // the rest is refused below
	case connect.Bool:
		vec.pushBool(v.Bool())
		return nil
	case connect.String:
		vec.pushBool(strings.EqualFold(v.Text(), "true"))
		return nil
	}
	return f.mismatch(v)
}

// appendInt32 writes int and date columns.
func (f *field) appendInt32(vec *vector, v connect.Value) error {
	x, err := f.int32Of(v)
	if err != nil {
		return err
	}
	if x < math.MinInt32 || x > math.MaxInt32 {
		return f.outOfRange(v)
	}
	vec.pushInt32(int32(x))
	return nil
}

func (f *field) int32Of(v connect.Value) (int64, error) {
	switch {
	case v.Kind() == connect.String && f.to == toDate:
		days, ok := parseDate(v.Text())
		if !ok {
			return 0, f.malformed(v)
		}
		return days, nil
	case v.Kind() == connect.String:
		return f.parseInt(v)
	case f.to == toDate && f.isTime():
		return f.days(v)
	case f.temporal():
		return 0, f.mismatch(v)
	}
	return f.integer(v)
}

func (f *field) appendLong(vec *vector, v connect.Value) error {
	var x int64
	var err error
	switch {
	case v.Kind() == connect.String:
		x, err = f.parseInt(v)
	case f.temporal():
		err = f.mismatch(v)
	default:
		x, err = f.integer(v)
	}
	if err != nil {
		return err
	}
	vec.pushInt64(x)
	return nil
}

// parseInt reads what Java's parseLong reads.
func (f *field) parseInt(v connect.Value) (int64, error) {
	x, err := strconv.ParseInt(v.Text(), 10, 64)
	if err == nil {
		return x, nil
	}
	if errors.Is(err, strconv.ErrRange) {
		return 0, f.outOfRange(v)
	}
	return 0, f.malformed(v)
}

func (f *field) appendFloat(vec *vector, v connect.Value) error {
	x, err := f.floatOf(v)
	if err != nil {
		return err
	}
	if f.to == toDouble {
		vec.f64 = append(vec.f64, x)
		vec.pushed()
		return nil
	}
	y := float32(x)
	if math.IsInf(float64(y), 0) && !math.IsInf(x, 0) {
		return f.outOfRange(v)
	}
	vec.f32 = append(vec.f32, y)
	vec.pushed()
	return nil
}

func (f *field) floatOf(v connect.Value) (float64, error) {
	if f.temporal() {
		return 0, f.mismatch(v)
	}
	switch v.Kind() { //nolint:exhaustive // the rest is refused below
	case connect.Float:
		return v.Float(), nil
	case connect.Int:
		if f.to == toFloat {
			return float64(float32(v.Int())), nil // one rounding, not two
		}
		return float64(v.Int()), nil
	case connect.String:
		bits := 64
		if f.to == toFloat {
			bits = 32
		}
		x, ok, inRange := parseFloat(v.Text(), bits)
		switch {
		case !ok:
			return 0, f.malformed(v)
		case !inRange:
			return 0, f.outOfRange(v)
		}
		return x, nil
	case connect.Bytes:
		if f.isDecimal() {
			bits := 64
			if f.to == toFloat {
				bits = 32
			}
			f.scratch.text = f.appendDecimalText(f.scratch.text[:0], v.Bytes())
			x, err := strconv.ParseFloat(string(f.scratch.text), bits)
			if err != nil {
				return 0, f.outOfRange(v)
			}
			return x, nil
		}
	}
	return 0, f.mismatch(v)
}

// parseFloat reads what Java's parseDouble reads: blanks around, NaN, Infinity, a
// trailing type letter and hexadecimal forms included. inRange is false where
// Java would give infinity.
func parseFloat(s string, bits int) (x float64, ok, inRange bool) {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	word := strings.TrimLeft(s, "+-")
	if len(s)-len(word) <= 1 {
		switch word {
		case "NaN":
			return math.NaN(), true, true
		case "Infinity":
			if s[0] == '-' {
				return math.Inf(-1), true, true
			}
			return math.Inf(1), true, true
		}
	}
	hex := strings.HasPrefix(word, "0x") || strings.HasPrefix(word, "0X")
	if n := len(s); n > 1 && strings.IndexByte("fFdD", s[n-1]) >= 0 && (!hex || strings.ContainsAny(word, "pP")) {
		s = s[:n-1]
	}
	digits := "0123456789+-.eE"
	if hex {
		digits += "abcdfABCDFxXpP"
	}
	if strings.Trim(s, digits) != "" { // Go also knows "inf", "_" and the like
		return 0, false, false
	}
	x, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return 0, errors.Is(err, strconv.ErrRange), false
	}
	return x, true, true
}

// appendBinary writes binary and fixed columns from bytes or base64 text.
func (f *field) appendBinary(vec *vector, v connect.Value) error {
	start := len(vec.data)
	switch {
	case v.Kind() == connect.Bytes && !f.isDecimal():
		vec.data = append(vec.data, v.Bytes()...)
	case v.Kind() == connect.String:
		var ok bool
		if vec.data, ok = appendBase64(vec.data, v.Text()); !ok {
			return f.malformed(v)
		}
	default:
		return f.mismatch(v)
	}
	if f.to == toBinary {
		vec.endBytes()
		return nil
	}
	if len(vec.data)-start != vec.width {
		vec.data = vec.data[:start]
		return f.outOfRange(v)
	}
	vec.pushed()
	return nil
}

// appendBase64 decodes the standard alphabet; the padding may be missing.
func appendBase64(dst []byte, s string) ([]byte, bool) {
	enc := base64.RawStdEncoding
	if strings.IndexByte(s, '=') >= 0 {
		enc = base64.StdEncoding
	}
	if strings.ContainsAny(s, "\r\n") { // Go skips them, Java does not
		return dst, false
	}
	out, err := enc.AppendDecode(dst, []byte(s))
	if err != nil {
		return dst, false
	}
	return out, true
}

// appendUUID writes UUIDs from text, and from 16 bytes.
func (f *field) appendUUID(vec *vector, v connect.Value) error {
	if v.Kind() == connect.Bytes && v.Len() == 16 && !f.isDecimal() {
		vec.data = append(vec.data, v.Bytes()...)
		vec.pushed()
		return nil
	}
	if v.Kind() != connect.String {
		return f.mismatch(v)
	}
	u, ok := parseUUID(v.Text())
	if !ok {
		return f.malformed(v)
	}
	vec.data = append(vec.data, u[:]...)
	vec.pushed()
	return nil
}

// parseUUID reads five groups of hexadecimal digits; as in Java a group may leave
// out leading zeros, but none may be too long.
func parseUUID(s string) (u [16]byte, ok bool) {
	at := 0
	for i, width := range [...]int{8, 4, 4, 4, 12} {
		group := s
		if i < 4 {
			var found bool
			if group, s, found = strings.Cut(s, "-"); !found {
				return u, false
			}
		}
		if len(group) == 0 || len(group) > width {
			return u, false
		}
		var x uint64
		for k := range len(group) {
			d := hexDigit(group[k])
			if d > 15 {
				return u, false
			}
			x = x<<4 | uint64(d)
		}
		for k := width/2 - 1; k >= 0; k-- {
			u[at+k] = byte(x)
			x >>= 8
		}
		at += width / 2
	}
	return u, true
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
