package columns

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/firn-io/firn/connect"
)

// maxDigits bounds the digits of a decimal that is looked at: what is longer fits
// no column in any case, and arithmetic on it would cost without bound.
const maxDigits = 1000

// appendDecimal writes a decimal column, rounding half up to its scale as Java
// does; a number with more digits than the precision is out of range.
func (f *field) appendDecimal(vec *vector, v connect.Value) error {
	if f.temporal() {
		return f.mismatch(v)
	}
	s := f.scratch
	switch v.Kind() { //nolint:exhaustive // the rest is refused below
	case connect.Int:
		s.x.SetInt64(v.Int())
		return f.pushRescaled(vec, v, 0)
	case connect.Float:
		x := v.Float()
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return f.outOfRange(v)
		}
		s.text = strconv.AppendFloat(s.text[:0], x, 'e', -1, 64)
		scale, ok := s.parse(string(s.text))
		if !ok {
			return f.outOfRange(v)
		}
		return f.pushRescaled(vec, v, scale)
	case connect.String:
		scale, ok := s.parse(v.Text())
		if !ok {
			return f.malformed(v)
		}
		return f.pushRescaled(vec, v, scale)
	case connect.Bytes:
		if !f.isDecimal() {
			return f.mismatch(v)
		}
		b := v.Bytes()
		if f.scale == f.toScale && len(b) <= 16 {
			if x := fromBytes(b); x.FitsInPrecision(int32(f.precision)) {
				vec.pushDecimal(x)
				return nil
			}
			return f.outOfRange(v)
		}
		if len(b) > maxDigits {
			return f.outOfRange(v)
		}
		setBytes(&s.x, b)
		return f.pushRescaled(vec, v, f.scale)
	}
	return f.mismatch(v)
}

// isDecimal tells whether bytes are the unscaled value of a decimal.
func (f *field) isDecimal() bool {
	return f.from.source == decimalSource || f.from.source == variableDecimalSource
}

// unscaled takes a decimal of variable scale apart; the scale is the field's until the
// next value.
func (f *field) unscaled(v connect.Value) (connect.Value, bool) {
	parts := v.Fields()
	if v.Kind() != connect.Struct || len(parts) != len(f.schema.Fields) || parts[f.scaleAt].Kind() != connect.Int || parts[f.unscaledAt].Kind() != connect.Bytes {
		return v, false
	}
	scale := parts[f.scaleAt].Int()
	if scale < -maxDigits || scale > maxDigits {
		return v, false
	}
	f.scale = int(scale)
	return parts[f.unscaledAt], true
}

// pushRescaled pushes scratch.x, which has the given scale, at the column's scale.
func (f *field) pushRescaled(vec *vector, v connect.Value, scale int) error {
	x := &f.scratch.x
	if !f.scratch.rescale(scale, f.toScale) || x.CmpAbs(f.limit) >= 0 {
		return f.outOfRange(v)
	}
	vec.pushDecimal(decimal128.FromBigInt(x))
	return nil
}

// rescale brings x from one scale to another, rounding half up (away from zero). It
// reports false if the result would have too many digits for any column.
func (s *scratch) rescale(from, to int) bool {
	shift := to - from
	switch {
	case s.x.Sign() == 0 || shift == 0:
		return true
	case shift > maxPrecision:
		return false
	case shift > 0:
		s.x.Mul(&s.x, power10(&s.y, shift))
		return true
	case -shift > 4*maxDigits: // x has at most 8·maxDigits/3 digits: less than half
		s.x.SetInt64(0)
		return true
	}
	sign := s.x.Sign()
	s.x.Abs(&s.x)
	power10(&s.y, -shift)
	s.x.QuoRem(&s.x, &s.y, &s.z)
	if s.z.Lsh(&s.z, 1).CmpAbs(&s.y) >= 0 {
		s.x.Add(&s.x, one)
	}
	if sign < 0 {
		s.x.Neg(&s.x)
	}
	return true
}

var one, ten = big.NewInt(1), big.NewInt(10) // read only

func power10(z *big.Int, n int) *big.Int { return z.Exp(ten, z.SetInt64(int64(n)), nil) }

// parse reads what Java's BigDecimal reads, a number with an optional fraction and
// exponent, into x and returns its scale.
func (s *scratch) parse(text string) (scale int, ok bool) {
	i, negative := 0, false
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		negative = text[i] == '-'
		i++
	}
	digits := s.digits[:0]
	point := -1
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && point < 0 {
			point = len(digits)
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if digits = append(digits, c); len(digits) > maxDigits {
			return 0, false
		}
	}
	s.digits = digits
	if len(digits) == 0 {
		return 0, false
	}
	if point >= 0 {
		scale = len(digits) - point
	}
	if i < len(text) {
		if text[i] != 'e' && text[i] != 'E' {
			return 0, false
		}
		exp, err := strconv.ParseInt(text[i+1:], 10, 32)
		if err != nil || exp > math.MaxInt32/2 || exp < -math.MaxInt32/2 {
			return 0, false
		}
		scale -= int(exp)
	}
	if _, ok = s.x.SetString(string(digits), 10); !ok {
		return 0, false
	}
	if negative {
		s.x.Neg(&s.x)
	}
	return scale, true
}

// fromBytes reads at most 16 bytes of two's complement, big-endian.
func fromBytes(b []byte) decimal128.Num {
	var full [16]byte
	if len(b) > 0 && b[0] >= 0x80 {
		for i := range full {
			full[i] = 0xff
		}
	}
	copy(full[16-len(b):], b)
	return decimal128.New(int64(binary.BigEndian.Uint64(full[:8])), binary.BigEndian.Uint64(full[8:]))
}

// setBytes reads two's complement, big-endian.
func setBytes(x *big.Int, b []byte) {
	x.SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		x.Sub(x, new(big.Int).Lsh(one, uint(8*len(b))))
	}
}

// wholeDecimal cuts a decimal of the record's scale to an integer, toward zero.
func (f *field) wholeDecimal(b []byte) (int64, bool) {
	s := f.scratch
	if len(b) > maxDigits || f.scale < -maxDigits || f.scale > 4*maxDigits {
		return 0, false
	}
	setBytes(&s.x, b)
	if f.scale > 0 {
		s.x.Quo(&s.x, power10(&s.y, f.scale))
	} else {
		s.x.Mul(&s.x, power10(&s.y, -f.scale))
	}
	return s.x.Int64(), s.x.IsInt64()
}

// appendDecimalText writes a decimal of the record's scale as BigDecimal.toString
// does: with an exponent if the scale is negative or the number below 1e-6.
func (f *field) appendDecimalText(dst []byte, b []byte) []byte {
	if len(b) > maxDigits {
		return append(dst, "a decimal too long to show"...)
	}
	x := &f.scratch.x
	setBytes(x, b)
	start := len(dst)
	dst = x.Append(dst, 10)
	first := start
	if x.Sign() < 0 {
		first++
	}
	digits := len(dst) - first
	exponent := digits - 1 - f.scale
	switch {
	case f.scale == 0:
		return dst
	case f.scale > 0 && exponent >= -6:
		for digits <= f.scale { // leading zeros
			dst = append(dst, 0)
			copy(dst[first+1:], dst[first:])
			dst[first] = '0'
			digits++
		}
		at := len(dst) - f.scale
		dst = append(dst, 0)
		copy(dst[at+1:], dst[at:])
		dst[at] = '.'
		return dst
	}
	if digits > 1 {
		dst = append(dst, 0)
		copy(dst[first+2:], dst[first+1:])
		dst[first+1] = '.'
	}
	if exponent == 0 {
		return dst
	}
	dst = append(dst, 'E')
	if exponent > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(exponent), 10)
}
