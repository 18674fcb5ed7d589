package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
)

// Configuration keys.
const (
	KeyTables       = "iceberg.tables"
	KeyDynamic      = "iceberg.tables.dynamic-enabled"
	KeyRouteField   = "iceberg.tables.route-field"
	KeyRouteBy      = "iceberg.tables.route-by"
	KeyRouteHeader  = "iceberg.tables.route-header"
	KeyMapping      = "iceberg.tables.topic-to-table-mapping"
	KeyNamespace    = "iceberg.tables.default-namespace"
	KeyPreserveCase = "iceberg.tables.preserve-case"

	TablePrefix = "iceberg.table."
	RegexSuffix = ".route-regex"
)

// Values of KeyRouteBy.
const (
	ByField  = "field"
	ByTopic  = "topic"
	ByHeader = "header"
)

// topicMark stands for the topic in a table's name.
const topicMark = "${topic}"

// Parse reads the configuration of a connector. The error is a
// [connect.ConfigError].
func Parse(config map[string]string) (*Router, error) {
	p := parser{config: config, r: &Router{known: make(map[string][]table.Identifier)}}
	for _, step := range []func() error{p.read, p.source, p.agree} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.r, nil
}

// A parser fills in a router.
type parser struct {
	config map[string]string
	r      *Router
}

func (p *parser) text(key string) string { return strings.TrimSpace(p.config[key]) }

// read reads how names are made.
func (p *parser) read() (err error) {
	r := p.r
	if r.dynamic, err = p.boolean(KeyDynamic); err != nil {
		return err
	}
	if r.preserveCase, err = p.boolean(KeyPreserveCase); err != nil {
		return err
	}
	if r.namespace = p.text(KeyNamespace); r.namespace != "" {
		if _, ok := identifier(r.namespace); !ok {
			return p.invalid(KeyNamespace, "the levels of a namespace are not empty")
		}
	}
	r.names = list(p.config[KeyTables])
	for _, item := range list(p.config[KeyMapping]) {
		topic, name, _ := strings.Cut(item, ":")
		topic, name = strings.TrimSpace(topic), strings.TrimSpace(name)
		if _, ok := r.identifier(name); !ok || topic == "" {
			return invalid(KeyMapping, item, "it is a list of topic:table")
		}
		if r.mapping == nil {
			r.mapping = make(map[string][]string)
		}
		r.mapping[topic] = append(r.mapping[topic], name)
	}
	return nil
}

// source reads where the route value is.
func (p *parser) source() error {
	r, by, field := p.r, p.text(KeyRouteBy), p.text(KeyRouteField)
	r.header = p.text(KeyRouteHeader)
	switch {
	case by != ByHeader && r.header != "":
		return p.invalid(KeyRouteBy, "it must be header for "+KeyRouteHeader+" to count")
	case (by == ByHeader || by == ByTopic) && field != "":
		return p.invalid(KeyRouteField, "it does not go together with "+KeyRouteBy+"="+by)
	}
	switch by {
	case ByHeader:
		if r.from = fromHeader; r.header == "" {
			return p.invalid(KeyRouteHeader, KeyRouteBy+"=header needs the name of the header")
		}
	case ByTopic:
		r.from = fromTopic
	case ByField, "":
		if field != "" {
			r.from, r.field = fromField, NewPath(KeyRouteField, field)
		}
	default:
		return p.invalid(KeyRouteBy, "String must be one of: field, topic, header")
	}
	return nil
}

// agree checks what goes together.
func (p *parser) agree() error {
	r := p.r
	marked := 0
	for _, name := range r.names {
		if strings.Contains(name, topicMark) {
			marked++
		}
	}
	switch {
	case r.dynamic && len(r.names) > 0:
		return p.invalid(KeyTables, "give either a list of tables or "+KeyDynamic+"=true, not both")
	case r.dynamic && r.mapping != nil:
		return p.invalid(KeyMapping, "give either a mapping or "+KeyDynamic+"=true, not both")
	case r.dynamic && r.from == fromNothing:
		return p.invalid(KeyRouteField, KeyDynamic+"=true needs the field that names the table, or "+KeyRouteBy+"=topic or header")
	case !r.dynamic && r.mapping == nil && len(r.names) == 0:
		return p.invalid(KeyTables, "list the tables, or set "+KeyDynamic+"=true")
	case marked > 0 && r.from != fromNothing:
		return p.invalid(KeyTables, topicMark+" does not go together with "+KeyRouteField+" and "+KeyRouteBy)
	case r.mapping != nil && r.from != fromNothing:
		return p.invalid(KeyMapping, "it does not go together with "+KeyRouteField+" and "+KeyRouteBy)
	case r.mapping != nil && marked < len(r.names):
		return p.invalid(KeyTables, "beside "+KeyMapping+" every name must hold "+topicMark+", for the topics that are not in the mapping")
	}
	if marked > 0 || r.mapping != nil {
		r.from = fromTopic
	}
	return p.tables(marked > 0)
}

// tables makes identifiers of the names, and reads the patterns that choose among them.
func (p *parser) tables(marked bool) error {
	r := p.r
	for _, name := range r.names {
		id, ok := r.identifier(strings.ReplaceAll(name, topicMark, "topic"))
		if !ok {
			return invalid(KeyTables, name, "a table is namespace.table, its parts not empty")
		}
		if marked {
			continue
		}
		r.static = append(r.static, id)
		if r.from == fromNothing {
			continue
		}
		key := TablePrefix + name + RegexSuffix
		m, err := compile(p.config[key])
		if err != nil {
			return p.invalid(key, err.Error())
		}
		r.regexes = append(r.regexes, m)
	}
	if marked {
		return nil
	}
	for _, topic := range slices.Sorted(maps.Keys(r.mapping)) {
		for _, name := range r.mapping[topic] {
			id, _ := r.identifier(name) // read has looked at it
			if !slices.ContainsFunc(r.static, func(o table.Identifier) bool { return slices.Equal(o, id) }) {
				r.static = append(r.static, id)
			}
		}
	}
	return nil
}

// boolean is false for a key that is not given.
func (p *parser) boolean(key string) (bool, error) {
	switch strings.ToLower(p.text(key)) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	if _, given := p.config[key]; !given {
		return false, nil
	}
	return false, p.invalid(key, "Expected value to be either true or false")
}

func (p *parser) invalid(key, why string) error { return invalid(key, p.config[key], why) }

// invalid words an error as Java's ConfigException does.
func invalid(key, value, why string) error {
	return connect.ConfigError{Key: key, Message: fmt.Sprintf("Invalid value %s for configuration %s: %s", value, key, why)}
}

// list reads a value of ConfigDef's type LIST without its empty items.
func list(text string) []string { return (connect.Values{"": text}).List("") }
