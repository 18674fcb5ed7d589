package json

import (
	"encoding/binary"
	"math/big"
	"math/bits"

	"github.com/firn-io/firn/connect"
)

// shifted is the number times 10^scale if that is an integer of 64 bits.
func (d *decimal) shifted(scale int) (int64, bool) {
	shift, m := d.exp+scale, d.mantissa
	if !d.exact || shift < -18 || shift > 18 {
		return 0, false
	}
	for ; shift < 0; shift++ {
		if m%10 != 0 {
			return 0, false
		}
		m /= 10
	}
	for ; shift > 0; shift-- {
		hi, lo := bits.Mul64(m, 10)
		if hi != 0 {
			return 0, false
		}
		m = lo
	}
	whole := decimal{neg: d.neg, integral: true, exact: true, mantissa: m}
	return whole.int()
}

// shortest is the shortest two's complement form of i, big-endian.
func shortest(arena *connect.Arena, i int64) []byte {
	n := bits.Len64(uint64(i^i>>63))/8 + 1
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], uint64(i))
	out := arena.Bytes(n)
	copy(out, all[8-n:])
	return out
}

// unscaled is the number times 10^scale, if that is an integer. A long number is
// rare: it takes the way through math/big.
func (d *decimal) unscaled(text []byte, scale int) (*big.Int, bool) {
	shift := d.exp + scale
	if shift < -2*maxScale || shift > 2*maxScale {
		return nil, d.exact && d.mantissa == 0
	}
	x := new(big.Int).SetUint64(d.mantissa)
	if !d.exact {
		x = mantissa(text)
	}
	if d.neg {
		x.Neg(x)
	}
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift >= 0 {
		return x.Mul(x, factor), true
	}
	var rest big.Int
	x.QuoRem(x, factor, &rest)
	return x, rest.Sign() == 0
}

// mantissa is the number made of all digits before the exponent.
func mantissa(text []byte) *big.Int {
	var all []byte
	for _, c := range text {
		if c|0x20 == 'e' {
			break
		}
		if c-'0' < 10 {
			all = append(all, c)
		}
	}
	x, _ := new(big.Int).SetString(string(all), 10)
	return x
}

// twosComplement is the shortest form of x, as Java's BigInteger.toByteArray; nil
// counts as 0.
func twosComplement(arena *connect.Arena, x *big.Int) []byte {
	if x == nil || x.Sign() == 0 {
		out := arena.Bytes(1)
		out[0] = 0
		return out
	}
	n := x.BitLen()/8 + 1
	if x.Sign() < 0 {
		n = new(big.Int).Not(x).BitLen()/8 + 1
		x = new(big.Int).Add(x, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	return x.FillBytes(arena.Bytes(n))
}
