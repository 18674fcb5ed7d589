package rest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/firn-io/firn/internal/openapi"
)

func readOpenAPI(t *testing.T) *openapi.Document {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// checkAnswer compares an answer with what is described.
func checkAnswer(t *testing.T, doc *openapi.Document, x *exchange, status int, body string) {
	t.Helper()
	if err := doc.Check(openapi.Exchange{Method: x.method, Target: x.path, Request: x.body, Status: status, Answer: body}); err != nil {
		t.Errorf("%s %s: %v", x.method, x.path, err)
	}
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
		checkAnswer(t, doc, &x, x.status, x.answer)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	status, header, body := ask(t, "GET", serve(t, &fakeHerder{}).URL+"/openapi.json", "")
	if status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("answered %d %v", status, header)
	}
	if !strings.Contains(body, `"openapi": "3.1.0"`) && !strings.Contains(body, `"openapi":"3.1.0"`) {
		t.Errorf("it is %.100s", body)
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
		checkAnswer(t, doc, &exchange{method: method, path: path}, status, body)
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
			if doc.ValidText(doc.Named(name), text) == nil {
				t.Errorf("%s takes %s", name, text)
			}
		}
	}
}
