package commit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
)

// EncodeFiles makes a manifest, the one form in which every Iceberg library can write
// and read data files with their partition values and metrics. It travels in a Link and
// never becomes part of a table.
func EncodeFiles(version int, spec iceberg.PartitionSpec, schema *iceberg.Schema, files []iceberg.DataFile) ([]byte, error) {
	snapshot := int64(0)
	entries := make([]iceberg.ManifestEntry, len(files))
	for i, f := range files {
		entries[i] = iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f)
	}
	var b bytes.Buffer
	if _, err := iceberg.WriteManifest("link", &b, version, spec, schema, snapshot, entries); err != nil {
		return nil, fmt.Errorf("encode data files: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeFiles reads what EncodeFiles wrote under a spec of that id. The library's
// decoder may panic on damaged bytes; here that is an error like any other.
func DecodeFiles(version int, specID int, data []byte) (files []iceberg.DataFile, err error) {
	defer func() {
		if p := recover(); p != nil {
			files, err = nil, fmt.Errorf("decode data files: %v", p)
		}
	}()
	m := iceberg.NewManifestFile(version, "link", int64(len(data)), int32(specID), 0).Build()
	entries, err := iceberg.ReadManifest(m, bytes.NewReader(data), false)
	if err != nil {
		return nil, fmt.Errorf("decode data files: %w", err)
	}
	for _, e := range entries {
		f := e.DataFile()
		if f.Count() <= 0 || f.FilePath() == "" {
			return nil, errors.New("decode data files: a file without rows or path")
		}
		files = append(files, f)
	}
	return files, nil
}
