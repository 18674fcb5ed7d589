package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// maxResponseBytes bounds what a REST catalog may answer: a table of 10,000
// snapshots is 8 MB.
const maxResponseBytes = 512 << 20

// defaultAnswerTimeout is how long a REST catalog may take to begin an answer. The
// outcome of a commit that ran into it is unknown, as after any lost reply.
const defaultAnswerTimeout = 2 * time.Minute

// A restTransport stands between iceberg-go's REST client and the network, and
// keeps three promises that the client does not: answers are bounded, credentials
// do not follow a redirect to another host, and vended credentials are asked for
// only when the config says so, as in Java (servers answer 403 to users who may
// read a table but not be lent its keys). It also keeps what the server said about
// itself, and tells of tokens that were refused.
type restTransport struct {
	base *http.Transport
	// delegate keeps iceberg-go's X-Iceberg-Access-Delegation header.
	delegate bool
	// server is filled by the first request, before the catalog is open.
	server *serverConfig
	// refused is told the Authorization of requests that were answered 401 or 419.
	refused func(header string)
}

// A serverConfig is the answer to GET /v1/config.
type serverConfig struct {
	Defaults  map[string]string `json:"defaults"`
	Overrides map[string]string `json:"overrides"`
	Endpoints []string          `json:"endpoints"`
}

// merge lays the user's properties between the server's.
func (s *serverConfig) merge(props map[string]string) map[string]string {
	all := map[string]string{}
	for _, from := range []map[string]string{s.Defaults, props, s.Overrides} {
		maps.Copy(all, from)
	}
	return all
}

// setting is merge for one key.
func (s *serverConfig) setting(props map[string]string, key string) string {
	return cmp.Or(s.Overrides[key], props[key], s.Defaults[key])
}

// maxConfigBytes bounds the answer to GET /v1/config, which is small.
const maxConfigBytes = 1 << 20

// read takes in the answer and leaves it to be read again. What is no config is left
// to iceberg-go to complain about.
func (s *serverConfig) read(rsp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(rsp.Body, maxConfigBytes))
	if err := errors.Join(err, rsp.Body.Close()); err != nil {
		return fmt.Errorf("read the catalog's config: %w", err)
	}
	rsp.Body = io.NopCloser(bytes.NewReader(data))
	_ = json.Unmarshal(data, s)
	return nil
}

// statusAuthenticationTimeout is the REST catalog's 419 for a token that has expired.
const statusAuthenticationTimeout = 419

const delegationHeader = "X-Iceberg-Access-Delegation"

func newRESTTransport(props map[string]string) (*restTransport, error) {
	connect, err := millis(props, "rest.client.connection-timeout-ms", 10*time.Second)
	if err != nil {
		return nil, err
	}
	answer, err := millis(props, "rest.client.socket-timeout-ms", defaultAnswerTimeout)
	if err != nil {
		return nil, err
	}
	trust, err := storage.TLS(props)
	if err != nil {
		return nil, err
	}
	proxy, err := restProxy(props)
	if err != nil {
		return nil, err
	}
	t := &restTransport{server: &serverConfig{}, base: &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   connect,
		ResponseHeaderTimeout: answer,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}}
	// A signed request may not lose a header.
	t.delegate = strings.EqualFold(props["rest.sigv4-enabled"], "true") || strings.EqualFold(props["rest.auth.type"], "sigv4")
	for key := range props {
		if name, ok := strings.CutPrefix(key, "header."); ok && strings.EqualFold(name, delegationHeader) {
			t.delegate = true
		}
	}
	return t, nil
}

// restProxy reads rest.client.proxy.hostname, -port, -username, -password; without them
// the environment says (HTTPS_PROXY, NO_PROXY).
func restProxy(props map[string]string) (func(*http.Request) (*url.URL, error), error) {
	host, port := props["rest.client.proxy.hostname"], props["rest.client.proxy.port"]
	if host == "" && port == "" {
		return http.ProxyFromEnvironment, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return nil, errors.New("rest.client.proxy.hostname and rest.client.proxy.port belong together: set both")
	}
	proxy := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if user := props["rest.client.proxy.username"]; user != "" {
		proxy.User = url.UserPassword(user, props["rest.client.proxy.password"])
	}
	return http.ProxyURL(proxy), nil
}

// millis reads a duration in milliseconds.
func millis(props map[string]string, key string, def time.Duration) (time.Duration, error) {
	text := strings.TrimSpace(props[key])
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s %q: want a positive number of milliseconds", key, text)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *restTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.delegate {
		r = r.Clone(r.Context())
		r.Header.Del(delegationHeader)
	}
	rsp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if to, err := rsp.Location(); err == nil && rsp.StatusCode/100 == 3 && (to.Host != r.URL.Host || to.Scheme != r.URL.Scheme) {
		return nil, errors.Join(fmt.Errorf("%s redirects to %s: credentials are not sent to another host; set uri to the final address", redact(r.URL.String()), redact(to.String())), rsp.Body.Close())
	}
	rsp.Body = &boundedBody{rsp.Body, maxResponseBytes}
	noteStatus(rsp, r)
	switch {
	case rsp.StatusCode == http.StatusUnauthorized, rsp.StatusCode == statusAuthenticationTimeout:
		if t.refused != nil {
			t.refused(r.Header.Get("Authorization"))
		}
	case rsp.StatusCode == http.StatusOK && strings.HasSuffix(r.URL.Path, "/v1/config"):
		return rsp, t.server.read(rsp)
	}
	return rsp, nil
}

// CloseIdleConnections lets http.Client pass the call on.
func (t *restTransport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// A boundedBody fails, rather than ends, when the limit is passed.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("answer of the REST catalog is longer than %d bytes", maxResponseBytes)
	}
	return n, err
}

// redact leaves user and query out of an address, where people put passwords.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unreadable address)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
