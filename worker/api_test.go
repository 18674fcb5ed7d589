package worker_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/openapi"
	"github.com/firn-io/firn/rest"
)

// TestAnyRequest sends requests made at random from the description of the API, with good
// and bad parts, to a worker: every answer fits the description, and no request is the
// worker's fault but those that Java answers so too.
func TestAnyRequest(t *testing.T) {
	text, err := os.ReadFile("../rest/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	const requests = 400
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			inBubble(t, func(t *testing.T, fx *fixture) {
				random := newAnything(t, text, seed)
				w := fx.worker("a", nil)
				handler := rest.New(rest.Options{Herder: w.Herder(), Logger: slog.New(slog.DiscardHandler)}).Handler()
				statuses := map[int]int{}
				for range requests {
					x := random.request()
					req := httptest.NewRequestWithContext(t.Context(), x.Method, x.Target, strings.NewReader(x.Request))
					if x.Request != "" {
						req.Header.Set("Content-Type", "application/json")
					}
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, req)
					x.Status, x.Answer = answer.Code, answer.Body.String()
					statuses[x.Status]++
					if err := doc.Check(x); err != nil {
						t.Errorf("%s %s %s answered %d: %v", x.Method, x.Target, x.Request, x.Status, err)
					}
					if x.Status >= 500 && !likeJava(x) {
						t.Errorf("%s %s %s answered %d %s", x.Method, x.Target, x.Request, x.Status, x.Answer)
					}
					if random.Float32() < 0.2 {
						time.Sleep(time.Duration(random.IntN(10)) * time.Second)
					}
				}
				t.Logf("answers by status: %v", statuses)
				for _, status := range []int{200, 201, 202, 204, 400, 404, 409} {
					if statuses[status] == 0 {
						t.Errorf("no request was answered %d: the requests do not reach far enough", status)
					}
				}
			})
		})
	}
}

// likeJava tells of a 500 that is Java's answer too, or one that says what failed.
func likeJava(x openapi.Exchange) bool {
	return strings.Contains(x.Target, "/config/validate") && strings.Contains(x.Answer, "BadRequestException: ")
}

// An anything makes requests.
type anything struct {
	*rand.Rand
	operations []string // METHOD PATH
}

func newAnything(t *testing.T, description []byte, seed uint64) *anything {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	a := &anything{Rand: rand.New(rand.NewPCG(seed, 0))}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			a.operations = append(a.operations, strings.ToUpper(method)+" "+path)
		}
	}
	// What makes something happen comes more often.
	for range 5 {
		a.operations = append(a.operations, "POST /connectors", "PUT /connectors/{name}/config")
	}
	return a
}

func pick[T any](a *anything, from ...T) T { return from[a.IntN(len(from))] }

func (a *anything) name() string { return pick(a, "c", "d", "c", "d", "none", "a/b", "ü ") }

func (a *anything) request() openapi.Exchange {
	method, path, _ := strings.Cut(pick(a, a.operations...), " ")
	for slot, value := range map[string]string{
		"{name}":   pick(a, "c", "d", "c", "d", "none", "a%2Fb", "%C3%BC%20", "%00"),
		"{task}":   pick(a, "0", "1", "7", "-1", "x", "99999999999"),
		"{plugin}": pick(a, "ProbeSink", "probe.ProbeSinkConnector", "none", "probe.Converter"),
		"{logger}": pick(a, "root", "org.apache.kafka.connect.runtime", "x"),
	} {
		path = strings.ReplaceAll(path, slot, value)
	}
	if path != "/" {
		path += pick(a, "", "", "", "/")
	}
	path += pick(a, "", "", "", "?expand=status", "?expand=info&expand=status", "?includeTasks=true", "?includeTasks=x&onlyFailed=TRUE", "?forward=true", "?connectorsOnly=false", "?scope=cluster", "?%zz")
	x := openapi.Exchange{Method: method, Target: path}
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		x.Request = a.body(path)
	}
	return x
}

// body is what the path takes, most of the time.
func (a *anything) body(path string) string {
	config := map[string]any{"connector.class": "probe.ProbeSinkConnector", "tasks.max": pick[any](a, "1", "2", 3, "no", nil, true), "topics": pick(a, "events", "events", "")}
	switch a.IntN(6) {
	case 0:
		config["name"] = a.name()
	case 1:
		delete(config, pick(a, "connector.class", "topics", "tasks.max"))
	case 2:
		config[pick(a, "x", "consumer.override.group.id", "errors.tolerance", "transforms")] = pick[any](a, "all", "y", nil, 1.5, []int{1}, "${env:X}")
	}
	var body any = config
	switch {
	case a.Float32() < 0.1:
		return pick(a, "", "{", "null", "[]", `"x"`, "1e999", `{"a":{"b":[null]}}`, `{"config":{}}`, "\xff", `{"level":null}`)
	case strings.Contains(path, "/restart"), strings.Contains(path, "/pause"), strings.Contains(path, "/resume"), strings.Contains(path, "/stop"), strings.Contains(path, "/reset"):
		return ""
	case strings.Contains(path, "/loggers"):
		body = map[string]any{"level": pick[any](a, "INFO", "debug", "LOUD", 1, nil)}
	case strings.Contains(path, "/offsets"):
		body = map[string]any{"offsets": []any{map[string]any{
			"partition": pick[any](a, map[string]any{"kafka_topic": pick(a, "events", "none"), "kafka_partition": pick[any](a, 0, 1, "1", -1, 77, "x")}, nil, map[string]any{}),
			"offset":    pick[any](a, map[string]any{"kafka_offset": pick[any](a, 0, 5, "7", -3, "x", 1e30)}, nil, map[string]any{}),
		}}}
	case strings.Contains(path, "/tasks"), strings.Contains(path, "/fence"):
		body = []any{map[string]any{"a": "b", "c": nil}}
	case !strings.Contains(path, "/config"):
		body = map[string]any{"name": a.name(), "config": config}
		if a.Float32() < 0.3 {
			body.(map[string]any)["initial_state"] = pick[any](a, "STOPPED", "paused", "RUNNING", "x", nil)
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
