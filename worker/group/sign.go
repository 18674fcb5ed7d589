package group

// Sign returns the signature of a request between workers over the bytes of its body:
// base64 of the MAC. The algorithm has the name that Java's Mac knows it by.
func Sign(algorithm string, key, body []byte) (string, error) { return "", nil }

// Verify tells whether signature is that of body, comparing in constant time. An error
// says that the algorithm is unknown or the signature no base64.
func Verify(algorithm string, key, body []byte, signature string) (bool, error) { return false, nil }

// NewKey makes a random session key. bits is inter.worker.key.size; 0 takes the
// algorithm's own length as the JDK has it.
func NewKey(algorithm string, bits int) ([]byte, error) { return nil, nil }

// KeyBytes is the length of the keys that NewKey makes.
func KeyBytes(algorithm string, bits int) (int, error) { return 0, nil }
