package json

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/firn-io/firn/connect"
)

// A literal number as it stands: neg, the digits of mantissa before and after the
// point, and the exponent. It is exact if digits is at most 19.
type decimal struct {
	neg      bool
	integral bool   // neither point nor exponent
	exact    bool   // mantissa holds all digits
	mantissa uint64 // of all digits, without the point
	exp      int    // value is mantissa × 10^exp
}

// digits reads up to eight digits at once: their value and count.
func digits(b []byte, p int) (uint64, int) {
	if p+8 > len(b) {
		var x uint64
		n := 0
		for ; p < len(b) && b[p]-'0' < 10; p++ {
			x = x*10 + uint64(b[p]-'0')
			n++
		}
		return x, n
	}
	w := binary.LittleEndian.Uint64(b[p:])
	t := w - '0'*ones
	n := bits.TrailingZeros64((w+0x46*ones|t)&highs) >> 3
	t <<= uint(8-n) * 8 // n of 0 shifts everything out
	t = t*10 + t>>8
	return ((t&0x000000FF000000FF)*0x000F424000000064 + (t>>16&0x000000FF000000FF)*0x0000271000000001) >> 32, n
}

var pow10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16}

// run reads digits at p onto d and returns the position after them.
func (d *decimal) run(b []byte, p int) int {
	for {
		x, n := digits(b, p)
		hi, lo := bits.Mul64(d.mantissa, pow10[n])
		sum, carry := bits.Add64(lo, x, 0)
		if hi != 0 || carry != 0 {
			d.exact = false
		}
		d.mantissa = sum
		if p += n; n < 8 {
			return p
		}
	}
}

// scanNumber reads the number at p. As Jackson is set by Kafka's converter, it may
// have leading zeros.
func (s *scanner) scanNumber(p int, d *decimal) int {
	b, start := s.b, p
	*d = decimal{integral: true, exact: true}
	if p < len(b) && b[p] == '-' {
		d.neg = true
		p++
	}
	end := d.run(b, p)
	if end == p {
		return s.unexpected(p, "a digit")
	}
	if p = end; p < len(b) && b[p] == '.' {
		d.integral = false
		if end = d.run(b, p+1); end == p+1 {
			return s.unexpected(end, "a digit after the point")
		}
		d.exp = p + 1 - end
		p = end
	}
	if p < len(b) && b[p]|0x20 == 'e' {
		if p = s.exponent(p+1, d); p < 0 {
			return -1
		}
	}
	if p-start > maxNumberBytes {
		return s.fail(start, "a number of more than 1000 characters")
	}
	return p
}

func (s *scanner) exponent(p int, d *decimal) int {
	b := s.b
	d.integral = false
	neg := p < len(b) && b[p] == '-'
	if p < len(b) && (b[p] == '-' || b[p] == '+') {
		p++
	}
	e, start := 0, p
	for ; p < len(b) && b[p]-'0' < 10; p++ {
		e = min(e*10+int(b[p]-'0'), 1e6)
	}
	if p == start {
		return s.unexpected(p, "a digit of the exponent")
	}
	if neg {
		e = -e
	}
	d.exp += e
	return p
}

// short reads up to 16 digits: their value and count.
func short(b []byte, p int) (uint64, int) {
	x, n := digits(b, p)
	if n == 8 {
		y, m := digits(b, p+8)
		return x*pow10[m] + y, 8 + m
	}
	return x, n
}

// number reads an integer as Int, any other number as Float. Most numbers have few
// digits and no exponent: those do not go through a decimal.
func (s *scanner) number(p int) (connect.Value, int) {
	b, at := s.b, p
	neg := b[p] == '-'
	if neg {
		at++
	}
	x, n := short(b, at)
	if at += n; n == 0 || n == 16 {
		return s.longNumber(p)
	}
	frac := 0
	if at < len(b) && b[at] == '.' {
		y, m := short(b, at+1)
		if m == 0 || n+m > 16 {
			return s.longNumber(p)
		}
		x, frac = x*pow10[m]+y, m
		at += 1 + m
	}
	if at < len(b) && b[at]|0x20 == 'e' || x >= 1<<53 {
		return s.longNumber(p)
	}
	if frac > 0 {
		f := float64(x) / exact10[frac] // both are exact: one rounding
		if neg {
			f = -f
		}
		return connect.FloatValue(f), at
	}
	if neg {
		return connect.IntValue(-int64(x)), at
	}
	return connect.IntValue(int64(x)), at
}

func (s *scanner) longNumber(p int) (connect.Value, int) {
	var d decimal
	end := s.scanNumber(p, &d)
	if end < 0 {
		return connect.Value{}, -1
	}
	if !d.integral {
		f, ok := d.float(s.b[p:end], 64)
		if !ok {
			return connect.Value{}, s.fail(p, "a number out of the range of 64-bit floating point")
		}
		return connect.FloatValue(f), end
	}
	i, ok := d.int()
	if !ok {
		return connect.Value{}, s.fail(p, "an integer of more than 64 bits")
	}
	return connect.IntValue(i), end
}

// int returns the number if it is an integer of 64 bits.
func (d *decimal) int() (int64, bool) {
	switch {
	case !d.integral || !d.exact:
		return 0, false
	case d.mantissa <= math.MaxInt64:
		if d.neg {
			return -int64(d.mantissa), true
		}
		return int64(d.mantissa), true
	}
	return math.MinInt64, d.neg && d.mantissa == 1<<63
}

var exact10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float returns the nearest number of 64 or 32 bits; it fails for one that would be
// infinite. text is the number as it stands.
func (d *decimal) float(text []byte, size int) (float64, bool) {
	// Both factors are exact, so there is one rounding.
	if d.exact && d.mantissa < 1<<53 && d.exp >= -22 && d.exp <= 22 && size == 64 {
		f := float64(d.mantissa)
		if d.exp < 0 {
			f /= exact10[-d.exp]
		} else {
			f *= exact10[d.exp]
		}
		if d.neg {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), size)
	return f, err == nil
}
