package javaregex

import (
	"strings"
	"testing"
)

func TestReplaceFirst(t *testing.T) {
	// Expected values follow java.util.regex.Matcher: matches() decides, replaceFirst()
	// then starts a search of its own.
	tests := []struct {
		regex, replacement, in string
		matches                bool
		out                    string
	}{
		{"(.*)-raw", "$1", "orders-raw", true, "orders"},
		{"orders", "$0_x", "orders", true, "orders_x"},
		{"a|ab", "x", "ab", true, "xb"},
		{"order", "x", "orders", false, "xs"},
		{`(?<db>\w+)\.(?<table>\w+)`, "${table}_${db}", "shop.orders", true, "orders_shop"},
		{"(a)(b)?", "$1[$2]", "a", true, "a[]"},
		{"(a)", "$12", "a", true, "a2"},
		{"a", `\$1\\`, "a", true, `$1\`},
		{"", "p-", "", true, "p-"},
		{`\Qa.b\E`, "c", "a.b", true, "c"},
		{`\Q[[&&\E.`, "c", "[[&&x", true, "c"},
		{"[^a]+", "c", "xyz", true, "c"},
		{"(?i)ORDERS", "o", "orders", true, "o"},
	}
	for _, tt := range tests {
		p, err := Compile(tt.regex)
		if err != nil {
			t.Errorf("Compile(%q): %v", tt.regex, err)
			continue
		}
		r, err := p.Replacement(tt.replacement)
		if err != nil {
			t.Errorf("%q: Replacement(%q): %v", tt.regex, tt.replacement, err)
			continue
		}
		if got := p.Matches(tt.in); got != tt.matches {
			t.Errorf("%q matches %q: got %v, want %v", tt.regex, tt.in, got, tt.matches)
		}
		if got := r.ReplaceFirst(tt.in); got != tt.out {
			t.Errorf("%q replaced by %q in %q: got %q, want %q", tt.regex, tt.replacement, tt.in, got, tt.out)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for expr, want := range map[string]string{
		"(?!x).*":     "(?!",
		"(?<=x)y":     "(?<",
		`(a)\1`:       `\1`,
		"a*+":         "*+",
		"(?>a)":       "(?>",
		"[a-z&&[^b]]": "intersections",
		"[a[bc]]":     "intersections",
		"(?U)a":       "flag U",
		"(?iU:a)":     "flag U",
		"[]a]":        "escaped",
		"(":           "missing closing )",
	} {
		if _, err := Compile(expr); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Compile(%q): got error %v, want one with %q", expr, err, want)
		}
	}
}

func TestReplacementRefuses(t *testing.T) {
	p, err := Compile("(?<n>a)")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"$2": "no group 2", "${x}": "no group with name {x}", "$": "illegal group reference", "$x": "illegal group reference",
		"${n": "trailing '}'", "${}": "trailing '}'", `a\`: "escaped is missing",
	} {
		if _, err := p.Replacement(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replacement(%q): got error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzReplacement(f *testing.F) {
	f.Add("(a)(?<n>b)", "$1${n}\\$", "ab")
	f.Add("[", "$", "")
	f.Fuzz(func(t *testing.T, expr, text, in string) {
		p, err := Compile(expr)
		if err != nil {
			return
		}
		p.Matches(in)
		r, err := p.Replacement(text)
		if err != nil {
			return
		}
		if got := r.ReplaceFirst(in); p.find.FindStringIndex(in) == nil && got != in {
			t.Errorf("%q does not occur in %q, and yet it became %q", expr, in, got)
		}
	})
}
