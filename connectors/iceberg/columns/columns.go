// Package columns turns Connect data into Iceberg columns: schemas (SchemaOf,
// Infer) and, record by record, typed vectors that Arrow reads without a copy.
//
// A Plan is compiled once per pair of record schema and table schema; its Append
// adds one record to Columns without allocating. A record that a column cannot
// hold is refused with a [connect.DataError] and leaves no trace: nothing wraps,
// nothing is cut. In-range results are those of the Java sink
// (testdata/convert.tsv); the differences are listed at [Plan.Append].
//
// A table that lacks what a record has is changed, if the caller wants, before the record
// is appended: [Evolve] tells the changes, planned from the whole record schema, or from
// the whole value if there is none, and tried with the record; [Apply] makes the schema.
// Both are pure. With Options.Evolve, Append refuses what the table lacks, so that records
// that fit pay nothing for it.
//
// Columns and Plans belong to one goroutine. The package does no I/O, does not
// know Parquet and does not divide rows into partitions.
package columns

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Columns are the rows of one table schema, gathered column by column.
type Columns struct {
	schema *iceberg.Schema
	arrow  *arrow.Schema
	vecs   []*vector
	rows   int
}

// New makes empty columns of a table schema. It refuses types that this build
// cannot write, naming the column.
func New(schema *iceberg.Schema) (*Columns, error) {
	for _, f := range schema.Fields() {
		if err := supported(f.Name, f.Type); err != nil {
			return nil, err
		}
	}
	as, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		return nil, fmt.Errorf("map table schema to arrow: %w", err)
	}
	c := &Columns{schema: schema, arrow: as}
	for i, f := range schema.Fields() {
		c.vecs = append(c.vecs, newVector(f.Type, as.Field(i).Type))
	}
	return c, nil
}

// Fresh makes empty columns of the same schema.
func (c *Columns) Fresh() *Columns {
	f := &Columns{schema: c.schema, arrow: c.arrow}
	for i, field := range c.schema.Fields() {
		f.vecs = append(f.vecs, newVector(field.Type, c.arrow.Field(i).Type))
	}
	return f
}

// ArrowSchema is the Arrow form of the table schema, with Iceberg's field ids.
func (c *Columns) ArrowSchema() *arrow.Schema { return c.arrow }

// Len is the number of rows.
func (c *Columns) Len() int { return c.rows }

// Bytes is the size of the rows.
func (c *Columns) Bytes() int64 {
	var b int
	for _, v := range c.vecs {
		b += v.used()
	}
	return int64(b)
}

// Held is the size of the memory behind the rows.
func (c *Columns) Held() int64 {
	var b int
	for _, v := range c.vecs {
		b += v.held()
	}
	return int64(b)
}

// keepBytes is how much memory Reset keeps: a stage of usual records, not what one
// of a hundred megabytes has left.
const keepBytes = 32 << 20

// Reset drops the rows and keeps the memory, unless it is unusually much.
func (c *Columns) Reset() {
	c.truncate(0)
	if c.Held() <= keepBytes {
		return
	}
	for _, v := range c.vecs {
		v.release()
	}
}

func (c *Columns) truncate(n int) {
	for _, v := range c.vecs {
		v.truncate(n)
	}
	c.rows = n
}

// Batch is the rows as Arrow arrays over the same memory, valid until the next
// change of c.
func (c *Columns) Batch() arrow.RecordBatch {
	arrays := make([]arrow.Array, len(c.vecs))
	for i, v := range c.vecs {
		arrays[i] = v.array()
	}
	return array.NewRecordBatch(c.arrow, arrays, int64(c.rows))
}

// AppendRow adds row i of src, which has the same schema.
func (c *Columns) AppendRow(src *Columns, i int) {
	for k, v := range c.vecs {
		v.pushFrom(src.vecs[k], i)
	}
	c.rows++
}

// supported tells whether values of a type can be written.
func supported(path string, t iceberg.Type) error {
	switch t := t.(type) {
	case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.Float32Type, iceberg.Float64Type,
		iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType, iceberg.VariantType, iceberg.StringType, iceberg.UUIDType, iceberg.BinaryType, iceberg.FixedType, iceberg.DecimalType:
		return nil
	case *iceberg.StructType:
		if len(t.FieldList) == 0 {
			return fmt.Errorf("column %q is a struct without fields, which Parquet cannot hold: drop the column or add a field", path)
		}
		for _, f := range t.FieldList {
			if err := supported(path+"."+f.Name, f.Type); err != nil {
				return err
			}
		}
		return nil
	case *iceberg.ListType:
		return supported(path+".element", t.Element)
	case *iceberg.MapType:
		if err := supported(path+".key", t.KeyType); err != nil {
			return err
		}
		return supported(path+".value", t.ValueType)
	}
	return fmt.Errorf("column %q has type %s, which this build cannot write: use another type or drop the column", path, t)
}

func newVector(t iceberg.Type, at arrow.DataType) *vector {
	v := &vector{typ: at}
	switch t := t.(type) {
	case iceberg.BooleanType:
		v.kind = kindBool
	case iceberg.Int32Type, iceberg.DateType:
		v.kind = kindInt32
	case iceberg.Int64Type, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		v.kind = kindInt64
	case iceberg.Float32Type:
		v.kind = kindFloat32
	case iceberg.Float64Type:
		v.kind = kindFloat64
	case iceberg.DecimalType:
		v.kind = kindDecimal
	case iceberg.UUIDType:
		v.kind, v.width = kindFixed, 16
	case iceberg.FixedType:
		v.kind, v.width = kindFixed, t.Len()
	case iceberg.StringType, iceberg.BinaryType:
		v.kind, v.off = kindBytes, []int32{0}
	case iceberg.VariantType:
		v.kind = kindStruct
		metadata, value := iceberg.PrimitiveTypes.Binary, iceberg.PrimitiveTypes.Binary
		v.kids = []*vector{newVector(metadata, arrow.BinaryTypes.Binary), newVector(value, arrow.BinaryTypes.Binary)}
	case *iceberg.StructType:
		v.kind = kindStruct
		st := at.(*arrow.StructType)
		for i, f := range t.FieldList {
			v.kids = append(v.kids, newVector(f.Type, st.Field(i).Type))
		}
	case *iceberg.ListType:
		v.kind, v.off = kindList, []int32{0}
		v.kids = []*vector{newVector(t.Element, at.(*arrow.ListType).Elem())}
	case *iceberg.MapType:
		v.kind, v.off = kindMap, []int32{0}
		mt := at.(*arrow.MapType)
		v.kids = []*vector{newVector(t.KeyType, mt.KeyType()), newVector(t.ValueType, mt.ItemType())}
	default:
		panic(fmt.Sprintf("columns: type %s passed the check of supported types", t))
	}
	return v
}
