package mutants

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	run  = flag.Bool("mutants.run", false, "compile the mutants and run the simulation on them")
	most = flag.Int("mutants.seeds", 300, "how many seeds a mutant gets to show its fault")
	calm = flag.Int("mutants.harmless", 100, "how many seeds a mutant plays of which no fault is known")
)

const (
	pkg      = "../../connectors/iceberg/commit"
	patience = 20 * time.Minute // for one mutant
)

// TestMutants runs the simulation on each mutant, or checks that the mutants can be made.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // while one is linked, another plays
			files := m.apply(t)
			if *run {
				m.play(t, files)
			}
		})
	}
}

// apply makes the mutant's sources: text by file name.
func (m *mutant) apply(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(pkg, e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s has this text %d times, not once: the mutant has to follow the code\n%s", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files
}

// play compiles the mutant and runs seeds until one ends with its fault.
func (m *mutant) play(t *testing.T, files map[string]string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	binary, seeds := m.build(ctx, t, files), *most
	if m.fault == harmless {
		seeds = *calm
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestSimulation$", "-test.v", "-sim.seeds", strconv.Itoa(seeds))
	cmd.Dir = pkg
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seed, shown, played := "", "", 0
	faults := make(map[string]string) // the first seed with each
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if at := nameLine.FindStringSubmatch(line); at != nil {
			seed = at[1]
		}
		if strings.HasPrefix(line, "=== CONT") { // a parallel test begins
			played++
		}
		if f := faultLine.FindStringSubmatch(line); f != nil && faults[f[1]] == "" {
			faults[f[1]] = seed
			if shown == "" && strings.Contains(m.fault, f[1]) {
				shown = f[1]
				cancel() // the other seeds need not be waited for
			}
		}
	}
	failed := cmd.Wait()
	switch {
	case shown != "":
		t.Logf("%s, by seed %s, one of the first %d to be played, without: %s", shown, faults[shown], played, m.guard)
	case m.fault != harmless:
		t.Errorf("no %s in %d seeds (%v, %v) without: %s", m.fault, played, faults, failed, m.guard)
	case len(faults) > 0 || failed != nil:
		t.Errorf("%v in %d seeds (%v), though none is known, without: %s", faults, played, failed, m.guard)
	default:
		t.Logf("no fault in %d seeds without: %s", played, m.guard)
	}
}

var (
	nameLine  = regexp.MustCompile(`^=== (?:NAME|RUN|CONT) +TestSimulation/(\d+)$`)
	faultLine = regexp.MustCompile(`_test\.go:\d+: ([A-Z]+): `)
)

// build compiles the simulation with the mutant's sources in place of the true ones.
func (m *mutant) build(ctx context.Context, t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for name, text := range files {
		from, err := filepath.Abs(filepath.Join(pkg, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[from] = filepath.Join(dir, name)
		if err := os.WriteFile(replace[from], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutant.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-vet=off", "-ldflags=-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-c", "-o", binary, pkg)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, text)
	}
	return binary
}
