package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
)

// report reads the tables back and holds them against the truth.
func report(ctx context.Context, cfg Config) error {
	var wrong error
	for _, s := range sources {
		ok, err := reportSource(ctx, cfg, s)
		if err != nil {
			return fmt.Errorf("read the table of topic %s: %w", s.topic, err)
		}
		if !ok {
			wrong = errors.Join(wrong, fmt.Errorf("topic %s: %w", s.topic, ErrWrongCount))
		}
	}
	return wrong
}

func reportSource(ctx context.Context, cfg Config, s source) (ok bool, err error) {
	f, err := cfg.connectorOf(s)
	if err != nil {
		return false, err
	}
	props := map[string]string{}
	for k, v := range f.Config {
		if key, ours := strings.CutPrefix(k, "iceberg.catalog."); ours {
			props[key] = v
		}
	}
	const catalogName = "iceberg" // the sink's default
	cat, err := catalog.Open(ctx, catalogName, props)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()
	name := f.Config["iceberg.tables"]
	tbl, err := cat.LoadTable(ctx, strings.Split(name, "."))
	if err != nil {
		return false, err
	}
	c, err := count(ctx, tbl, s.column)
	if err != nil {
		return false, err
	}
	cfg.say("\n%s\n", name)
	ok = verdict(cfg, "rows", c.rows, s.rows)
	if s.column != "" {
		ok = verdict(cfg, "sum("+s.column+")", c.sum, s.sum) && ok
	}
	cfg.say("  %-16s %d in %d partitions, %.1f MB\n", "files", c.files, c.partitions, float64(c.bytes)/1e6)
	cfg.say("  %-16s %d\n", "snapshots", len(tbl.Metadata().Snapshots()))
	floors, err := commit.ReadFloors(tbl, table.MainBranch)
	if err != nil {
		return false, err
	}
	cfg.say("  %-16s %s\n", "source offsets", offsetsText(floors))
	printReaders(cfg, name, tbl.MetadataLocation(), props)
	return ok, nil
}

// verdict prints a number beside the truth.
func verdict(cfg Config, what string, got, want int64) bool {
	word := "correct"
	if got != want {
		word = "WRONG, the data has " + commas(want)
	}
	cfg.say("  %-16s %s (%s)\n", what, commas(got), word)
	return got == want
}

type counts struct {
	rows, sum, bytes  int64
	files, partitions int
}

// count reads every data file of the current snapshot: what the snapshot's
// summary claims is not asked.
func count(ctx context.Context, tbl *table.Table, column string) (c counts, err error) {
	field := column
	if field == "" {
		field = tbl.Schema().Field(0).Name
	}
	scan := tbl.Scan(table.WithSelectedFields(field))
	defer func() { err = errors.Join(err, scan.Close()) }()
	tasks, err := scan.PlanFiles(ctx)
	if err != nil {
		return c, err
	}
	partitions := map[string]bool{}
	for _, t := range tasks {
		c.bytes += t.File.FileSizeBytes()
		partitions[fmt.Sprint(t.File.Partition())] = true
	}
	c.files, c.partitions = len(tasks), len(partitions)
	_, batches, err := scan.ReadTasks(ctx, tasks)
	if err != nil {
		return c, err
	}
	for b, err := range batches {
		if err != nil {
			return c, err
		}
		c.rows += b.NumRows()
		if ints, ok := b.Column(0).(*array.Int32); ok && column != "" {
			for _, v := range ints.Int32Values() {
				c.sum += int64(v)
			}
		}
		b.Release()
	}
	return c, nil
}

// offsetsText lists per partition the next offset stored in the table's snapshots.
func offsetsText(floors commit.Floors) string {
	bySource := slices.SortedFunc(maps.Keys(floors), func(a, b commit.Source) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Partition) - int(b.Partition)
	})
	var parts []string
	for _, s := range bySource {
		parts = append(parts, fmt.Sprintf("%s-%d: %s", s.Topic, s.Partition, commas(floors[s].F)))
	}
	return strings.Join(parts, "  ")
}

// printReaders shows how to read the table with other programs.
func printReaders(cfg Config, name, metadata string, props map[string]string) {
	path := metadata
	if u, err := url.Parse(metadata); err == nil && u.Scheme == "file" {
		path = u.Path
	}
	cfg.say("  read with DuckDB:\n    duckdb -c \"INSTALL iceberg; LOAD iceberg; SELECT count(*) FROM iceberg_scan('%s')\"\n", path)
	cfg.say("  read with PyIceberg:\n    python3 -c \"from pyiceberg.catalog import load_catalog; print(load_catalog('iceberg', type='sql', uri='%s', warehouse='%s').load_table('%s').scan().to_arrow().num_rows)\"\n",
		props["uri"], props["warehouse"], name)
}
