package route

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A matcher tells whether a route value as a whole matches a table's pattern; the
// zero matcher, of a table without one, matches nothing.
type matcher struct{ re *regexp.Regexp }

func (m matcher) matches(value string) bool { return m.re != nil && m.re.MatchString(value) }

// compile translates a java.util.regex pattern, to be matched as a whole. Patterns
// that RE2 has no equal for (look-around, back-references, possessive quantifiers,
// set operations in classes) are refused rather than read differently.
func compile(pattern string) (matcher, error) {
	if pattern == "" {
		return matcher{}, nil
	}
	translated, err := translate(pattern)
	if err != nil {
		return matcher{}, err
	}
	re, err := regexp.Compile(`\A(?:` + translated + `)\z`)
	if err != nil {
		return matcher{}, fmt.Errorf("this build matches by RE2, which has no look-around, back-references or possessive quantifiers: %w", err)
	}
	return matcher{re}, nil
}

// javaClasses are Java's POSIX classes (java.util.regex.Pattern), which RE2 spells
// differently.
var javaClasses = map[string]string{ // read only
	"Lower": "a-z", "Upper": "A-Z", "ASCII": `\x00-\x7F`, "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9",
	"Punct": "!-/:-@\\[-`{-~", "Graph": "!-~", "Print": " -~", "Blank": ` \t`, "Cntrl": `\x00-\x1F\x7F`,
	"XDigit": "0-9a-fA-F", "Space": `\t-\r `,
}

func translate(p string) (string, error) {
	var out strings.Builder
	inClass := false
	for i := 0; i < len(p); {
		rest := p[i:]
		switch {
		case strings.HasPrefix(rest, `\Q`):
			literal, after, _ := strings.Cut(rest[2:], `\E`)
			out.WriteString(regexp.QuoteMeta(literal))
			i = len(p) - len(after)
		case rest[0] == '\\':
			n, err := escape(&out, rest, inClass)
			if err != nil {
				return "", err
			}
			i += n
		case inClass && rest[0] == '[', inClass && strings.HasPrefix(rest, "&&"):
			return "", errors.New("set operations in a character class are not supported: write the class out")
		case !inClass && rest[0] == '[':
			inClass = true
			n := 1
			if strings.HasPrefix(rest, "[^") {
				n = 2
			}
			out.WriteString(rest[:n])
			i += n
			if i < len(p) && p[i] == ']' { // Java wants it escaped
				return "", errors.New("an unescaped ] begins a character class: write \\]")
			}
		default:
			inClass = inClass && rest[0] != ']'
			out.WriteByte(rest[0])
			i++
		}
	}
	return out.String(), nil
}

// escape translates the escape at the begin of rest and returns its length.
func escape(out *strings.Builder, rest string, inClass bool) (int, error) {
	if len(rest) == 1 {
		return 0, errors.New("the pattern ends in a backslash")
	}
	class := func(members string, negated bool) error {
		switch {
		case !inClass && negated:
			out.WriteString("[^" + members + "]")
		case !inClass:
			out.WriteString("[" + members + "]")
		case negated:
			return fmt.Errorf("%s in a character class is not supported: write the class out", rest[:2])
		default:
			out.WriteString(members)
		}
		return nil
	}
	switch c := rest[1]; c {
	case 'u':
		if len(rest) < 6 {
			return 0, errors.New(`\u needs four hexadecimal digits`)
		}
		out.WriteString(`\x{` + rest[2:6] + `}`)
		return 6, nil
	case 's', 'S': // Java counts the vertical tab, RE2 does not
		return 2, class(javaClasses["Space"], c == 'S')
	case 'h', 'H':
		return 2, class(`\t \x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}`, c == 'H')
	case 'e':
		out.WriteString(`\x1B`)
		return 2, nil
	case 'p', 'P':
		name, _, found := strings.Cut(strings.TrimPrefix(rest[2:], "{"), "}")
		if members, ok := javaClasses[name]; ok && found && rest[2] == '{' {
			return len(name) + 4, class(members, c == 'P')
		}
	}
	out.WriteString(rest[:2])
	return 2, nil
}
