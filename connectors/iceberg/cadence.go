package iceberg

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
)

// cadences say when tables get snapshots. Every flush closes the files of all tables of a
// task, so the shortest interval of all is that of the flushes; tables with a longer one
// gather what several flushes bring.
type cadences struct {
	all    commit.Cadence
	tables map[string]commit.Cadence
	flush  time.Duration
	weighs bool // bytes count, for some table
}

// cadence is that of a table.
func (c *cadences) cadence(table string) commit.Cadence {
	if own, ok := c.tables[table]; ok {
		return own
	}
	return c.all
}

func parseCadences(raw map[string]string, all commit.Cadence) (cadences, []error) {
	c := cadences{all: all, tables: make(map[string]commit.Cadence), flush: all.Interval, weighs: all.Bytes > 0}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		name, ok := strings.CutPrefix(key, tablePrefix)
		if !ok {
			continue
		}
		name, interval := strings.CutSuffix(name, commitIntervalSuffix)
		name, bytes := strings.CutSuffix(name, commitBytesSuffix)
		if !interval && !bytes {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(raw[key]), 10, 64)
		if err != nil || interval && (n < 1 || n > maxMillis) || n < 0 {
			errs = append(errs, connect.ConfigError{Key: key, Message: fmt.Sprintf("Invalid value %s for configuration %s: it must be a number of milliseconds, from 1 on, or of bytes", raw[key], key)})
			continue
		}
		own := c.cadence(name)
		if interval {
			own.Interval = time.Duration(n) * time.Millisecond
			c.flush = min(c.flush, own.Interval)
		} else {
			own.Bytes = n
			c.weighs = c.weighs || n > 0
		}
		c.tables[name] = own
	}
	return c, errs
}

const maxMillis = 1<<31 - 1

// heavy tells whether the open files of a table have this task's share of the bytes that
// the table is committed at. It looks now and then.
func (t *Task) heavy() bool {
	if !t.cfg.weighs || t.batch%weighEvery != 0 {
		return false
	}
	s := t.tc.Group().Session()
	for name, d := range t.tables {
		most := t.cfg.cadence(name).Bytes
		if most == 0 || d.writer == nil {
			continue
		}
		if n := int64(len(s.Subscribed)); n > 0 {
			most = max(1, most/n*int64(len(s.Owned)))
		}
		if d.bytes() >= most {
			return true
		}
	}
	return false
}

const weighEvery = 8 // batches

// bytes is about how large the open files are, and would be with the rows that wait.
func (d *destination) bytes() int64 {
	if d.keyed != nil {
		return d.keyed.Bytes()
	}
	return d.writer.Bytes()
}
