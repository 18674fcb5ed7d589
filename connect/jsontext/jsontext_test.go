package jsontext

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendUnescaped(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{``, ""},
		{`grüße`, "grüße"},
		{`\"\\\/\b\f\n\r\t`, "\"\\/\b\f\n\r\t"},
		{`\u00e9\u00E9\u0000\u001f`, "éé\x00\x1f"},
		{`a\ud83d\ude00b`, "a😀b"},
		{`\ud83d`, "\uFFFD"},
		{`\ude00x`, "\uFFFDx"},
		{`\ud83d\ud83d\ude00`, "\uFFFD😀"},
		{`\ud83d\u0041`, "\uFFFDA"},
		{`\ud83d\n`, "\uFFFD\n"},
		{`\\ud83d`, `\ud83d`},
	} {
		body := []byte(tt.in)
		if got, _, err := AppendUnescaped([]byte("> "), body); err != nil || string(got) != "> "+tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
		if got, _, err := AppendUnescaped(body[:0], body); err != nil || string(got) != tt.want {
			t.Errorf("%s in place: got %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		in  string
		at  int
		why error
	}{
		{`\x41`, 1, errEscape},
		{`ab\é`, 3, errEscape},
		{`ab\`, 3, errEscape},
		{`\n\u`, 3, errDigits},
		{`\u12`, 1, errDigits},
		{`\u12G4`, 1, errDigits},
		{`\u+123`, 1, errDigits},
		{`\ud83d\u12`, 7, errDigits},
	} {
		if got, at, err := AppendUnescaped(nil, []byte(tt.in)); got != nil || at != tt.at || err != tt.why { //nolint:errorlint // these very values
			t.Errorf("%s: got %q, %d, %v, want %d, %v", tt.in, got, at, err, tt.at, tt.why)
		}
	}
}

// FuzzAppendUnescaped compares with encoding/json.
func FuzzAppendUnescaped(f *testing.F) {
	for _, s := range []string{`\"\\\/\b\f\n\r\t`, `\ud83d\ude00\ud800x\ud83d\u12`, `\u00e9`, "é\x00\xff", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		body := []byte(in)
		got, _, err := AppendUnescaped(nil, body)
		if place, _, again := AppendUnescaped(body[:0], body); !bytes.Equal(place, got) || again != err { //nolint:errorlint // the very value
			t.Fatalf("%q: %q, %v, and %q, %v in place", in, got, err, place, again)
		}
		if strings.ContainsFunc(in, func(r rune) bool { return r < ' ' }) || !utf8.ValidString(in) || ends(in) {
			return // a scanner's business
		}
		var want string
		if stdErr := json.Unmarshal([]byte(`"`+in+`"`), &want); (err == nil) != (stdErr == nil) {
			t.Fatalf("%q: %v, encoding/json: %v", in, err, stdErr)
		}
		if string(got) != want {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
	})
}

// ends tells whether s has a quote that is not escaped, or ends within an escape.
func ends(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return true
		case '\\':
			i++
		}
		if i == len(s) {
			return true
		}
	}
	return false
}
