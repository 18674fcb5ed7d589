// Package openapi checks messages against a description of an HTTP API in OpenAPI 3.1, as
// far as rest/openapi.json needs it: what a test did not know it would not have checked, so
// any other word in a schema is an error. It is for tests; nothing in it is part of the product.
package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Schema is a JSON Schema in few words.
type Schema = map[string]any

// A Document is a description that has been read. It is only read then.
type Document struct {
	root  map[string]any
	paths []path
}

type path struct {
	form    *regexp.Regexp
	methods map[string]any
}

// Read reads a description.
func Read(text []byte) (*Document, error) {
	d := &Document{}
	if err := json.Unmarshal(text, &d.root); err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	paths, _ := d.root["paths"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		form := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(name), `[^/]+`)
		d.paths = append(d.paths, path{regexp.MustCompile("^" + form + "/?$"), paths[name].(map[string]any)})
	}
	return d, nil
}

// Named is the schema of a component.
func (d *Document) Named(name string) Schema { return d.at("#/components/schemas/" + name) }

// at follows #/a/b.
func (d *Document) at(ref string) map[string]any {
	v := d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		v = v[part].(map[string]any)
	}
	return v
}

func (d *Document) deref(v any) map[string]any {
	m := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return d.deref(d.at(ref))
	}
	return m
}

// operation is what is described for a request, nil if nothing is.
func (d *Document) operation(method, target string) map[string]any {
	name, _, _ := strings.Cut(target, "?")
	for _, p := range d.paths {
		if op, ok := p.methods[strings.ToLower(method)].(map[string]any); ok && p.form.MatchString(name) {
			return op
		}
	}
	return nil
}

// content is the schema of a response or of a request's body, nil if there is no body.
func (d *Document) content(v any) Schema {
	content, ok := d.deref(v)["content"].(map[string]any)
	if !ok {
		return nil
	}
	return content["application/json"].(map[string]any)["schema"].(map[string]any)
}

// An Exchange is a request and its answer.
type Exchange struct {
	Method, Target string // the path, with its query if there is one
	Request        string // body
	Status         int
	Answer         string // body
}

// Check compares an exchange with what is described: every status that is no success has
// the common form of errors, and so have paths and methods that are not described.
func (d *Document) Check(x Exchange) error {
	op := d.operation(x.Method, x.Target)
	if op == nil {
		if x.Answer == "" {
			return nil
		}
		return d.ValidText(d.Named("Error"), x.Answer)
	}
	responses := op["responses"].(map[string]any)
	response, ok := responses[strconv.Itoa(x.Status)]
	if !ok {
		if x.Status < 400 {
			return fmt.Errorf("the status %d is not described", x.Status)
		}
		response = responses["default"]
	}
	s := d.content(response)
	if (s == nil) != (x.Answer == "") {
		return fmt.Errorf("the status %d has the body %q, and described is %v", x.Status, x.Answer, s)
	}
	var errs [2]error
	if s != nil {
		errs[0] = d.ValidText(s, x.Answer)
	}
	if request, ok := op["requestBody"]; ok && x.Status < 400 {
		errs[1] = d.ValidText(d.content(request), x.Request)
	}
	return errors.Join(errs[:]...)
}

// ValidText compares JSON with a schema.
func (d *Document) ValidText(s Schema, text string) error {
	var v any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	if err := d.valid(s, v, "the body"); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// valid compares a value with a schema; where is for the error.
func (d *Document) valid(s Schema, v any, where string) error {
	for word := range s {
		if !slices.Contains([]string{"$ref", "type", "enum", "properties", "required", "additionalProperties", "items", "oneOf", "description"}, word) {
			return fmt.Errorf("openapi.json uses the word %q, which this test does not know", word)
		}
	}
	if _, ok := s["$ref"]; ok {
		return d.valid(d.deref(s), v, where)
	}
	if all, ok := s["oneOf"].([]any); ok {
		fitting := 0
		for _, one := range all {
			if d.valid(one.(Schema), v, where) == nil {
				fitting++
			}
		}
		if fitting != 1 {
			return fmt.Errorf("%s fits %d of %d forms", where, fitting, len(all))
		}
	}
	if types, ok := s["type"]; ok && !isOf(types, kindOf(v)) {
		return fmt.Errorf("%s is of type %s, want %v", where, kindOf(v), types)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s is %v, want one of %v", where, v, enum)
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if err := d.valid(s["items"].(Schema), item, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return d.validObject(s, v, where)
	}
	return nil
}

func (d *Document) validObject(s Schema, v map[string]any, where string) error {
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%s has no %s", where, key)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for key, member := range v {
		rule, known := properties[key]
		if !known {
			rule = s["additionalProperties"]
		}
		switch rule := rule.(type) {
		case Schema:
			if err := d.valid(rule, member, where+"."+key); err != nil {
				return err
			}
		case bool:
			if !rule {
				return fmt.Errorf("%s has %s, which is not described", where, key)
			}
		}
	}
	return nil
}

// isOf tells whether a kind is one of types, a text or a list of texts.
func isOf(types any, kind string) bool {
	list, ok := types.([]any)
	if !ok {
		list = []any{types}
	}
	return slices.Contains(list, any(kind)) || kind == "integer" && slices.Contains(list, any("number"))
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
