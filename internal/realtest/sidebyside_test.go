//go:build real && unix

package realtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/internal/openapi"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// sideBySide sends the same requests to a worker in Java and to one of Firn, each alone in
// its cluster, and compares the answers: status, the headers that clients look at, body.
// Names, addresses and times are made alike. What differs is listed with the row of
// docs/COMPATIBILITY.md that says so.
func (s *stack) sideBySide(t *testing.T) {
	browsers := map[string]string{
		"access.control.allow.origin": "https://ui.example.com", "access.control.allow.methods": "GET,PUT",
		"response.http.headers.config": "set X-Frame-Options: DENY,\"add Cache-Control: no-cache, no-store\"",
	}
	java, err := parts.NewJavaConnect(t.Context(), s.folder(t, "side-java"), s.kafka.Bootstrap, "side-java", browsers)
	have(t, err)
	if err := java.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, java.Process) })
	c := s.cluster(t, "side-firn", 1, merged(browsers, map[string]string{
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
	}))
	f := s.feed(t, "side-events")
	if err := f.json(t.Context(), 0, 1000); err != nil {
		t.Fatal(err)
	}
	api := served(t, c.workers[0].url)
	sides := []side{{java.URL, "sidejava", api}, {c.workers[0].url, "sidefirn", api}}
	for _, side := range sides { // Java's tasks would both try to make the same namespace
		if err := call(t.Context(), http.MethodPost, s.catalog.URL+"/v1/namespaces", map[string]any{"namespace": []string{side.name}}, nil); err != nil {
			t.Fatal(err)
		}
		s.createTopicOf(t, "control-"+side.name, 1)
	}
	compareAnswers(t, sides, exchanges(t, sink(f.topic, "@.events", "", s.restCatalog("iceberg.catalog."), schemaless, map[string]string{
		"iceberg.control.topic": "control-@", "consumer.override.auto.offset.reset": "earliest",
	})))
}

// sideBySideUsers does the same with workers that ask for passwords.
func (s *stack) sideBySideUsers(t *testing.T) {
	dir := s.folder(t, "users")
	users, jaas := filepath.Join(dir, "users"), filepath.Join(dir, "jaas.conf")
	for path, text := range map[string]string{
		users: "alice=s3cret\n",
		jaas:  `KafkaConnect { org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file="` + users + `"; };`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const login = "java.security.auth.login.config"
	asking := map[string]string{"rest.extension.classes": "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"}
	java, err := parts.NewJavaConnect(t.Context(), s.folder(t, "users-java"), s.kafka.Bootstrap, "users-java", asking)
	have(t, err)
	java.System = map[string]string{login: jaas}
	if err := java.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, java.Process) })
	c := s.clusterOf(t, "users-firn", 1, merged(asking, map[string]string{login: jaas}))
	for i := range c.workers {
		c.launch(t, i)
	}
	err = c.workers[0].Await(t.Context(), func(ctx context.Context) error {
		if err := call(ctx, http.MethodGet, c.workers[0].url, nil, nil); !connectapi.IsStatus(err, http.StatusUnauthorized) {
			return fmt.Errorf("it answers %w", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compareAnswers(t, []side{{java.URL, "usersjava", nil}, {c.workers[0].url, "usersfirn", nil}}, exchangesOfUsers())
}

// compareAnswers asks both sides the same.
func compareAnswers(t *testing.T, sides []side, all []exchange) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	equal, different := 0, 0
	for _, x := range all {
		answers := [2]normal{}
		for i, side := range sides {
			answers[i] = side.ask(t, x)
		}
		same := reflect.DeepEqual(answers[0], answers[1])
		switch {
		case same && x.differs == "":
			equal++
		case same:
			t.Errorf("%s: the answers are equal, and are said to differ: %s", x, x.differs)
		case x.differs == "":
			t.Errorf("%s:\n%s", x, strings.Join(differences("", tree(t, answers[0]), tree(t, answers[1])), "\n"))
		case !bytes.Contains(doc, []byte(x.differs)):
			t.Errorf("%s: docs/COMPATIBILITY.md does not say: %s", x, x.differs)
		default:
			different++
			t.Logf("%s differs: %s", x, x.differs)
		}
	}
	t.Logf("%d exchanges: %d equal, %d different on purpose", equal+different, equal, different)
}

// served is the description that a worker serves of its API.
func served(t *testing.T, url string) *openapi.Document {
	t.Helper()
	var text json.RawMessage
	if err := call(t.Context(), http.MethodGet, url+"/openapi.json", nil, &text); err != nil {
		t.Fatal(err)
	}
	doc, err := openapi.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// A side is one of the two workers. In requests its name stands for the letter @.
type side struct {
	url, name string
	api       *openapi.Document // what the answers of both have to fit, if not nil
}

// An exchange is a request and what is known about its answers.
type exchange struct {
	request string // METHOD PATH
	body    string
	header  string // NAME: VALUE, several with | between them; Content-Type is application/json otherwise
	until   string // asked again until the body fits this pattern
	only    string // of the body's list or object, what fits this pattern counts
	differs string // a piece of docs/COMPATIBILITY.md
}

func (x exchange) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %.100s", x.request, x.header, x.body))
}

// compared are the headers that clients look at.
var compared = []string{
	"Content-Type", "Location", "Allow", "X-Frame-Options", "Cache-Control", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"WWW-Authenticate", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers",
}

// A normal is an answer without what differs between any two workers.
type normal struct {
	Status  int
	Headers map[string]string
	Body    any
}

func (n normal) String() string {
	body, err := json.Marshal(n.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %v %s", n.Status, n.Headers, body)
}

// tree is an answer as JSON has it.
func tree(t *testing.T, n normal) (v any) {
	t.Helper()
	text, err := json.Marshal(n)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// differences lists where two answers differ.
func differences(where string, java, firn any) (lines []string) {
	if reflect.DeepEqual(java, firn) {
		return nil
	}
	switch j := java.(type) {
	case map[string]any:
		if f, ok := firn.(map[string]any); ok {
			for _, key := range slices.Sorted(maps.Keys(merge(j, f))) {
				lines = append(lines, differences(where+"."+key, j[key], f[key])...)
			}
			return lines
		}
	case []any:
		f, ok := firn.([]any)
		if ok && len(f) == len(j) {
			for i := range j {
				lines = append(lines, differences(fmt.Sprintf("%s[%d]", where, i), j[i], f[i])...)
			}
			return lines
		}
		if ok {
			java, firn = without(j, f), without(f, j)
		}
	}
	return []string{fmt.Sprintf("%s:\n  Java %.1500v\n  Firn %.1500v", where, java, firn)}
}

// without returns the items of a that b has not.
func without(a, b []any) []any {
	return slices.DeleteFunc(slices.Clone(a), func(item any) bool {
		return slices.ContainsFunc(b, func(other any) bool { return reflect.DeepEqual(item, other) })
	})
}

func merge(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// ask sends a request, again if the answer has to become another one.
func (s side) ask(t *testing.T, x exchange) (n normal) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		n = s.once(t, x)
		body, err := json.Marshal(n.Body)
		if err != nil {
			t.Fatal(err)
		}
		if x.until == "" || regexp.MustCompile(x.until).Match(body) {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s of %s answers %s, and should become %s", x, s.name, n, x.until)
		}
	}
}

func (s side) once(t *testing.T, x exchange) normal {
	t.Helper()
	method, path, _ := strings.Cut(strings.ReplaceAll(x.request, "@", s.name), " ")
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(strings.ReplaceAll(x.body, "@", s.name)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if x.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for line := range strings.SplitSeq(x.header, "|") {
		if name, value, given := strings.Cut(line, ": "); given {
			req.Header.Set(name, value)
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	described := openapi.Exchange{Method: method, Target: path, Request: strings.ReplaceAll(x.body, "@", s.name), Status: answer.StatusCode, Answer: string(body)}
	if s.api != nil && method != http.MethodHead && method != http.MethodOptions && !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		if err := s.api.Check(described); err != nil {
			t.Errorf("%s of %s does not fit openapi.json: %v", x, s.name, err)
		}
	}
	n := normal{Status: answer.StatusCode, Headers: map[string]string{}}
	for _, name := range compared {
		v := strings.Join(answer.Header.Values(name), ",")
		if strings.HasPrefix(name, "Access-Control-") { // in no order
			list := strings.Split(v, ",")
			slices.Sort(list)
			v = strings.Join(list, ",")
		}
		if v != "" {
			n.Headers[name] = s.alike(v)
		}
	}
	if text := s.alike(string(body)); json.Unmarshal([]byte(text), &n.Body) != nil {
		n.Body = text
	}
	n.Body = plain(n.Body, "", x.only)
	return n
}

// alike makes names and addresses alike.
func (s side) alike(text string) string {
	return strings.NewReplacer(s.name, "@", strings.TrimPrefix(s.url, "http://"), "WORKER").Replace(text)
}

// plain replaces what is a worker's own: traces, times, sentences, lists of its plugins.
func plain(v any, key, only string) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, item := range v {
			text, err := json.Marshal(item)
			if err != nil {
				return err
			}
			if only == "" || regexp.MustCompile(only).Match(text) {
				out = append(out, plain(item, key, ""))
			}
		}
		switch key {
		case "recommended_values":
			return "LIST"
		case "offsets", "tasks": // in no order
			slices.SortFunc(out, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, item := range v {
			if _, task := v["id"]; task && k == "version" && key == "tasks" {
				continue // Java leaves it out at times after a restart
			}
			out[k] = plain(item, k, map[bool]string{true: only}[k == "configs"])
		}
		return out
	case string:
		if slices.Contains([]string{"trace", "documentation", "commit", "version"}, key) {
			return strings.ToUpper(key)
		}
	case float64:
		if key == "last_modified" {
			return "TIME"
		}
	}
	return v
}
