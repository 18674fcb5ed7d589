package columns

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
)

// A Projection copies some columns, those of a key, out of rows that have more.
type Projection struct {
	to    *Columns
	parts []projectedPart
}

// A projectedPart is a column, or a struct of which only some fields are wanted.
type projectedPart struct {
	to, from *vector
	parts    []projectedPart // of a struct
}

// Project makes empty columns of the fields of src with the given ids, inside the structs
// that they are in, and what fills them. The fields must be primitive and in no list or map.
func Project(src *Columns, ids []int) (*Projection, error) {
	var names []string
	for _, id := range ids {
		name, ok := src.schema.FindColumnName(id)
		if !ok {
			return nil, fmt.Errorf("the table has no column with id %d", id)
		}
		if _, ok := src.Leaf(id); !ok {
			return nil, fmt.Errorf("column %q is nested in a list or map, or is a struct", name)
		}
		names = append(names, name)
	}
	schema, err := src.schema.Select(true, names...)
	if err != nil {
		return nil, fmt.Errorf("select columns %v: %w", names, err)
	}
	to, err := New(schema)
	if err != nil {
		return nil, err
	}
	return &Projection{to: to, parts: projectFields(to.vecs, schema.Fields(), src.vecs, src.schema.Fields())}, nil
}

func projectFields(to []*vector, toFields []iceberg.NestedField, from []*vector, fromFields []iceberg.NestedField) []projectedPart {
	var parts []projectedPart
	for i, f := range toFields {
		at := slices.IndexFunc(fromFields, func(o iceberg.NestedField) bool { return o.ID == f.ID })
		p := projectedPart{to: to[i], from: from[at]}
		if st, ok := f.Type.(*iceberg.StructType); ok {
			p.parts = projectFields(to[i].kids, st.FieldList, from[at].kids, fromFields[at].Type.(*iceberg.StructType).FieldList)
		}
		parts = append(parts, p)
	}
	return parts
}

// Columns are those that Append fills.
func (p *Projection) Columns() *Columns { return p.to }

// Schema is that of the columns.
func (p *Projection) Schema() *iceberg.Schema { return p.to.schema }

// Append copies row i.
func (p *Projection) Append(i int) {
	for _, part := range p.parts {
		part.append(i)
	}
	p.to.rows++
}

func (p projectedPart) append(i int) {
	if p.parts == nil || p.from.isNull(i) {
		p.to.pushFrom(p.from, i)
		return
	}
	for _, kid := range p.parts {
		kid.append(i)
	}
	p.to.pushed()
}

// Truncate drops the rows from n on.
func (c *Columns) Truncate(n int) { c.truncate(n) }

// Release drops the rows and gives up their memory.
func (c *Columns) Release() {
	c.truncate(0)
	for _, v := range c.vecs {
		v.release()
	}
}

// Keep drops all rows but those listed, in that order. Leaves and Projections of the
// columns stay valid.
func (c *Columns) Keep(rows []int32) {
	kept := c.Fresh()
	for _, i := range rows {
		kept.AppendRow(c, int(i))
	}
	for i, v := range c.vecs {
		v.adopt(kept.vecs[i])
	}
	c.rows = kept.rows
}

// adopt takes over the values of o, of the same shape, which must not be used any more.
func (v *vector) adopt(o *vector) {
	kids := v.kids
	for i, k := range kids {
		k.adopt(o.kids[i])
	}
	*v = *o
	v.kids = kids
}
