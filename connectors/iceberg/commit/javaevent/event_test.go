package javaevent

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	c1    = [16]byte{15: 0xc1}
	table = Table{Catalog: "iceberg", Namespace: []string{"db"}, Name: "t", UUID: &[16]byte{15: 0xaa}}
	when  = time.UnixMicro(1704164645123456).UTC()
)

// The values were recorded from the Iceberg sink 1.11.0, written by its own encoder.
var recorded = map[string]Payload{
	"StartCommit": StartCommit{c1},
	"DataComplete": DataComplete{c1, []Assignment{
		{Topic: "events", Partition: 0, Offset: new(int64(100)), Time: when},
		{Topic: "events", Partition: 1},
	}},
	"CommitToTable":  CommitToTable{c1, table, new(int64(123)), when},
	"CommitComplete": CommitComplete{c1, when},
	"DataWritten_unpartitioned": DataWritten{Commit: c1, Table: table, Data: []File{{
		Path: "s3://b/db/t/data/g.parquet", Format: "PARQUET", Partition: map[int]any{}, Records: 2, Bytes: 99, SortOrderID: new(0),
	}}, Deletes: []File{}},
	"DataWritten_partitioned": DataWritten{
		Commit: c1, Table: table, Partition: []PartitionField{
			{1000, "ts_day", "date"},
			{1001, "id_bucket", "int"},
			{1002, "s_trunc", "string"},
			{1003, "u", "uuid"},
			{1004, "d", "decimal(9, 2)"},
		},
		Data: []File{{
			Path: "s3://b/db/t/data/f.parquet", Format: "PARQUET", Records: 3, Bytes: 1234,
			Partition:   map[int]any{1000: int32(19724), 1001: int32(4), 1002: "abcd", 1003: []byte{15: 0xaa}, 1004: []byte{0, 0, 0, 0x7d}},
			ColumnSizes: map[int]int64{1: 10}, ValueCounts: map[int]int64{1: 3}, NullCounts: map[int]int64{1: 0}, NaNCounts: map[int]int64{},
			Lower: map[int][]byte{1: {1, 0, 0, 0, 0, 0, 0, 0}}, Upper: map[int][]byte{1: {3, 0, 0, 0, 0, 0, 0, 0}},
			SplitOffsets: []int64{4}, SortOrderID: new(0),
		}}, Deletes: []File{},
	},
}

func TestJavasBytes(t *testing.T) {
	var d Decoder
	for name, want := range recorded {
		value := vector(t, name)
		e, err := d.Decode(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if e.Group != "connect-s" || e.Time.IsZero() || e.ID == ([16]byte{}) {
			t.Errorf("%s: envelope %+v", name, e)
		}
		got := e.Payload
		e.Payload = want
		if w, ok := want.(DataWritten); ok {
			w.Partition = nil
			want = w
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
		again, err := Encode(e)
		if err != nil || !bytes.Equal(again, value) {
			t.Errorf("%s: encoded\n got %q, %v\nwant %q", name, again, err, value)
		}
	}
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A field of a later release is passed over, one that an earlier one did not have is absent.
func TestFieldsComeAndGo(t *testing.T) {
	later := strings.Replace(startCommitSchema, `,"field-id":10200}`, `,"field-id":10200},{"name":"new","type":{"type":"map","values":["null","long"]},"field-id":77}`, 1)
	w := (&Event{ID: [16]byte{1}, Time: when, Group: "g", Payload: StartCommit{}}).head(later)
	w.id(c1)
	for _, v := range []int64{-1, 4} { // one pair, in a block of 4 bytes
		w.long(v)
	}
	w.text("k")
	w.long(present)
	w.long(5)
	w.long(0)
	e, err := new(Decoder).Decode(w.b)
	if err != nil || e.Payload != (StartCommit{c1}) {
		t.Errorf("with a new field: %+v, %v", e, err)
	}

	earlier := strings.Replace(commitToTableSchema, `,{"name":"table_uuid","type":["null","uuid_fixed"],"default":null,"field-id":10604}`, "", 1)
	w = (&Event{ID: [16]byte{1}, Time: when, Group: "g", Payload: CommitToTable{}}).head(earlier)
	w.id(c1)
	w.text("c")
	list(w, []string{"a", "b"}, (*writer).text)
	w.text("t")
	w.long(absent)
	w.long(absent)
	e, err = new(Decoder).Decode(w.b)
	want := CommitToTable{Commit: c1, Table: Table{Catalog: "c", Namespace: []string{"a", "b"}, Name: "t"}}
	if err != nil || !reflect.DeepEqual(e.Payload, want) {
		t.Errorf("without table_uuid: %+v, %v", e, err)
	}
}

// Every partition type comes back as it was, the second mention of a type by its name.
func TestPartitionTypes(t *testing.T) {
	types := []PartitionField{
		{1000, "flag", "boolean"},
		{1001, "2nd", "int"},
		{1002, "a.b", "long"},
		{1003, "f", "float"},
		{1004, "d", "double"},
		{1005, "t", "time"},
		{1006, "ts", "timestamp"},
		{1007, "tz", "timestamptz_ns"},
		{1008, "bin", "binary"},
		{1009, "fix", "fixed[3]"},
		{1010, "fix2", "fixed[3]"},
		{1011, "dec", "decimal(38, 10)"},
		{1012, "dec2", "decimal(38, 10)"},
		{1013, "none", "uuid"},
	}
	file := File{Path: "p", Format: "ORC", Partition: map[int]any{
		1000: true, 1001: int32(-5), 1002: int64(1) << 40, 1003: float32(1.5), 1004: 2.5, 1005: int64(7), 1006: int64(8), 1007: int64(9),
		1008: Binary("xy"), 1009: []byte("abc"), 1010: []byte("def"), 1011: bytes.Repeat([]byte{1}, 16), 1012: bytes.Repeat([]byte{2}, 16), 1013: nil,
	}}
	value, err := Encode(&Event{ID: [16]byte{1}, Time: when, Payload: DataWritten{Commit: c1, Table: table, Partition: types, Data: []File{file}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := new(Decoder).Decode(value)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Payload.(DataWritten); got.Deletes != nil || !reflect.DeepEqual(got.Data[0], file) {
		t.Errorf("\n got %+v\nwant %+v", got.Data[0], file)
	}
	if _, err := Encode(&Event{Payload: DataWritten{Partition: []PartitionField{{1000, "l", "list<int>"}}}}); err == nil {
		t.Error("a list was taken for a partition type")
	}
	if _, err := Encode(&Event{Payload: DataWritten{Partition: []PartitionField{{1000, strings.Repeat("n", 1<<16), "int"}}}}); err == nil {
		t.Error("a schema of more than 64 KiB was written")
	}
}

func TestDamagedValues(t *testing.T) {
	var d Decoder
	huge := (&Event{Time: when, Payload: StartCommit{}}).head(strings.Replace(startCommitSchema,
		`{"name":"commit_id","type":"uuid_fixed","field-id":10200}`, `{"name":"x","type":{"type":"array","items":"null"}}`, 1))
	huge.long(1 << 60)
	recursive := `{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}`
	for name, value := range map[string][]byte{
		"nothing":          nil,
		"another head":     []byte("Obj\x01"),
		"no schema":        []byte("\xc2\x01\x00\x00"),
		"a billion nulls":  huge.b,
		"an endless value": append([]byte("\xc2\x01\x00"+string(rune(len(recursive)))), recursive...),
		"an endless type":  append([]byte("\xc2\x01\x10\x00"), strings.Repeat("[", 4096)...),
	} {
		if e, err := d.Decode(value); err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
	for name := range recorded {
		value := vector(t, name)
		for n := range value {
			if e, err := d.Decode(value[:n]); err == nil {
				t.Fatalf("%s, cut after %d bytes: decoded as %+v", name, n, e)
			}
		}
	}
}

func TestEnvelope(t *testing.T) {
	value := Envelope([16]byte{1}, when, "connect-a")
	if !IsEnvelope(value, "connect-a") || IsEnvelope(value, "connect-b") || IsEnvelope(vector(t, "StartCommit"), "connect-s") {
		t.Errorf("an envelope for connect-a was taken for something else")
	}
	for n := range value {
		if IsEnvelope(value[:n], "connect-a") {
			t.Errorf("%d bytes of %d were enough", n, len(value))
		}
	}
	// A Java sink must be able to decode it: but for the texts it is what Java writes.
	e, err := new(Decoder).Decode(value)
	if err != nil || e.Group != "firn:connect-a" || e.Payload != (StartCommit{}) {
		t.Errorf("Decode = %+v, %v", e, err)
	}
	java := vector(t, "StartCommit")
	if head := 4 + len(startCommitSchema); !bytes.Equal(value[:head], java[:head]) {
		t.Errorf("its schema is not Java's:\n%s\n%s", value[:head], java[:head])
	}
}

func TestDecoderForgetsSchemas(t *testing.T) {
	var d Decoder
	for i := range 3 * maxSchemas {
		value, err := Encode(&Event{Time: when, Payload: DataWritten{Table: table, Partition: []PartitionField{{1000 + i, "f", "int"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(value); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.schemas) > maxSchemas {
		t.Errorf("%d schemas are remembered", len(d.schemas))
	}
}

func TestDecodeEncodeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &Event{ID: c1, Time: when, Group: rapid.String().Draw(t, "group")}
		p := DataComplete{Commit: c1, Assignments: []Assignment{}}
		for range rapid.IntRange(0, 5).Draw(t, "assignments") {
			a := Assignment{Topic: rapid.String().Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition")}
			if rapid.Bool().Draw(t, "read") {
				a.Offset, a.Time = new(rapid.Int64().Draw(t, "offset")), time.UnixMicro(rapid.Int64Range(1, 1<<60).Draw(t, "time")).UTC()
			}
			p.Assignments = append(p.Assignments, a)
		}
		e.Payload = p
		value, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(Decoder).Decode(value); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, e)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for name := range recorded {
		f.Add(vector(f, name))
	}
	f.Add(Envelope([16]byte{1}, when, "g"))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := new(Decoder).Decode(value)
		if err != nil {
			return
		}
		if _, written := e.Payload.(DataWritten); written {
			return // its partition type is not known here
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := new(Decoder).Decode(again); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, back, e)
		}
	})
}
