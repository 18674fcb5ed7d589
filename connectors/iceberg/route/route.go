// Package route says which tables a record goes to. Names of tables come from the
// configuration, from the record, or from both:
//
//	iceberg.tables                         list of tables, namespace.table
//	iceberg.tables.dynamic-enabled         true: the route value names the table
//	iceberg.tables.route-field             dotted path to the route value in the record's value
//	iceberg.table.NAME.route-regex         route values that go to table NAME of the list
//
// These are the Java sink's. A list alone takes every record into each of its tables;
// with a route value a table takes what its pattern matches as a whole. Beyond Java:
//
//	iceberg.tables.route-by                field, or topic or header: where the route value is
//	iceberg.tables.route-header            the header for route-by=header; the last of that name counts
//	iceberg.tables.topic-to-table-mapping  list of topic:table
//	iceberg.tables.default-namespace       of tables that are named without one
//	iceberg.tables.preserve-case           true: names from records and topics keep their case
//
// And a name in iceberg.tables may hold ${topic}: the topic, lower-cased, with its dots
// replaced by underscores, so that iceberg.tables=lake.${topic} gives each topic a
// table in one namespace. For a topic in the mapping, a mapped table without a
// namespace stands for ${topic}, and one with a namespace is the table itself. The
// topic is the record's, as the transformations left it.
//
// A record whose route value is null, or that matches no table, goes nowhere.
//
// A Router belongs to one goroutine. It remembers the outcome for each value it has
// seen, so that a record costs no allocation. It does no I/O and does not know
// whether a table exists.
package route

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// maxCached bounds the remembered values: a field with more of them is no route.
const maxCached = 10_000

// maxName bounds a table name that a record gives.
const maxName = 512

// A source is where the route value of a record is.
type source uint8

const (
	fromNothing source = iota // every record takes the same way
	fromField
	fromTopic
	fromHeader
)

// A Router finds the tables of records.
type Router struct {
	from   source
	field  *Path
	header string

	// What becomes of the route value: it names the table (dynamic); or it is a topic
	// that has tables of its own (names, mapping); or it chooses among static by regexes.
	dynamic bool
	names   []string            // iceberg.tables
	mapping map[string][]string // by topic
	static  []table.Identifier  // tables that are known without a record, nil if not all are
	regexes []matcher           // one for each of static

	namespace    string
	preserveCase bool

	known     map[string][]table.Identifier // by route value
	lastTopic string                        // the topic before, and its tables
	lastIDs   []table.Identifier
	text      []byte
}

// Static returns the tables that are known without a record: none if any comes from a
// field, a header or the topic.
func (r *Router) Static() []table.Identifier { return r.static }

// Known returns the tables that are known from the configuration and the names of the
// topics, and whether those are all: unless a field or a header names the table, they are
// if no transformation renames topics.
func (r *Router) Known(topics []string) (ids []table.Identifier, all bool) {
	if r.static != nil || r.from != fromTopic {
		return r.static, r.static != nil
	}
	for _, topic := range topics {
		of, err := r.of(topic)
		if err != nil {
			continue // its records have no table either
		}
		for _, id := range of {
			if !slices.ContainsFunc(ids, func(o table.Identifier) bool { return slices.Equal(o, id) }) {
				ids = append(ids, id)
			}
		}
	}
	return ids, true
}

// Tables appends the tables of a record to buf; none if the record goes nowhere, which
// [Router.Why] explains. The identifiers are shared: read only. A record that cannot be
// routed, because its value has no fields or its route value is no table's name, is a
// [connect.DataError]. The value may be null: a tombstone has no route field.
func (r *Router) Tables(rec *connect.Record, buf []table.Identifier) ([]table.Identifier, error) {
	var ids []table.Identifier
	var err error
	switch r.from { //nolint:exhaustive // the others have a value of their own in each record
	case fromNothing:
		return append(buf, r.static...), nil
	case fromTopic:
		if rec.Topic == r.lastTopic && rec.Topic != "" {
			return append(buf, r.lastIDs...), nil
		}
		if ids, err = r.of(rec.Topic); err == nil {
			r.lastTopic, r.lastIDs = rec.Topic, ids
		}
	default:
		var ok bool
		if ok, err = r.value(rec); err != nil || !ok {
			return buf, err
		}
		if ids, ok = r.known[string(r.text)]; !ok {
			ids, err = r.of(string(r.text))
		}
	}
	return append(buf, ids...), err
}

// value reads the route value of a record into text. It is false for null.
func (r *Router) value(rec *connect.Record) (ok bool, err error) {
	if r.from == fromHeader {
		for i := len(rec.Headers) - 1; i >= 0; i-- {
			if h := &rec.Headers[i]; h.Key == r.header {
				r.text = append(r.text[:0], h.Value...)
				return h.Value != nil, nil
			}
		}
		return false, nil
	}
	v, s, err := r.field.Find(rec.ValueSchema, rec.Value)
	if err != nil || v.IsNull() {
		return false, err
	}
	r.text, err = r.appendText(r.text[:0], v, s)
	return err == nil, err
}

// appendText writes the text of a route value: a string, number or boolean.
func (r *Router) appendText(dst []byte, v connect.Value, s *connect.Schema) ([]byte, error) {
	switch v.Kind() { //nolint:exhaustive // the rest is no route
	case connect.String:
		return append(dst, v.Text()...), nil
	case connect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case connect.Int:
		if s == nil || s.Name == "" {
			return strconv.AppendInt(dst, v.Int(), 10), nil
		}
		return dst, &connect.DataError{Msg: fmt.Sprintf("route field %q is a %s, which names no table", r.field.text, s.Name), Hint: "route by a text field"}
	case connect.Float:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64), nil
	}
	return dst, &connect.DataError{Msg: fmt.Sprintf("route field %q is %s, which names no table", r.field.text, v.Kind()), Hint: "route by a text field"}
}

// Why says why a record has no table.
func (r *Router) Why(rec *connect.Record) string {
	switch {
	case r.from == fromTopic && r.mapping != nil:
		return fmt.Sprintf("topic %q is not in %s", rec.Topic, KeyMapping)
	case r.from == fromTopic:
		return fmt.Sprintf("topic %q matches no %sNAME%s", rec.Topic, TablePrefix, RegexSuffix)
	}
	what := "header " + fmt.Sprintf("%q", r.header)
	if r.from == fromField {
		what = "route field " + fmt.Sprintf("%q", r.field.text)
	}
	if ok, err := r.value(rec); err != nil || !ok {
		return what + " is null or not there"
	}
	return fmt.Sprintf("%s is %.100q, which matches no %sNAME%s", what, r.text, TablePrefix, RegexSuffix)
}

// of finds the tables of a route value and remembers them.
func (r *Router) of(value string) (ids []table.Identifier, err error) {
	if ids, ok := r.known[value]; ok {
		return ids, nil
	}
	switch {
	case r.dynamic:
		ids, err = r.ofName(value)
	case r.regexes != nil:
		for i, m := range r.regexes {
			if m.matches(value) {
				ids = append(ids, r.static[i])
			}
		}
	default:
		ids, err = r.ofTopic(value)
	}
	if err != nil {
		return nil, err
	}
	if len(r.known) >= maxCached {
		clear(r.known)
	}
	r.known[strings.Clone(value)] = ids
	return ids, nil
}

// ofName is for a value that names the table.
func (r *Router) ofName(value string) ([]table.Identifier, error) {
	id, ok := r.identifier(r.fold(value))
	if !ok || unfit(value) {
		what := "route value"
		switch r.from { //nolint:exhaustive // a name comes from these
		case fromField:
			what = fmt.Sprintf("route field %q:", r.field.text)
		case fromHeader:
			what = fmt.Sprintf("header %q:", r.header)
		case fromTopic:
			what = "topic"
		}
		return nil, &connect.DataError{
			Msg:  fmt.Sprintf("%s %.100q is no table name", what, value),
			Hint: "it must be namespace.table, its parts not empty and without slashes or control characters",
		}
	}
	return []table.Identifier{id}, nil
}

// ofTopic is for the names of the configuration that depend on the topic.
func (r *Router) ofTopic(topic string) ([]table.Identifier, error) {
	mapped, inMapping := r.mapping[topic]
	var ids []table.Identifier
	add := func(name string) bool {
		id, ok := r.identifier(name)
		ids = append(ids, id)
		return ok && !unfit(name)
	}
	good := true
	for _, name := range mapped {
		if strings.Contains(name, ".") || len(r.names) == 0 {
			good = add(name) && good
		}
	}
	for _, name := range r.names {
		switch {
		case !strings.Contains(name, topicMark):
			good = add(name) && good
		case inMapping:
			for _, m := range mapped {
				if !strings.Contains(m, ".") {
					good = add(strings.ReplaceAll(name, topicMark, m)) && good
				}
			}
		default:
			good = add(strings.ReplaceAll(name, topicMark, strings.ReplaceAll(r.fold(topic), ".", "_"))) && good
		}
	}
	if !good {
		return nil, &connect.DataError{
			Msg:  fmt.Sprintf("topic %.100q makes no table name", topic),
			Hint: "put it into " + KeyMapping + ", or look at the transformations that renamed it",
		}
	}
	return ids, nil
}

// fold lowers the case of a name from a record, as Java does.
func (r *Router) fold(name string) string {
	if r.preserveCase {
		return name
	}
	return strings.ToLower(name)
}

// identifier splits a name on its dots and puts one without a namespace into the
// default one.
func (r *Router) identifier(name string) (table.Identifier, bool) {
	if r.namespace != "" && !strings.Contains(name, ".") {
		name = r.namespace + "." + name
	}
	return identifier(name)
}

func identifier(name string) (table.Identifier, bool) {
	id := strings.Split(name, ".")
	for _, part := range id {
		if strings.TrimSpace(part) == "" {
			return nil, false
		}
	}
	return id, true
}

// unfit tells names that a record must not bring into a table's location.
func unfit(name string) bool {
	return len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool {
		return c == '/' || c == '\\' || unicode.IsControl(c) || c == unicode.ReplacementChar
	})
}
