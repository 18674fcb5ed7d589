package commit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
)

// EncodeFiles makes a manifest, the one form in which every Iceberg library can write
// and read data files with their partition values and metrics. It travels in a Link and
// never becomes part of a table. No files are no bytes.
func EncodeFiles(version int, spec iceberg.PartitionSpec, schema *iceberg.Schema, files []iceberg.DataFile) ([]byte, error) {
	return encodeManifest(iceberg.ManifestContentData, version, spec, schema, files)
}

// EncodeDeletes is EncodeFiles for equality delete files.
func EncodeDeletes(version int, spec iceberg.PartitionSpec, schema *iceberg.Schema, files []iceberg.DataFile) ([]byte, error) {
	return encodeManifest(iceberg.ManifestContentDeletes, version, spec, schema, files)
}

func encodeManifest(content iceberg.ManifestContent, version int, spec iceberg.PartitionSpec, schema *iceberg.Schema, files []iceberg.DataFile) ([]byte, error) {
	if len(files) == 0 {
		return nil, nil
	}
	snapshot := int64(0)
	var b bytes.Buffer
	w, err := iceberg.NewManifestWriter(version, &b, spec, schema, snapshot, iceberg.WithManifestWriterContent(content))
	if err != nil {
		return nil, fmt.Errorf("encode %s files: %w", content, err)
	}
	for _, f := range files {
		if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f)); err != nil {
			return nil, fmt.Errorf("encode %s files: %w", content, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode %s files: %w", content, err)
	}
	return b.Bytes(), nil
}

// DecodeFiles reads what EncodeFiles wrote under a spec of that id. The library's
// decoder may panic on damaged bytes; here that is an error like any other.
func DecodeFiles(version int, specID int, data []byte) ([]iceberg.DataFile, error) {
	return decodeManifest(iceberg.ManifestContentData, iceberg.EntryContentData, version, specID, data)
}

// DecodeDeletes reads what EncodeDeletes wrote.
func DecodeDeletes(version int, specID int, data []byte) ([]iceberg.DataFile, error) {
	return decodeManifest(iceberg.ManifestContentDeletes, iceberg.EntryContentEqDeletes, version, specID, data)
}

func decodeManifest(content iceberg.ManifestContent, kind iceberg.ManifestEntryContent, version, specID int, data []byte) (files []iceberg.DataFile, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			files, err = nil, fmt.Errorf("decode %s files: %v", content, p)
		}
	}()
	m := iceberg.NewManifestFile(version, "link", int64(len(data)), int32(specID), 0).Content(content).Build()
	entries, err := iceberg.ReadManifest(m, bytes.NewReader(data), false)
	if err != nil {
		return nil, fmt.Errorf("decode %s files: %w", content, err)
	}
	for _, e := range entries {
		f := e.DataFile()
		if f.Count() <= 0 || f.FilePath() == "" {
			return nil, errors.New("decode files: a file without rows or path")
		}
		if f.ContentType() != kind {
			return nil, fmt.Errorf("decode files: %s holds %s", f.FilePath(), f.ContentType())
		}
		files = append(files, f)
	}
	return files, nil
}
