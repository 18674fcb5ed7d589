package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
)

// tls reads ssl.*. Java's default store types are binary formats of the JVM; this
// build reads PEM, from files or from the properties themselves (KIP-651). It returns
// nil after an error.
func (p *properties) tls() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	before := len(p.errs)
	if protocols := p.list("ssl.enabled.protocols"); len(protocols) > 0 {
		switch {
		case slices.Contains(protocols, "TLSv1.2") && !slices.Contains(protocols, "TLSv1.3"):
			cfg.MaxVersion = tls.VersionTLS12
		case slices.Contains(protocols, "TLSv1.3") && !slices.Contains(protocols, "TLSv1.2"):
			cfg.MinVersion = tls.VersionTLS13
		}
	}

	if trust := p.store("ssl.truststore", "ssl.truststore.certificates"); trust != nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(trust) {
			p.fail("ssl.truststore: no certificates found in the PEM data")
		}
	}
	if chain := p.store("ssl.keystore", "ssl.keystore.certificate.chain"); chain != nil {
		key := chain // a PEM key store file holds the key and the chain
		if p.has("ssl.keystore.key") {
			key = []byte(p.given["ssl.keystore.key"])
		}
		cert, err := keyPair(chain, key)
		if err != nil {
			p.fail("ssl.keystore: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	} else if p.has("ssl.keystore.key") {
		p.fail("SSL key store is not specified, but key is: set ssl.keystore.certificate.chain")
	}

	switch alg := p.text("ssl.endpoint.identification.algorithm", "https"); strings.ToLower(alg) {
	case "https":
	case "":
		trustAnyName(cfg)
	default:
		p.bad("ssl.endpoint.identification.algorithm", alg, "String must be one of: https, or empty for no check of host names")
	}
	if len(p.errs) > before {
		return nil
	}
	return cfg
}

// store returns PEM data from the property inline or from the file at prefix.location,
// nil if neither is given.
func (p *properties) store(prefix, inline string) []byte {
	kind := strings.ToUpper(p.text(prefix+".type", "JKS"))
	location := p.text(prefix+".location", "")
	switch {
	case p.has(inline) && location != "":
		p.fail("both %s and %s.location are set: keep one", inline, prefix)
	case p.has(inline) && kind != "PEM":
		p.fail("%s can be specified only for PEM, but %s.type is %s", inline, prefix, kind)
	case p.has(inline):
		return []byte(p.given[inline])
	case location == "":
	case kind != "PEM":
		p.fail("%s.type %s is not in this build: convert %s to PEM (keytool -importkeystore to PKCS12, then openssl pkcs12) and set %s.type=PEM",
			prefix, kind, location, prefix)
	default:
		data, err := os.ReadFile(location)
		if err != nil {
			p.fail("read %s.location: %w", prefix, err)
			return nil
		}
		return data
	}
	return nil
}

// keyPair joins a chain and its private key. Nothing of the key shows in errors.
func keyPair(chain, key []byte) (tls.Certificate, error) {
	for rest := key; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" {
			return tls.Certificate{}, errors.New("the private key is encrypted: give it as an unencrypted PKCS#8 PEM (openssl pkcs8 -topk8 -nocrypt), readable by this process alone")
		}
	}
	return tls.X509KeyPair(chain, key)
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
