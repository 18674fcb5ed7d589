package javatls

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxStoreBytes bounds a store's file; those with all public authorities have 200 KB.
const maxStoreBytes = 4 << 20

// A store is what the properties under one prefix say: PEM texts, or the bytes of a file.
type store struct {
	prefix   string
	location string
	password string
	locked   bool   // a password is given
	data     []byte // of the file, nil if there is none
	pem      bool
}

// openStore reads the properties PREFIX.type, .location and .password, and the file. The
// words of its errors are Java's, which say "key store" for ssl.keystore.
func openStore(props map[string]string, prefix, words, inline string) (*store, error) {
	s := &store{prefix: prefix, location: strings.TrimSpace(props[prefix+".location"])}
	s.password, s.locked = props[prefix+".password"]
	s.password = strings.TrimSpace(s.password)
	kind := strings.ToUpper(strings.TrimSpace(props[prefix+".type"]))
	if kind == "" {
		kind = "JKS"
	}
	s.pem = kind == "PEM"
	_, isInline := props[inline]
	switch {
	case kind != "PEM" && kind != "JKS" && kind != "PKCS12":
		return nil, invalid(prefix+".type", kind, "this build reads JKS, PKCS12 and PEM")
	case isInline && !s.pem:
		return nil, fmt.Errorf("%s can be specified only for PEM, but %s.type is %s", inline, prefix, kind)
	case isInline && s.location != "":
		return nil, fmt.Errorf("both %s and %s.location are set: keep one", inline, prefix)
	case s.location == "" && s.locked:
		return nil, fmt.Errorf("SSL %s is not specified, but %s password is specified", words, words)
	case s.pem && s.locked:
		return nil, fmt.Errorf("SSL %s password cannot be specified with PEM format: leave out %s.password", words, prefix)
	case s.location == "":
		return s, nil
	}
	var err error
	if s.data, err = readStore(s.location); err != nil {
		return nil, fmt.Errorf("read %s.location: %w", prefix, err)
	}
	return s, nil
}

func readStore(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxStoreBytes+1))
	if err == nil && len(data) > maxStoreBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxStoreBytes)
	}
	return data, err
}

// isJKS tells the formats apart by their first bytes: Java's JKS and PKCS12 read each
// other's files, too (keystore.type.compat).
func (s *store) isJKS() bool { return bytes.HasPrefix(s.data, jksMagic) }

func (s *store) fail(err error) error {
	return fmt.Errorf("load %s.location %s: %w", s.prefix, s.location, err)
}

// keyStore is the key and its chain, nil if none is configured.
func keyStore(props map[string]string) (*tls.Certificate, error) {
	s, err := openStore(props, "ssl.keystore", "key store", "ssl.keystore.certificate.chain")
	if err != nil {
		return nil, err
	}
	chain, isInline := props["ssl.keystore.certificate.chain"]
	key, hasKey := props["ssl.keystore.key"]
	switch {
	case isInline || s.pem && s.data != nil:
		if !isInline {
			chain = string(s.data)
		}
		if !hasKey { // a PEM key store file holds the key and the chain
			key = chain
		}
		password, sealed := props["ssl.key.password"]
		cert, err := pemPair([]byte(chain), []byte(key), strings.TrimSpace(password), sealed)
		if err != nil {
			return nil, fmt.Errorf("ssl.keystore: %w", err)
		}
		return &cert, nil
	case hasKey:
		return nil, errors.New("SSL key store is not specified, but key is: set ssl.keystore.certificate.chain")
	case s.data == nil:
		return nil, nil
	case !s.locked:
		return nil, errors.New("SSL key store is specified, but key store password is not specified: set ssl.keystore.password")
	}
	keyPassword := s.password
	if p, ok := props["ssl.key.password"]; ok {
		keyPassword = strings.TrimSpace(p)
	}
	var found []entry
	if s.isJKS() {
		found, err = readJKS(s.data, &s.password)
	} else {
		found, err = readPKCS12Key(s.data, s.password)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	cert, err := keyOf(found, keyPassword)
	if err != nil {
		return nil, s.fail(err)
	}
	return cert, nil
}

var errSeveral = errors.New("it holds several private keys: make a store of the one to use (keytool -importkeystore -srcalias)")

// keyOf finds the one key among the entries of a store. Java picks one of several by what the
// peer asks for; which, is a matter of luck with equal kinds, so it is an error here.
func keyOf(found []entry, password string) (*tls.Certificate, error) {
	var cert *tls.Certificate
	for _, e := range found {
		if e.key == nil && e.sealed == nil {
			continue
		}
		if cert != nil {
			return nil, errSeveral
		}
		key := e.key
		if key == nil {
			var err error
			if key, err = unsealJKS(e.sealed, password); err != nil {
				return nil, err
			}
		}
		cert = &tls.Certificate{PrivateKey: key}
		for _, c := range e.chain {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		if len(e.chain) == 0 || !matches(key, e.chain[0]) {
			return nil, errors.New("the private key is not that of its certificate")
		}
		cert.Leaf = e.chain[0]
	}
	if cert == nil {
		return nil, errors.New("it holds no private key")
	}
	return cert, nil
}

// matches tells whether a certificate is about a key.
func matches(key crypto.PrivateKey, cert *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// trustStore is the pool of what is trusted, nil (the system's) if none is configured.
func trustStore(props map[string]string) (*x509.CertPool, error) {
	s, err := openStore(props, "ssl.truststore", "trust store", "ssl.truststore.certificates")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	text, isInline := props["ssl.truststore.certificates"]
	switch {
	case isInline || s.pem && s.data != nil:
		if !isInline {
			text = string(s.data)
		}
		if !pool.AppendCertsFromPEM([]byte(text)) {
			return nil, errors.New("ssl.truststore: no certificates found in the PEM data")
		}
		return pool, nil
	case s.data == nil:
		return nil, nil
	}
	var found []entry
	if s.isJKS() {
		var password *string // without one, Java does not look whether the file is whole
		if s.locked {
			password = &s.password
		}
		found, err = readJKS(s.data, password)
	} else {
		found, err = readPKCS12Trust(s.data, s.password)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	if len(found) == 0 {
		return nil, s.fail(errors.New("it holds no trusted certificate"))
	}
	for _, e := range found {
		if len(e.chain) > 0 {
			pool.AddCert(e.chain[0]) // of a key entry, too: sun.security.validator.TrustStoreUtil
		}
	}
	return pool, nil
}

// An entry of a store: a key with its chain, or one trusted certificate.
type entry struct {
	key    crypto.PrivateKey
	sealed []byte // the key while it is encrypted (JKS)
	chain  []*x509.Certificate
}

// pemPair joins a chain and its private key, which the password opens if it is sealed.
// Nothing of the key shows in errors.
func pemPair(chain, key []byte, password string, given bool) (tls.Certificate, error) {
	var open []byte
	for rest := key; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" {
			if !given {
				return tls.Certificate{}, errors.New("the private key is encrypted: set ssl.key.password")
			}
			der, err := openPKCS8(block.Bytes, password)
			if err != nil {
				return tls.Certificate{}, err
			}
			if _, err := x509.ParsePKCS8PrivateKey(der); err != nil {
				return tls.Certificate{}, errKeyPassword
			}
			block = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		}
		open = append(open, pem.EncodeToMemory(block)...)
	}
	return tls.X509KeyPair(chain, open)
}
