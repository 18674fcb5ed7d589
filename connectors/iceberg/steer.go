package iceberg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// A tableError says that a table cannot be loaded or changed for now. It holds up the
// partition of the record that needs the table, and no other.
type tableError struct {
	d   *destination
	err error
}

func (e *tableError) Error() string { return e.err.Error() }
func (e *tableError) Unwrap() error { return e.err }

// steer has partitions read, or not: one is paused while it is not open, while uploads
// lag, while too much of it is unconfirmed, and while it waits for a table.
func (t *Task) steer(parts ...connect.TopicPartition) {
	for _, tp := range parts {
		if _, open := t.chain.Position(tp); open && !t.throttled && !t.chain.Held(tp) && t.awaited[tp] == nil {
			t.tc.Resume(tp)
		} else {
			t.tc.Pause(tp)
		}
	}
}

// await leaves a partition alone from offset on until d is tried again.
func (t *Task) await(tp connect.TopicPartition, offset int64, d *destination) {
	t.awaited[tp] = d
	t.tc.Seek(tp, offset)
	t.steer(tp)
}

// retry reads partitions again whose table is there, or is to be asked for again, or its
// files to be stored again: the record that needs it does that.
func (t *Task) retry() {
	for tp, d := range t.awaited {
		if !d.loading && (d.trouble == nil || !time.Now().Before(d.notNow)) && d.rested() == nil {
			delete(t.awaited, tp)
			t.steer(tp)
		}
	}
}

// report shows in the task's status what has not worked for longer than the error budget:
// what the coordinator tells, and tables that this task cannot load or store files of; at
// once, if a store refuses the credentials. It says it again when something else is at
// fault, and takes it back when all is well.
func (t *Task) report() {
	if time.Since(t.reported) < reportInterval {
		return
	}
	t.reported = time.Now()
	var texts, tables []string
	if t.leaderTrouble != "" {
		texts = append(texts, t.leaderTrouble)
	}
	for name, d := range t.tables {
		budget := commit.Budget(t.cfg.failures, t.cfg.cadence(name).Interval)
		if d.trouble != nil && time.Since(d.troubledAt) >= budget || d.unstored.err != nil && (time.Since(d.unstored.since) >= budget || storage.Refused(d.unstored.err)) {
			tables = append(tables, name)
		}
	}
	slices.Sort(tables)
	for _, name := range tables {
		if d := t.tables[name]; d.trouble != nil {
			texts = append(texts, fmt.Sprintf("table %s cannot be loaded since %s: %v", name, d.troubledAt.UTC().Format(time.RFC3339), d.trouble))
		} else {
			texts = append(texts, fmt.Sprintf("files of table %s cannot be stored since %s: %v", name, d.unstored.since.UTC().Format(time.RFC3339), d.unstored.err))
		}
	}
	key := t.leaderTrouble + strings.Join(tables, " ")
	if key == t.told {
		return
	}
	t.told = key
	if len(texts) == 0 {
		t.tc.Trouble(nil)
		return
	}
	t.tc.Trouble(errors.New(strings.Join(texts, "; ") + ". The task goes on with everything else and tries again"))
}

// hearTrouble takes what the coordinator tells, from its goroutine.
func (t *Task) hearTrouble(what string) {
	t.mail.post(func(context.Context) error { t.leaderTrouble = what; return nil })
}

const reportInterval = time.Second
