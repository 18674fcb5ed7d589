package iceberg

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
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
		// How many files it takes depends on where a cycle's border falls: the two
		// largest will do.
		tbl, files := s.files()
		slices.SortFunc(files, func(a, b iceberg.DataFile) int { return cmp.Compare(b.Count(), a.Count()) })
		if len(files) < 2 || files[0].Count() < 3 || files[1].Count() < 2 {
			s.t.Fatalf("%d files, the story asks for two of some rows", len(files))
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

// TestVerifyReadsVariants has rows with a variant, and changes one deep within it.
func TestVerifyReadsVariants(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		if err := s.catalog.CreateNamespace(s.t.Context(), orders[:1], nil); err != nil {
			s.t.Fatal(err)
		}
		schema := iceberg.NewSchema(
			0, iceberg.NestedField{ID: 1, Name: "p", Type: iceberg.PrimitiveTypes.Int32}, iceberg.NestedField{ID: 2, Name: "o", Type: iceberg.PrimitiveTypes.Int64},
			iceberg.NestedField{ID: 3, Name: "v", Type: iceberg.VariantType{}},
		)
		if _, err := catalog.EnsureTable(s.t.Context(), s.catalog, orders, schema, nil, map[string]string{"format-version": "3", table.ParquetCompressionKey: "uncompressed"}); err != nil {
			s.t.Fatal(err)
		}
		deep := func(n int64) []connect.Value {
			list := connect.ArrayValue([]connect.Value{connect.IntValue(n), {}, connect.FloatValue(0.5), connect.StringValue("x")})
			return []connect.Value{connect.StringValue("v"), connect.MapValue([]connect.Value{connect.StringValue("k"), list, connect.StringValue("a"), connect.BoolValue(n%2 == 0)})}
		}
		s.add(30, func(_ connect.TopicPartition, o int64) []connect.Value {
			if o%7 == 0 {
				return nil
			}
			return deep(o)
		})
		s.mustPoll(5 * time.Second)
		for _, how := range []func(*Verification, *stageReader){nil, byRows} {
			if r, err := s.verified(how); err != nil || r.Differences() != 0 || r.Rows != 140 {
				s.t.Errorf("got %+v, %v, want 140 rows without a difference", r, err)
			}
		}
		part := s.parts()[0]
		s.log[part][45].Value = connect.MapValue(append([]connect.Value{connect.StringValue("p"), connect.IntValue(0), connect.StringValue("o"), connect.IntValue(45)}, deep(47)...))
		r, err := s.verified(nil)
		if err != nil || r.Wrong != 1 || r.Differences() != 1 || !strings.Contains(r.Examples[0], "has other values than its record in v") {
			s.t.Errorf("another number in the variant: got %+v, %v, want it found", r, err)
		}
	})
}
