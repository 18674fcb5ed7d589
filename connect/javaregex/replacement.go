package javaregex

import (
	"errors"
	"fmt"
	"strings"
)

// A Replacement is a parsed replacement text of a [Pattern].
type Replacement struct {
	pattern *Pattern
	parts   []part
}

// A part is literal text, or the text of a group if group is not negative.
type part struct {
	text  string
	group int
}

// Replacement parses a replacement: $1 and ${name} stand for groups, a backslash
// makes the next character literal (Matcher.appendReplacement). A reference to a group
// that the pattern does not have is an error here; Java throws at the first match.
func (p *Pattern) Replacement(text string) (*Replacement, error) {
	r := &Replacement{pattern: p}
	for i := 0; i < len(text); {
		var err error
		switch text[i] {
		case '\\':
			if i+1 == len(text) {
				return nil, fmt.Errorf("replacement %q: character to be escaped is missing", text)
			}
			r.literal(text[i+1 : i+2])
			i += 2
		case '$':
			var group int
			if group, i, err = p.reference(text, i+1); err != nil {
				return nil, fmt.Errorf("replacement %q: %w", text, err)
			}
			r.parts = append(r.parts, part{group: group})
		default:
			r.literal(text[i : i+1])
			i++
		}
	}
	return r, nil
}

func (r *Replacement) literal(s string) {
	if n := len(r.parts); n > 0 && r.parts[n-1].group < 0 {
		r.parts[n-1].text += s
		return
	}
	r.parts = append(r.parts, part{text: s, group: -1})
}

// reference reads what follows a $ at i. Digits are taken as long as they make the
// number of an existing group, so $12 is group 1 and a 2 when there are fewer than 12.
func (p *Pattern) reference(text string, i int) (group, next int, err error) {
	if i < len(text) && text[i] == '{' {
		name, _, closed := strings.Cut(text[i+1:], "}")
		if !closed || name == "" {
			return 0, 0, errors.New("named group reference is missing its name or trailing '}'")
		}
		if group = p.find.SubexpIndex(name); group < 0 {
			return 0, 0, fmt.Errorf("no group with name {%s}", name)
		}
		return group, i + len(name) + 2, nil
	}
	if i >= len(text) || !digit(text[i]) {
		return 0, 0, errors.New(`illegal group reference: a $ that stands for itself is written \$`)
	}
	group = int(text[i] - '0')
	if group > p.find.NumSubexp() {
		return 0, 0, fmt.Errorf("no group %d", group)
	}
	for i++; i < len(text) && digit(text[i]); i++ {
		wider := group*10 + int(text[i]-'0')
		if wider > p.find.NumSubexp() {
			break
		}
		group = wider
	}
	return group, i, nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// ReplaceFirst replaces the first match in s, which need not be the whole of s:
// Matcher.replaceFirst.
func (r *Replacement) ReplaceFirst(s string) string {
	at := r.pattern.find.FindStringSubmatchIndex(s)
	if at == nil {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:at[0]])
	for _, p := range r.parts {
		switch {
		case p.group < 0:
			b.WriteString(p.text)
		case at[2*p.group] >= 0: // a group that took no part is empty
			b.WriteString(s[at[2*p.group]:at[2*p.group+1]])
		}
	}
	b.WriteString(s[at[1]:])
	return b.String()
}
