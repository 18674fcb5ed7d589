package iceberg

import (
	"errors"
	"fmt"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/datafile"
)

// A destination whose files cannot be stored holds up the partitions that route to it, as
// one whose table cannot be loaded does. What the task had read and not announced is read
// again: files mix the rows of partitions, and none of them is announced without the others.
type unstored struct {
	err   error     // why, when it was last tried; nil: all is well
	since time.Time // the first of these failures
	until time.Time // records for the table wait
	pause time.Duration
}

// Rhythm of storing files again, besides what the client of the store does by itself.
const (
	firstStoreWait = time.Second
	lastStoreWait  = time.Minute
)

// An unstoredError says that files of a table cannot be stored: nothing is wrong with what
// they hold.
type unstoredError struct {
	table string
	err   error
}

func (e *unstoredError) Error() string {
	return "write files of table " + e.table + ": " + e.err.Error()
}
func (e *unstoredError) Unwrap() error { return e.err }

// writing adds the table to an error of its files.
func writing(table string, err error) error {
	if _, ok := errors.AsType[*datafile.StorageError](err); ok {
		return &unstoredError{table, err}
	}
	return fmt.Errorf("write files of table %s: %w", table, err)
}

// rest leaves a table alone for a while, and has the rows of its files read again. Errors
// that are not of a store end the task.
func (t *Task) rest(err error) error {
	e, ok := errors.AsType[*unstoredError](err)
	if !ok {
		return err
	}
	if d := t.tables[e.table]; d != nil {
		now := time.Now()
		if d.unstored.err == nil {
			d.unstored.since = now
		}
		d.unstored.err = e.err
		d.unstored.pause = min(max(2*d.unstored.pause, firstStoreWait), lastStoreWait)
		d.unstored.until = now.Add(d.unstored.pause)
		t.tc.Logger().Warn("data files cannot be stored; records wait", "table", e.table, "retry_in", d.unstored.pause, "error", e.err)
	}
	t.reset("data files cannot be stored")
	return nil
}

// rested is the error of records that come too early for a table whose files could not be
// stored.
func (d *destination) rested() error {
	if d.unstored.err == nil || !time.Now().Before(d.unstored.until) {
		return nil
	}
	return &tableError{d, fmt.Errorf("files of table %s cannot be stored yet: %w", d.target.Table, d.unstored.err)}
}

// stored takes note of tables whose files are in the store.
func (t *Task) stored(links []sealedLink) {
	for _, l := range links {
		if d := t.tables[l.link.Table]; d != nil {
			d.unstored = unstored{}
		}
	}
}
