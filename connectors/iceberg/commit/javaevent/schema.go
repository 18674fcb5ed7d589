package javaevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A node is a type of an Avro schema. Records may refer to themselves.
type node struct {
	kind   string  // one of Avro's names: null, int, record, ...
	size   int64   // of fixed
	items  *node   // of array and map
	union  []*node // branches
	fields []field // of record
}

type field struct {
	id   int // field-id, -1 for none
	node *node
}

const maxDepth = 32 // of nested types and values; Java's events have 6

// parseSchema reads a schema. Java declares some named types in the null namespace
// ("namespace":"") and refers to them by bare name from within another: as in Java's
// parser, a name that the enclosing namespace does not have is looked up there.
func parseSchema(text []byte) (*node, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	p := schemaParser{named: map[string]*node{}}
	n, err := p.parse(v, "", 0)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return n, nil
}

type schemaParser struct{ named map[string]*node }

func (p *schemaParser) parse(v any, namespace string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errors.New("types are nested too deeply")
	}
	switch v := v.(type) {
	case string:
		return p.lookUp(v, namespace)
	case []any:
		n := &node{kind: "union"}
		for _, b := range v {
			branch, err := p.parse(b, namespace, depth+1)
			if err != nil {
				return nil, err
			}
			n.union = append(n.union, branch)
		}
		return n, nil
	case map[string]any:
		return p.complexType(v, namespace, depth)
	}
	return nil, fmt.Errorf("a type cannot be %T", v)
}

func (p *schemaParser) lookUp(name, namespace string) (*node, error) {
	switch name {
	case "null", "boolean", "int", "long", "float", "double", "bytes", "string":
		return &node{kind: name}, nil
	}
	if n := p.named[fullName(name, namespace)]; n != nil {
		return n, nil
	}
	if n := p.named[name]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("unknown type %.100q", name)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *schemaParser) complexType(v map[string]any, namespace string, depth int) (*node, error) {
	kind, isName := v["type"].(string)
	if !isName {
		return p.parse(v["type"], namespace, depth+1)
	}
	n := &node{kind: kind}
	var err error
	switch kind {
	case "array":
		n.items, err = p.parse(v["items"], namespace, depth+1)
	case "map":
		n.items, err = p.parse(v["values"], namespace, depth+1)
	case "fixed":
		size, ok := number(v["size"])
		if !ok {
			return nil, errors.New("a fixed type without a size")
		}
		n.size = int64(size)
		p.name(n, v, namespace)
	case "enum":
		p.name(n, v, namespace)
	case "record":
		err = p.record(n, v, p.name(n, v, namespace), depth)
	default:
		return p.lookUp(kind, namespace)
	}
	return n, err
}

// name registers a named type and returns the namespace within it.
func (p *schemaParser) name(n *node, v map[string]any, namespace string) string {
	if own, ok := v["namespace"].(string); ok {
		namespace = own
	}
	name, _ := v["name"].(string) // without a name nothing refers to it
	full := fullName(name, namespace)
	p.named[full] = n
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i]
	}
	return ""
}

func (p *schemaParser) record(n *node, v map[string]any, namespace string, depth int) error {
	fields, _ := v["fields"].([]any) // none: a record without fields
	for _, f := range fields {
		f, ok := f.(map[string]any)
		if !ok {
			return fmt.Errorf("a field cannot be %T", f)
		}
		t, err := p.parse(f["type"], namespace, depth+1)
		if err != nil {
			return err
		}
		id, ok := number(f["field-id"])
		if !ok {
			id = -1
		}
		n.fields = append(n.fields, field{id, t})
	}
	return nil
}

// number is a whole number of JSON that fits 31 bits.
func number(v any) (int, bool) {
	f, ok := v.(float64)
	if !ok || f < 0 || f > 1<<31-1 || f != float64(int(f)) {
		return 0, false
	}
	return int(f), true
}
