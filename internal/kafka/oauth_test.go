package kafka

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

const oauthModule = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "

func jwt(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + ".c2ln"
}

// A tokenEndpoint is a fake authorization server.
type tokenEndpoint struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string // user:password and form of each request
	status int
	answer string
}

func newTokenEndpoint(t *testing.T) *tokenEndpoint {
	t.Helper()
	e := &tokenEndpoint{status: http.StatusOK}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		e.asked = append(e.asked, r.Method+" "+r.Header.Get("Content-Type")+" "+user+":"+password+" "+string(body))
		w.WriteHeader(e.status)
		_, _ = io.WriteString(w, e.answer)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *tokenEndpoint) says(status int, answer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.answer = status, answer
}

// source makes the source of tokens that the properties describe.
func source(t *testing.T, props map[string]string) *tokenSource {
	t.Helper()
	props["bootstrap.servers"], props["security.protocol"], props["sasl.mechanism"] = "a:1", "SASL_PLAINTEXT", "OAUTHBEARER"
	c, err := NewConfig(props, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.sarama.Net.SASL.TokenProvider.(*tokenSource)
}

func TestOAuthEndpoint(t *testing.T) {
	e := newTokenEndpoint(t)
	start := time.Now()
	first, second := jwt(fmt.Sprintf(`{"sub":"a","exp":%d}`, start.Unix()+1000)), jwt(fmt.Sprintf(`{"sub":"b","exp":%d}`, start.Unix()+2000))
	e.says(http.StatusOK, `{"access_token":"`+first+`","expires_in":1000}`)
	s := source(t, map[string]string{
		"sasl.oauthbearer.token.endpoint.url": e.URL + "/token",
		"sasl.jaas.config":                    oauthModule + `clientId="me" clientSecret="s3cret" scope="kafka" extension_pool="p1";`,
	})
	now := start
	s.now = func() time.Time { return now }
	want := func(text string, calls int) {
		t.Helper()
		got, err := s.Token()
		if err != nil || got.Token != text || got.Extensions["pool"] != "p1" || len(e.asked) != calls {
			t.Errorf("after %v: got %v, %v after %d requests, want %s after %d", now.Sub(start), got, err, len(e.asked), text, calls)
		}
	}
	want(first, 1)
	if want := "POST application/x-www-form-urlencoded me:s3cret grant_type=client_credentials&scope=kafka"; e.asked[0] != want {
		t.Errorf("asked with %q, want %q", e.asked[0], want)
	}
	now = start.Add(700 * time.Second)
	want(first, 1)
	e.says(http.StatusInternalServerError, "down")
	now = start.Add(900 * time.Second)
	want(first, 2) // it has not ended
	e.says(http.StatusOK, `{"access_token":"`+second+`"}`)
	want(second, 3)
	want(second, 3)
	e.says(http.StatusUnauthorized, `{"error":"invalid_client","error_description":"bad secret s3cret"}`)
	now = start.Add(2100 * time.Second)
	_, err := s.Token()
	if err == nil || err.Error() != "get a token from "+strings.TrimPrefix(e.URL, "http://")+`: it answers 401 "invalid_client"` {
		t.Errorf("got %v", err)
	}
}

func TestOAuthFailures(t *testing.T) {
	e := newTokenEndpoint(t)
	for _, tt := range []struct {
		status int
		answer string
		want   string
	}{
		{http.StatusOK, "<html>s3cret", "its answer is no JSON"},
		{http.StatusOK, `{"access_token":""}`, "there is no token in it"},
		{http.StatusOK, `{"access_token":"a\u0001b"}`, "there is no token in it"},
		{http.StatusFound, `{}`, `it answers 302 ""`},
	} {
		e.says(tt.status, tt.answer)
		s := source(t, map[string]string{
			"sasl.oauthbearer.token.endpoint.url": e.URL,
			"sasl.jaas.config":                    oauthModule + `clientId="me" clientSecret="s3cret";`,
		})
		if _, err := s.Token(); err == nil || !strings.HasSuffix(err.Error(), ": "+tt.want) {
			t.Errorf("%s: got %v, want %s", tt.answer, err, tt.want)
		}
	}
	for _, tt := range []struct{ props, want string }{
		{"sasl.jaas.config=" + oauthModule + ";", "sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url; tokens that nobody has signed are made only if sasl.jaas.config has unsecuredLoginStringClaim_sub"},
		{"sasl.jaas.config=" + oauthModule + `clientId="me";` + "\nsasl.oauthbearer.token.endpoint.url=https://x/token", "sasl.oauthbearer.client.credentials.client.id or .secret is missing; clientId and clientSecret in sasl.jaas.config do as well"},
		{"sasl.jaas.config=" + oauthModule + `clientSecret="x";` + "\nsasl.oauthbearer.token.endpoint.url=https://x/token\nsasl.oauthbearer.client.credentials.client.id=", "sasl.oauthbearer.client.credentials.client.id or .secret is missing; clientId and clientSecret in sasl.jaas.config do as well"},
		{"sasl.jaas.config=" + oauthModule + ";\nsasl.oauthbearer.token.endpoint.url=https://x/token\nsasl.oauthbearer.assertion.file=/jwt", "sasl.oauthbearer.assertion.file: this build has no assertions, only sasl.oauthbearer.client.credentials.client.id and .secret"},
		{"sasl.jaas.config=" + oauthModule + ";\nsasl.oauthbearer.token.endpoint.url=https://x/token\nsasl.oauthbearer.jwt.retriever.class=org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever", "sasl.oauthbearer.jwt.retriever.class: this build has no assertions, only sasl.oauthbearer.client.credentials.client.id and .secret"},
		{"sasl.jaas.config=" + oauthModule + ";\nsasl.oauthbearer.token.endpoint.url=ftp://x", "sasl.oauthbearer.token.endpoint.url begins with none of https://, http:// and file://"},
		{"sasl.jaas.config=" + oauthModule + ";\nsasl.login.callback.handler.class=x.Y", "Invalid value x.Y for configuration sasl.login.callback.handler.class: this build has OAuthBearerLoginCallbackHandler: give sasl.oauthbearer.token.endpoint.url, or a file: URL of a token"},
		{"sasl.jaas.config=" + oauthModule + `unsecuredLoginStringClaim_sub="a";` + "\nsasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler", "sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url; tokens that nobody has signed are made only if sasl.jaas.config has unsecuredLoginStringClaim_sub"},
	} {
		props := map[string]string{"bootstrap.servers": "a:1", "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}
		for line := range strings.SplitSeq(tt.props, "\n") {
			key, value, _ := strings.Cut(line, "=")
			props[key] = value
		}
		if _, err := NewConfig(props, nil); err == nil || err.Error() != tt.want {
			t.Errorf("%s\n got %v\nwant %s", tt.props, err, tt.want)
		}
	}
}

// Of a property and the option that it took the place of, the property counts.
func TestOAuthProperties(t *testing.T) {
	e := newTokenEndpoint(t)
	e.says(http.StatusOK, `{"access_token":"`+jwt(`{"exp":1}`)+`"}`)
	const prefix = "sasl.oauthbearer."
	for _, tt := range []struct {
		options string
		props   map[string]string
		want    string
	}{
		{`clientId="a" clientSecret="b" scope="c"`, nil, "a:b grant_type=client_credentials&scope=c"},
		{"", map[string]string{"client.credentials.client.id": "d", "client.credentials.client.secret": "e", "scope": "f"}, "d:e grant_type=client_credentials&scope=f"},
		{`clientId="a" clientSecret="b" scope="c"`, map[string]string{"client.credentials.client.id": "d", "client.credentials.client.secret": "e", "scope": "f"}, "d:e grant_type=client_credentials&scope=f"},
		{`clientId="a" clientSecret="b"`, map[string]string{"client.credentials.client.secret": "e", "jwt.retriever.class": "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever"}, "a:e grant_type=client_credentials"},
	} {
		props := map[string]string{prefix + "token.endpoint.url": e.URL, "sasl.jaas.config": oauthModule + tt.options + ";"}
		for key, value := range tt.props {
			props[prefix+key] = value
		}
		if unknown := Unknown(props); len(unknown) > 0 {
			t.Errorf("%q count as unknown", unknown)
		}
		if _, err := source(t, props).Token(); err != nil {
			t.Error(err)
		}
		if got := e.asked[len(e.asked)-1]; !strings.HasSuffix(got, " "+tt.want) {
			t.Errorf("%s and %v asked with %q, want %q", tt.options, tt.props, got, tt.want)
		}
	}
}

func TestOAuthFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	props := map[string]string{"sasl.oauthbearer.token.endpoint.url": "file://" + path, "sasl.jaas.config": oauthModule + ";"}
	s := source(t, props)
	if _, err := s.Token(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, text := range []string{"opaque", jwt(`{"exp":1}`)} { // neither lasts, so the file is read each time
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Token(); err != nil || got.Token != text {
			t.Errorf("got %v, %v; want %s", got, err, text)
		}
	}
}

func TestOAuthUnsecured(t *testing.T) {
	s := source(t, map[string]string{"sasl.jaas.config": oauthModule + `unsecuredLoginStringClaim_sub="alice" unsecuredLoginListClaim_scope=",a,b" unsecuredLoginNumberClaim_n="1.5" unsecuredLoginLifetimeSeconds="60" unsecuredLoginExtension_k="v";`})
	got, err := s.Token()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(got.Token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil || len(parts) != 3 || parts[0] != "eyJhbGciOiJub25lIn0" || parts[2] != "" {
		t.Fatalf("got %s", got.Token)
	}
	if claims["exp"].(float64)-claims["iat"].(float64) != 60 || claims["sub"] != "alice" || claims["n"] != 1.5 || fmt.Sprint(claims["scope"]) != "[a b]" || got.Extensions["k"] != "v" {
		t.Errorf("got claims %v, extensions %v", claims, got.Extensions)
	}
}

// The token reaches the broker.
func TestOAuthOnTheWire(t *testing.T) {
	broker := sarama.NewMockBroker(t, 1)
	defer broker.Close()
	authenticate := sarama.NewMockSaslAuthenticateResponse(t)
	broker.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 3, MaxVersion: 5}, {ApiKey: 17, MaxVersion: 1}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 36, MaxVersion: 1},
		}),
		"SaslHandshakeRequest":    sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{sarama.SASLTypeOAuth}),
		"SaslAuthenticateRequest": authenticate,
		"MetadataRequest":         sarama.NewMockMetadataResponse(t).SetBroker(broker.Addr(), 1),
	})
	cfg, err := NewConfig(map[string]string{
		"bootstrap.servers": broker.Addr(), "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER",
		"sasl.jaas.config": oauthModule + `unsecuredLoginStringClaim_sub="alice";`,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(a)
	if _, err := a.Topics(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range broker.History() {
		if auth, ok := r.Request.(*sarama.SaslAuthenticateRequest); ok {
			if text := string(auth.SaslAuthBytes); !strings.HasPrefix(text, "n,,\x01auth=Bearer eyJhbGciOiJub25lIn0.") {
				t.Errorf("sent %q", text)
			}
			return
		}
	}
	t.Error("nothing was sent to authenticate with")
}

func FuzzToken(f *testing.F) {
	f.Add(jwt(`{"exp":1}`))
	f.Add(jwt(`{"exp":1e300}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := parseToken(text); err == nil && (got.text != text || strings.ContainsAny(text, "\x01\n ")) {
			t.Errorf("%q became %q", text, got.text)
		}
	})
}
