package iceberg

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/firn-io/firn/connect"
)

// A dropPolicy says what becomes of records that have no table.
type dropPolicy string

const (
	dropSkip       dropPolicy = "skip"        // count them and go on
	dropDeadLetter dropPolicy = "dead-letter" // as errors.tolerance and errors.deadletterqueue.* say
	dropFail       dropPolicy = "fail"        // end the task
)

// Rhythms of what concerns dropped records.
const (
	reportAfter = time.Minute      // between two lines in the log
	lookAgain   = 10 * time.Second // for a table that does not exist: it may be created yet
)

// drops counts the records of a task that left no row, though nothing is wrong with them.
type drops struct {
	unrouted   int64 // the router has no table for them
	absent     int64 // their table does not exist
	tombstones int64

	reported int64 // of the first two and of all, when the log was last told
	seen     int64
	at       time.Time

	sweepAt int // so many tables are looked through for those that do not exist
}

// drop applies the policy to a record that goes to no table, or, when absent is not nil,
// not to that one. It tells whether that was all there is to do with the record; if not,
// the record has other tables. Where the record is from is in tp: a transformation may
// have changed the record's own topic.
func (t *Task) drop(ctx context.Context, tp connect.TopicPartition, r *connect.Record, absent *destination) (done bool, err error) {
	why := func() string {
		if absent != nil {
			return "table " + absent.target.Table + " does not exist"
		}
		return t.router.Why(r)
	}
	switch t.cfg.drops {
	case dropFail:
		return true, fmt.Errorf("record %s@%d has no table: %s (correct the record or the routing, or set %s to skip or dead-letter)", tp, r.Offset, why(), keyDropPolicy)
	case dropDeadLetter:
		return true, t.tc.Errant(ctx, r, &connect.DataError{Msg: "no table: " + why(), Hint: "correct the record or the routing, or set " + keyDropPolicy + "=skip"})
	case dropSkip:
	}
	if t.drops.unrouted+t.drops.absent == 0 {
		t.tc.Logger().Warn("a record has no table and is dropped; from now on they are counted", "record", fmt.Sprintf("%s@%d", tp, r.Offset), "reason", why(), "policy", keyDropPolicy)
	}
	if absent != nil {
		t.drops.absent++
		return len(t.into) == 0, nil
	}
	t.drops.unrouted++
	return true, nil
}

// maxAbsent bounds the tables remembered as not there: records may name any number.
const maxAbsent = 4096

// sweep forgets tables that do not exist.
func (t *Task) sweep() {
	for name, d := range t.tables {
		if d.absent && !d.loading && d.writer == nil {
			delete(t.tables, name)
		}
	}
	clear(t.byIdent)
	t.lastIdent, t.lastDest = nil, nil
	t.drops.sweepAt = len(t.tables) + maxAbsent
}

// report tells the log what was dropped since it was last told, once in a while or, at
// the end, at once.
func (d *drops) report(log *slog.Logger, now time.Time, last bool) {
	dropped := d.unrouted + d.absent
	if dropped+d.tombstones == d.seen || !last && now.Sub(d.at) < reportAfter {
		return
	}
	level := slog.LevelInfo
	if dropped > d.reported {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, "records that left no row, since the task started", "without_route", d.unrouted, "without_table", d.absent, "tombstones", d.tombstones,
		"dropped_since_last_line", dropped-d.reported)
	d.reported, d.seen, d.at = dropped, dropped+d.tombstones, now
}
