// Package route says which tables a record goes to: all of a list, those whose
// pattern matches a field, the one that a field names, or one per topic.
//
// A Router belongs to one goroutine. It remembers the outcome for each value it has
// seen, so that a record costs no allocation. It does no I/O and does not know
// whether a table exists.
//
// Configuration, as in the Java sink:
//
//	iceberg.tables                    list of tables, namespace.table
//	iceberg.tables.dynamic-enabled    true: the route field names the table
//	iceberg.tables.route-field        dotted path into the value
//	iceberg.table.NAME.route-regex    values of the route field that go to table NAME
//
// Of iceberg.tables and iceberg.tables.dynamic-enabled exactly one must be given. A
// record whose route field is null, or matches no table, goes nowhere.
//
// Beyond Java, a name in iceberg.tables may hold ${topic}: the record's topic as the
// transformations left it, lower-cased, with its dots replaced by underscores, so
// that iceberg.tables=lake.${topic} gives each topic a table in one namespace. Such
// names do not go together with a route field.
package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// Configuration keys.
const (
	KeyTables     = "iceberg.tables"
	KeyDynamic    = "iceberg.tables.dynamic-enabled"
	KeyRouteField = "iceberg.tables.route-field"
	tablePrefix   = "iceberg.table."
	regexSuffix   = ".route-regex"
	topicMark     = "${topic}"
)

// maxCached bounds the remembered values: a field with more of them is no route.
const maxCached = 10_000

// maxName bounds a table name that a record gives.
const maxName = 512

// A Router finds the tables of records.
type Router struct {
	names   []string // iceberg.tables
	static  []table.Identifier
	regexes []matcher // one for each static table, with a route field
	field   *path     // nil: no route field
	dynamic bool
	byTopic bool

	known map[string][]table.Identifier // by topic or route value
	text  []byte
}

// Parse reads the configuration of a connector. The error is a
// [connect.ConfigError].
func Parse(config map[string]string) (*Router, error) {
	r := &Router{known: make(map[string][]table.Identifier)}
	var err error
	if r.dynamic, err = boolean(config, KeyDynamic); err != nil {
		return nil, err
	}
	r.names = list(config[KeyTables])
	if f := strings.TrimSpace(config[KeyRouteField]); f != "" {
		r.field = newPath(f)
	}
	switch {
	case r.dynamic && len(r.names) > 0:
		return nil, invalid(KeyTables, config[KeyTables], "give either a list of tables or "+KeyDynamic+"=true, not both")
	case !r.dynamic && len(r.names) == 0:
		return nil, invalid(KeyTables, config[KeyTables], "list the tables, or set "+KeyDynamic+"=true")
	case r.dynamic && r.field == nil:
		return nil, invalid(KeyRouteField, config[KeyRouteField], KeyDynamic+"=true needs the field that names the table")
	}
	return r, r.parseTables(config)
}

func (r *Router) parseTables(config map[string]string) error {
	for _, name := range r.names {
		r.byTopic = r.byTopic || strings.Contains(name, topicMark)
		id, ok := identifier(strings.ReplaceAll(name, topicMark, "topic"))
		if !ok {
			return invalid(KeyTables, name, "a table is namespace.table, its parts not empty")
		}
		r.static = append(r.static, id)
	}
	switch {
	case r.byTopic && r.field != nil:
		return invalid(KeyTables, strings.Join(r.names, ","), topicMark+" does not go together with "+KeyRouteField)
	case r.dynamic || r.field == nil:
		return nil
	}
	for _, name := range r.names {
		key := tablePrefix + name + regexSuffix
		m, err := compile(config[key])
		if err != nil {
			return invalid(key, config[key], err.Error())
		}
		r.regexes = append(r.regexes, m)
	}
	return nil
}

// Static returns the tables that are known without a record: none if they come from
// a field or the topic.
func (r *Router) Static() []table.Identifier {
	if r.byTopic {
		return nil
	}
	return r.static
}

// Tables appends the tables of a record to buf. The identifiers are shared: read
// only. A record that cannot be routed, because its value has no fields or its route
// field is no scalar, is a [connect.DataError]. The value may be null: a tombstone
// has no route field.
func (r *Router) Tables(rec *connect.Record, buf []table.Identifier) ([]table.Identifier, error) {
	switch {
	case r.byTopic:
		ids, ok := r.known[rec.Topic]
		if !ok {
			ids = r.remember(rec.Topic, r.ofTopic(rec.Topic))
		}
		return append(buf, ids...), nil
	case r.field == nil:
		return append(buf, r.static...), nil
	}
	v, s, err := r.field.find(rec.ValueSchema, rec.Value)
	if err != nil || v.IsNull() {
		return buf, err
	}
	if r.text, err = r.field.appendText(r.text[:0], v, s); err != nil {
		return buf, err
	}
	ids, ok := r.known[string(r.text)]
	if !ok {
		if ids, err = r.ofValue(string(r.text)); err != nil {
			return buf, err
		}
		r.remember(string(r.text), ids)
	}
	return append(buf, ids...), nil
}

func (r *Router) remember(value string, ids []table.Identifier) []table.Identifier {
	if len(r.known) >= maxCached {
		clear(r.known)
	}
	r.known[strings.Clone(value)] = ids
	return ids
}

func (r *Router) ofTopic(topic string) []table.Identifier {
	name := strings.ReplaceAll(strings.ToLower(topic), ".", "_")
	ids := make([]table.Identifier, 0, len(r.names))
	for _, n := range r.names {
		ids = append(ids, strings.Split(strings.ReplaceAll(n, topicMark, name), "."))
	}
	return ids
}

func (r *Router) ofValue(value string) ([]table.Identifier, error) {
	if r.dynamic {
		id, ok := identifier(strings.ToLower(value))
		if !ok || len(value) > maxName || strings.ContainsFunc(value, forbidden) {
			return nil, &connect.DataError{
				Msg:  fmt.Sprintf("route field %q: %.100q is no table name", r.field.text, value),
				Hint: "it must be namespace.table, its parts not empty and without slashes or control characters",
			}
		}
		return []table.Identifier{id}, nil
	}
	var ids []table.Identifier
	for i, m := range r.regexes {
		if m.matches(value) {
			ids = append(ids, r.static[i])
		}
	}
	return ids, nil
}

// forbidden are characters that a record must not bring into a table's location.
func forbidden(c rune) bool {
	return c == '/' || c == '\\' || unicode.IsControl(c) || c == unicode.ReplacementChar
}

// identifier splits a name on its dots.
func identifier(name string) (table.Identifier, bool) {
	id := strings.Split(name, ".")
	for _, part := range id {
		if strings.TrimSpace(part) == "" {
			return nil, false
		}
	}
	return id, true
}

// list reads a value of ConfigDef's type LIST.
func list(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func boolean(config map[string]string, key string) (bool, error) {
	text, ok := config[key]
	if !ok {
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid(key, text, "Expected value to be either true or false")
}

// invalid words an error as Java's ConfigException does.
func invalid(key, value, why string) error {
	return connect.ConfigError{Key: key, Message: fmt.Sprintf("Invalid value %s for configuration %s: %s", value, key, why)}
}

// Unused returns the keys iceberg.table.NAME.route-regex whose NAME is in no list,
// sorted: most likely a misspelling.
func (r *Router) Unused(config map[string]string) []string {
	unused := make(map[string]bool)
	for key := range config {
		if strings.HasPrefix(key, tablePrefix) && strings.HasSuffix(key, regexSuffix) {
			unused[key] = true
		}
	}
	for _, name := range r.names {
		delete(unused, tablePrefix+name+regexSuffix)
	}
	return slices.Sorted(maps.Keys(unused))
}
