package str_test

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/converters/str"
)

func converter(t *testing.T, encoding string) connect.Converter {
	t.Helper()
	c := new(str.Converter)
	config := map[string]string{}
	if encoding != "" {
		config["converter.encoding"] = encoding
	}
	if err := c.Configure(config, false); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	for _, encoding := range []string{"", "UTF-16BE", "ISO-8859-1"} {
		connecttest.Converter(t, func(t *testing.T) connect.Converter { return converter(t, encoding) }, []byte("abcd"), []byte{}, []byte("gr\xfc\xdfe!"))
	}
}

func TestEncodings(t *testing.T) {
	tests := []struct{ encoding, in, want string }{
		{"", "grüße", "grüße"},
		{"utf8", "a\xff", "a\uFFFD"},
		{"US-ASCII", "a\xfc", "a\uFFFD"},
		{"ISO-8859-1", "a\xfc", "aü"},
		{"UTF-16BE", "\x00a\xd8\x3d\xde\x00", "a😀"},
		{"UTF-16LE", "a\x00\x3d\xd8", "a\uFFFD"}, // half a pair
		{"UTF-16BE", "\x00a\x00", "a\uFFFD"},     // half a unit
		{"UTF-16BE", "\xd8\x3d\x00a", "\uFFFDa"},
	}
	for _, tt := range tests {
		var arena connect.Arena
		schema, v, err := converter(t, tt.encoding).ToConnect(t.Context(), &arena, "topic", []byte(tt.in))
		if err != nil || v.Text() != tt.want || schema.Type != connect.StringType || !schema.Optional {
			t.Errorf("%s %q: got %q, %v, want %q", tt.encoding, tt.in, v.Text(), err, tt.want)
		}
	}
}

func TestNullKeepsSchema(t *testing.T) {
	schema, _, err := converter(t, "").ToConnect(t.Context(), nil, "topic", nil)
	if err != nil || schema == nil || schema.Type != connect.StringType {
		t.Errorf("got schema %v, %v, want OPTIONAL_STRING", schema, err)
	}
}

func TestUnknownEncoding(t *testing.T) {
	err := new(str.Converter).Configure(map[string]string{"converter.encoding": "EBCDIC"}, false)
	if err == nil || !strings.Contains(err.Error(), "converter.encoding") || !strings.Contains(err.Error(), "ISO-8859-1") {
		t.Errorf("got %v, want an error with the key and what there is", err)
	}
}
