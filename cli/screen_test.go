package cli

import (
	"log/slog"
	"strings"
	"testing"
)

func TestScreenKeepsTheLineAtTheBottom(t *testing.T) {
	var out strings.Builder
	s := &screen{terminal: true, w: &out}
	s.setLine("50 %")
	if _, err := s.Write([]byte("a log line\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.above(&out).Write([]byte("a result\n")); err != nil {
		t.Fatal(err)
	}
	s.setLine("")
	if _, err := s.Write([]byte("the end\n")); err != nil {
		t.Fatal(err)
	}
	want := eraseLine + "50 %" +
		eraseLine + "a log line\n50 %" +
		eraseLine + "a result\n50 %" +
		eraseLine + "the end\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestColoursOnlyOnATerminal(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var out strings.Builder
		slog.New(newTextHandler(&out, slog.LevelInfo, colour)).Warn("disk full", "text", "a level=WARN b")
		if got := strings.Count(out.String(), "\x1b[33m"); got != map[bool]int{true: 1}[colour] {
			t.Errorf("colour %v: %d colour codes in %q", colour, got, out.String())
		}
		if !strings.HasSuffix(out.String(), "msg=\"disk full\" text=\"a level=WARN b\"\n") {
			t.Errorf("colour %v: the message changed: %q", colour, out.String())
		}
	}
}
