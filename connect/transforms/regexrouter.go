package transforms

import (
	"errors"
	"fmt"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/javaregex"
)

// topicsKept bounds what a RegexRouter remembers; a task sees a handful of topics.
const topicsKept = 1024

// RegexRouter gives records whose topic matches a regular expression as a whole another
// topic (org.apache.kafka.connect.transforms.RegexRouter).
type RegexRouter struct {
	regex       *javaregex.Pattern
	replacement *javaregex.Replacement
	routes      map[string]string // topic to new topic, as seen so far
}

var _ connect.Transformation = (*RegexRouter)(nil)

// NewRegexRouter makes one, to be configured.
func NewRegexRouter() connect.Transformation { return new(RegexRouter) }

// Version is that of the Kafka release whose behaviour is followed.
func (*RegexRouter) Version() string { return connect.APIVersion }

// ConfigDef declares regex and replacement.
func (*RegexRouter) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		{
			Name: "regex", Type: connect.TypeString, Required: true, Importance: connect.High, Order: -1,
			Doc: "Regular expression to use for matching. It must match the whole topic.",
			Check: func(v string) error {
				if _, err := javaregex.Compile(v); err != nil {
					return fmt.Errorf("Invalid regex: %w", err) //nolint:staticcheck // Java's words
				}
				return nil
			},
		},
		{Name: "replacement", Type: connect.TypeString, Required: true, Importance: connect.High, Order: -1, Doc: "Replacement string. $1 and ${name} stand for groups."},
	}}
}

// Configure compiles both.
func (t *RegexRouter) Configure(config map[string]string) error {
	regex, ok := config["regex"]
	replacement, ok2 := config["replacement"]
	if !ok {
		return errors.New(`Missing required configuration "regex" which has no default value.`) //nolint:revive,staticcheck // Java's sentence
	}
	if !ok2 {
		return errors.New(`Missing required configuration "replacement" which has no default value.`) //nolint:revive,staticcheck // Java's sentence
	}
	var err error
	if t.regex, err = javaregex.Compile(regex); err != nil {
		return fmt.Errorf("Invalid value %s for configuration regex: Invalid regex: %w", regex, err) //nolint:staticcheck // Java's sentence
	}
	if t.replacement, err = t.regex.Replacement(replacement); err != nil {
		return fmt.Errorf("Invalid value %s for configuration replacement: %w", replacement, err) //nolint:staticcheck // Java's sentence
	}
	t.routes = make(map[string]string)
	return nil
}

// Apply sets the topic.
func (t *RegexRouter) Apply(_ *connect.Arena, r *connect.Record) (bool, error) {
	to, ok := t.routes[r.Topic]
	if !ok {
		to = t.route(r.Topic)
	}
	r.Topic = to
	return true, nil
}

func (t *RegexRouter) route(topic string) string {
	to := topic
	if t.regex.Matches(topic) {
		to = t.replacement.ReplaceFirst(topic)
	}
	if len(t.routes) == topicsKept {
		clear(t.routes)
	}
	t.routes[topic] = to
	return to
}
