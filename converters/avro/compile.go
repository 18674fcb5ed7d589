package avro

import (
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/connect"
)

// maxFixed is the size of the largest fixed: larger than any record.
const maxFixed = 1 << 30

// A compiler makes the nodes that read an Avro schema, one for each named type.
type compiler struct {
	settings settings
	named    map[string]*node
	least    map[string]int // leastBytes of records
	total    int
}

// compile makes the node of a.
func (c *compiler) compile(a avro.Schema) (*node, error) {
	if c.total++; c.total > maxSchemas {
		return nil, errSchemas
	}
	a = deref(a)
	if named, ok := a.(avro.NamedSchema); ok {
		if n := c.named[named.FullName()]; n != nil {
			return n, nil
		}
	}
	n := &node{}
	switch s := a.(type) {
	case *avro.NullSchema:
		n.op = opNull
	case *avro.PrimitiveSchema:
		n.op = primitiveOp(s)
	case *avro.FixedSchema:
		c.named[s.FullName()] = n
		n.op, n.size = opFixed, s.Size()
		if n.size > maxFixed {
			return nil, fmt.Errorf("fixed %s has an impossible size", fullName(s))
		}
	case *avro.EnumSchema:
		c.named[s.FullName()] = n
		n.op = opEnum
		for _, symbol := range s.Symbols() {
			n.symbols = append(n.symbols, connect.StringValue(symbol))
		}
	case *avro.RecordSchema:
		c.named[s.FullName()] = n
		n.op = opRecord
		for _, f := range s.Fields() {
			part, err := c.compile(f.Type())
			if err != nil {
				return nil, err
			}
			n.nodes = append(n.nodes, part)
		}
	case *avro.ArraySchema:
		return n, c.array(n, s)
	case *avro.MapSchema:
		n.op, n.width = opMap, 1
		return n, c.elem(n, s.Values())
	case *avro.UnionSchema:
		return n, c.union(n, s)
	default:
		return nil, fmt.Errorf("unsupported Avro type %s", a.Type())
	}
	return n, nil
}

// primitiveOps are those that the type alone decides: of all but int.
var primitiveOps = map[avro.Type]op{
	avro.Boolean: opBoolean, avro.Long: opLong, avro.Float: opFloat, avro.Double: opDouble, avro.String: opString, avro.Bytes: opBytes,
}

func primitiveOp(s *avro.PrimitiveSchema) op {
	if o, ok := primitiveOps[s.Type()]; ok {
		return o
	}
	logical := logicalType(s)
	switch kind, _ := s.Prop(propType).(string); {
	case strings.EqualFold(logical, "time-millis"):
		return opTime
	case logical == "" && kind == "int8":
		return opInt8
	case logical == "" && kind == "int16":
		return opInt16
	}
	return opInt
}

func (c *compiler) elem(n *node, a avro.Schema) (err error) {
	n.elem, err = c.compile(a)
	return err
}

func (c *compiler) array(n *node, s *avro.ArraySchema) error {
	if entry := mapEntry(s.Items()); entry != nil {
		n.op = opEntries
		for _, f := range []string{"key", "value"} {
			part, err := c.compile(field(entry, f).Type())
			if err != nil {
				return err
			}
			n.nodes = append(n.nodes, part)
		}
		n.swapped = entry.Fields()[0].Name() == "value"
		n.width = c.leastBytes(s.Items())
		return nil
	}
	n.op = opArray
	n.width = c.leastBytes(s.Items())
	return c.elem(n, s.Items())
}

func (c *compiler) union(n *node, s *avro.UnionSchema) error {
	types := s.Types()
	switch {
	case len(types) == 1 && c.settings.flatten:
		n.op = opSingle
		return c.elem(n, types[0])
	case s.Nullable() && len(types) == 2:
		null, other := s.Indices()
		n.op, n.null = opOptional, int64(null)
		return c.elem(n, types[other])
	}
	n.op = opUnion
	for _, t := range types {
		if t.Type() == avro.Null {
			n.nodes, n.fields = append(n.nodes, nil), append(n.fields, -1)
			continue
		}
		part, err := c.compile(t)
		if err != nil {
			return err
		}
		n.nodes, n.fields = append(n.nodes, part), append(n.fields, n.count)
		n.count++
	}
	return nil
}

// leastBytes is the number of bytes that a value takes at least. A record counts as
// none inside itself.
func (c *compiler) leastBytes(a avro.Schema) int {
	switch s := deref(a).(type) {
	case *avro.NullSchema:
		return 0
	case *avro.PrimitiveSchema:
		if s.Type() == avro.Float {
			return 4
		}
		if s.Type() == avro.Double {
			return 8
		}
	case *avro.FixedSchema:
		return max(s.Size(), 0)
	case *avro.RecordSchema:
		if known, ok := c.least[s.FullName()]; ok {
			return known
		}
		c.least[s.FullName()] = 0
		sum := 0
		for _, f := range s.Fields() {
			sum = min(sum+c.leastBytes(f.Type()), maxFixed)
		}
		c.least[s.FullName()] = sum
		return sum
	}
	return 1
}

// deref follows a reference by name.
func deref(a avro.Schema) avro.Schema {
	if r, ok := a.(*avro.RefSchema); ok {
		return r.Schema()
	}
	return a
}

// mapEntry returns the record if a is that of the entries of a map with other keys
// than strings. (Source: AvroData.isMapEntry.)
func mapEntry(a avro.Schema) *avro.RecordSchema {
	r, ok := deref(a).(*avro.RecordSchema)
	if !ok {
		return nil
	}
	internal, _ := r.Prop("connect.internal.type").(string)
	if fullName(r) != namespace+".MapEntry" && internal != "MapEntry" {
		return nil
	}
	if len(r.Fields()) != 2 || field(r, "key") == nil || field(r, "value") == nil {
		return nil
	}
	return r
}

func field(r *avro.RecordSchema, name string) *avro.Field {
	for _, f := range r.Fields() {
		if f.Name() == name {
			return f
		}
	}
	return nil
}
