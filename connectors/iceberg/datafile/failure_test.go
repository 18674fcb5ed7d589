package datafile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

// quiet keeps expected warnings out of the test log.
var quiet = slog.New(slog.DiscardHandler)

// TestStorageFailure fails each call to storage in turn, and sees that the failure is
// told once and clearly, that nothing is left, and that the writer can go on.
func TestStorageFailure(t *testing.T) {
	for _, verb := range []string{"create", "write", "close"} {
		for nth := 1; ; nth++ {
			io := newMemIO()
			calls := 0
			io.fault = func(call string) error {
				if call == verb {
					if calls++; calls == nth {
						return errDiskFull
					}
				}
				return nil
			}
			if done := failOnce(t, io, fmt.Sprintf("%s %d", verb, nth)); done {
				if nth == 1 {
					t.Errorf("no call of %s was made", verb)
				}
				break
			}
		}
	}
}

// failOnce runs two cycles; it returns true if the first did not fail.
func failOnce(t *testing.T, io *memIO, name string) bool {
	t.Helper()
	cfg := config(io, pairSchema)
	cfg.Logger = quiet
	cfg.Properties[propTargetBytes], cfg.Properties[propPageBytes] = "100000", "50000" // some files
	w := mustWriter(t, cfg)
	var refused error
	for i := range 4 * stageRows {
		if refused = w.Append(pairRecord, pair(i, str(i))); refused != nil {
			break
		}
	}
	p := w.Seal()
	_, err := p.Wait(t.Context())
	if err == nil && refused == nil {
		return true
	}
	if !errors.Is(err, errDiskFull) || !strings.Contains(err.Error(), "data file mem://t/data/00000-0-") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: got %v, want one line that names the file and the cause", name, err)
	}
	if _, ok := errors.AsType[*connect.DataError](err); ok {
		t.Errorf("%s: %v blames a record", name, err)
	}
	p.Discard(t.Context())
	w.Abort() // clears the failure
	if err := w.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := io.paths(); len(got) != 0 || io.openWriters() != 0 {
		t.Errorf("%s: left %v and %d open writers", name, got, io.openWriters())
	}
	if used := w.budget.Used(); used != 0 {
		t.Errorf("%s: the budget holds %d bytes", name, used)
	}
	appendPairs(t, w, 0, 10)
	if files := seal(t, w, io); len(files) != 1 || files[0].Count() != 10 {
		t.Errorf("%s: the next cycle has %d files", name, len(files))
	}
	return false
}

func TestPoisoned(t *testing.T) {
	io := newMemIO()
	io.fault = func(call string) error {
		if call == "create" {
			return errDiskFull
		}
		return nil
	}
	cfg := config(io, pairSchema)
	cfg.Logger = quiet
	cfg.Properties[propTargetBytes], cfg.Properties[propPageBytes] = "1", "1000"
	w := mustWriter(t, cfg)
	appendPairs(t, w, 0, stageRows-1)
	if err := w.Append(pairRecord, pair(0, "s")); err == nil { // begins a file, whose upload fails now or later
		<-w.sealed[0].upload.done
	}
	if err := w.Append(pairRecord, pair(1, "s")); !errors.Is(err, errDiskFull) {
		t.Errorf("Append after a failed upload: got %v, want the failure", err)
	}
	if err := w.Err(); !errors.Is(err, errDiskFull) {
		t.Errorf("Err: got %v, want the failure", err)
	}
	p := w.Seal()
	if files, err := p.Wait(t.Context()); !errors.Is(err, errDiskFull) || files != nil {
		t.Errorf("Wait: got %d files, %v; want the failure", len(files), err)
	}
	p.Discard(t.Context())
}

func TestAbort(t *testing.T) {
	io := newMemIO()
	cfg := config(io, pairSchema)
	cfg.Logger = quiet
	w := mustWriter(t, cfg)
	appendPairs(t, w, 0, 100)
	kept := seal(t, w, io)
	cfg.Properties[propTargetBytes], cfg.Properties[propPageBytes] = "1000", "1000"
	w2 := mustWriter(t, cfg)
	appendPairs(t, w2, 0, 2*stageRows+5) // complete files and a stage
	w2.Abort()
	if err := w2.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := io.paths(); len(got) != 1 || got[0] != kept[0].FilePath() {
		t.Errorf("storage holds %v, want only the sealed file", got)
	}
	if w2.Rows() != 0 || w2.budget.Used() != 0 {
		t.Errorf("%d rows and %d bytes left", w2.Rows(), w2.budget.Used())
	}
}

// TestAbortStopsUploads sees that an upload which hangs in storage is cut.
func TestAbortStopsUploads(t *testing.T) {
	io := newMemIO()
	io.gate = make(chan struct{}) // no write ever returns by itself
	cfg := config(io, pairSchema)
	cfg.Logger = quiet
	w := mustWriter(t, cfg)
	appendPairs(t, w, 0, 1000)
	p := w.Seal()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: got %v, want the context's error", err)
	}
	p.Discard(t.Context())
	if io.openWriters() != 0 || len(io.paths()) != 0 {
		t.Errorf("%d writers open, files %v", io.openWriters(), io.paths())
	}
}

// TestFull sees that a slow storage shows, that appending goes on, and that room is
// told.
func TestFull(t *testing.T) {
	io := newMemIO()
	io.gate = make(chan struct{})
	woken := make(chan struct{}, 100)
	cfg := config(io, pairSchema)
	cfg.Logger = quiet
	cfg.Properties[propCodec], cfg.Properties[propGroupBytes] = "uncompressed", "65536"
	cfg.Budget = NewBudget(1<<20, func() { woken <- struct{}{} })
	w := mustWriter(t, cfg)
	if w.Full() {
		t.Error("full at the start")
	}
	rows := 0
	for ; !w.Full() && rows < 1_000_000; rows++ {
		appendPairs(t, w, rows, rows+1)
	}
	if !w.Full() {
		t.Fatal("never full, though storage takes nothing")
	}
	close(io.gate)
	<-woken
	files := seal(t, w, io)
	total := 0
	for _, f := range files {
		total += int(f.Count())
	}
	if total != rows {
		t.Errorf("%d rows in the files, want %d", total, rows)
	}
}

// TestRefusedRecord sees that a bad record leaves the writer as it was.
func TestRefusedRecord(t *testing.T) {
	io := newMemIO()
	w := mustWriter(t, config(io, pairSchema))
	bad := connect.StructValue([]connect.Value{connect.IntValue(1), connect.BytesValue([]byte("x"))})
	for i := range 100 {
		if i%3 == 0 {
			err := w.Append(pairRecord, bad)
			if _, ok := errors.AsType[*connect.DataError](err); !ok {
				t.Fatalf("got %v, want a DataError", err)
			}
		}
		appendPairs(t, w, i, i+1)
	}
	files := seal(t, w, io)
	if w.Err() != nil || len(files) != 1 || files[0].Count() != 100 {
		t.Errorf("got %d files, %v; want 100 rows in one", len(files), w.Err())
	}
}

func TestRolling(t *testing.T) {
	io := newMemIO()
	cfg := config(io, pairSchema)
	cfg.Properties[propTargetBytes], cfg.Properties[propPageBytes] = "150000", "50000"
	cfg.Task = 3
	w := mustWriter(t, cfg)
	const n = 10*stageRows + 1
	appendPairs(t, w, 0, n)
	files := seal(t, w, io)
	if len(files) < 3 {
		t.Fatalf("%d files, want some", len(files))
	}
	next := int64(0)
	for i, f := range files {
		if last := i == len(files)-1; !last && (f.FileSizeBytes() < 150_000 || f.FileSizeBytes() > 400_000) {
			t.Errorf("file %d has %d bytes, want about 150,000", i, f.FileSizeBytes())
		}
		if want := fmt.Sprintf("mem://t/data/00000-3-%s-%05d.parquet", w.uuid, i+1); f.FilePath() != want {
			t.Errorf("file %d is %s, want %s", i, f.FilePath(), want)
		}
		for _, id := range longs(t, io.content(f.FilePath()), 0) {
			if id != next {
				t.Fatalf("file %d: got row %d, want %d", i, id, next)
			}
			next++
		}
	}
	if next != n {
		t.Errorf("%d rows, want %d", next, n)
	}
}

func TestSettings(t *testing.T) {
	for _, props := range []map[string]string{
		{propFormat: "orc"}, {propTargetBytes: "0"}, {propTargetBytes: "many"}, {propCodec: "lzo"}, {propLevel: "high"}, {propEncodings: "best"},
	} {
		cfg := config(newMemIO(), pairSchema)
		cfg.Properties = props
		_, err := NewWriter(cfg)
		for key := range props {
			if err == nil || !strings.Contains(err.Error(), key) {
				t.Errorf("%v: got %v, want an error that names the property", props, err)
			}
		}
	}
}

func TestRemoveFails(t *testing.T) {
	io := newMemIO()
	var log strings.Builder
	cfg := config(io, pairSchema)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w := mustWriter(t, cfg)
	appendPairs(t, w, 0, 10)
	p := w.Seal()
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	io.fault = func(string) error { return fs.ErrPermission }
	p.Discard(t.Context())
	if !strings.Contains(log.String(), "removal of orphans") || !strings.Contains(log.String(), "mem://t/data/") {
		t.Errorf("log is %q, want the path of the orphan", log.String())
	}
}
