package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// A Table is the files of one snapshot.
type Table struct {
	Name     string
	Snapshot int64
	Schema   *iceberg.Schema
	Data     []File
	Deletes  []File
	Open     func(ctx context.Context, path string) (icebergio.File, error)
}

// A File is a data or delete file.
type File struct {
	Path     string
	Records  int64 // by the manifest
	Sequence int64 // data sequence number
	Content  iceberg.ManifestEntryContent
	Scope    string // spec and partition values; "" for a spec without partitions
	Key      []int  // of an equality delete
	Vector   *Vector
}

// A Vector is where the deletion vector of a data file is: a delete file that has one is a
// Puffin file with others beside it.
type Vector struct {
	Of          string // path of the data file
	Offset      int64
	LengthBytes int64
}

// Load lists the files of the head of a branch.
func Load(ctx context.Context, t *table.Table, branch string) (*Table, error) {
	out := &Table{Name: strings.Join(t.Identifier(), "."), Schema: t.Schema()}
	head := t.SnapshotByName(branch)
	if head == nil {
		return nil, cannot("table %s has no snapshot on branch %s", out.Name, branch)
	}
	out.Snapshot = head.SnapshotID
	files, err := storage.Of(ctx, t)
	if err != nil {
		return nil, err
	}
	out.Open = files.Open
	fsys, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := head.Manifests(fsys)
	if err != nil {
		return nil, fmt.Errorf("read manifests of snapshot %d: %w", head.SnapshotID, err)
	}
	for _, m := range manifests {
		for e, err := range m.Entries(fsys, true) {
			if err != nil {
				return nil, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
			}
			if err := out.add(t.Metadata(), e); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (t *Table) add(meta table.Metadata, e iceberg.ManifestEntry) error {
	d := e.DataFile()
	f := File{Path: d.FilePath(), Records: d.Count(), Sequence: e.SequenceNum(), Content: d.ContentType(), Key: slices.Clone(d.EqualityFieldIDs())}
	switch {
	case table.IsDeletionVector(d):
		of, offset, length := d.ReferencedDataFile(), d.ContentOffset(), d.ContentSizeInBytes()
		if of == nil || offset == nil || length == nil {
			return cannot("manifest does not tell which part of %s is the deletion vector of which data file", f.Path)
		}
		f.Vector = &Vector{*of, *offset, *length}
	case d.FileFormat() != iceberg.ParquetFile:
		return cannot("file %s is %s: only Parquet has a second reader here", f.Path, d.FileFormat())
	}
	if spec := meta.PartitionSpecByID(int(d.SpecID())); spec != nil && !spec.IsUnpartitioned() {
		f.Scope = fmt.Sprintf("%d %v", d.SpecID(), d.Partition()) // maps print in the order of their keys
	}
	slices.Sort(f.Key)
	if f.Content == iceberg.EntryContentData {
		t.Data = append(t.Data, f)
	} else {
		t.Deletes = append(t.Deletes, f)
	}
	return nil
}
