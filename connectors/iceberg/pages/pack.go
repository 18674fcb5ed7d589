package pages

import (
	"fmt"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A Scratch is the memory and the compressor that all files of one goroutine and codec
// share. What it keeps between calls is bounded.
type Scratch struct {
	codec compress.Codec // nil: pages stay as they are
	level int
	zstd  *zstd.Encoder

	stored   []columns.Stored
	page     []byte // at work, before compression
	packed   []byte
	trial    []byte
	indices  []uint32
	rows     []int32
	dense    values
	dec4     []uint32
	dec8     []uint64
	decBytes []byte

	huff      huff0.Scratch
	differ    []byte
	literals  []byte
	sequences []byte
}

// NewScratch makes a Scratch for files of one codec.
func NewScratch(codec compress.Compression, level int) (*Scratch, error) {
	s := &Scratch{level: level}
	var err error
	switch codec {
	case compress.Codecs.Uncompressed:
	case compress.Codecs.Zstd:
		l := zstd.SpeedDefault
		if level != compress.DefaultCompressionLevel {
			l = zstd.EncoderLevelFromZstd(level)
		}
		s.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true),
			zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderCRC(false), zstd.WithWindowSize(windowBytes))
	default:
		s.codec, err = compress.GetCodec(codec)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare compression %s: %w", codec, err)
	}
	return s, nil
}

// keepBytes is how much memory a Scratch keeps: pages of usual rows, not what one of a
// hundred megabytes has left.
const keepBytes = 16 << 20

// trim gives up memory if it is unusually much.
func (s *Scratch) trim() {
	for _, b := range []*[]byte{&s.page, &s.packed, &s.trial, &s.literals, &s.dense.data, &s.decBytes} {
		if cap(*b) > keepBytes {
			*b = nil
		}
	}
}

// windowBytes is how far back matches reach: about a page.
const windowBytes = 512 << 10

// Ways are how the pages of a table's columns are best compressed with Zstandard, found
// out by trying, and remembered from file to file. They belong to one goroutine.
type Ways struct {
	byPath map[string]*way
}

// of finds the way of a column.
func (w *Ways) of(path string) *way {
	c := w.byPath[path]
	if c == nil {
		if w.byPath == nil {
			w.byPath = map[string]*way{}
		}
		c = &way{}
		w.byPath[path] = c
	}
	return c
}

// A way is that of one column. Every so often all are tried.
type way struct {
	kind  wayKind
	pages int
}

type wayKind uint8

const (
	searched wayKind = iota
	huffmanOnly
	byStride
)

// tryEvery is how many pages go the same way.
const tryEvery = 32

// pack compresses a page, valid until the next call. Its values begin at first; all seem
// to have size bytes, unless that is 0.
func (s *Scratch) pack(w *way, page []byte, first, size int) []byte {
	switch {
	case s.zstd != nil && (len(page) > maxFrame || len(page) < minFrame):
		s.packed = s.zstd.EncodeAll(page, s.packed[:0])
	case s.zstd != nil:
		s.packZstd(w, page, first, size)
	case s.codec == nil:
		return page
	default:
		if most := int(s.codec.CompressBound(int64(len(page)))); cap(s.packed) < most {
			s.packed = make([]byte, 0, most)
		}
		s.packed = s.codec.EncodeLevel(s.packed[:0], page, s.level)
	}
	return s.packed
}

func (s *Scratch) packZstd(w *way, page []byte, first, size int) {
	w.pages++
	if w.pages%tryEvery == 1 {
		s.choose(w, page, first, size)
		return
	}
	switch w.kind {
	case byStride:
		if r, ok := s.regular(page, first, size); ok {
			s.packed = s.strided(s.packed[:0], page, r)
			return
		}
		s.choose(w, page, first, size)
	case huffmanOnly:
		s.packed = s.huffman(s.packed[:0], page)
	case searched:
		s.packed = s.zstd.EncodeAll(page, s.packed[:0])
	}
}

// choose compresses a page in all ways and keeps the best. The search, which costs the
// most, must be better by slack.
func (s *Scratch) choose(w *way, page []byte, first, size int) {
	w.kind, s.packed = searched, s.zstd.EncodeAll(page, s.packed[:0])
	best := len(s.packed) * slack / 100
	if s.trial = s.huffman(s.trial[:0], page); len(s.trial) < best {
		w.kind, best = huffmanOnly, len(s.trial)
		s.packed, s.trial = s.trial, s.packed
	}
	if r, ok := s.regular(page, first, size); ok {
		if s.trial = s.strided(s.trial[:0], page, r); len(s.trial) < best {
			w.kind = byStride
			s.packed, s.trial = s.trial, s.packed
		}
	}
}

const slack = 102 // percent
