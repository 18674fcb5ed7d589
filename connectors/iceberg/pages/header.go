package pages

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet"
)

// Numbers of Parquet's thrift definitions, in the compact protocol.
const (
	thriftFalse  = 2
	thriftI32    = 5
	thriftStruct = 12

	typeDataPage       = 0
	typeDictionaryPage = 2
)

// appendI32 adds field last+delta of a struct.
func appendI32(dst []byte, delta byte, v int32) []byte {
	return binary.AppendVarint(append(dst, delta<<4|thriftI32), int64(v))
}

// appendHeader adds a PageHeader up to the struct of its type, which is field id.
func appendHeader(dst []byte, pageType int32, id byte, raw, packed int) []byte {
	dst = appendI32(dst, 1, pageType)
	dst = appendI32(dst, 1, int32(raw))
	dst = appendI32(dst, 1, int32(packed))
	return append(dst, (id-3)<<4|thriftStruct)
}

// appendDataHeader adds the header of a data page of version 1.
func appendDataHeader(dst []byte, raw, packed, values int, encoding parquet.Encoding) []byte {
	dst = appendHeader(dst, typeDataPage, 5, raw, packed)
	dst = appendI32(dst, 1, int32(values))
	dst = appendI32(dst, 1, int32(encoding))
	dst = appendI32(dst, 1, int32(parquet.Encodings.RLE)) // of definition levels
	dst = appendI32(dst, 1, int32(parquet.Encodings.RLE)) // of repetition levels
	return append(dst, 0, 0)
}

// appendDictionaryHeader adds the header of a dictionary page.
func appendDictionaryHeader(dst []byte, raw, packed, values int, encoding parquet.Encoding) []byte {
	dst = appendHeader(dst, typeDictionaryPage, 7, raw, packed)
	dst = appendI32(dst, 1, int32(values))
	dst = appendI32(dst, 1, int32(encoding))
	return append(dst, 1<<4|thriftFalse, 0, 0) // is_sorted
}
