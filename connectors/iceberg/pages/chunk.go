package pages

import (
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A chunk is one column of the row group at work: pages, compressed.
type chunk struct {
	column   *schema.Column
	path     string
	width    int    // bytes of a value, 0 if they differ
	optional []bool // parts of the column's path

	way  *way
	dict *dictionary // nil: there is none
	full bool        // the dictionary takes no more: pages are plain

	pages      [][]byte
	size       int64 // of pages
	raw        int64 // the same before compression
	values     int64 // nulls included
	nulls      int64
	plainPages int32
	dictPages  int32
	bounds     bounds
}

func newChunk(c *schema.Column, opts *Options) *chunk {
	k := &chunk{column: c, path: c.Path(), bounds: newBounds(c), way: opts.Ways.of(c.Path())}
	for n := c.SchemaNode(); n.Parent() != nil; n = n.Parent() {
		k.optional = append([]bool{n.RepetitionType() == parquet.Repetitions.Optional}, k.optional...)
	}
	lead := uint32(0)
	switch c.PhysicalType() {
	case parquet.Types.Int32, parquet.Types.Float:
		k.width = 4
	case parquet.Types.Int64, parquet.Types.Double:
		k.width = 8
	case parquet.Types.FixedLenByteArray:
		k.width = c.TypeLength()
	case parquet.Types.ByteArray:
		lead = 4
	}
	if opts.Dictionary[k.path] && c.PhysicalType() != parquet.Types.Boolean {
		k.dict = newDictionary(opts.DictionaryBytes, lead)
	}
	return k
}

// add turns rows into pages.
func (k *chunk) add(s *Scratch, st *columns.Stored, opts *Options) {
	all := s.values(st, k.column.PhysicalType(), k.width, 0, st.Len)
	rows := st.Len
	if b := int64(all.bytes()); b > opts.PageBytes {
		rows = max(8, int(int64(rows)*opts.PageBytes/b)&^7)
	}
	for from := 0; from < st.Len; from += rows {
		to := min(from+rows, st.Len)
		if rows < st.Len {
			all = s.values(st, k.column.PhysicalType(), k.width, from, to)
		}
		k.addPage(s, st, &all, from, to, opts)
	}
}

func (k *chunk) addPage(s *Scratch, st *columns.Stored, v *values, from, to int, opts *Options) {
	page := s.appendLevels(s.page[:0], st, k.optional, from, to)
	first := len(page)
	encoding, size := parquet.Encodings.Plain, k.width
	if k.dict != nil && !k.full && (v.n > 0 || k.dictPages > 0) {
		var ok bool
		if s.indices, ok = k.dict.index(s.indices[:0], v); ok {
			width := k.dict.width()
			page = appendHybrid(append(page, byte(width)), s.indices, width)
			encoding, size = opts.Properties.DictionaryIndexEncoding(), 0
			k.dictPages++
		} else {
			k.full = true
		}
	}
	if encoding == parquet.Encodings.Plain {
		page = v.appendPlain(page)
		if v.off != nil && v.n > 0 {
			size = 4 + int(v.off[1]-v.off[0])
		}
		k.bounds.add(v)
		k.plainPages++
	}
	s.page = page
	packed := s.pack(k.way, page, first, size)
	var head [64]byte
	header := appendDataHeader(head[:0], len(page), len(packed), to-from, encoding)
	k.keep(header, packed, len(page))
	k.values += int64(to - from)
	k.nulls += int64(to - from - v.n)
}

// keep takes over a copy of a page; raw is its size before compression.
func (k *chunk) keep(header, packed []byte, raw int) {
	k.pages = append(k.pages, append(append(make([]byte, 0, len(header)+len(packed)), header...), packed...))
	k.size += int64(len(header) + len(packed))
	k.raw += int64(len(header) + raw)
}

// held is the memory of the chunk.
func (k *chunk) held() int64 {
	if k.dict == nil {
		return k.size
	}
	return k.size + k.dict.held()
}

// end writes the chunk at position at of the file and describes it.
func (k *chunk) end(s *Scratch, w *counter, md *metadata.ColumnChunkMetaDataBuilder, opts *Options) error {
	info := metadata.ChunkMetaInfo{NumValues: k.values, IndexPageOffset: -1}
	stats := metadata.EncodingStats{DictEncodingStats: map[parquet.Encoding]int32{}, DataEncodingStats: map[parquet.Encoding]int32{}}
	if k.plainPages > 0 {
		stats.DataEncodingStats[parquet.Encodings.Plain] = k.plainPages
	}
	if k.dictPages > 0 {
		stats.DataEncodingStats[opts.Properties.DictionaryIndexEncoding()] = k.dictPages
		stats.DictEncodingStats[opts.Properties.DictionaryPageEncoding()] = 1
		k.boundDictionary()
		info.DictPageOffset = w.n
		packed := s.pack(&way{}, k.dict.body, 0, 0)
		var head [64]byte
		header := appendDictionaryHeader(head[:0], len(k.dict.body), len(packed), k.dict.len(), opts.Properties.DictionaryPageEncoding())
		if err := w.write(header, packed); err != nil {
			return err
		}
		k.size += int64(len(header) + len(packed))
		k.raw += int64(len(header) + len(k.dict.body))
	}
	info.DataPageOffset = w.n
	if err := w.write(k.pages...); err != nil {
		return err
	}
	info.CompressedSize, info.UncompressedSize = k.size, k.raw
	md.SetStats(k.bounds.encode(k.nulls))
	return md.Finish(info, k.dictPages > 0, k.dictPages > 0 && k.plainPages > 0, stats)
}

// boundDictionary takes the entries of the dictionary into the bounds.
func (k *chunk) boundDictionary() {
	v := values{n: k.dict.len()}
	switch d := k.dict; {
	case d.ends == nil && k.width == 8:
		v.words8 = d.heads
		k.bounds.add(&v)
	case d.ends == nil:
		for _, h := range d.heads {
			v.words4 = append(v.words4, uint32(h))
		}
		k.bounds.add(&v)
	case d.lead > 0:
		for i, h := range d.heads {
			k.bounds.text(d.text(i), h)
		}
	default:
		v.data, v.width = d.body, k.width
		k.bounds.add(&v)
	}
}
