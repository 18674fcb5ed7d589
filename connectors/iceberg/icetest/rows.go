package icetest

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
)

// A Row is one row by column name. Its values are nil, bool, int64 (integers, and
// dates, times and timestamps in the unit of their Arrow type), float64, string,
// []byte, []any, Row (structs and maps with string keys); of any other type the text
// that Arrow prints.
type Row map[string]any

// ReadRows reads the head of the table's main branch, deletes applied, in no order.
// A table without snapshots has no rows.
func ReadRows(ctx context.Context, t *table.Table) ([]Row, error) {
	return ReadBranch(ctx, t, table.MainBranch)
}

// ReadBranch is ReadRows of another branch.
func ReadBranch(ctx context.Context, t *table.Table, branch string) ([]Row, error) {
	head := t.SnapshotByName(branch)
	if head == nil {
		return nil, nil
	}
	return ReadSnapshot(ctx, t, head.SnapshotID)
}

// ReadSnapshot is ReadRows of any snapshot.
func ReadSnapshot(ctx context.Context, t *table.Table, id int64) ([]Row, error) {
	var rows []Row
	err := scan(ctx, t, id, func(batch arrow.RecordBatch) {
		for i := range int(batch.NumRows()) {
			row := make(Row, batch.NumCols())
			for c, col := range batch.Columns() {
				row[batch.ColumnName(c)] = value(col, i)
			}
			rows = append(rows, row)
		}
	})
	return rows, err
}

// A Coordinate is where a row came from.
type Coordinate struct {
	Topic     string
	Partition int32
	Offset    int64
}

// CoordinateCounts tells how often each record's row is in the main branch, given
// the names of the columns that hold its topic (string), partition and offset
// (integers): exactly-once is every count being 1. With no topic column ("") all
// count under topic "".
func CoordinateCounts(ctx context.Context, t *table.Table, topic, partition, offset string) (map[Coordinate]int, error) {
	rows, err := ReadRows(ctx, t)
	if err != nil {
		return nil, err
	}
	counts := make(map[Coordinate]int, len(rows))
	for _, row := range rows {
		var at Coordinate
		p, pOK := row[partition].(int64)
		o, oOK := row[offset].(int64)
		if !pOK || !oOK {
			return nil, fmt.Errorf("row %v has no integers in %s and %s", row, partition, offset)
		}
		if topic != "" {
			at.Topic, _ = row[topic].(string)
		}
		at.Partition, at.Offset = int32(p), o
		counts[at]++
	}
	return counts, nil
}

func scan(ctx context.Context, t *table.Table, snapshot int64, each func(arrow.RecordBatch)) error {
	_, batches, err := t.Scan(table.WithSnapshotID(snapshot)).ToArrowRecords(ctx)
	if err != nil {
		return fmt.Errorf("scan %v: %w", t.Identifier(), err)
	}
	for batch, err := range batches {
		if err != nil {
			return fmt.Errorf("scan %v: %w", t.Identifier(), err)
		}
		each(batch)
		batch.Release()
	}
	return nil
}

// value takes one value out of a column.
func value(col arrow.Array, i int) any {
	if col.IsNull(i) {
		return nil
	}
	switch col := col.(type) {
	case *array.Boolean:
		return col.Value(i)
	case *array.Int32:
		return int64(col.Value(i))
	case *array.Int64:
		return col.Value(i)
	case *array.Date32:
		return int64(col.Value(i))
	case *array.Time64:
		return int64(col.Value(i))
	case *array.Timestamp:
		return int64(col.Value(i))
	case *array.Float32:
		return float64(col.Value(i))
	case *array.Float64:
		return col.Value(i)
	case *array.String:
		return col.Value(i)
	case *array.LargeString:
		return col.Value(i)
	case *array.Binary:
		return append([]byte(nil), col.Value(i)...)
	case *array.LargeBinary:
		return append([]byte(nil), col.Value(i)...)
	case *array.FixedSizeBinary:
		return append([]byte(nil), col.Value(i)...)
	case *array.Struct:
		return structValue(col, i)
	case *array.Map:
		return mapValue(col, i)
	case array.ListLike:
		from, to := col.ValueOffsets(i)
		list := make([]any, 0, to-from)
		for j := from; j < to; j++ {
			list = append(list, value(col.ListValues(), int(j)))
		}
		return list
	}
	return col.ValueStr(i)
}

func structValue(col *array.Struct, i int) Row {
	row := make(Row, col.NumField())
	for f, field := range col.DataType().(*arrow.StructType).Fields() {
		row[field.Name] = value(col.Field(f), i)
	}
	return row
}

func mapValue(col *array.Map, i int) any {
	if col.Keys().DataType().ID() != arrow.STRING && col.Keys().DataType().ID() != arrow.LARGE_STRING {
		return col.ValueStr(i)
	}
	from, to := col.ValueOffsets(i)
	row := make(Row, to-from)
	for j := from; j < to; j++ {
		row[col.Keys().ValueStr(int(j))] = value(col.Items(), int(j))
	}
	return row
}
