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
	c := s.connector()
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
	tbl, err := s.catalog.LoadTable(s.t.Context(), orders)
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
			"a doubled row", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, rows []icetest.Row) { s.foreign(tbl, rows[3]) },
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
			"a copied data file", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, rows []icetest.Row) { s.foreign(tbl, rows...) },
			[5]int64{0, 80, 0, 0, 0},
			[5]int64{0, 80, 0, 0, 0},
			"rows",
		},
		{"a row of no record", func(s *stage, tbl *table.Table, _ []iceberg.DataFile, _ []icetest.Row) {
			s.foreign(tbl, icetest.Row{"p": 0, "o": 41, "word": "w"})
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

// TestVerifyAfterALateStart has a table whose connector began above the topic's first record.
func TestVerifyAfterALateStart(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(5 * time.Second)
		tbl, files := s.files()
		rows, err := icetest.ReadRows(s.t.Context(), tbl)
		if err != nil || len(files) != 1 {
			s.t.Fatalf("%d files, %v", len(files), err)
		}
		late := slices.DeleteFunc(rows, func(r icetest.Row) bool { return r["o"].(int64) < 10 })
		s.forge(tbl, files[0].FilePath(), late)
		asked := func() *verify.Report {
			r, err := s.verified(func(v *Verification, _ *stageReader) { v.FromFirstRow = true })
			if err != nil {
				s.t.Fatal(err)
			}
			return r
		}
		if r, err := s.verified(nil); err != nil || r.Lost != 20 {
			s.t.Errorf("asked for everything: got %+v, %v, want 20 lost", r, err)
		}
		if r := asked(); r.Lost+r.Extra+r.Doubled+r.Wrong != 0 || !strings.Contains(strings.Join(r.Unchecked, ";"), "orders-1: records below the first row, 10, were not asked for") {
			s.t.Errorf("asked from the first row on: got %+v, want it declared and nothing else", r)
		}
		late[1]["word"] = "other"
		s.forge(tbl, files[0].FilePath(), late)
		if r := asked(); r.Wrong != 1 || r.Lost != 0 {
			s.t.Errorf("a wrong value above the first row: got %+v, want 1 wrong", r)
		}
		s.forge(tbl, files[0].FilePath(), append(late[:5], late[6:]...))
		if r := asked(); r.Lost != 1 {
			s.t.Errorf("a lost row above the first: got %+v, want 1 lost", r)
		}
	})
}

// TestVerifyKeyedTables follows updates and deletes over several commits, and breaks the
// table in the ways that only such tables know.
func TestVerifyKeyedTables(t *testing.T) {
	config := func(c map[string]string) {
		c["iceberg.tables.cdc-field"] = "op"
		c["iceberg.tables.default-id-columns"] = "k"
		c["iceberg.tables.auto-create-props.format-version"] = "2"
	}
	value := func(tp connect.TopicPartition, o int) connect.Value {
		op := "U"
		if o%7 == 3 {
			op = "D"
		}
		return connect.MapValue([]connect.Value{
			connect.StringValue("op"), connect.StringValue(op), connect.StringValue("k"), connect.IntValue(int64(tp.Partition)*1000 + int64(o%13)),
			connect.StringValue("v"), connect.IntValue(int64(o)),
		})
	}
	tests := []struct {
		name   string
		spoil  func(s *stage, tbl *table.Table, rows []icetest.Row)
		counts [4]int64 // lost, doubled, extra, wrong
	}{
		{"nothing", nil, [4]int64{}},
		{"an old row comes back", func(s *stage, tbl *table.Table, rows []icetest.Row) {
			s.foreign(tbl, icetest.Row{"op": "U", "k": rows[0]["k"], "v": 1})
		}, [4]int64{0, 1, 0, 0}},
		{"a deleted key comes back", func(s *stage, tbl *table.Table, _ []icetest.Row) {
			s.foreign(tbl, icetest.Row{"op": "U", "k": s.deletedKey(), "v": 1})
		}, [4]int64{0, 0, 1, 0}},
		{"a key of no record", func(s *stage, tbl *table.Table, _ []icetest.Row) {
			s.foreign(tbl, icetest.Row{"op": "U", "k": 777, "v": 1})
		}, [4]int64{0, 0, 1, 0}},
		{"the row of a key is not there", func(s *stage, _ *table.Table, _ []icetest.Row) {
			s.log[s.parts()[0]][3].Value = keyedValue("U", 888, "1", "") // in place of a delete whose key comes again
		}, [4]int64{1, 0, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inStage(t, config, func(s *stage) {
				s.rewrite(0, value)
				s.mustPoll(3 * time.Second)
				from := len(s.log[s.parts()[0]])
				s.produce(s.t.Context(), 40)
				s.rewrite(from, value)
				s.mustPoll(3 * time.Second)
				if tt.spoil != nil {
					tbl, _ := s.files()
					rows, err := icetest.ReadRows(s.t.Context(), tbl)
					if err != nil || len(rows) == 0 {
						s.t.Fatalf("%d rows, %v", len(rows), err)
					}
					tt.spoil(s, tbl, rows)
				}
				for _, memory := range []int64{0, 3000} { // one pass, and several
					r, err := s.verified(func(v *Verification, _ *stageReader) { v.MemoryBytes = memory })
					if err != nil {
						s.t.Fatal(err)
					}
					if got := [4]int64{r.Lost, r.Doubled, r.Extra, r.Wrong}; got != tt.counts {
						s.t.Errorf("with %d bytes: lost, doubled, extra, wrong %v, want %v; %s", memory, got, tt.counts, strings.Join(r.Examples, "; "))
					}
					if tt.spoil == nil && (r.Rows != r.Expected || r.Rows < 15) {
						s.t.Errorf("with %d bytes: %d rows, %d expected", memory, r.Rows, r.Expected)
					}
				}
			})
		})
	}
}

// foreign appends a file of the table with these rows, as another program would.
func (s *stage) foreign(tbl *table.Table, rows ...icetest.Row) {
	s.t.Helper()
	f, err := icetest.WriteFile(s.t.Context(), tbl, rows...)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.catalog.ForeignAppend(s.t.Context(), tbl.Identifier(), "main", f); err != nil {
		s.t.Fatal(err)
	}
}

// deletedKey is a key whose last record is a delete.
func (s *stage) deletedKey() int64 {
	s.t.Helper()
	last := make(map[int64]string)
	for _, log := range s.log {
		for _, r := range log {
			k, _ := r.Value.Lookup("k")
			op, _ := r.Value.Lookup("op")
			last[k.Int()] = op.Text()
		}
	}
	for k, op := range last {
		if op == "D" {
			return k
		}
	}
	s.t.Fatal("no key is deleted in the end")
	return 0
}

// TestVerifyReadsEveryType has rows of all types in more than one block of rows.
func TestVerifyReadsEveryType(t *testing.T) {
	str, num := &connect.Schema{Type: connect.StringType, Optional: true}, &connect.Schema{Type: connect.Int64, Optional: true}
	list := &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: num}
	inner := &connect.Schema{Type: connect.StructType, Optional: true, Fields: []connect.Field{{Name: "a", Schema: num}, {Name: "l", Schema: &connect.Schema{Type: connect.ArrayType, Optional: true, Elem: list}}}}
	dec := func(scale, precision string) *connect.Schema {
		return &connect.Schema{Type: connect.BytesType, Optional: true, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": scale, "connect.decimal.precision": precision}}
	}
	logical := func(t connect.Type, name string) *connect.Schema {
		return &connect.Schema{Type: t, Optional: true, Name: name}
	}
	schema := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		{Name: "p", Schema: &connect.Schema{Type: connect.Int32}},
		{Name: "o", Schema: &connect.Schema{Type: connect.Int64}},
		{Name: "i", Schema: &connect.Schema{Type: connect.Int16, Optional: true}},
		{Name: "b", Schema: &connect.Schema{Type: connect.Boolean, Optional: true}},
		{Name: "f", Schema: &connect.Schema{Type: connect.Float32, Optional: true}},
		{Name: "d", Schema: &connect.Schema{Type: connect.Float64, Optional: true}},
		{Name: "s", Schema: str},
		{Name: "x", Schema: &connect.Schema{Type: connect.BytesType, Optional: true}},
		{Name: "small", Schema: dec("2", "9")},
		{Name: "large", Schema: dec("4", "38")},
		{Name: "day", Schema: logical(connect.Int32, connect.LogicalDate)},
		{Name: "time", Schema: logical(connect.Int32, connect.LogicalTime)},
		{Name: "at", Schema: logical(connect.Int64, connect.LogicalTimestamp)},
		{Name: "list", Schema: list},
		{Name: "inner", Schema: inner},
		{Name: "map", Schema: &connect.Schema{Type: connect.MapType, Optional: true, Key: &connect.Schema{Type: connect.StringType}, Elem: inner}},
	}}
	value := func(tp connect.TopicPartition, o int) connect.Value {
		n := int64(o)
		null := func(v connect.Value, every int) connect.Value {
			if o%every == every-1 {
				return connect.Value{}
			}
			return v
		}
		numbers := func(count int) connect.Value {
			var vs []connect.Value
			for k := range count {
				vs = append(vs, null(connect.IntValue(n*10+int64(k)), 5))
			}
			return connect.ArrayValue(vs)
		}
		within := connect.StructValue([]connect.Value{null(connect.IntValue(-n), 3), null(connect.ArrayValue([]connect.Value{numbers(o % 3), {}, numbers(2)}), 4)})
		var pairs []connect.Value
		for k := range o % 4 {
			pairs = append(pairs, connect.StringValue(string(rune('a'+k))), null(within, 7))
		}
		big := []byte{byte(o), 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, byte(o >> 8)}
		return connect.StructValue([]connect.Value{
			connect.IntValue(int64(tp.Partition)), connect.IntValue(n), null(connect.IntValue(n-1000), 2), null(connect.BoolValue(o%3 == 0), 4),
			null(connect.FloatValue(float64(float32(n)/3)), 5), connect.FloatValue(float64(n) / 7), null(connect.StringValue(strings.Repeat("ż", o%9)), 6), connect.BytesValue(big[:o%12]),
			null(connect.BytesValue([]byte{0xFF, byte(o)}), 3), connect.BytesValue(big),
			connect.IntValue(n), connect.IntValue(n * 1000), null(connect.IntValue(-n*1_000_003), 9),
			null(numbers(o%4), 8), null(within, 11), null(connect.MapValue(pairs), 10),
		})
	}
	inStage(t, func(c map[string]string) { c["iceberg.control.commit.interval-ms"] = "10000" }, func(s *stage) {
		s.produce(s.t.Context(), 2100)
		s.rewrite(0, value)
		for _, log := range s.log {
			for i := range log {
				log[i].ValueSchema = schema
			}
		}
		s.mustPoll(25 * time.Second)
		for _, how := range []func(*Verification, *stageReader){nil, byRows} {
			r, err := s.verified(how)
			if err != nil || r.Differences() > 0 || r.Rows != 4280 {
				s.t.Errorf("got %+v, %v, want 4280 rows without a difference", r, err)
			}
		}
		for at, name := range map[int]string{5: "d", 8: "small", 9: "large", 12: "at", 14: "inner.l.element.element", 15: "map.value.a"} {
			const o = 1002 // nothing that is changed is null in it
			part := s.parts()[1]
			was := s.log[part][o].Value
			fields := slices.Clone(was.Fields())
			fields[at] = value(part, o+120).Fields()[at]
			s.log[part][o].Value = connect.StructValue(fields)
			r, err := s.verified(nil)
			if err != nil || r.Wrong != 1 || r.Differences() != 1 || !strings.Contains(r.Examples[0], name) {
				s.t.Errorf("another value of %s: got %+v, %v", name, r, err)
			}
			s.log[part][o].Value = was
		}
	})
}
