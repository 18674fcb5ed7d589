package jvm

import (
	"maps"
	"slices"
	"testing"
)

func TestSystemProperty(t *testing.T) {
	for opts, want := range map[string]string{
		"": "",
		"-Xmx2g -Djava.security.auth.login.config=/etc/jaas.conf -Dx=y":               "/etc/jaas.conf",
		`-Djava.security.auth.login.config=a  -Djava.security.auth.login.config=="b"`: "b",
		"-Djava.security.auth.login.configs=/etc/jaas.conf":                           "",
	} {
		if got := SystemProperty(opts, LoginConfig); got != want {
			t.Errorf("of %q: got %q, want %q", opts, got, want)
		}
	}
}

func TestParseJAAS(t *testing.T) {
	got, err := ParseJAAS("// clients\nKafkaClient{a.B required user=\"x;}\" n=1;\nc.D OPTIONAL;};/* and */ Other{};")
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(got)), []string{"KafkaClient", "Other"}) {
		t.Fatalf("got %v, %v", got, err)
	}
	client := got["KafkaClient"]
	if len(client) != 2 || client[0].Class != "a.B" || client[1].Class != "c.D" || !maps.Equal(client[0].Options, map[string]string{"user": "x;}", "n": "1"}) {
		t.Errorf("got %v", client)
	}
	for text, want := range map[string]string{
		"A{b required;}; A{};":          "entry A is there twice",
		"A{b needed;};":                 "want required after b",
		`A{b required "s3cret" "x"; };`: "want = before a quoted text",
		"A{b required c=d":              "want a word before the end",
		"/* A":                          "a comment is not closed",
		`A{b required c="`:              "a quote is not closed",
	} {
		if _, err := ParseJAAS(text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
