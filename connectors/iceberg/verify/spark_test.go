package verify

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// rowSource gives rows of numbers for the records of one partition.
type rowSource struct {
	table   *Table
	numbers []int64
}

func (s *rowSource) Read(_ context.Context, _ connect.TopicPartition, from, to int64, seen func(int64), rows func(*Batch) error) error {
	var text strings.Builder
	b := Batch{}
	for o := from; o < to; o++ {
		seen(o)
		n := s.numbers[o]
		fmt.Fprintf(&text, `,{"n":%d,"s":"s%d","v":{"a":%d,"b":[%d,null]}}`, n, n, n, n)
		b.Offsets = append(b.Offsets, o)
	}
	as, err := table.SchemaToArrowSchema(s.table.Schema, nil, true, false)
	if err != nil {
		return err
	}
	if b.Rows, _, err = array.RecordFromJSON(memory.DefaultAllocator, as, strings.NewReader("["+text.String()[1:]+"]")); err != nil {
		return err
	}
	return rows(&b)
}

// sparkTable loads a version of the table in testdata/spark.zip.
func sparkTable(t *testing.T, version string) *Table {
	t.Helper()
	const location = "file:/tmp/lake/db/t/"
	z, err := zip.OpenReader("testdata/spark.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // it was only read
	files := icetest.NewFiles()
	var meta table.Metadata
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "metadata/"+version+".metadata.json" {
			if meta, err = table.ParseMetadataBytes(content); err != nil {
				t.Fatal(err)
			}
		}
		w, err := files.Create(t.Context(), location+f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fsys := func(ctx context.Context) (icebergio.IO, error) { return storage.Bind(ctx, files), nil }
	tbl, err := Load(t.Context(), table.New(table.Identifier{"db", "t"}, meta, "", fsys, nil), table.MainBranch)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// TestDeletesOfSpark verifies a table from which Spark has deleted rows, by position delete
// files in format v2 and by deletion vectors in v3.
func TestDeletesOfSpark(t *testing.T) {
	numbers := func(end int64, gone ...int64) (out []int64) {
		for n := range end {
			if !slices.Contains(gone, n) {
				out = append(out, n)
			}
		}
		return out
	}
	later := []int64{3, 5, 99, 7, 120}
	for n := int64(90); n <= 110; n++ {
		later = append(later, n)
	}
	for version, want := range map[string][]int64{"v3": numbers(100, 3, 5, 99), "v7": numbers(150, later...)} {
		tbl := sparkTable(t, version)
		verified := func(numbers []int64) *Report {
			r, err := Run(t.Context(), Job{
				Table: tbl, Source: &rowSource{tbl, numbers},
				Ranges: []Range{{TopicPartition: connect.TopicPartition{Topic: "t"}, Next: int64(len(numbers))}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := verified(want); r.Differences() > 0 || r.Rows != int64(len(want)) {
			t.Errorf("%s: got %d rows, want %d; %q", version, r.Rows, len(want), r.Examples)
		}
		if r := verified(append(slices.Clone(want), 5)); r.Lost != 1 || r.Differences() != 1 {
			t.Errorf("%s: a row that Spark has deleted: got %+v, want it lost", version, r)
		}
		if r := verified(want[1:]); r.Extra != 1 || r.Differences() != 1 {
			t.Errorf("%s: a row that should not be: got %+v, want one extra", version, r)
		}
	}
}
