package loglevel_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/firn-io/firn/worker/loglevel"
)

var names = []loglevel.Name{
	{Package: "github.com/firn-io/firn/worker", Logger: "org.apache.runtime"},
	{Package: "github.com/firn-io/firn/worker/sink", Logger: "org.apache.runtime.Task"},
	{Package: "github.com/firn-io/firn/rest", Logger: "org.apache.rest"},
}

func set(t *testing.T, l *loglevel.Levels, namespace, level string, want ...string) {
	t.Helper()
	n, ok := loglevel.Parse(level)
	if !ok {
		t.Fatalf("there is no level %q", level)
	}
	if got, err := l.Set(namespace, n); err != nil || !slices.Equal(got, want) {
		t.Errorf("setting %s to %s changed %q (%v), want %q", namespace, level, got, err, want)
	}
}

func TestSet(t *testing.T) {
	l := loglevel.New(slog.LevelInfo, names)
	set(t, l, "org.apache.runtime", "debug", "org.apache.runtime", "org.apache.runtime.Task")
	set(t, l, "org.apache.runtime", "DEBUG")
	set(t, l, "org.apache.r", "WARN", "org.apache.r", "org.apache.rest", "org.apache.runtime", "org.apache.runtime.Task")
	set(t, l, "org.apache.r", "WARN")
	set(t, l, "ROOT", "OFF", "org.apache.r", "org.apache.rest", "org.apache.runtime", "org.apache.runtime.Task", "root")
	set(t, l, "org.apache.rest", "TRACE", "org.apache.rest")
	for name, want := range map[string]string{"root": "OFF", "Root": "OFF", "org.apache.rest": "TRACE", "org.apache.runtime.Task": "OFF"} {
		if got, ok := l.Of(name); !ok || got.Name != want || got.Modified.IsZero() {
			t.Errorf("%s has %+v, %t; want %s and a time", name, got, ok, want)
		}
	}
	if got, ok := l.Of("org.apache"); ok {
		t.Errorf("a logger that nobody has made has %+v", got)
	}
	if all := l.All(); len(all) != 5 || all["org.apache.runtime"].Name != "OFF" {
		t.Errorf("all are %v, want 5", all)
	}
	if got, _ := loglevel.New(slog.LevelInfo, names).Of("root"); got.Name != "INFO" || !got.Modified.IsZero() {
		t.Errorf("at the start the root has %+v", got)
	}
}

func TestSetIsBounded(t *testing.T) {
	l := loglevel.New(slog.LevelInfo, nil)
	if _, err := l.Set(strings.Repeat("x", 1000), 0); err == nil {
		t.Error("a name of 1000 bytes was taken")
	}
	var err error
	for i := 0; i < 2000 && err == nil; i++ {
		_, err = l.Set(strconv.Itoa(i)+"!", 0)
	}
	if err == nil || len(l.All()) > 1000 {
		t.Errorf("%d loggers were made, %v", len(l.All()), err)
	}
	if _, err := l.Set("1!", slog.LevelDebug); err != nil {
		t.Errorf("one of them could not be changed: %v", err)
	}
}

// This package is worker/loglevel, below worker: its logger is org.apache.runtime.loglevel_test.
func TestHandler(t *testing.T) {
	var out bytes.Buffer
	l := loglevel.New(slog.LevelInfo, names)
	log := slog.New(l.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug - 100}))).With("a", 1).WithGroup("g")
	written := func() []string {
		out.Reset()
		log.Debug("debug")
		log.Info("info")
		log.Error("error")
		var levels []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			level, _, _ := strings.Cut(rest, " ")
			levels = append(levels, level)
		}
		return levels
	}
	for _, step := range []struct {
		namespace, level string
		want             []string
	}{
		{"org.apache.rest", "DEBUG", []string{"INFO", "ERROR"}},
		{"org.apache.runtime.loglevel", "DEBUG", []string{"INFO", "ERROR"}}, // another one: not below it
		{"org.apache.runtime", "DEBUG", []string{"DEBUG", "INFO", "ERROR"}},
		{"org.apache.runtime", "OFF", nil},
		{"org.apache.runtime.loglevel_test", "ERROR", []string{"ERROR"}},
		{"root", "ALL", []string{"DEBUG", "INFO", "ERROR"}},
		{"root", "WARN", []string{"ERROR"}},
	} {
		level, _ := loglevel.Parse(step.level)
		if _, err := l.Set(step.namespace, level); err != nil {
			t.Fatal(err)
		}
		if got := written(); !slices.Equal(got, step.want) {
			t.Errorf("after %s=%s %q were written, want %q", step.namespace, step.level, got, step.want)
		}
	}
}
