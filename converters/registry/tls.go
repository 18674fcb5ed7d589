package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/firn-io/firn/connect"
)

func tlsKeys() []connect.ConfigKey {
	text := func(name, doc string) connect.ConfigKey {
		return connect.ConfigKey{Name: tlsPrefix + name, Type: connect.TypeString, Importance: connect.Medium, Doc: doc}
	}
	secret := func(name, doc string) connect.ConfigKey {
		return connect.ConfigKey{Name: tlsPrefix + name, Type: connect.TypePassword, Importance: connect.Medium, Doc: doc}
	}
	return []connect.ConfigKey{
		text("truststore.type", "Format of the trust store; this build reads PEM."),
		text("truststore.location", "PEM file of the certificates to trust."),
		secret("truststore.certificates", "The certificates to trust, in PEM."),
		text("keystore.type", "Format of the key store; this build reads PEM."),
		text("keystore.location", "PEM file of the client's private key and certificate chain."),
		secret("keystore.key", "The client's private key, in PEM."),
		secret("keystore.certificate.chain", "The client's certificate chain, in PEM."),
		secret("key.password", "Password of the private key; this build reads keys without one."),
		text("endpoint.identification.algorithm", "https checks the registry's host name against its certificate; an empty text does not."),
	}
}

// tlsConfig reads schema.registry.ssl.*, nil if there is none of it.
func tlsConfig(config map[string]string) (*tls.Config, error) {
	get := func(name string) string { return config[tlsPrefix+name] }
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	trust, err := pemText(config, "truststore", "truststore.certificates")
	if err != nil {
		return nil, err
	}
	if trust != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(trust)) {
			return nil, fmt.Errorf("%struststore holds no certificate in PEM (convert it: keytool -exportcert -rfc)", tlsPrefix)
		}
	}
	own, err := pemText(config, "keystore", "keystore.certificate.chain")
	if err != nil {
		return nil, err
	}
	if own != "" || get("keystore.key") != "" {
		if err := clientCertificate(c, own+"\n"+get("keystore.key")); err != nil {
			return nil, fmt.Errorf("%skeystore: %w", tlsPrefix, err)
		}
	}
	if v, ok := config[tlsPrefix+"endpoint.identification.algorithm"]; ok && v == "" {
		skipHostName(c)
	}
	return c, nil
}

// pemText is the PEM that a store's settings give, in the config itself or in a file.
func pemText(config map[string]string, store, inline string) (string, error) {
	kind := config[tlsPrefix+store+".type"]
	location, text := config[tlsPrefix+store+".location"], config[tlsPrefix+inline]
	if location == "" && text == "" {
		return "", nil
	}
	if kind != "" && !strings.EqualFold(kind, "PEM") {
		return "", fmt.Errorf("%s%s.type is %s, and this build reads PEM (convert the store: openssl pkcs12 -nodes)", tlsPrefix, store, kind)
	}
	if location == "" {
		return text, nil
	}
	b, err := os.ReadFile(location)
	if err != nil {
		return "", fmt.Errorf("%s%s.location: %w", tlsPrefix, store, err)
	}
	if !strings.Contains(string(b), "-----BEGIN ") {
		return "", fmt.Errorf("%s%s.location: %s is not PEM (convert the store: openssl pkcs12 -nodes)", tlsPrefix, store, location)
	}
	return string(b), nil
}

// clientCertificate takes the chain and the key out of one PEM text.
func clientCertificate(c *tls.Config, text string) error {
	if strings.Contains(text, "ENCRYPTED") {
		return errors.New("the private key is encrypted, and this build reads keys without a password (convert it: openssl pkcs8 -nocrypt)")
	}
	var chain, key []byte
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, pem.EncodeToMemory(block)...)
		} else if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			key = pem.EncodeToMemory(block)
		}
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return errors.New("needs a certificate chain and its private key in PEM")
	}
	c.Certificates = []tls.Certificate{pair}
	return nil
}

// skipHostName checks the chain of certificates and not the name of the host, which
// is what an empty ssl.endpoint.identification.algorithm asks for in Java.
func skipHostName(c *tls.Config) {
	roots := c.RootCAs
	c.InsecureSkipVerify = true //nolint:gosec // the chain is verified below, without the name
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the registry showed no certificate")
		}
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(opts)
		return err
	}
}
