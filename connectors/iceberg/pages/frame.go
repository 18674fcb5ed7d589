package pages

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/klauspost/compress/huff0"
)

// Zstandard frames written here are those of which the layout is known without a search:
// every literal in Huffman code and no matches; or, for values of one size that agree in
// some of their bytes, the same match over and over. Both are ordinary frames (RFC 8878).

const (
	blockRaw        = 0
	blockCompressed = 2
	maxBlock        = 128 << 10 // bytes of content of one block

	literalsRaw        = 0
	literalsRLE        = 1
	literalsCompressed = 2
)

// Sizes of content that is framed here: what pays, and a window that every decoder has.
const (
	minFrame = 1 << 10
	maxFrame = 4 << 20
)

// appendFrameHeader begins a frame of n bytes in one segment, without a checksum:
// Parquet files of other writers have none either.
func appendFrameHeader(dst []byte, n int) []byte {
	dst = append(dst, 0x28, 0xB5, 0x2F, 0xFD, 2<<6|1<<5)
	return binary.LittleEndian.AppendUint32(dst, uint32(n))
}

// appendBlockHeader begins a block of n bytes as stored.
func appendBlockHeader(dst []byte, kind, n int, last bool) []byte {
	h := uint32(kind)<<1 | uint32(n)<<3
	if last {
		h |= 1
	}
	return append(dst, byte(h), byte(h>>8), byte(h>>16))
}

// huffman frames src without matches.
func (s *Scratch) huffman(dst, src []byte) []byte {
	dst = appendFrameHeader(dst, len(src))
	for len(src) > 0 {
		n := min(len(src), maxBlock)
		dst = s.appendBlock(dst, src[:n], nil, n == len(src))
		src = src[n:]
	}
	return dst
}

// appendBlock adds a block of literals and of sequences, which are as stored; nil for
// none.
func (s *Scratch) appendBlock(dst, literals, sequences []byte, last bool) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0)
	dst = s.appendLiterals(dst, literals)
	if sequences == nil {
		dst = append(dst, 0)
	}
	dst = append(dst, sequences...)
	if sequences == nil && len(dst)-at-3 >= len(literals) { // in vain
		dst = appendBlockHeader(dst[:at], blockRaw, len(literals), last)
		return append(dst, literals...)
	}
	appendBlockHeader(dst[:at], blockCompressed, len(dst)-at-3, last)
	return dst
}

// minHuffman is how many literals are worth a table.
const minHuffman = 64

func (s *Scratch) appendLiterals(dst, src []byte) []byte {
	if len(src) < minHuffman {
		return append(appendRawHeader(dst, literalsRaw, len(src)), src...)
	}
	s.huff.Reuse = huff0.ReusePolicyNone
	single := len(src) < 1024
	compress := huff0.Compress4X
	if single {
		compress = huff0.Compress1X
	}
	out, _, err := compress(src, &s.huff)
	if errors.Is(err, huff0.ErrUseRLE) {
		return append(appendRawHeader(dst, literalsRLE, len(src)), src[0])
	}
	if err != nil || len(out) >= len(src) {
		return append(appendRawHeader(dst, literalsRaw, len(src)), src...)
	}
	// Both sizes after four bits; how many bits they have is told by two of these.
	form, width := uint64(0), 10
	if !single {
		switch form = 1; {
		case len(src) >= 1<<14:
			form, width = 3, 18
		case len(src) >= 1<<10:
			form, width = 2, 14
		}
	}
	h := literalsCompressed | form<<2 | uint64(len(src))<<4 | uint64(len(out))<<(4+width)
	for range (4 + 2*width) / 8 {
		dst = append(dst, byte(h))
		h >>= 8
	}
	return append(dst, out...)
}

// appendRawHeader begins a section of n literals that are raw or all the same.
func appendRawHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		return append(dst, byte(kind|1<<2|n<<4), byte(n>>4))
	}
	return append(dst, byte(kind|3<<2|n<<4), byte(n>>4), byte(n>>12))
}

// A stride is a regularity of a page: values of size bytes from position first on, of
// which those from position same to same+match-1, counted around, are equal in all.
type stride struct{ first, size, same, match int }

const (
	minMatch  = 3
	maxStride = 256
	maxFirst  = 512 // bytes before the first value: levels
)

// regular looks for a stride of the given size.
func (s *Scratch) regular(page []byte, first, size int) (stride, bool) {
	n := (len(page) - first) / max(size, 1)
	if size < minMatch+1 || size > maxStride || first > maxFirst || n < 256 || len(page) > maxFrame {
		return stride{}, false
	}
	if cap(s.differ) < maxStride+8 {
		s.differ = make([]byte, maxStride+8)
	}
	differ := s.differ[:size]
	clear(differ)
	prev := page[first : first+size]
	for at := first + size; at+size <= len(page); at += size {
		value := page[at : at+size]
		k := 0
		for ; k+8 <= size; k += 8 {
			d := binary.LittleEndian.Uint64(value[k:]) ^ binary.LittleEndian.Uint64(prev[k:]) | binary.LittleEndian.Uint64(differ[k:])
			binary.LittleEndian.PutUint64(differ[k:], d)
		}
		for ; k < size; k++ {
			differ[k] |= value[k] ^ prev[k]
		}
		prev = value
	}
	r := stride{first: first, size: size}
	for from := range size {
		run := 0
		for run < size && differ[(from+run)%size] == 0 {
			run++
		}
		if run > r.match {
			r.same, r.match = from, run
		}
	}
	r.match = min(r.match, 34) // lengths up to there have a code of their own
	return r, r.match >= minMatch && r.match < size
}

// strided frames a page of that regularity.
func (s *Scratch) strided(dst, page []byte, r stride) []byte {
	dst = appendFrameHeader(dst, len(page))
	// The first block makes the distance known: all before the second value's equal
	// bytes as literals, and one match.
	at := r.first + r.size + r.same
	offset := uint32(r.size + 3)
	ofCode := bits.Len32(offset) - 1
	llCode, llBits, llBase := literalCode(at)
	var w bitWriter
	w.out = append(s.sequences[:0], 1, 1<<6|1<<4|1<<2, byte(llCode), byte(ofCode), byte(r.match-3))
	w.add(uint32(at-llBase), llBits)
	w.add(offset&(1<<ofCode-1), ofCode)
	s.sequences = w.close()
	dst = s.appendBlock(dst, page[:at], s.sequences, false)
	at += r.match

	// Then always the same: some literals, and a match at the distance of the last one.
	lits := r.size - r.match
	llCode, llBits, llBase = literalCode(lits)
	for {
		n := min((len(page)-at)/r.size, maxBlock/r.size)
		if n == 0 {
			return s.appendBlock(dst, page[at:], nil, true)
		}
		s.literals = s.literals[:0]
		for range n {
			s.literals = append(s.literals, page[at:at+lits]...)
			at += r.size
		}
		w := bitWriter{out: appendCount(s.sequences[:0], n)}
		w.out = append(w.out, 1<<6|1<<4|1<<2, byte(llCode), 0, byte(r.match-3))
		for range n {
			w.add(uint32(lits-llBase), llBits)
		}
		s.sequences = w.close()
		dst = s.appendBlock(dst, s.literals, s.sequences, false)
	}
}

// appendCount adds a number of sequences.
func appendCount(dst []byte, n int) []byte {
	switch {
	case n < 128:
		return append(dst, byte(n))
	case n < 0x7F00:
		return append(dst, byte(n>>8|0x80), byte(n))
	}
	return append(dst, 0xFF, byte(n-0x7F00), byte((n-0x7F00)>>8))
}

// literalCodes are the lowest lengths of the codes from 16 on, and their extra bits.
var literalCodes = [...]struct{ base, bits int }{ // read only
	{16, 1}, {18, 1}, {20, 1}, {22, 1}, {24, 2}, {28, 2}, {32, 3}, {40, 3}, {48, 4}, {64, 6}, {128, 7}, {256, 8}, {512, 9}, {1024, 10},
}

// literalCode is the code of a number of literals below 2048.
func literalCode(n int) (code, extra, base int) {
	if n < 16 {
		return n, 0, n
	}
	for code = len(literalCodes) - 1; literalCodes[code].base > n; code-- {
	}
	return 16 + code, literalCodes[code].bits, literalCodes[code].base
}

// A bitWriter writes what a decoder reads from the end.
type bitWriter struct {
	out  []byte
	acc  uint64
	have int
}

func (w *bitWriter) add(v uint32, n int) {
	w.acc |= uint64(v) << w.have
	for w.have += n; w.have >= 8; w.have -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

// close marks the end.
func (w *bitWriter) close() []byte {
	w.add(1, 1)
	if w.have > 0 {
		w.out = append(w.out, byte(w.acc))
	}
	return w.out
}
