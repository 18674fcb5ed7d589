package javatls

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// readPKCS12Key reads a store with one private key.
func readPKCS12Key(data []byte, password string) ([]entry, error) {
	if err := affordable(data); err != nil {
		return nil, err
	}
	key, first, others, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, pkcs12Error(err)
	}
	e := entry{key: key}
	all := append([]*x509.Certificate{first}, others...)
	for _, cert := range all { // the order is that of the file, not that of the chain
		if matches(key, cert) {
			e.chain = chainOf(cert, all)
			break
		}
	}
	return []entry{e}, nil
}

// chainOf follows a certificate to its issuers.
func chainOf(cert *x509.Certificate, all []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{cert}
	for len(chain) <= len(all) && !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		var issuer *x509.Certificate
		for _, c := range all {
			if bytes.Equal(c.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(c) == nil {
				issuer = c
				break
			}
		}
		if issuer == nil {
			break
		}
		chain, cert = append(chain, issuer), issuer
	}
	return chain
}

// readPKCS12Trust reads a store with trusted certificates alone. Which these are says an
// attribute of keytool; without it Java trusts none of them either.
func readPKCS12Trust(data []byte, password string) ([]entry, error) {
	if err := affordable(data); err != nil {
		return nil, err
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err != nil {
		return nil, pkcs12Error(err)
	}
	found := make([]entry, 0, len(certs))
	for _, cert := range certs {
		found = append(found, entry{chain: []*x509.Certificate{cert}})
	}
	return found, nil
}

func pkcs12Error(err error) error {
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return errPassword
	case strings.Contains(err.Error(), "exactly one key bag"): // the library has no name for it
		return errSeveral
	}
	return err
}

// maxIterations is how often a password may be hashed; keytool and OpenSSL say at most
// 600,000. (Source: MAX_ITERATION_COUNT of sun.security.pkcs12.PKCS12KeyStore.)
const maxIterations = 5_000_000

// affordable refuses a store that would keep this process busy for hours: the library
// does as many iterations as the file says. In every structure that says it, the number
// follows the salt, an OCTET STRING.
func affordable(der []byte) error { return affordableAt(der, 0) }

func affordableAt(der []byte, depth int) error {
	const maxDepth = 32
	if depth > maxDepth {
		return errors.New("its structures are nested too deeply")
	}
	salt := false
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return nil //nolint:nilerr // no DER, so no structure: salts and encrypted data come here, too
		}
		if v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger && salt && new(big.Int).SetBytes(v.Bytes).Cmp(big.NewInt(maxIterations)) > 0 {
			return fmt.Errorf("it wants its password hashed more than %d times", maxIterations)
		}
		salt = v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString
		if v.IsCompound || salt {
			if err := affordableAt(v.Bytes, depth+1); err != nil {
				return err
			}
		}
		der = rest
	}
	return nil
}
