package columns

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/firn-io/firn/connect"
)

// A variantWriter encodes values for columns of type variant: any value with its own
// types, as two texts of bytes. metadata is the sorted dictionary of all field names in
// the value. (Source: Apache Parquet, "Variant Binary Encoding", version 1.)
//
// Types are those of Java's sink: integers as wide as their schema says (64 bits without
// one), decimals as narrow as they can be, Connect's dates, times and timestamps as such.
type variantWriter struct {
	names   []string
	entries []variantEntry
	ends    []int
}

// A variantEntry is a field of an object on its way.
type variantEntry struct {
	name   string
	value  connect.Value
	schema *connect.Schema
}

// Basic types, the low two bits of a value's first byte; 0 is a primitive.
const (
	variantShortString = iota + 1
	variantObject
	variantArray
)

// Primitive types, the other bits.
const (
	variantNull = iota
	variantTrue
	variantFalse
	variantInt8
	variantInt16
	variantInt32
	variantInt64
	variantDouble
	variantDecimal4
	variantDecimal8
	variantDecimal16
	variantDate
	variantTimestamp
	_ // timestamp without zone
	variantFloat
	variantBinary
	variantString
	variantTime
)

// maxVariantDepth bounds the nesting of a value.
const maxVariantDepth = 500

// appendVariant writes a variant column.
func (f *field) appendVariant(vec *vector, v connect.Value) error {
	w := &f.scratch.variant
	w.names = w.names[:0]
	if err := w.collect(v, f.schema, 0); err != nil {
		return f.noVariant(err)
	}
	slices.Sort(w.names)
	w.names = slices.Compact(w.names)
	metadata, value := vec.kids[0], vec.kids[1]
	metadata.data = w.appendMetadata(metadata.data)
	metadata.endBytes()
	var err error
	if value.data, err = f.variantValue(value.data, v, f.schema); err != nil {
		return f.noVariant(err)
	}
	value.endBytes()
	vec.pushed()
	return nil
}

func (f *field) noVariant(err error) error {
	return &connect.DataError{Msg: fmt.Sprintf("column %q: %v", f.path, err)}
}

// collect gathers the names of all fields.
func (w *variantWriter) collect(v connect.Value, s *connect.Schema, depth int) error {
	if depth > maxVariantDepth {
		return fmt.Errorf("the value nests deeper than %d levels", maxVariantDepth)
	}
	switch v.Kind() { //nolint:exhaustive // the rest has no parts
	case connect.Array:
		for _, e := range v.Elems() {
			if err := w.collect(e, elemOf(s), depth+1); err != nil {
				return err
			}
		}
	case connect.Map:
		pairs := v.Pairs()
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i].Kind() != connect.String {
				return fmt.Errorf("a map with keys that are %s has no form as a variant", pairs[i].Kind())
			}
			w.names = append(w.names, pairs[i].Text())
			if err := w.collect(pairs[i+1], elemOf(s), depth+1); err != nil {
				return err
			}
		}
	case connect.Struct:
		vals := v.Fields()
		if s == nil || len(s.Fields) != len(vals) {
			return fmt.Errorf("a struct of %d fields does not match the record's schema", len(vals))
		}
		for i, e := range vals {
			w.names = append(w.names, s.Fields[i].Name)
			if err := w.collect(e, s.Fields[i].Schema, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendMetadata writes the dictionary.
func (w *variantWriter) appendMetadata(dst []byte) []byte {
	total := 0
	for _, n := range w.names {
		total += len(n)
	}
	size := widthOf(max(total, len(w.names)))
	const version, sorted = 1, 1 << 4
	dst = append(dst, version|sorted|byte(size-1)<<6)
	dst = appendWidth(dst, len(w.names), size)
	at := 0
	for _, n := range w.names {
		dst = appendWidth(dst, at, size)
		at += len(n)
	}
	dst = appendWidth(dst, at, size)
	for _, n := range w.names {
		dst = append(dst, n...)
	}
	return dst
}

// variantValue appends one value.
func (f *field) variantValue(dst []byte, v connect.Value, s *connect.Schema) ([]byte, error) {
	switch v.Kind() {
	case connect.Null:
		return append(dst, variantNull<<2), nil
	case connect.Bool:
		if v.Bool() {
			return append(dst, variantTrue<<2), nil
		}
		return append(dst, variantFalse<<2), nil
	case connect.Int:
		return variantInt(dst, v.Int(), s)
	case connect.Float:
		if s != nil && s.Type == connect.Float32 {
			return binary.LittleEndian.AppendUint32(append(dst, variantFloat<<2), math.Float32bits(float32(v.Float()))), nil
		}
		return binary.LittleEndian.AppendUint64(append(dst, variantDouble<<2), math.Float64bits(v.Float())), nil
	case connect.String:
		text := v.Text()
		if len(text) < 64 {
			return append(append(dst, variantShortString|byte(len(text))<<2), text...), nil
		}
		return append(binary.LittleEndian.AppendUint32(append(dst, variantString<<2), uint32(len(text))), text...), nil
	case connect.Bytes:
		if s != nil && meaningOf(s).source == decimalSource {
			return f.variantDecimal(dst, v.Bytes(), s)
		}
		return append(binary.LittleEndian.AppendUint32(append(dst, variantBinary<<2), uint32(v.Len())), v.Bytes()...), nil
	case connect.Array:
		return f.variantArray(dst, v.Elems(), elemOf(s))
	case connect.Map, connect.Struct:
		return f.variantObject(dst, v, s)
	}
	panic(fmt.Sprintf("columns: unknown kind %s", v.Kind()))
}

// variantInt writes an integer, or a date or time of Connect.
func variantInt(dst []byte, x int64, s *connect.Schema) ([]byte, error) {
	if s != nil {
		switch m := meaningOf(s); {
		case m.javaDate && m.source == dateSource:
			return binary.LittleEndian.AppendUint32(append(dst, variantDate<<2), uint32(x)), nil
		case m.javaDate:
			us, ok := times(x, m.unit/micro)
			if !ok {
				return dst, fmt.Errorf("%d milliseconds are out of range for a variant", x)
			}
			kind := byte(variantTimestamp << 2)
			if m.source == timeSource {
				kind = variantTime << 2
			}
			return binary.LittleEndian.AppendUint64(append(dst, kind), uint64(us)), nil
		}
		switch s.Type { //nolint:exhaustive // the rest is 64 bits wide
		case connect.Int8:
			return append(dst, variantInt8<<2, byte(x)), nil
		case connect.Int16:
			return binary.LittleEndian.AppendUint16(append(dst, variantInt16<<2), uint16(x)), nil
		case connect.Int32:
			return binary.LittleEndian.AppendUint32(append(dst, variantInt32<<2), uint32(x)), nil
		}
	}
	return binary.LittleEndian.AppendUint64(append(dst, variantInt64<<2), uint64(x)), nil
}

// variantDecimal writes a decimal with the fewest bytes.
func (f *field) variantDecimal(dst, unscaled []byte, s *connect.Schema) ([]byte, error) {
	scale, err := decimalScale(s)
	if err != nil || len(unscaled) > maxDigits {
		return dst, fmt.Errorf("a decimal of scale %q has no form as a variant", s.Parameters["scale"])
	}
	setBytes(&f.scratch.x, unscaled)
	if scale < 0 {
		f.scratch.rescale(scale, 0)
		scale = 0
	}
	x := &f.scratch.x
	if scale > maxPrecision || x.CmpAbs(power10(&f.scratch.y, maxPrecision)) >= 0 {
		return dst, fmt.Errorf("a decimal of scale %d and %d digits has no form as a variant", scale, len(x.Text(10)))
	}
	n := decimal128.FromBigInt(x)
	switch {
	case x.CmpAbs(power10(&f.scratch.y, 9)) < 0:
		return binary.LittleEndian.AppendUint32(append(dst, variantDecimal4<<2, byte(scale)), uint32(n.LowBits())), nil
	case x.CmpAbs(power10(&f.scratch.y, 18)) < 0:
		return binary.LittleEndian.AppendUint64(append(dst, variantDecimal8<<2, byte(scale)), n.LowBits()), nil
	}
	dst = binary.LittleEndian.AppendUint64(append(dst, variantDecimal16<<2, byte(scale)), n.LowBits())
	return binary.LittleEndian.AppendUint64(dst, uint64(n.HighBits())), nil
}

// variantArray writes the elements, and before them their number and where each ends.
func (f *field) variantArray(dst []byte, elems []connect.Value, s *connect.Schema) ([]byte, error) {
	w := &f.scratch.variant
	start, first := len(dst), len(w.ends)
	defer func() { w.ends = w.ends[:first] }()
	var err error
	for _, e := range elems {
		if dst, err = f.variantValue(dst, e, s); err != nil {
			return dst, err
		}
		w.ends = append(w.ends, len(dst)-start)
	}
	size := widthOf(len(dst) - start)
	count, large := countWidth(len(elems))
	header := []byte{variantArray | byte(size-1)<<2 | large<<4}
	header = appendWidth(header, len(elems), count)
	return slices.Insert(dst, start, appendEnds(header, w.ends[first:], size)...), nil
}

// variantObject writes the fields in the order of their names, and before them their
// number, the number of each one's name in the dictionary, and where each ends.
func (f *field) variantObject(dst []byte, v connect.Value, s *connect.Schema) ([]byte, error) {
	w := &f.scratch.variant
	start, first, begin := len(dst), len(w.ends), len(w.entries)
	defer func() {
		clear(w.entries[begin:])
		w.ends, w.entries = w.ends[:first], w.entries[:begin]
	}()
	w.fields(v, s)
	n := len(w.entries) - begin
	var err error
	for i := range n {
		e := w.entries[begin+i] // the slice may move
		if dst, err = f.variantValue(dst, e.value, e.schema); err != nil {
			return dst, err
		}
		w.ends = append(w.ends, len(dst)-start)
	}
	size, ids := widthOf(len(dst)-start), widthOf(max(len(w.names)-1, 0))
	count, large := countWidth(n)
	header := []byte{variantObject | byte(size-1)<<2 | byte(ids-1)<<4 | large<<6}
	header = appendWidth(header, n, count)
	for _, e := range w.entries[begin:] {
		id, _ := slices.BinarySearch(w.names, e.name)
		header = appendWidth(header, id, ids)
	}
	return slices.Insert(dst, start, appendEnds(header, w.ends[first:], size)...), nil
}

// fields appends the entries of a struct or map by name; the last of equal ones counts.
func (w *variantWriter) fields(v connect.Value, s *connect.Schema) {
	begin := len(w.entries)
	if v.Kind() == connect.Struct {
		for i, e := range v.Fields() {
			w.entries = append(w.entries, variantEntry{s.Fields[i].Name, e, s.Fields[i].Schema})
		}
	} else {
		pairs := v.Pairs()
		for i := 0; i+1 < len(pairs); i += 2 {
			w.entries = append(w.entries, variantEntry{pairs[i].Text(), pairs[i+1], elemOf(s)})
		}
	}
	mine := w.entries[begin:]
	slices.SortStableFunc(mine, func(a, b variantEntry) int { return strings.Compare(a.name, b.name) })
	kept := mine[:0]
	for i, e := range mine {
		if i+1 == len(mine) || mine[i+1].name != e.name {
			kept = append(kept, e)
		}
	}
	w.entries = w.entries[:begin+len(kept)]
}

// appendEnds writes where values begin and the last one ends.
func appendEnds(dst []byte, ends []int, size int) []byte {
	dst = appendWidth(dst, 0, size)
	for _, e := range ends {
		dst = appendWidth(dst, e, size)
	}
	return dst
}

// widthOf is the number of bytes that hold a number.
func widthOf(n int) int {
	switch {
	case n <= math.MaxUint8:
		return 1
	case n <= math.MaxUint16:
		return 2
	case n < 1<<24:
		return 3
	}
	return 4
}

// countWidth is the number of bytes for a number of elements, and the flag that says so.
func countWidth(n int) (width int, large byte) {
	if n <= math.MaxUint8 {
		return 1, 0
	}
	return 4, 1
}

func appendWidth(dst []byte, n, width int) []byte {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return append(dst, b[:width]...)
}
