package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/rest"
)

func serve(t *testing.T, h rest.Herder) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(rest.New(rest.Options{Herder: h, Logger: slog.New(slog.DiscardHandler)}).Handler())
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, method, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// What Java's server answers by itself, measured with 4.3.1.
func TestRefusedBeforeTheHerder(t *testing.T) {
	const body = "{}"
	for _, tt := range []struct {
		target, body string
		header       []string
		status       int
		contentType  string
		allow        string
	}{
		{"GET /connectors", "", []string{"Accept", "text/html"}, 406, "", ""},
		{"GET /connectors", "", []string{"Accept", "text/html, application/json;q=0"}, 406, "", ""},
		{"GET /connectors", "", []string{"Accept", "text/html,*/*;q=0.8"}, 200, "application/json", ""},
		{"GET /connectors", "", []string{"Accept", "application/*"}, 200, "application/json", ""},
		{"POST /connectors", body, []string{"Content-Type", "text/plain"}, 415, "", ""},
		{"POST /connectors", body, []string{"Content-Type", ""}, 415, "application/json", ""},
		{"GET /connectors/c/tasks/x/status", "", nil, 404, "application/json", ""},
		{"GET /nope", "", nil, 404, "", ""},
		{"OPTIONS /connectors", "", nil, 200, "application/json", "HEAD,POST,GET,OPTIONS"},
		{"OPTIONS /connectors/c/config", "", nil, 200, "application/json", "HEAD,GET,OPTIONS,PUT,PATCH"},
		{"OPTIONS /connectors/c/offsets", "", nil, 200, "application/json", "HEAD,DELETE,GET,OPTIONS,PATCH"},
		{"OPTIONS /connectors/c/pause", "", nil, 200, "application/json", "OPTIONS,PUT"},
	} {
		h := &fakeHerder{names: []string{}}
		method, path, _ := strings.Cut(tt.target, " ")
		status, header, answer := ask(t, method, serve(t, h).URL+path, tt.body, tt.header...)
		if status != tt.status || header.Get("Content-Type") != tt.contentType || header.Get("Allow") != tt.allow || len(h.calls) > 0 {
			t.Errorf("%s %v answered %d %v %s and asked %q; want %+v", tt.target, tt.header, status, header, answer, h.calls, tt)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		call               string // what the herder is asked, "" for nothing
	}{
		{"GET", "/connectors/a%2Fb/status", "", 200, "Status a/b"},
		{"GET", "/connectors/a%25b/status", "", 200, "Status a%b"},
		{"GET", "/connectors/a%20b/status/", "", 200, "Status a b"},
		{"GET", "/connectors/gr%C3%BC%C3%9Fe/status", "", 200, "Status grüße"},
		{"HEAD", "/connectors", "", 200, "Connectors"},
		{"GET", "/connectors/c/tasks/x/status", "", 404, ""},
		{"POST", "/connectors/c/tasks/3/restart", "", 204, "RestartTask c 3"},
		{"POST", "/connectors/c/restart?includeTasks=maybe", "", 204, "Restart c"},
		{"POST", "/connectors/c/restart?includeTasks=TRUE", "", 202, "RestartPlan c true false"},
		{"PUT", "/connectors/c/resume", "", 202, "SetTarget c STARTED"},
		{"PUT", "/connectors/c/topics/reset", "", 202, "ResetTopics c"},
		{"GET", "/connector-plugins?connectorsOnly=false", "", 200, "Plugins false"},
		{"GET", "/connector-plugins?connectorsOnly=no", "", 200, "Plugins false"},
		{"DELETE", "/connectors", "", 405, ""},
		{"GET", "/admin/loggers", "", 200, "Loggers"},
		{"GET", "/admin/loggers/org.apache.kafka", "", 200, "Logger org.apache.kafka"},
		{"PUT", "/admin/loggers/root", `{"level":"debug"}`, 200, "SetLogger root debug"},
		{"PUT", "/admin/loggers/root?scope=everything", `{"level":"debug"}`, 200, "SetLogger root debug"},
		{"PUT", "/admin/loggers/root?scope=CLUSTER", `{"level":"WARN"}`, 204, "SetClusterLogger root WARN"},
		{"PUT", "/admin/loggers/root", `{}`, 400, ""},
		{"PUT", "/admin/loggers/root", `null`, 400, ""},
		{"PUT", "/admin/loggers/root", `{"level":1}`, 400, ""},
		{"DELETE", "/admin/loggers/root", "", 405, ""},
		{"PUT", "/connectors/c/config", `{"a":1,"b":2.50,"c":true,"d":null,"e":"x"}`, 200, `PutConfig c {"a":"1","b":"2.50","c":"true","d":null,"e":"x","name":"c"}`},
		{"PUT", "/connectors/c/config", `{"name":"d"}`, 400, ""},
		{"PUT", "/connectors/c/config", `null`, 400, ""},
		{"PUT", "/connectors/c/config", ``, 400, ""},
		{"POST", "/connectors", `{"name":" c ","config":{"a":"1"},"initial_state":"paused"}`, 201, `Create c {"a":"1","name":"c"} PAUSED`},
		{"POST", "/connectors", `{"config":{"name":"c"}}`, 201, `Create c {"name":"c"} `},
		{"POST", "/connectors", `{"name":"c","config":{"name":"d"}}`, 400, ""},
		{"POST", "/connectors", `{"name":"c","config":{},"initial_state":"GONE"}`, 400, ""},
		{"POST", "/connectors", `{"name":"c","config":{},"more":1}`, 400, ""},
		{"PATCH", "/connectors/c/config", `{"a":null}`, 200, `PatchConfig c {"a":null}`},
		{"PATCH", "/connectors/c/offsets", `{"offsets":[{"partition":{"kafka_topic":"t","kafka_partition":"0"},"offset":null}]}`, 200, "AlterOffsets c [{map[kafka_partition:0 kafka_topic:t] map[]}]"},
		{"DELETE", "/connectors/c/offsets", "", 200, "ResetOffsets c"},
		{"PUT", "/connectors/c/fence", "", 200, "Fence c "},
	}
	for _, tt := range tests {
		h := &fakeHerder{}
		status, _, body := ask(t, tt.method, serve(t, h).URL+tt.path, tt.body)
		if got := strings.Join(h.calls, "; "); status != tt.status || got != tt.call {
			t.Errorf("%s %s %s answered %d %s and asked %q; want %d and %q", tt.method, tt.path, tt.body, status, body, got, tt.status, tt.call)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	h := &fakeHerder{}
	status, _, body := ask(t, "PUT", serve(t, h).URL+"/connectors/c/config", `{"a":"`+strings.Repeat("x", 9<<20)+`"}`)
	if status != http.StatusRequestEntityTooLarge || len(h.calls) != 0 {
		t.Errorf("a body of 9 MiB was answered with %d %s, calls %d; want 413 and none", status, body, len(h.calls))
	}
}

func TestHealthStates(t *testing.T) {
	tests := []struct {
		err    error
		status int
		want   string
	}{
		{nil, 200, "healthy"},
		{&entities.Error{Status: 503, Message: "Worker is still starting up."}, 503, "starting"},
		{context.DeadlineExceeded, 500, "unhealthy"},
	}
	for _, tt := range tests {
		status, _, body := ask(t, "GET", serve(t, &fakeHerder{err: tt.err}).URL+"/health", "")
		var got entities.Health
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != tt.status || got.Status != tt.want {
			t.Errorf("with %v /health answered %d %s (%v), want %d %s", tt.err, status, body, err, tt.status, tt.want)
		}
	}
}

// A busyHerder has no time.
type busyHerder struct{ fakeHerder }

func (*busyHerder) Delete(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRequestsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := rest.New(rest.Options{Herder: &busyHerder{}, Logger: slog.New(slog.DiscardHandler)}).Handler()
		start, w := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/connectors/c", nil))
		if took := time.Since(start); took != 90*time.Second || w.Code != 500 || !strings.Contains(w.Body.String(), `"error_code":500,"message":"Request timed out.`) {
			t.Errorf("after %s answered %d %s, want a 500 after 90 s", took, w.Code, w.Body)
		}
	})
}

func TestForward(t *testing.T) {
	leader := &fakeHerder{reply: []byte(`{"name":"c d","config":{},"tasks":[],"type":"sink"}`), created: true}
	leaderURL := serve(t, leader).URL
	followerURL := serve(t, &fakeHerder{err: &entities.RedirectError{URL: leaderURL + "/"}}).URL

	status, header, body := ask(t, "PUT", followerURL+"/connectors/c%20d/config", `{"a":"1"}`)
	want := `PutConfig c d {"a":"1","name":"c d"}`
	if status != 201 || len(leader.calls) != 1 || leader.calls[0] != want {
		t.Errorf("the follower answered %d %s, the leader was asked %q; want 201 and %q", status, body, leader.calls, want)
	}
	if got, want := header.Get("Location"), followerURL+"/connectors/c%20d"; got != want {
		t.Errorf("Location %q, want that of the worker asked: %q", got, want)
	}

	leader.calls = nil
	if status, _, body = ask(t, "PUT", followerURL+"/connectors/c/stop", ""); status != 204 || len(leader.calls) != 1 {
		t.Errorf("a request without a body was answered %d %s, the leader was asked %q; want 204", status, body, leader.calls)
	}

	leader.err = entities.Conflict("Connector c already exists")
	status, _, body = ask(t, "POST", followerURL+"/connectors", `{"name":"c","config":{}}`)
	if want := `{"error_code":409,"message":"Connector c already exists"}`; status != 409 || body != want {
		t.Errorf("the follower answered %d %s, want the leader's 409 %s", status, body, want)
	}
}

func TestForwardHops(t *testing.T) {
	var hops []string
	owner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops = append(hops, r.URL.Query().Get("forward")+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Cookie"))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer owner.Close()
	follower := serve(t, &fakeHerder{err: &entities.RedirectError{URL: owner.URL}}).URL
	lost := serve(t, &fakeHerder{err: &entities.RedirectError{}}).URL
	unreachable := serve(t, &fakeHerder{err: &entities.RedirectError{URL: "http://127.0.0.1:1/"}}).URL
	tests := []struct {
		url    string
		status int
		hop    string
		text   string
	}{
		{follower + "/connectors/c/restart", 204, "true Basic x ", ""},
		{follower + "/connectors/c/restart?forward=true", 204, "false Basic x ", ""},
		{follower + "/connectors/c/restart?forward=false", 409, "", "conflicting operation"},
		{lost + "/connectors/c/restart", 409, "", "no known leader URL"},
		{unreachable + "/connectors/c/restart", 500, "", "IO Error trying to forward REST request"},
	}
	for _, tt := range tests {
		hops = nil
		status, _, body := ask(t, "POST", tt.url, "", "Authorization", "Basic x", "Cookie", "secret=1")
		if status != tt.status || strings.Join(hops, ";") != tt.hop || !strings.Contains(body, tt.text) {
			t.Errorf("POST %s answered %d %s and hopped %q; want %d, %q, %q", tt.url, status, body, hops, tt.status, tt.hop, tt.text)
		}
	}
}

func TestTaskConfigsOfAnotherWorkerAreNotForwarded(t *testing.T) {
	url := serve(t, &fakeHerder{err: &entities.RedirectError{URL: "http://127.0.0.1:1/"}}).URL
	if status, _, body := ask(t, "POST", url+"/connectors/c/tasks", `[{}]`); status != 409 {
		t.Errorf("answered %d %s, want 409", status, body)
	}
}

func TestTaskConfigsOfAnotherWorker(t *testing.T) {
	h := &fakeHerder{}
	body := `[{"a":"x","b":null,"c":""},null]`
	status, _, _ := ask(t, "POST", serve(t, h).URL+"/connectors/c/tasks", body, "X-Connect-Authorization", "mac")
	if want := `PutTaskConfigs c [{"a":"x","b":null,"c":""} null] ` + body + " mac"; status != 204 || len(h.calls) != 1 || h.calls[0] != want {
		t.Errorf("answered %d and asked for %q, want 204 and %q", status, h.calls, want)
	}
}

func TestListenAndRun(t *testing.T) {
	listeners, err := rest.Listen(t.Context(), []string{"http://127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := listeners[0].Addr().String()
	if _, err := rest.Listen(t.Context(), []string{"http://127.0.0.1:0", "http://" + addr}, nil); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("listening twice on %s failed with %v, want an error that names it", addr, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- rest.New(rest.Options{Herder: &fakeHerder{}, Listeners: listeners, Logger: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	status, _, body := ask(t, "GET", "http://"+addr+"/", "")
	if want := `{"version":"4.3.1","commit":"unknown","kafka_cluster_id":"cluster-1"}`; status != 200 || body != want {
		t.Errorf("GET / answered %d %s, want %s", status, body, want)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
		_ = c.Close()
		t.Errorf("%s is still open after Run", addr)
	}
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{`{"name":"c","config":{"a":1}}`, `{"config":null}`, `{"offsets":[{"partition":{},"offset":{}}]}`, `[`, `{"a":{}}`, `{"a":"\ud800"}`, `null`} {
		f.Add(s)
	}
	handler := rest.New(rest.Options{Herder: &fakeHerder{}, Logger: slog.New(slog.DiscardHandler)}).Handler()
	f.Fuzz(func(t *testing.T, body string) {
		for _, target := range []string{"POST /connectors", "PUT /connectors/c/config", "PATCH /connectors/c/config", "PATCH /connectors/c/offsets", "POST /connectors/c/tasks", "PUT /connector-plugins/p/config/validate", "PUT /admin/loggers/root?scope=cluster"} {
			method, path, _ := strings.Cut(target, " ")
			req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			if w.Code >= 400 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %q answered %d %q, which is no JSON", target, body, w.Code, w.Body)
			}
		}
	})
}
