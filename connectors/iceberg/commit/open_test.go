package commit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"testing"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// tableWith is a catalog with one table, whose snapshots say so much about offsets.
func tableWith(t *testing.T, floors Floors) *icetest.Catalog {
	t.Helper()
	cat := icetest.New(icetest.NewFiles())
	if err := cat.CreateNamespace(t.Context(), table.Identifier{"db"}, nil); err != nil {
		t.Fatal(err)
	}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "o", Type: iceberg.PrimitiveTypes.Int64})
	props := icebergcatalog.WithProperties(iceberg.Properties{propertyKey: floors.String()})
	if _, err := cat.CreateTable(t.Context(), stageTables[0].Identifier(), schema, props); err != nil {
		t.Fatal(err)
	}
	return cat
}

// Where the chain of a partition begins, in a log from 0 to 100. That a topic was made anew
// may show only in what tables say: then the group's offset may be the old topic's, which a
// coordinator stored that had not seen the new one.
func TestStartOffsets(t *testing.T) {
	const stop = -2
	before, now := TopicID{1}, TopicID{} // stillBroker's
	of := func(id TopicID) Source { return NewSource("connect-s", tp(0), id) }
	from := func(group string, partition int32) Source { return NewSource(group, tp(partition), before) }
	for _, test := range []struct {
		name    string
		floors  Floors
		group   int64 // None: nothing is stored
		latest  bool  // auto.offset.reset
		renewed bool  // the coordinator saw the old topic
		want    int64
		stored  bool // the group has the start already
	}{
		{"no table knows the partition", nil, 5, false, false, 5, true},
		{"nothing is known at all", nil, None, false, false, 0, false},
		{"nothing is known at all, latest", nil, None, true, false, 100, false},
		{"set back below what tables have", Floors{of(now): {60, 40}}, 5, false, false, 5, true},
		{"the group has lost its offset", Floors{of(now): {60, 40}}, None, false, false, 40, false},
		{"the group has lost its offset, an old topic", Floors{of(before): {60, 40}}, None, false, false, 0, false},

		{"of the old topic alone", Floors{of(before): {60, 40}}, 5, false, false, 0, false},
		{"of the old topic alone, latest", Floors{of(before): {60, 40}}, 5, true, false, 5, true},
		{"of the old topic alone, latest, beyond the end", Floors{of(before): {160, 140}}, 105, true, false, 100, false},
		{"of the old topic alone, beyond the end", Floors{of(before): {160, 140}}, 105, false, false, 0, false},
		{"of both topics", Floors{of(before): {60, 40}, of(now): {20, 10}}, 5, false, false, 5, true},
		{"of another group's old topic", Floors{from("connect-o", 0): {60, 40}}, 5, false, false, 5, true},
		{"of another partition of the old topic", Floors{from("connect-s", 1): {60, 40}}, 5, false, false, 5, true},
		{"beyond the end of the same topic", Floors{of(now): {60, 40}}, 105, false, false, stop, false},

		{"seen to be new", nil, 5, false, true, 0, false},
		{"seen to be new, rows of it are there", Floors{of(now): {20, 10}}, 5, false, true, 10, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := opener{
				cfg: Config{
					Identity: JavaIdentity("control", "connect-s", false), Broker: stillBroker{}, Catalog: tableWith(t, test.floors),
					Tables: stageTables[:1], Latest: test.latest, Logger: slog.New(slog.DiscardHandler),
				},
				ids: map[string]TopicID{tp(0).Topic: now}, parts: []connect.TopicPartition{tp(0)},
			}
			if test.group != None {
				o.group = map[connect.TopicPartition]int64{tp(0): test.group}
			}
			if test.renewed {
				o.renewed = o.parts
			}
			err := o.resolve(t.Context())
			if _, stopped := errors.AsType[*StopError](err); stopped != (test.want == stop) || (err != nil && !stopped) {
				t.Fatal(err)
			}
			if test.want == stop {
				return
			}
			start, unstored := map[connect.TopicPartition]int64{tp(0): test.want}, map[connect.TopicPartition]int64{}
			if !test.stored {
				unstored = start
			}
			if !maps.Equal(o.start, start) || !maps.Equal(o.unstored, unstored) {
				t.Errorf("start %v, to be stored %v; want %v, %v", o.start, o.unstored, start, unstored)
			}
		})
	}
}

// A process may be frozen after it has read the log's end, while others go on.
func TestStartOffsetsAfterALongTime(t *testing.T) {
	for _, test := range []struct {
		name   string
		broker passingBroker
		want   int64 // None: to be looked up again
	}{
		{"the log has grown", passingBroker{ends: []int64{3, 50}}, 40},
		{"the topic was made anew", passingBroker{ends: []int64{3, 3}, id: TopicID{9}}, None},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := opener{
				cfg: Config{
					Identity: JavaIdentity("control", "connect-s", false), Broker: &test.broker, Tables: stageTables[:1],
					Catalog: tableWith(t, Floors{NewSource("connect-s", tp(0), TopicID{}): {60, 40}}), Logger: slog.New(slog.DiscardHandler),
				},
				ids: map[string]TopicID{tp(0).Topic: {}}, parts: []connect.TopicPartition{tp(0)},
			}
			err := o.resolve(t.Context())
			if _, stopped := errors.AsType[*StopError](err); stopped || (err != nil) != (test.want == None) {
				t.Fatal(err)
			}
			if err == nil && o.start[tp(0)] != test.want {
				t.Errorf("start %v, want %d", o.start, test.want)
			}
		})
	}
}

// A passingBroker tells another end each time, and an id that may have changed.
type passingBroker struct {
	stillBroker
	ends []int64
	id   TopicID
}

func (b *passingBroker) Latest(context.Context, []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	end := b.ends[0]
	b.ends = b.ends[1:]
	return map[connect.TopicPartition]int64{tp(0): end}, nil
}

func (b *passingBroker) TopicIDs(context.Context, []string) (map[string]TopicID, error) {
	return map[string]TopicID{tp(0).Topic: b.id}, nil
}
