// Package verify proves that a table holds the records of its topics: each record below
// the offsets that the table stores, once, with the values that it should have, and no
// other row of those topics.
//
// What there should be comes from a [Source], which runs the connector's own chain over
// the topics; what there is, from the files of one snapshot, read by
// github.com/xitongsys/parquet-go, which shares no code with the writer. Rows are compared
// as 64-bit sums under a key that each run draws anew. A [Report] says what was proved, what
// was not, and which differences there are.
//
// Run is one pass over topics and files, and a second over what differs, to name it. It
// belongs to one goroutine. Memory is bounded: three bits per offset, or, for tables with
// a key, as much as Job.MemoryBytes allows and more passes instead. A row group of a file
// is read column by column; its compressed columns are in memory at once.
//
// It does not look at metadata that no reader of rows sees, such as column statistics, and
// it takes manifests as iceberg-go reads them. A struct that is null and one whose fields
// are all null count as equal.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// A Range is the part of a source partition that the table answers for.
type Range struct {
	connect.TopicPartition

	First int64 // the first offset that the topic still has
	Next  int64 // the offset stored in the table

	// Compacted: the topic may lack offsets for good, though their rows are in the table.
	Compacted bool
}

// MarshalJSON spells the range with one object of plain keys.
func (r Range) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		First     int64  `json:"first"`
		Next      int64  `json:"next"`
		Compacted bool   `json:"compacted"`
	}{r.Topic, r.Partition, r.First, r.Next, r.Compacted})
}

// An Op is what a record does to a table with a key.
type Op uint8

// The operations.
const (
	Insert Op = iota // also of every record of a table without a key
	Upsert
	Delete
)

// A Batch is rows that should be in the table, of records of one operation, in offset
// order. The rows of a Delete have the columns of the key alone.
type Batch struct {
	Op      Op
	Offsets []int64
	Rows    arrow.RecordBatch // valid until the call returns
}

// A Source reads topics as the connector does.
type Source interface {
	// Read goes through the records of one partition in [from, to): it calls seen for each
	// offset that has a record, whatever became of it, and rows for what should be in the table.
	Read(ctx context.Context, part connect.TopicPartition, from, to int64, seen func(offset int64), rows func(*Batch) error) error
}

// Coordinates are the columns that say where a row came from; dotted for nested ones.
type Coordinates struct {
	Topic     string // "" for none: there is one topic
	Partition string
	Offset    string
}

// A Job is what to verify.
type Job struct {
	Table  *Table
	Ranges []Range // in order
	Source Source

	// Coordinates, if not nil, are in every row.
	Coordinates *Coordinates

	// Key are the field ids of the key of a table whose rows replace others; nil for none.
	Key []int

	// FromFirstRow: the connector did not start at the begin of the topic, and the first row
	// of each partition tells where it did.
	FromFirstRow bool

	MemoryBytes int64 // for the rows of a table with a key; 0: 512 MiB
	Examples    int   // of differences; 0: 10

	// Progress, if not nil, is told how many of about how many records and rows were looked at.
	Progress func(done, total int64)
}

const (
	defaultMemory   = 512 << 20
	defaultExamples = 10
	entryBytes      = 128 // of a key in memory, with the map's overhead
)

// A CannotError says that the question cannot be answered, and why: neither proof nor
// difference.
type CannotError struct{ Reason string }

func (e *CannotError) Error() string { return "cannot verify: " + e.Reason }

func cannot(format string, args ...any) error { return &CannotError{fmt.Sprintf(format, args...)} }

// A run is a Job under way.
type run struct {
	*Job
	report *Report
	rows   *rowHasher
	done   int64
	total  int64
}

// Run verifies. The error is a [CannotError] or one of I/O; differences are in the report.
func Run(ctx context.Context, job Job) (*Report, error) {
	if job.MemoryBytes == 0 {
		job.MemoryBytes = defaultMemory
	}
	if job.Examples == 0 {
		job.Examples = defaultExamples
	}
	if len(job.Ranges) == 0 {
		return nil, cannot("the table stores no offsets of these topics")
	}
	rows, err := newRowHasher(job.Table.Schema)
	if err != nil {
		return nil, err
	}
	r := &run{Job: &job, rows: rows, report: &Report{Ranges: job.Ranges, Files: len(job.Table.Data)}}
	for _, p := range job.Ranges {
		r.total += max(0, p.Next-p.First)
	}
	r.duplicateFiles()
	for _, f := range job.Table.Data {
		r.total += f.Records
	}
	var m interface{ verify(context.Context) error }
	switch {
	case len(job.Key) > 0:
		m, err = newKeyed(r)
	case job.Coordinates != nil:
		m, err = newByCoordinates(r)
	default:
		m, err = newByRows(r)
	}
	if err != nil {
		return nil, err
	}
	if err := m.verify(ctx); err != nil {
		return nil, err
	}
	return r.report, nil
}

// duplicateFiles finds files that the snapshot lists more than once.
func (r *run) duplicateFiles() {
	seen := make(map[string]bool, len(r.Table.Data))
	for _, f := range r.Table.Data {
		if seen[f.Path] {
			r.report.add(&r.report.FileFaults, r.Examples, "file %s is in the snapshot more than once", f.Path)
		}
		seen[f.Path] = true
	}
}

func (r *run) step(n int64) {
	r.done = min(r.done+n, r.total) // what is read again to name differences does not count
	if r.Progress != nil {
		r.Progress(r.done, r.total)
	}
}

// expected goes through what should be in the table; rows that a batch has come as hashes.
func (r *run) expected(ctx context.Context, p Range, from, to int64, seen func(int64), each func(op Op, offset int64, leaves []uint64) error) error {
	if from >= to {
		return nil
	}
	err := r.Source.Read(ctx, p.TopicPartition, from, to, func(offset int64) {
		r.step(1)
		seen(offset)
	}, func(b *Batch) error {
		return r.rows.batch(b.Rows, func(i int, leaves []uint64) error { return each(b.Op, b.Offsets[i], leaves) })
	})
	if _, ok := errors.AsType[*CannotError](err); ok || err == nil {
		return err
	}
	return fmt.Errorf("read %s: %w", p.TopicPartition, err)
}

// columnID finds the field id of a column by its dotted name.
func columnID(schema *iceberg.Schema, name string) (int, error) {
	f, ok := schema.FindFieldByName(name)
	if !ok {
		return 0, cannot("the table has no column %s", name)
	}
	return f.ID, nil
}
