package group

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
)

// macs are the algorithms for requests between workers (KIP-507), by the names that
// Java's Mac and KeyGenerator know them by (upper or lower case), with the key length
// that JDK 17's KeyGenerator makes by default, and the shortest that it makes.
var macs = map[string]struct {
	new       func() hash.Hash
	keyBytes  int
	leastBits int
}{
	"hmacmd5":    {md5.New, 64, 8},
	"hmacsha1":   {sha1.New, 64, 8},
	"hmacsha224": {sha256.New224, 28, 40},
	"hmacsha256": {sha256.New, 32, 40},
	"hmacsha384": {sha512.New384, 48, 40},
	"hmacsha512": {sha512.New, 64, 40},
}

// maxKeyBytes bounds inter.worker.key.size.
const maxKeyBytes = 1 << 16

// Sign returns the signature of a request between workers over the bytes of its body:
// base64 of the MAC. The algorithm has the name that Java's Mac knows it by.
func Sign(algorithm string, key, body []byte) (string, error) {
	sum, err := mac(algorithm, key, body)
	return base64.StdEncoding.EncodeToString(sum), err
}

// Verify tells whether signature is that of body, comparing in constant time. An error
// says that the algorithm is unknown or the signature no base64.
func Verify(algorithm string, key, body []byte, signature string) (bool, error) {
	want, err := mac(algorithm, key, body)
	if err != nil {
		return false, err
	}
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false, fmt.Errorf("decode signature: %w", err)
	}
	return hmac.Equal(got, want), nil
}

func mac(algorithm string, key, body []byte) ([]byte, error) {
	m, ok := macs[strings.ToLower(algorithm)]
	if !ok {
		return nil, unknownAlgorithm(algorithm)
	}
	h := hmac.New(m.new, key)
	h.Write(body)
	return h.Sum(nil), nil
}

// KeyBytes is the length of the keys that NewKey makes.
func KeyBytes(algorithm string, bits int) (int, error) {
	m, ok := macs[strings.ToLower(algorithm)]
	switch {
	case !ok:
		return 0, unknownAlgorithm(algorithm)
	case bits == 0:
		return m.keyBytes, nil
	case bits < m.leastBits:
		return 0, fmt.Errorf("Key length must be at least %d bits", m.leastBits) //nolint:staticcheck // the JDK's wording
	case bits > 8*maxKeyBytes:
		return 0, fmt.Errorf("Key length must be at most %d bits", 8*maxKeyBytes) //nolint:staticcheck // like that
	}
	return (bits + 7) / 8, nil
}

// NewKey makes a random session key. bits is inter.worker.key.size; 0 takes the
// algorithm's own length as the JDK has it.
func NewKey(algorithm string, bits int) ([]byte, error) {
	n, err := KeyBytes(algorithm, bits)
	if err != nil {
		return nil, err
	}
	key := make([]byte, n)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return key, nil
}

func unknownAlgorithm(name string) error {
	known := slices.Sorted(maps.Keys(macs))
	return fmt.Errorf("no algorithm %q; this build has %s", name, strings.Join(known, ", "))
}
