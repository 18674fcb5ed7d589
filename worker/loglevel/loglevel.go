// Package loglevel changes the log levels of parts of this process while it runs, as
// /admin/loggers of Kafka Connect does (org.apache.kafka.connect.runtime.Loggers).
//
// A part is a logger with a dotted name, which is found from the package whose code logs:
// nothing has to name itself, and a plugin from elsewhere has a name too. A level holds for
// a name and for those below it, until they get their own; a new level is given to every
// logger whose name begins with the text, as in Java. What is not enabled for any logger
// costs one comparison. All methods may be called from any goroutine.
package loglevel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Root is the name of the logger above all others.
const Root = "root"

// levels are log4j's, in slog's numbers.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"ALL", math.MinInt},
	{"TRACE", slog.LevelDebug - 4},
	{"DEBUG", slog.LevelDebug},
	{"INFO", slog.LevelInfo},
	{"WARN", slog.LevelWarn},
	{"ERROR", slog.LevelError},
	{"FATAL", slog.LevelError + 4},
	{"OFF", math.MaxInt},
}

// Parse reads the name of a level, in any case; ok is false if there is none of this name.
func Parse(name string) (level slog.Level, ok bool) {
	for _, l := range levels {
		if strings.EqualFold(l.name, name) {
			return l.level, true
		}
	}
	return 0, false
}

func nameOf(level slog.Level) string {
	name := levels[0].name
	for _, l := range levels {
		if level >= l.level {
			name = l.name
		}
	}
	return name
}

// A Name is the logger of a package and of those below it, which have names below it.
type Name struct {
	Package string // import path
	Logger  string
}

// A Level is what a logger has.
type Level struct {
	Name     string    // DEBUG, INFO …
	Modified time.Time // zero: never since the start
}

// Levels are the levels of all loggers.
type Levels struct {
	names []Name

	mu      sync.Mutex // guards writing: readers take table alone
	table   atomic.Pointer[table]
	changed map[string]time.Time
}

// A table is never changed once it is in use.
type table struct {
	levels         map[string]slog.Level // by logger; Root is always there
	known          map[string]bool       // loggers that show, with or without a level of their own
	least, highest slog.Level
}

// New begins with one level for all. The names tell what the loggers of packages are
// called; the most precise one counts, and a package without one is called by its import
// path, with dots.
func New(root slog.Level, names []Name) *Levels {
	l := &Levels{names: slices.Clone(names), changed: map[string]time.Time{}}
	slices.SortFunc(l.names, func(a, b Name) int { return len(b.Package) - len(a.Package) })
	t := &table{levels: map[string]slog.Level{Root: root}, known: map[string]bool{Root: true}, least: root, highest: root}
	for _, n := range names {
		t.known[n.Logger] = true
	}
	l.table.Store(t)
	return l
}

// All returns the level of each logger that is known.
func (l *Levels) All() map[string]Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]Level{}
	t := l.table.Load()
	for name := range t.known {
		out[name] = Level{nameOf(t.of(name)), l.changed[name]}
	}
	return out
}

// Of returns the level of a logger; ok is false if it is not known.
func (l *Levels) Of(logger string) (level Level, ok bool) {
	if strings.EqualFold(logger, Root) {
		logger = Root
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.table.Load()
	return Level{nameOf(t.of(logger)), l.changed[logger]}, t.known[logger]
}

// Bounds of what can be asked for.
const (
	maxName    = 256
	maxLoggers = 1000
)

// Set gives a level to a logger, which is made if there is none, and to all whose names
// begin with its name; Root is all. It returns the names of those whose level is another
// now, sorted.
func (l *Levels) Set(namespace string, level slog.Level) ([]string, error) {
	if strings.EqualFold(namespace, Root) {
		namespace = Root
	}
	if len(namespace) > maxName {
		return nil, fmt.Errorf("the name of the logger is longer than %d bytes", maxName)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.table.Load()
	if !old.known[namespace] && len(old.known) >= maxLoggers {
		return nil, errors.New("there are too many loggers; set those of the parts that there are")
	}
	next := &table{levels: maps.Clone(old.levels), known: maps.Clone(old.known), least: level, highest: level}
	next.known[namespace] = true
	changed := []string{}
	for name := range next.known {
		if namespace != Root && !strings.HasPrefix(name, namespace) {
			continue
		}
		if !old.known[name] || old.of(name) != level {
			changed = append(changed, name)
			l.changed[name] = time.Now()
		}
		next.levels[name] = level
	}
	for _, each := range next.levels {
		next.least, next.highest = min(next.least, each), max(next.highest, each)
	}
	l.table.Store(next)
	slices.Sort(changed)
	return changed, nil
}

// of is the level of a logger: its own, or that of the nearest one above it.
func (t *table) of(logger string) slog.Level {
	for {
		if level, ok := t.levels[logger]; ok {
			return level
		}
		at := strings.LastIndexByte(logger, '.')
		if at < 0 {
			return t.levels[Root]
		}
		logger = logger[:at]
	}
}

// logger is the name of the logger of a package.
func (l *Levels) logger(pkg string) string {
	for _, n := range l.names {
		if below, ok := strings.CutPrefix(pkg, n.Package); ok && (below == "" || below[0] == '/') {
			return n.Logger + strings.ReplaceAll(below, "/", ".")
		}
	}
	return strings.ReplaceAll(pkg, "/", ".")
}

// packageOf is the import path of the code at pc, "" if it is not known.
func packageOf(pc uintptr) string {
	f := runtime.FuncForPC(pc - 1) // a record has the address after the call
	if f == nil {
		return ""
	}
	name := f.Name() // github.com/firn-io/firn/rest.(*Server).fail
	slash := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[slash:], '.'); dot >= 0 {
		name = name[:slash+dot]
	}
	return name
}

// Handler passes on to next what the levels let through; next should refuse nothing.
func (l *Levels) Handler(next slog.Handler) slog.Handler { return handler{l, next} }

type handler struct {
	levels *Levels
	next   slog.Handler
}

func (h handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.levels.table.Load().least
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	t := h.levels.table.Load()
	if r.Level < t.highest && r.Level < t.of(h.levels.logger(packageOf(r.PC))) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.levels, h.next.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.levels, h.next.WithGroup(name)}
}
