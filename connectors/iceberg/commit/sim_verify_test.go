package commit

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// settle waits until the group's offsets are at the ends of the log. Frozen tasks have
// come back by then, and have done what they were about to do. In some worlds the tasks
// come to the end as they are, in others a rebalance may help them.
func (w *world) settle() {
	for slot, m := range w.members {
		if m.hash != w.hash && !m.away() {
			w.restart(slot)
		}
	}
	helped := w.pick(2) == 0
	if helped {
		w.rebalance()
	}
	if d := time.Until(w.awake); d > 0 {
		time.Sleep(d + 10*time.Second)
		w.produceSome()
		if helped {
			w.rebalance()
		}
	}
	for slot, m := range w.members {
		if m.hash != w.hash {
			w.restart(slot)
		}
	}
	for start := time.Now(); ; time.Sleep(time.Second) {
		if w.done() {
			time.Sleep(10 * time.Second) // for requests that were given up and may still land
			return
		}
		if time.Since(start) > simLimit {
			w.t.Errorf("STUCK: group offsets %v, log ends %v", w.group, w.logEnd)
			for _, m := range w.members {
				m.describe()
			}
			return
		}
	}
}

func (w *world) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tp := range w.partitions() {
		if at, ok := w.group[tp]; !ok || at != w.logEnd[tp] {
			return false
		}
	}
	return true
}

// verify reads the tables' manifests: which files are live, and so which rows.
func (w *world) verify() {
	w.late.Wait() // what they bring must not count
	for i, target := range simTables {
		live := w.readTable(target)
		if i == simKeyed {
			w.verifyKeyed(live)
			continue
		}
		count := make(map[simRow]int)
		for _, r := range live {
			count[r]++
		}
		w.verifyWatermarks(i, target)
		for r, n := range count {
			if n > 1 {
				w.t.Errorf("DUP: %s: %s@%d is there %d times", target.Table, r.tp, r.offset, n)
			}
			if r.topic == w.topicID && !slices.Contains(w.routes(r.tp, r.offset), i) {
				w.t.Errorf("WRONG: %s: %s@%d does not route there", target.Table, r.tp, r.offset)
			}
		}
		for tp, end := range w.logEnd {
			for o := range end {
				r := simRow{w.topicID, tp, o}
				if slices.Contains(w.routes(tp, o), i) && count[r] == 0 && !w.excused[i].covers(r) {
					w.t.Errorf("LOST: %s: %s@%d is not there", target.Table, tp, o)
				}
			}
		}
	}
}

func (e *excuse) covers(r simRow) bool { return r.offset < e.ends[r.tp] || e.rows[r] }

// verifyWatermarks checks that each snapshot has all rows that are older than its
// watermark, and that no watermark is below the one before.
func (w *world) verifyWatermarks(at int, target Target) {
	if w.excused[at].any {
		return
	}
	tbl, err := w.catalog.Peek(target.Identifier())
	if err != nil {
		w.t.Fatal(err)
	}
	last := int64(math.MaxInt64)
	for s := tbl.CurrentSnapshot(); s != nil; s = parent(tbl, s) {
		if _, ours := s.Summary.Properties[SummaryKey]; !ours {
			continue
		}
		through := None
		if text, ok := s.Summary.Properties[apacheWatermark]; ok {
			through = parseWatermark(apacheWatermark, text)
			w.watermarks++
		}
		if through > last {
			w.t.Errorf("WATERMARK: %s: it went from %d back to %d", target.Table, through, last)
		}
		last = through
		if s.SequenceNumber%5 != 0 {
			continue // reading all of them takes long
		}
		have := make(map[simRow]bool)
		for _, r := range w.rowsOf(tbl, s) {
			have[r] = true
		}
		for tp, made := range w.made {
			for o, time := range made {
				r := simRow{w.topicID, tp, int64(o)}
				if time < through && !have[r] && slices.Contains(w.routes(tp, r.offset), at) {
					w.t.Errorf("WATERMARK: %s: a snapshot with watermark %d lacks %s@%d of time %d", target.Table, through, tp, o, time)
				}
			}
		}
	}
}

func (w *world) readTable(target Target) []simRow {
	t, err := w.catalog.Peek(target.Identifier())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.rowsOf(t, t.CurrentSnapshot())
}

// rowsOf lists the rows of a snapshot: an equality delete hides those of its key that
// have a lower sequence number.
func (w *world) rowsOf(t *table.Table, s *table.Snapshot) []simRow {
	if s == nil {
		return nil
	}
	fs, err := t.FS(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var entries []iceberg.ManifestEntry
	deleted := make(map[int64]int64) // key to the highest sequence number of a delete
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			if err != nil {
				w.t.Fatal(err)
			}
			entries = append(entries, e)
			path := e.DataFile().FilePath()
			if _, ok := w.rows[path]; !ok {
				w.t.Errorf("CORRUPT: %v: file %s is deleted", t.Identifier(), path)
			}
			for _, k := range w.gone[path] {
				deleted[k] = max(deleted[k], e.SequenceNum())
			}
		}
	}
	var live []simRow
	for _, e := range entries {
		for _, r := range w.rows[e.DataFile().FilePath()] {
			if e.SequenceNum() >= deleted[r.key()] {
				live = append(live, r)
			}
		}
	}
	return live
}

// verifyKeyed checks that each key has the row that its last record left. A key of several
// partitions has one of their last rows, or none if one of the last records deletes. Where
// rows were taken away, each key has one row at most.
func (w *world) verifyKeyed(live []simRow) {
	rows := make(map[int64][]simRow)
	for _, r := range live {
		rows[r.key()] = append(rows[r.key()], r)
	}
	for k, got := range rows {
		if len(got) > 1 {
			w.t.Errorf("ORDER: key %d has rows %v", k, got)
		}
	}
	if w.excused[simKeyed].any {
		return
	}
	last := make(map[int64]map[connect.TopicPartition]simRow)
	for tp, end := range w.logEnd {
		for o := range end {
			if r := (simRow{w.topicID, tp, o}); slices.Contains(w.routes(tp, o), simKeyed) {
				if last[r.key()] == nil {
					last[r.key()] = make(map[connect.TopicPartition]simRow)
				}
				last[r.key()][tp] = r
			}
		}
	}
	for k, byPartition := range last {
		var allowed []simRow
		gone := false
		for _, r := range byPartition {
			if r.deletes() {
				gone = true
			} else {
				allowed = append(allowed, r)
			}
		}
		got := rows[k]
		if len(got) == 0 && gone || len(got) == 1 && slices.Contains(allowed, got[0]) {
			continue
		}
		w.t.Errorf("ORDER: key %d has rows %v, want one of %v (none is right: %v)", k, got, allowed, gone)
	}
}
