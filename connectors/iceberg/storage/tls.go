package storage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsFiles is what the properties ssl.cabundle, ssl.client.cert and ssl.client.key
// hold, as PEM text: PyIceberg's names, since Java takes these from the JVM. It is
// comparable: equal settings share connections, and a file that has changed makes
// new ones.
type tlsFiles struct{ authorities, cert, key string }

func readTLS(props map[string]string) (t tlsFiles, err error) {
	read := func(key string) string {
		path := props[key]
		if path == "" || err != nil {
			return ""
		}
		data, readErr := os.ReadFile(path)
		if readErr != nil {
			err = fmt.Errorf("%s: %w", key, readErr)
		}
		return string(data)
	}
	t = tlsFiles{read("ssl.cabundle"), read("ssl.client.cert"), read("ssl.client.key")}
	if err == nil && (t.cert == "") != (t.key == "") {
		err = errors.New("ssl.client.cert and ssl.client.key belong together: set both")
	}
	return t, err
}

// config adds the authorities to the system's own; nil when nothing is set.
func (t tlsFiles) config() (*tls.Config, error) {
	if t == (tlsFiles{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.authorities != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool() // a system without its own
		}
		if !roots.AppendCertsFromPEM([]byte(t.authorities)) {
			return nil, errors.New("ssl.cabundle holds no certificate in PEM form")
		}
		c.RootCAs = roots
	}
	if t.cert != "" {
		pair, err := tls.X509KeyPair([]byte(t.cert), []byte(t.key))
		if err != nil {
			return nil, fmt.Errorf("ssl.client.cert and ssl.client.key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// TLS reads ssl.cabundle (authorities besides the system's), ssl.client.cert and
// ssl.client.key (PEM files). It returns nil when none is set.
func TLS(props map[string]string) (*tls.Config, error) {
	files, err := readTLS(props)
	if err != nil {
		return nil, err
	}
	return files.config()
}
