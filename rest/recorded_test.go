package rest_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/rest"
)

// An exchange is one recorded request and its answer.
type exchange struct {
	method, path string
	header       http.Header
	body         string

	status       int
	answerHeader http.Header
	answer       string
}

func readExchange(t *testing.T, file string) exchange {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{header: http.Header{}, answerHeader: http.Header{}}
	lines := strings.Split(string(data), "\n")
	inBody := false
	for i, line := range lines {
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == ">" && x.method == "":
			x.method, x.path, _ = strings.Cut(rest, " ")
		case mark == ">" && rest == "":
			inBody = true
		case mark == ">" && inBody:
			x.body += rest
		case mark == ">":
			k, v, _ := strings.Cut(rest, ": ")
			x.header.Add(k, v)
		case mark == "<" && x.status == 0:
			if x.status, err = strconv.Atoi(rest[:3]); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		case mark == "<" && rest == "":
			x.answer = strings.TrimSpace(strings.Join(lines[i+1:], "\n"))
			return x
		case mark == "<":
			k, v, _ := strings.Cut(rest, ": ")
			x.answerHeader.Add(k, v)
		}
	}
	return x
}

// differing names the exchanges whose answer is another one on purpose, with its status:
// an error in the common form. docs/COMPATIBILITY.md says why.
var differing = map[string]int{
	"030-create-malformed":       http.StatusBadRequest, // all of Java's are 500
	"033-create-null-config":     http.StatusBadRequest,
	"036-create-nonstring-value": http.StatusBadRequest,
	"075-put-config-malformed":   http.StatusBadRequest,
	"081-patch-config-malformed": http.StatusBadRequest,
	"156-double-slash":           http.StatusBadRequest, // Java's is an HTML page
}

// own names the exchanges that the server answers without asking the herder for more.
var own = []string{"030", "033", "036", "039", "069", "075", "081", "144", "147", "150", "156"}

func TestRecordedAnswers(t *testing.T) {
	doc := readOpenAPI(t)
	files, err := filepath.Glob("testdata/recorded/*.txt")
	if err != nil || len(files) < 53 {
		t.Fatalf("%d recorded exchanges (%v), want at least 53", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			x := readExchange(t, file)
			h := &fakeHerder{reply: []byte(x.answer)}
			if x.status >= 400 {
				var e struct {
					Message string `json:"message"`
				}
				if err := json.Unmarshal([]byte(x.answer), &e); err != nil && name != "156-double-slash" {
					t.Fatal(err)
				}
				h.err = &entities.Error{Status: x.status, Message: e.Message}
			}
			if strings.Contains(x.path, "expand=") {
				var all map[string]any
				if err := json.Unmarshal([]byte(x.answer), &all); err != nil {
					t.Fatal(err)
				}
				for n := range all {
					h.names = append(h.names, n)
				}
			}
			if x.path == "/health" {
				h.reply = nil
			}
			got := x.play(t, h) //nolint:bodyclose // play has closed it
			if asked := len(h.calls) > 0; asked == slices.Contains(own, name[:3]) && x.path != "/health" {
				t.Errorf("%s %s asked the herder %q", x.method, x.path, h.calls)
			}
			x.compare(t, got, differing[name])
			checkAnswer(t, doc, &x, got.StatusCode, got.Header.Get("body"))
		})
	}
}

// play sends the request over a connection, because the HTTP server adds headers.
func (x *exchange) play(t *testing.T, h rest.Herder) *http.Response {
	t.Helper()
	server := httptest.NewServer(rest.New(rest.Options{Herder: h, Logger: slog.New(slog.DiscardHandler)}).Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), x.method, server.URL+x.path, strings.NewReader(x.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "127.0.0.1:18084" // that of the recording
	req.Header = x.header
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	resp.Body = nil
	resp.Header.Set("body", strings.TrimSpace(b.String()))
	return resp
}

func (x *exchange) compare(t *testing.T, got *http.Response, differs int) {
	t.Helper()
	body := got.Header.Get("body")
	if want := cmp.Or(differs, x.status); got.StatusCode != want {
		t.Fatalf("%s %s answered %d %s, want %d %s", x.method, x.path, got.StatusCode, body, want, x.answer)
	}
	if differs != 0 {
		var e struct {
			Code    int    `json:"error_code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code != differs || e.Message == "" {
			t.Errorf("%s %s answered %s, want an error of Connect's form", x.method, x.path, body)
		}
		return
	}
	for _, key := range []string{"Content-Type", "Location", "Allow"} {
		if g, w := got.Header.Get(key), x.answerHeader.Get(key); g != w {
			t.Errorf("%s %s answered with %s %q, want %q", x.method, x.path, key, g, w)
		}
	}
	if body == x.answer {
		return
	}
	var g, w any
	gerr, werr := json.Unmarshal([]byte(body), &g), json.Unmarshal([]byte(x.answer), &w)
	if gerr != nil || werr != nil || !reflect.DeepEqual(g, w) {
		t.Errorf("%s %s answered\n%s\nwant\n%s", x.method, x.path, body, x.answer)
	}
}
