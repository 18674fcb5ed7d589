// Package str is org.apache.kafka.connect.storage.StringConverter: the data of a
// record as text. Strings alias the data where they are valid UTF-8.
package str

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/firn-io/firn/connect"
)

// A Converter reads text; its zero value must be configured. It is used by one
// goroutine at a time.
type Converter struct {
	text func(*connect.Arena, []byte) connect.Value
}

var _ connect.Converter = (*Converter)(nil)

// schema is that of every value, also of a null (Java: Schema.OPTIONAL_STRING_SCHEMA).
var schema = &connect.Schema{Type: connect.StringType, Optional: true}

// encodings are the charsets this build reads, under Java's canonical names in lower case.
var encodings = map[string]func(*connect.Arena, []byte) connect.Value{
	"utf-8":      (*connect.Arena).Text,
	"utf8":       (*connect.Arena).Text,
	"us-ascii":   ascii,
	"ascii":      ascii,
	"iso-8859-1": latin1,
	"latin1":     latin1,
	"utf-16be":   func(a *connect.Arena, b []byte) connect.Value { return wide(a, b, true) },
	"utf-16le":   func(a *connect.Arena, b []byte) connect.Value { return wide(a, b, false) },
}

// Version is that of the Connect API.
func (*Converter) Version() string { return connect.APIVersion }

// ConfigDef declares converter.encoding.
func (*Converter) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{{
		Name: "converter.encoding", Type: connect.TypeString, Default: new("UTF-8"), Importance: connect.High,
		Doc:   "The name of the character set to use for encoding/decoding strings: UTF-8, US-ASCII, ISO-8859-1, UTF-16BE or UTF-16LE.",
		Check: func(v string) error { _, err := encoding(v); return err },
	}}}
}

// Configure takes the encoding.
func (c *Converter) Configure(config map[string]string, _ bool) error {
	name, ok := config["converter.encoding"]
	if !ok {
		name = "UTF-8"
	}
	text, err := encoding(name)
	if err != nil {
		return fmt.Errorf("invalid value %s for configuration converter.encoding: %w", name, err)
	}
	c.text = text
	return nil
}

func encoding(name string) (func(*connect.Arena, []byte) connect.Value, error) {
	text, ok := encodings[strings.ToLower(strings.TrimSpace(name))]
	if !ok {
		return nil, fmt.Errorf("no character set %q in this build; it has UTF-8, US-ASCII, ISO-8859-1, UTF-16BE and UTF-16LE", name)
	}
	return text, nil
}

// ToConnect makes a string of data. As in Java, what the character set does not know
// becomes U+FFFD, and a null keeps the schema.
func (c *Converter) ToConnect(_ context.Context, arena *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	if data == nil {
		return schema, connect.Value{}, nil
	}
	return schema, c.text(arena, data), nil
}

func ascii(a *connect.Arena, b []byte) connect.Value {
	return narrow(a, b, func(c byte) rune {
		if c >= utf8.RuneSelf {
			return utf8.RuneError
		}
		return rune(c)
	})
}

func latin1(a *connect.Arena, b []byte) connect.Value {
	return narrow(a, b, func(c byte) rune { return rune(c) })
}

func narrow(a *connect.Arena, b []byte, char func(byte) rune) connect.Value {
	n := 0
	for _, c := range b {
		n += utf8.RuneLen(char(c))
	}
	if n == len(b) {
		return connect.StringOf(b)
	}
	out := a.Bytes(n)[:0]
	for _, c := range b {
		out = utf8.AppendRune(out, char(c))
	}
	return connect.StringOf(out)
}

// wide reads UTF-16; a unit is at most three bytes of UTF-8.
func wide(a *connect.Arena, b []byte, bigEndian bool) connect.Value {
	unit := func(i int) rune {
		if bigEndian {
			return rune(b[i])<<8 | rune(b[i+1])
		}
		return rune(b[i+1])<<8 | rune(b[i])
	}
	out := a.Bytes(3 * (len(b) + 1) / 2)[:0]
	for i := 0; i < len(b); i += 2 {
		if i+1 == len(b) { // half a unit
			out = utf8.AppendRune(out, utf8.RuneError)
			break
		}
		r := unit(i)
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if i+3 < len(b) {
				pair = utf16.DecodeRune(r, unit(i+2))
			}
			if r = pair; r != utf8.RuneError {
				i += 2
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return connect.StringOf(out)
}
