package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/riferrei/srclient"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Journal without compaction. fail makes the next Append fail.
type memory struct {
	entries [][2][]byte
	fail    error
}

func (m *memory) Replay(_ context.Context, apply func(key, value []byte) error) error {
	for _, e := range m.entries {
		if err := apply(e[0], e[1]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Append(_ context.Context, key, value []byte) error {
	if m.fail != nil {
		return m.fail
	}
	m.entries = append(m.entries, [2][]byte{key, value})
	return nil
}

// start serves a registry over journal until the test ends or stop is called.
func start(t *testing.T, journal Journal) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a listener on the loopback does not wait
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- New(journal).Run(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(stop)
	return "http://" + ln.Addr().String(), stop
}

// call returns the status and the body without its final newline.
func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != contentType {
		t.Errorf("%s %s: content type %q, want %q", method, url, got, contentType)
	}
	return resp.StatusCode, strings.TrimSuffix(string(text), "\n")
}

func submit(schema string) string {
	b, _ := json.Marshal(map[string]string{"schema": schema})
	return string(b)
}

const (
	v1      = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`
	v1Space = `{ "type":"record", "name":"R", "fields":[ {"name":"a","type":"int"} ] }`
	v2      = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","string"],"default":null}]}`
	broken  = `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"c","type":"string"}]}`
)

// TestAPI is one long story: each step builds on those before.
func TestAPI(t *testing.T) {
	quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	url, _ := start(t, new(memory))
	steps := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"root", "GET", "/", "", 200, `{}`},
		{"types", "GET", "/schemas/types", "", 200, `["AVRO"]`},
		{"no subjects", "GET", "/subjects", "", 200, `[]`},
		{"default level", "GET", "/config", "", 200, `{"compatibilityLevel":"BACKWARD"}`},
		{"unknown id", "GET", "/schemas/ids/7", "", 404, `{"error_code":40403,"message":"Schema 7 not found"}`},
		{"unknown subject", "GET", "/subjects/s/versions", "", 404, `{"error_code":40401,"message":"Subject 's' not found."}`},
		{"unknown subject, latest", "GET", "/subjects/s/versions/latest", "", 404, `{"error_code":40401,"message":"Subject 's' not found."}`},
		{"lookup in unknown subject", "POST", "/subjects/s", submit(v1), 404, `{"error_code":40401,"message":"Subject 's' not found."}`},
		{"bad schema", "POST", "/subjects/s/versions", submit(`{"type":"nope"}`), 422, `{"error_code":42201,"message":"Invalid schema: avro: unknown type: nope"}`},
		{"bad body", "POST", "/subjects/s/versions", `[]`, 400, `{"error_code":400,"message":"the request body is not the JSON object expected here: json: cannot unmarshal array into Go value of type registry.submission"}`},
		{"other type", "POST", "/subjects/s/versions", `{"schema":"{}","schemaType":"PROTOBUF"}`, 422, `{"error_code":42201,"message":"Invalid schema type PROTOBUF: this registry holds AVRO"}`},
		{"register", "POST", "/subjects/s/versions", submit(v1), 200, `{"id":1}`},
		{"register again", "POST", "/subjects/s/versions", submit(v1), 200, `{"id":1}`},
		{"white space is no difference", "POST", "/subjects/s/versions", submit(v1Space), 200, `{"id":1}`},
		{"other subject, same id", "POST", "/subjects/a%2Fb/versions", submit(v1), 200, `{"id":1}`},
		{"escaped subject", "GET", "/subjects/a%2Fb/versions", "", 200, `[1]`},
		{"incompatible", "POST", "/subjects/s/versions", submit(broken), 409, ""},
		{"check incompatible", "POST", "/compatibility/subjects/s/versions/latest", submit(broken), 200, `{"is_compatible":false}`},
		{"check compatible", "POST", "/compatibility/subjects/s/versions", submit(v2), 200, `{"is_compatible":true}`},
		{"second version", "POST", "/subjects/s/versions", submit(v2), 200, `{"id":2}`},
		{"versions", "GET", "/subjects/s/versions", "", 200, `[1,2]`},
		{"version", "GET", "/subjects/s/versions/1", "", 200, `{"subject":"s","version":1,"id":1,"schema":` + quoted(v1) + `}`},
		{"latest", "GET", "/subjects/s/versions/latest", "", 200, `{"subject":"s","version":2,"id":2,"schema":` + quoted(v2) + `}`},
		{"text", "GET", "/subjects/s/versions/latest/schema", "", 200, v2},
		{"version 9", "GET", "/subjects/s/versions/9", "", 404, `{"error_code":40402,"message":"Version 9 not found."}`},
		{"version 0", "GET", "/subjects/s/versions/0", "", 422, `{"error_code":42202,"message":"The specified version '0' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""}`},
		{"by id", "GET", "/schemas/ids/1", "", 200, `{"schema":` + quoted(v1) + `}`},
		{"by id, with the last", "GET", "/schemas/ids/1?fetchMaxId=true", "", 200, `{"schema":` + quoted(v1) + `,"maxId":2}`},
		{"text by id", "GET", "/schemas/ids/2/schema", "", 200, v2},
		{"places of an id", "GET", "/schemas/ids/1/versions", "", 200, `[{"subject":"a/b","version":1},{"subject":"s","version":1}]`},
		{"subjects of an id", "GET", "/schemas/ids/1/subjects", "", 200, `["a/b","s"]`},
		{"lookup", "POST", "/subjects/s", submit(v2), 200, `{"subject":"s","version":2,"id":2,"schema":` + quoted(v2) + `}`},
		{"lookup of another", "POST", "/subjects/s", submit(broken), 404, `{"error_code":40403,"message":"Schema not found"}`},
		{"no level of its own", "GET", "/config/s", "", 404, `{"error_code":40408,"message":"Subject 's' does not have subject-level compatibility configured"}`},
		{"bad level", "PUT", "/config/s", `{"compatibility":"often"}`, 422, `{"error_code":42203,"message":"Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}`},
		{"set level", "PUT", "/config/s", `{"compatibility":"none"}`, 200, `{"compatibility":"NONE"}`},
		{"no check now", "POST", "/subjects/s/versions", submit(broken), 200, `{"id":3}`},
		{"unset level", "DELETE", "/config/s", "", 200, `{"compatibilityLevel":"NONE"}`},
		{"read only", "PUT", "/mode/s", `{"mode":"READONLY"}`, 200, `{"mode":"READONLY"}`},
		{"read only refuses", "POST", "/subjects/s/versions", submit(`"string"`), 422, `{"error_code":42205,"message":"Subject s is in readonly mode"}`},
		{"read only, known", "POST", "/subjects/s/versions", submit(v1), 200, `{"id":1}`},
		{"mode", "GET", "/mode", "", 200, `{"mode":"READWRITE"}`},
		{"unset mode", "DELETE", "/mode/s", "", 200, `{"mode":"READONLY"}`},
		{"permanent too early", "DELETE", "/subjects/s/versions/3?permanent=true", "", 404, `{"error_code":40407,"message":"Subject 's' Version 3 was not deleted first before being permanently deleted"}`},
		{"delete a version", "DELETE", "/subjects/s/versions/3", "", 200, `3`},
		{"delete it again", "DELETE", "/subjects/s/versions/3", "", 404, `{"error_code":40406,"message":"Subject 's' Version 3 was soft deleted. Set permanent=true to delete permanently"}`},
		{"hidden", "GET", "/subjects/s/versions", "", 200, `[1,2]`},
		{"shown on demand", "GET", "/subjects/s/versions?deleted=true", "", 200, `[1,2,3]`},
		{"its id still reads", "GET", "/schemas/ids/3/schema", "", 200, broken},
		{"delete it for good", "DELETE", "/subjects/s/versions/3?permanent=true", "", 200, `3`},
		{"gone", "GET", "/subjects/s/versions?deleted=true", "", 200, `[1,2]`},
		{"delete the subject", "DELETE", "/subjects/s", "", 200, `[1,2]`},
		{"delete the subject again", "DELETE", "/subjects/s", "", 404, `{"error_code":40404,"message":"Subject 's' was soft deleted. Set permanent=true to delete permanently"}`},
		{"subjects", "GET", "/subjects", "", 200, `["a/b"]`},
		{"all subjects", "GET", "/subjects?deleted=true", "", 200, `["a/b","s"]`},
		{"subjects by prefix", "GET", "/subjects?subjectPrefix=x", "", 200, `[]`},
		{"a deleted schema comes back as a new version", "POST", "/subjects/s/versions", submit(v1), 200, `{"id":1}`},
		{"numbers go on", "GET", "/subjects/s/versions", "", 200, `[3]`},
		{"unknown path", "GET", "/nope", "", 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`},
		{"wrong method", "PATCH", "/subjects", "", 405, `{"error_code":405,"message":"HTTP 405 Method Not Allowed"}`},
	}
	for _, s := range steps {
		status, got := call(t, s.method, url+s.path, s.body)
		if status != s.status || (s.want != "" && got != s.want) {
			t.Errorf("%s: %s %s %s\n got %d %s\nwant %d %s", s.name, s.method, s.path, s.body, status, got, s.status, s.want)
		}
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	journal := new(memory)
	url, stop := start(t, journal)
	for _, c := range [][3]string{
		{"POST", "/subjects/s/versions", submit(v1)},
		{"POST", "/subjects/s/versions", submit(v2)},
		{"POST", "/subjects/t/versions", submit(`"string"`)},
		{"DELETE", "/subjects/s/versions/1", ""},
		{"PUT", "/config", `{"compatibility":"FULL"}`},
		{"PUT", "/mode/t", `{"mode":"READONLY"}`},
	} {
		if status, got := call(t, c[0], url+c[1], c[2]); status != 200 {
			t.Fatalf("%s %s: %d %s", c[0], c[1], status, got)
		}
	}
	paths := []string{"/subjects", "/subjects/s/versions?deleted=true", "/subjects/s/versions/latest", "/schemas/ids/1", "/config", "/mode/t"}
	read := func(url string) (all []string) {
		for _, p := range paths {
			_, got := call(t, "GET", url+p, "")
			all = append(all, got)
		}
		return all
	}
	before := read(url)
	stop()
	url, _ = start(t, journal)
	if after := read(url); !slices.Equal(after, before) {
		t.Errorf("after a restart:\n got %q\nwant %q", after, before)
	}
	if _, got := call(t, "POST", url+"/subjects/u/versions", submit(`"long"`)); got != `{"id":4}` {
		t.Errorf("first id after a restart: got %s, want 4", got)
	}
}

// TestRecords fixes the bytes in the topic: another registry reads them.
func TestRecords(t *testing.T) {
	journal := new(memory)
	url, _ := start(t, journal)
	call(t, "POST", url+"/subjects/s/versions", submit(`"int"`))
	call(t, "PUT", url+"/config/s", `{"compatibility":"NONE"}`)
	call(t, "DELETE", url+"/subjects/s", "")
	call(t, "DELETE", url+"/subjects/s?permanent=true", "")
	want := [][2]string{
		{`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`, `{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":false}`},
		{`{"keytype":"CONFIG","subject":"s","magic":0}`, `{"compatibilityLevel":"NONE"}`},
		{`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`, `{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":true}`},
		{`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`, ``},
	}
	if len(journal.entries) != len(want) {
		t.Fatalf("got %d records, want %d", len(journal.entries), len(want))
	}
	for i, w := range want {
		if got := journal.entries[i]; string(got[0]) != w[0] || string(got[1]) != w[1] {
			t.Errorf("record %d:\n got %s = %s\nwant %s = %s", i, got[0], got[1], w[0], w[1])
		}
	}
	if journal.entries[3][1] != nil {
		t.Errorf("the last record is no tombstone: %q", journal.entries[3][1])
	}
}

func TestReferences(t *testing.T) {
	url, _ := start(t, new(memory))
	call(t, "POST", url+"/subjects/inner/versions", submit(`{"type":"record","name":"p.Inner","fields":[{"name":"x","type":"int"}]}`))
	body := `{"schema":"{\"type\":\"record\",\"name\":\"p.Outer\",\"fields\":[{\"name\":\"i\",\"type\":\"p.Inner\"}]}","references":[{"name":"p.Inner","subject":"inner","version":%]}]}`
	for version, want := range map[string]int{"1": 200, "2": 422} {
		if status, got := call(t, "POST", url+"/subjects/outer/versions", strings.Replace(body, "%]", version, 1)); status != want {
			t.Errorf("reference to version %s: got %d %s, want %d", version, status, got, want)
		}
	}
	if _, got := call(t, "GET", url+"/schemas/ids/2", ""); !strings.Contains(got, `"references":[{"name":"p.Inner","subject":"inner","version":1}]`) {
		t.Errorf("the schema came back without its reference: %s", got)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	journal := &memory{fail: errors.New("disk full")}
	url, _ := start(t, journal)
	status, got := call(t, "POST", url+"/subjects/s/versions", submit(v1))
	if status != 500 || got != `{"error_code":50001,"message":"Error while registering schema in the backend Kafka store: disk full"}` {
		t.Errorf("got %d %s", status, got)
	}
	if _, got := call(t, "GET", url+"/subjects", ""); got != `[]` {
		t.Errorf("subjects after a failed write: got %s, want none", got)
	}
}

// TestClient speaks through the client library that the converters use.
func TestClient(t *testing.T) {
	url, _ := start(t, new(memory))
	client := srclient.NewSchemaRegistryClient(url)
	created, err := client.CreateSchema("flights-value", v1, srclient.Avro)
	if err != nil {
		t.Fatal(err)
	}
	read, err := client.GetSchema(created.ID())
	if err != nil {
		t.Fatal(err)
	}
	if read.Schema() != v1 {
		t.Errorf("schema %d: got %s, want %s", created.ID(), read.Schema(), v1)
	}
	latest, err := client.GetLatestSchema("flights-value")
	if err != nil || latest.Version() != 1 {
		t.Errorf("latest: got %v, %v; want version 1", latest, err)
	}
	if ok, err := client.IsSchemaCompatible("flights-value", broken, "latest", srclient.Avro); ok || err != nil {
		t.Errorf("IsSchemaCompatible: got %v, %v; want false", ok, err)
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}`), []byte(`{"subject":"s","version":1,"id":1,"schema":"\"int\"","deleted":false}`))
	f.Add([]byte(`{"keytype":"CONFIG","subject":null,"magic":0}`), []byte(`{"compatibilityLevel":"NONE"}`))
	f.Add([]byte(`{"keytype":"NOOP","magic":0}`), []byte(nil))
	f.Add([]byte(`{"keytype":"SCHEMA"}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		st := newState()
		if st.apply(key, value) != nil {
			return
		}
		for _, name := range st.names("", true) {
			for _, v := range st.live(name, true) {
				if st.schemas[v.schema.id] == nil {
					t.Errorf("version %d of %q has no schema %d", v.number, name, v.schema.id)
				}
			}
		}
		if err := st.apply(key, bytes.Clone(value)); err != nil {
			t.Errorf("the same record again: %v", err)
		}
	})
}
