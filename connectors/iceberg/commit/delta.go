package commit

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// A delta is what one snapshot adds: invariant I6 of the protocol. An equality delete
// reaches the rows of earlier snapshots only, never those of its own. So links of a keyed
// table, of whichever tasks, follow each other snapshot by snapshot in the order of
// acceptance: a key that two of them hold ends as the one row of the later.
type delta struct {
	links   []planned
	rows    []iceberg.DataFile
	deletes []iceberg.DataFile
	floors  string // of the table with the snapshot
}

// raise moves the floors to where the rows end.
func (d *delta) raise(floors Floors, sources map[connect.TopicPartition]Source) {
	for _, l := range d.links {
		l.raise(floors, sources)
	}
	d.floors = floors.String()
}

// gather makes the deltas of a plan. A link whose files cannot be, or must not be, added to
// the table as it is now refuses its unit: the task reads the range again and writes files
// for the table it finds.
func gather(meta table.Metadata, plan []planned) (deltas []delta, refused *Unit, reason string) {
	appending := false
	for _, l := range plan {
		rows, err := DecodeFiles(l.link.Version, l.link.SpecID, l.link.Files)
		if err != nil {
			return nil, l.unit, err.Error()
		}
		deletes, err := DecodeDeletes(l.link.Version, l.link.DeleteSpecID, l.link.Deletes)
		if err != nil {
			return nil, l.unit, err.Error()
		}
		if err := reaches(meta, deletes); err != nil {
			return nil, l.unit, err.Error()
		}
		if len(rows)+len(deletes) == 0 {
			continue
		}
		if l.link.Keyed || !appending {
			deltas = append(deltas, delta{})
		}
		appending = !l.link.Keyed
		d := &deltas[len(deltas)-1]
		d.links, d.rows, d.deletes = append(d.links, l), append(d.rows, rows...), append(d.deletes, deletes...)
	}
	return deltas, nil, ""
}

// reaches checks that equality deletes find every row of their keys. Deletes of a spec
// without partitions are global; others reach the data files of their own spec and
// partition alone, so they must not be added once the table has had another spec.
func reaches(meta table.Metadata, deletes []iceberg.DataFile) error {
	for _, f := range deletes {
		spec := meta.PartitionSpecByID(int(f.SpecID()))
		if spec == nil {
			return fmt.Errorf("delete file %s: the table has no partition spec %d any more", f.FilePath(), f.SpecID())
		}
		if !spec.IsUnpartitioned() && len(meta.PartitionSpecs()) > 1 {
			return fmt.Errorf("delete file %s reaches rows of partition spec %d only, and the table has others now", f.FilePath(), f.SpecID())
		}
		for _, id := range f.EqualityFieldIDs() {
			if _, ok := meta.CurrentSchema().FindFieldByID(id); !ok {
				return fmt.Errorf("delete file %s: the table has no column with id %d any more", f.FilePath(), id)
			}
		}
	}
	return nil
}
