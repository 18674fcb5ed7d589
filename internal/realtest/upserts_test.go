//go:build real && unix

package realtest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// upserts brings inserts, updates and deletes of keys into two tables while workers are
// killed, and the broker: one of format version 2 whose rows move between partitions, and one of version 3
// whose key determines the partition. DuckDB and Spark must see the last version of each key.
func (s *stack) upserts(t *testing.T) {
	spark := s.spark(t)
	c := s.cluster(t, "upserts", 2, nil)
	f := &changes{feed: s.feed(t, "upserts-changes"), last: make(map[int64]int64)}
	if err := f.play(t.Context(), 20_000); err != nil {
		t.Fatal(err)
	}
	tables := []struct{ name, partitionBy, version string }{
		{"upserts.moving", "city", "2"},
		{"upserts.byid", "bucket(id, 3)", "3"},
	}
	for _, table := range tables {
		c.post(t, 0, table.name, sink(f.topic, table.name, table.partitionBy, s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
			"iceberg.tables.cdc-field": "op", "iceberg.tables.default-id-columns": "id", "iceberg.control.commit.interval-ms": "500",
			"iceberg.control.topic":                           "control-" + table.name,
			"iceberg.tables.auto-create-props.format-version": table.version,
		}))
	}
	for round := range killRounds(t, 6) {
		if err := f.play(t.Context(), 3000); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(2 * time.Second)) // they are read, written and committed
		if round%3 == 2 {
			t.Logf("round %d, after %d changes: the broker", round+1, f.n)
			c.kafka.Kill()
			if err := c.kafka.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			victim := rand.IntN(len(c.workers))
			t.Logf("round %d, after %d changes: worker %d", round+1, f.n, victim)
			c.workers[victim].Kill()
			c.launch(t, victim)
		}
		c.awaitReady(t)
	}
	if err := f.play(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, table := range tables {
		c.awaitCommitted(t, table.name, s.ends(t, f.topic), 2*time.Minute)
		got, err := s.readers.Rows(t.Context(), s.restCatalog(""), table.name, "id", "n")
		if err != nil {
			t.Fatal(err)
		}
		f.compare(t, "DuckDB", table.name, got)
		c.proven(t, table.name)
		queries = append(queries, "SELECT id, n FROM lake."+table.name+" ORDER BY id, n")
	}
	for i, got := range spark.rows(t, queries...) {
		f.compare(t, "Spark", tables[i].name, got)
	}
}

// changes feeds changes of rows by key, each key in one partition.
type changes struct {
	*feed
	n    int64
	last map[int64]int64 // the n of the row of each key that has one
}

const changedKeys = 2000

// play writes n changes: of a key without a row an insert, of others updates and now and
// then a delete, which holds the key alone.
func (c *changes) play(ctx context.Context, n int) error {
	batch := make([]kafka.Message, n)
	for i := range batch {
		c.n++
		id := rand.Int64N(changedKeys)
		op := "u"
		_, exists := c.last[id]
		switch {
		case !exists:
			op = "c"
		case rand.IntN(10) == 0:
			op = "d"
		}
		value := fmt.Appendf(nil, `{"id":%d,"n":%d,"city":"city %d","op":%q}`, id, c.n, rand.IntN(5), op)
		if op == "d" {
			value = fmt.Appendf(nil, `{"id":%d,"op":"d"}`, id)
			delete(c.last, id)
		} else {
			c.last[id] = c.n
		}
		batch[i] = kafka.Message{Topic: c.topic, Partition: int32(id) % partitions, Key: fmt.Appendf(nil, "%d", id), Timestamp: time.Now(), Value: value}
	}
	return c.producer.SendAll(ctx, batch)
}

func (c *changes) compare(t *testing.T, who, table string, got [][]int64) {
	t.Helper()
	var want [][]int64
	for _, id := range slices.Sorted(maps.Keys(c.last)) {
		want = append(want, []int64{id, c.last[id]})
	}
	wrong := 0
	for i := range max(len(got), len(want)) {
		if i < len(got) && i < len(want) && slices.Equal(got[i], want[i]) {
			continue
		}
		if wrong++; wrong == 1 {
			t.Errorf("table %s, read by %s: row %d is %v, want %v", table, who, i, at(got, i), at(want, i))
		}
	}
	if wrong > 0 {
		t.Errorf("table %s, read by %s: %d rows, want %d; %d differ", table, who, len(got), len(want), wrong)
	}
	t.Logf("table %s, read by %s: %d changes, %d rows", table, who, c.n, len(got))
}

// at is row i, nil if there is none.
func at(rows [][]int64, i int) []int64 {
	if i < len(rows) {
		return rows[i]
	}
	return nil
}
