package javatls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// The structures of an encrypted private key (RFC 5958, RFC 8018).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2 struct {
		Derivation, Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		Hash       pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	// pseudoRandom are the hashes of PBKDF2, by name; without a name it is SHA-1.
	pseudoRandom = map[string]func() hash.Hash{
		"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	// aesKeys are the lengths of keys of AES in CBC mode, by name.
	aesKeys = map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
)

// errKind is about ways of encryption that nothing makes any more, or not for keys.
var errKind = errors.New("the private key is not encrypted by PBES2 with PBKDF2 and AES: encrypt it anew (openssl pkcs8 -topk8 -v2 aes256)")

// openPKCS8 decrypts a private key to PKCS#8. A wrong password is nearly always found here,
// and else when the key is read.
func openPKCS8(der []byte, password string) ([]byte, error) {
	var sealed encryptedKey
	if _, err := asn1.Unmarshal(der, &sealed); err != nil {
		return nil, fmt.Errorf("the private key is not as PKCS#8 has it: %w", err)
	}
	block, iv, err := derive(sealed.Algorithm, password)
	if err != nil {
		return nil, err
	}
	if len(sealed.Data) == 0 || len(sealed.Data)%aes.BlockSize != 0 {
		return nil, errors.New("the private key is cut short")
	}
	plain := make([]byte, len(sealed.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errKeyPassword
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errKeyPassword
		}
	}
	return plain[:len(plain)-pad], nil
}

var errKeyPassword = errors.New("the private key cannot be opened: ssl.key.password is wrong")

// derive makes the cipher of a password.
func derive(algorithm pkix.AlgorithmIdentifier, password string) (block cipher.Block, iv []byte, err error) {
	var scheme pbes2
	var with pbkdf2Parameters
	if !algorithm.Algorithm.Equal(oidPBES2) || !parameters(algorithm, &scheme) ||
		!scheme.Derivation.Algorithm.Equal(oidPBKDF2) || !parameters(scheme.Derivation, &with) {
		return nil, nil, errKind
	}
	newHash, length := pseudoRandom[with.Hash.Algorithm.String()], aesKeys[scheme.Cipher.Algorithm.String()]
	if newHash == nil || length == 0 || !parameters(scheme.Cipher, &iv) || len(iv) != aes.BlockSize {
		return nil, nil, errKind
	}
	if with.Iterations < 1 || with.Iterations > maxIterations {
		return nil, nil, fmt.Errorf("the private key wants its password hashed %d times, and at most %d are taken", with.Iterations, maxIterations)
	}
	key, err := pbkdf2.Key(newHash, password, with.Salt, with.Iterations, length)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key of ssl.key.password: %w", err)
	}
	block, err = aes.NewCipher(key)
	return block, iv, err
}

// parameters reads those of an algorithm.
func parameters(a pkix.AlgorithmIdentifier, into any) bool {
	_, err := asn1.Unmarshal(a.Parameters.FullBytes, into)
	return err == nil
}
