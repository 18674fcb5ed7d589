package iceberg

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

func evolving(config map[string]string) {
	config["iceberg.tables.evolve-schema-enabled"] = "true"
}

// add puts n records into each partition, with fields besides p and o.
func (s *stage) add(n int, fields func(tp connect.TopicPartition, o int64) []connect.Value) {
	s.t.Helper()
	s.produce(s.t.Context(), n)
	for _, tp := range s.parts() {
		log := s.log[tp]
		for i := len(log) - n; i < len(log); i++ {
			pairs := []connect.Value{connect.StringValue("p"), connect.IntValue(int64(tp.Partition)), connect.StringValue("o"), connect.IntValue(int64(i))}
			log[i].Value = connect.MapValue(append(pairs, fields(tp, int64(i))...))
		}
	}
}

// rows reads the table by coordinates.
func (s *stage) rows(ident table.Identifier) map[icetest.Coordinate]icetest.Row {
	s.t.Helper()
	out := make(map[icetest.Coordinate]icetest.Row)
	for _, row := range s.read(ident) {
		out[coordinates(row)] = row
	}
	return out
}

func (s *stage) schema(ident table.Identifier) string {
	s.t.Helper()
	return strings.Join(strings.Fields(s.peek(ident).Schema().String()), " ")
}

// Records gain fields, at the top, in structs and in elements of lists, and numbers grow:
// nothing of any record is left out, and older rows have nulls.
func TestTaskEvolvesSchema(t *testing.T) {
	text, integer := connect.StringValue, connect.IntValue
	inStage(t, evolving, func(s *stage) {
		s.mustPoll(2 * time.Second)
		s.add(9, func(_ connect.TopicPartition, o int64) []connect.Value {
			inner := connect.MapValue([]connect.Value{text("a"), integer(o)})
			if o%2 == 1 {
				inner = connect.MapValue([]connect.Value{text("b"), text("x" + strconv.FormatInt(o, 10))})
			}
			list := connect.ArrayValue([]connect.Value{connect.MapValue([]connect.Value{text("q"), integer(1)}), inner})
			return []connect.Value{text("s"), inner, text("l"), list, text("nothing"), {}}
		})
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
		s.belowFloors(orders, coordinates)
		if got := s.schema(orders); !strings.Contains(got, "s: optional struct<") || strings.Contains(got, "nothing") {
			t.Errorf("schema %s", got)
		}
		rows := s.rows(orders)
		for _, tp := range s.parts() {
			for o := range int64(49) {
				row := rows[icetest.Coordinate{Partition: tp.Partition, Offset: o}]
				var want icetest.Row
				switch {
				case o < 40:
					if row["s"] != nil || row["l"] != nil || row["word"] != "w"+strconv.FormatInt(o, 10) {
						t.Fatalf("row %d from before: %v", o, row)
					}
					continue
				case o%2 == 1:
					want = icetest.Row{"a": nil, "b": "x" + strconv.FormatInt(o, 10)}
				default:
					want = icetest.Row{"a": o, "b": nil}
				}
				if !reflect.DeepEqual(row["s"], want) {
					t.Fatalf("row %d: s is %v, want %v", o, row["s"], want)
				}
				want = maps.Clone(want)
				want["q"] = nil
				if list, ok := row["l"].([]any); !ok || len(list) != 2 || !reflect.DeepEqual(list[1], want) {
					t.Fatalf("row %d: l is %v, want %v as its second element", o, row["l"], want)
				}
			}
		}
	})
}

// Somebody has changed the table while files of the older schema are open, and a record in
// the midst of a batch needs the new one: the unit that ends there has the records before.
func TestTaskRenewsWithinABatch(t *testing.T) {
	inStage(t, evolving, func(s *stage) {
		s.mustPoll(2 * time.Second)
		task, ok := s.task.(*Task)
		for tries := 0; ok && tries < 20 && task.tables["db.orders"].writer == nil; tries++ {
			s.produce(s.t.Context(), 1)
			s.mustPoll(30 * time.Millisecond)
		}
		late := iceberg.NestedField{ID: 90, Name: "late", Type: iceberg.PrimitiveTypes.Int64}
		tbl, err := s.catalog.ForeignSchema(orders, iceberg.NewSchema(1, append(s.peek(orders).Schema().Fields(), late)...))
		if err != nil {
			t.Fatal(err)
		}
		if task.tables["db.orders"].writer == nil {
			t.Fatal("no file is open")
		}
		from := int64(len(s.log[s.parts()[0]]) + 3)
		task.tables["db.orders"].table = tbl // as a load that was under way would
		s.add(7, func(_ connect.TopicPartition, o int64) []connect.Value {
			if o < from {
				return nil
			}
			return []connect.Value{connect.StringValue("late"), connect.IntValue(o)}
		})
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
		s.belowFloors(orders, coordinates)
		for at, row := range s.rows(orders) {
			if at.Offset >= from && row["late"] != at.Offset {
				t.Fatalf("row %v: %v", at, row)
			}
		}
	})
}

// A second task of the connector, with the second partition.
func (s *stage) second() *stage {
	s.t.Helper()
	one, two := s.parts()[:1], s.parts()[1:]
	if err := s.task.Close(s.t.Context(), two, false); err != nil {
		s.t.Fatal(err)
	}
	s.tc.Parts = one
	s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: 2, Subscribed: s.parts(), Owned: one})
	o := &stage{t: s.t, catalog: s.catalog, dial: s.dial, log: s.log, next: make(map[connect.TopicPartition]int64), config: maps.Clone(s.config)}
	o.config["task.id"] = "1"
	o.tc = connecttest.NewTaskContext()
	o.tc.Number, o.tc.Client, o.tc.Log, o.tc.Parts = 1, s.tc.Client, s.tc.Log, two
	o.tc.Members.SetSession(connect.Session{Member: "m2", Generation: 2, Subscribed: s.parts(), Owned: two})
	o.task = s.connector().NewTask()
	if err := o.task.Start(s.t.Context(), o.tc, o.config); err != nil {
		s.t.Fatal(err)
	}
	if _, err := o.task.Open(s.t.Context(), two); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// Two tasks meet the same new fields and each some of its own, while the catalog loses
// replies: every change is made once, nothing is lost.
func TestTasksEvolveTogether(t *testing.T) {
	inStage(t, evolving, func(s *stage) {
		s.mustPoll(2 * time.Second)
		o := s.second()
		defer o.stop()
		s.catalog.Chaos(func(op icetest.Op, n int) icetest.Fault {
			switch {
			case op == icetest.Commit && n%5 == 1:
				return icetest.Fault{After: errors.New("504 after it landed")}
			case op == icetest.Commit && n%5 == 3:
				return icetest.Fault{Before: errors.New("503")}
			}
			return icetest.Fault{DelayBefore: 30 * time.Millisecond}
		})
		for round := range 6 {
			s.add(5, func(tp connect.TopicPartition, _ int64) []connect.Value {
				own := fmt.Sprintf("own_%d_%d", round, tp.Partition)
				return []connect.Value{
					connect.StringValue(fmt.Sprintf("both_%d", round)), connect.IntValue(1), connect.StringValue(own), connect.StringValue(own),
					connect.StringValue("s"), connect.MapValue([]connect.Value{connect.StringValue(own), connect.BoolValue(true)}),
				}
			})
			for range 40 {
				s.mustPoll(40 * time.Millisecond)
				o.mustPoll(40 * time.Millisecond)
			}
		}
		s.catalog.Chaos(nil)
		for range 300 {
			s.mustPoll(40 * time.Millisecond)
			o.mustPoll(40 * time.Millisecond)
		}
		s.exactlyOnce("orders")
		s.belowFloors(orders, coordinates)
		tbl := s.peek(orders)
		if n := tbl.Schema().NumFields(); n != 3+6+12+1 {
			t.Errorf("%d columns: %v", n, tbl.Schema())
		}
		for at, row := range s.rows(orders) {
			if at.Offset < 40 {
				continue
			}
			own := fmt.Sprintf("own_%d_%d", (at.Offset-40)/5, at.Partition)
			in, _ := row["s"].(icetest.Row)
			if row[own] != own || in[own] != true || row[fmt.Sprintf("both_%d", (at.Offset-40)/5)] != int64(1) {
				t.Fatalf("row %v: %v", at, row)
			}
		}
	})
}

// Topics of different schemas share a table; values that no change helps, and fields that
// cannot become columns, are reported, and the table takes what comes after.
func TestTaskEvolvesForManySchemas(t *testing.T) {
	field := func(name string, ty connect.Type, optional bool) connect.Field {
		return connect.Field{Name: name, Schema: &connect.Schema{Type: ty, Optional: optional}}
	}
	schema := func(fields ...connect.Field) *connect.Schema {
		return &connect.Schema{Type: connect.StructType, Fields: append([]connect.Field{field("p", connect.Int32, false), field("o", connect.Int64, false)}, fields...)}
	}
	a := schema(field("n", connect.Int32, false), field("only_a", connect.StringType, false))
	b := schema(field("n", connect.Int64, true), field("d", connect.Float64, false))
	timestamp := schema(connect.Field{Name: "n", Schema: &connect.Schema{Type: connect.Int64, Name: connect.LogicalTimestamp}}, field("more", connect.Int8, false))
	inStage(t, evolving, func(s *stage) {
		s.tc.Tolerate = true
		for tp, log := range s.log {
			for i := range log {
				p, o := connect.IntValue(int64(tp.Partition)), connect.IntValue(int64(i))
				switch r := &log[i]; i % 4 {
				case 0, 1:
					r.ValueSchema, r.Value = a, connect.StructValue([]connect.Value{p, o, connect.IntValue(5), connect.StringValue("a")})
				case 2:
					r.ValueSchema, r.Value = b, connect.StructValue([]connect.Value{p, o, connect.IntValue(1 << 40), connect.FloatValue(1.5)})
				case 3:
					r.ValueSchema, r.Value = timestamp, connect.StructValue([]connect.Value{p, o, connect.IntValue(5), connect.IntValue(6)})
				}
			}
		}
		s.mustPoll(10 * time.Second)
		want := "table { 1: p: required int 2: o: required long 3: n: optional long 4: only_a: optional string 5: d: optional double }"
		if got := s.schema(orders); got != want {
			t.Errorf("schema %s, want %s", got, want)
		}
		if got := len(s.tc.Errants()); got != 20 || !strings.Contains(s.tc.Errants()[0].Cause.Error(), `table db.orders: column "n"`) {
			t.Errorf("%d records were reported, want 20: %v", got, s.tc.Errants())
		}
		if got := len(s.rows(orders)); got != 60 {
			t.Errorf("%d rows, want 60", got)
		}
	})
}

// A record for two tables of which one must change first is in each once.
func TestTaskEvolvesOneOfTwoTables(t *testing.T) {
	inStage(t, func(config map[string]string) {
		evolving(config)
		config["iceberg.tables"] = "db.orders,db.copies"
	}, func(s *stage) {
		s.mustPoll(2 * time.Second)
		other := table.Identifier{"db", "copies"}
		tbl := s.peek(other)
		if _, err := s.catalog.ForeignSchema(other, iceberg.NewSchema(1, append(tbl.Schema().Fields(), iceberg.NestedField{ID: 90, Name: "late", Type: iceberg.PrimitiveTypes.Int64})...)); err != nil {
			t.Fatal(err)
		}
		s.add(9, func(_ connect.TopicPartition, o int64) []connect.Value {
			return []connect.Value{connect.StringValue("late"), connect.IntValue(o)}
		})
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
		s.exactlyOnce("copies")
		for _, ident := range []table.Identifier{orders, other} {
			for at, row := range s.rows(ident) {
				if at.Offset >= 40 && row["late"] != at.Offset {
					t.Fatalf("%v: %v: %v", ident, at, row)
				}
			}
		}
	})
}

// Others change schema and partition spec while the task runs.
func TestTaskFollowsForeignChanges(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		tbl := s.peek(orders)
		if _, err := s.catalog.ForeignSchema(orders, iceberg.NewSchema(1, append(tbl.Schema().Fields(), iceberg.NestedField{ID: 90, Name: "late", Type: iceberg.PrimitiveTypes.Int64})...)); err != nil {
			t.Fatal(err)
		}
		p, _ := tbl.Schema().FindFieldByName("p")
		if _, err := s.catalog.ForeignSpec(orders, iceberg.PartitionField{SourceIDs: []int{p.ID}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}}); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			s.add(3, func(_ connect.TopicPartition, o int64) []connect.Value {
				return []connect.Value{connect.StringValue("late"), connect.IntValue(o)}
			})
			s.mustPoll(6 * time.Second)
		}
		s.exactlyOnce("orders")
		last := icetest.Coordinate{Partition: 1, Offset: int64(len(s.log[s.parts()[1]]) - 1)}
		if row := s.rows(orders)[last]; row["late"] != last.Offset {
			t.Errorf("the last row does not have the new column: %v", row)
		}
		tbl = s.peek(orders)
		specs, err := icetest.SpecsOfFiles(s.t.Context(), tbl)
		if err != nil || !slices.Equal(specs, []int{0, 1}) {
			t.Errorf("files of specs %v, %v; want both", specs, err)
		}
	})
}

// What the catalog refuses is the record's fault, and asked for once; what it does not
// allow ends the task.
func TestTaskChangeRefused(t *testing.T) {
	inStage(t, evolving, func(s *stage) {
		s.mustPoll(2 * time.Second)
		s.tc.Tolerate = true
		s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
			if op == icetest.Commit {
				return icetest.Fault{Before: fmt.Errorf("no such thing here: %w", catalog.ErrRefused)}
			}
			return icetest.Fault{}
		})
		before := s.catalog.Calls(icetest.Commit)
		s.add(7, func(_ connect.TopicPartition, o int64) []connect.Value {
			return []connect.Value{connect.StringValue("late"), connect.IntValue(o)}
		})
		s.mustPoll(900 * time.Millisecond)
		if n := s.catalog.Calls(icetest.Commit) - before; n != 1 {
			t.Errorf("%d tries", n)
		}
		if n := len(s.tc.Errants()); n != 14 {
			t.Errorf("%d records reported, want 14", n)
		}
		s.catalog.Chaos(nil)
		s.produce(s.t.Context(), 3)
		s.mustPoll(5 * time.Second)
		if n := len(s.rows(orders)); n != 86 {
			t.Errorf("%d rows, want 86", n)
		}
	})
}

// The source column of a partition field is widened while files under the narrower type
// are on their way.
func TestTaskWidensPartitionColumn(t *testing.T) {
	inStage(t, func(config map[string]string) {
		evolving(config)
		config["iceberg.tables.default-partition-by"] = "n,bucket(n, 4),d"
	}, func(s *stage) {
		schema := func(n connect.Type, precision string) *connect.Schema {
			d := &connect.Schema{Type: connect.BytesType, Name: connect.LogicalDecimal, Parameters: map[string]string{"scale": "2", "connect.decimal.precision": precision}}
			return &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
				{Name: "p", Schema: &connect.Schema{Type: connect.Int32}},
				{Name: "o", Schema: &connect.Schema{Type: connect.Int64}},
				{Name: "n", Schema: &connect.Schema{Type: n}},
				{Name: "d", Schema: d},
			}}
		}
		if err := s.catalog.CreateNamespace(s.t.Context(), orders[:1], nil); err != nil {
			t.Fatal(err)
		}
		fields := []iceberg.NestedField{
			{ID: 1, Name: "p", Type: iceberg.PrimitiveTypes.Int32},
			{ID: 2, Name: "o", Type: iceberg.PrimitiveTypes.Int64},
			{ID: 3, Name: "n", Type: iceberg.PrimitiveTypes.Int32},
			{ID: 4, Name: "d", Type: iceberg.DecimalTypeOf(4, 2)},
		}
		if _, err := catalog.EnsureTable(s.t.Context(), s.catalog, orders, iceberg.NewSchema(0, fields...), []string{"n", "bucket(n, 4)", "d"}, map[string]string{table.ParquetCompressionKey: "uncompressed"}); err != nil {
			t.Fatal(err)
		}
		narrow, wide := schema(connect.Int32, "4"), schema(connect.Int64, "12")
		for tp, log := range s.log {
			for i := range log {
				r, n, d := &log[i], int64(i%3), []byte{0x01, byte(i % 2)}
				r.ValueSchema = narrow
				if i >= 20 {
					r.ValueSchema, n, d = wide, 1<<40+int64(i%3), []byte{0x0f, 0xff, 0xff, 0xff, byte(i % 2)}
				}
				r.Value = connect.StructValue([]connect.Value{connect.IntValue(int64(tp.Partition)), connect.IntValue(int64(i)), connect.IntValue(n), connect.BytesValue(d)})
			}
		}
		s.mustPoll(10 * time.Second)
		s.exactlyOnce("orders")
		for at, row := range s.rows(orders) {
			want := at.Offset % 3
			if at.Offset >= 20 {
				want += 1 << 40
			}
			d := []string{"2.56", "2.57"}[at.Offset%2]
			if at.Offset >= 20 {
				d = []string{"687194764.8", "687194764.81"}[at.Offset%2]
			}
			if row["n"] != want || row["d"] != d {
				t.Fatalf("row %v: %v, want n=%d d=%s", at, row, want, d)
			}
		}
		if got := s.schema(orders); !strings.Contains(got, "n: optional long") || !strings.Contains(got, "decimal(12, 2)") {
			t.Errorf("schema %s", got)
		}
	})
}

// Rows replace others while fields come: one row for each key, with the last record's
// fields, and deletes reach rows of files from before.
func TestTaskUpsertsWhileEvolving(t *testing.T) {
	inStage(t, func(config map[string]string) {
		upsertConfig(2)(config)
		evolving(config)
		config["iceberg.tables.cdc-field"] = "op"
	}, func(s *stage) {
		text := connect.StringValue
		value := func(tp connect.TopicPartition, o int) connect.Value {
			k := int64(o%7 + 100*int(tp.Partition))
			if o%7 == 3 && o > 20 {
				return connect.MapValue([]connect.Value{text("k"), connect.IntValue(k), text("op"), text("d")})
			}
			return connect.MapValue([]connect.Value{text("k"), connect.IntValue(k), text("op"), text("u"), text(fmt.Sprintf("f%d", o/10)), connect.IntValue(int64(o))})
		}
		s.rewrite(0, value)
		for range 4 {
			s.mustPoll(1500 * time.Millisecond)
			s.produce(s.t.Context(), 13)
			s.rewrite(0, value)
		}
		s.mustPoll(5 * time.Second)
		rows := s.read(orders)
		last := make(map[int64]int64)
		for tp, log := range s.log {
			for o := range log {
				k := int64(o%7 + 100*int(tp.Partition))
				if last[k] = int64(o); o%7 == 3 && o > 20 {
					delete(last, k)
				}
			}
		}
		if len(rows) != len(last) {
			t.Errorf("%d rows, want %d: %v", len(rows), len(last), rows)
		}
		for _, row := range rows {
			k, _ := row["k"].(int64)
			for field, x := range row {
				if n, ok := strings.CutPrefix(field, "f"); ok && (x != nil) != (n == strconv.FormatInt(last[k]/10, 10)) || ok && x != nil && x != last[k] {
					t.Errorf("key %d: %v, want only the field of record %d", k, row, last[k])
				}
			}
		}
	})
}
