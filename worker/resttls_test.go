package worker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/worker"
)

// writeStores makes a PEM key store and a PEM trust store of one certificate.
func writeStores(t *testing.T) (keystore, truststore string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	keystore, truststore = filepath.Join(t.TempDir(), "key.pem"), filepath.Join(t.TempDir(), "trust.pem")
	for path, data := range map[string][]byte{keystore: append(private, cert...), truststore: cert} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keystore, truststore
}

func TestTLSOfREST(t *testing.T) {
	keystore, truststore := writeStores(t)
	with := func(prefix string, more ...string) map[string]string {
		props := map[string]string{
			"listeners":                      "https://127.0.0.1:8443",
			prefix + "ssl.keystore.type":     "PEM",
			prefix + "ssl.keystore.location": keystore,
		}
		for i := 0; i < len(more); i += 2 {
			props[more[i]] = more[i+1]
		}
		return props
	}
	trusting := []string{"ssl.truststore.type", "PEM", "ssl.truststore.location", truststore}
	tests := []struct {
		name  string
		props map[string]string
		auth  tls.ClientAuthType
		err   string // "" for none
	}{
		{"top level", with(""), tls.NoClientCert, ""},
		{"own stores", with("listeners.https."), tls.NoClientCert, ""},
		{"own stores hide the top level", with("", "listeners.https.ssl.protocol", "TLSv1.3"), 0, "needs a certificate: set listeners.https.ssl.keystore.type=PEM"},
		{"no store", map[string]string{"listeners": "http://:8083,https://:8443"}, 0, "listeners https://:8443 needs a certificate"},
		{"no such file", with("", "ssl.keystore.location", "/no/such.pem"), 0, "no such file"},
		{"requested", with("", append(trusting, "ssl.client.auth", "requested")...), tls.VerifyClientCertIfGiven, ""},
		{"required", with("", append(trusting, "ssl.client.auth", "required")...), tls.RequireAndVerifyClientCert, ""},
		{"required, trusting nobody", with("", "ssl.client.auth", "required"), 0, "ssl.client.auth=required needs listeners.https.ssl.truststore.*"},
		{"asked for something else", with("listeners.https.", "listeners.https.ssl.client.auth", "maybe"), 0, "String must be one of: required, requested, none"},
		{"of the administrators", with("", "admin.listeners", "https://127.0.0.1:9443", "admin.listeners.https.ssl.protocol", "TLSv1.3"), 0, "admin.listeners https://127.0.0.1:9443 needs a certificate"},
	}
	for _, tt := range tests {
		c, warnings, err := worker.NewConfig(distributed(tt.props))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, warned %q; want neither", tt.name, err, warnings)
			continue
		}
		if c.ServerTLS == nil || len(c.ServerTLS.Certificates) != 1 || c.ServerTLS.ClientAuth != tt.auth || len(c.ClientTLS.Certificates) != 1 {
			t.Errorf("%s: serves with %+v and asks with %+v", tt.name, c.ServerTLS, c.ClientTLS)
		}
	}
}

// A worker on http whose stores cannot be read still works, as long as nobody is on https.
func TestTLSOfRequestsIsNoCondition(t *testing.T) {
	c, warnings, err := worker.NewConfig(distributed(map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": "/no/such.pem"}))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "https cannot be reached") || c.ClientTLS != nil {
		t.Errorf("NewConfig failed with %v, warned %q; want one warning", err, warnings)
	}
}

func TestAdvertisedProtocol(t *testing.T) {
	keystore, _ := writeStores(t)
	both := "https://localhost:8443,http://127.0.0.1:8083"
	for want, more := range map[string]map[string]string{
		"http://127.0.0.1:1002/":  {"listeners": both},
		"https://localhost:1001/": {"listeners": both, "rest.advertised.listener": "HTTPS"},
		"https://worker-1:1001/":  {"listeners": "https://localhost:8443", "rest.advertised.host.name": "worker-1"},
		"https://127.0.0.1:443/":  {"listeners": "http://127.0.0.1:8083", "rest.advertised.listener": "https", "rest.advertised.port": "443"},
	} {
		props := map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.location": keystore}
		maps.Copy(props, more)
		c, _, err := worker.NewConfig(distributed(props))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Advertise([]net.Addr{&net.TCPAddr{Port: 1001}, &net.TCPAddr{Port: 1002}}); got != want {
			t.Errorf("with %v advertises %q, want %q", more, got, want)
		}
	}
}
