package kafka

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"golang.org/x/sync/singleflight"

	"github.com/firn-io/firn/internal/javatls"
)

// oauthHandlers are the callback handlers of Java whose work is done here. Without one Java
// makes unsecured tokens.
var oauthHandlers = map[string]bool{
	"": true,
	"org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler":         true,
	"org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler": true,
}

// oauth makes the source of tokens: the endpoint by the grant of client credentials, a file,
// or, only where the login module's options ask for it, unsecured tokens for tests.
// (Source: org.apache.kafka.common.security.oauthbearer.)
func (p *properties) oauth(jaas jaasEntry) *tokenSource {
	s := &tokenSource{now: time.Now, factor: p.fraction("sasl.login.refresh.window.factor", 0.8), extensions: map[string]string{}}
	for key, value := range jaas.options {
		if name, ok := strings.CutPrefix(key, "extension_"); ok {
			s.extensions[name] = value
		}
		if name, ok := strings.CutPrefix(key, "unsecuredLoginExtension_"); ok {
			s.extensions[name] = value
		}
	}
	id, secret := p.orOption("sasl.oauthbearer.client.credentials.client.id", jaas, "clientId"), p.orOption("sasl.oauthbearer.client.credentials.client.secret", jaas, "clientSecret")
	handler := p.text("sasl.login.callback.handler.class", "")
	endpoint := p.text("sasl.oauthbearer.token.endpoint.url", "")
	u, err := url.Parse(endpoint)
	switch {
	case !oauthHandlers[handler]:
		p.bad("sasl.login.callback.handler.class", handler, "this build has OAuthBearerLoginCallbackHandler: give sasl.oauthbearer.token.endpoint.url, or a file: URL of a token")
	case endpoint == "" && jaas.options["unsecuredLoginStringClaim_sub"] != "" && handler == "":
		s.fetch = func() (token, error) { return unsecured(jaas.options, s.now()) }
	case endpoint == "":
		p.fail("sasl.oauthbearer.token.endpoint.url", "sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url; tokens that nobody has signed are made only if sasl.jaas.config has unsecuredLoginStringClaim_sub")
	case err != nil:
		p.fail("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.endpoint.url is no URL")
	case u.Scheme == "file":
		s.fetch = func() (token, error) { return tokenOfFile(u.Path) }
	case (u.Scheme != "https" && u.Scheme != "http") || u.Host == "":
		p.fail("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.endpoint.url begins with none of https://, http:// and file://")
	case p.asserts() != "":
		p.fail(p.asserts(), "%s: this build has no assertions, only sasl.oauthbearer.client.credentials.client.id and .secret", p.asserts())
	case id == "" || secret == "":
		p.fail("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.credentials.client.id or .secret is missing; clientId and clientSecret in sasl.jaas.config do as well")
	default:
		s.fetch = p.endpoint(u, id, secret, p.orOption("sasl.oauthbearer.scope", jaas, "scope"), jaas.options)
	}
	return s
}

// orOption is a property or, if it is not given, the option of the login module that it has
// taken the place of (KIP-1139).
func (p *properties) orOption(key string, jaas jaasEntry, option string) string {
	return p.text(key, jaas.options[option])
}

// asserts is the property by which Java would sign in with an assertion in place of a
// secret, "" if none is given.
func (p *properties) asserts() string {
	for _, key := range []string{"sasl.oauthbearer.assertion.file", "sasl.oauthbearer.assertion.claim.iss"} {
		if p.has(key) {
			return key
		}
	}
	const retriever = "sasl.oauthbearer.jwt.retriever.class"
	if strings.HasSuffix(p.text(retriever, ""), ".JwtBearerJwtRetriever") {
		return retriever
	}
	return ""
}

func (p *properties) fraction(key string, def float64) float64 {
	text, ok := p.given[key]
	if !ok {
		return def
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(f >= 0.5 && f <= 1) {
		p.bad(key, text, "Value must be between 0.5 and 1.0")
		return def
	}
	return f
}

// A token and when it ends; never, for all that is known, if expires is zero.
type token struct {
	text    string
	expires time.Time
}

// A tokenSource hands out a token as long as it is fresh. A new one is fetched when most of
// its time has passed; until it has ended, it serves when that fails.
type tokenSource struct {
	fetch      func() (token, error)
	now        func() time.Time
	factor     float64 // of its time that a token is used for
	extensions map[string]string

	flight singleflight.Group
	mu     sync.Mutex // guards the rest
	held   token
	renew  time.Time
}

// Token implements sarama.AccessTokenProvider.
func (s *tokenSource) Token() (*sarama.AccessToken, error) {
	if held, fresh := s.current(); fresh {
		return s.access(held), nil
	}
	got, err, _ := s.flight.Do("", func() (any, error) {
		t, err := s.fetch()
		if err != nil {
			return nil, err
		}
		s.hold(t)
		return t, nil
	})
	if err != nil {
		if held, _ := s.current(); held.text != "" && s.now().Before(held.expires) {
			return s.access(held), nil
		}
		return nil, err
	}
	return s.access(got.(token)), nil
}

func (s *tokenSource) access(t token) *sarama.AccessToken {
	return &sarama.AccessToken{Token: t.text, Extensions: s.extensions}
}

func (s *tokenSource) current() (held token, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.now().Before(s.renew)
}

func (s *tokenSource) hold(t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.held, s.renew = t, now
	if left := t.expires.Sub(now); !t.expires.IsZero() && left > 0 {
		s.renew = now.Add(time.Duration(float64(left) * s.factor))
	}
}

// maxTokenBytes bounds a token and the answer that it comes in.
const maxTokenBytes = 1 << 20

// endpoint asks for tokens by the grant of client credentials (RFC 6749, 4.4). Neither the
// secret nor a token shows in errors.
func (p *properties) endpoint(u *url.URL, id, secret, scope string, options map[string]string) func() (token, error) {
	if p.bool("sasl.oauthbearer.header.urlencode", false) {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if scope != "" {
		form.Set("scope", scope)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	tls, err := javatls.Client(options) // Java takes ssl.* of this connection from the same place
	if err != nil {
		p.fail("sasl.jaas.config", "sasl.jaas.config: %v", err)
	}
	transport.TLSClientConfig = tls
	transport.DisableKeepAlives = true // a token lasts longer than a connection
	client := &http.Client{
		Transport:     transport,
		Timeout:       p.millis("sasl.login.connect.timeout.ms", 10_000, 0) + p.millis("sasl.login.read.timeout.ms", 10_000, 0),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func() (token, error) {
		t, err := requestToken(client, u, id, secret, form)
		if err != nil {
			return token{}, fmt.Errorf("get a token from %s: %w", u.Host, err)
		}
		return t, nil
	}
}

func requestToken(client *http.Client, u *url.URL, id, secret string, form url.Values) (token, error) {
	req, err := http.NewRequest(http.MethodPost, u.String(), strings.NewReader(form.Encode())) //nolint:noctx // sarama gives none; the client has a time limit
	if err != nil {
		return token{}, errors.New("the URL cannot be asked")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(id, secret)
	resp, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // whose text has the whole URL
			err = e.Err
		}
		return token{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBytes))
	if err != nil {
		return token{}, err
	}
	var answer struct {
		Token     string      `json:"access_token"`
		ExpiresIn json.Number `json:"expires_in"`
		Error     string      `json:"error"`
	}
	jerr := json.Unmarshal(body, &answer)
	switch {
	case resp.StatusCode != http.StatusOK:
		// Only the error's name: its description may repeat what was sent.
		return token{}, fmt.Errorf("it answers %d %.60q", resp.StatusCode, answer.Error)
	case jerr != nil:
		return token{}, errors.New("its answer is no JSON")
	}
	t, err := parseToken(answer.Token)
	if err == nil && t.expires.IsZero() {
		if seconds, err := answer.ExpiresIn.Int64(); err == nil && seconds > 0 {
			t.expires = time.Now().Add(time.Duration(min(seconds, 1<<31)) * time.Second)
		}
	}
	return t, err
}

func tokenOfFile(path string) (token, error) {
	f, err := os.Open(path)
	if err != nil {
		return token{}, fmt.Errorf("read the token: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes))
	if err != nil {
		return token{}, fmt.Errorf("read the token: %w", err)
	}
	t, err := parseToken(strings.TrimSpace(string(text)))
	if err != nil {
		return token{}, fmt.Errorf("read the token: %s: %w", path, err)
	}
	return t, nil
}

// parseToken looks at a token only for when it ends; whether it is good is the broker's to
// say. What it says is sent to the broker between control characters and must hold none.
func parseToken(text string) (token, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return token{}, errors.New("there is no token in it")
	}
	t := token{text: text}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, nil // not a JWT
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Expires json.Number `json:"exp"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return t, nil //nolint:nilerr // not a JWT
	}
	if seconds, err := claims.Expires.Float64(); err == nil && seconds > 0 && seconds < 1<<40 {
		t.expires = time.Unix(int64(seconds), 0)
	}
	return t, nil
}

// unsecured makes a token that nobody has signed, of the claims in the login module's
// options. (Source: OAuthBearerUnsecuredLoginCallbackHandler.)
func unsecured(options map[string]string, now time.Time) (token, error) {
	lifetime := int64(3600)
	if text := options["unsecuredLoginLifetimeSeconds"]; text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n <= 0 {
			return token{}, errors.New("unsecuredLoginLifetimeSeconds is no number of seconds")
		}
		lifetime = n
	}
	claims := map[string]any{"iat": now.Unix(), "exp": now.Unix() + lifetime}
	for key, value := range options {
		if name, ok := strings.CutPrefix(key, "unsecuredLoginStringClaim_"); ok {
			claims[name] = value
		}
		if name, ok := strings.CutPrefix(key, "unsecuredLoginListClaim_"); ok && value != "" {
			claims[name] = strings.Split(value[1:], value[:1]) // the first character is the separator
		}
		if name, ok := strings.CutPrefix(key, "unsecuredLoginNumberClaim_"); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return token{}, fmt.Errorf("%s is no number", key)
			}
			claims[name] = n
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return token{}, fmt.Errorf("make a token: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return token{text: encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + ".", expires: now.Add(time.Duration(lifetime) * time.Second)}, nil
}
