package datafile

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// TestTransformKeys compares the key of each transform with iceberg-go's result: two
// rows have equal keys exactly if they have equal partition values.
func TestTransformKeys(t *testing.T) {
	ints := rapid.OneOf(rapid.Int64Range(-100, 100), rapid.Int64())
	type source struct {
		typ   iceberg.Type
		value *rapid.Generator[connect.Value]
	}
	number := func(g *rapid.Generator[int64]) *rapid.Generator[connect.Value] { return rapid.Map(g, connect.IntValue) }
	strings := rapid.Map(rapid.StringN(0, 6, -1), connect.StringValue)
	blobs := rapid.Map(rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 5), connect.BytesValue)
	nanos := rapid.Map(rapid.OneOf(rapid.Int64Range(-5000, 5000), rapid.Int64()), func(ns int64) connect.Value {
		return text(time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.999999999"))
	})
	sources := []source{
		{iceberg.PrimitiveTypes.Bool, rapid.Map(rapid.Bool(), connect.BoolValue)},
		{iceberg.PrimitiveTypes.Int32, number(rapid.OneOf(rapid.Int64Range(-50, 50), rapid.Int64Range(math.MinInt32, math.MaxInt32)))},
		{iceberg.PrimitiveTypes.Int64, number(ints)},
		{iceberg.PrimitiveTypes.Float32, rapid.Map(rapid.SampledFrom([]float64{0, 1, -1, 0.5, math.Inf(1)}), connect.FloatValue)},
		{iceberg.PrimitiveTypes.Float64, rapid.Map(rapid.SampledFrom([]float64{0, 1, -1, 0.5, math.Inf(-1)}), connect.FloatValue)},
		{iceberg.PrimitiveTypes.Date, number(rapid.OneOf(rapid.Int64Range(-800, 800), rapid.Int64Range(-500_000, 500_000)))},
		{iceberg.PrimitiveTypes.Time, number(rapid.Int64Range(0, 86_399_999))},
		{iceberg.PrimitiveTypes.Timestamp, number(rapid.OneOf(rapid.Int64Range(-100_000_000_000, 100_000_000_000), rapid.Int64Range(-10, 10)))},
		{iceberg.PrimitiveTypes.TimestampTz, number(rapid.Int64Range(-100_000_000_000, 100_000_000_000))},
		{iceberg.PrimitiveTypes.TimestampNs, nanos},
		{iceberg.PrimitiveTypes.TimestampTzNs, nanos},
		{iceberg.PrimitiveTypes.String, strings},
		{iceberg.PrimitiveTypes.Binary, blobs},
		{iceberg.FixedTypeOf(2), rapid.Map(rapid.SliceOfN(rapid.ByteRange(0, 2), 2, 2), connect.BytesValue)},
		{iceberg.PrimitiveTypes.UUID, rapid.Map(rapid.Int64Range(0, 20), func(i int64) connect.Value { return text(fmt.Sprintf("0-0-0-0-%x", i)) })},
		{iceberg.DecimalTypeOf(20, 2), number(rapid.Int64Range(-1000, 1000))},
	}
	transforms := []iceberg.Transform{
		iceberg.IdentityTransform{},
		iceberg.YearTransform{},
		iceberg.MonthTransform{},
		iceberg.DayTransform{},
		iceberg.HourTransform{},
		iceberg.BucketTransform{NumBuckets: 1},
		iceberg.BucketTransform{NumBuckets: 7},
		iceberg.TruncateTransform{Width: 1},
		iceberg.TruncateTransform{Width: 3},
		iceberg.TruncateTransform{Width: 10},
	}
	covered := 0
	for _, src := range sources {
		for _, tr := range transforms {
			if !tr.CanTransform(src.typ) {
				continue
			}
			covered++
			t.Run(fmt.Sprintf("%s of %s", tr, src.typ), func(t *testing.T) {
				schema := iceberg.NewSchema(0, column(1, "c", src.typ))
				plan, err := columns.Compile(nil, schema, columns.Options{})
				if err != nil {
					t.Fatal(err)
				}
				spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: tr})
				rapid.Check(t, func(rt *rapid.T) {
					c, err := columns.New(schema)
					if err != nil {
						rt.Fatal(err)
					}
					p, err := newPartitioner(spec, schema, c)
					if err != nil {
						rt.Fatal(err)
					}
					var keys []string
					var values []any
					for i := range 4 {
						v := src.value.Draw(rt, "value")
						if err := plan.Append(c, object(text("c"), v)); err != nil {
							rt.Fatal(err)
						}
						vals, err := p.values(i)
						if err != nil {
							rt.Fatal(err)
						}
						keys, values = append(keys, string(p.keyOfRow(i))), append(values, vals[1000])
					}
					for i := range keys {
						for j := range i {
							same := fmt.Sprintf("%T %v", values[i], values[i]) == fmt.Sprintf("%T %v", values[j], values[j])
							if (keys[i] == keys[j]) != same {
								rt.Fatalf("values %v and %v, keys %x and %x", values[i], values[j], keys[i], keys[j])
							}
						}
						if values[i] == nil {
							rt.Fatalf("no partition value for row %d", i)
						}
					}
				})
			})
		}
	}
	if covered < 50 {
		t.Errorf("%d pairs of type and transform covered", covered)
	}
}

var eventSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	column(2, "at", iceberg.PrimitiveTypes.TimestampTz),
	column(3, "meta", &iceberg.StructType{FieldList: []iceberg.NestedField{column(4, "region", iceberg.PrimitiveTypes.String)}}))

var eventSpec = iceberg.NewPartitionSpec(
	iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "at_day", Transform: iceberg.DayTransform{}},
	iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1001, Name: "id_bucket", Transform: iceberg.BucketTransform{NumBuckets: 2}},
	iceberg.PartitionField{SourceIDs: []int{4}, FieldID: 1002, Name: "region", Transform: iceberg.IdentityTransform{}},
	iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1003, Name: "gone", Transform: iceberg.VoidTransform{}})

// event is row i of three days, with nulls.
func event(i int) connect.Value {
	v := []connect.Value{text("id"), connect.IntValue(int64(i))}
	if i%7 != 0 {
		v = append(v, text("at"), connect.IntValue(int64(i%3-1)*86_400_000))
	}
	if i%5 != 0 {
		v = append(v, text("meta"), object(text("region"), text([]string{"eu", "us"}[i/2%2])))
	}
	return object(v...)
}

func TestPartitioned(t *testing.T) {
	io := newMemIO()
	cfg := config(io, eventSchema)
	cfg.Spec = eventSpec
	w := mustWriter(t, cfg)
	const n = 2*stageRows + 123
	for i := range n {
		if err := w.Append(nil, event(i)); err != nil {
			t.Fatalf("Append %d: %v", i, err)
		}
	}
	files := seal(t, w, io)
	if want := 4 * 2 * 3; len(files) != want { // days and null, buckets, regions and null
		t.Errorf("%d files, want %d", len(files), want)
	}
	checkPartitions(t, io, files, n)
	if used := w.budget.Used(); used != 0 {
		t.Errorf("budget holds %d bytes after Seal", used)
	}
}

// checkPartitions sees that each row is in one file, and in the one of its partition.
func checkPartitions(t *testing.T, io *memIO, files []iceberg.DataFile, n int) {
	t.Helper()
	seen := make(map[int64]bool)
	for _, f := range files {
		for _, id := range longs(t, io.content(f.FilePath()), 0) {
			if seen[id] {
				t.Errorf("row %d is there twice", id)
			}
			seen[id] = true
			i := int(id)
			want := map[int]any{1000: nil, 1001: bucket(id), 1002: nil, 1003: nil}
			if i%7 != 0 {
				want[1000] = iceberg.Date(i%3 - 1)
			}
			if i%5 != 0 {
				want[1002] = []string{"eu", "us"}[i/2%2]
			}
			for field, value := range want {
				if got := f.Partition()[field]; fmt.Sprint(got) != fmt.Sprint(value) {
					t.Fatalf("row %d is in partition %v, want %v", id, f.Partition(), want)
				}
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d rows in the files, want %d", len(seen), n)
	}
}

func bucket(id int64) any {
	lit := iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(id)}
	return iceberg.BucketTransform{NumBuckets: 2}.Apply(lit).Val.Any()
}

func TestSpecErrors(t *testing.T) {
	list := iceberg.NewSchema(0, column(1, "l", &iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.Int64}))
	for name, field := range map[string]iceberg.PartitionField{
		"no such column": {SourceIDs: []int{9}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}},
		"in a list":      {SourceIDs: []int{2}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}},
		"not for lists":  {SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}},
	} {
		cfg := config(newMemIO(), list)
		cfg.Spec = iceberg.NewPartitionSpec(field)
		if _, err := NewWriter(cfg); err == nil || !bytes.Contains([]byte(err.Error()), []byte(`partition field "p"`)) {
			t.Errorf("%s: got %v, want an error that names the field", name, err)
		}
	}
}

// TestManyPartitions sees that a thousand open partitions stay within the budget, and
// that pressure makes row groups rather than files.
func TestManyPartitions(t *testing.T) {
	io := newMemIO()
	schema := iceberg.NewSchema(0, column(1, "id", iceberg.PrimitiveTypes.Int64), column(2, "p", iceberg.PrimitiveTypes.Int64), column(3, "s", iceberg.PrimitiveTypes.String))
	cfg := config(io, schema)
	cfg.Spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
	const limit = 24 << 20
	cfg.Budget = NewBudget(limit, nil)
	w := mustWriter(t, cfg)
	const n, partitions = 200_000, 1000
	pad := bytes.Repeat([]byte("x"), 150)
	most := int64(0)
	for i := range n {
		if err := w.Append(nil, object(text("id"), connect.IntValue(int64(i)), text("p"), connect.IntValue(int64(i*7919%partitions)), text("s"), connect.StringOf(pad))); err != nil {
			t.Fatalf("Append %d: %v", i, err)
		}
		most = max(most, w.budget.held)
	}
	if most > limit {
		t.Errorf("open files held %d bytes, want at most %d", most, limit)
	}
	files := seal(t, w, io)
	if len(files) != partitions {
		t.Errorf("%d files, want one for each of %d partitions", len(files), partitions)
	}
	rows := 0
	groups := 0
	for _, f := range files {
		rows += int(f.Count())
		groups += len(f.SplitOffsets())
	}
	if rows != n {
		t.Errorf("%d rows, want %d", rows, n)
	}
	if groups <= partitions {
		t.Errorf("%d row groups in %d files: the budget was never under pressure", groups, partitions)
	}
}
