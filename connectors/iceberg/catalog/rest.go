package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
)

// maxResponseBytes bounds what a REST catalog may answer: a table of 10,000
// snapshots is 8 MB.
const maxResponseBytes = 512 << 20

// defaultAnswerTimeout is how long a REST catalog may take to begin an answer. The
// outcome of a commit that ran into it is unknown, as after any lost reply.
const defaultAnswerTimeout = 2 * time.Minute

// restCatalog is iceberg-go's REST catalog on connections of our own.
type restCatalog struct {
	*rest.Catalog
	transport *restTransport
}

var _ Catalog = (*restCatalog)(nil)

// LoadTable loads a table that commits through c.
func (c *restCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := c.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return own(c, t), nil
}

// CreateTable makes a table that commits through c.
func (c *restCatalog) CreateTable(ctx context.Context, ident table.Identifier, schema *iceberg.Schema, opts ...icebergcatalog.CreateTableOpt) (*table.Table, error) {
	t, err := c.Catalog.CreateTable(ctx, ident, schema, opts...)
	if err != nil {
		return nil, err
	}
	return own(c, t), nil
}

// Close releases the connections.
func (c *restCatalog) Close() error {
	err := c.Catalog.Close()
	c.transport.base.CloseIdleConnections()
	return err
}

// openREST takes Java's keys: uri, warehouse, prefix, credential, token, scope,
// audience, resource, oauth2-server-uri, header.*, rest.sigv4-*,
// rest.client.connection-timeout-ms and -socket-timeout-ms. All others go on to the
// tables' storage, under what the server answers.
func openREST(ctx context.Context, name string, props map[string]string) (Catalog, error) {
	uri := props["uri"]
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("uri is no http or https address: write the address of the REST catalog, for example https://catalog.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "": // would be told in every error message
		return nil, errors.New("uri holds a user or parameters: write them as credential, token or header.NAME")
	}
	transport, err := newRESTTransport(props)
	if err != nil {
		return nil, err
	}
	opts := []rest.Option{rest.WithCustomTransport(transport)}
	option := func(key string, opt func(string) rest.Option) {
		if v := props[key]; v != "" {
			opts = append(opts, opt(v))
		}
		delete(props, key)
	}
	option("warehouse", rest.WithWarehouseLocation)
	option("prefix", rest.WithPrefix)
	option("credential", rest.WithCredential)
	option("token", rest.WithOAuthToken)
	option("scope", rest.WithScope)
	option("audience", rest.WithAudience)
	option("resource", rest.WithResource)
	if err := authOptions(props, &opts); err != nil {
		return nil, err
	}
	for _, key := range []string{"uri", "type", "catalog-impl", "io-impl", "oauth2-server-uri", "rest.tls.skip-verify"} {
		delete(props, key)
	}
	opts = append(opts, rest.WithAdditionalProps(iceberg.Properties(props)))
	cat, err := rest.NewCatalog(ctx, name, uri, opts...)
	if err != nil {
		transport.base.CloseIdleConnections()
		return nil, fmt.Errorf("open REST catalog %s: %w", uri, err)
	}
	return &restCatalog{cat, transport}, nil
}

func authOptions(props map[string]string, opts *[]rest.Option) error {
	if text := props["oauth2-server-uri"]; text != "" {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return errors.New("oauth2-server-uri is no address: write the whole URL of the token endpoint")
		}
		*opts = append(*opts, rest.WithAuthURI(u))
	}
	if strings.EqualFold(props["rest.sigv4-enabled"], "true") {
		*opts = append(*opts, rest.WithSigV4RegionSvc(props["rest.signing-region"], props["rest.signing-name"]))
	}
	switch auth := strings.ToLower(props["rest.auth.type"]); auth {
	case "", "none", "oauth2", "sigv4":
		return nil
	default:
		return fmt.Errorf("rest.auth.type %q is not in this build; it has oauth2, sigv4, none, and any header by header.NAME", auth)
	}
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

// A restTransport stands between iceberg-go's REST client and the network, and
// keeps three promises that the client does not: answers are bounded, credentials
// do not follow a redirect to another host, and vended credentials are asked for
// only when the config says so, as in Java (servers answer 403 to users who may
// read a table but not be lent its keys).
type restTransport struct {
	base *http.Transport
	// delegate keeps iceberg-go's X-Iceberg-Access-Delegation header.
	delegate bool
}

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
	t := &restTransport{base: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   connect,
		ResponseHeaderTimeout: answer,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}}
	// A signed request may not lose a header.
	t.delegate = strings.EqualFold(props["rest.sigv4-enabled"], "true")
	for key := range props {
		if name, ok := strings.CutPrefix(key, "header."); ok && strings.EqualFold(name, delegationHeader) {
			t.delegate = true
		}
	}
	return t, nil
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
