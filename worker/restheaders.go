package worker

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
)

const (
	keyAllowOrigin  = "access.control.allow.origin"
	keyAllowMethods = "access.control.allow.methods"
	keyHeaders      = "response.http.headers.config"
)

// origins are those whose scripts may use the REST API, nil for none.
type origins []*regexp.Regexp

// newOrigins reads a list of origins. In one of them * stands for any text, unless it holds
// .* or another sign that only regular expressions have, which Kafka 4 takes each for: a dot
// is a dot otherwise.
func newOrigins(value string) (origins, error) {
	var all origins
	for _, item := range connect.SplitList(value) {
		if item == "" {
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(item), `\*`, `.*`)
		if strings.ContainsAny(item, `\^$()[]{}|+?`) || strings.Contains(item, ".*") {
			pattern = item
		}
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("origin %s is no regular expression: %w", item, err)
		}
		all = append(all, re)
	}
	return all, nil
}

func (o origins) allow(origin string) bool {
	return slices.ContainsFunc(o, func(re *regexp.Regexp) bool { return re.MatchString(origin) })
}

func checkOrigins(value string) error {
	_, err := newOrigins(value)
	return err
}

// A headerAction is one of the headers that go with each answer.
type headerAction struct {
	name, value string
	add         bool
	after       time.Duration // for dates: from now on
	date        bool
}

// headerActions are what response.http.headers.config asks for: a comma-separated list of
// "ACTION NAME: VALUE", in quotes if a value has commas. ACTION is set, add, setDate or
// addDate; the value of a date is in milliseconds from the answer. (Source:
// org.eclipse.jetty.servlets.HeaderFilter.)
type headerActions []headerAction

func newHeaderActions(value string) (headerActions, error) {
	var all headerActions
	for _, item := range splitQuoted(value) {
		action, header, ok := strings.Cut(item, " ")
		if !ok {
			return nil, javaErrorf("Invalid format of header config '%s'. Expected: '[action] [header name]:[header value]'", item)
		}
		h := headerAction{}
		switch strings.ToLower(action) {
		case "set":
		case "add":
			h.add = true
		case "setdate":
			h.date = true
		case "adddate":
			h.add, h.date = true, true
		default:
			return nil, javaErrorf("Invalid header config action: '%s'. Expected one of [set, add, setDate, addDate]", action)
		}
		name, value, ok := strings.Cut(header, ":")
		h.name, h.value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !headerName.MatchString(h.name) {
			return nil, javaErrorf("Invalid header name '%s'. The '[header name]' cannot contain whitespace", h.name)
		}
		if strings.ContainsAny(h.value, "\r\n\x00") {
			return nil, errors.New("a header has no lines")
		}
		if h.date {
			ms, err := strconv.ParseInt(h.value, 10, 64)
			if err != nil || ms < -maxHeaderMillis || ms > maxHeaderMillis {
				return nil, fmt.Errorf("the date of header %s is no number of milliseconds", h.name)
			}
			h.after = time.Duration(ms) * time.Millisecond
		}
		all = append(all, h)
	}
	return all, nil
}

// maxHeaderMillis is a hundred years.
const maxHeaderMillis = 100 * 365 * 24 * 3600 * 1000

var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (all headerActions) put(header http.Header) {
	for _, h := range all {
		value := h.value
		if h.date {
			value = time.Now().Add(h.after).UTC().Format(http.TimeFormat)
		}
		if h.add {
			header.Add(h.name, value)
		} else {
			header.Set(h.name, value)
		}
	}
}

func checkHeaders(value string) error {
	_, err := newHeaderActions(value)
	return err
}

// answerHeaders reads what concerns the headers of answers; values that cannot be read have
// been reported with their keys.
func (c *Config) answerHeaders(v connect.Values) {
	if allowed, err := newOrigins(v[keyAllowOrigin]); err == nil && len(allowed) > 0 {
		c.AllowOrigin = allowed.allow
	}
	c.AllowMethods = connect.SplitList(v[keyAllowMethods])
	if actions, err := newHeaderActions(v[keyHeaders]); err == nil && len(actions) > 0 {
		c.ResponseHeaders = actions.put
	}
}

// splitQuoted splits at commas outside of double quotes, which it takes away, and drops
// what is empty.
func splitQuoted(text string) (items []string) {
	var item strings.Builder
	quoted := false
	end := func() {
		if s := strings.TrimSpace(item.String()); s != "" {
			items = append(items, s)
		}
		item.Reset()
	}
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			end()
		default:
			item.WriteRune(r)
		}
	}
	end()
	return items
}
