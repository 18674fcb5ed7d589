package icetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ForeignSchema gives a table another schema, as another engine would.
func (c *Catalog) ForeignSchema(ident table.Identifier, schema *iceberg.Schema) (*table.Table, error) {
	return c.change(ident, table.NewAddSchemaUpdate(schema), table.NewSetCurrentSchemaUpdate(-1))
}

// ForeignSpec gives a table another partition spec, as another engine would.
func (c *Catalog) ForeignSpec(ident table.Identifier, fields ...iceberg.PartitionField) (*table.Table, error) {
	t, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	id := 0
	for _, s := range t.Metadata().PartitionSpecs() {
		id = max(id, s.ID()+1)
	}
	spec := iceberg.NewPartitionSpecID(id, fields...)
	return c.change(ident, table.NewAddPartitionSpecUpdate(&spec, false), table.NewSetDefaultSpecUpdate(-1))
}

// SpecsOfFiles lists the ids of the partition specs under which the data files at the head
// of the main branch were written.
func SpecsOfFiles(ctx context.Context, t *table.Table) ([]int, error) {
	tasks, err := t.Scan().PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan files of %v: %w", t.Identifier(), err)
	}
	specs := make(map[int]bool)
	for _, task := range tasks {
		specs[int(task.File.SpecID())] = true
	}
	return slices.Sorted(maps.Keys(specs)), nil
}
