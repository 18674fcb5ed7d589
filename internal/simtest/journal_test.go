package simtest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A journal is what is known of a run: the harm done, line by line, and the workers' own
// logs. It is told only when the seed has failed.
type journal struct {
	start time.Time

	mu    sync.Mutex // guards what follows
	story []string
	logs  bytes.Buffer
}

func newJournal() *journal { return &journal{} }

// note adds a line to the story, and to the logs for their order.
func (j *journal) note(format string, args ...any) {
	line := fmt.Sprintf("%8.3fs ", time.Since(j.start).Seconds()) + fmt.Sprintf(format, args...)
	j.mu.Lock()
	j.story = append(j.story, line)
	j.mu.Unlock()
	j.Write([]byte("STORY " + line + "\n")) //nolint:errcheck // a journal takes everything
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if *simSeed != 0 {
		return os.Stderr.Write(p)
	}
	return j.logs.Write(p)
}

func (j *journal) logger(name string) *slog.Logger {
	level := slog.LevelInfo
	if *simSeed != 0 {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(io.Writer(j), &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.String("at", fmt.Sprintf("%.3fs", a.Value.Time().Sub(j.start).Seconds()))
		}
		return a
	}})).With("worker", name)
}

func (j *journal) tell(t *testing.T, seed uint64) {
	if !t.Failed() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.story {
		t.Log(line)
	}
	if j.logs.Len() > 0 {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("firn-sim-%d.log", seed))
		if err := os.WriteFile(path, j.logs.Bytes(), 0o600); err == nil {
			t.Log("logs of the workers: " + path)
		}
	}
	t.Logf("again (likely, not surely, the same): go test ./internal/simtest -run Simulation -sim.seed %d", seed)
}
