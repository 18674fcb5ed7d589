package commit

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// Stories of tables that do not keep up, in the simulated cluster without its faults.

var simA, simB = simTables[0], simTables[1]

// hear counts log messages of coordinators and tasks.
type hear struct {
	slog.Handler
	mu   sync.Mutex
	said map[string]int
}

func (w *world) listen() *hear {
	h := &hear{Handler: w.log.Handler(), said: make(map[string]int)}
	w.log = slog.New(h)
	return h
}

func (h *hear) Enabled(context.Context, slog.Level) bool { return true }
func (h *hear) WithAttrs([]slog.Attr) slog.Handler       { return h }

func (h *hear) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said[r.Message]++
	return nil
}

func (h *hear) count(message string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said[message]
}

// flow produces records of all partitions for some time.
func (w *world) flow(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		for _, tp := range w.partitions() {
			w.produce(tp, 3)
		}
	}
}

// missing counts records of a partition that are old enough and not in a table, per time.
func (w *world) missing(target Target, tp connect.TopicPartition, age time.Duration) int {
	have := make(map[simRow]bool)
	for _, r := range w.readTable(target) {
		have[r] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, i := 0, slices.Index(simTables, target)
	for o, at := range w.made[tp] {
		r := simRow{w.topicID, tp, int64(o)}
		if slices.Contains(w.routes(tp, r.offset), i) && !have[r] && time.Since(time.UnixMilli(at)) > age {
			n++
		}
	}
	return n
}

// lag is by how many records older than age the group's offset is behind.
func (w *world) lag(tp connect.TopicPartition, age time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for o, at := range w.made[tp] {
		if int64(o) >= w.group[tp] && time.Since(time.UnixMilli(at)) > age {
			n++
		}
	}
	return n
}

const soon = 10 * time.Second // some flushes

// Partition 0 goes to a alone, 1 to a and b, 2 to b alone; 0 and 1 share a task, and so
// their units. While b is broken a gets everything, and 0 has its offsets.
func TestBrokenTable(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		h := w.listen()
		w.routes = func(tp connect.TopicPartition, _ int64) []int {
			return [][]int{{0}, {0, 1}, {1}}[tp.Partition]
		}
		p := w.partitions()
		w.owner = map[connect.TopicPartition]int{p[0]: 0, p[1]: 0, p[2]: 1}
		w.begin()
		w.flow(5 * time.Second)

		w.catalog.Break(simB.Identifier(), errSim, icetest.Commit)
		goesOn := func(when string) {
			t.Helper()
			for _, tp := range p[:2] {
				if n := w.missing(simA, tp, soon); n > 0 {
					t.Errorf("%s: %d records of %s are not in a", when, n, tp)
				}
			}
			if n := w.lag(p[0], soon); n > 0 {
				t.Errorf("%s: the offset of %s lags by %d", when, p[0], n)
			}
			if w.lag(p[1], soon) == 0 || w.lag(p[2], soon) == 0 {
				t.Errorf("%s: offsets moved past records that b does not have", when)
			}
		}
		w.flow(20 * time.Second)
		goesOn("b broken")

		w.mu.Lock()
		w.owner = map[connect.TopicPartition]int{p[0]: 0, p[1]: 2, p[2]: 1}
		w.generation++
		w.mu.Unlock()
		for _, m := range w.members {
			m.rejoin()
		}
		w.flow(20 * time.Second)
		goesOn("partition 1 went to another task")

		w.members[0].kill() // and the coordinator with it
		w.start(0)
		w.flow(20 * time.Second)
		goesOn("the coordinator died")

		w.catalog.Mend(simB.Identifier())
		w.flow(15 * time.Second)
		for _, tp := range p {
			if n := w.missing(simB, tp, soon) + w.lag(tp, soon); n > 0 {
				t.Errorf("b is back: %d records of %s are missing", n, tp)
			}
		}
		if n := h.count("unit refused; its task reads the ranges again"); n > 0 {
			t.Errorf("%d units were refused, though all floors came as foreseen", n)
		}
		w.settle()
		w.verify()
	})
}

// All tasks die while b is broken; later nothing can even be read of it. A partition that
// needs b's floors waits for them, the others go on.
func TestBrokenTableAcrossARestart(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		w.routes = func(tp connect.TopicPartition, _ int64) []int { return [][]int{{0}, {0, 1}, {1}}[tp.Partition] }
		p := w.partitions()
		w.owner = map[connect.TopicPartition]int{p[0]: 0, p[1]: 0, p[2]: 1}
		w.begin()
		w.flow(5 * time.Second)
		for _, hidden := range []bool{false, true} {
			ops := []icetest.Op{icetest.Commit}
			if hidden {
				ops = append(ops, icetest.Load)
			}
			w.catalog.Break(simB.Identifier(), errSim, ops...)
			w.flow(20 * time.Second)
			for slot := range simTasks {
				w.members[slot].kill()
			}
			for slot := range simTasks {
				w.start(slot)
			}
			w.flow(20 * time.Second)
			if n := w.missing(simA, p[0], soon) + w.lag(p[0], soon); n > 0 {
				t.Errorf("hidden %v: partition 0 lacks %d records", hidden, n)
			}
			if n := w.missing(simA, p[1], soon); (n > 0) != hidden {
				t.Errorf("hidden %v: partition 1 lacks %d records in a", hidden, n)
			}
		}
		w.catalog.Mend(simB.Identifier())
		w.flow(15 * time.Second)
		w.settle()
		w.verify()
	})
}

// What a task has unconfirmed is bounded: at the bound it stops reading the partitions
// that route to the broken table, and goes on with the others of its units.
func TestHeldPartitions(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		w.routes = func(tp connect.TopicPartition, _ int64) []int { return [][]int{{0}, {0, 1}, nil}[tp.Partition] }
		p := w.partitions()
		w.owner = map[connect.TopicPartition]int{p[0]: 0, p[1]: 0, p[2]: 0}
		w.begin()
		w.members[0].chain.mostUnits = 10
		w.flow(5 * time.Second)
		w.catalog.Break(simB.Identifier(), errSim, icetest.Commit)
		w.flow(15 * time.Second)
		if n := w.missing(simA, p[1], soon); n > 0 {
			t.Errorf("partition 1 lacks %d records before the bound", n)
		}
		w.flow(25 * time.Second)
		if n := w.missing(simA, p[1], soon); n == 0 {
			t.Error("partition 1 is still read")
		}
		if n := w.missing(simA, p[0], soon) + w.lag(p[0], soon) + w.lag(p[2], soon); n > 0 {
			t.Errorf("the other partitions lack %d records", n)
		}
		w.catalog.Mend(simB.Identifier())
		w.flow(20 * time.Second)
		for _, tp := range p {
			if n := w.missing(simA, tp, soon) + w.missing(simB, tp, soon) + w.lag(tp, soon); n > 0 {
				t.Errorf("b is back: %s lacks %d records", tp, n)
			}
		}
		w.settle()
		w.verify()
	})
}

// commits counts those of a table by their ids.
func (w *world) commits(target Target) int {
	tbl, err := w.catalog.Peek(target.Identifier())
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, s := range tbl.Metadata().Snapshots() {
		ids[s.Summary.Properties["kafka.connect.commit-id"]] = true
	}
	return len(ids)
}

// a has the interval of the flushes, 2 s; b has 10 s; k waits for bytes: every link counts
// 100 here, and each of three tasks has one in every flush.
func TestCadence(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		w.cadence = func(table string) Cadence {
			switch table {
			case "db.b":
				return Cadence{Interval: 10 * time.Second}
			case "db.k":
				return Cadence{Interval: time.Hour, Bytes: 2000}
			}
			return Cadence{Interval: 2 * time.Second}
		}
		w.begin()
		w.flow(time.Minute)
		for i, want := range []int{30, 6, 5} {
			if n := w.commits(simTables[i]); n < want-2 || n > want+1 {
				t.Errorf("%s: %d commits in a minute, want about %d", simTables[i].Table, n, want)
			}
		}
		w.settle()
		w.verify()
	})
}

// One partition has records all the time, one now and then, one never.
func TestWatermarkWithIdlePartitions(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		w.begin()
		p := w.partitions()
		w.produce(p[2], 0)
		for i := range 300 {
			w.produce(p[0], 1)
			if i%77 == 76 {
				w.produce(p[1], 4)
			}
			if i == 150 { // another coordinator
				w.members[0].kill()
				w.start(0)
			}
			time.Sleep(100 * time.Millisecond)
		}
		tbl, err := w.catalog.Peek(simA.Identifier())
		if err != nil {
			t.Fatal(err)
		}
		through := watermark(tbl, "main", apacheWatermark)
		if age := time.Since(time.UnixMilli(through)); through == None || age > 10*time.Second {
			t.Errorf("the watermark is %v old: idle partitions hold it back", age)
		}
		w.settle()
		w.verify()
		if w.watermarks < 15 {
			t.Errorf("%d snapshots had a watermark", w.watermarks)
		}
	})
}

func TestWatermarkText(t *testing.T) {
	for _, tt := range []struct {
		millis          int64
		apache, tabular string
	}{
		{0, "1970-01-01T00:00Z", "0"},
		{1704164640000, "2024-01-02T03:04Z", "1704164640000"},
		{1704164645000, "2024-01-02T03:04:05Z", "1704164645000"},
		{1704164645120, "2024-01-02T03:04:05.120Z", "1704164645120"},
		{1704164640001, "2024-01-02T03:04:00.001Z", "1704164640001"},
	} {
		for property, want := range map[string]string{apacheWatermark: tt.apache, tabularWatermark: tt.tabular} {
			if got := watermarkText(property, tt.millis); got != want {
				t.Errorf("%s of %d: %s, want %s", property, tt.millis, got, want)
			}
			if got := parseWatermark(property, want); got != tt.millis {
				t.Errorf("%s %s: %d, want %d", property, want, got, tt.millis)
			}
		}
	}
	for text, want := range map[string]int64{"2024-01-02T05:04:05.123456+02:00": 1704164645123, "yesterday": None, "": None} {
		if got := parseWatermark(apacheWatermark, text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// What fails for longer than the budget is told once, with table, time, number and cause,
// and taken back.
func TestTroubleIsTold(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.calm = true
		var all []string // guarded by w.mu
		w.trouble = func(what string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			all = append(all, what)
		}
		soFar := func() []string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(all)
		}
		w.begin()
		w.flow(3 * time.Second)
		w.catalog.Break(simB.Identifier(), errSim, icetest.Load, icetest.Commit)
		w.flow(15 * time.Second)
		if told := soFar(); len(told) > 0 {
			t.Errorf("told %q within the budget", told)
		}
		time.Sleep(2 * time.Minute)
		told := soFar()
		if len(told) != 1 || !strings.Contains(told[0], "commit to table db.b (branch main): no success since 2000-01-01T00:00:") || !strings.Contains(told[0], "simulated fault") {
			t.Fatalf("told %q, want one trouble with b", told)
		}
		w.catalog.Mend(simB.Identifier())
		time.Sleep(15 * time.Second)
		if told = soFar(); len(told) != 2 || told[1] != "" {
			t.Errorf("told %q, want that all is well", told)
		}
		w.settle()
	})
}
