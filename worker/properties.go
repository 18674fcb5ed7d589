package worker

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
)

// maxPropertiesBytes bounds a properties file; real ones have some kilobytes.
const maxPropertiesBytes = 4 << 20

// ParseProperties reads a file of Java's .properties syntax: comments, the separators
// '=', ':' and blanks, escapes, continued lines; bytes are ISO-8859-1, other characters
// written \uXXXX. The last of equal keys wins. (Source: java.util.Properties.load.)
func ParseProperties(r io.Reader) (map[string]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPropertiesBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read properties: %w", err)
	}
	if len(data) > maxPropertiesBytes {
		return nil, fmt.Errorf("read properties: more than %d bytes", maxPropertiesBytes)
	}
	props := map[string]string{}
	for at := 0; at < len(data); {
		logical, next := logicalLine(data, at)
		if len(logical) == 0 {
			at = next
			continue
		}
		key, value := splitProperty(logical)
		k, err := unescape(key)
		if err == nil {
			props[k], err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("read properties, line %d: %w", 1+countLines(data[:at]), err)
		}
		at = next
	}
	return props, nil
}

func countLines(data []byte) (n int) {
	for i, c := range data {
		if c == '\n' || c == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			n++
		}
	}
	return n
}

// logicalLine returns the logical line that starts at data[at:], continuations joined,
// and where the next one starts. It is empty for a blank line or a comment.
func logicalLine(data []byte, at int) (line []byte, next int) {
	for {
		for at < len(data) && isBlank(data[at]) {
			at++
		}
		end := at
		for end < len(data) && !isLineEnd(data[end]) {
			end++
		}
		next = end
		if next < len(data) {
			next++
			if data[end] == '\r' && next < len(data) && data[next] == '\n' {
				next++
			}
		}
		part := data[at:end]
		if len(line) == 0 && len(part) > 0 && (part[0] == '#' || part[0] == '!') {
			return nil, next // a comment is never continued
		}
		if !continues(part) {
			return append(line, part...), next
		}
		line = append(line, part[:len(part)-1]...)
		at = next
	}
}

// continues tells whether a line ends in an odd number of backslashes.
func continues(line []byte) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func isBlank(c byte) bool   { return c == ' ' || c == '\t' || c == '\f' }
func isLineEnd(c byte) bool { return c == '\n' || c == '\r' }

// splitProperty cuts a logical line at its first separator that is not escaped.
func splitProperty(line []byte) (key, value []byte) {
	end := 0
	for end < len(line) && line[end] != '=' && line[end] != ':' && !isBlank(line[end]) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	at := end
	for seen := false; at < len(line); at++ {
		if c := line[at]; !isBlank(c) {
			if seen || c != '=' && c != ':' {
				break
			}
			seen = true
		}
	}
	return line[:end], line[at:]
}

var errUnicode = errors.New(`Malformed \uxxxx encoding.`) //nolint:revive,staticcheck // Java's wording

// unescape resolves escapes and decodes ISO-8859-1.
func unescape(b []byte) (string, error) {
	units := make([]uint16, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c != '\\' || i+1 == len(b) {
			if c != '\\' { // the last of all is dropped
				units = append(units, uint16(c))
			}
			continue
		}
		i++
		switch b[i] {
		case 'u':
			if i+4 >= len(b) {
				return "", errUnicode
			}
			n, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 16)
			if err != nil {
				return "", errUnicode
			}
			units = append(units, uint16(n))
			i += 4
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		default:
			units = append(units, uint16(b[i]))
		}
	}
	return string(utf16.Decode(units)), nil
}
