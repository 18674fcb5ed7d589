package worker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

const (
	prefixHTTPS      = "listeners.https."
	prefixAdminHTTPS = "admin.listeners.https."
	keyClientAuth    = "ssl.client.auth"
)

// sslProps are the ssl.* of an https listener, which also serve the requests to other
// workers: those under prefix if there is one at least, else those of the top level.
// (Source: AbstractConfig.valuesWithPrefixAllOrNothing.)
func (c *Config) sslProps(prefix string) map[string]string {
	if own := stripped(c.Props, prefix); len(own) > 0 {
		return own
	}
	ssl := maps.Clone(c.Props)
	maps.DeleteFunc(ssl, func(k, _ string) bool { return !strings.HasPrefix(k, "ssl.") })
	return ssl
}

// serverTLS is what https listeners answer with; nil if none of listeners is one.
func (c *Config) serverTLS(key string, listeners []string, prefix string) (*tls.Config, error) {
	at := slices.IndexFunc(listeners, secure)
	if at < 0 {
		return nil, nil
	}
	props := c.sslProps(prefix)
	cfg, err := kafka.NewTLS(props)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", key, listeners[at], err)
	case len(cfg.Certificates) == 0:
		return nil, fmt.Errorf("%s %s needs a certificate: set %sssl.keystore.type=PEM and %sssl.keystore.location", key, listeners[at], prefix, prefix)
	}
	server := &tls.Config{
		MinVersion: cfg.MinVersion, MaxVersion: cfg.MaxVersion, Certificates: cfg.Certificates, ClientCAs: cfg.RootCAs,
	}
	switch auth := strings.TrimSpace(props[keyClientAuth]); auth {
	case "", "none":
		return server, nil
	case "requested":
		server.ClientAuth = tls.VerifyClientCertIfGiven
	case "required":
		server.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, connect.ConfigError{Key: keyClientAuth, Message: fmt.Sprintf("Invalid value %s for configuration %s: %v", auth, keyClientAuth, oneOf(clientAuths...)(auth))}
	}
	if server.ClientCAs == nil {
		return nil, fmt.Errorf("%s %s: %s=%s needs %sssl.truststore.*: without it a certificate of any public authority would do", key, listeners[at], keyClientAuth, props[keyClientAuth], prefix)
	}
	return server, nil
}

var clientAuths = []string{"required", "requested", "none"}

// secureREST reads the TLS of the listeners and of requests to other workers. The latter is
// no condition where this worker itself serves no https.
func (c *Config) secureREST() (warning string, err error) {
	var mainErr, adminErr error
	c.ServerTLS, mainErr = c.serverTLS(keyListeners, c.Listeners, prefixHTTPS)
	c.AdminTLS, adminErr = c.serverTLS(keyAdminListeners, c.AdminListeners, prefixAdminHTTPS)
	if err := errors.Join(mainErr, adminErr); err != nil {
		return "", err
	}
	if c.ClientTLS, err = kafka.NewTLS(c.sslProps(prefixHTTPS)); err == nil {
		return "", nil
	}
	if c.ServerTLS != nil {
		return "", fmt.Errorf("%s: %w", keyListeners, err)
	}
	c.ClientTLS = nil
	return "workers that advertise https cannot be reached from here: " + strings.ReplaceAll(err.Error(), "\n", "; "), nil
}

func secure(listener string) bool { return strings.HasPrefix(strings.ToLower(listener), "https:") }

// Advertise is the URL under which other workers reach this one, given the addresses that
// the listeners are bound to, in their order: rest.advertised.*, else the first listener of
// the advertised protocol, which is http if any listener has it; an address of this machine
// where that listener is on all of them. (Source: RestServer.advertisedUrl.)
func (c *Config) Advertise(bound []net.Addr) string {
	protocol := strings.ToLower(c.advertisedProtocol)
	if protocol == "" {
		protocol = "https"
		if slices.ContainsFunc(c.Listeners, func(l string) bool { return !secure(l) }) {
			protocol = "http"
		}
	}
	at := max(0, slices.IndexFunc(c.Listeners, func(l string) bool { return secure(l) == (protocol == "https") }))
	host, port, _ := net.SplitHostPort(bound[at].String()) // an address without a port is left out below
	if u, err := url.Parse(c.Listeners[at]); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = localAddress()
	}
	if c.advertisedHost != "" {
		host = c.advertisedHost
	}
	if c.advertisedPort != "" {
		port = c.advertisedPort
	}
	return protocol + "://" + net.JoinHostPort(host, port) + "/"
}

// localAddress is an address of this machine that others may reach, the loopback's if
// there is none.
func localAddress() string {
	addrs, _ := net.InterfaceAddrs() // the loopback serves as well
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}
