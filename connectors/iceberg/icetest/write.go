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
	schema, err := table.SchemaToArrowSchema(t.Schema(), nil, true, false)
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
	footer, err := pw.FileMetadata()
	if err != nil {
		return nil, err
	}
	path, err := put(ctx, t, buf.Bytes())
	if err != nil {
		return nil, err
	}
	return table.DataFileFromMetadata(table.DataFileArgs{
		Schema: t.Schema(), Spec: t.Spec(), Format: iceberg.ParquetFile, Metadata: footer, FilePath: path, FileSize: int64(buf.Len()),
		Content: iceberg.EntryContentData, Properties: t.Properties(), FormatVersion: t.Metadata().Version(),
	})
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
