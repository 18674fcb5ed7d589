package datafile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/xitongsys/parquet-go/reader"
	"github.com/xitongsys/parquet-go/source"
	"pgregory.net/rapid"

	"github.com/firn-io/firn/connect"
)

func column(id int, name string, t iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t}
}

func text(s string) connect.Value             { return connect.StringValue(s) }
func object(v ...connect.Value) connect.Value { return connect.MapValue(v) }
func list(v ...connect.Value) connect.Value   { return connect.ArrayValue(v) }

// everything is a table with a column of each type.
var everything = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	column(2, "b", iceberg.PrimitiveTypes.Bool),
	column(3, "i", iceberg.PrimitiveTypes.Int32),
	column(4, "f", iceberg.PrimitiveTypes.Float32),
	column(5, "d", iceberg.PrimitiveTypes.Float64),
	column(6, "dec9", iceberg.DecimalTypeOf(9, 2)),
	column(7, "dec18", iceberg.DecimalTypeOf(18, 4)),
	column(8, "dec38", iceberg.DecimalTypeOf(38, 10)),
	column(9, "date", iceberg.PrimitiveTypes.Date),
	column(10, "time", iceberg.PrimitiveTypes.Time),
	column(11, "ts", iceberg.PrimitiveTypes.Timestamp),
	column(12, "tstz", iceberg.PrimitiveTypes.TimestampTz),
	column(13, "s", iceberg.PrimitiveTypes.String),
	column(14, "bin", iceberg.PrimitiveTypes.Binary),
	column(15, "fix", iceberg.FixedTypeOf(3)),
	column(16, "u", iceberg.PrimitiveTypes.UUID),
	column(17, "st", &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 18, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true},
		column(19, "y", iceberg.PrimitiveTypes.String),
		column(20, "in", &iceberg.StructType{FieldList: []iceberg.NestedField{column(21, "z", iceberg.PrimitiveTypes.Float64)}}),
	}}),
	column(22, "l", &iceberg.ListType{ElementID: 23, Element: iceberg.PrimitiveTypes.String}),
	column(24, "ls", &iceberg.ListType{ElementID: 25, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
		column(26, "k", iceberg.PrimitiveTypes.Int64), {ID: 27, Name: "r", Type: iceberg.PrimitiveTypes.Date, Required: true},
	}}}),
	column(28, "m", &iceberg.MapType{KeyID: 29, KeyType: iceberg.PrimitiveTypes.String, ValueID: 30, ValueType: iceberg.PrimitiveTypes.Int32}),
	column(31, "ll", &iceberg.ListType{ElementID: 32, Element: &iceberg.ListType{ElementID: 33, Element: iceberg.PrimitiveTypes.Int32}}))

// full is a row with all fields; its texts are those that arrow gives back.
func full(i int) (connect.Value, string) {
	at := time.Date(1965+i%100, time.Month(1+i%12), 1+i%28, i%24, i%60, 7, 123_456_000, time.UTC)
	s := []string{"", "plain", "żółć 日本 🧊", "line\nfeed\x00"}[i%4]
	v := object(
		text("id"), connect.IntValue(int64(i)), text("b"), connect.BoolValue(i%2 == 0), text("i"), connect.IntValue(int64(-i)),
		text("f"), connect.FloatValue(float64(i)/4), text("d"), connect.FloatValue(-float64(i)/3),
		text("dec9"), text(fmt.Sprintf("-%d.25", i)), text("dec18"), text(fmt.Sprintf("%d.0001", i)), text("dec38"), text(fmt.Sprintf("-9999999999999999%d.5", i)),
		text("date"), text(at.Format("2006-01-02")), text("time"), text(at.Format("15:04:05.999999")),
		text("ts"), text(at.Format("2006-01-02T15:04:05.999999")), text("tstz"), text(at.Format("2006-01-02T15:04:05.999999Z07:00")),
		text("s"), text(s), text("bin"), connect.BytesValue([]byte{0, byte(i)}), text("fix"), connect.BytesValue([]byte{1, 2, byte(i)}),
		text("u"), text(fmt.Sprintf("00000000-0000-0000-0000-%012x", i)),
		text("st"), object(text("x"), connect.IntValue(int64(i)), text("y"), text(s), text("in"), object(text("z"), connect.FloatValue(0.5))),
		text("l"), list(text(s), connect.Value{}, text("t")),
		text("ls"), list(object(text("k"), connect.IntValue(int64(i)), text("r"), connect.IntValue(-1)), connect.Value{}, object(text("r"), connect.IntValue(1))),
		text("m"), object(text("a"), connect.IntValue(1), text("b"), connect.Value{}),
		text("ll"), list(list(), connect.Value{}, list(connect.IntValue(int64(i)), connect.Value{})))
	return v, at.Format("2006-01-02T15:04:05.999999")
}

// flat is the part of everything without lists and maps, of which files are written
// without Arrow.
var flat = iceberg.NewSchema(0, everything.Fields()[:17]...)

func TestEveryType(t *testing.T) {
	for _, tt := range []struct {
		name      string
		schema    *iceberg.Schema
		encodings string
	}{{"all", everything, encodingsCompat}, {"all", everything, encodingsFast}, {"flat", flat, encodingsCompat}} {
		encodings := tt.encodings
		for _, codec := range []string{"zstd", "snappy", "gzip", "uncompressed"} {
			t.Run(tt.name+" "+encodings+" "+codec, func(t *testing.T) {
				io := newMemIO()
				cfg := config(io, tt.schema)
				cfg.Properties[propCodec], cfg.Properties[propEncodings] = codec, encodings
				w := mustWriter(t, cfg)
				const n = 300
				for i := range n {
					v, _ := full(i)
					if i%3 == 1 {
						v = object(text("id"), connect.IntValue(int64(i))) // nulls everywhere else
					}
					if err := w.Append(nil, v); err != nil {
						t.Fatalf("row %d: %v", i, err)
					}
				}
				files := seal(t, w, io)
				content := io.content(files[0].FilePath())
				checkArrow(t, content, n)
				checkIDs(t, content)
				checkDescription(t, files[0], n)
				if encodings == encodingsCompat { // the independent reader knows no newer encodings
					checkXitongsys(t, content, n)
				}
			})
		}
	}
}

// checkArrow compares row by row.
func checkArrow(t *testing.T, content []byte, n int) {
	t.Helper()
	tbl := readArrow(t, content)
	if tbl.NumRows() != int64(n) {
		t.Fatalf("%d rows, want %d", tbl.NumRows(), n)
	}
	cols := make(map[string]arrow.Array)
	for i, f := range tbl.Schema().Fields() {
		cols[f.Name] = tbl.Column(i).Data().Chunk(0)
	}
	for i := range n {
		_, at := full(i)
		s := []string{"", "plain", "żółć 日本 🧊", "line\nfeed\x00"}[i%4]
		for name, want := range map[string]string{
			"b": strconv.FormatBool(i%2 == 0), "i": strconv.Itoa(-i), "s": s,
			"dec9": fmt.Sprintf("-%d.25", i), "dec18": fmt.Sprintf("%d.0001", i), "dec38": fmt.Sprintf("-9999999999999999%d.5", i),
			"date": at[:10], "u": fmt.Sprintf("00000000-0000-0000-0000-%012x", i),
			"d": fmt.Sprint(-float64(i) / 3),
		} {
			got := cols[name].ValueStr(i)
			if name == "dec18" || name == "dec38" || name == "dec9" {
				got, want = strings.TrimRight(got, "0"), strings.TrimRight(want, "0")
			}
			if i%3 == 1 {
				want = array.NullValueStr
			}
			if got != want && (name != "d" || i != 0) {
				t.Errorf("row %d, column %s: got %q, want %q", i, name, got, want)
			}
		}
		if i%3 != 1 {
			us, err := time.Parse("2006-01-02T15:04:05.999999", at)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"ts", "tstz"} {
				if got := int64(cols[name].(*array.Timestamp).Value(i)); got != us.UnixMicro() {
					t.Errorf("row %d, column %s: got %d, want %d", i, name, got, us.UnixMicro())
				}
			}
			if got, want := int64(cols["time"].(*array.Time64).Value(i)), us.Sub(us.Truncate(24*time.Hour)).Microseconds(); got != want {
				t.Errorf("row %d, time: got %d, want %d", i, got, want)
			}
		}
	}
	for _, tt := range []struct{ col, want string }{
		{"st", `{"in":{"z":0.5},"x":3,"y":"line\nfeed\u0000"}`},
		{"l", `["line\nfeed\u0000",null,"t"]`},
		{"ls", `[{"k":3,"r":"1969-12-31"},null,{"k":null,"r":"1970-01-02"}]`},
		{"m", `[{"key":"a","value":1},{"key":"b","value":null}]`},
		{"ll", `[[],null,[3,null]]`},
	} {
		if cols[tt.col] == nil && tt.col != "st" {
			continue // of a flat table
		}
		if got := cols[tt.col].ValueStr(3); got != tt.want {
			t.Errorf("column %s: got %s, want %s", tt.col, got, tt.want)
		}
		if !cols[tt.col].IsNull(1) {
			t.Errorf("column %s, row 1: got %s, want null", tt.col, cols[tt.col].ValueStr(1))
		}
	}
}

// checkIDs sees that every part of the schema carries Iceberg's field id.
func checkIDs(t *testing.T, content []byte) {
	t.Helper()
	tbl := readArrow(t, content)
	for i, f := range tbl.Schema().Fields() {
		if id, _ := f.Metadata.GetValue("PARQUET:field_id"); id != strconv.Itoa(everything.Field(i).ID) {
			t.Errorf("column %s has field id %q, want %d", f.Name, id, everything.Field(i).ID)
		}
	}
	if tbl.NumCols() == 17 {
		return // of a flat table
	}
	lt := tbl.Schema().Field(17).Type.(*arrow.ListType)
	if id, _ := lt.ElemField().Metadata.GetValue("PARQUET:field_id"); id != "23" {
		t.Errorf("list element has field id %q, want 23", id)
	}
}

// checkDescription looks at what goes into the manifest.
func checkDescription(t *testing.T, f iceberg.DataFile, n int) {
	t.Helper()
	if f.Count() != int64(n) || len(f.SplitOffsets()) != 1 || f.SpecID() != 0 || len(f.Partition()) != 0 || f.SortOrderID() != nil {
		t.Errorf("got %d rows, split offsets %v, spec %d, partition %v, sort order %v", f.Count(), f.SplitOffsets(), f.SpecID(), f.Partition(), f.SortOrderID())
	}
	if got := f.NullValueCounts()[13]; got != int64(n)/3 {
		t.Errorf("%d nulls in column s, want %d", got, n/3)
	}
	if got := f.NullValueCounts()[1]; got != 0 {
		t.Errorf("%d nulls in column id, want 0", got)
	}
	bound := func(b []byte, typ iceberg.Type) string {
		lit, err := iceberg.LiteralFromBytes(typ, b)
		if err != nil {
			t.Fatalf("bound %x of %s: %v", b, typ, err)
		}
		return lit.String()
	}
	for _, tt := range []struct {
		id           int
		lower, upper string
	}{
		{1, "0", strconv.Itoa(n - 1)}, {3, strconv.Itoa(-(n - 1)), "0"}, {6, "-299.25", "-0.25"}, {13, "", "żółć 日本 🧊"},
	} {
		col, _ := everything.FindFieldByID(tt.id)
		lower := ""
		if b := f.LowerBoundValues()[tt.id]; len(b) > 0 {
			lower = bound(b, col.Type)
		}
		if upper := bound(f.UpperBoundValues()[tt.id], col.Type); lower != tt.lower || upper != tt.upper {
			t.Errorf("column %s: bounds %q … %q, want %q … %q", col.Name, lower, upper, tt.lower, tt.upper)
		}
	}
}

// checkXitongsys reads the flat columns with a reader that shares no code with the
// writer.
func checkXitongsys(t *testing.T, content []byte, n int) {
	t.Helper()
	r, err := reader.NewParquetColumnReader(&xitongsysFile{content, bytes.NewReader(content)}, 1)
	if err != nil {
		t.Fatalf("open with xitongsys: %v", err)
	}
	defer r.ReadStop()
	read := func(leaf int64) []any {
		vals, _, defs, err := r.ReadColumnByIndex(leaf, int64(n))
		if err != nil {
			t.Fatalf("xitongsys reads column %d: %v", leaf, err)
		}
		if len(vals) != n || len(defs) != n {
			t.Fatalf("xitongsys reads %d of column %d, want %d", len(vals), leaf, n)
		}
		return vals
	}
	ids, texts, dates, decs := read(0), read(12), read(8), read(5)
	for i := range n {
		_, at := full(i)
		if ids[i] != int64(i) {
			t.Errorf("xitongsys, row %d: id %v", i, ids[i])
		}
		if i%3 == 1 {
			if texts[i] != nil || dates[i] != nil || decs[i] != nil {
				t.Errorf("xitongsys, row %d: %v %v %v, want nulls", i, texts[i], dates[i], decs[i])
			}
			continue
		}
		day, err := time.Parse("2006-01-02", at[:10])
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"", "plain", "żółć 日本 🧊", "line\nfeed\x00"}[i%4]; texts[i] != want {
			t.Errorf("xitongsys, row %d: s %q, want %q", i, texts[i], want)
		}
		if want := int32(math.Floor(float64(day.Unix()) / 86400)); dates[i] != want {
			t.Errorf("xitongsys, row %d: date %v, want %d", i, dates[i], want)
		}
		if want := int32(-i*100 - 25); decs[i] != want {
			t.Errorf("xitongsys, row %d: decimal %v, want %d", i, decs[i], want)
		}
	}
}

// TestRandomSchemas writes random values of random schemas and reads them back.
func TestRandomSchemas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		id := 0
		schema := iceberg.NewSchema(0, randomFields(rt, &id, 0)...)
		io := newMemIO()
		w := mustWriter(t, config(io, schema))
		var rows []connect.Value
		for range rapid.IntRange(1, 30).Draw(rt, "rows") {
			rows = append(rows, randomStruct(rt, schema.Fields()))
			if err := w.Append(nil, rows[len(rows)-1]); err != nil {
				rt.Fatalf("Append: %v", err)
			}
		}
		files := seal(t, w, io)
		tbl := readArrow(t, io.content(files[0].FilePath()))
		for k, f := range schema.Fields() {
			a := tbl.Column(k).Data().Chunk(0)
			for i, r := range rows {
				v, _ := r.Lookup(f.Name)
				if got, want := canonical(a.GetOneForMarshal(i)), expected(f.Type, v); got != want {
					rt.Fatalf("schema %s, row %d, column %s: got %s, want %s", schema, i, f.Name, got, want)
				}
			}
		}
	})
}

func randomFields(t *rapid.T, id *int, depth int) []iceberg.NestedField {
	var out []iceberg.NestedField
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		*id++
		f := iceberg.NestedField{ID: *id, Name: fmt.Sprintf("c%d", i), Required: rapid.Bool().Draw(t, "required")}
		f.Type = randomType(t, id, depth)
		out = append(out, f)
	}
	return out
}

func randomType(t *rapid.T, id *int, depth int) iceberg.Type {
	most := 6
	if depth > 2 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, "type") {
	case 0:
		return iceberg.PrimitiveTypes.Int64
	case 1:
		return iceberg.PrimitiveTypes.String
	case 2:
		return iceberg.PrimitiveTypes.Bool
	case 3:
		return iceberg.PrimitiveTypes.Float64
	case 4:
		return &iceberg.StructType{FieldList: randomFields(t, id, depth+1)}
	case 5:
		*id++
		l := &iceberg.ListType{ElementID: *id, ElementRequired: rapid.Bool().Draw(t, "required")}
		l.Element = randomType(t, id, depth+1)
		return l
	}
	*id += 2
	m := &iceberg.MapType{KeyID: *id - 1, KeyType: iceberg.PrimitiveTypes.String, ValueID: *id, ValueRequired: rapid.Bool().Draw(t, "required")}
	m.ValueType = randomType(t, id, depth+1)
	return m
}

func randomStruct(t *rapid.T, fields []iceberg.NestedField) connect.Value {
	var pairs []connect.Value
	for _, f := range fields {
		pairs = append(pairs, text(f.Name), randomValue(t, f.Type, f.Required))
	}
	return connect.MapValue(pairs)
}

func randomValue(t *rapid.T, typ iceberg.Type, required bool) connect.Value {
	if !required && rapid.IntRange(0, 2).Draw(t, "null") == 0 {
		return connect.Value{}
	}
	switch typ := typ.(type) {
	case iceberg.Int64Type:
		return connect.IntValue(rapid.Int64Range(-3, 3).Draw(t, "int"))
	case iceberg.StringType:
		return text(rapid.SampledFrom([]string{"", "a", "bb"}).Draw(t, "text"))
	case iceberg.BooleanType:
		return connect.BoolValue(rapid.Bool().Draw(t, "bool"))
	case iceberg.Float64Type:
		return connect.FloatValue(float64(rapid.IntRange(-2, 2).Draw(t, "float")))
	case *iceberg.StructType:
		return randomStruct(t, typ.FieldList)
	case *iceberg.ListType:
		var elems []connect.Value
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			elems = append(elems, randomValue(t, typ.Element, typ.ElementRequired))
		}
		return connect.ArrayValue(elems)
	case *iceberg.MapType:
		var pairs []connect.Value
		for i := range rapid.IntRange(0, 3).Draw(t, "entries") {
			pairs = append(pairs, text(strconv.Itoa(i)), randomValue(t, typ.ValueType, typ.ValueRequired))
		}
		return connect.MapValue(pairs)
	}
	panic(fmt.Sprintf("no random value of %s", typ))
}

// canonical writes a value read by arrow as JSON with sorted keys.
func canonical(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var again any
	if err := json.Unmarshal(b, &again); err != nil {
		return err.Error()
	}
	if b, err = json.Marshal(again); err != nil {
		return err.Error()
	}
	return string(b)
}

// expected writes a value of a column in the same form.
func expected(t iceberg.Type, v connect.Value) string { return canonical(plainValue(t, v)) }

func plainValue(t iceberg.Type, v connect.Value) any {
	switch v.Kind() {
	case connect.Bool:
		return v.Bool()
	case connect.Int:
		return v.Int()
	case connect.Float:
		return v.Float()
	case connect.String:
		return v.Text()
	case connect.Array:
		out := []any{}
		for _, e := range v.Elems() {
			out = append(out, plainValue(t.(*iceberg.ListType).Element, e))
		}
		return out
	case connect.Map:
		if st, ok := t.(*iceberg.StructType); ok {
			out := make(map[string]any)
			for _, f := range st.FieldList {
				e, _ := v.Lookup(f.Name)
				out[f.Name] = plainValue(f.Type, e)
			}
			return out
		}
		out := []any{}
		for i := 0; i < len(v.Pairs()); i += 2 {
			out = append(out, map[string]any{"key": v.Pairs()[i].Text(), "value": plainValue(t.(*iceberg.MapType).ValueType, v.Pairs()[i+1])})
		}
		return out
	case connect.Null, connect.Bytes, connect.Struct:
	}
	return nil
}

// xitongsysFile is a file in memory for that reader, which opens it several times.
type xitongsysFile struct {
	content []byte
	*bytes.Reader
}

func (f *xitongsysFile) Open(string) (source.ParquetFile, error) {
	return &xitongsysFile{f.content, bytes.NewReader(f.content)}, nil
}

func (f *xitongsysFile) Create(string) (source.ParquetFile, error) { return nil, errors.ErrUnsupported }

func (f *xitongsysFile) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (f *xitongsysFile) Close() error              { return nil }
