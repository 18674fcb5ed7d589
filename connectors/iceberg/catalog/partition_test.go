package catalog

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
)

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
	iceberg.NestedField{ID: 3, Name: "s", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 4, Name: "nest", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 5, Name: "at", Type: iceberg.PrimitiveTypes.Date},
	}}},
	iceberg.NestedField{ID: 6, Name: "s_trunc", Type: iceberg.PrimitiveTypes.String})

// show prints a spec as Java's PartitionSpec.toString does, on one line.
func show(spec *iceberg.PartitionSpec) string {
	var b strings.Builder
	for _, f := range spec.Fields() {
		fmt.Fprintf(&b, "   %d: %s: %s(%d)", f.FieldID, f.Name, f.Transform, f.SourceID())
	}
	return b.String()
}

func TestPartitionSpecGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/partition.txt")
	if err != nil {
		t.Fatal(err)
	}
	plain := iceberg.NewSchema(0, schema.Fields()[:3]...)
	lines := 0
	for line := range strings.Lines(string(text)) {
		in, want, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		items := SplitPartitionBy(in)
		spec, err := PartitionSpec(plain, items)
		if strings.HasPrefix(want, "!") {
			if err == nil {
				t.Errorf("%q: spec%s, want an error as Java's %s", in, show(spec), want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := fmt.Sprintf("[%s] -> [%s ]", strings.Join(items, ", "), show(spec)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
	if lines != 15 {
		t.Errorf("%d golden lines, want 15", lines)
	}
}

func TestPartitionSpec(t *testing.T) {
	tests := []struct{ in, want, err string }{
		{"", "", ""},
		{"day(nest.at)", "   1000: nest.at_day: day(5)", ""},
		{"nest.at", "   1000: nest.at: identity(5)", ""},
		{"bucket(id,4),bucket(id,8)", "", "repeats"}, // Java lets this pass to a name conflict
		{"bucket(s,4),s", "   1000: s_bucket: bucket[4](3)   1001: s: identity(3)", ""},
		{"day(ts),hours(ts)", "", "repeats"},
		{"id,id", "", "repeats"},
		{"truncate(s,4)", "", "name of a column"},
		{"bucket(id,0)", "", "positive"},
		{"bucket(id,-1)", "", "positive"},
		{"bucket(id,99999999999)", "", "positive"},
		{"bucket(id,4,5)", "", "two arguments"},
		{"day(id)", "", "cannot be partitioned"},
		{"hour(nest.at)", "", "cannot be partitioned"},
		{"nest", "", "cannot be partitioned"},
		{"day(ts", "", "parenthesis"},
		{"day(ts) x", "", "parenthesis"},
		{"day()", "", "no column"},
		{"ID", "", "no column"},
	}
	for _, tt := range tests {
		spec, err := PartitionSpec(schema, SplitPartitionBy(tt.in))
		early := CheckPartitionBy(SplitPartitionBy(tt.in))
		if want := tt.err == "positive" || tt.err == "two arguments" || tt.err == "parenthesis"; (early != nil) != want {
			t.Errorf("%q: without a schema: %v, want an error: %v", tt.in, early, want)
		}
		switch {
		case tt.err == "" && err != nil:
			t.Errorf("%q: %v", tt.in, err)
		case tt.err == "" && show(spec) != tt.want:
			t.Errorf("%q: got %s, want %s", tt.in, show(spec), tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%q: error %v, want one with %q", tt.in, err, tt.err)
		}
	}
}

func FuzzPartitionBy(f *testing.F) {
	for _, s := range []string{"", "id", "day(ts), bucket(id, 16)", "truncate(s,4)", "((((", "a)b,c(d,e", ",,,", "bucket(,)", "bucket(id, 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		items := SplitPartitionBy(text)
		for _, item := range items {
			if item == "" || item != strings.TrimSpace(item) {
				t.Errorf("%q: item %q is not trimmed", text, item)
			}
		}
		spec, err := PartitionSpec(schema, items)
		if err != nil {
			return
		}
		if spec.NumFields() != len(items) {
			t.Errorf("%q: %d fields of %d items", text, spec.NumFields(), len(items))
		}
		var names []string
		for _, field := range spec.Fields() {
			names = append(names, field.Name)
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != len(items) {
			t.Errorf("%q: names repeat: %v", text, names)
		}
	})
}
