package verify

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// TestFilesWithoutASecondReader lists files that cannot be read: nothing is said of their
// table, and the file is named.
func TestFilesWithoutASecondReader(t *testing.T) {
	spec := iceberg.NewPartitionSpec()
	meta, err := table.NewMetadata(numbers, &spec, table.UnsortedSortOrder, "mem://t", iceberg.Properties{"format-version": "3"})
	if err != nil {
		t.Fatal(err)
	}
	file := func(content iceberg.ManifestEntryContent, format iceberg.FileFormat) *iceberg.DataFileBuilder {
		b, err := iceberg.NewDataFileBuilder(spec, content, "mem://t/data/one", format, nil, nil, nil, 5, 100)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tests := []struct {
		name string
		file *iceberg.DataFileBuilder
		says string // "" if it can be read
	}{
		{"Parquet rows", file(iceberg.EntryContentData, iceberg.ParquetFile), ""},
		{"Avro rows", file(iceberg.EntryContentData, iceberg.AvroFile), "AVRO"},
		{"ORC rows", file(iceberg.EntryContentData, iceberg.OrcFile), "ORC"},
		{"Avro positions", file(iceberg.EntryContentPosDeletes, iceberg.AvroFile), "AVRO"},
		{"ORC keys", file(iceberg.EntryContentEqDeletes, iceberg.OrcFile), "ORC"},
		{"a vector", file(iceberg.EntryContentPosDeletes, iceberg.PuffinFile).ReferencedDataFile("f").ContentOffset(4).ContentSizeInBytes(50), ""},
		{"a vector of nothing", file(iceberg.EntryContentPosDeletes, iceberg.PuffinFile).ContentOffset(4).ContentSizeInBytes(50), "which data file"},
		{"a vector somewhere", file(iceberg.EntryContentPosDeletes, iceberg.PuffinFile).ReferencedDataFile("f").ContentSizeInBytes(50), "which data file"},
		{"a vector without an end", file(iceberg.EntryContentPosDeletes, iceberg.PuffinFile).ReferencedDataFile("f").ContentOffset(4), "which data file"},
	}
	for _, tt := range tests {
		var tbl Table
		seq := int64(3)
		err := tbl.add(meta, iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &seq, &seq, &seq, tt.file.Build()))
		_, open := errors.AsType[*CannotError](err)
		switch {
		case tt.says == "" && (err != nil || len(tbl.Data)+len(tbl.Deletes) != 1):
			t.Errorf("%s: got %+v, %v", tt.name, tbl, err)
		case tt.says != "" && (!open || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "mem://t/data/one")):
			t.Errorf("%s: got %v, want a CannotError with the file and %q", tt.name, err, tt.says)
		}
	}
	var tbl Table
	seq := int64(3)
	if err := tbl.add(meta, iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &seq, &seq, &seq, tests[5].file.Build())); err != nil {
		t.Fatal(err)
	}
	if f := tbl.Deletes[0]; f.Vector == nil || *f.Vector != (Vector{"f", 4, 50}) || f.Records != 5 || f.Sequence != 3 {
		t.Errorf("got the vector %+v of %+v", f.Vector, f)
	}
}
