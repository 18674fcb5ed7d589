package cli

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/mattn/go-isatty"
)

// A screen is standard error. On a terminal it can hold one line at the bottom
// that is redrawn in place; what is written meanwhile goes above it.
type screen struct {
	terminal bool
	colour   bool

	mu   sync.Mutex // guards w and line: logs and progress come from many goroutines
	w    io.Writer
	line string // drawn without a newline; "" for none
}

func newScreen(f *os.File) *screen {
	terminal := isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
	return &screen{terminal: terminal, colour: terminal && os.Getenv("NO_COLOR") == "", w: f}
}

const eraseLine = "\r\x1b[K"

// Write puts whole lines above the line at the bottom.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.w.Write(p)
	}
	text := eraseLine + string(p)
	if strings.HasSuffix(text, "\n") {
		text += s.line
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// setLine redraws the line at the bottom; "" removes it.
func (s *screen) setLine(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = text
	_, _ = io.WriteString(s.w, eraseLine+text) // a terminal that is gone needs no progress
}

// above makes a writer for w whose output does not run into the line at the
// bottom, for the case that w is the same terminal.
func (s *screen) above(w io.Writer) io.Writer {
	if !s.terminal {
		return w
	}
	return writerFunc(func(p []byte) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.line == "" {
			return w.Write(p)
		}
		_, _ = io.WriteString(s.w, eraseLine)
		n, err := w.Write(p)
		_, _ = io.WriteString(s.w, s.line)
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// logger writes text to the screen, with the level in colour on a terminal.
func (s *screen) logger(level slog.Level) *slog.Logger {
	return slog.New(newTextHandler(s, level, s.colour))
}

func newTextHandler(w io.Writer, level slog.Level, colour bool) slog.Handler {
	if !colour {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.NewTextHandler(colourWriter{w}, &slog.HandlerOptions{Level: level})
}

// colourWriter colours the level of a line that slog's text handler wrote.
type colourWriter struct{ w io.Writer }

var colours = strings.NewReplacer(
	" level=WARN ", " \x1b[33mlevel=WARN\x1b[0m ",
	" level=ERROR ", " \x1b[31mlevel=ERROR\x1b[0m ",
	" level=DEBUG ", " \x1b[2mlevel=DEBUG\x1b[0m ",
)

func (c colourWriter) Write(p []byte) (int, error) {
	head, tail, ok := strings.Cut(string(p), " msg=")
	if ok {
		head, tail = colours.Replace(head+" "), "msg="+tail
	}
	if _, err := io.WriteString(c.w, head+tail); err != nil {
		return 0, err
	}
	return len(p), nil
}
