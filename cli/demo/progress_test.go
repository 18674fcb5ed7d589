package demo

import (
	"strings"
	"testing"
	"time"
)

func TestCommas(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 336776: "336,776", 1234567: "1,234,567", -45678: "-45,678"} {
		if got := commas(n); got != want {
			t.Errorf("commas(%d): got %s, want %s", n, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	var out strings.Builder
	p := newProgress(Config{Out: &out})
	began := time.Unix(0, 0)
	p.update(view{out: 1000, lag: map[string]int64{"flights": 5000}}, began)
	p.update(view{out: 2000}, began.Add(printEvery/2)) // too soon for a line
	p.update(view{out: 362_891, done: true}, began.Add(10*time.Second))
	want := "records in tables, rate, and records still on their way:\n" +
		"[............] 1,000/362,891  0/s  lag flights 5,000, weather 0\n" +
		"[############] 362,891/362,891  36,189/s  lag flights 0, weather 0\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestProgressInPlace(t *testing.T) {
	var out strings.Builder
	var lines []string
	p := newProgress(Config{Out: &out, Line: func(text string) { lines = append(lines, text) }})
	p.update(view{}, time.Unix(0, 0))
	p.update(view{out: 362_891, done: true}, time.Unix(1, 0))
	if len(lines) != 2 || lines[1] != "" || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("redrawn lines %q, printed %q; want a line, its removal, and the last one printed", lines, out.String())
	}
}
