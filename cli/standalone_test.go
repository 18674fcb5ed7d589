package cli

import (
	"flag"
	"maps"
	"slices"
	"testing"
)

func TestParseConnector(t *testing.T) {
	want := map[string]string{"name": "a", "topics": "t", "tasks.max": "2", "x": "true"}
	for _, text := range []string{
		`{"name":"a","config":{"topics":"t","tasks.max":2,"x":true}}`,
		`{"name":"a","config":{"name":"a","topics":"t","tasks.max":"2","x":"true"}}`,
		`{"name":"a","topics":"t","tasks.max":2,"x":true}`,
	} {
		if got, err := parseConnector([]byte(text)); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{``, `[]`, `null1`, `{"name":"a","config":{"name":"b"}}`, `{"name":"a","config":{"x":{}}}`, `{"x":null}`} {
		if got, err := parseConnector([]byte(text)); err == nil {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}

func FuzzParseConnector(f *testing.F) {
	f.Add([]byte(`{"name":"a","config":{"topics":"t","tasks.max":2}}`))
	f.Add([]byte(`{"name":"a","topics":null}`))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseConnector(text) })
}

func TestFlagsAnywhere(t *testing.T) {
	for _, args := range [][]string{{"--exit", "a", "b"}, {"a", "--exit", "b"}, {"a", "b", "--exit"}} {
		flags := flag.NewFlagSet("x", flag.ContinueOnError)
		exit := flags.Bool("exit", false, "")
		rest, err := parse(flags, args)
		if err != nil || !*exit || !slices.Equal(rest, []string{"a", "b"}) {
			t.Errorf("%q: got %q, exit %v, %v", args, rest, *exit, err)
		}
	}
}
