package iceberg

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/datafile"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

func TestChanges(t *testing.T) {
	envelope := &connect.Schema{Type: connect.StructType, Fields: []connect.Field{
		{Name: "_cdc", Schema: &connect.Schema{Type: connect.StructType, Fields: []connect.Field{{Name: "op", Schema: &connect.Schema{Type: connect.StringType}}}}},
	}}
	structured := func(op connect.Value) connect.Record {
		return connect.Record{ValueSchema: envelope, Value: connect.StructValue([]connect.Value{connect.StructValue([]connect.Value{op})})}
	}
	mapped := func(op connect.Value) connect.Record {
		return connect.Record{Value: connect.MapValue([]connect.Value{connect.StringValue("_cdc"), connect.MapValue([]connect.Value{connect.StringValue("op"), op})})}
	}
	operation := config{cdcField: "_cdc.op"}
	for op, want := range map[string]datafile.Change{
		"I": datafile.Insert, "U": datafile.Upsert, "D": datafile.Delete, "c": datafile.Insert, "r": datafile.Insert, "u": datafile.Upsert,
		"d": datafile.Delete, "\t Update": datafile.Upsert, "delete": datafile.Delete, "": datafile.Insert, "  ": datafile.Insert, "x": datafile.Insert,
	} {
		for _, r := range []connect.Record{structured(connect.StringValue(op)), mapped(connect.StringValue(op))} {
			c := operation.changes()
			if got, err := c.of(&r); got != want || err != nil {
				t.Errorf("operation %q: %d, %v, want %d", op, got, err, want)
			}
			if c.upsert = true; want == datafile.Insert {
				if got, err := c.of(&r); got != datafile.Upsert || err != nil {
					t.Errorf("operation %q with upsert mode: %d, %v", op, got, err)
				}
			}
		}
	}
	none := connect.Record{Value: connect.MapValue(nil)}
	number := mapped(connect.IntValue(1))
	for _, r := range []connect.Record{none, number, structured(connect.Value{}), mapped(connect.Value{})} {
		c := operation.changes()
		if got, err := c.of(&r); got != datafile.Insert || err != nil {
			t.Errorf("%v: %d, %v, want an insert", r.Value, got, err)
		}
	}
	flat := connect.Record{Value: connect.MapValue([]connect.Value{connect.StringValue("_cdc"), connect.StringValue("d")})}
	c := operation.changes()
	_, err := c.of(&flat)
	if _, ok := errors.AsType[*connect.DataError](err); !ok || !strings.HasPrefix(err.Error(), `iceberg.tables.cdc-field=_cdc.op: cannot look up "op" in a value that is string`) {
		t.Errorf("a path through a text: %v, want a DataError that names the key", err)
	}
	c = (&config{upsert: true}).changes()
	if got, err := c.of(&none); got != datafile.Upsert || err != nil {
		t.Errorf("upsert mode alone: %d, %v", got, err)
	}
}

func TestDeleteSpecs(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "p", Type: iceberg.PrimitiveTypes.String})
	by := func(source int) iceberg.PartitionSpec {
		return iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{source}, FieldID: 999 + source, Name: "part", Transform: iceberg.BucketTransform{NumBuckets: 4}})
	}
	for _, test := range []struct {
		name string
		spec iceberg.PartitionSpec
		more []iceberg.PartitionSpec
		want string
	}{
		{"unpartitioned", *iceberg.UnpartitionedSpec, nil, "unpartitioned"},
		{"by the key", by(1), nil, "partitioned"},
		{"by another column", by(2), nil, "none"},
		{"by another column, with a spec for deletes", by(2), []iceberg.PartitionSpec{*iceberg.UnpartitionedSpec}, "unpartitioned"},
		{"by the key, but not always", by(1), []iceberg.PartitionSpec{by(2)}, "none"},
		{"by the key, but not always, with a spec for deletes", by(1), []iceberg.PartitionSpec{by(2), *iceberg.UnpartitionedSpec}, "unpartitioned"},
	} {
		b, err := table.NewMetadata(schema, &test.spec, table.UnsortedSortOrder, "mem://t", nil)
		if err != nil {
			t.Fatal(err)
		}
		mb, err := table.MetadataBuilderFromBase(b, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range test.more {
			if err := mb.AddPartitionSpec(&s, false); err != nil {
				t.Fatal(err)
			}
		}
		meta, err := mb.Build()
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if s := deleteSpec(meta, []int{1}); s != nil {
			got = map[bool]string{true: "unpartitioned", false: "partitioned"}[s.IsUnpartitioned()]
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// keyedValue is the value of a record: key, a version to tell rows apart, a region.
func keyedValue(op string, k int64, version, region string) connect.Value {
	text := connect.StringValue
	return connect.MapValue([]connect.Value{text("k"), connect.IntValue(k), text("v"), text(version), text("region"), text(region), text("op"), text(op)})
}

// rewrite gives the records of the log from an offset on other values.
func (s *stage) rewrite(from int, value func(tp connect.TopicPartition, offset int) connect.Value) {
	for tp, log := range s.log {
		for i := from; i < len(log); i++ {
			log[i].Value = value(tp, i)
		}
	}
}

// versions reads the table: its rows' versions by key.
func (s *stage) versions(name string) map[int64][]string {
	s.t.Helper()
	out := make(map[int64][]string)
	for _, r := range s.read(table.Identifier{"db", name}) {
		k := r["k"].(int64)
		out[k] = append(out[k], r["v"].(string))
	}
	return out
}

// lastVersions checks that each key has one row: the last of its partition, of any of the
// partitions that have the key.
func (s *stage) lastVersions(name string) {
	s.t.Helper()
	want := make(map[int64][]string)
	for _, log := range s.log {
		last := make(map[int64]string)
		for _, r := range log {
			k, _ := r.Value.Lookup("k")
			v, _ := r.Value.Lookup("v")
			last[k.Int()] = v.Text()
		}
		for k, v := range last {
			want[k] = append(want[k], v)
		}
	}
	got := s.versions(name)
	for k, allowed := range want {
		if len(got[k]) != 1 || !slices.Contains(allowed, got[k][0]) {
			s.t.Errorf("key %d has rows %v, want one of %v", k, got[k], allowed)
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("keys %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// ofVersion is the record of a row whose version is made of its coordinates.
func ofVersion(row icetest.Row) (c icetest.Coordinate) {
	if _, err := fmt.Sscanf(row["v"].(string), "%d-%d", &c.Partition, &c.Offset); err != nil {
		panic(err)
	}
	return c
}

func upsertConfig(version int) func(map[string]string) {
	return func(c map[string]string) {
		c["iceberg.tables.upsert-mode-enabled"] = "true"
		c["iceberg.tables.default-id-columns"] = "k"
		c["iceberg.tables.auto-create-props.format-version"] = strconv.Itoa(version)
	}
}

// Keys come again in the same unit, in later ones, in other partitions of the topic (of
// the table too), and after replies of the catalog were lost.
func TestTaskUpserts(t *testing.T) {
	for _, test := range []struct {
		name        string
		version     int
		partitionBy string
	}{{"v2", 2, ""}, {"v3", 3, ""}, {"v2 by the key", 2, "bucket(k,3)"}, {"v2 moving", 2, "region"}, {"v3 moving", 3, "region"}} {
		t.Run(test.name, func(t *testing.T) {
			change := func(c map[string]string) {
				upsertConfig(test.version)(c)
				c["iceberg.tables.default-partition-by"] = test.partitionBy
			}
			inStage(t, change, func(s *stage) {
				value := func(tp connect.TopicPartition, o int) connect.Value {
					return keyedValue("", int64(o%11), fmt.Sprintf("%d-%d", tp.Partition, o), []string{"eu", "us"}[o/3%2])
				}
				s.rewrite(0, value)
				commits := 0
				s.catalog.Chaos(func(op icetest.Op, _ int) icetest.Fault {
					if op != icetest.Commit {
						return icetest.Fault{}
					}
					if commits++; commits%3 == 0 {
						return icetest.Fault{After: errors.New("no reply")}
					}
					return icetest.Fault{}
				})
				s.mustPoll(5 * time.Second)
				s.lastVersions("orders")
				for range 3 {
					from := len(s.log[s.parts()[0]])
					s.produce(s.t.Context(), 10)
					s.rewrite(from, value)
					s.mustPoll(3 * time.Second)
				}
				s.lastVersions("orders")
				for tp, log := range s.log {
					if got, want := s.tc.Members.Offsets()[tp], int64(len(log)); got != want {
						t.Errorf("group offset of %s is %d, want %d", tp, got, want)
					}
				}
			})
		})
	}
}

func TestTaskAppliesChanges(t *testing.T) {
	change := func(c map[string]string) {
		c["iceberg.tables.cdc-field"] = "op"
		c["iceberg.table.db.orders.id-columns"] = "k"
	}
	inStage(t, change, func(s *stage) {
		// Each partition has its own 10 keys: inserted, updated; then the even ones are deleted.
		op := func(tp connect.TopicPartition, o int) connect.Value {
			k := int64(o%10 + 10*int(tp.Partition))
			v := fmt.Sprintf("%d-%d", tp.Partition, o)
			switch {
			case o < 10:
				return keyedValue("c", k, v, "eu")
			case o < 40 || k%2 == 1:
				return keyedValue("u", k, v, "us")
			}
			return keyedValue("d", k, v, "us")
		}
		s.rewrite(0, op)
		s.mustPoll(5 * time.Second)
		s.lastVersions("orders")
		s.produce(s.t.Context(), 20)
		s.rewrite(40, op)
		s.mustPoll(4 * time.Second)
		got := s.versions("orders")
		for k := range int64(20) {
			want := []string{fmt.Sprintf("%d-%d", k/10, 50+k%10)}
			if k%2 == 0 {
				want = nil
			}
			if !slices.Equal(got[k], want) {
				t.Errorf("key %d has rows %v, want %v", k, got[k], want)
			}
		}
	})
}

// Others divide the table anew while it is written to, by the key again. Deletes of a
// partition of one spec reach no rows of the other, so from then on they are global.
func TestTaskUpsertsUnderANewSpec(t *testing.T) {
	change := func(c map[string]string) {
		upsertConfig(2)(c)
		c["iceberg.tables.default-partition-by"] = "bucket(k,3)"
	}
	inStage(t, change, func(s *stage) {
		value := func(tp connect.TopicPartition, o int) connect.Value {
			return keyedValue("", int64(o%11), fmt.Sprintf("%d-%d", tp.Partition, o), "eu")
		}
		s.rewrite(0, value)
		s.mustPoll(5 * time.Second)
		s.lastVersions("orders")
		tbl := s.peek(orders)
		k, _ := tbl.Schema().FindFieldByName("k")
		spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{k.ID}, FieldID: 1001, Name: "b", Transform: iceberg.BucketTransform{NumBuckets: 5}})
		updates := []table.Update{table.NewAddPartitionSpecUpdate(&spec, false), table.NewSetDefaultSpecUpdate(-1)}
		if _, _, err := s.catalog.CommitTable(s.t.Context(), tbl.Identifier(), nil, updates); err != nil {
			s.t.Fatal(err)
		}
		for range 3 {
			from := len(s.log[s.parts()[0]])
			s.produce(s.t.Context(), 10)
			s.rewrite(from, value)
			s.mustPoll(20 * time.Second) // the table is looked at again twice a minute
		}
		s.lastVersions("orders")
		tbl = s.peek(orders)
		if n := len(tbl.Metadata().PartitionSpecs()); n != 3 {
			s.t.Errorf("%d specs, want the first, the other one and that of the deletes", n)
		}
	})
}

// Rows with keys wait in memory. When it is full they go into files early; a key that
// comes again after that means a unit between the commits, in every table of the record.
func TestTaskWithLittleMemory(t *testing.T) {
	for _, test := range []struct {
		name   string
		tables string
		again  bool // keys come again
	}{{"new keys", "db.orders", false}, {"keys again", "db.orders", true}, {"keys again in two tables", "db.orders,db.copies", true}} {
		t.Run(test.name, func(t *testing.T) {
			change := func(c map[string]string) {
				upsertConfig(2)(c)
				c["iceberg.tables"] = test.tables
				if test.tables != "db.orders" { // orders gets some records, copies all of them
					c["iceberg.tables.route-field"] = "op"
					c["iceberg.table.db.orders.route-regex"] = "both"
					c["iceberg.table.db.copies.route-regex"] = ".*"
				}
				c["iceberg.control.commit.interval-ms"] = "3600000"
			}
			inStage(t, change, func(s *stage) {
				s.stop()
				s.tc.Memory = 1 << 20
				s.start()
				large := strings.Repeat("x", 32<<10)
				s.rewrite(0, func(tp connect.TopicPartition, o int) connect.Value {
					k := int64(o)
					switch {
					case !test.again:
						k += 100 * int64(tp.Partition)
					case tp.Partition == 1:
						k = (5*k + 20) % 40 // so that a key comes again in the middle of a batch
					}
					return keyedValue([]string{"one", "both"}[o/3%2], k, fmt.Sprintf("%d-%d", tp.Partition, o), large)
				})
				s.mustPoll(20 * time.Second)
				early := len(s.versions("orders"))
				if test.again != (early > 0) {
					t.Errorf("%d keys are in the table long before the interval is over", early)
				}
				s.stop()
				s.start()
				tables := strings.Split(test.tables, ",")
				s.lastVersions(strings.TrimPrefix(tables[len(tables)-1], "db."))
				for _, name := range tables {
					s.belowFloors(strings.Split(name, "."), ofVersion)
				}
			})
		})
	}
}

func TestTaskWithoutKey(t *testing.T) {
	for _, test := range []struct{ columns, want string }{
		{"", "cannot be replaced without a key"},
		{"nothing", `id column "nothing" does not exist`},
	} {
		change := func(c map[string]string) {
			upsertConfig(2)(c)
			c["iceberg.tables.default-id-columns"] = test.columns
		}
		inStage(t, change, func(s *stage) {
			err := s.poll(5 * time.Second)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("id-columns %q: %v, want it to say %q", test.columns, err, test.want)
			}
		})
	}
}
