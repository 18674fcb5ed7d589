package connect_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

func TestConfigDefParse(t *testing.T) {
	def := &connect.ConfigDef{Keys: []connect.ConfigKey{
		{Name: "b", Type: connect.TypeBoolean, Default: new("false")},
		{Name: "s", Type: connect.TypeString, Default: new("dflt")},
		{Name: "i", Type: connect.TypeInt},
		{Name: "h", Type: connect.TypeShort},
		{Name: "l", Type: connect.TypeLong},
		{Name: "d", Type: connect.TypeDouble},
		{Name: "list", Type: connect.TypeList},
		{Name: "p", Type: connect.TypePassword},
		{Name: "r", Type: connect.TypeString, Required: true},
		{Name: "n", Type: connect.TypeInt, Default: new("1"), NotNull: true, Check: func(v string) error {
			if v == "0" {
				return errors.New("Value must be at least 1")
			}
			return nil
		}},
	}}
	tests := []struct {
		key, value string
		want       string   // canonical value
		errs       []string // sentences
	}{
		{"b", " TRUE ", "true", nil},
		{"b", "yes", "", []string{"Invalid value yes for configuration b: Expected value to be either true or false"}},
		{"s", " x ", "x", nil},
		{"i", " +007 ", "7", nil},
		{"i", "2147483648", "", []string{"Invalid value 2147483648 for configuration i: Not a number of type INT"}},
		{"i", "1.0", "", []string{"Invalid value 1.0 for configuration i: Not a number of type INT"}},
		{"i", "", "", []string{"Invalid value  for configuration i: Not a number of type INT"}},
		{"h", "-32768", "-32768", nil},
		{"h", "32768", "", []string{"Invalid value 32768 for configuration h: Not a number of type SHORT"}},
		{"l", "9223372036854775807", "9223372036854775807", nil},
		{"d", "1e3", "1e3", nil},
		{"d", "x", "", []string{"Invalid value x for configuration d: Not a number of type DOUBLE"}},
		{"list", " a , b,,c ", "a,b,,c", nil},
		{"list", "  ", "", nil},
		{"n", "0", "0", []string{"Invalid value 0 for configuration n: Value must be at least 1"}},
		{"n", "x", "", []string{
			"Invalid value x for configuration n: Not a number of type INT",
			"Invalid value null for configuration n: Value must be non-null",
		}},
	}
	for _, tt := range tests {
		values, err := def.Parse(map[string]string{"r": "given", tt.key: tt.value})
		var errs []string
		if err != nil {
			errs = strings.Split(err.Error(), "\n")
		}
		if values[tt.key] != tt.want || !slices.Equal(errs, tt.errs) {
			t.Errorf("%s=%q became %q, %q; want %q, %q", tt.key, tt.value, values[tt.key], errs, tt.want, tt.errs)
		}
	}
	values, err := def.Parse(nil)
	if want := `Missing required configuration "r" which has no default value.`; err == nil || err.Error() != want {
		t.Errorf("an empty config failed with %v, want %s", err, want)
	}
	if values["s"] != "dflt" || values.Bool("b") || values.Int("n") != 1 || values.Int("i") != 0 {
		t.Errorf("an empty config gave %v, want the defaults", values)
	}
}

func TestConfigDefHidesPasswords(t *testing.T) {
	def := &connect.ConfigDef{Keys: []connect.ConfigKey{{
		Name: "p", Type: connect.TypePassword, Default: new("secret"),
		Check: func(string) error { return errors.New("too short") },
	}}}
	for _, given := range []map[string]*string{nil, {"p": new("secret")}} {
		info := def.Validate(given)[0]
		if *info.Value.Value != "[hidden]" || *info.Definition.DefaultValue != "[hidden]" || strings.Contains(info.Value.Errors[0], "secret") {
			t.Errorf("with %v shows %q, default %q, error %q", given, *info.Value.Value, *info.Definition.DefaultValue, info.Value.Errors)
		}
	}
}

func TestValuesMillis(t *testing.T) {
	v := connect.Values{"a": "1500", "b": "9223372036854775807"}
	if got := v.Millis("a"); got != 1500*time.Millisecond {
		t.Errorf("1500 ms are %v", got)
	}
	if got := v.Millis("b"); got < 290*365*24*time.Hour {
		t.Errorf("the longest time became %v: it must not wrap", got)
	}
}
