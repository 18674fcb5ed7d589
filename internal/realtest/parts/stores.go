//go:build unix

package parts

import (
	"context"
	"os"
	"path/filepath"
)

// Stores are a key store with one self-signed certificate for 127.0.0.1, and a trust store
// that trusts it, in the format of Java's keytool (JKS).
type Stores struct{ Key, Trust, Password string }

// NewStores makes them in dir.
func NewStores(ctx context.Context, dir string) (*Stores, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	if bin, err = filepath.EvalSymlinks(bin); err != nil {
		return nil, err
	}
	keytool := filepath.Join(filepath.Dir(bin), "keytool")
	if _, err := os.Stat(keytool); err != nil {
		if keytool, err = tool("keytool"); err != nil {
			return nil, err
		}
	}
	s := &Stores{filepath.Join(dir, "key.jks"), filepath.Join(dir, "trust.jks"), "changeit"}
	cert := filepath.Join(dir, "cert.pem")
	for _, args := range [][]string{
		{"-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=worker", "-ext", "san=ip:127.0.0.1", "-validity", "2", "-keystore", s.Key, "-keypass", s.Password},
		{"-exportcert", "-rfc", "-file", cert, "-keystore", s.Key},
		{"-importcert", "-noprompt", "-file", cert, "-keystore", s.Trust},
	} {
		args = append(args, "-alias", "worker", "-storetype", "JKS", "-storepass", s.Password)
		if _, err := run(ctx, dir, nil, keytool, args...); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Properties are those of an https listener of a worker that asks for a certificate.
func (s *Stores) Properties() map[string]string {
	const prefix = "listeners.https.ssl."
	return map[string]string{
		prefix + "keystore.type": "JKS", prefix + "keystore.location": s.Key, prefix + "keystore.password": s.Password, prefix + "key.password": s.Password,
		prefix + "truststore.type": "JKS", prefix + "truststore.location": s.Trust, prefix + "truststore.password": s.Password,
		prefix + "client.auth": "required",
	}
}
