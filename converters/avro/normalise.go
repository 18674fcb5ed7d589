package avro

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/converters/registry"
)

const (
	maxSchemaBytes = 16 << 20
	maxNesting     = 200 // of a schema's text

	// noNamespace stands in front of the names that have no namespace.
	noNamespace = "firn_no_namespace"

	// Where normalise puts JSON that the parser would judge or round.
	propDefault        = "firn.default"
	propConnectDefault = "firn.connect.default"
)

// A parser reads the schemas of one id: what the schema refers to, then the schema.
//
// hamba/avro does the parsing. It looks up a name without a namespace only next to
// where it is used, refuses a whole schema for a default that does not fit, and reads
// numbers as float64; Java does none of it. So names are completed, and defaults set
// aside as text, before the schema goes to it. Its cache is fresh for each id: names
// of one schema must not leak into another.
type parser struct {
	cache    *avro.SchemaCache
	declared map[string]bool // full names
}

// parse reads a schema of the registry.
func parse(s *registry.Schema) (avro.Schema, error) {
	p := &parser{cache: &avro.SchemaCache{}, declared: map[string]bool{}}
	for _, r := range s.References {
		if _, err := p.one(r.Text); err != nil {
			return nil, fmt.Errorf("parse %s version %d: %w", r.Subject, r.Version, err)
		}
	}
	a, err := p.one(s.Text)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return a, nil
}

func (p *parser) one(text string) (avro.Schema, error) {
	if len(text) > maxSchemaBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxSchemaBytes)
	}
	var tree any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&tree) != nil {
		tree = strings.TrimSpace(text) // a bare name
	}
	tree, err := p.schema(tree, "", 0)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	a, err := avro.ParseBytesWithCache(plain, "", p.cache)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), noNamespace+".", ""))
	}
	return a, nil
}

// schema completes the names in a schema that stands in the namespace.
func (p *parser) schema(tree any, space string, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("it has more than %d levels of nesting", maxNesting)
	}
	var err error
	switch t := tree.(type) {
	case string:
		return p.reference(t, space), nil
	case []any:
		for i := range t {
			if t[i], err = p.schema(t[i], space, depth+1); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		return t, p.object(t, space, depth)
	}
	return tree, nil
}

func (p *parser) object(m map[string]any, space string, depth int) (err error) {
	if v, ok := m["connect.default"]; ok {
		setAside(m, "connect.default", propConnectDefault, v)
	}
	kind, ok := m["type"].(string)
	if !ok {
		m["type"], err = p.schema(m["type"], space, depth+1)
		return err
	}
	switch kind {
	case "record", "error", "enum", "fixed":
		space = p.declare(m, space)
		if fields, ok := m["fields"].([]any); ok && kind != "enum" && kind != "fixed" {
			return p.fields(fields, space, depth)
		}
	case "array":
		m["items"], err = p.schema(m["items"], space, depth+1)
	case "map":
		m["values"], err = p.schema(m["values"], space, depth+1)
	default:
		m["type"] = p.reference(kind, space)
	}
	return err
}

// declare gives a named type its full name and returns the namespace inside it.
func (p *parser) declare(m map[string]any, space string) string {
	delete(m, "aliases")
	if _, ok := m["doc"].(string); !ok {
		delete(m, "doc")
	}
	name, ok := m["name"].(string)
	if !ok || name == "" {
		return space
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		space, name = name[:dot], name[dot+1:]
	} else if own, ok := m["namespace"].(string); ok {
		space = own
	}
	delete(m, "namespace")
	full := join(space, name)
	p.declared[full] = true
	m["name"] = full
	return space
}

func (p *parser) fields(fields []any, space string, depth int) (err error) {
	for _, f := range fields {
		m, ok := f.(map[string]any)
		if !ok {
			continue
		}
		delete(m, "aliases")
		delete(m, "order")
		if _, ok := m["doc"].(string); !ok {
			delete(m, "doc")
		}
		if v, ok := m["default"]; ok {
			setAside(m, "default", propDefault, v)
		}
		if m["type"], err = p.schema(m["type"], space, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// reference completes a name as Java does: next to where it is used, else without a
// namespace.
func (p *parser) reference(name, space string) string {
	if primitives[avro.Type(name)] != 0 || name == string(avro.Null) || strings.ContainsRune(name, '.') {
		return name
	}
	if full := join(space, name); p.declared[full] {
		return full
	}
	return join("", name)
}

func join(space, name string) string {
	if space == "" {
		space = noNamespace
	}
	return space + "." + name
}

// setAside moves a value to another member, as JSON text.
func setAside(m map[string]any, from, to string, v any) {
	delete(m, from)
	if text, err := json.Marshal(v); err == nil {
		m[to] = string(text)
	}
}

// fullName is the name as the schema's author knows it.
func fullName(s avro.NamedSchema) string {
	return strings.TrimPrefix(s.FullName(), noNamespace+".")
}
