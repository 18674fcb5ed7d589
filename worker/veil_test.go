package worker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestVeil(t *testing.T) {
	v := newVeil(map[string]string{"${f:p:long}": "pa ss/w\"rd\n", "${f:p:short}": "abc"})
	for in, want := range map[string]string{
		"the pa ss/w\"rd\n!":               "the ${f:p:long}!",
		"trimmed pa ss/w\"rd.":             "trimmed ${f:p:long}.",
		"https://me:pa+ss%2Fw%22rd%0A@h":   "https://me:${f:p:long}@h",
		fmt.Sprintf("%q", "pa ss/w\"rd\n"): `"${f:p:long}"`,
		"abcdef":                           "abcdef", // too short to be looked for
	} {
		if got := v.text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	plain := errors.New("nothing")
	if !errors.Is(v.err(plain), plain) || v.err(nil) != nil || (*veil)(nil).text("x") != "x" {
		t.Error("what says nothing is changed")
	}
	var log bytes.Buffer
	l := v.logger(slog.New(slog.NewTextHandler(&log, nil)))
	l.With("a", "pa ss/w\"rd\n").WithGroup("g").Info("m pa ss/w\"rd", "e", errors.New("with pa ss/w\"rd"), slog.Group("in", "k", "pa ss/w\"rd"), "n", 7)
	if got := log.String(); strings.Contains(got, "pa ss") || strings.Count(got, "${f:p:long}") != 4 || !strings.Contains(got, "g.n=7") {
		t.Errorf("logged %s", got)
	}
}
