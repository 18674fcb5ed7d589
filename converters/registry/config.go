package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
)

// Names of settings. (Source: Confluent's AbstractKafkaSchemaSerDeConfig and
// SchemaRegistryClientConfig.)
const (
	keyURL        = "schema.registry.url"
	keyUser       = "basic.auth.user.info"
	keyUserOld    = "schema.registry.basic.auth.user.info"
	keyBasic      = "basic.auth.credentials.source"
	keyBearer     = "bearer.auth.credentials.source"
	keyToken      = "bearer.auth.token"
	keyConnect    = "http.connect.timeout.ms"
	keyRead       = "http.read.timeout.ms"
	keyRetries    = "max.retries"
	keyWait       = "retries.wait.ms"
	keyMaxWait    = "retries.max.wait.ms"
	keyProxyHost  = "proxy.host"
	keyProxyPort  = "proxy.port"
	headerPrefix  = "request.header."
	tlsPrefix     = "schema.registry.ssl."
	sourceURL     = "URL"
	sourceUser    = "USER_INFO"
	sourceStatic  = "STATIC_TOKEN"
	groupRegistry = "Schema Registry"
)

// ConfigKeys declares what NewClient reads, under Java's names.
func ConfigKeys() []connect.ConfigKey {
	keys := []connect.ConfigKey{
		{Name: keyURL, Type: connect.TypeList, Required: true, Importance: connect.High, Check: checkURLs, Doc: "Comma-separated list of URLs for Schema Registry instances, tried in order."},
		{Name: keyBasic, Type: connect.TypeString, Default: new(sourceURL), Importance: connect.Medium, Check: oneOf(sourceURL, sourceUser), Doc: "Where the user and password for basic authentication come from: URL (inside " + keyURL + ") or USER_INFO (" + keyUser + ")."},
		{Name: keyUser, Type: connect.TypePassword, Default: new(""), Importance: connect.Medium, Doc: "User and password as user:password, for USER_INFO."},
		{Name: keyUserOld, Type: connect.TypePassword, Default: new(""), Importance: connect.Medium, Doc: "Older name of " + keyUser + "."},
		{Name: keyBearer, Type: connect.TypeString, Default: new(""), Importance: connect.Medium, Check: oneOf("", sourceStatic), Doc: "Where the bearer token comes from: STATIC_TOKEN (" + keyToken + ")."},
		{Name: keyToken, Type: connect.TypePassword, Default: new(""), Importance: connect.Medium, Doc: "The bearer token, for STATIC_TOKEN."},
		{Name: keyConnect, Type: connect.TypeInt, Default: new("60000"), Importance: connect.Low, Check: atLeast(1), Doc: "Longest wait for a connection, in milliseconds."},
		{Name: keyRead, Type: connect.TypeInt, Default: new("60000"), Importance: connect.Low, Check: atLeast(1), Doc: "Longest wait for an answer, in milliseconds."},
		{Name: keyRetries, Type: connect.TypeInt, Default: new("3"), Importance: connect.Low, Check: atLeast(0), Doc: "How often all URLs are tried again before the record is reported as one to retry."},
		{Name: keyWait, Type: connect.TypeInt, Default: new("1000"), Importance: connect.Low, Check: atLeast(0), Doc: "Wait before the first retry, in milliseconds; it doubles with each."},
		{Name: keyMaxWait, Type: connect.TypeInt, Default: new("20000"), Importance: connect.Low, Check: atLeast(0), Doc: "Longest wait between retries, in milliseconds."},
		{Name: keyProxyHost, Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "HTTP proxy in front of the registry."},
		{Name: keyProxyPort, Type: connect.TypeInt, Default: new("-1"), Importance: connect.Low, Doc: "Port of the HTTP proxy."},
	}
	return append(keys, tlsKeys()...)
}

func oneOf(allowed ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("must be one of %s in this build", strings.Join(allowed, ", "))
		}
		return nil
	}
}

func atLeast(low int) func(string) error {
	return func(v string) error {
		if n, err := strconv.Atoi(v); err != nil || n < low {
			return fmt.Errorf("must be a number of at least %d", low)
		}
		return nil
	}
}

func checkURLs(v string) error {
	_, err := parseURLs(v)
	return err
}

// parseURLs reads the list of addresses. Its errors do not repeat the text, which
// may hold a password.
func parseURLs(list string) ([]*url.URL, error) {
	var urls []*url.URL
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSuffix(strings.TrimSpace(text), "/")
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return nil, errors.New("not a list of URLs")
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return nil, errors.New("a registry URL starts with http:// or https:// and names a host")
		}
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		return nil, errors.New("it names no registry")
	}
	return urls, nil
}

// NewClient makes a client from the keys of ConfigKeys and request.header.NAME. It
// makes no connection; it reads the PEM files that schema.registry.ssl.* name. The
// errors blame a key and hold no secret.
func NewClient(config map[string]string) (*Client, error) {
	for _, key := range ConfigKeys() {
		v, ok := config[key.Name]
		if !ok && key.Required {
			return nil, fmt.Errorf("missing required configuration %q which has no default value", key.Name)
		}
		if ok && key.Check != nil {
			if err := key.Check(v); err != nil {
				return nil, fmt.Errorf("invalid value for configuration %s: %w", key.Name, err)
			}
		}
	}
	urls, err := parseURLs(config[keyURL])
	if err != nil {
		return nil, fmt.Errorf("invalid value for configuration %s: %w", keyURL, err)
	}
	header, err := headers(config, urls)
	if err != nil {
		return nil, err
	}
	secure, err := tlsConfig(config)
	if err != nil {
		return nil, err
	}
	c := &Client{
		urls:      urls,
		header:    header,
		retries:   number(config, keyRetries, 3),
		wait:      millis(config, keyWait, 1000),
		maxWait:   millis(config, keyMaxWait, 20000),
		timeout:   millis(config, keyConnect, 60000) + millis(config, keyRead, 60000),
		transport: transport(config, secure),
		entries:   map[uint32]*entry{},
	}
	return c, nil
}

func transport(config map[string]string, secure *tls.Config) *http.Transport {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: millis(config, keyConnect, 60000)}).DialContext,
		TLSClientConfig:       secure,
		TLSHandshakeTimeout:   millis(config, keyConnect, 60000),
		ResponseHeaderTimeout: millis(config, keyRead, 60000),
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if host := config[keyProxyHost]; host != "" {
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, config[keyProxyPort])})
	}
	return t
}

// headers are sent with every request. User and password inside a URL go to that
// URL alone: see attempt.
func headers(config map[string]string, urls []*url.URL) (http.Header, error) {
	h := http.Header{}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if name, ok := strings.CutPrefix(key, headerPrefix); ok && name != "" {
			h.Set(name, config[key])
		}
	}
	user := config[keyUser]
	if user == "" {
		user = config[keyUserOld]
	}
	token := config[keyToken]
	basic := config[keyBasic] == sourceUser
	switch {
	case basic && (token != "" || config[keyBearer] != ""):
		return nil, fmt.Errorf("only one of %s and %s may be specified", keyBasic, keyBearer)
	case basic:
		name, password, ok := strings.Cut(user, ":")
		if !ok {
			return nil, fmt.Errorf("%s=USER_INFO needs %s as user:password", keyBasic, keyUser)
		}
		r := http.Request{Header: h}
		r.SetBasicAuth(name, password)
	case token != "":
		h.Set("Authorization", "Bearer "+token)
	case config[keyBearer] != "":
		return nil, fmt.Errorf("%s=STATIC_TOKEN needs %s", keyBearer, keyToken)
	}
	if h.Get("Authorization") != "" && slices.ContainsFunc(urls, func(u *url.URL) bool { return u.User != nil }) {
		return nil, fmt.Errorf("%s holds a user, and %s or %s names another", keyURL, keyUser, keyToken)
	}
	return h, nil
}

func number(config map[string]string, key string, def int) int {
	if n, err := strconv.Atoi(config[key]); err == nil {
		return n
	}
	return def
}

func millis(config map[string]string, key string, def int) time.Duration {
	return time.Duration(number(config, key, def)) * time.Millisecond
}
