package icetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// WriteFile writes rows into one uncompressed Parquet data file of t, of the table's
// present schema, and describes it; it commits nothing. All rows must belong to one
// partition. Values are written as JSON spells them: timestamps as text.
func WriteFile(ctx context.Context, t *table.Table, rows ...Row) (iceberg.DataFile, error) {
	return WritePartition(ctx, t, nil, rows...)
}

// WritePartition is WriteFile for a partitioned table: partition holds the values of the
// spec's fields by field id.
func WritePartition(ctx context.Context, t *table.Table, partition map[int]any, rows ...Row) (iceberg.DataFile, error) {
	return writeFile(ctx, t, table.DataFileArgs{Schema: t.Schema(), Spec: t.Spec(), PartitionValues: partition, Content: iceberg.EntryContentData}, rows)
}

// WriteDeletes writes an equality delete file of spec: rows have the columns of the key
// and no others. partition holds the values of spec's fields by field id; nil for an
// unpartitioned one, whose deletes are global.
func WriteDeletes(ctx context.Context, t *table.Table, spec iceberg.PartitionSpec, partition map[int]any, key []string, rows ...Row) (iceberg.DataFile, error) {
	schema, err := t.Schema().Select(true, key...)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, name := range key {
		field, _ := schema.FindFieldByName(name)
		ids = append(ids, field.ID)
	}
	return writeFile(ctx, t, table.DataFileArgs{Schema: schema, Spec: spec, PartitionValues: partition, Content: iceberg.EntryContentEqDeletes, EqualityFieldIDs: ids}, rows)
}

// writeFile writes and describes a file; args lacks what is known once it is written.
func writeFile(ctx context.Context, t *table.Table, args table.DataFileArgs, rows []Row) (iceberg.DataFile, error) {
	schema, err := table.SchemaToArrowSchema(args.Schema, nil, true, false)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	batch, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("build rows: %w", err)
	}
	defer batch.Release()
	var buf bytes.Buffer
	pw, err := pqarrow.NewFileWriter(schema, &buf, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(pw.Write(batch), pw.Close()); err != nil {
		return nil, fmt.Errorf("write rows: %w", err)
	}
	if args.Metadata, err = pw.FileMetadata(); err != nil {
		return nil, err
	}
	if args.FilePath, err = put(ctx, t, buf.Bytes()); err != nil {
		return nil, err
	}
	args.Format, args.FileSize = iceberg.ParquetFile, int64(buf.Len())
	args.Properties, args.FormatVersion = t.Properties(), t.Metadata().Version()
	return table.DataFileFromMetadata(args)
}

// put stores a data file under a new name, on whatever storage the table has.
func put(ctx context.Context, t *table.Table, data []byte) (path string, err error) {
	provider, err := t.LocationProvider()
	if err != nil {
		return "", err
	}
	files, err := storage.Of(ctx, t)
	if err != nil {
		return "", err
	}
	path = provider.NewDataLocation(uuid.NewString() + ".parquet")
	w, err := files.Create(ctx, path)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(data); err != nil {
		return "", errors.Join(err, w.Abort())
	}
	return path, w.Close()
}
