package connectapi

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

// serve answers METHOD PATH with a status and a body, and notes what was asked.
func serve(t *testing.T, answers map[string]string) (*Client, *[]string) {
	t.Helper()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+string(body)))
		answer, ok := answers[r.Method+" "+r.URL.EscapedPath()]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error_code":404,"message":"Connector x not found"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return &Client{Base: srv.URL, Name: "the worker"}, &asked
}

func TestPutConnector(t *testing.T) {
	conn := Connector{Name: "a b", Config: map[string]string{"topics": "t"}}
	tests := []struct {
		name    string
		answers map[string]string
		want    Outcome
		calls   []string
	}{
		{
			"new",
			map[string]string{"POST /connectors": `{}`},
			Created,
			[]string{"GET /connectors/a%20b/config", `POST /connectors {"name":"a b","config":{"topics":"t"}}`},
		},
		{
			"the same",
			map[string]string{"GET /connectors/a%20b/config": `{"name":"a b","topics":"t"}`},
			Unchanged,
			[]string{"GET /connectors/a%20b/config"},
		},
		{
			"another",
			map[string]string{"GET /connectors/a%20b/config": `{"name":"a b","topics":"u"}`, "PUT /connectors/a%20b/config": `{}`},
			Updated,
			[]string{"GET /connectors/a%20b/config", `PUT /connectors/a%20b/config {"topics":"t"}`},
		},
	}
	for _, tt := range tests {
		client, asked := serve(t, tt.answers)
		got, err := client.PutConnector(t.Context(), conn)
		if err != nil || got != tt.want || !slices.Equal(*asked, tt.calls) {
			t.Errorf("%s: got %q, %v, asked %q; want %q, %q", tt.name, got, err, *asked, tt.want, tt.calls)
		}
	}
}

func TestErrorsNameServerAndCall(t *testing.T) {
	client, _ := serve(t, nil)
	_, err := client.Status(t.Context(), "x")
	want := "ask the worker: GET /connectors/x/status: 404 Connector x not found"
	if !IsStatus(err, http.StatusNotFound) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOffsets(t *testing.T) {
	client, _ := serve(t, map[string]string{
		"GET /connectors/c/offsets": `{"offsets":[{"partition":{"kafka_partition":2,"kafka_topic":"t"},"offset":{"kafka_offset":41}}]}`,
	})
	got, err := client.Offsets(t.Context(), "c")
	if err != nil || len(got) != 1 || got[connect.TopicPartition{Topic: "t", Partition: 2}] != 41 {
		t.Errorf("got %v, %v; want t-2: 41", got, err)
	}
}

func TestStatus(t *testing.T) {
	const me = "127.0.0.1:8083"
	tests := []struct {
		name, body string
		running    bool
		failure    string
	}{
		{"runs", `{"connector":{"state":"RUNNING","worker_id":"` + me + `"},"tasks":[{"id":0,"state":"RUNNING","worker_id":"` + me + `"}]}`, true, ""},
		{"no tasks yet", `{"connector":{"state":"RUNNING","worker_id":"` + me + `"},"tasks":[]}`, false, ""},
		{"of an earlier worker", `{"connector":{"state":"RUNNING","worker_id":"` + me + `"},"tasks":[{"id":0,"state":"FAILED","worker_id":"old:1","trace":"boom"}]}`, false, ""},
		{"a task failed", `{"connector":{"state":"RUNNING","worker_id":"` + me + `"},"tasks":[{"id":3,"state":"FAILED","worker_id":"` + me + `","trace":"boom\n"}]}`, false, "task 3 of connector c has failed: boom"},
		{"the connector failed", `{"connector":{"state":"FAILED","worker_id":"` + me + `","trace":"bad"},"tasks":[]}`, false, "connector c has failed: bad"},
	}
	for _, tt := range tests {
		st := Status{Name: "c"}
		if err := json.Unmarshal([]byte(tt.body), &st); err != nil {
			t.Fatal(err)
		}
		failure := ""
		if err := st.Failure(me); err != nil {
			failure = err.Error()
		}
		if st.Running(me) != tt.running || failure != tt.failure {
			t.Errorf("%s: got running %v, failure %q; want %v, %q", tt.name, st.Running(me), failure, tt.running, tt.failure)
		}
	}
}
