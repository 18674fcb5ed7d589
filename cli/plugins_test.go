package cli

import (
	"testing"

	"github.com/firn-io/firn/connect"
)

func TestWithAddsToACopy(t *testing.T) {
	newConverter := Builtin().Converters["String"]
	p := Builtin()
	q := p.With("com.example.C", newConverter)
	if q.Converters["com.example.C"] == nil || q.Converters["String"] == nil {
		t.Error("With lost a converter")
	}
	if p.Converters["com.example.C"] != nil {
		t.Error("With changed the plugins it was called on")
	}
}

func TestWithPanicsOnAForeignConstructor(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a func() string was taken for a plugin")
		}
	}()
	Builtin().With("com.example.X", func() string { return "" })
}

// TestEveryPluginCanBeMade calls each constructor: a nil in the table would be found
// by a user otherwise.
func TestEveryPluginCanBeMade(t *testing.T) {
	check := func(class string, p connect.Plugin) {
		if p.ConfigDef() == nil || p.Version() == "" {
			t.Errorf("%s: ConfigDef %v, version %q", class, p.ConfigDef(), p.Version())
		}
	}
	p := Builtin()
	for class, newPlugin := range p.Connectors {
		check(class, newPlugin())
	}
	for class, newPlugin := range p.Converters {
		check(class, newPlugin())
	}
	for class, newPlugin := range p.Transforms {
		check(class, newPlugin())
	}
}
