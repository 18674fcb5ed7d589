package pages

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func newScratch(t testing.TB, codec compress.Compression) *Scratch {
	t.Helper()
	s, err := NewScratch(codec, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unpack(t rapid.TB, packed []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatalf("decode frame of %d bytes: %v", len(packed), err)
	}
	return out
}

// page makes n values of size bytes after first bytes of levels; those from position same
// to same+match-1, counted around, are the same in all values, of the others each is one of kinds.
func page(r *rand.Rand, first, size, same, match, n, kinds, tail int) []byte {
	out := make([]byte, first+n*size+tail)
	for i := range out {
		out[i] = byte(r.IntN(kinds))
	}
	for k := range match {
		at := (same + k) % size
		for i := range n {
			out[first+i*size+at] = byte('A' + k)
		}
	}
	return out
}

func TestFrames(t *testing.T) {
	s := newScratch(t, compress.Codecs.Zstd)
	regular := 0
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 300).Draw(t, "size")
		p := page(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
			rapid.IntRange(0, 600).Draw(t, "first"), size, rapid.IntRange(0, size-1).Draw(t, "same"), rapid.IntRange(0, size).Draw(t, "match"),
			rapid.SampledFrom([]int{1, 255, 256, 300, 2000, 20_000}).Draw(t, "n"), rapid.SampledFrom([]int{1, 2, 10, 16, 256}).Draw(t, "kinds"), rapid.IntRange(0, 9).Draw(t, "tail"))
		if got := unpack(t, s.huffman(nil, p)); !bytes.Equal(got, p) {
			t.Fatalf("without matches: %d bytes come back as %d others", len(p), len(got))
		}
		first := len(p) % size
		if r, ok := s.regular(p, first, size); ok {
			regular++
			if got := unpack(t, s.strided(nil, p, r)); !bytes.Equal(got, p) {
				t.Fatalf("%+v: %d bytes come back as %d others", r, len(p), len(got))
			}
		}
		var w way
		for range 2 { // choosing, and the way that was chosen
			if got := unpack(t, s.pack(&w, p, first, size)); !bytes.Equal(got, p) {
				t.Fatalf("packed %+v: %d bytes come back as %d others", w, len(p), len(got))
			}
		}
	})
	if regular == 0 {
		t.Error("no page was regular")
	}
}

// TestStride measures what the known layout is worth: texts of 16 hexadecimal digits
// need little more than half a byte for each.
func TestStride(t *testing.T) {
	s := newScratch(t, compress.Codecs.Zstd)
	r := rand.New(rand.NewPCG(1, 2))
	var p []byte
	const n = 20_000
	for range n {
		p = fmt.Appendf(binary.LittleEndian.AppendUint32(p, 16), "%016x", r.Uint64())
	}
	var w way
	packed := s.pack(&w, p, 0, 20)
	if w.kind != byStride {
		t.Errorf("packed by way %d, want that of the stride", w.kind)
	}
	if most := n * 83 / 10; len(packed) > most {
		t.Errorf("%d bytes, want at most %d", len(packed), most)
	}
	if got := unpack(t, packed); !bytes.Equal(got, p) {
		t.Error("other bytes come back")
	}
	for name, size := range map[string]int{"searched": len(s.zstd.EncodeAll(p, nil)), "without matches": len(s.huffman(nil, p))} {
		if size < len(packed) {
			t.Errorf("%s: %d bytes, less than %d", name, size, len(packed))
		}
	}
}

// TestRegularBroken sees that a page which only begins regularly is noticed.
func TestRegularBroken(t *testing.T) {
	s := newScratch(t, compress.Codecs.Zstd)
	p := page(rand.New(rand.NewPCG(3, 4)), 2, 20, 0, 6, 5000, 16, 0)
	var w way
	s.pack(&w, p, 2, 20)
	if w.kind != byStride {
		t.Fatal("the regular page was not packed by its stride")
	}
	for k := range 6 {
		p[2+4000*20+k]++
	}
	if got := unpack(t, s.pack(&w, p, 2, 20)); !bytes.Equal(got, p) {
		t.Error("other bytes come back")
	}
	if w.kind == byStride {
		t.Error("the irregular page was packed by its stride")
	}
}
