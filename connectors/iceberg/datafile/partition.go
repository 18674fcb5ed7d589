package datafile

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A partitioner computes the partition of staged rows. The values that end up in
// the table's metadata come from iceberg-go's transforms, once per partition; per
// row there is only a key that differs exactly when those values differ.
type partitioner struct {
	fields []partitionField
	key    []byte
}

type partitionField struct {
	id        int // of the spec's field
	transform iceberg.Transform
	source    iceberg.Type
	leaf      columns.Leaf
	key       keyFunc // nil: always null
}

// newPartitioner prepares a spec for rows staged in c.
func newPartitioner(spec iceberg.PartitionSpec, schema *iceberg.Schema, c *columns.Columns) (*partitioner, error) {
	p := &partitioner{}
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); void {
			continue
		}
		source, ok := schema.FindFieldByID(f.SourceID())
		if !ok {
			return nil, fmt.Errorf("partition field %q: the schema has no column with id %d", f.Name, f.SourceID())
		}
		leaf, ok := c.Leaf(f.SourceID())
		if !ok {
			return nil, fmt.Errorf("partition field %q: column %q is nested in a list or map, or is a struct", f.Name, source.Name)
		}
		key, err := keyOf(f.Transform, source.Type)
		if err != nil {
			return nil, fmt.Errorf("partition field %q: %w", f.Name, err)
		}
		p.fields = append(p.fields, partitionField{f.FieldID, f.Transform, source.Type, leaf, key})
	}
	return p, nil
}

// keyOfRow is the key of a staged row, valid until the next call.
func (p *partitioner) keyOfRow(i int) []byte {
	p.key = p.key[:0]
	for k := range p.fields {
		f := &p.fields[k]
		if f.leaf.Null(i) {
			p.key = append(p.key, 0)
			continue
		}
		p.key = f.key(append(p.key, 1), f.leaf, i)
	}
	return p.key
}

// values are the partition values of a staged row as iceberg-go's manifests want
// them, by field id; a null has no entry.
func (p *partitioner) values(i int) (map[int]any, error) {
	out := make(map[int]any, len(p.fields))
	for _, f := range p.fields {
		if f.leaf.Null(i) {
			continue
		}
		lit, err := literal(f.source, f.leaf, i)
		if err != nil {
			return nil, err
		}
		if v := f.transform.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: lit}); v.Valid {
			out[f.id] = v.Val.Any()
		}
	}
	return out, nil
}

// literal is a staged value in iceberg-go's form.
func literal(t iceberg.Type, l columns.Leaf, i int) (iceberg.Literal, error) {
	switch t := t.(type) {
	case iceberg.BooleanType:
		return iceberg.NewLiteral(l.Int(i) != 0), nil
	case iceberg.Int32Type:
		return iceberg.NewLiteral(int32(l.Int(i))), nil
	case iceberg.Int64Type:
		return iceberg.NewLiteral(l.Int(i)), nil
	case iceberg.Float32Type:
		return iceberg.NewLiteral(float32bits(l.Int(i))), nil
	case iceberg.Float64Type:
		return iceberg.NewLiteral(float64bits(l.Int(i))), nil
	case iceberg.DateType:
		return iceberg.NewLiteral(iceberg.Date(l.Int(i))), nil
	case iceberg.TimeType:
		return iceberg.NewLiteral(iceberg.Time(l.Int(i))), nil
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return iceberg.NewLiteral(iceberg.Timestamp(l.Int(i))), nil
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.NewLiteral(iceberg.TimestampNano(l.Int(i))), nil
	case iceberg.StringType:
		return iceberg.NewLiteral(string(l.Bytes(i))), nil
	case iceberg.UUIDType:
		return iceberg.NewLiteral(uuid.UUID(l.Bytes(i))), nil
	case iceberg.BinaryType:
		return iceberg.NewLiteral(append([]byte{}, l.Bytes(i)...)), nil
	case iceberg.FixedType:
		return iceberg.NewLiteral(append([]byte{}, l.Bytes(i)...)).To(t)
	case iceberg.DecimalType:
		return iceberg.NewLiteral(iceberg.Decimal{Val: l.Decimal(i), Scale: t.Scale()}), nil
	}
	return nil, fmt.Errorf("no partition value of type %s", t)
}

func appendInt(key []byte, x int64) []byte { return binary.BigEndian.AppendUint64(key, uint64(x)) }

func appendBytes(key, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(key, uint32(len(b))), b...)
}
