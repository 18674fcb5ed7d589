package icetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"
)

// errNoSnapshot says that a branch has no head, or a table no such snapshot.
var errNoSnapshot = errors.New("no such snapshot")

// quiet is the catalog without faults and counts, for the other engine's own work.
type quiet struct{ c *Catalog }

func (q quiet) LoadTable(_ context.Context, ident table.Identifier) (*table.Table, error) {
	return q.c.load(ident, q)
}

func (q quiet) CommitTable(_ context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return q.c.commit(ident, reqs, updates)
}

// Peek loads a table without faults and without being counted: for assertions.
func (c *Catalog) Peek(ident table.Identifier) (*table.Table, error) {
	c.faults.land()
	return c.load(ident, quiet{c})
}

// Recreate drops the table and creates it again, empty, with the same schema, spec
// and properties and a new uuid.
func (c *Catalog) Recreate(ident table.Identifier) (*table.Table, error) {
	old, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	props := old.Properties()
	props["format-version"] = strconv.Itoa(old.Metadata().Version())
	spec := old.Spec()
	cfg := icebergcatalog.NewCreateTableCfg()
	for _, opt := range []icebergcatalog.CreateTableOpt{
		icebergcatalog.WithPartitionSpec(&spec), icebergcatalog.WithSortOrder(old.SortOrder()),
		icebergcatalog.WithProperties(props), icebergcatalog.WithLocation(old.Location()),
	} {
		opt(&cfg)
	}
	c.mu.Lock()
	delete(c.tables, key(ident))
	c.mu.Unlock()
	return c.create(ident, old.Schema(), cfg)
}

// ForeignAppend commits files, which may be none, to branch as another engine
// would: a snapshot without our summary properties, and no change of properties.
func (c *Catalog) ForeignAppend(ctx context.Context, ident table.Identifier, branch string, files ...iceberg.DataFile) (*table.Table, error) {
	t, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return c.appendNothing(t, branch)
	}
	tx := t.NewTransactionOnBranch(branch)
	if err := tx.NewRowDelta(nil).AddRows(files...).Commit(ctx); err != nil {
		return nil, fmt.Errorf("stage foreign append: %w", err)
	}
	return tx.Commit(ctx)
}

// ForeignVectors deletes rows of main's data files of a v3 table, by path and position, as
// another engine would: with a deletion vector for each file, all in one Puffin file.
func (c *Catalog) ForeignVectors(ctx context.Context, ident table.Identifier, positions map[string][]int64) (*table.Table, error) {
	t, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	fsys, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	files, ok := fsys.(icebergio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("a %T cannot write", fsys)
	}
	spec := t.Spec()
	w := dv.NewDVWriter(files, func(id int32) *iceberg.PartitionSpec { return t.Metadata().PartitionSpecByID(int(id)) })
	for path, rows := range positions {
		if err := w.Add(path, rows, int32(spec.ID()), nil); err != nil {
			return nil, err
		}
	}
	vectors, err := w.Flush(ctx, t.Location()+"/data/"+uuid.NewString()+".puffin")
	if err != nil {
		return nil, err
	}
	tx := t.NewTransaction()
	if err := tx.NewRowDelta(nil).AddDeletes(vectors...).Commit(ctx); err != nil {
		return nil, fmt.Errorf("stage deletion vectors: %w", err)
	}
	return tx.Commit(ctx)
}

// appendNothing adds a snapshot that lists the same manifests as its parent.
func (c *Catalog) appendNothing(t *table.Table, branch string) (*table.Table, error) {
	meta := t.Metadata()
	id, seq := rand.Int64(), meta.LastSequenceNumber()+1
	schema := t.Schema().ID
	snapshot := &table.Snapshot{
		SnapshotID: id, SequenceNumber: seq, TimestampMs: time.Now().UnixMilli(), SchemaID: &schema,
		ManifestList: fmt.Sprintf("%s/metadata/snap-%d.avro", t.Location(), id),
		Summary:      &table.Summary{Operation: table.OpAppend, Properties: iceberg.Properties{"engine-name": "another"}},
	}
	var manifests []iceberg.ManifestFile
	if parent := meta.SnapshotByName(branch); parent != nil {
		snapshot.ParentSnapshotID = &parent.SnapshotID
		fsys, err := t.FS(context.Background())
		if err != nil {
			return nil, err
		}
		if manifests, err = parent.Manifests(fsys); err != nil {
			return nil, fmt.Errorf("read manifests of snapshot %d: %w", parent.SnapshotID, err)
		}
	}
	var list bytes.Buffer
	var firstRow int64
	if meta.Version() >= 3 {
		firstRow = meta.NextRowID()
		var none int64
		snapshot.FirstRowID, snapshot.AddedRows = &firstRow, &none
	}
	if err := iceberg.WriteManifestList(meta.Version(), &list, id, snapshot.ParentSnapshotID, &seq, firstRow, manifests); err != nil {
		return nil, fmt.Errorf("write manifest list: %w", err)
	}
	c.files.put(snapshot.ManifestList, list.Bytes())
	return c.change(t.Identifier(), table.NewAddSnapshotUpdate(snapshot), table.NewSetSnapshotRefUpdate(branch, id, table.BranchRef, 0, 0, 0))
}

// ForeignRollback sets branch back to a snapshot.
func (c *Catalog) ForeignRollback(ident table.Identifier, branch string, snapshotID int64) (*table.Table, error) {
	t, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	if t.SnapshotByID(snapshotID) == nil {
		return nil, fmt.Errorf("roll %s back to %d: %w", branch, snapshotID, errNoSnapshot)
	}
	return c.change(ident, table.NewSetSnapshotRefUpdate(branch, snapshotID, table.BranchRef, 0, 0, 0))
}

// ForeignExpire removes all snapshots but the heads of branches and tags; files stay.
func (c *Catalog) ForeignExpire(ident table.Identifier) (*table.Table, error) {
	t, err := c.Peek(ident)
	if err != nil {
		return nil, err
	}
	live := map[int64]bool{}
	for _, ref := range t.Metadata().Refs() {
		live[ref.SnapshotID] = true
	}
	var dead []int64
	for _, s := range t.Metadata().Snapshots() {
		if !live[s.SnapshotID] {
			dead = append(dead, s.SnapshotID)
		}
	}
	if len(dead) == 0 {
		return t, nil
	}
	return c.change(ident, table.NewRemoveSnapshotsUpdate(dead, false))
}

// change applies updates without requirements and loads the result.
func (c *Catalog) change(ident table.Identifier, updates ...table.Update) (*table.Table, error) {
	if _, _, err := c.commit(ident, nil, updates); err != nil {
		return nil, err
	}
	return c.Peek(ident)
}
