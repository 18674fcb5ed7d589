package verify

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// A rowHasher makes of a row one number per primitive column, 0 for a null. Equal values
// have equal numbers whatever their physical type: integers of any width, decimals of any
// form, floats and doubles.
//
// The values of a row in a column within lists or maps make one stream, as in Parquet:
// for each the repetition level and either the value or the node of the path that is not
// there. Nodes are counted rather than definition levels, which depend on what is required.
type rowHasher struct {
	seed   maphash.Seed
	nodes  []*node
	leaves []leaf
	byID   map[int]int // field id to place in leaves
	bufs   [][]byte    // streams of the row at hand
	sums   []uint64
}

// A leaf is a primitive column.
type leaf struct {
	id       int
	name     string // dotted
	class    class
	repeated bool // within a list or map
}

// A class is how values are made canonical.
type class uint8

const (
	integral class = iota
	floating
	decimal
	boolean
	binaryText
	semistructured // a variant
)

type nodeKind uint8

const (
	leafNode nodeKind = iota
	structNode
	listNode
	mapNode
)

// A node is a column or a part of one.
type node struct {
	kind   nodeKind
	id     int
	name   string
	leaf   int
	level  int // repeated nodes on the way, this one included
	kids   []*node
	leaves []int // all below
}

func newRowHasher(schema *iceberg.Schema) (*rowHasher, error) {
	h := &rowHasher{seed: maphash.MakeSeed(), byID: make(map[int]int)}
	for _, f := range schema.Fields() {
		n, err := h.node(f.ID, f.Name, f.Type, 0)
		if err != nil {
			return nil, err
		}
		h.nodes = append(h.nodes, n)
	}
	h.bufs, h.sums = make([][]byte, len(h.leaves)), make([]uint64, len(h.leaves))
	return h, nil
}

func (h *rowHasher) node(id int, name string, t iceberg.Type, level int) (*node, error) {
	n := &node{id: id, name: name, level: level}
	kid := func(id int, name string, t iceberg.Type, level int) error {
		k, err := h.node(id, name, t, level)
		if err == nil {
			n.kids = append(n.kids, k)
			n.leaves = append(n.leaves, k.leaves...)
		}
		return err
	}
	var err error
	switch t := t.(type) {
	case *iceberg.StructType:
		n.kind = structNode
		for _, f := range t.FieldList {
			if err == nil {
				err = kid(f.ID, name+"."+f.Name, f.Type, level)
			}
		}
	case *iceberg.ListType:
		n.kind, n.level = listNode, level+1
		err = kid(t.ElementID, name+".element", t.Element, level+1)
	case *iceberg.MapType:
		n.kind, n.level = mapNode, level+1
		if err = kid(t.KeyID, name+".key", t.KeyType, level+1); err == nil {
			err = kid(t.ValueID, name+".value", t.ValueType, level+1)
		}
	default:
		var c class
		if c, err = classOf(name, t); err == nil {
			n.leaf = len(h.leaves)
			n.leaves = []int{n.leaf}
			h.byID[id] = n.leaf
			h.leaves = append(h.leaves, leaf{id: id, name: name, class: c, repeated: level > 0})
		}
	}
	return n, err
}

func classOf(name string, t iceberg.Type) (class, error) {
	switch t.(type) {
	case iceberg.BooleanType:
		return boolean, nil
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimeType,
		iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return integral, nil
	case iceberg.Float32Type, iceberg.Float64Type:
		return floating, nil
	case iceberg.DecimalType:
		return decimal, nil
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return binaryText, nil
	case iceberg.VariantType:
		return semistructured, nil
	}
	return 0, cannot("column %s has type %s", name, t)
}

// Marks of a stream.
const present = 0xFF

func (h *rowHasher) absent(n *node, rl, at int) {
	for _, l := range n.leaves {
		h.bufs[l] = append(h.bufs[l], byte(rl), byte(at))
	}
}

// begin starts the value of a leaf's stream, whose bytes the caller appends.
func (h *rowHasher) begin(l, rl int) { h.bufs[l] = append(h.bufs[l], byte(rl), present) }

// end closes a value of variable length, which began at from.
func (h *rowHasher) end(l, from int) {
	h.bufs[l] = binary.LittleEndian.AppendUint32(h.bufs[l], uint32(len(h.bufs[l])-from))
}

// sum ends the streams of a row and returns a number for each leaf, valid until the next.
func (h *rowHasher) sum() []uint64 {
	for l, b := range h.bufs {
		h.sums[l] = 0
		if len(b) > 0 && (h.leaves[l].repeated || b[1] == present) {
			h.sums[l] = h.mix(uint64(h.leaves[l].id), maphash.Bytes(h.seed, b))
		}
		h.bufs[l] = b[:0]
	}
	return h.sums
}

func (h *rowHasher) mix(a, b uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	return maphash.Bytes(h.seed, buf[:]) | 1 // never 0: that is a null
}

// whole is one number for a row.
func whole(leaves []uint64) uint64 {
	var sum uint64
	for _, l := range leaves {
		sum += l
	}
	return sum
}

// batch goes through the rows of an Arrow batch, whose columns carry Iceberg's field ids.
func (h *rowHasher) batch(b arrow.RecordBatch, each func(i int, leaves []uint64) error) error {
	nodes := make([]*node, b.NumCols())
	for c := range nodes {
		field := b.Schema().Field(c)
		text, ok := field.Metadata.GetValue("PARQUET:field_id")
		for _, n := range h.nodes {
			if ok && text == strconv.Itoa(n.id) {
				nodes[c] = n
			}
		}
		if nodes[c] == nil {
			return fmt.Errorf("column %s of the expected rows is not in the table", field.Name)
		}
	}
	for i := range int(b.NumRows()) {
		for c, n := range nodes {
			if err := h.visit(n, b.Column(c), i, 0, 0); err != nil {
				return err
			}
		}
		if err := each(i, h.sum()); err != nil {
			return err
		}
	}
	return nil
}

// visit adds element i of a column to the streams. depth is the node's place on its path.
func (h *rowHasher) visit(n *node, col arrow.Array, i, rl, depth int) error {
	if e, ok := col.(array.ExtensionArray); ok {
		col = e.Storage()
	}
	if col.IsNull(i) {
		h.absent(n, rl, depth)
		return nil
	}
	switch n.kind {
	case structNode:
		s, ok := col.(*array.Struct)
		if !ok || s.NumField() != len(n.kids) {
			return fmt.Errorf("column %s is no struct of %d fields", n.name, len(n.kids))
		}
		for k, kid := range n.kids {
			if err := h.visit(kid, s.Field(k), i, rl, depth+1); err != nil {
				return err
			}
		}
		return nil
	case listNode, mapNode:
		return h.elements(n, col, i, rl, depth)
	case leafNode:
	}
	return h.value(n, col, i, rl)
}

func (h *rowHasher) elements(n *node, col arrow.Array, i, rl, depth int) error {
	list, ok := col.(array.ListLike)
	if !ok {
		return fmt.Errorf("column %s is no list", n.name)
	}
	parts := []arrow.Array{list.ListValues()}
	if m, ok := col.(*array.Map); ok {
		parts = []arrow.Array{m.Keys(), m.Items()}
	}
	from, to := list.ValueOffsets(i)
	if from == to {
		h.absent(n, rl, depth+1)
	}
	for j := from; j < to; j++ {
		for k, kid := range n.kids {
			if err := h.visit(kid, parts[k], int(j), rl, depth+2); err != nil {
				return err
			}
		}
		rl = n.level
	}
	return nil
}

func (h *rowHasher) value(n *node, col arrow.Array, i, rl int) error {
	h.begin(n.leaf, rl)
	from := len(h.bufs[n.leaf])
	switch col := col.(type) {
	case *array.Boolean:
		h.bool(n.leaf, col.Value(i))
	case *array.Int32:
		h.int(n.leaf, int64(col.Value(i)))
	case *array.Int64:
		h.int(n.leaf, col.Value(i))
	case *array.Date32:
		h.int(n.leaf, int64(col.Value(i)))
	case *array.Time64:
		h.int(n.leaf, int64(col.Value(i)))
	case *array.Timestamp:
		h.int(n.leaf, int64(col.Value(i)))
	case *array.Float32:
		h.float(n.leaf, float64(col.Value(i)))
	case *array.Float64:
		h.float(n.leaf, col.Value(i))
	case *array.Decimal128:
		v := col.Value(i)
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], uint64(v.HighBits()))
		binary.BigEndian.PutUint64(b[8:], v.LowBits())
		h.decimal(n.leaf, b[:])
	case *array.String:
		h.bufs[n.leaf] = append(h.bufs[n.leaf], col.Value(i)...)
	case *array.Binary:
		h.bufs[n.leaf] = append(h.bufs[n.leaf], col.Value(i)...)
	case *array.FixedSizeBinary:
		h.bufs[n.leaf] = append(h.bufs[n.leaf], col.Value(i)...)
	case *array.Struct:
		metadata, value, err := variantParts(col, i)
		if err == nil {
			err = h.variant(n.leaf, metadata, value)
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", n.name, err)
		}
	default:
		return cannot("column %s comes as %s", n.name, col.DataType())
	}
	h.end(n.leaf, from)
	return nil
}

func (h *rowHasher) int(l int, v int64) {
	h.bufs[l] = binary.LittleEndian.AppendUint64(h.bufs[l], uint64(v))
}

func (h *rowHasher) float(l int, v float64) {
	h.bufs[l] = binary.LittleEndian.AppendUint64(h.bufs[l], math.Float64bits(v))
}

func (h *rowHasher) bool(l int, v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	h.bufs[l] = append(h.bufs[l], b)
}

// decimal adds a big-endian number in two's complement without its leading sign bytes.
func (h *rowHasher) decimal(l int, b []byte) {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xFF && b[1] >= 0x80) {
		b = b[1:]
	}
	h.bufs[l] = append(h.bufs[l], b...)
}
