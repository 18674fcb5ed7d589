package jvm

import (
	"errors"
	"fmt"
	"strings"
)

// A LoginModule is one line of an entry of a JAAS file.
type LoginModule struct {
	Class   string
	Options map[string]string // a value may be a secret
}

// ParseJAAS reads a JAAS file, of entries
//
//	Name { CLASS required option="value" option=value; CLASS …; };
//
// with comments as in Java. (Source: sun.security.provider.ConfigFile.)
func ParseJAAS(text string) (map[string][]LoginModule, error) {
	tokens, err := jaasFileTokens(text)
	if err != nil {
		return nil, err
	}
	p := jaasFile{rest: tokens}
	entries := map[string][]LoginModule{}
	for len(p.rest) > 0 {
		name := p.word()
		p.expect("{")
		var modules []LoginModule
		for p.err == nil && !p.at("}") {
			modules = append(modules, p.module())
		}
		p.expect("}")
		p.expect(";")
		if p.err != nil {
			return nil, p.err
		}
		if _, twice := entries[name]; twice {
			return nil, fmt.Errorf("entry %s is there twice", name)
		}
		entries[name] = modules
	}
	return entries, nil
}

// jaasFile is what is left to read of a file, and the first error.
type jaasFile struct {
	rest []string
	err  error
}

func (p *jaasFile) at(token string) bool { return len(p.rest) > 0 && p.rest[0] == token }

func (p *jaasFile) expect(token string) {
	switch {
	case p.err != nil:
	case p.at(token):
		p.rest = p.rest[1:]
	default:
		p.err = fmt.Errorf("want %s before %s", token, p.place())
	}
}

// place is where reading has come to. A quoted text may be a secret.
func (p *jaasFile) place() string {
	if len(p.rest) == 0 {
		return "the end"
	}
	if strings.HasPrefix(p.rest[0], `"`) {
		return "a quoted text"
	}
	return p.rest[0]
}

// word reads a name or a value, quoted or not.
func (p *jaasFile) word() string {
	if p.err == nil && (len(p.rest) == 0 || strings.Contains("{};=", p.rest[0])) {
		p.err = fmt.Errorf("want a word before %s", p.place())
	}
	if p.err != nil {
		return ""
	}
	w := strings.TrimPrefix(p.rest[0], `"`)
	p.rest = p.rest[1:]
	return w
}

func (p *jaasFile) module() LoginModule {
	m := LoginModule{Class: p.word(), Options: map[string]string{}}
	if flag := strings.ToLower(p.word()); p.err == nil && flag != "required" && flag != "requisite" && flag != "sufficient" && flag != "optional" {
		p.err = fmt.Errorf("want required after %s", m.Class)
	}
	for p.err == nil && !p.at(";") {
		key := p.word()
		p.expect("=")
		m.Options[key] = p.word()
	}
	p.expect(";")
	return m
}

// jaasFileTokens splits into words and the signs { } ; =. A quoted word keeps its opening
// quote, so that a quoted sign is not taken for one.
func jaasFileTokens(text string) ([]string, error) {
	var out []string
	for text != "" {
		var skip int
		switch c := text[0]; {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			skip = 1
		case strings.HasPrefix(text, "//"):
			if skip = strings.IndexByte(text, '\n'); skip < 0 {
				skip = len(text)
			}
		case strings.HasPrefix(text, "/*"):
			end := strings.Index(text[2:], "*/")
			if end < 0 {
				return nil, errors.New("a comment is not closed")
			}
			skip = end + 4
		case strings.IndexByte("{};=", c) >= 0:
			out, skip = append(out, text[:1]), 1
		case c == '"':
			word := []byte{'"'}
			for skip = 1; skip < len(text) && text[skip] != '"'; skip++ {
				if text[skip] == '\\' && skip+1 < len(text) {
					skip++
				}
				word = append(word, text[skip])
			}
			if skip >= len(text) {
				return nil, errors.New("a quote is not closed")
			}
			out, skip = append(out, string(word)), skip+1
		default:
			if skip = strings.IndexAny(text, " \t\r\n\f{};=\""); skip < 0 {
				skip = len(text)
			}
			out = append(out, text[:skip])
		}
		text = text[skip:]
	}
	return out, nil
}
