package commit

import (
	"reflect"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
)

// Partition values of every type come out of the table's manifests as Java's table library
// would have put them in, and deletes reach what came before them.
func TestDrainOfPartitionedFiles(t *testing.T) {
	onStage(t, 0, func(s *stage) {
		t := s.t
		columns := []struct {
			typ       iceberg.Type
			transform iceberg.Transform
			result    string // of the transform
			java      any
			want      any
		}{
			{iceberg.PrimitiveTypes.TimestampTz, iceberg.DayTransform{}, "date", int32(19724), iceberg.Date(19724)},
			{iceberg.PrimitiveTypes.Int64, iceberg.BucketTransform{NumBuckets: 16}, "int", int32(4), int32(4)},
			{iceberg.PrimitiveTypes.String, iceberg.TruncateTransform{Width: 4}, "string", "abcd", "abcd"},
			{iceberg.PrimitiveTypes.UUID, iceberg.IdentityTransform{}, "uuid", []byte{15: 0xaa}, uuid.UUID{15: 0xaa}},
			{iceberg.DecimalTypeOf(9, 2), iceberg.IdentityTransform{}, "decimal(9, 2)", []byte{0xff, 0xff, 0xff, 0x83}, iceberg.Decimal{Val: decimal128.FromI64(-125), Scale: 2}},
			{iceberg.FixedTypeOf(3), iceberg.IdentityTransform{}, "fixed[3]", []byte("abc"), []byte("abc")},
			{iceberg.PrimitiveTypes.Binary, iceberg.IdentityTransform{}, "binary", javaevent.Binary("xy"), []byte("xy")},
			{iceberg.PrimitiveTypes.Bool, iceberg.IdentityTransform{}, "boolean", true, true},
			{iceberg.PrimitiveTypes.Int64, iceberg.IdentityTransform{}, "long", int64(1) << 40, int64(1) << 40},
			{iceberg.PrimitiveTypes.Time, iceberg.IdentityTransform{}, "time", int64(7), iceberg.Time(7)},
			{iceberg.PrimitiveTypes.Timestamp, iceberg.IdentityTransform{}, "timestamp", int64(8), iceberg.Timestamp(8)},
			{iceberg.PrimitiveTypes.Int64, iceberg.IdentityTransform{}, "long", nil, nil},
		}
		var fields []iceberg.NestedField
		var spec []iceberg.PartitionField
		var types []javaevent.PartitionField
		file := javaevent.File{Format: "PARQUET", Records: 1, Bytes: 10, Partition: map[int]any{}, Lower: map[int][]byte{1: {1}}, SplitOffsets: []int64{4}}
		for i, c := range columns {
			name := string(rune('a' + i))
			fields = append(fields, iceberg.NestedField{ID: i + 1, Name: name, Type: c.typ})
			spec = append(spec, iceberg.PartitionField{SourceIDs: []int{i + 1}, FieldID: 1000 + i, Name: name + "_part", Transform: c.transform})
			types = append(types, javaevent.PartitionField{ID: 1000 + i, Name: name + "_part", Type: c.result})
			file.Partition[1000+i] = c.java
		}
		target := Target{"db.parts", "main"}
		tbl, err := s.catalog.CreateTable(t.Context(), target.Identifier(), iceberg.NewSchema(0, fields...), icebergcatalog.WithPartitionSpec(new(iceberg.NewPartitionSpec(spec...))))
		if err != nil {
			t.Fatal(err)
		}
		id := [16]byte(tbl.Metadata().TableUUID())
		announce := func(cycle byte, path string, deletes bool) {
			f := file
			f.Path = path
			w := javaevent.DataWritten{Commit: [16]byte{cycle}, Table: javaevent.Table{Namespace: []string{"db"}, Name: "parts", UUID: &id}, Partition: types}
			if deletes {
				d := f
				d.Content, d.EqualityIDs = 2, []int{2}
				w.Deletes = []javaevent.File{d}
			}
			f.Path = path + "-rows"
			w.Data = []javaevent.File{f}
			s.announce(stageGroup, w, false)
		}
		announce(1, "first", false)
		announce(2, "second", true)
		if _, err := (&drain{cfg: s.config()}).run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		sequence := map[string]int64{}
		for path, e := range entries(t, s.load(target)) {
			sequence[path] = e.SequenceNum()
			for i, c := range columns {
				got := e.DataFile().Partition()[1000+i]
				if d, ok := got.(iceberg.DecimalLiteral); ok {
					got = iceberg.Decimal(d)
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: %s %s: partition value %v (%T), want %v (%T)", path, c.transform, c.typ, got, got, c.want, c.want)
				}
			}
		}
		if want := map[string]int64{"first-rows": 1, "second": 2, "second-rows": 2}; !reflect.DeepEqual(sequence, want) {
			t.Errorf("files and their sequence numbers %v, want %v", sequence, want)
		}
	})
}

// entries lists the files of a table's head by path.
func entries(t *testing.T, tbl *table.Table) map[string]iceberg.ManifestEntry {
	t.Helper()
	fs, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := tbl.CurrentSnapshot().Manifests(fs)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]iceberg.ManifestEntry{}
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			if err != nil {
				t.Fatal(err)
			}
			out[e.DataFile().FilePath()] = e
		}
	}
	return out
}

func TestPartitionValueOfAnotherType(t *testing.T) {
	for _, c := range []struct {
		v any
		t iceberg.Type
	}{
		{"text", iceberg.PrimitiveTypes.Int64},
		{int64(1), iceberg.PrimitiveTypes.Int32},
		{[]byte{1}, iceberg.PrimitiveTypes.UUID},
		{make([]byte, 17), iceberg.DecimalTypeOf(38, 0)},
		{[]byte{1}, iceberg.PrimitiveTypes.Binary},
		{int64(1), iceberg.PrimitiveTypes.Date},
		{int32(1), &iceberg.ListType{Element: iceberg.PrimitiveTypes.Int32}},
	} {
		if got, err := partitionValue(c.v, c.t); err == nil {
			t.Errorf("%v (%T) as %s: %v", c.v, c.v, c.t, got)
		}
	}
}
