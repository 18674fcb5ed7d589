package topics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The values are what Java's JsonConverter writes with schemas.enable=false: compact, the
// members of a struct in schema order, absent optional ones as null. encoding/json escapes
// HTML and two line separators besides, and cannot be told to keep an order of members.

// appendString writes s as Jackson does.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for _, r := range s { // bytes that are no UTF-8 come out as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= 0x20:
			b = utf8.AppendRune(b, r)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[r>>4], hex[r&15])
		}
	}
	return append(b, '"')
}

// appendOptional writes s, or null if it is empty.
func appendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// appendProperties writes a config, sorted. (Java's order is that of its hash map, so no
// reader relies on it.)
func appendProperties(b []byte, config map[string]*string) []byte {
	b = append(b, `{"properties":{`...)
	for i, k := range slices.Sorted(maps.Keys(config)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		if v := config[k]; v != nil {
			b = appendString(b, *v)
		} else {
			b = append(b, "null"...)
		}
	}
	return append(b, "}}"...)
}

// NullableAll are configs in the form in which values may be null.
func NullableAll(configs []map[string]string) []map[string]*string {
	all := make([]map[string]*string, len(configs))
	for i, config := range configs {
		all[i] = nullable(config)
	}
	return all
}

func nullable(config map[string]string) map[string]*string {
	out := make(map[string]*string, len(config))
	for k, v := range config {
		out[k] = &v
	}
	return out
}

// An object is a JSON object whose members have not been looked at yet.
type object map[string]json.RawMessage

var errUTF8 = errors.New("not UTF-8")

// parse reads the value of a record. present is false for a tombstone, which JSON's null
// is too; an error means that this is no JSON at all. What follows the first JSON value is
// ignored, as Java does. obj is nil if the value is not an object.
func parse(value []byte) (obj object, present bool, err error) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return nil, false, nil
	}
	if !utf8.Valid(value) {
		return nil, false, errUTF8
	}
	var raw json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(value)).Decode(&raw); err != nil {
		return nil, false, fmt.Errorf("parse JSON: %w", err)
	}
	if raw[0] == 'n' {
		return nil, false, nil
	}
	if raw[0] == '{' {
		err = json.Unmarshal(raw, &obj)
	}
	return obj, true, err
}

// text is a member that must be a string; false if it is none.
func (o object) text(name string) (string, bool) {
	var s string
	raw := o[name]
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// number is a member that must be an integer; false if it is none.
func (o object) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(string(o[name]), 10, 64)
	return n, err == nil
}

// flag is a member that should be a boolean; false if it is none.
func (o object) flag(name string) bool { return string(o[name]) == "true" }

// object is a member that must be an object; nil if it is none.
func (o object) object(name string) object {
	var member object
	if raw := o[name]; len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &member) != nil {
		return nil
	}
	return member
}

// properties is the config under "properties"; nil if it is no object. A null value
// counts as absent; a value that is no string (Java never writes one) as its JSON text.
func (o object) properties() map[string]string {
	members := o.object("properties")
	if members == nil {
		return nil
	}
	config := make(map[string]string, len(members))
	for k, raw := range members {
		if s, ok := members.text(k); ok {
			config[k] = s
		} else if string(raw) != "null" {
			config[k] = strings.TrimSpace(string(raw))
		}
	}
	return config
}
