package catalog_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

const secret = "hunter2"

// A gate is a REST catalog that lets in who passes.
type gate struct {
	mu      sync.Mutex
	seen    []*http.Request
	pass    func(*http.Request) bool
	config  map[string]any // answer to /v1/config, if not the back's
	refusal int
}

func (g *gate) serve(t *testing.T) *httptest.Server {
	next := icetest.New(icetest.NewFiles()).Handler("file://" + t.TempDir())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.seen = append(g.seen, r.Clone(r.Context()))
		pass, config := g.pass(r), g.config
		g.mu.Unlock()
		switch {
		case !pass:
			w.WriteHeader(g.refusal)
		case config != nil && r.URL.Path == "/v1/config":
			_ = json.NewEncoder(w).Encode(config)
		default:
			r.URL.Path = strings.Replace(r.URL.Path, "/v1/pre/fix/", "/v1/", 1)
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

// tokens is a token endpoint elsewhere, whose tokens are numbered.
type tokens struct {
	mu     sync.Mutex
	forms  []string
	expiry string // ,"expires_in":N
	fail   bool
}

func (k *tokens) serve(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.forms = append(k.forms, r.Form.Encode())
		w.Header().Set("Content-Type", "application/json")
		if k.fail {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":"invalid_client","error_description":"unknown client","echo":%q}`, r.FormValue("client_secret"))
			return
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"T%d","token_type":"bearer"%s}`, len(k.forms), k.expiry)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func (k *tokens) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.forms)
}

func TestOAuthTokenIsAskedForAgain(t *testing.T) {
	for _, expiry := range []string{"", `,"expires_in":3600`} {
		k := &tokens{expiry: expiry}
		good := "Bearer T1"
		g := &gate{refusal: http.StatusUnauthorized}
		g.pass = func(r *http.Request) bool { return r.Header.Get("Authorization") == good }
		cat := opened(t, map[string]string{
			"type": "rest", "uri": g.serve(t).URL, "credential": "me:" + secret, "oauth2-server-uri": k.serve(t).URL + "/token",
			"scope": "S", "audience": "A", "resource": "R",
		})
		if _, err := cat.ListNamespaces(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if got, want := k.forms[0], "audience=A&client_id=me&client_secret="+secret+"&grant_type=client_credentials&resource=R&scope=S"; got != want || k.count() != 1 {
			t.Errorf("%d token requests, the first %s, want 1 with %s", k.count(), got, want)
		}
		g.mu.Lock()
		good = "Bearer T2" // the first has been revoked
		g.mu.Unlock()
		if _, err := cat.ListNamespaces(t.Context(), nil); err == nil {
			t.Error("a revoked token was let in")
		}
		if _, err := cat.ListNamespaces(t.Context(), nil); err != nil || k.count() != 2 {
			t.Errorf("after a refusal: %v, %d token requests, want 2", err, k.count())
		}
	}
}

func TestOAuthExpiry(t *testing.T) {
	k := &tokens{expiry: `,"expires_in":0`}
	g := &gate{pass: func(*http.Request) bool { return true }}
	cat := opened(t, map[string]string{
		"type": "rest", "uri": g.serve(t).URL, "credential": "me:" + secret, "oauth2-server-uri": k.serve(t).URL, "token-expires-in-ms": "1",
	})
	before := k.count()
	time.Sleep(2 * time.Millisecond) // longer than the token lives
	if _, err := cat.ListNamespaces(t.Context(), nil); err != nil || k.count() <= before {
		t.Errorf("%v; %d token requests before and %d after the token has expired", err, before, k.count())
	}
}

func TestOAuthErrorKeepsSecrets(t *testing.T) {
	k := &tokens{fail: true}
	_, err := catalog.Open(t.Context(), "iceberg", map[string]string{
		"type": "rest", "uri": "http://127.0.0.1:1", "credential": "me:" + secret, "oauth2-server-uri": k.serve(t).URL,
	})
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "invalid_client: unknown client") || !strings.Contains(err.Error(), "check credential") {
		t.Errorf("error %v, want the server's words, the remedy and no secret", err)
	}
}

// What the server says to all clients counts: defaults below the user's settings,
// overrides above them.
func TestServerConfig(t *testing.T) {
	g := &gate{pass: func(*http.Request) bool { return true }}
	g.config = map[string]any{
		"defaults":  map[string]string{"header.X-Team": "theirs", "header.X-Only": "default"},
		"overrides": map[string]string{"prefix": "pre/fix"},
		"endpoints": []string{
			"GET /v1/{prefix}/namespaces", "POST /v1/{prefix}/namespaces", "POST /v1/{prefix}/namespaces/{namespace}/tables",
			"GET /v1/{prefix}/namespaces/{namespace}/tables/{table}", "POST /v1/{prefix}/transactions/commit",
		},
	}
	cat := opened(t, map[string]string{
		"type": "rest", "uri": g.serve(t).URL, "warehouse": "W", "prefix": "mine", "header.X-Team": "ours",
	})
	ensure(t, cat)
	if got := g.seen[0].URL.String(); got != "/v1/config?warehouse=W" {
		t.Errorf("first request %s", got)
	}
	last := g.seen[len(g.seen)-1]
	if !strings.HasPrefix(last.URL.Path, "/v1/pre/fix/") || last.Header.Get("X-Team") != "ours" || last.Header.Get("X-Only") != "default" {
		t.Errorf("last request %s with headers %v", last.URL, last.Header)
	}
	if multi, ok := catalog.AsMultiTable(cat); !ok || multi == nil {
		t.Error("the server offers commits of several tables, and the catalog does not")
	}
	plain, _ := openREST(t, nil, nil)
	for _, c := range []catalog.Catalog{plain, openSQLite(t)} {
		if _, ok := catalog.AsMultiTable(c); ok {
			t.Errorf("%T offers commits of several tables", c)
		}
	}
}

func TestMultiTable(t *testing.T) {
	var body struct {
		Changes []struct {
			Identifier struct{ Name string }
		} `json:"table-changes"`
	}
	status := http.StatusNoContent
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/config" {
			_, _ = fmt.Fprint(w, `{"defaults":{},"overrides":{},"endpoints":["POST /v1/{prefix}/transactions/commit"]}`)
			return
		}
		if r.URL.Path != "/v1/transactions/commit" || json.NewDecoder(r.Body).Decode(&body) != nil {
			t.Errorf("unexpected %s", r.URL)
		}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	cat := opened(t, map[string]string{"type": "rest", "uri": srv.URL})
	multi, ok := catalog.AsMultiTable(cat)
	if !ok {
		t.Fatal("not offered")
	}
	commits := []table.TableCommit{{Identifier: table.Identifier{"a", "x"}}, {Identifier: table.Identifier{"a", "y"}}}
	if err := multi.CommitTransaction(t.Context(), commits); err != nil || len(body.Changes) != 2 || body.Changes[1].Identifier.Name != "y" {
		t.Errorf("%v, sent %+v", err, body)
	}
	status = http.StatusConflict
	if err := multi.CommitTransaction(t.Context(), commits); err == nil || !strings.Contains(fmt.Sprint(err), "commit failed") {
		t.Errorf("409: %v", err)
	}
}

func TestBasicAndSigV4(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	tests := []struct {
		name  string
		props map[string]string
		want  string // in the Authorization header
	}{
		{"basic", map[string]string{"rest.auth.type": "basic", "rest.auth.basic.username": "me", "rest.auth.basic.password": secret}, "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+secret))},
		{"none", map[string]string{"rest.auth.type": "none", "token": secret}, ""},
		{"rest keys", map[string]string{"rest.sigv4-enabled": "true", "rest.access-key-id": "RK", "rest.secret-access-key": "x", "client.access-key-id": "CK", "client.secret-access-key": "x", "rest.signing-region": "eu-west-1", "rest.signing-name": "glue"}, "AWS4-HMAC-SHA256 Credential=RK/*/eu-west-1/glue/aws4_request"},
		{"one block", map[string]string{"rest.auth.type": "sigv4", "client.access-key-id": "CK", "client.secret-access-key": "x", "client.region": "eu-west-2"}, "AWS4-HMAC-SHA256 Credential=CK/*/eu-west-2/execute-api/aws4_request"},
		{"keys of S3", map[string]string{"rest.auth.type": "sigv4", "s3.access-key-id": "SK", "s3.secret-access-key": "x", "client.region": "eu-west-2"}, "AWS4-HMAC-SHA256 Credential=SK/*/eu-west-2/execute-api/aws4_request"},
	}
	for _, tt := range tests {
		g := &gate{pass: func(*http.Request) bool { return true }}
		tt.props["type"], tt.props["uri"] = "rest", g.serve(t).URL
		cat, err := catalog.Open(t.Context(), "iceberg", tt.props)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		ensure(t, cat)
		for _, r := range g.seen {
			before, after, ok := strings.Cut(tt.want, "*")
			got := r.Header.Get("Authorization")
			if !strings.HasPrefix(got, before) || ok && !strings.Contains(got, after) || tt.want == "" && got != "" {
				t.Errorf("%s: %s %s has Authorization %q, want %q", tt.name, r.Method, r.URL, got, tt.want)
			}
		}
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
	}
	// Keys of another store are none of AWS's.
	_, err := catalog.Open(t.Context(), "iceberg", map[string]string{
		"type": "rest", "uri": "http://127.0.0.1:1", "rest.auth.type": "sigv4", "client.region": "eu-west-2",
		"s3.endpoint": "http://127.0.0.1:1", "s3.access-key-id": "SK", "s3.secret-access-key": "x",
	})
	if err == nil || strings.Contains(err.Error(), "connection refused") {
		t.Errorf("signed by keys of another store: %v", err)
	}
}

// A credential file names where to ask for tokens, as a user's does; the catalog gets what
// is answered there.
func TestGoogleAuth(t *testing.T) {
	k := &tokens{expiry: `,"expires_in":3600`}
	key := filepath.Join(t.TempDir(), "key.json")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "firn@example.com", "token_uri": k.serve(t).URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, file, 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gate{refusal: http.StatusUnauthorized, pass: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer T1" }}
	cat := opened(t, map[string]string{
		"type": "rest", "uri": g.serve(t).URL, "rest.auth.type": "google", "gcp.auth.credentials-path": key,
	})
	ensure(t, cat)
	if k.count() != 1 {
		t.Errorf("%d token requests, want 1", k.count())
	}
}

func TestCustomAuthority(t *testing.T) {
	srv := httptest.NewTLSServer(icetest.New(icetest.NewFiles()).Handler("file://" + t.TempDir()))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ bundle, want string }{
		{file, ""},
		{"", "certificate"},
		{file + ".none", "ssl.cabundle"},
		{"auth_test.go", "no certificate"},
	} {
		cat, err := catalog.Open(t.Context(), "iceberg", map[string]string{"type": "rest", "uri": srv.URL, "ssl.cabundle": tt.bundle})
		if err == nil {
			ensure(t, cat)
			err = cat.Close()
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ssl.cabundle %q: %v, want %q", tt.bundle, err, tt.want)
		}
	}
}
