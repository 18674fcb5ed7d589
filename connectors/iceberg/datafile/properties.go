package datafile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// Properties of tables that the writer obeys (Iceberg, "Write properties").
const (
	propFormat      = "write.format.default"
	propTargetBytes = "write.target-file-size-bytes"
	propCodec       = "write.parquet.compression-codec"
	propLevel       = "write.parquet.compression-level"
	propGroupBytes  = "write.parquet.row-group-size-bytes"
	propPageBytes   = "write.parquet.page-size-bytes"
	propDictBytes   = "write.parquet.dict-size-bytes"
	propEncodings   = "firn.parquet.encodings"
	encodingsCompat = "compat" // plain and dictionary: every reader takes them
	encodingsFast   = "fast"   // delta and split encodings: smaller and cheaper, for new readers
)

// Defaults that are not Iceberg's.
const (
	// Iceberg ends a page at 1 MiB or 20,000 rows. The Parquet library knows no limit of
	// rows; this is about as many of common values, and 5 % less CPU than 1 MiB: buffers
	// come round before they are collected.
	defaultPageBytes = 256 << 10

	defaultZstdLevel = 1 // level 3, the usual one, costs a fifth more CPU for 1 % fewer bytes
)

// settings are a table's properties, read.
type settings struct {
	targetBytes int64
	groupBytes  int64
	pageBytes   int64
	dictBytes   int64
	fast        bool
	codec       compress.Compression
	level       int
	parquet     []parquet.WriterProperty
}

// parseSettings reads the properties with Iceberg's defaults, but those above, and zstd
// for a table that names no codec.
func parseSettings(props map[string]string) (*settings, error) {
	if f := props[propFormat]; f != "" && !strings.EqualFold(f, "parquet") {
		return nil, fmt.Errorf("%s is %q: this build writes parquet only; set iceberg.tables.write-props.%s=parquet", propFormat, f, propFormat)
	}
	s := &settings{}
	for _, p := range []struct {
		key  string
		to   *int64
		dflt int64
	}{
		{propTargetBytes, &s.targetBytes, 512 << 20},
		{propGroupBytes, &s.groupBytes, 128 << 20},
		{propPageBytes, &s.pageBytes, defaultPageBytes},
		{propDictBytes, &s.dictBytes, 2 << 20},
	} {
		var err error
		if *p.to, err = positive(props, p.key, p.dflt); err != nil {
			return nil, err
		}
	}
	switch e := props[propEncodings]; e {
	case "", encodingsCompat:
	case encodingsFast:
		s.fast = true
	default:
		return nil, fmt.Errorf("%s is %q: want %s or %s", propEncodings, e, encodingsCompat, encodingsFast)
	}
	var err error
	if s.codec, s.level, err = compression(props); err != nil {
		return nil, err
	}
	s.parquet = []parquet.WriterProperty{
		parquet.WithCreatedBy("firn"),
		parquet.WithCompression(s.codec),
		parquet.WithCompressionLevel(s.level),
		parquet.WithDataPageSize(s.pageBytes),
		parquet.WithDictionaryPageSizeLimit(s.dictBytes),
		parquet.WithMaxRowGroupLength(1 << 40), // groups are cut by bytes
		parquet.WithStoreDecimalAsInteger(true),
	}
	return s, nil
}

func positive(props map[string]string, key string, dflt int64) (int64, error) {
	text, ok := props[key]
	if !ok {
		return dflt, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s is %q: want a number of bytes above 0", key, text)
	}
	return n, nil
}

var codecs = map[string]compress.Compression{ // read only
	"brotli":       compress.Codecs.Brotli,
	"gzip":         compress.Codecs.Gzip,
	"lz4_raw":      compress.Codecs.Lz4Raw,
	"none":         compress.Codecs.Uncompressed,
	"snappy":       compress.Codecs.Snappy,
	"uncompressed": compress.Codecs.Uncompressed,
	"zstd":         compress.Codecs.Zstd,
}

func compression(props map[string]string) (codec compress.Compression, level int, err error) {
	name := props[propCodec]
	if name == "" {
		name = "zstd"
	}
	codec, ok := codecs[strings.ToLower(name)]
	if !ok {
		var known []string
		for k := range codecs {
			known = append(known, k)
		}
		slices.Sort(known)
		return 0, 0, fmt.Errorf("%s is %q: this build has %s", propCodec, name, strings.Join(known, ", "))
	}
	level = compress.DefaultCompressionLevel
	if codec == compress.Codecs.Zstd {
		level = defaultZstdLevel
	}
	if text := props[propLevel]; text != "" && text != "null" {
		if level, err = strconv.Atoi(text); err != nil {
			return 0, 0, fmt.Errorf("%s is %q: want a number", propLevel, text)
		}
	}
	return codec, level, nil
}
