package simtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/internal/kafka"
)

func allPartitions() []connect.TopicPartition { return partitionsOf(topics...) }

func partitionsOf(topics ...string) (tps []connect.TopicPartition) {
	for _, topic := range topics {
		for p := range int32(partitions) {
			tps = append(tps, connect.TopicPartition{Topic: topic, Partition: p})
		}
	}
	return tps
}

// settle ends the harm, produces some last records, and waits until the cluster has come
// to rest by itself.
func (w *world) settle() {
	w.stopHarm()
	w.catalog.Files().FailWrite(0, nil)
	w.catalog.Files().FailClose(0, nil)
	w.catalog.Files().SlowClose(0)
	w.asides.Wait()
	w.journal.note("no more harm is done")
	w.produce(30)
	admin, err := kafka.NewAdmin(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // the test's own
	calm := time.Now()
	for {
		time.Sleep(time.Second)
		problem := w.unsettled(admin)
		if problem == "" {
			break
		}
		if time.Since(calm) > patience {
			w.t.Errorf("stuck %v after the last harm: %s", patience, problem)
			w.describe(admin)
			return
		}
	}
	w.journal.note("settled after %v", time.Since(calm))
}

// unsettled says what is not yet as it must become, "" if nothing.
func (w *world) unsettled(admin *kafka.Admin) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ends, err := admin.Offsets(ctx, allPartitions(), kafka.Latest)
	if err != nil {
		return err.Error()
	}
	group, err := admin.GroupOffsets(ctx, "connect-"+connector, allPartitions(), true)
	if err != nil {
		return err.Error()
	}
	var behind []string
	for _, tp := range allPartitions() {
		if group[tp] != ends[tp] {
			behind = append(behind, fmt.Sprintf("%s %d of %d", tp, group[tp], ends[tp]))
		}
	}
	if len(behind) > 0 {
		return "group offsets behind: " + strings.Join(behind, ", ")
	}
	return w.notRunning()
}

// describe tells who is in the groups, for the journal.
func (w *world) describe(admin *kafka.Admin) {
	for _, group := range []string{"cluster", "connect-" + connector} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		info, err := admin.DescribeGroup(ctx, group)
		cancel()
		w.journal.note("group %s: %s %s %v", group, info.State, info.Protocol, err)
		for id, m := range info.Members {
			text := fmt.Sprintf("%q", m.Assignment)
			if group != "cluster" {
				s, serr := kafka.DecodeSubscription(m.Metadata)
				a, aerr := kafka.DecodeAssignment(m.Assignment)
				text = fmt.Sprintf("said to own %v since %d, was given %v (%v)", s.Owned, s.Generation, a.Partitions, errors.Join(serr, aerr))
			}
			w.journal.note("group %s: member %s: %s", group, id, text)
		}
	}
}

// notRunning says what hosts, connector or tasks are not at work.
func (w *world) notRunning() string {
	for _, name := range names {
		p := w.host(name)
		select {
		case <-p.done:
			return name + " is down"
		default:
		}
		if !p.reachable() {
			return name + " is cut off"
		}
		s, err := p.Herder().Status(context.Background(), connector)
		if err != nil {
			return name + ": " + err.Error()
		}
		expected, err := p.Herder().Tasks(context.Background(), connector)
		if err != nil {
			return name + ": " + err.Error()
		}
		states := []string{s.Connector.State}
		for _, t := range s.Tasks {
			states = append(states, t.State.State)
		}
		if len(states) != 1+len(expected) || len(expected) == 0 || slices.ContainsFunc(states, func(s string) bool { return s != "RUNNING" }) {
			return fmt.Sprintf("%s sees connector and tasks as %v", name, states)
		}
	}
	return ""
}

// A cell is a record's place, with what its row must say.
type cell struct {
	icetest.Coordinate
	id, twice, deep, thrice int64 // 0: null; deep: 1 if it is there
}

// A logged record is a cell with what becomes of the row of its key.
type logged struct {
	cell
	key     string
	deletes bool
}

// verify compares the tables with the log, after everything has ended.
func (w *world) verify() {
	w.catalog.Chaos(nil)
	time.Sleep(10 * time.Second) // for requests that the catalog still serves
	log := w.readLog(allPartitions())
	for name, in := range map[string][]string{"all": topics, "beta": {"beta"}} {
		want, old := w.expected(log, in), w.formerly(in)
		got := w.readTable(name)
		wrong := 0
		for c := range want {
			if got[c] == 0 && c.Offset < w.taken[name][connect.TopicPartition{Topic: c.Topic, Partition: c.Partition}] {
				continue // somebody took it away
			}
			if got[c] != 1 {
				if wrong++; wrong <= 20 {
					w.t.Errorf("db.%s: %s-%d@%d %+v is there %d times, want once", name, c.Topic, c.Partition, c.Offset, c, got[c])
				}
			}
		}
		for c, n := range got {
			if !want[c] && (n > 1 || !old[c]) {
				w.t.Errorf("db.%s: %d rows of %s-%d@%d %+v, which are not expected", name, n, c.Topic, c.Partition, c.Offset, c)
			}
		}
		if wrong > 0 {
			w.t.Errorf("db.%s: %d of %d records are not there once", name, wrong, len(want))
		}
	}
	if n := w.catalog.Files().OpenWriters(); n != 0 {
		w.t.Errorf("%d writers of files were neither closed nor aborted", n)
	}
}

// expected are the rows that a table must have: those of all records of its topics, and of
// those that were consumed before they were deleted; or the last of each key.
func (w *world) expected(log []logged, in []string) map[cell]bool {
	want, last := make(map[cell]bool), make(map[string]logged)
	for _, r := range log {
		switch {
		case !slices.Contains(in, r.Topic):
		case w.keyed:
			last[r.key] = r
		default:
			want[r.cell] = true
		}
	}
	for _, r := range last {
		if !r.deletes {
			want[r.cell] = true
		}
	}
	for c := range w.former.consumed {
		if slices.Contains(in, c.Topic) {
			want[c] = true
		}
	}
	return want
}

// formerly are the rows that a table may have besides, once each: those of records that
// were deleted with their topic.
func (w *world) formerly(in []string) map[cell]bool {
	may := make(map[cell]bool)
	for _, r := range w.former.log {
		if slices.Contains(in, r.Topic) {
			may[r.cell] = true
		}
	}
	return may
}

func (w *world) readTable(name string) map[cell]int {
	tbl, err := w.catalog.Peek(table.Identifier{"db", name})
	if err != nil {
		w.t.Error(err)
		return nil
	}
	rows, err := icetest.ReadRows(context.Background(), tbl)
	if err != nil {
		w.t.Error(err)
		return nil
	}
	out := make(map[cell]int, len(rows))
	for _, row := range rows {
		topic, _ := row["topic"].(string)
		part, _ := row["part"].(int64)
		at, _ := row["at"].(int64)
		c := cell{Coordinate: icetest.Coordinate{Topic: topic, Partition: int32(part), Offset: at}}
		c.id, _ = row["id"].(int64)
		c.twice, _ = row["twice"].(int64)
		if deep, ok := row["deep"].(icetest.Row); ok {
			if inner, _ := deep["id"].(int64); inner != c.id {
				w.t.Errorf("db.%s: %+v has a nested id of %d", name, c, inner)
			}
			c.deep = 1
			c.thrice, _ = deep["thrice"].(int64)
		}
		out[c]++
	}
	return out
}

// readLog reads which records partitions hold that must become rows.
func (w *world) readLog(tps []connect.TopicPartition) (log []logged) {
	admin, err := kafka.NewAdmin(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // the test's own
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends, err := admin.Offsets(ctx, tps, kafka.Latest)
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := kafka.NewFetcher(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test's own
	for _, tp := range tps {
		if ends[tp] == 0 {
			delete(ends, tp)
		} else {
			f.Add(tp, 0)
		}
	}
	for len(ends) > 0 {
		got, err := f.Poll(ctx, time.Second)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range got {
			var r kafka.Raw
			for k := range got[i].Len() {
				got[i].At(k, &r)
				if l, ok := parse(r.Value); ok {
					l.Coordinate = icetest.Coordinate{Topic: got[i].Topic, Partition: r.Partition, Offset: r.Offset}
					log = append(log, l)
				}
			}
			if got[i].Next >= ends[got[i].TopicPartition] {
				delete(ends, got[i].TopicPartition)
			}
		}
	}
	return log
}

// parse reads what value wrote; other records become no rows.
func parse(value []byte) (l logged, ok bool) {
	var r struct {
		ID, Twice int64
		K, Op     string
		Deep      *struct{ ID, Thrice int64 }
	}
	if json.Unmarshal(value, &r) != nil {
		return logged{}, false
	}
	l = logged{cell: cell{id: r.ID, twice: r.Twice}, key: r.K, deletes: r.Op == "d"}
	if r.Deep != nil {
		l.deep, l.thrice = 1, r.Deep.Thrice
	}
	return l, true
}
