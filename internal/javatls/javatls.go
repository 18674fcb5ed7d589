// Package javatls makes TLS configurations from Java's ssl.* properties: key and trust
// stores in JKS, PKCS12 and PEM, protocols, and the check of host names.
//
// Everything is read once, when a configuration is made; files that change later have no
// effect. Errors are in the words of Kafka's DefaultSslEngineFactory, name properties and
// files, and hold neither passwords nor keys. There is no state.
package javatls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Client is the configuration of a client: it trusts the trust store (RootCAs; nil without
// one: the system's authorities) and shows the certificate of the key store if it is asked
// for one. All that is wrong is reported together.
func Client(props map[string]string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	trusted, terr := trustStore(props)
	cert, kerr := keyStore(props)
	cfg.RootCAs = trusted
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	if err := errors.Join(protocols(cfg, props), terr, kerr, names(cfg, props)); err != nil {
		return nil, err
	}
	return cfg, nil
}

func protocols(cfg *tls.Config, props map[string]string) error {
	const key = "ssl.enabled.protocols"
	var given []string
	for p := range strings.SplitSeq(props[key], ",") {
		if p = strings.TrimSpace(p); p != "" {
			given = append(given, p)
		}
	}
	old, recent := slices.Contains(given, "TLSv1.2"), slices.Contains(given, "TLSv1.3")
	switch {
	case old && !recent:
		cfg.MaxVersion = tls.VersionTLS12
	case recent && !old:
		cfg.MinVersion = tls.VersionTLS13
	case len(given) > 0 && !old:
		return invalid(key, props[key], "this build has TLSv1.2 and TLSv1.3")
	}
	return nil
}

// names reads whether certificates must be about the host that was asked for.
func names(cfg *tls.Config, props map[string]string) error {
	const key = "ssl.endpoint.identification.algorithm"
	alg, given := props[key]
	switch strings.ToLower(strings.TrimSpace(alg)) {
	case "https":
	case "":
		if given {
			trustAnyName(cfg)
		}
	default:
		return invalid(key, alg, "String must be one of: https, or empty for no check of host names")
	}
	return nil
}

func invalid(key, value, why string) error {
	return fmt.Errorf("Invalid value %s for configuration %s: %s", value, key, why) //nolint:staticcheck // Java's text
}

// trustAnyName checks certificate chains but not the names in them.
func trustAnyName(cfg *tls.Config) {
	roots := cfg.RootCAs
	cfg.InsecureSkipVerify = true //nolint:gosec // VerifyConnection below checks the chain; the user switched the name check off
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		between := x509.NewCertPool()
		for _, cert := range state.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
}
