package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"firn": main})
}

// TestExamples runs examples/NAME/run.txtar with this binary as the command firn:
// the examples are documents that are executed. The example's configs are in the
// script's directory.
func TestExamples(t *testing.T) {
	scripts, err := filepath.Glob("examples/*/run.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, script := range scripts {
		dir := filepath.Dir(script)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Cmds:                commands,
				Setup: func(env *testscript.Env) error {
					return errors.Join(copyFiles(dir, "*.properties", env.WorkDir), copyFiles(dir, "*.json", env.WorkDir))
				},
			})
		})
	}
}

func copyFiles(dir, pattern, to string) error {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	for _, name := range names {
		data, readErr := os.ReadFile(name)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o644))
	}
	return err
}

const module = "github.com/firn-io/firn"

// arrows are the imports that must not be, even through others, and why. A path
// ending in /... means a package and everything below it.
var arrows = []struct{ from, to, except, reason string }{
	{"connect/...", "internal/...", "", "a plugin's author must be able to use the contract without the product"},
	{"connect", "connect/transforms", "", "the contract knows no plugin"},
	{"connect/...", "worker/...", "", "the contract knows neither side of it"},
	{"connect/...", "converters/...", "", "the contract knows no plugin"},
	{"connect/...", "connectors/...", "", "the contract knows no plugin"},
	{"converters/...", "worker/...", "", "a converter stands on connect alone, as a user's own would"},
	{"converters/...", "internal/...", "", "a converter stands on connect alone, as a user's own would"},
	{"converters/...", "connectors/...", "", "converters and connectors meet in records only"},
	{"connectors/...", "worker/...", "", "a connector sees the worker through connect.TaskContext"},
	{"connectors/...", "converters/...", "", "converters and connectors meet in records only"},
	{"connectors/...", "rest/...", "", "a connector sees the worker through connect.TaskContext"},
	{"worker/...", "connectors/...", "", "the worker gets its plugins as a table"},
	{"worker/...", "converters/...", "", "the worker gets its plugins as a table"},
	{"worker/...", "connect/transforms", "", "the worker gets its plugins as a table"},
	{"worker/...", "rest/...", "", "rest declares the Herder interface that it calls; cli joins the two"},
	{"rest/...", "worker/...", "", "rest declares the Herder interface that it calls; cli joins the two"},
	{"internal/...", "connectors/...", "internal/realtest/... internal/simtest/...", "internal is what the others stand on"},
	{"internal/...", "worker/...", "internal/realtest/... internal/simtest/...", "internal is what the others stand on"},
	{"worker", "worker/local/...", "", "the local stack is a mode of the command, not a part of the worker"},
	{"connectors/iceberg/verify", "connectors/iceberg/datafile/... connectors/iceberg/pages/... connectors/iceberg/columns/... connectors/iceberg/commit/... connectors/iceberg/route/...", "", "the proof shares no code with what it proves"},
}

// externals are the modules that only some packages may import directly, so that
// their types, and the faults they are known for, stay behind one seam.
var externals = []struct{ module, only, reason string }{
	{"github.com/IBM/sarama", "internal/kafka/...", "sarama's types do not leave internal/kafka"},
	{"github.com/jcmturner/gokrb5/v8", "internal/krb5 internal/kafka", "its loaders panic, its errors show keys: krb5 looks first"},
	{"github.com/riferrei/srclient", "converters/registry/...", "no context, no retry, one URL: it stands behind registry.Client"},
	{"github.com/apache/arrow-go/v18", "connectors/iceberg/... cli/demo bench/...", "the rest of the program moves rows, not columns"},
	{"github.com/apache/iceberg-go", "connectors/iceberg/... cli/demo bench/...", "tables are the sink's business; the demo and the benchmark read them back"},
	{"github.com/twmb/franz-go/pkg/kfake", "worker/local/... bench/...", "the embedded broker belongs to the local stack and to measurements"},
	{"software.sslmate.com/src/go-pkcs12", "internal/javatls", "it does as many iterations as a file says: javatls looks first"},
	{"modernc.org/sqlite", "connectors/iceberg/catalog/...", "one driver, registered in one place"},
	{"github.com/xitongsys/parquet-go", "connectors/iceberg/verify internal/realtest/... bench/...", "it is the independent second reader, never on the write path"},
}

type pkg struct {
	ImportPath, Doc string
	Imports, Deps   []string
	Standard        bool
}

// packages lists this module's packages without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports,Deps", "./...").Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// matches tells whether path is one of the space-separated patterns.
func matches(path, patterns string) bool {
	for p := range strings.FieldsSeq(patterns) {
		base, below := strings.CutSuffix(p, "/...")
		if path == base || (below && strings.HasPrefix(path, base+"/")) {
			return true
		}
	}
	return false
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

func TestImportArrows(t *testing.T) {
	for _, p := range packages(t) {
		from := short(p.ImportPath)
		for _, dep := range p.Deps {
			if !strings.HasPrefix(dep, module) {
				continue
			}
			for _, a := range arrows {
				if matches(from, a.from) && matches(short(dep), a.to) && !matches(from, a.except) {
					t.Errorf("%s must not reach %s: %s", from, short(dep), a.reason)
				}
			}
			if strings.HasSuffix(dep, "test") && !strings.HasSuffix(p.ImportPath, "test") {
				t.Errorf("%s must not reach %s: packages named *test are for tests", from, short(dep))
			}
		}
		for _, imp := range p.Imports {
			if short(imp) == "worker/local" && !matches(from, "cli bench") {
				t.Errorf("%s must not import worker/local: only the commands and the benchmark start a stack", from)
			}
			for _, e := range externals {
				if matches(imp, e.module+"/...") && !matches(from, e.only) {
					t.Errorf("%s must not import %s: %s", from, imp, e.reason)
				}
			}
		}
	}
}

// TestContractImportsNothing keeps connect free of every module: whoever writes a
// plugin pulls in nothing else.
func TestContractImportsNothing(t *testing.T) {
	for _, p := range packages(t) {
		if short(p.ImportPath) != "connect" {
			continue
		}
		for _, dep := range p.Deps {
			if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") && !strings.HasPrefix(dep, module+"/connect") {
				t.Errorf("connect reaches %s: it may use the standard library alone", dep)
			}
		}
		return
	}
	t.Fatal("no package connect")
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say what it promises", short(p.ImportPath))
		}
	}
}
