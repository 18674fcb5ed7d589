package catalog

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go/catalog/rest"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// restAuth makes what proves our identity to a REST catalog, as rest.auth.type says
// (oauth2, basic, sigv4, google, none). Without it, credential and token mean OAuth2, and
// rest.sigv4-enabled means SigV4.
// (Source: AuthManagers.loadAuthManager of Iceberg 1.11.)
func restAuth(ctx context.Context, props map[string]string, t *restTransport) ([]rest.Option, error) {
	kind := strings.ToLower(props["rest.auth.type"])
	if kind == "" && strings.EqualFold(props["rest.sigv4-enabled"], "true") {
		kind = "sigv4"
	}
	switch kind {
	case "", "oauth2":
		return oauthOptions(props, t)
	case "none":
		return nil, nil
	case "basic":
		user, password := props["rest.auth.basic.username"], props["rest.auth.basic.password"]
		if user == "" || password == "" {
			return nil, errors.New("rest.auth.type is basic: set rest.auth.basic.username and rest.auth.basic.password")
		}
		return []rest.Option{rest.WithAuthManager(fixedHeader("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))))}, nil
	case "google":
		own := maps.Clone(props)
		if path := props["gcp.auth.credentials-path"]; path != "" { // Java's key
			own["gcs.keypath"] = path
		}
		tokens, err := storage.GoogleTokens(ctx, own, cmp.Or(props["gcp.auth.scopes"], "https://www.googleapis.com/auth/cloud-platform"))
		if err != nil {
			return nil, err
		}
		return []rest.Option{rest.WithAuthManager(bearer(tokens))}, nil
	case "sigv4":
		cfg, err := storage.AWS(ctx, props, "rest")
		if err != nil {
			return nil, fmt.Errorf("sign requests to the catalog: %w", err)
		}
		return []rest.Option{rest.WithAwsConfig(cfg), rest.WithSigV4RegionSvc(cfg.Region, props["rest.signing-name"])}, nil
	default:
		return nil, fmt.Errorf("rest.auth.type %q is not in this build; it has oauth2, basic, sigv4, google, none, and any header by header.NAME", kind)
	}
}

func oauthOptions(props map[string]string, t *restTransport) ([]rest.Option, error) {
	if text := props["oauth2-server-uri"]; text != "" {
		if u, err := url.Parse(text); err != nil || u.Host == "" {
			return nil, errors.New("oauth2-server-uri is no address: write the whole URL of the token endpoint")
		}
	}
	switch {
	case props["token"] != "":
		return []rest.Option{rest.WithAuthManager(fixedHeader("Bearer " + props["token"]))}, nil
	case props["credential"] == "":
		return nil, nil // whatever the server's config answer says
	}
	life, err := millis(props, "token-expires-in-ms", time.Hour)
	if err != nil {
		return nil, err
	}
	auth := &oauth{props: props, server: t.server, client: &http.Client{Transport: t, Timeout: tokenTimeout}, unstated: life, turn: make(chan struct{}, 1)}
	t.refused = auth.forget
	return []rest.Option{rest.WithAuthManager(auth)}, nil
}

// fixedHeader is an Authorization that never changes.
type fixedHeader string

// AuthHeader implements [rest.AuthManager].
func (h fixedHeader) AuthHeader() (key, value string, err error) {
	return "Authorization", string(h), nil
}

// bearer asks for a token for each request; who gives it keeps it while it is good.
type bearer func(context.Context) (string, error)

var _ rest.ContextAuthManager = bearer(nil)

// AuthHeader implements [rest.AuthManager].
func (b bearer) AuthHeader() (key, value string, err error) {
	return b.AuthHeaderWithContext(context.Background())
}

// AuthHeaderWithContext implements [rest.ContextAuthManager].
func (b bearer) AuthHeaderWithContext(ctx context.Context) (key, value string, err error) {
	token, err := b(ctx)
	return "Authorization", "Bearer " + token, err
}

// tokenTimeout bounds one request for a token, so that an endpoint that does not
// answer holds no commit.
const tokenTimeout = time.Minute

// oauth obtains bearer tokens by client credentials, again before each expires and
// when the catalog refuses one. One caller asks, the others wait.
type oauth struct {
	props    map[string]string // the user's
	server   *serverConfig     // may say where and for what to ask
	client   *http.Client
	unstated time.Duration // life of a token that does not say when it expires
	turn     chan struct{} // held while asking

	mu     sync.Mutex // guards what follows; never held across I/O
	header string
	until  time.Time
}

var _ rest.ContextAuthManager = (*oauth)(nil)

// AuthHeader implements [rest.AuthManager].
func (o *oauth) AuthHeader() (key, value string, err error) {
	return o.AuthHeaderWithContext(context.Background())
}

// AuthHeaderWithContext implements [rest.ContextAuthManager].
func (o *oauth) AuthHeaderWithContext(ctx context.Context) (key, value string, err error) {
	if h := o.held(); h != "" {
		return "Authorization", h, nil
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return "", "", context.Cause(ctx)
	}
	if h := o.held(); h != "" { // obtained while we waited
		return "Authorization", h, nil
	}
	header, until, err := o.obtain(ctx)
	if err != nil {
		return "", "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.header, o.until = header, until
	return "Authorization", header, nil
}

func (o *oauth) held() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.until) {
		return o.header
	}
	return ""
}

// forget drops a token that the catalog has refused; the next request gets another.
func (o *oauth) forget(header string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.header == header {
		o.header, o.until = "", time.Time{}
	}
}

// obtain asks the token endpoint. Its errors tell what the server calls the fault,
// not what it was sent.
func (o *oauth) obtain(ctx context.Context) (header string, until time.Time, err error) {
	id, secret, ok := strings.Cut(o.props["credential"], ":")
	if !ok {
		id, secret = "", id
	}
	cfg := clientcredentials.Config{
		ClientID: id, ClientSecret: secret, AuthStyle: oauth2.AuthStyleInParams,
		TokenURL:       cmp.Or(o.server.setting(o.props, "oauth2-server-uri"), strings.TrimRight(o.props["uri"], "/")+"/v1/oauth/tokens"),
		Scopes:         []string{cmp.Or(o.server.setting(o.props, "scope"), "catalog")}, // Java's default
		EndpointParams: url.Values{},
	}
	for _, key := range []string{"audience", "resource"} {
		if v := o.server.setting(o.props, key); v != "" {
			cfg.EndpointParams.Set(key, v)
		}
	}
	token, err := cfg.Token(context.WithValue(ctx, oauth2.HTTPClient, o.client))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("obtain a token from %s: %w", redact(cfg.TokenURL), tokenError(err))
	}
	life := o.unstated
	if !token.Expiry.IsZero() {
		life = time.Until(token.Expiry)
	}
	return token.Type() + " " + token.AccessToken, time.Now().Add(life - min(life/10, time.Minute)), nil
}

// tokenError leaves the answer's body out, which may hold anything.
func tokenError(err error) error {
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("%w: %w", rest.ErrOAuthError, err)
	}
	said := strings.TrimSuffix(refusal.ErrorCode+": "+refusal.ErrorDescription, ": ")
	return fmt.Errorf("%w: status %d %s (check credential, scope and oauth2-server-uri)", rest.ErrOAuthError, refusal.Response.StatusCode, said)
}
