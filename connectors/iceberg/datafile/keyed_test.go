package datafile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

// keyedSchema has a key of two columns, one of them nested and optional, and a column
// that every row must have.
var keyedSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "at", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 5, Name: "height", Type: iceberg.PrimitiveTypes.Float64},
		{ID: 6, Name: "region", Type: iceberg.PrimitiveTypes.String},
	}}},
	iceberg.NestedField{ID: 3, Name: "v", Type: iceberg.PrimitiveTypes.String, Required: true},
	iceberg.NestedField{ID: 7, Name: "tags", Type: &iceberg.ListType{ElementID: 8, Element: iceberg.PrimitiveTypes.String}},
)

func keyedConfig(io IO) KeyedConfig {
	return KeyedConfig{Config: config(io, keyedSchema), Key: []int{1, 6}, DeleteSpec: *iceberg.UnpartitionedSpec}
}

func mustKeyed(t testing.TB, cfg KeyedConfig) *KeyedWriter {
	t.Helper()
	w, err := NewKeyedWriter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

type keyedRow struct {
	id     int64
	region string // "": the struct is null
	v      string
}

func (r keyedRow) key() string { return fmt.Sprintf("%d/%q", r.id, r.region) }

func (r keyedRow) record() connect.Value {
	at := connect.Value{}
	if r.region != "" {
		at = object(text("region"), text(r.region), text("height"), connect.FloatValue(1.5))
	}
	out := []connect.Value{text("id"), connect.IntValue(r.id), text("at"), at}
	if r.v != "" {
		out = append(out, text("v"), text(r.v))
	}
	return object(out...)
}

// sealKeyed returns the rows of the data files and the keys of the delete files.
func sealKeyed(t testing.TB, w *KeyedWriter, io *memIO) (rows []keyedRow, gone []string) {
	t.Helper()
	data, deletes := w.Seal()
	files, err := data.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		rows = append(rows, readKeyed(t, io.content(f.FilePath()))...)
	}
	files, err = deletes.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.ContentType() != iceberg.EntryContentEqDeletes || !slices.Equal(f.EqualityFieldIDs(), []int{1, 6}) {
			t.Fatalf("delete file: content %s of %v", f.ContentType(), f.EqualityFieldIDs())
		}
		for _, r := range readKeyed(t, io.content(f.FilePath())) {
			gone = append(gone, r.key())
		}
	}
	return rows, gone
}

func readKeyed(t testing.TB, content []byte) []keyedRow {
	t.Helper()
	tr := array.NewTableReader(readArrow(t, content), 0)
	defer tr.Release()
	var out []keyedRow
	for tr.Next() {
		b := tr.RecordBatch()
		at := b.Column(1).(*array.Struct)
		regionAt, _ := at.DataType().(*arrow.StructType).FieldIdx("region")
		region := at.Field(regionAt).(*array.String)
		for i := range int(b.NumRows()) {
			r := keyedRow{id: b.Column(0).(*array.Int64).Value(i)}
			if at.IsValid(i) && region.IsValid(i) {
				r.region = region.Value(i)
			}
			if b.NumCols() > 2 {
				r.v = b.Column(2).(*array.String).Value(i)
			}
			out = append(out, r)
		}
	}
	return out
}

// TestKeyedChanges compares what readers see with a table to which every record was
// applied by itself, over several Seals. As with Tabular an insert takes the place of a
// row of its own round only.
func TestKeyedChanges(t *testing.T) {
	type modelRow struct {
		keyedRow
		round int
	}
	rapid.Check(t, func(rt *rapid.T) {
		io := newMemIO()
		w := mustKeyed(t, keyedConfig(io))
		var table []keyedRow
		var model []modelRow
		seal := func() {
			rows, gone := sealKeyed(t, w, io)
			table = slices.DeleteFunc(table, func(r keyedRow) bool { return slices.Contains(gone, r.key()) })
			table = append(table, rows...)
		}
		for n, round, last := 0, 0, 0; last < 3; last, round = last+1, round+1 {
			for range rapid.IntRange(0, 30).Draw(rt, "records") {
				r := keyedRow{id: rapid.Int64Range(0, 4).Draw(rt, "id"), region: rapid.SampledFrom([]string{"", "eu", "us"}).Draw(rt, "region")}
				change := Change(rapid.IntRange(0, 2).Draw(rt, "change"))
				if n++; change != Delete {
					r.v = str(n)
				}
				if rapid.IntRange(0, 9).Draw(rt, "spill") == 0 {
					w.Spill()
				}
				err := w.Apply(change, nil, r.record())
				if errors.Is(err, ErrSealFirst) {
					seal()
					round++
					err = w.Apply(change, nil, r.record())
				}
				if err != nil {
					rt.Fatal(err)
				}
				model = slices.DeleteFunc(model, func(o modelRow) bool {
					return o.key() == r.key() && (change != Insert || o.round == round)
				})
				if change != Delete {
					model = append(model, modelRow{r, round})
				}
			}
			seal()
			var want []keyedRow
			for _, r := range model {
				want = append(want, r.keyedRow)
			}
			if got, want := sorted(table), sorted(want); !slices.Equal(got, want) {
				rt.Fatalf("round %d: rows %v, want %v", round, got, want)
			}
			if used := w.data.budget.Used(); used != 0 {
				rt.Fatalf("budget holds %d bytes after Seal", used)
			}
		}
	})
}

func sorted(rows []keyedRow) []keyedRow {
	return slices.SortedFunc(slices.Values(rows), func(a, b keyedRow) int { return strings.Compare(a.v, b.v) })
}

// As long as keys are new a unit goes on, whatever the memory; one that comes again ends it.
func TestKeyedSpills(t *testing.T) {
	io := newMemIO()
	cfg := keyedConfig(io)
	cfg.Budget = NewBudget(4<<20, nil)
	w := mustKeyed(t, cfg)
	put := func(n int) error {
		return w.Apply(Upsert, nil, keyedRow{int64(n), "eu", str(n) + strings.Repeat("x", 200)}.record())
	}
	const n = 60_000 // 15 MB
	spills := 0
	var most int64
	for i := range n {
		if err := put(i); err != nil {
			t.Fatal(err)
		}
		if most = max(most, cfg.Budget.kept); w.Crowded() {
			if !w.Spill() {
				t.Fatalf("cannot spill after %d rows", i)
			}
			spills++
		}
	}
	if spills < 4 || most > 3<<20 {
		t.Errorf("%d spills, at most %d bytes", spills, most)
	}
	if err := put(7); !errors.Is(err, ErrSealFirst) {
		t.Errorf("a key in the files: %v", err)
	}
	if err := w.Apply(Delete, nil, keyedRow{id: 8, region: "eu"}.record()); !errors.Is(err, ErrSealFirst) {
		t.Errorf("the delete of a key in the files: %v", err)
	}
	about := w.Bytes()
	rows, gone := sealKeyed(t, w, io)
	stored := int64(0)
	for _, path := range io.paths() {
		stored += int64(len(io.content(path)))
	}
	if about < stored/2 || about > 4*stored || w.Bytes() > 64 {
		t.Errorf("about %d bytes, then %d; the files have %d", about, w.Bytes(), stored)
	}
	if len(rows) != n || len(gone) != n {
		t.Errorf("%d rows, %d deletes, want %d each", len(rows), len(gone), n)
	}
	if err := put(7); err != nil {
		t.Errorf("after the Seal: %v", err)
	}
}

// A writer full of hashes cannot be helped by a Spill.
func TestKeyedSpillsNoMore(t *testing.T) {
	cfg := keyedConfig(newMemIO())
	cfg.Budget = NewBudget(1<<20, nil)
	w := mustKeyed(t, cfg)
	for n := range 200_000 {
		if err := w.Apply(Upsert, nil, keyedRow{int64(n), "eu", "x"}.record()); err != nil {
			t.Fatal(err)
		}
		if w.Crowded() && !w.Spill() {
			t.Logf("after %d rows", n)
			return
		}
	}
	t.Error("never told to Seal")
}

// A delete needs the key alone; a refused record leaves no trace.
func TestKeyedRefusals(t *testing.T) {
	io := newMemIO()
	cfg := keyedConfig(io)
	cfg.Columns.Evolve = true
	w := mustKeyed(t, cfg)
	put := func(c Change, v connect.Value) {
		t.Helper()
		if err := w.Apply(c, nil, v); err != nil {
			t.Fatal(err)
		}
	}
	put(Upsert, keyedRow{1, "eu", "a"}.record())
	put(Delete, keyedRow{id: 2}.record()) // without v, which every row must have
	put(Delete, object(text("id"), connect.IntValue(3), text("v"), text("x"), text("more"), text("y")))
	for _, bad := range []struct {
		change Change
		value  connect.Value
	}{
		{Upsert, keyedRow{id: 1, region: "eu"}.record()},
		{Upsert, object(text("id"), connect.IntValue(3), text("v"), text("x"), text("more"), text("y"))},
		{Delete, object(text("v"), text("x"))},
		{Delete, connect.IntValue(1)},
	} {
		err := w.Apply(bad.change, nil, bad.value)
		if _, ok := errors.AsType[*connect.DataError](err); !ok {
			t.Errorf("%v of %v: %v, want a DataError", bad.change, bad.value, err)
		}
	}
	rows, gone := sealKeyed(t, w, io)
	if want := []keyedRow{{1, "eu", "a"}}; !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	if want := []string{`1/"eu"`, `2/""`, `3/""`}; !slices.Equal(gone, want) {
		t.Errorf("deleted %v, want %v", gone, want)
	}
}

func TestNewKeyedWriterRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*KeyedConfig)
		want   string
	}{
		{"format version", func(c *KeyedConfig) { c.FormatVersion = 1 }, "format version is 1"},
		{"no key", func(c *KeyedConfig) { c.Key = nil }, "no columns"},
		{"float", func(c *KeyedConfig) { c.Key = []int{5} }, `"height" is a double`},
		{"struct", func(c *KeyedConfig) { c.Key = []int{2} }, `"at" is a struct`},
		{"list", func(c *KeyedConfig) { c.Key = []int{7} }, `"tags" is a list`},
		{"in a list", func(c *KeyedConfig) { c.Key = []int{8} }, "no column has id 8, outside of lists"},
		{"unknown", func(c *KeyedConfig) { c.Key = []int{9} }, "no column has id 9"},
		{"partition of another column", func(c *KeyedConfig) {
			c.DeleteSpec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
		}, `partition field "p"`},
	} {
		cfg := keyedConfig(newMemIO())
		test.change(&cfg)
		if _, err := NewKeyedWriter(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want it to say %q", test.name, err, test.want)
		}
	}
}

// Rows that later records replace must not pile up: many updates of few large rows.
func TestKeyedDropsReplacedRows(t *testing.T) {
	io := newMemIO()
	cfg := keyedConfig(io)
	cfg.Budget = NewBudget(64<<20, nil)
	w := mustKeyed(t, cfg)
	large := strings.Repeat("x", 100<<10)
	var most int64
	for i := range 2000 { // 200 MB
		if err := w.Apply(Upsert, nil, keyedRow{int64(i % 10), "eu", large + str(i)}.record()); err != nil {
			t.Fatal(err)
		}
		if most = max(most, w.rows.Held()); w.Crowded() {
			t.Fatalf("crowded after %d records of 10 keys: %d bytes", i, w.rows.Held())
		}
	}
	rows, gone := sealKeyed(t, w, io)
	if len(rows) != 10 || len(gone) != 10 {
		t.Fatalf("%d rows, %d deletes, want 10 each", len(rows), len(gone))
	}
	for _, r := range rows {
		if want := str(1990 + int(r.id)); !strings.HasSuffix(r.v, want) {
			t.Errorf("key %d ends with %q, want %q", r.id, r.v[len(large):], want)
		}
	}
	t.Logf("at most %d MB held", most>>20)
}

func TestKeyedCrowds(t *testing.T) {
	cfg := keyedConfig(newMemIO())
	cfg.Budget = NewBudget(4<<20, nil)
	w := mustKeyed(t, cfg)
	n := 0
	for ; !w.Crowded(); n++ {
		if err := w.Apply(Upsert, nil, keyedRow{int64(n), "eu", str(n)}.record()); err != nil {
			t.Fatal(err)
		}
		if n > 100_000 {
			t.Fatalf("not crowded with %d rows of %d bytes", n, w.rows.Held())
		}
	}
	w.Abort()
	if err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.Crowded() || cfg.Budget.Used() != 0 {
		t.Errorf("after Abort the budget holds %d bytes", cfg.Budget.Used())
	}
	t.Logf("crowded after %d rows", n)
}

// Deletes of a spec that the key determines lie in the partition of their rows.
func TestKeyedDeletesOfAPartition(t *testing.T) {
	io := newMemIO()
	cfg := keyedConfig(io)
	cfg.Spec = iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "b", Transform: iceberg.TruncateTransform{Width: 10}},
		iceberg.PartitionField{SourceIDs: []int{6}, FieldID: 1001, Name: "r", Transform: iceberg.IdentityTransform{}})
	cfg.DeleteSpec = cfg.Spec
	w := mustKeyed(t, cfg)
	for _, r := range []keyedRow{{1, "eu", "a"}, {2, "eu", "b"}, {11, "eu", "c"}, {1, "us", "d"}, {1, "eu", "e"}} {
		if err := w.Apply(Upsert, nil, r.record()); err != nil {
			t.Fatal(err)
		}
	}
	data, deletes := w.Seal()
	places := func(p *Pending) (out []string) {
		files, err := p.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			out = append(out, fmt.Sprintf("%v:%d", f.Partition(), f.Count()))
		}
		slices.Sort(out)
		return out
	}
	rows, gone := places(data), places(deletes)
	want := []string{"map[1000:0 1001:eu]:2", "map[1000:0 1001:us]:1", "map[1000:10 1001:eu]:1"}
	if !slices.Equal(rows, want) || !slices.Equal(gone, want) {
		t.Errorf("rows in %v, deletes in %v, want %v", rows, gone, want)
	}
}

// A failure of the storage of either kind of file fails both.
func TestKeyedFailure(t *testing.T) {
	io := newMemIO()
	w := mustKeyed(t, keyedConfig(io))
	if err := w.Apply(Delete, nil, keyedRow{id: 2}.record()); err != nil {
		t.Fatal(err)
	}
	io.fault = func(call string) error {
		if call == "create" {
			return errDiskFull
		}
		return nil
	}
	data, deletes := w.Seal()
	if _, err := deletes.Wait(t.Context()); !errors.Is(err, errDiskFull) {
		t.Errorf("deletes: %v", err)
	}
	if _, err := data.Wait(t.Context()); err != nil {
		t.Errorf("data, of which there is none: %v", err)
	}
	if err := w.Apply(Insert, nil, keyedRow{1, "eu", "a"}.record()); !errors.Is(err, errDiskFull) {
		t.Errorf("the next record: %v", err)
	}
	io.fault = nil
	w.Abort()
	if err := w.Apply(Insert, nil, keyedRow{1, "eu", "a"}.record()); err != nil {
		t.Errorf("after Abort: %v", err)
	}
}

func TestKeyedAllocations(t *testing.T) {
	w := mustKeyed(t, keyedConfig(newMemIO()))
	records := make([]connect.Value, 64)
	for i := range records {
		records[i] = keyedRow{int64(i), "eu", str(i)}.record()
	}
	i := 0
	if got := testing.AllocsPerRun(20_000, func() {
		if err := w.Apply(Upsert, nil, records[i%64]); err != nil {
			t.Fatal(err)
		}
		i++
	}); got > 0.05 {
		t.Errorf("%.2f allocations per record", got)
	}
}
