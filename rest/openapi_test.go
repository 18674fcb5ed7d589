package rest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A schema is a JSON Schema in the few words that openapi.json uses. Any other word is an
// error of the test, so that nothing seems to be checked that is not.
type schema = map[string]any

// openAPI is openapi.json with what it takes to check messages against it.
type openAPI struct {
	root  map[string]any
	paths []describedPath
}

type describedPath struct {
	form    *regexp.Regexp
	methods map[string]any
}

func readOpenAPI(t *testing.T) *openAPI {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc := &openAPI{root: parsed(t, string(text)).(map[string]any)}
	paths := doc.root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		form := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)
		doc.paths = append(doc.paths, describedPath{regexp.MustCompile("^" + form + "/?$"), paths[path].(map[string]any)})
	}
	return doc
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// at follows #/a/b.
func (d *openAPI) at(ref string) map[string]any {
	v := d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		v = v[part].(map[string]any)
	}
	return v
}

func (d *openAPI) deref(v any) map[string]any {
	m := v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return d.deref(d.at(ref))
	}
	return m
}

// operation is what is described for a request, nil if nothing is.
func (d *openAPI) operation(method, target string) map[string]any {
	path, _, _ := strings.Cut(target, "?")
	for _, p := range d.paths {
		if op, ok := p.methods[strings.ToLower(method)].(map[string]any); ok && p.form.MatchString(path) {
			return op
		}
	}
	return nil
}

// content is the schema of a response or of a request's body, nil if there is no body.
func (d *openAPI) content(v any) schema {
	content, ok := d.deref(v)["content"].(map[string]any)
	if !ok {
		return nil
	}
	return content["application/json"].(map[string]any)["schema"].(map[string]any)
}

// checkAnswer compares an answer with what is described: every status that is no success
// has the common form of errors, and so have paths and methods that are not described.
func (d *openAPI) checkAnswer(t *testing.T, x *exchange, status int, body string) {
	t.Helper()
	op := d.operation(x.method, x.path)
	if op == nil {
		if body != "" {
			d.wantValid(t, d.at("#/components/schemas/Error"), body, x)
		}
		return
	}
	responses := op["responses"].(map[string]any)
	response, ok := responses[strconv.Itoa(status)]
	if !ok {
		if status < 400 {
			t.Errorf("%s %s answered %d, which is not described", x.method, x.path, status)
			return
		}
		response = responses["default"]
	}
	s := d.content(response)
	if (s == nil) != (body == "") {
		t.Errorf("%s %s answered %d with the body %q, and described is %v", x.method, x.path, status, body, s)
		return
	}
	if s != nil {
		d.wantValid(t, s, body, x)
	}
	if request, ok := op["requestBody"]; ok && status < 400 {
		d.wantValid(t, d.content(request), x.body, x)
	}
}

func (d *openAPI) wantValid(t *testing.T, s schema, body string, x *exchange) {
	t.Helper()
	if err := d.valid(s, parsed(t, body), "the body"); err != nil {
		t.Errorf("%s %s: %v: %s", x.method, x.path, err, body)
	}
}

// valid compares a value with a schema; where is for the error.
func (d *openAPI) valid(s schema, v any, where string) error {
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
			if d.valid(one.(schema), v, where) == nil {
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
			if err := d.valid(s["items"].(schema), item, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		return d.validObject(s, v, where)
	}
	return nil
}

func (d *openAPI) validObject(s schema, v map[string]any, where string) error {
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
		case schema:
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

// TestOpenAPIFitsJava has the description fit what Java was recorded to answer, too.
func TestOpenAPIFitsJava(t *testing.T) {
	doc := readOpenAPI(t)
	own, err := filepath.Glob("testdata/recorded/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	others, err := filepath.Glob("../worker/testdata/recorded/*.txt") // of plugins and validations
	if err != nil || len(own) < 50 || len(others) < 6 {
		t.Fatalf("%d and %d recorded exchanges (%v), want 50 and 6 at least", len(own), len(others), err)
	}
	for _, file := range slices.Concat(own, others) {
		if strings.HasSuffix(file, "156-double-slash.txt") {
			continue // an HTML page
		}
		x := readExchange(t, file)
		doc.checkAnswer(t, &x, x.status, x.answer)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	status, header, body := ask(t, "GET", serve(t, &fakeHerder{}).URL+"/openapi.json", "")
	if status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("answered %d %v", status, header)
	}
	if doc := parsed(t, body).(map[string]any); doc["openapi"] != "3.1.0" {
		t.Errorf("it is of version %v", doc["openapi"])
	}
}

// TestOpenAPIFitsOtherAnswers is for what the recordings lack.
func TestOpenAPIFitsOtherAnswers(t *testing.T) {
	doc := readOpenAPI(t)
	for _, x := range []struct{ target, reply string }{
		{"GET /", ""},
		{"GET /health", ""},
		{"GET /openapi.json", ""},
		{"GET /admin/loggers", `{"root":{"level":"INFO","last_modified":null},"a.b":{"level":"OFF","last_modified":1795239848415}}`},
		{"GET /admin/loggers/a.b", `{"level":"OFF","last_modified":1795239848415}`},
		{"DELETE /admin/loggers", ""},
		{"GET /connectors?expand=status", `{}`},
		{"PUT /connectors/c/fence", ""},
	} {
		method, path, _ := strings.Cut(x.target, " ")
		status, _, body := ask(t, method, serve(t, &fakeHerder{reply: []byte(x.reply), names: []string{}}).URL+path, "")
		doc.checkAnswer(t, &exchange{method: method, path: path}, status, body)
	}
}

// The check itself must be able to fail.
func TestSchemaCheckFails(t *testing.T) {
	doc := readOpenAPI(t)
	for name, bad := range map[string][]string{
		"Error":         {`{}`, `{"error_code":"1","message":"x"}`, `{"error_code":1,"message":"x","more":1}`, `[]`, `{"error_code":1.5,"message":null}`},
		"Connectors":    {`[1]`, `{"c":{"status":{}}}`, `"c"`},
		"TaskState":     {`{"id":0,"state":"LOST","worker_id":"w"}`, `{"id":0,"state":"RUNNING"}`},
		"Validation":    {`{"name":"n","error_count":0,"groups":[],"configs":[{"definition":1,"value":{}}]}`},
		"LoggerLevel":   {`{"level":"INFO","last_modified":"now"}`},
		"Offsets":       {`{"offsets":[{"partition":{},"offset":{"kafka_offset":"1"}}]}`},
		"ConnectorType": {`"sinks"`},
	} {
		for _, text := range bad {
			if doc.valid(doc.at("#/components/schemas/"+name), parsed(t, text), name) == nil {
				t.Errorf("%s takes %s", name, text)
			}
		}
	}
}
