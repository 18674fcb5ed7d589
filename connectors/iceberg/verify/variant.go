package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	decimals "github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/parquet/variant"
	"github.com/google/uuid"
	"github.com/xitongsys/parquet-go/common"
	"github.com/xitongsys/parquet-go/reader"
)

// maxVariantDepth bounds the nesting of variants.
const maxVariantDepth = 500

// variant adds a variant. Its stream has the same bytes however the variant is encoded: the
// order of its dictionary, the width of whole numbers and the form of decimals do not count.
// (Source: Parquet specification, "Variant Binary Encoding", type equivalence classes.)
func (h *rowHasher) variant(l int, metadata, value []byte) error {
	m, err := variant.NewMetadata(metadata)
	if err != nil {
		return err
	}
	v, err := variant.NewWithMetadata(m, value)
	if err != nil {
		return err
	}
	h.bufs[l], err = appendVariant(h.bufs[l], v, 0)
	return err
}

// Marks of the values in a variant; those of other types are variant.Type.
const (
	exactNumber = 'n'
	anyFloat    = 'f'
)

func appendVariant(b []byte, v variant.Value, depth int) ([]byte, error) {
	if depth > maxVariantDepth {
		return b, cannot("a variant is nested deeper than %d", maxVariantDepth)
	}
	switch x := v.Value().(type) {
	case int8:
		return appendExact(b, big.NewInt(int64(x)), 0), nil
	case int16:
		return appendExact(b, big.NewInt(int64(x)), 0), nil
	case int32:
		return appendExact(b, big.NewInt(int64(x)), 0), nil
	case int64:
		return appendExact(b, big.NewInt(x), 0), nil
	case variant.DecimalValue[decimals.Decimal32]:
		return appendExact(b, big.NewInt(int64(x.Value.(decimals.Decimal32))), x.Scale), nil
	case variant.DecimalValue[decimals.Decimal64]:
		return appendExact(b, big.NewInt(int64(x.Value.(decimals.Decimal64))), x.Scale), nil
	case variant.DecimalValue[decimals.Decimal128]:
		return appendExact(b, x.Value.(decimals.Decimal128).BigInt(), x.Scale), nil
	case float32:
		return binary.LittleEndian.AppendUint64(append(b, anyFloat), math.Float64bits(float64(x))), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, anyFloat), math.Float64bits(x)), nil
	case variant.ObjectValue:
		return appendObject(b, x, depth)
	case variant.ArrayValue:
		b = binary.AppendUvarint(append(b, byte(variant.Array)), uint64(x.Len()))
		for e := range x.Values() {
			var err error
			if b, err = appendVariant(b, e, depth+1); err != nil {
				return b, err
			}
		}
		return b, nil
	default:
		return appendScalar(append(b, byte(v.Type())), x)
	}
}

// appendScalar adds a value whose type is in b already.
func appendScalar(b []byte, x any) ([]byte, error) {
	switch x := x.(type) {
	case nil:
		return b, nil
	case bool:
		if x {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case arrow.Date32:
		return binary.LittleEndian.AppendUint64(b, uint64(x)), nil
	case arrow.Timestamp:
		return binary.LittleEndian.AppendUint64(b, uint64(x)), nil
	case arrow.Time64:
		return binary.LittleEndian.AppendUint64(b, uint64(x)), nil
	case uuid.UUID:
		return append(b, x[:]...), nil
	case []byte:
		return append(binary.AppendUvarint(b, uint64(len(x))), x...), nil
	case string:
		return append(binary.AppendUvarint(b, uint64(len(x))), x...), nil
	}
	return b, cannot("a variant holds a %T", x)
}

func appendObject(b []byte, o variant.ObjectValue, depth int) ([]byte, error) {
	fields := maps.Collect(o.Values())
	if len(fields) != int(o.NumElements()) {
		return b, cannot("a variant has an object with two fields of one name")
	}
	b = binary.AppendUvarint(append(b, byte(variant.Object)), uint64(len(fields)))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var err error
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		if b, err = appendVariant(b, fields[name], depth+1); err != nil {
			return b, err
		}
	}
	return b, nil
}

// appendExact adds a whole number or decimal without the zeros at the end of its fraction.
func appendExact(b []byte, n *big.Int, scale uint8) []byte {
	ten, rest := big.NewInt(10), new(big.Int)
	for scale > 0 {
		q := new(big.Int)
		if q.QuoRem(n, ten, rest); rest.Sign() != 0 {
			break
		}
		n, scale = q, scale-1
	}
	text := n.Text(62)
	return append(binary.AppendUvarint(append(b, exactNumber, scale), uint64(len(text))), text...)
}

// variantParts are the two parts of a variant in Arrow.
func variantParts(s *array.Struct, i int) (metadata, value []byte, err error) {
	var parts [2][]byte
	for k, name := range []string{"metadata", "value"} {
		at, ok := s.DataType().(*arrow.StructType).FieldIdx(name)
		if !ok {
			return nil, nil, errors.New("a variant lacks its " + name)
		}
		part, ok := s.Field(at).(*array.Binary)
		if !ok {
			return nil, nil, fmt.Errorf("the %s of a variant comes as %s", name, s.Field(at).DataType())
		}
		parts[k] = part.Value(i)
	}
	return parts[0], parts[1], nil
}

// A variantHalf is a column of a file that is one of the two parts of a variant.
type variantHalf struct {
	leaf   int
	isMeta bool
	absent []int
}

// variantHalf tells what a column without a field id is; nil for nothing that matters.
func (h *rowHasher) variantHalf(r *reader.ParquetReader, path string) (*variantHalf, error) {
	names := common.StrToPath(path)
	for n := 2; n < len(names); n++ {
		group := common.PathToStr(names[:n])
		id := r.SchemaHandler.SchemaElements[r.SchemaHandler.MapIndex[group]].FieldID
		if id == nil {
			continue
		}
		l, ok := h.byID[int(*id)]
		if !ok || h.leaves[l].class != semistructured {
			continue
		}
		part := strings.ToLower(names[n]) // the library writes the first letter large
		if n+1 != len(names) || part != "metadata" && part != "value" {
			return nil, cannot("variant %s is shredded", h.leaves[l].name)
		}
		return &variantHalf{l, part == "metadata", absentNodes(r, group)}, nil
	}
	return nil, nil //nolint:nilnil // see above
}

// fileVariant adds a variant as the second reader gives its parts.
func (h *rowHasher) fileVariant(c *fileColumn, rl int, metadata, value any) error {
	m, ok := metadata.(string)
	v, ok2 := value.(string)
	if !ok || !ok2 {
		return cannot("variant %s comes as %T and %T", h.leaves[c.leaf].name, metadata, value)
	}
	h.begin(c.leaf, rl)
	from := len(h.bufs[c.leaf])
	if err := h.variant(c.leaf, []byte(m), []byte(v)); err != nil {
		return cannot("variant %s cannot be read: %v", h.leaves[c.leaf].name, err)
	}
	h.end(c.leaf, from)
	return nil
}
