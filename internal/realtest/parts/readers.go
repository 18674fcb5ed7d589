//go:build unix

package parts

import (
	"bytes"
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

var (
	//go:embed readers/requirements.txt
	requirements []byte
	//go:embed readers/read.py
	readScript []byte
)

// Readers are DuckDB and PyIceberg.
type Readers struct{ python, script string }

// NewReaders installs the readers; dir is for the script.
func NewReaders(ctx context.Context, dir string) (*Readers, error) {
	bin, err := venv(ctx, "readers", requirements)
	if err != nil {
		return nil, err
	}
	r := &Readers{filepath.Join(bin, "python"), filepath.Join(dir, "read.py")}
	return r, os.WriteFile(r.script, readScript, 0o644)
}

// Slice is what a reader saw of one source partition, by the columns
// kafka_partition and kafka_offset, and the sum of the column that was asked for.
type Slice struct {
	Partition        int32
	Rows, Offsets    int64 // all, and different ones
	First, Last, Sum int64
}

// Table is a table as independent programs see it.
type Table struct {
	DuckDB, PyIceberg []Slice // in order of partition
	Files             []string
	Partitioning      []string // transform(field)
	Snapshots         int
	Columns           map[string]string // name to Iceberg type
}

// Read reads the table NAMESPACE.NAME of the catalog that the properties describe to
// PyIceberg, adding up a column.
func (r *Readers) Read(ctx context.Context, catalog map[string]string, table, sum string) (*Table, error) {
	var answer struct {
		DuckDB, PyIceberg   [][6]int64
		Files, Partitioning []string
		Snapshots           int
		Columns             map[string]string
	}
	if err := r.ask(ctx, map[string]any{"catalog": catalog, "table": table, "sum": sum}, &answer); err != nil {
		return nil, fmt.Errorf("read table %s: %w", table, err)
	}
	slices.Sort(answer.Files)
	return &Table{
		slicesOf(answer.DuckDB), slicesOf(answer.PyIceberg), answer.Files, answer.Partitioning, answer.Snapshots, answer.Columns,
	}, nil
}

// Rows lists whole-number columns of a table with DuckDB, in their order: with deletes that
// PyIceberg does not read.
func (r *Readers) Rows(ctx context.Context, catalog map[string]string, table string, columns ...string) ([][]int64, error) {
	var answer struct{ Rows [][]int64 }
	if err := r.ask(ctx, map[string]any{"catalog": catalog, "table": table, "columns": columns}, &answer); err != nil {
		return nil, fmt.Errorf("read table %s: %w", table, err)
	}
	return answer.Rows, nil
}

// ask runs the script.
func (r *Readers) ask(ctx context.Context, question map[string]any, answer any) error {
	request, err := json.Marshal(question)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.python, r.script)
	cmd.Stdin = bytes.NewReader(request)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("answer %.500q: %w", out, err)
	}
	return nil
}

func slicesOf(rows [][6]int64) []Slice {
	var all []Slice
	for _, r := range rows {
		all = append(all, Slice{int32(r[0]), r[1], r[2], r[3], r[4], r[5]})
	}
	return all
}
