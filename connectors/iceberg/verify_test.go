package iceberg

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/connectors/iceberg/verify"
	"github.com/firn-io/firn/internal/kafka"
)

// stageReader reads the log of a stage.
type stageReader struct {
	s         *stage
	first     int64 // log start of every partition
	gap       int64 // an offset without a record, if above 0
	compacted bool
}

func (r *stageReader) Topics(ctx context.Context, names []string) (map[string]Topic, error) {
	cfg, err := kafka.NewConfig(r.s.tc.Client, r.s.dial)
	if err != nil {
		return nil, err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return nil, err
	}
	defer admin.Close() //nolint:errcheck // nothing is pending
	infos, err := admin.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	t := Topic{ID: infos["orders"].ID, First: map[int32]int64{0: r.first, 1: r.first}, End: map[int32]int64{}, Compacted: r.compacted}
	for tp, log := range r.s.log {
		t.End[tp.Partition] = int64(len(log))
	}
	return map[string]Topic{"orders": t}, nil
}

func (r *stageReader) Read(_ context.Context, part connect.TopicPartition, from, to int64, each func(*connect.Record, bool, error) error) error {
	for o := from; o < to; o++ {
		if o == r.gap && o > 0 {
			continue
		}
		rec := r.s.log[part][o]
		if err := each(&rec, true, nil); err != nil {
			return err
		}
	}
	return nil
}

// verified runs a verification of db.orders.
func (s *stage) verified(change func(v *Verification, r *stageReader)) (*verify.Report, error) {
	s.t.Helper()
	reader := &stageReader{s: s}
	v := &Verification{Config: s.config, Reader: reader, Coordinates: &verify.Coordinates{Partition: "p", Offset: "o"}}
	if change != nil {
		change(v, reader)
	}
	c := &Connector{OpenCatalog: func(context.Context, string, map[string]string) (catalog.Catalog, error) { return s.catalog, nil }}
	var report *verify.Report
	var reason error
	if err := c.Verify(s.t.Context(), v, func(_ string, r *verify.Report, err error) { report, reason = r, err }); err != nil {
		s.t.Fatal(err)
	}
	return report, reason
}

func byRows(v *Verification, _ *stageReader) { v.Coordinates = nil }

// files lists the data files of the table.
func (s *stage) files() (*table.Table, []iceberg.DataFile) {
	s.t.Helper()
	tbl, err := s.catalog.LoadTable(s.t.Context(), table.Identifier{"db", "orders"})
	if err != nil {
		s.t.Fatal(err)
	}
	tasks, err := tbl.Scan().PlanFiles(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var out []iceberg.DataFile
	for _, t := range tasks {
		out = append(out, t.File)
	}
	slices.SortFunc(out, func(a, b iceberg.DataFile) int { return strings.Compare(a.FilePath(), b.FilePath()) })
	return tbl, out
}

// forge replaces the rows of a data file, whose path stays.
func (s *stage) forge(tbl *table.Table, path string, rows []icetest.Row) {
	s.t.Helper()
	made, err := icetest.WriteFile(s.t.Context(), tbl, rows...)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := s.catalog.Files().ReadFile(s.t.Context(), made.FilePath())
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := s.catalog.Files().Create(s.t.Context(), path)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		s.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// TestVerifyFindsEveryKind breaks a table in each way and has it found with and without
// coordinates.
func TestVerifyFindsEveryKind(t *testing.T) {
	append1 := func(s *stage, tbl *table.Table, rows ...icetest.Row) {
		f, err := icetest.WriteFile(s.t.Context(), tbl, rows...)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.catalog.ForeignAppend(s.t.Context(), tbl.Identifier(), "main", f); err != nil {
			s.t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		spoil  func(s *stage, tbl *table.Table, files []iceberg.DataFile, rows []icetest.Row)
		counts [5]int64 // lost, doubled, extra, wrong, faults of files
		blind  [5]int64 // without coordinates
		says   string
	}{
		{"nothing", nil, [5]int64{}, [5]int64{}, ""},
		{"a lost row", func(s *stage, tbl *table.Table, files []iceberg.DataFile, rows []icetest.Row) {
			s.forge(tbl, files[0].FilePath(), rows[1:])
		}, [5]int64{1, 0, 0, 0, 1}, [5]int64{1, 0, 0, 0, 1}, "lost"},
		{
			"a doubled row", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, rows []icetest.Row) { append1(s, tbl, rows[3]) },
			[5]int64{0, 1, 0, 0, 0},
			[5]int64{0, 1, 0, 0, 0},
			"rows",
		},
		{"a wrong value", func(s *stage, tbl *table.Table, files []iceberg.DataFile, rows []icetest.Row) {
			rows[2]["word"] = "other"
			s.forge(tbl, files[0].FilePath(), rows)
		}, [5]int64{0, 0, 0, 1, 0}, [5]int64{1, 0, 1, 0, 0}, "has other values than its record in word"},
		{"a doubled data file", func(s *stage, tbl *table.Table, files []iceberg.DataFile, rows []icetest.Row) {
			if _, err := s.catalog.ForeignAppend(s.t.Context(), tbl.Identifier(), "main", files[0]); err != nil {
				s.t.Fatal(err)
			}
		}, [5]int64{0, 80, 0, 0, 1}, [5]int64{0, 80, 0, 0, 1}, "is in the snapshot more than once"},
		{
			"a copied data file", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, rows []icetest.Row) { append1(s, tbl, rows...) },
			[5]int64{0, 80, 0, 0, 0},
			[5]int64{0, 80, 0, 0, 0},
			"rows",
		},
		{"a row of no record", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, _ []icetest.Row) {
			append1(s, tbl, icetest.Row{"p": 0, "o": 41, "word": "w"})
		}, [5]int64{0, 0, 1, 0, 0}, [5]int64{0, 0, 1, 0, 0}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStage(t, nil, func(s *stage) {
				s.mustPoll(5 * time.Second)
				if tt.spoil != nil {
					tbl, files := s.files()
					rows, err := icetest.ReadRows(s.t.Context(), tbl)
					if err != nil {
						s.t.Fatal(err)
					}
					if len(files) != 1 || len(rows) != 80 {
						s.t.Fatalf("%d rows in %d files, the story asks for 80 in one", len(rows), len(files))
					}
					tt.spoil(s, tbl, files, rows)
				}
				for _, how := range []func(*Verification, *stageReader){nil, byRows} {
					want := tt.counts
					if how != nil {
						want = tt.blind
					}
					r, err := s.verified(how)
					if err != nil {
						s.t.Fatal(err)
					}
					got := [5]int64{r.Lost, r.Doubled, r.Extra, r.Wrong, r.FileFaults}
					if got != want || (r.Differences() == 0) != (len(r.Proved) > 0) {
						s.t.Errorf("by %s: lost, doubled, extra, wrong, file faults %v, want %v; %s", r.Method, got, want, strings.Join(r.Examples, "; "))
					}
					if r.Differences() > 0 && len(r.Examples) == 0 || how == nil && !strings.Contains(strings.Join(r.Examples, ";"), tt.says) {
						s.t.Errorf("by %s: examples %q, want one with %q", r.Method, r.Examples, tt.says)
					}
				}
			})
		})
	}
}

func TestVerifyDeclaresWhatItCannotSee(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(5 * time.Second)
		r, err := s.verified(func(_ *Verification, sr *stageReader) { sr.first, sr.gap, sr.compacted = 10, 20, true })
		if err != nil || r.Differences() > 0 {
			s.t.Fatalf("got %+v, %v", r, err)
		}
		text := strings.Join(r.Unchecked, "; ")
		if !strings.Contains(text, "22 rows are of records that have left the topic") || !strings.Contains(text, "2 offsets have no record") {
			s.t.Errorf("got %q, want the rows of 10 offsets and one gap in two partitions declared", text)
		}
		r, err = s.verified(func(_ *Verification, sr *stageReader) { sr.gap = 20 })
		if err != nil || r.Extra != 2 {
			s.t.Errorf("rows without a record in a topic that is not compacted: got %+v, %v, want 2 extra", r, err)
		}
		for _, how := range []func(sr *stageReader){func(sr *stageReader) { sr.first = 10 }, func(sr *stageReader) { sr.compacted = true }} {
			_, err := s.verified(func(v *Verification, sr *stageReader) { v.Coordinates = nil; how(sr) })
			if _, ok := errors.AsType[*verify.CannotError](err); !ok {
				s.t.Errorf("records gone and no coordinates: got %v, want a CannotError", err)
			}
		}
	})
}
