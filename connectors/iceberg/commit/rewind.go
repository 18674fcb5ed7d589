package commit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// Rewind sets a group's floors in a table on purpose: to the given offsets, or to none
// where the offset is nil. It is how an operator has records written again, or passed
// over, once the connector is stopped (PATCH and DELETE of its offsets): the group's
// offsets alone would not do it, since floors keep from a table what it has. The change
// is a snapshot without rows on a pinned head. Partitions without a floor need none, and
// a table that does not exist has nothing to change.
func Rewind(ctx context.Context, cat table.CatalogIO, target Target, group string, offsets map[connect.TopicPartition]*int64) error {
	for try := 0; ; try++ {
		t, err := cat.LoadTable(ctx, target.Identifier())
		if errors.Is(err, icebergcatalog.ErrNoSuchTable) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load table %s: %w", target.Table, err)
		}
		floors, err := ReadFloors(t, target.Branch)
		if err != nil {
			return fmt.Errorf("table %s: %w", target.Table, err)
		}
		if !floors.set(group, offsets) {
			return nil // nothing to change, or a try that seemed to fail has landed
		}
		if err = rewind(ctx, cat, t, target.Branch, floors); err == nil {
			return nil
		}
		if try == 5 || ctx.Err() != nil {
			return fmt.Errorf("set floors of table %s: %w", target.Table, err)
		}
	}
}

// set changes the floors of a group and tells whether any differed.
func (fs Floors) set(group string, offsets map[connect.TopicPartition]*int64) bool {
	changed := false
	for s, f := range fs {
		to, ok := offsets[connect.TopicPartition{Topic: s.Topic, Partition: s.Partition}]
		switch {
		case !ok || s.Group != group:
		case to == nil:
			delete(fs, s)
			changed = true
		case f != (Floor{*to, *to}):
			fs[s] = Floor{*to, *to}
			changed = true
		}
	}
	return changed
}

// rewind commits floors in a snapshot that lists the manifests of its parent.
func rewind(ctx context.Context, cat table.CatalogIO, t *table.Table, branch string, floors Floors) error {
	text := floors.String()
	reqs := []table.Requirement{table.AssertTableUUID(t.Metadata().TableUUID())}
	updates := []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{PropertyKey(branch): text})}
	if parent := t.SnapshotByName(branch); parent != nil {
		s, err := rowless(ctx, t, parent)
		if err != nil {
			return err
		}
		summary := carried(t, branch)
		summary[SummaryKey] = text
		summary["kafka.connect.commit-id"] = uuid.NewString()
		s.Summary = &table.Summary{Operation: table.OpAppend, Properties: summary}
		reqs = append(reqs, table.AssertRefSnapshotID(branch, &parent.SnapshotID))
		updates = append(updates, table.NewAddSnapshotUpdate(s), table.NewSetSnapshotRefUpdate(branch, s.SnapshotID, table.BranchRef, 0, 0, 0))
	}
	_, _, err := cat.CommitTable(ctx, t.Identifier(), reqs, updates)
	return err
}

// rowless makes a snapshot after parent with the same files. It has a manifest list of
// its own, since expiry of the parent deletes the parent's.
func rowless(ctx context.Context, t *table.Table, parent *table.Snapshot) (*table.Snapshot, error) {
	files, err := storage.Of(ctx, t)
	if err != nil {
		return nil, err
	}
	fsys, err := t.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	manifests, err := parent.Manifests(fsys)
	if err != nil {
		return nil, fmt.Errorf("read manifests of snapshot %d: %w", parent.SnapshotID, err)
	}
	meta := t.Metadata()
	sequence, schema := meta.LastSequenceNumber()+1, t.Schema().ID
	s := &table.Snapshot{
		SnapshotID: rand.Int64(), ParentSnapshotID: &parent.SnapshotID, SequenceNumber: sequence,
		TimestampMs: max(time.Now().UnixMilli(), parent.TimestampMs), SchemaID: &schema,
	}
	s.ManifestList = fmt.Sprintf("%s/metadata/snap-%d-firn-%s.avro", t.Location(), s.SnapshotID, uuid.NewString())
	var firstRow int64
	if meta.Version() >= 3 {
		firstRow = meta.NextRowID()
		s.FirstRowID, s.AddedRows = &firstRow, new(int64)
	}
	var list bytes.Buffer
	if err := iceberg.WriteManifestList(meta.Version(), &list, s.SnapshotID, s.ParentSnapshotID, &sequence, firstRow, manifests); err != nil {
		return nil, fmt.Errorf("encode manifest list: %w", err)
	}
	w, err := files.Create(ctx, s.ManifestList)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(list.Bytes()); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return s, w.Close()
}
