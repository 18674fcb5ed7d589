package connect

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Validate checks every key of the definition against config and returns one entry for
// each, in the order of declaration. A nil value counts as null, an absent key takes its
// default. The sentences are Java's (org.apache.kafka.common.config.ConfigDef).
func (d *ConfigDef) Validate(config map[string]*string) []ConfigInfo {
	infos := make([]ConfigInfo, len(d.Keys))
	for i := range d.Keys {
		k := &d.Keys[i]
		value, errs := k.value(config)
		if k.Type == TypePassword && value != nil {
			value = new(hidden)
		}
		infos[i] = ConfigInfo{
			Definition: k.Info(),
			Value:      ValueInfo{Name: k.Name, Value: value, RecommendedValues: []string{}, Errors: errs, Visible: true},
		}
	}
	return infos
}

// hidden is how Java prints a password.
const hidden = "[hidden]"

// Parse checks config and returns the values in effect, or everything that is wrong, in
// the order of declaration: an error that joins one [ConfigError] per fault.
func (d *ConfigDef) Parse(config map[string]string) (Values, error) {
	given := make(map[string]*string, len(config))
	for k, v := range config {
		given[k] = &v
	}
	values := make(Values, len(d.Keys))
	var faults []error
	for i := range d.Keys {
		k := &d.Keys[i]
		value, errs := k.value(given)
		for _, e := range errs {
			faults = append(faults, ConfigError{k.Name, e})
		}
		if value != nil {
			values[k.Name] = *value
		}
	}
	return values, errors.Join(faults...)
}

// value finds the value in effect, in canonical form, nil for null; and what is wrong
// with it.
func (k *ConfigKey) value(config map[string]*string) (value *string, errs []string) {
	errs = []string{}
	value, given := config[k.Name]
	switch {
	case given && value != nil:
		text, err := k.Type.canonical(*value)
		if err != nil {
			errs = append(errs, k.invalid(*value, err))
			value = nil
		} else {
			value = &text
		}
	case given:
	case k.Required:
		errs = append(errs, `Missing required configuration "`+k.Name+`" which has no default value.`)
	default:
		value = k.Default
	}
	if value == nil {
		if k.NotNull {
			errs = append(errs, k.invalid("null", errNull))
		}
		return nil, errs
	}
	if k.Check != nil {
		if err := k.Check(*value); err != nil {
			errs = append(errs, k.invalid(*value, err))
		}
	}
	return value, errs
}

var errNull = errors.New("Value must be non-null")

// invalid is Java's sentence for a value that cannot be; it shows no secrets.
func (k *ConfigKey) invalid(value string, err error) string {
	if k.Type == TypePassword {
		value = hidden
	}
	return fmt.Sprintf("Invalid value %s for configuration %s: %v", value, k.Name, err)
}

// canonical parses text as a value of the type and prints it as Java would.
func (t ConfigType) canonical(text string) (string, error) {
	text = strings.TrimFunc(text, javaSpace)
	switch t {
	case TypeBoolean:
		switch strings.ToLower(text) {
		case "true", "false":
			return strings.ToLower(text), nil
		}
		return "", errors.New("Expected value to be either true or false") //nolint:staticcheck // Java's wording
	case TypeShort:
		return integer(text, t, math.MinInt16, math.MaxInt16)
	case TypeInt:
		return integer(text, t, math.MinInt32, math.MaxInt32)
	case TypeLong:
		return integer(text, t, math.MinInt64, math.MaxInt64)
	case TypeDouble:
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "", notANumber(t)
		}
		return text, nil
	case TypeList:
		return strings.Join(SplitList(text), ","), nil
	case TypeString, TypeClass, TypePassword:
	}
	return text, nil
}

func integer(text string, t ConfigType, low, high int64) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return "", notANumber(t)
	}
	return strconv.FormatInt(n, 10), nil
}

func notANumber(t ConfigType) error {
	return fmt.Errorf("Not a number of type %s", t) //nolint:staticcheck // Java's wording
}

// javaSpace tells what String.trim removes.
func javaSpace(r rune) bool { return r <= ' ' }

// SplitList splits a LIST value at its commas and trims the items; an empty list has
// none. Empty items stay.
func SplitList(text string) []string {
	text = strings.TrimFunc(text, javaSpace)
	if text == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimFunc(items[i], unicode.IsSpace)
	}
	return items
}

// Values are the values of a definition's keys, parsed and printed again; null ones are
// absent. The getters answer the zero value for those.
type Values map[string]string

// Bool returns the value of a BOOLEAN key.
func (v Values) Bool(key string) bool { return v[key] == "true" }

// Int returns the value of an INT, SHORT or LONG key.
func (v Values) Int(key string) int64 {
	n, _ := strconv.ParseInt(v[key], 10, 64) // Parse has looked at it; null is 0
	return n
}

// Millis returns the value of a key that counts milliseconds; what a Duration cannot hold
// becomes the longest one.
func (v Values) Millis(key string) time.Duration {
	const most = int64(math.MaxInt64 / time.Millisecond)
	return time.Duration(max(-most, min(most, v.Int(key)))) * time.Millisecond
}

// List returns the items of a LIST key without the empty ones.
func (v Values) List(key string) []string {
	var items []string
	for _, s := range SplitList(v[key]) {
		if s != "" {
			items = append(items, s)
		}
	}
	return items
}
