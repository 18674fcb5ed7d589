//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

const tableName = "bench.events"

// commits is what the table's snapshots say.
type commits struct {
	first, last       time.Time
	count, files      int
	records           int
	recordsAfterFirst int
	bytes             int64
}

// awaitTable waits until the table has every record, and then compares them.
func (r *run) awaitTable(ctx context.Context, worker *connectapi.Client) (c commits, err error) {
	if _, err := worker.PutConnector(ctx, r.connector()); err != nil {
		return c, err
	}
	cat, err := catalog.Open(ctx, "iceberg", r.catalogProps())
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()
	for {
		tbl, err := cat.LoadTable(ctx, strings.Split(tableName, "."))
		if err != nil && !errors.Is(err, icebergcatalog.ErrNoSuchTable) && !errors.Is(err, icebergcatalog.ErrNoSuchNamespace) {
			return c, err
		}
		if err == nil {
			if c, err = readCommits(tbl); err != nil {
				return c, err
			}
			if c.records >= r.topic.records {
				return c, compare(ctx, tbl, r.topic.records)
			}
		}
		if err := healthy(ctx, worker, r.id); err != nil {
			return c, err
		}
		if !pause(ctx, 200*time.Millisecond) {
			return c, fmt.Errorf("the table has %d of %d records: %w", c.records, r.topic.records, ctx.Err())
		}
	}
}

// healthy returns the trace of a task that has failed.
func healthy(ctx context.Context, worker *connectapi.Client, connector string) error {
	st, err := worker.Status(ctx, connector)
	if connectapi.IsStatus(err, 404) {
		return nil // not known yet
	}
	if err != nil {
		return err
	}
	for _, s := range append(st.Tasks, st.Connector) {
		if s.State == "FAILED" {
			return errors.New(s.Trace)
		}
	}
	return nil
}

func readCommits(tbl *table.Table) (c commits, err error) {
	for _, s := range tbl.Metadata().Snapshots() {
		added, err := summary(s, "added-records")
		if err != nil {
			return c, err
		}
		if added == 0 {
			continue
		}
		files, err := summary(s, "added-data-files")
		if err != nil {
			return c, err
		}
		size, err := summary(s, "added-files-size")
		if err != nil {
			return c, err
		}
		when := time.UnixMilli(s.TimestampMs)
		if c.count == 0 {
			c.first = when
		} else {
			c.recordsAfterFirst += added
		}
		c.last = when
		c.count++
		c.records += added
		c.files += files
		c.bytes += int64(size)
	}
	return c, nil
}

func summary(s table.Snapshot, key string) (int, error) {
	if s.Summary == nil || s.Summary.Properties[key] == "" {
		return 0, nil
	}
	return strconv.Atoi(s.Summary.Properties[key])
}

// compare reads the ids out of the data files: every one must be there, once.
func compare(ctx context.Context, tbl *table.Table, records int) (err error) {
	seen := make([]bool, records)
	scan := tbl.Scan(table.WithSelectedFields("id"))
	defer func() { err = errors.Join(err, scan.Close()) }()
	tasks, err := scan.PlanFiles(ctx)
	if err != nil {
		return err
	}
	_, batches, err := scan.ReadTasks(ctx, tasks)
	if err != nil {
		return err
	}
	n := 0
	for b, err := range batches {
		if err != nil {
			return err
		}
		ids, ok := b.Column(0).(*array.Int64)
		if !ok {
			return fmt.Errorf("column id is a %T", b.Column(0))
		}
		for _, id := range ids.Int64Values() {
			if id < 0 || id >= int64(records) || seen[id] {
				return fmt.Errorf("id %d is in the table and was not produced, or twice", id)
			}
			seen[id] = true
			n++
		}
		b.Release()
	}
	if n != records {
		return fmt.Errorf("the table has %d records, %d were produced", n, records)
	}
	return nil
}
