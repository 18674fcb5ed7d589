package commit

import (
	"slices"
	"testing"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A branch has floors and a watermark of its own. One that does not exist begins where
// main is, as in Java, and so with the floors of main; main does not move.
func TestBranches(t *testing.T) {
	k := newKeyedTable(t, 2)
	spec := k.load().Spec()
	k.publish(k.unit(0, 0, 5, false, spec, nil, "1=a"))
	main := k.load().SnapshotByName("main").SnapshotID

	k.target.Branch = "audit"
	k.through = 1704164645000
	if out, err := k.try(k.unit(0, 0, 5, false, spec, nil, "1=a")); err != nil || out.refused != nil || out.snapshot != 0 {
		t.Errorf("what main has was taken again: %+v, %v", out, err)
	}
	k.publish(k.unit(0, 5, 7, false, spec, nil, "2=b"))
	k.through = 1704164641000 // an older one does not count
	k.publish(k.unit(0, 7, 9, false, spec, nil, "3=c"))

	tbl := k.load()
	if got := tbl.SnapshotByName("main").SnapshotID; got != main {
		t.Errorf("main has moved from %d to %d", main, got)
	}
	head := tbl.SnapshotByName("audit")
	if head == nil || parent(tbl, head) == nil || parent(tbl, parent(tbl, head)) == nil || parent(tbl, parent(tbl, head)).SnapshotID != main {
		t.Fatalf("the branch is %+v, want two snapshots after main's", head)
	}
	if got := head.Summary.Properties[apacheWatermark]; got != "2024-01-02T03:04:05Z" {
		t.Errorf("watermark %s", got)
	}
	if got := watermark(tbl, "main", apacheWatermark); got != None {
		t.Errorf("main has the watermark %d", got)
	}
	for branch, want := range map[string]int64{"main": 5, "audit": 9} {
		fs, err := ReadFloors(tbl, branch)
		if err != nil {
			t.Fatal(err)
		}
		if got := fs.F(NewSource("connect-x", tp(0), TopicID{7})); got != want {
			t.Errorf("%s: floor %d, want %d", branch, got, want)
		}
	}
	rows, err := icetest.ReadRows(t.Context(), tbl)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || !slices.Equal(k.rows(), []string{"1=a"}) {
		t.Errorf("main has %v", rows)
	}
}
