package worker_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/firn-io/firn/worker"
)

func TestParseProperties(t *testing.T) {
	tests := []struct {
		name, in string
		want     map[string]string
	}{
		{"separators", "a=1\nb:2\nc 3\nd = 4\ne\t:\t5\nf", map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": ""}},
		{"one separator only", "a==1\nb = = 2\nc : = 3", map[string]string{"a": "=1", "b": "= 2", "c": "= 3"}},
		{"comments and blanks", "# x=1\n  ! y=2\n\n \t\na=1 # not a comment\n", map[string]string{"a": "1 # not a comment"}},
		{"comments are not continued", "# x \\\na=1", map[string]string{"a": "1"}},
		{"continuation", "a=1,\\\n   2,\\\r\n\t3\nb=4", map[string]string{"a": "1,2,3", "b": "4"}},
		{"continuation into a comment sign", "a=1\\\n#2", map[string]string{"a": "1#2"}},
		{"continuation into a blank line", "a=1\\\n\nb=2", map[string]string{"a": "1", "b": "2"}},
		{"even backslashes end the line", "a=1\\\\\nb=2", map[string]string{"a": "1\\", "b": "2"}},
		{"backslash at the very end", "a=1\\", map[string]string{"a": "1"}},
		{"escapes", `a\=b\:c\ d=\t\n\r\f\\\q\ `, map[string]string{"a=b:c d": "\t\n\r\f\\q "}},
		{"trailing blanks stay", "a=1  \n", map[string]string{"a": "1  "}},
		{"unicode", `a=\u20AC\ud83d\ude00`, map[string]string{"a": "€😀"}},
		{"latin-1", "a=\xe9", map[string]string{"a": "é"}},
		{"last wins", "a=1\na=2", map[string]string{"a": "2"}},
		{"line ends", "a=1\rb=2\r\nc=3\n", map[string]string{"a": "1", "b": "2", "c": "3"}},
		{"empty key", "=1", map[string]string{"": "1"}},
		{"jaas", `consumer.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
   username="a" password="b=c";`, map[string]string{"consumer.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="b=c";`}},
		{"windows path", `a=c:\\tmp\\x`, map[string]string{"a": `c:\tmp\x`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := worker.ParseProperties(strings.NewReader(tt.in))
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("ParseProperties(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParsePropertiesMalformedUnicode(t *testing.T) {
	for _, in := range []string{`a=\u12`, "x=1\n" + `b=\u12G4`, `\u=1`} {
		_, err := worker.ParseProperties(strings.NewReader(in))
		if err == nil || !strings.Contains(err.Error(), `Malformed \uxxxx encoding.`) {
			t.Errorf("ParseProperties(%q) failed with %v, want Java's complaint", in, err)
		}
	}
}

func FuzzParseProperties(f *testing.F) {
	for _, s := range []string{"a=1", "a\\\n=2", "\\", "a=\\u00e9", "#\\\n!", "a:b=c d", "\\\n#x", "a=\\ud800"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		props, err := worker.ParseProperties(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		// What was read can be written with every character escaped, and reads the same.
		var b strings.Builder
		escape := func(s string) {
			for _, r := range s {
				if r > 0xFF || strings.ContainsRune("\t\n\r\f", r) {
					for _, u := range utf16Of(r) {
						b.WriteString(`\u`)
						b.WriteString(hex4(u))
					}
					continue
				}
				if r < 0x80 && r != 'u' && r != 't' && r != 'n' && r != 'r' && r != 'f' {
					b.WriteByte('\\')
				}
				b.WriteByte(byte(r))
			}
		}
		for k, v := range props {
			escape(k)
			b.WriteByte('=')
			escape(v)
			b.WriteByte('\n')
		}
		again, err := worker.ParseProperties(strings.NewReader(b.String()))
		if err != nil || !maps.Equal(props, again) {
			t.Errorf("%q read %q, written again as %q reads %q, %v", data, props, b.String(), again, err)
		}
	})
}

func utf16Of(r rune) []uint16 { return utf16.AppendRune(nil, r) }

func hex4(u uint16) string { return fmt.Sprintf("%04x", u) }
