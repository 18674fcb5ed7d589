package iceberg

import (
	"slices"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// TestVerifyWithDeletionVectors has another engine delete rows of a v3 table by vectors,
// and write them again.
func TestVerifyWithDeletionVectors(t *testing.T) {
	format := func(c map[string]string) { c["iceberg.tables.auto-create-props.format-version"] = "3" }
	inStage(t, format, func(s *stage) {
		s.mustPoll(3 * time.Second)
		s.produce(s.t.Context(), 10)
		s.mustPoll(3 * time.Second)
		tbl, files := s.files()
		if len(files) != 2 {
			s.t.Fatalf("%d files, the story asks for two", len(files))
		}
		rows, err := icetest.ReadRows(s.t.Context(), tbl)
		if err != nil {
			s.t.Fatal(err)
		}
		gone, err := s.catalog.ForeignVectors(s.t.Context(), tbl.Identifier(), map[string][]int64{files[0].FilePath(): {0, 2}, files[1].FilePath(): {1}})
		if err != nil {
			s.t.Fatal(err)
		}
		left, err := icetest.ReadRows(s.t.Context(), gone)
		if err != nil || len(left) != len(rows)-3 {
			s.t.Fatalf("%d rows are left, %v", len(left), err)
		}
		for _, how := range []func(*Verification, *stageReader){nil, byRows} {
			if r, err := s.verified(how); err != nil || r.Lost != 3 || r.Differences() != 3 || r.Rows != 97 {
				s.t.Errorf("three rows deleted: got %+v, %v", r, err)
			}
		}
		s.foreign(gone, slices.DeleteFunc(rows, func(r icetest.Row) bool {
			return slices.ContainsFunc(left, func(l icetest.Row) bool { return l["p"] == r["p"] && l["o"] == r["o"] })
		})...)
		for _, how := range []func(*Verification, *stageReader){nil, byRows} {
			if r, err := s.verified(how); err != nil || r.Differences() != 0 || r.Rows != 100 {
				s.t.Errorf("written again: got %+v, %v", r, err)
			}
		}
	})
}
