package icetest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

var (
	ident  = table.Identifier{"db", "t"}
	schema = iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "part", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		iceberg.NestedField{ID: 2, Name: "off", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 3, Name: "note", Type: iceberg.PrimitiveTypes.String})
)

func newTable(t *testing.T, version string) *icetest.Catalog {
	t.Helper()
	c := icetest.New(icetest.NewFiles())
	if err := c.CreateNamespace(t.Context(), table.Identifier{"db"}, nil); err != nil {
		t.Fatal(err)
	}
	opt := icebergcatalog.WithProperties(iceberg.Properties{"format-version": version})
	if _, err := c.CreateTable(t.Context(), ident, schema, opt); err != nil {
		t.Fatal(err)
	}
	return c
}

// stage loads the table and prepares a pinned append of one row.
func stage(t *testing.T, c *icetest.Catalog, off int64) *table.Transaction {
	t.Helper()
	tbl, err := c.Peek(ident)
	if err != nil {
		t.Fatal(err)
	}
	tbl = table.New(ident, tbl.Metadata(), tbl.MetadataLocation(), tbl.FS, c)
	file, err := icetest.WriteFile(t.Context(), tbl, icetest.Row{"part": 0, "off": off, "note": "n"})
	if err != nil {
		t.Fatal(err)
	}
	tx := tbl.NewTransaction()
	err = errors.Join(tx.AssertRefSnapshotID(table.MainBranch),
		tx.SetProperties(iceberg.Properties{"firn.test": "p"}),
		tx.NewRowDelta(iceberg.Properties{"firn.test": "s"}).AddRows(file).Commit(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func offsets(t *testing.T, c *icetest.Catalog) []int64 {
	t.Helper()
	tbl, err := c.Peek(ident)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := icetest.CoordinateCounts(t.Context(), tbl, "", "part", "off")
	if err != nil {
		t.Fatal(err)
	}
	var offs []int64
	for at, n := range counts {
		for range n {
			offs = append(offs, at.Offset)
		}
	}
	slices.Sort(offs)
	return offs
}

// Two bubbles one after the other: whatever outlived the first would kill the second.
func TestBubbles(t *testing.T) {
	for _, version := range []string{"1", "2", "3"} {
		for range 2 {
			synctest.Test(t, func(t *testing.T) {
				c := newTable(t, version)
				c.Chaos(func(icetest.Op, int) icetest.Fault { return icetest.Fault{DelayBefore: time.Second} })
				began := time.Now()
				if _, err := stage(t, c, 7).Commit(t.Context()); err != nil {
					t.Fatalf("v%s: %v", version, err)
				}
				if got := time.Since(began); got != time.Second {
					t.Errorf("v%s: commit took %v of fake time, want 1s", version, got)
				}
				tbl, err := c.LoadTable(t.Context(), ident)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := icetest.ReadRows(t.Context(), tbl)
				want := icetest.Row{"part": int64(0), "off": int64(7), "note": "n"}
				if err != nil || len(rows) != 1 || !maps.Equal(rows[0], want) {
					t.Errorf("v%s: rows %v, %v, want one %v", version, rows, err, want)
				}
			})
		}
	}
}

func TestCommitFaults(t *testing.T) {
	lost := errors.New("lost")
	tests := []struct {
		name   string
		fault  icetest.Fault
		err    error
		landed bool
	}{
		{"none", icetest.Fault{}, nil, true},
		{"request lost", icetest.Fault{Before: lost}, lost, false},
		{"reply lost", icetest.Fault{After: lost}, lost, true},
		{"slow reply", icetest.Fault{DelayAfter: time.Hour}, context.DeadlineExceeded, true},
		{"slow request", icetest.Fault{DelayBefore: time.Hour}, context.DeadlineExceeded, false},
		{"request lands late", icetest.Fault{DelayBefore: time.Hour, Detached: true}, context.DeadlineExceeded, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTable(t, "2")
				tx := stage(t, c, 1)
				c.Inject(icetest.Commit, tt.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := tx.Commit(ctx); !errors.Is(err, tt.err) {
					t.Errorf("commit: %v, want %v", err, tt.err)
				}
				if tt.fault.Detached && len(offsets(t, c)) != 0 {
					t.Error("landed before its time")
				}
				time.Sleep(2 * time.Hour)
				if got := len(offsets(t, c)) == 1; got != tt.landed {
					t.Errorf("landed %v, want %v", got, tt.landed)
				}
				if got := c.Calls(icetest.Commit); got != 1 {
					t.Errorf("%d calls, want 1", got)
				}
			})
		})
	}
}

func TestPinRefuses(t *testing.T) {
	ctx := t.Context()
	interference := []struct {
		name string
		do   func(c *icetest.Catalog) error
	}{
		{"own rival", func(c *icetest.Catalog) error { _, err := stage(t, c, 2).Commit(ctx); return err }},
		{"foreign append", func(c *icetest.Catalog) error {
			_, err := c.ForeignAppend(ctx, ident, table.MainBranch)
			return err
		}},
		{"recreated", func(c *icetest.Catalog) error { _, err := c.Recreate(ident); return err }},
	}
	for _, tt := range interference {
		for _, first := range []bool{true, false} {
			c := newTable(t, "2")
			if !first {
				if _, err := stage(t, c, 0).Commit(ctx); err != nil {
					t.Fatal(err)
				}
			}
			tx := stage(t, c, 1)
			if err := tt.do(c); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if _, err := tx.Commit(ctx); !errors.Is(err, table.ErrCommitFailed) {
				t.Errorf("%s (first commit %v): %v, want %v", tt.name, first, err, table.ErrCommitFailed)
			}
			if slices.Contains(offsets(t, c), 1) {
				t.Errorf("%s (first commit %v): refused row is in the table", tt.name, first)
			}
		}
	}
}

func TestForeign(t *testing.T) {
	ctx := t.Context()
	for _, version := range []string{"2", "3"} {
		c := newTable(t, version)
		for off := range int64(3) {
			if _, err := stage(t, c, off).Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
		tbl, err := c.ForeignAppend(ctx, ident, table.MainBranch)
		if err != nil {
			t.Fatal(err)
		}
		if got := offsets(t, c); !slices.Equal(got, []int64{0, 1, 2}) {
			t.Errorf("v%s: rows after an append of nothing: %v", version, got)
		}
		if _, ok := tbl.CurrentSnapshot().Summary.Properties["firn.test"]; ok || tbl.Properties()["firn.test"] != "p" {
			t.Errorf("v%s: summary %v, properties %v: want our key in the properties only", version, tbl.CurrentSnapshot().Summary, tbl.Properties())
		}
		file, err := icetest.WriteFile(ctx, tbl, icetest.Row{"part": 0, "off": 9})
		if err != nil {
			t.Fatal(err)
		}
		if tbl, err = c.ForeignAppend(ctx, ident, table.MainBranch, file); err != nil {
			t.Fatal(err)
		}
		first := tbl.Metadata().Snapshots()[0].SnapshotID
		if _, err := c.ForeignRollback(ident, table.MainBranch, first); err != nil {
			t.Fatal(err)
		}
		if got := offsets(t, c); !slices.Equal(got, []int64{0}) {
			t.Errorf("v%s: rows after rollback: %v", version, got)
		}
		if tbl, err = c.ForeignExpire(ident); err != nil {
			t.Fatal(err)
		}
		if got := tbl.Metadata().Snapshots(); len(got) != 1 || got[0].SnapshotID != first {
			t.Errorf("v%s: snapshots after expiry: %v", version, got)
		}
		if got := offsets(t, c); !slices.Equal(got, []int64{0}) {
			t.Errorf("v%s: rows after expiry: %v", version, got)
		}
	}
}

func TestFilesFaults(t *testing.T) {
	full := errors.New("disk full")
	files := icetest.NewFiles()
	files.FailWrite(2, full)
	w, err := files.Create(t.Context(), "mem://a")
	if err != nil {
		t.Fatal(err)
	}
	_, first := w.Write([]byte("a"))
	_, second := w.Write([]byte("b"))
	if first != nil || !errors.Is(second, full) {
		t.Errorf("writes: %v, %v, want nil, %v", first, second, full)
	}
	if files.OpenWriters() != 1 || w.Abort() != nil || files.OpenWriters() != 0 {
		t.Errorf("open writers %d after Abort", files.OpenWriters())
	}
	files.FailClose(1, full)
	if err := storage.Bind(t.Context(), files).(interface {
		WriteFile(string, []byte) error
	}).WriteFile("mem://b", nil); !errors.Is(err, full) {
		t.Errorf("close: %v, want %v", err, full)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, _ = files.Create(ctx, "mem://c")
	cancel()
	if err := w.Close(); !errors.Is(err, context.Canceled) || len(files.Paths()) != 0 {
		t.Errorf("close after cancel: %v, stored %v", err, files.Paths())
	}
}
