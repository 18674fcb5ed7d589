package registry_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/converters/registry"
)

// A script is a registry that does what its handler says, and counts.
type script struct {
	*httptest.Server
	calls atomic.Int32
}

func serve(t *testing.T, handler http.HandlerFunc) *script {
	t.Helper()
	s := &script{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// schema answers with a schema as the registry does.
func schema(w http.ResponseWriter, members string) {
	_, _ = fmt.Fprintf(w, `{"schema":"\"int\""%s}`, members)
}

func refuse(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error_code":%d01,"message":%q}`, code, message)
	}
}

func client(t *testing.T, config map[string]string) *registry.Client {
	t.Helper()
	all := map[string]string{"retries.wait.ms": "1"}
	maps.Copy(all, config)
	c, err := registry.NewClient(all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSchemaIsReadOnce(t *testing.T) {
	hold := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-hold
		if r.URL.Path != "/base/schemas/ids/7" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		schema(w, "")
	})
	c := client(t, map[string]string{"schema.registry.url": s.URL + "/base/"})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := c.Schema(t.Context(), 7)
			if err != nil || got.Type != registry.Avro || got.Text != `"int"` || got.ID != 7 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	close(hold)
	wg.Wait()
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls for one id, want 1", n)
	}
}

// The one who asks may be called off; those who wait for the answer ask again.
func TestWaiterOutlivesAsker(t *testing.T) {
	asked := make(chan struct{}, 2)
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
			schema(w, "")
		case <-r.Context().Done():
		}
	})
	c := client(t, map[string]string{"schema.registry.url": s.URL})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Schema(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("the asker got %v, want context canceled", err)
		}
	})
	<-asked
	wg.Go(func() {
		if got, err := c.Schema(t.Context(), 1); err != nil || got.Text != `"int"` {
			t.Errorf("the waiter got %+v, %v", got, err)
		}
	})
	cancel()
	<-asked
	close(release)
	wg.Wait()
}

func class(err error) string {
	if e, ok := errors.AsType[*connect.RetryError](err); ok && e.Outage {
		return "outage"
	}
	if _, ok := errors.AsType[*connect.FatalError](err); ok {
		return "fatal"
	}
	if _, ok := errors.AsType[*connect.DataError](err); ok {
		return "data"
	}
	return "none"
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		reply  http.HandlerFunc
		config map[string]string
		class  string // of the error: data, fatal or outage
		calls  int32
		want   string
	}{
		{"unknown id", refuse(404, "Schema 40403 not found"), nil, "data", 1, "schema id 5 is not in the registry at HOST (the data may come from producers that use another registry: check schema.registry.url)"},
		{"credentials", refuse(401, "Unauthorized"), nil, "fatal", 1, "does not accept the credentials (401) (check basic.auth.credentials.source and basic.auth.user.info, or bearer.auth.token)"},
		{"rights", refuse(403, "no"), nil, "fatal", 1, "forbids it (403)"},
		{"leader election", refuse(500, "Error while\nforwarding"), nil, "outage", 4, "read schema id 5 from the schema registry: HOST answers 500 Error while forwarding"},
		{"busy", refuse(429, "slow down"), map[string]string{"max.retries": "1"}, "outage", 2, "429 slow down"},
		{"bad request", refuse(400, strings.Repeat("x", 1000)), nil, "fatal", 1, "400 " + strings.Repeat("x", 200) + "…"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://other.invalid/", http.StatusFound)
		}, nil, "fatal", 1, "answers 302"},
		{"a web page", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }, nil, "fatal", 1, "does not answer in JSON"},
		{"no path of a registry", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"error_code":404,"message":"HTTP 404 Not Found"}`)
		}, nil, "fatal", 1, "HOST answers 404 HTTP 404 Not Found (no schema registry, or not the path of one: check schema.registry.url)"},
		{"another kind of server", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "[1]") }, nil, "fatal", 1, "(no schema registry, or not the path of one: check schema.registry.url)"},
		{"no schema in it", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"status":"ok"}`) }, nil, "fatal", 1, "the answer holds no schema"},
		{"an endless reply", func(w http.ResponseWriter, _ *http.Request) {
			for range 1100 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 16<<10))); err != nil {
					return
				}
			}
		}, nil, "data", 1, "answers with more than 16777216 bytes"},
		{"rules", func(w http.ResponseWriter, _ *http.Request) {
			schema(w, `,"ruleSet":{"domainRules":[{"name":"pii","kind":"TRANSFORM","type":"ENCRYPT","mode":"WRITEREAD"}]}`)
		}, nil, "data", 1, `schema id 5 carries the data contract rule "pii" (ENCRYPT), which this build does not run`},
		{"too slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, map[string]string{"http.read.timeout.ms": "20", "max.retries": "0"}, "outage", 1, "timeout awaiting response headers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.reply)
			config := map[string]string{"schema.registry.url": s.URL, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "me:secret-word"}
			maps.Copy(config, tt.config)
			c := client(t, config)
			_, err := c.Schema(t.Context(), 5)
			want := strings.ReplaceAll(tt.want, "HOST", strings.TrimPrefix(s.URL, "http://"))
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v\nwant an error with %q", err, want)
			}
			if got := class(err); got != tt.class {
				t.Errorf("class of %v: got %s, want %s", err, got, tt.class)
			}
			if n := s.calls.Load(); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
			if _, again := c.Schema(t.Context(), 5); again == nil {
				t.Error("the second call succeeds")
			}
			if n := s.calls.Load(); tt.class == "data" && n != tt.calls {
				t.Errorf("a refusal is asked for again at once: %d calls", n)
			}
		})
	}
}

func TestFailOver(t *testing.T) {
	down := serve(t, refuse(503, "starting"))
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { schema(w, "") })
	c := client(t, map[string]string{"schema.registry.url": "http://127.0.0.1:1, " + down.URL + "," + up.URL})
	for id := range uint32(3) {
		if _, err := c.Schema(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if d, u := down.calls.Load(), up.calls.Load(); d != 1 || u != 3 {
		t.Errorf("%d calls to the one that is down and %d to the other, want 1 and 3", d, u)
	}
}

func TestDownThenUp(t *testing.T) {
	var s *script
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if s.calls.Load() < 3 {
			refuse(502, "bad gateway")(w, r)
			return
		}
		schema(w, "")
	})
	c := client(t, map[string]string{"schema.registry.url": s.URL})
	if _, err := c.Schema(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestForgetting needs no server: time is fake, and nothing listens.
func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		c := client(t, map[string]string{"schema.registry.url": "http://r", "retries.wait.ms": "1000"})
		c.SetTransport(roundTripper(func(*http.Request) (*http.Response, error) {
			calls++
			return nil, errors.New("connection refused")
		}))
		start := time.Now()
		if _, err := c.Schema(t.Context(), 1); err == nil {
			t.Fatal("no error")
		}
		if d := time.Since(start); d != 7*time.Second || calls != 4 {
			t.Errorf("%d calls in %v, want 4 in 1 s + 2 s + 4 s", calls, d)
		}
		c.SetTransport(roundTripper(func(r *http.Request) (*http.Response, error) {
			calls++
			w := httptest.NewRecorder()
			refuse(404, "Schema not found")(w, r)
			return w.Result(), nil
		}))
		calls = 0
		for range 3 {
			for range 5 {
				if _, err := c.Schema(t.Context(), 2); err == nil {
					t.Fatal("no error")
				}
			}
			time.Sleep(11 * time.Second)
		}
		if calls != 3 {
			t.Errorf("%d calls in 33 s for an id that is not there, want one in ten seconds", calls)
		}
	})
}

func TestCredentials(t *testing.T) {
	tests := []struct {
		name   string
		config map[string]string
		user   string // in the URL
		want   string
	}{
		{"none", nil, "", ""},
		{"user info", map[string]string{"basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "me:pw:x"}, "", "Basic bWU6cHc6eA=="},
		{"older key", map[string]string{"basic.auth.credentials.source": "USER_INFO", "schema.registry.basic.auth.user.info": "me:pw:x"}, "", "Basic bWU6cHc6eA=="},
		{"url", map[string]string{"basic.auth.credentials.source": "URL"}, "me:pw%3Ax@", "Basic bWU6cHc6eA=="},
		{"token", map[string]string{"bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "tok"}, "", "Bearer tok"},
	}
	for _, tt := range tests {
		var got http.Header
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r.Header; schema(w, "") })
		config := map[string]string{"schema.registry.url": strings.Replace(s.URL, "http://", "http://"+tt.user, 1), "request.header.X-Tenant": "t1"}
		maps.Copy(config, tt.config)
		if _, err := client(t, config).Schema(t.Context(), 1); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got.Get("Authorization") != tt.want || got.Get("X-Tenant") != "t1" {
			t.Errorf("%s: got Authorization %q, X-Tenant %q, want %q", tt.name, got.Get("Authorization"), got.Get("X-Tenant"), tt.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	url := "http://u:secret-word@r"
	tests := []struct {
		config map[string]string
		want   string
	}{
		{map[string]string{}, `missing required configuration "schema.registry.url"`},
		{map[string]string{"schema.registry.url": " , "}, "schema.registry.url"},
		{map[string]string{"schema.registry.url": "mock://secret-word"}, "schema.registry.url"},
		{map[string]string{"schema.registry.url": "http://u:secret-word%zz@r"}, "schema.registry.url"},
		{map[string]string{"schema.registry.url": url, "max.retries": "x"}, "max.retries"},
		{map[string]string{"schema.registry.url": url, "basic.auth.credentials.source": "SASL_INHERIT"}, "basic.auth.credentials.source"},
		{map[string]string{"schema.registry.url": url, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "secret-word"}, "basic.auth.user.info as user:password"},
		{map[string]string{"schema.registry.url": url, "bearer.auth.credentials.source": "OAUTHBEARER"}, "bearer.auth.credentials.source"},
		{map[string]string{"schema.registry.url": url, "bearer.auth.credentials.source": "STATIC_TOKEN"}, "needs bearer.auth.token"},
		{map[string]string{"schema.registry.url": url, "bearer.auth.token": "secret-word"}, "holds a user"},
		{map[string]string{"schema.registry.url": url, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "a:b", "bearer.auth.token": "secret-word"}, "only one of"},
		{map[string]string{"schema.registry.url": url, "schema.registry.ssl.truststore.location": "x.jks", "schema.registry.ssl.truststore.type": "JKS"}, "reads PEM"},
		{map[string]string{"schema.registry.url": url, "schema.registry.ssl.truststore.certificates": "secret-word"}, "no certificate in PEM"},
		{map[string]string{"schema.registry.url": url, "schema.registry.ssl.keystore.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, "is encrypted"},
		{map[string]string{"schema.registry.url": url, "schema.registry.ssl.keystore.location": "/missing.pem"}, "schema.registry.ssl.keystore.location"},
	}
	for _, tt := range tests {
		_, err := registry.NewClient(tt.config)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v\n got %v\nwant an error with %q", tt.config, err, tt.want)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { schema(w, "") }))
	t.Cleanup(s.Close)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(s.URL, "127.0.0.1", "localhost", 1) // not a name of the certificate
	tests := []struct {
		name, url string
		config    map[string]string
		ok        bool
	}{
		{"unknown authority", s.URL, nil, false},
		{"file", s.URL, map[string]string{"truststore.location": file, "truststore.type": "PEM"}, true},
		{"text", s.URL, map[string]string{"truststore.certificates": string(cert)}, true},
		{"other name", other, map[string]string{"truststore.location": file}, false},
		{"other name, unchecked", other, map[string]string{"truststore.location": file, "endpoint.identification.algorithm": ""}, true},
		{"unknown authority, name unchecked", other, map[string]string{"endpoint.identification.algorithm": ""}, false},
	}
	for _, tt := range tests {
		config := map[string]string{"schema.registry.url": tt.url, "max.retries": "0"}
		for k, v := range tt.config {
			config["schema.registry.ssl."+k] = v
		}
		if _, err := client(t, config).Schema(t.Context(), 1); (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want success: %t", tt.name, err, tt.ok)
		}
	}
}

// TestReferences runs against another implementation of the registry.
func TestReferences(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	put := func(subject, name string, refs ...sr.SchemaReference) int {
		body, err := json.Marshal(map[string]any{"schema": `{"type":"record","name":"` + name + `","fields":[]}`, "references": refs})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fake.URL()+"/subjects/"+strings.ReplaceAll(subject, "/", "%2F")+"/versions", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // it was read
		var reply struct{ ID int }
		if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || reply.ID == 0 {
			t.Fatalf("register %s: %v, %+v", subject, err, resp)
		}
		return reply.ID
	}
	put("a", "A")
	put("b", "B", sr.SchemaReference{Name: "A", Subject: "a", Version: 1})
	put("c", "C", sr.SchemaReference{Name: "A", Subject: "a", Version: 1})
	id := put("d", "D", sr.SchemaReference{Name: "C", Subject: "c", Version: 1}, sr.SchemaReference{Name: "B", Subject: "b", Version: 1})
	got, err := client(t, map[string]string{"schema.registry.url": fake.URL()}).Schema(t.Context(), uint32(id))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range got.References {
		names = append(names, r.Name)
	}
	if text := strings.Join(names, " "); text != "A C B" {
		t.Errorf("references %s, want each once and after what it needs: A C B", text)
	}
}

func FuzzSplitHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3})
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, payload, err := registry.SplitHeader(data)
		if (err == nil) != (len(data) >= 5 && data[0] == 0) {
			t.Errorf("% x: %v", data, err)
		}
		if err == nil && (len(payload) != len(data)-5 || id != uint32(data[1])<<24|uint32(data[2])<<16|uint32(data[3])<<8|uint32(data[4])) {
			t.Errorf("% x: id %d, payload % x", data, id, payload)
		}
	})
}
