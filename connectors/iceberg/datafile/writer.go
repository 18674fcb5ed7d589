// Package datafile writes the data files of one table: Parquet, rolling at the
// table's target size, one open file per partition value, within a memory Budget.
//
// It promises that a file it hands out is complete in storage and described as
// Iceberg wants it (partition values, counts, bounds, split offsets); that a record
// refused with a [connect.DataError] leaves no trace; and that after any failure of
// storage nothing of the cycle is handed out. There are no empty files.
//
// A Writer belongs to one goroutine, and all Writers that share a Budget to the same
// one. Rows are staged as column vectors; a full stage is encoded, partition by
// partition, in that goroutine. Uploads run in goroutines of their own, one per open
// file, and never make Append wait: see [Budget.Full]. The package does not commit,
// and does not evolve schemas: a new table schema means a new Writer.
package datafile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/columns"
	"github.com/firn-io/firn/connectors/iceberg/pages"
)

// A Config describes the table of a Writer.
type Config struct {
	IO     IO
	Schema *iceberg.Schema
	Spec   iceberg.PartitionSpec // the zero value: unpartitioned

	// Location gives the whole path of a flat file name, as the table's location
	// provider does.
	Location func(name string) string

	// Properties are the table's, overlaid by iceberg.tables.write-props.*. Also
	// firn.parquet.encodings: compat (default) or fast (delta and split encodings,
	// which not every reader knows).
	Properties map[string]string

	Equality      []int   // not nil: the files hold equality deletes by these field ids
	FormatVersion int     // of the table
	Task          int     // number of the task, part of file names
	Budget        *Budget // nil: one of its own, DefaultBudgetBytes

	Columns columns.Options // how record fields find their columns
	Logger  *slog.Logger    // nil: slog.Default
}

// A Writer writes rows into the data files of one table.
type Writer struct {
	cfg        Config
	settings   *settings
	groupBytes int64
	budget     *Budget
	logger     *slog.Logger

	plans   map[*connect.Schema]*columns.Plan
	last    *columns.Plan // of lastFor
	lastFor *connect.Schema
	planned bool  // last is set
	lost    int64 // fields that forgotten plans have dropped

	scratch *pages.Scratch // nil: tables and encodings that go through Arrow
	ways    pages.Ways
	stage   *columns.Columns
	split   *partitioner     // nil: unpartitioned
	lanes   map[string]*lane // by partition key; "" if unpartitioned
	keys    []*lane          // of staged rows, while they are divided
	rows    int64            // since the last Seal

	sealed  []sealed  // complete files since the last Seal
	dropped []*upload // uploads to be discarded with them
	uuid    string
	files   int // number of files ever begun, part of file names

	failed     atomic.Pointer[error] // set by uploads too
	background sync.WaitGroup        // goroutines of Abort
}

const (
	stageRows  = 20_000  // rows encoded at a time: about a page per column
	stageBytes = 8 << 20 // or bytes of them
	checkRows  = 16      // how often bytes are counted
	maxPlans   = 64      // record schemas remembered
)

// NewWriter makes a Writer. It does no I/O. It refuses tables with columns, partition
// transforms or properties that this build cannot obey, naming them.
func NewWriter(cfg Config) (*Writer, error) {
	s, err := parseSettings(cfg.Properties)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, settings: s, budget: cfg.Budget, logger: cfg.Logger, uuid: uuid.NewString()}
	if w.budget == nil {
		w.budget = NewBudget(DefaultBudgetBytes, nil)
	}
	if w.logger == nil {
		w.logger = slog.Default()
	}
	w.groupBytes = min(s.groupBytes, w.budget.limit/4)
	w.plans, w.lanes = make(map[*connect.Schema]*columns.Plan), make(map[string]*lane)
	if w.stage, err = columns.New(cfg.Schema); err != nil {
		return nil, err
	}
	if !s.fast && pages.Supports(w.stage.ArrowSchema()) {
		if w.scratch, err = w.budget.scratch(s.codec, s.level); err != nil {
			return nil, err
		}
	}
	if cfg.Spec.NumFields() > 0 {
		if w.split, err = newPartitioner(cfg.Spec, cfg.Schema, w.stage); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Append adds one record's value; s is its schema, nil for a schemaless map. The
// value is copied. A [connect.DataError] blames the record, which is then not in the
// table's files in any part; any other error ends the Writer until Abort.
func (w *Writer) Append(s *connect.Schema, v connect.Value) error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	if !w.planned || s != w.lastFor {
		if err := w.plan(s); err != nil {
			return err
		}
	}
	if err := w.last.Append(w.stage, v); err != nil {
		return err
	}
	w.rows++
	if n := w.stage.Len(); n >= stageRows || n%checkRows == 0 && w.stage.Bytes() >= stageBytes {
		return w.flush()
	}
	return nil
}

// Fits tells whether Append would take a record. It adds nothing.
func (w *Writer) Fits(s *connect.Schema, v connect.Value) bool {
	if !w.planned || s != w.lastFor {
		if w.plan(s) != nil {
			return false
		}
	}
	return w.last.Fits(w.stage, v)
}

// plan finds or compiles the plan of a record schema.
func (w *Writer) plan(s *connect.Schema) error {
	p, ok := w.plans[s]
	if !ok {
		var err error
		if p, err = columns.Compile(s, w.cfg.Schema, w.cfg.Columns); err != nil {
			return err
		}
		if len(w.plans) >= maxPlans {
			w.lost = w.Dropped()
			clear(w.plans)
		}
		w.plans[s] = p
	}
	w.last, w.lastFor, w.planned = p, s, true
	return nil
}

// Rows is the number of rows appended since the last Seal or Abort.
func (w *Writer) Rows() int64 { return w.rows }

// Bytes is about the size of the files since the last Seal or Abort, without the rows that
// are not encoded yet.
func (w *Writer) Bytes() int64 {
	n := int64(0)
	for _, f := range w.sealed {
		n += f.file.FileSizeBytes()
	}
	for _, l := range w.lanes {
		if l.enc != nil {
			n += l.enc.written()
		}
	}
	return n
}

// Dropped counts the record fields, ever, for which the table has no column.
func (w *Writer) Dropped() int64 {
	n := w.lost
	for _, p := range w.plans {
		n += p.Dropped()
	}
	return n
}

// Full is the Budget's: storage is slower than the rows come.
func (w *Writer) Full() bool { return w.budget.Full() }

// Err is the failure that ended the Writer, if any, uploads included.
func (w *Writer) Err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the writer; the first error stays.
func (w *Writer) fail(err error) { w.failed.CompareAndSwap(nil, &err) }

// flush encodes the stage.
func (w *Writer) flush() error {
	if w.stage.Len() == 0 {
		return w.Err()
	}
	var err error
	if w.split == nil {
		err = w.lane("", nil).encode(w.stage)
	} else {
		err = w.divide()
	}
	if err != nil {
		w.fail(err)
	}
	w.budget.relieve()
	return w.Err()
}

// divide moves staged rows to their partitions' lanes.
func (w *Writer) divide() error {
	var l *lane
	var last []byte
	single := true
	w.keys = w.keys[:0]
	for i := range w.stage.Len() {
		key := w.split.keyOfRow(i)
		if l == nil || string(key) != string(last) {
			single = l == nil
			var known bool
			if l, known = w.lanes[string(key)]; !known {
				values, err := w.split.values(i)
				if err != nil {
					return fmt.Errorf("compute partition values: %w", err)
				}
				l = w.lane(string(key), values)
			}
			last = append(last[:0], key...)
		}
		w.keys = append(w.keys, l)
	}
	if single && (l.rows == nil || l.rows.Len() == 0) {
		return l.encode(w.stage)
	}
	for i, l := range w.keys {
		if l.rows == nil {
			l.rows = w.stage.Fresh()
		}
		l.rows.AppendRow(w.stage, i)
	}
	w.stage.Reset()
	return w.settle()
}

// settle encodes lanes that have gathered enough and brings the budget up to date.
func (w *Writer) settle() error {
	for i, l := range w.keys {
		if i > 0 && l == w.keys[i-1] {
			continue
		}
		if l.rows == nil || l.rows.Len() < stageRows && l.rows.Bytes() < stageBytes {
			l.account()
			continue
		}
		if err := l.encode(l.rows); err != nil {
			return err
		}
	}
	return nil
}

// lane finds or makes the lane of a partition.
func (w *Writer) lane(key string, values map[int]any) *lane {
	l, ok := w.lanes[key]
	if !ok {
		l = &lane{w: w, values: values}
		w.lanes[key] = l
	}
	return l
}

func (w *Writer) nextPath() string {
	w.files++
	return w.cfg.Location(fmt.Sprintf("00000-%d-%s-%05d.parquet", w.cfg.Task, w.uuid, w.files))
}

func (w *Writer) startUpload(path string) *upload {
	return startUpload(w.cfg.IO, path, w.budget, w.fail)
}

// Seal closes every open file and hands over all files since the last Seal. All
// rows are encoded; uploads go on. The Writer goes on with new files. After a
// failure the Pending's Wait returns it, and the files can only be discarded.
func (w *Writer) Seal() *Pending {
	err := w.flush()
	for _, l := range w.lanes {
		if err == nil && l.rows != nil {
			err = l.encode(l.rows)
		}
		if err == nil {
			err = l.close()
		}
	}
	if err != nil {
		w.fail(err)
	}
	p := &Pending{rows: w.rows, err: w.Err(), logger: w.logger}
	p.files, p.dropped = w.reset()
	return p
}

// Abort drops everything since the last Seal, and clears a failure. It does not
// wait: uploads are stopped and files deleted in the background, see Drain. What an
// earlier Seal handed over is not touched.
func (w *Writer) Abort() {
	files, uploads := w.reset()
	for _, f := range files {
		uploads = append(uploads, f.upload)
	}
	for _, u := range uploads {
		u.drop()
	}
	w.background.Go(func() { discard(context.Background(), uploads, w.logger) })
	w.failed.Store(nil)
}

// reset forgets all rows and files since the last Seal and returns the files, and
// the uploads of files that are not complete.
func (w *Writer) reset() ([]sealed, []*upload) {
	for _, l := range w.lanes {
		l.drop()
	}
	clear(w.lanes)
	w.stage.Reset()
	files, dropped := w.sealed, w.dropped
	w.sealed, w.dropped, w.rows, w.keys = nil, nil, 0, w.keys[:0]
	return files, dropped
}

// Drain waits until what Abort has left to the background is done.
func (w *Writer) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.background.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the removal of dropped data files: %w", ctx.Err())
	}
}
