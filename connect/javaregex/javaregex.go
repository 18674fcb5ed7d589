// Package javaregex compiles the regular expressions and replacements that Kafka Connect
// configs hold, written for java.util.regex, on top of Go's RE2 engine.
//
// What RE2 cannot do (lookaround, back-references, possessive quantifiers, class
// intersections) is refused when compiled, with the construct named; nothing is taken
// silently in another meaning. Matching is linear in time, as RE2 promises.
package javaregex

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A Pattern is a compiled regular expression. It may be used by several goroutines.
type Pattern struct {
	find  *regexp.Regexp
	whole *regexp.Regexp
}

// Compile parses a Java regular expression.
func Compile(expr string) (*Pattern, error) {
	if err := refuse(expr); err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", expr, err)
	}
	find, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w (lookaround, back-references and possessive quantifiers are not supported)", expr, explain(err))
	}
	whole, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", expr, explain(err))
	}
	return &Pattern{find: find, whole: whole}, nil
}

// explain keeps of Go's error what a Java user can act on.
func explain(err error) error {
	if se, ok := errors.AsType[*syntax.Error](err); ok {
		return fmt.Errorf("%s: %s", se.Code, se.Expr)
	}
	return err
}

// refuse finds what Go parses in another meaning than Java: unions and intersections
// of character classes, and the flag U (Unicode classes in Java, ungreedy in Go).
func refuse(expr string) error {
	inClass, first := false, false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\':
			if strings.HasPrefix(expr[i:], `\Q`) {
				end := strings.Index(expr[i:], `\E`)
				if end < 0 {
					return nil
				}
				i += end
			}
			i++
			first = false
		case !inClass && c == '[':
			inClass, first = true, true
		case !inClass && c == '(' && strings.HasPrefix(expr[i:], "(?"):
			flags, _, _ := strings.Cut(expr[i+2:], ")")
			flags, _, _ = strings.Cut(flags, ":")
			if strings.Trim(flags, "imsU-") == "" && strings.Contains(flags, "U") {
				return errors.New("flag U is not supported")
			}
		case inClass && c == '^' && first:
		case inClass && c == ']':
			if first {
				return errors.New("a ] right after [ must be escaped") // Java: literal or unclosed class, by version
			}
			inClass = false
		case inClass && (c == '[' || strings.HasPrefix(expr[i:], "&&")):
			return errors.New("unions and intersections of character classes are not supported")
		default:
			first = false
		}
	}
	return nil
}

// Matches tells whether the whole of s matches: Matcher.matches.
func (p *Pattern) Matches(s string) bool { return p.whole.MatchString(s) }

// String is the expression as it was written.
func (p *Pattern) String() string { return p.find.String() }
