package demo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// progress draws the way from topics to tables. With Config.Line it is redrawn in
// place, else a line is printed now and then.
type progress struct {
	cfg     Config
	total   int64
	began   time.Time
	start   int64 // records that had arrived before
	printed time.Time
}

const printEvery = 2 * time.Second

func newProgress(cfg Config) *progress {
	p := &progress{cfg: cfg, start: -1}
	for _, s := range sources {
		p.total += s.rows
	}
	return p
}

func (p *progress) update(v view, now time.Time) {
	if p.start < 0 {
		p.start, p.began = v.out, now
		p.cfg.say("records in tables, rate, and records still on their way:\n")
	}
	text := p.line(v, now)
	switch {
	case p.cfg.Line != nil && v.done:
		p.cfg.Line("")
		p.cfg.say("%s\n", text)
	case p.cfg.Line != nil:
		p.cfg.Line(text)
	case v.done, now.Sub(p.printed) >= printEvery:
		p.printed = now
		p.cfg.say("%s\n", text)
	}
}

// line is the bar, the records that are in the tables, their rate since the start
// and the lag per topic: less than 80 columns, since a line that wraps cannot be
// redrawn in place.
func (p *progress) line(v view, now time.Time) string {
	rate := int64(0)
	if d := now.Sub(p.began); d > 0 {
		rate = int64(float64(v.out-p.start) / d.Seconds())
	}
	var lags []string
	for _, s := range sources {
		lags = append(lags, s.topic+" "+commas(v.lag[s.topic]))
	}
	return fmt.Sprintf("%s %s/%s  %s/s  lag %s",
		bar(v.out, p.total), commas(v.out), commas(p.total), commas(rate), strings.Join(lags, ", "))
}

func bar(part, total int64) string {
	const width = 12
	full := int(min(max(part, 0)*width/max(total, 1), width))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// commas writes 1234567 as 1,234,567.
func commas(n int64) string {
	if n < 0 {
		return "-" + commas(-n)
	}
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
