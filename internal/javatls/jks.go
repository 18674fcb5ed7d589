package javatls

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // the format's
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

var jksMagic = []byte{0xFE, 0xED, 0xFE, 0xED}

var (
	errTruncated = errors.New("the file ends within an entry")
	errPassword  = errors.New("keystore password was incorrect, or the file was tampered with")
)

// readJKS reads the entries of a JKS file; keys stay sealed. With a password it checks that
// the file is whole and was written with that password.
// (Source: sun.security.provider.JavaKeyStore.)
//
// Lengths in the file are believed only as far as there are bytes, so that a file takes no
// more memory than its size.
func readJKS(data []byte, password *string) ([]entry, error) {
	if password != nil {
		if len(data) < sha1.Size {
			return nil, errTruncated
		}
		body, sum := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
		h := sha1.New() //nolint:gosec // the format's
		h.Write(utf16Bytes(*password))
		h.Write([]byte("Mighty Aphrodite"))
		h.Write(body)
		if subtle.ConstantTimeCompare(h.Sum(nil), sum) != 1 {
			return nil, errPassword
		}
	}
	r := &jksReader{data: data, at: len(jksMagic)}
	version, count := r.uint32(), r.uint32()
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("version %d of the JKS format is unknown", version)
	}
	var found []entry
	for range count {
		kind := r.uint32()
		r.bytes(int(r.uint16())) // alias
		r.bytes(8)               // date
		var e entry
		certs := uint32(1)
		switch kind {
		case 1:
			e.sealed = r.bytes(int(r.uint32()))
			certs = r.uint32()
		case 2:
		default:
			r.fail(fmt.Errorf("an entry of the unknown kind %d", kind))
		}
		for range certs {
			if version == 2 {
				r.bytes(int(r.uint16())) // X.509
			}
			der := r.bytes(int(r.uint32()))
			if r.err != nil {
				return nil, r.err
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("read a certificate: %w", err)
			}
			e.chain = append(e.chain, cert)
		}
		if r.err != nil {
			return nil, r.err
		}
		found = append(found, e)
	}
	return found, nil
}

// A jksReader takes big-endian values off data; after its first error it returns zeros.
type jksReader struct {
	data []byte
	at   int
	err  error
}

func (r *jksReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *jksReader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.data)-r.at {
		r.fail(errTruncated)
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *jksReader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *jksReader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// jksProtection is the algorithm that JKS seals keys with: a stream of SHA-1 sums.
var jksProtection = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}

// unsealJKS decrypts a private key. (Source: sun.security.provider.KeyProtector.)
func unsealJKS(sealed []byte, password string) (crypto.PrivateKey, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if rest, err := asn1.Unmarshal(sealed, &info); err != nil || len(rest) > 0 {
		return nil, errors.New("the private key is no EncryptedPrivateKeyInfo")
	}
	if !info.Algorithm.Algorithm.Equal(jksProtection) || len(info.Data) < 2*sha1.Size {
		return nil, fmt.Errorf("the private key is encrypted in an unknown way (%s)", info.Algorithm.Algorithm)
	}
	secret := utf16Bytes(password)
	digest, rest := info.Data[:sha1.Size], info.Data[sha1.Size:] // the salt comes first, the sum last
	plain, sum := bytes.Clone(rest[:len(rest)-sha1.Size]), rest[len(rest)-sha1.Size:]
	for at := range plain {
		if at%sha1.Size == 0 {
			digest = sha1Of(secret, digest)
		}
		plain[at] ^= digest[at%sha1.Size]
	}
	if subtle.ConstantTimeCompare(sha1Of(secret, plain), sum) != 1 {
		return nil, errors.New("cannot recover the private key: is ssl.key.password right?")
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, errors.New("the private key is of a kind that TLS does not know")
	}
	return key, nil
}

func sha1Of(parts ...[]byte) []byte {
	h := sha1.New() //nolint:gosec // the format's
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// utf16Bytes is a password as the characters of Java, high bytes first.
func utf16Bytes(password string) []byte {
	var out []byte
	for _, c := range utf16.Encode([]rune(password)) {
		out = binary.BigEndian.AppendUint16(out, c)
	}
	return out
}
