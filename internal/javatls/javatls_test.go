package javatls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// props reads lines key=value; testdata/ stands for the folder.
func props(lines string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(lines) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			out[key] = value
		}
	}
	return out
}

const (
	serverKey = "ssl.keystore.type=PKCS12\nssl.keystore.location=testdata/key.p12\nssl.keystore.password=storepass\n"
	clientKey = "ssl.keystore.location=testdata/key.jks\nssl.keystore.password=storepass\nssl.key.password=keypass\n"
	trustJKS  = "ssl.truststore.location=testdata/trust.jks\nssl.truststore.password=storepass\n"
	trustP12  = "ssl.truststore.type=PKCS12\nssl.truststore.location=testdata/trust.p12\nssl.truststore.password=storepass\n"
)

// listener is the other side of a connection, from the same properties.
func listener(t *testing.T, props map[string]string) *tls.Config {
	t.Helper()
	cfg, err := Client(props)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{MinVersion: cfg.MinVersion, Certificates: cfg.Certificates, ClientCAs: cfg.RootCAs}
	if cfg.RootCAs != nil {
		server.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return server
}

// shake does a handshake and returns the error of the client or else of the server.
func shake(t *testing.T, client, server map[string]string) error {
	t.Helper()
	cc, err := Client(client)
	if err != nil {
		t.Fatal(err)
	}
	sc := listener(t, server)
	cc = cc.Clone()
	cc.ServerName = "localhost"
	ln, err := tls.Listen("tcp", "127.0.0.1:0", sc)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // nothing to lose
	served := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, err = conn.Read(make([]byte, 1)) // TLS 1.3 looks at the client's certificate after the client is done
			err = errors.Join(err, conn.Close())
		}
		served <- err
	}()
	conn, err := (&tls.Dialer{Config: cc}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err == nil {
		_, err = conn.Write([]byte{1})
		err = errors.Join(err, <-served, conn.Close())
		return err
	}
	return errors.Join(err, <-served)
}

func TestHandshakes(t *testing.T) {
	tests := []struct {
		name, client, server string
		fails                string // part of the error
	}{
		{"server of a PKCS12 store, trusted by JKS", trustJKS, serverKey, ""},
		{"trusted by PKCS12", trustP12, serverKey, ""},
		{"a JKS trust store without its password", strings.ReplaceAll(trustJKS, "ssl.truststore.password=storepass\n", ""), serverKey, ""},
		{"a PKCS12 file that is said to be JKS", strings.ReplaceAll(trustP12, "PKCS12", "JKS"), serverKey, ""},
		{"a store of the time before 2021", trustJKS, strings.ReplaceAll(serverKey, "key.p12", "legacy.p12"), ""},
		{"both sides, key of a JKS store", trustP12 + clientKey, serverKey + trustJKS, ""},
		{"TLS 1.2 alone", trustP12 + "ssl.enabled.protocols=TLSv1.2\n", serverKey, ""},
		{"not trusted", "", serverKey, "unknown authority"},
		{"not trusted, names not checked", "ssl.endpoint.identification.algorithm=\n", serverKey, "unknown authority"},
		{"no client certificate", trustP12, serverKey + trustJKS, "client didn't provide a certificate"},
		{"no common protocol", trustP12 + "ssl.enabled.protocols=TLSv1.2\n", serverKey + "ssl.enabled.protocols=TLSv1.3\n", "protocol version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := shake(t, props(tt.client), props(tt.server))
			if (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %v, want %q", err, tt.fails)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	tests := []struct{ lines, want string }{
		{"ssl.keystore.location=testdata/none.jks\nssl.keystore.password=x", "read ssl.keystore.location: open testdata/none.jks: no such file or directory"},
		{"ssl.keystore.location=testdata/key.jks", "SSL key store is specified, but key store password is not specified: set ssl.keystore.password"},
		{"ssl.keystore.password=s3cret", "SSL key store is not specified, but key store password is specified"},
		{"ssl.truststore.password=s3cret", "SSL trust store is not specified, but trust store password is specified"},
		{"ssl.keystore.type=JCEKS\nssl.keystore.location=x", "Invalid value JCEKS for configuration ssl.keystore.type: this build reads JKS, PKCS12 and PEM"},
		{"ssl.keystore.location=testdata/key.jks\nssl.keystore.password=s3cret", "load ssl.keystore.location testdata/key.jks: keystore password was incorrect, or the file was tampered with"},
		{"ssl.keystore.location=testdata/key.p12\nssl.keystore.password=s3cret", "load ssl.keystore.location testdata/key.p12: keystore password was incorrect, or the file was tampered with"},
		{"ssl.keystore.location=testdata/key.jks\nssl.keystore.password=storepass", "load ssl.keystore.location testdata/key.jks: cannot recover the private key: is ssl.key.password right?"},
		{"ssl.keystore.location=testdata/trust.jks\nssl.keystore.password=storepass", "load ssl.keystore.location testdata/trust.jks: it holds no private key"},
		{"ssl.keystore.location=testdata/two.p12\nssl.keystore.password=storepass", "load ssl.keystore.location testdata/two.p12: it holds several private keys: make a store of the one to use (keytool -importkeystore -srcalias)"},
		{"ssl.truststore.location=testdata/trust.p12", "load ssl.truststore.location testdata/trust.p12: keystore password was incorrect, or the file was tampered with"},
		{"ssl.truststore.location=testdata/README.md", "load ssl.truststore.location testdata/README.md: pkcs12: error reading P12 data: asn1: structure error: tags don't match (16 vs {class:1 tag:11 length:101 isCompound:false}) {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false} pfxPdu @2"},
		{"ssl.keystore.type=PEM\nssl.keystore.location=testdata/README.md\nssl.keystore.password=x", "SSL key store password cannot be specified with PEM format: leave out ssl.keystore.password"},
		{"ssl.truststore.certificates=x", "ssl.truststore.certificates can be specified only for PEM, but ssl.truststore.type is JKS"},
		{"ssl.truststore.certificates=x\nssl.truststore.type=PEM", "ssl.truststore: no certificates found in the PEM data"},
		{"ssl.keystore.key=x\nssl.keystore.type=PEM", "SSL key store is not specified, but key is: set ssl.keystore.certificate.chain"},
		{"ssl.enabled.protocols=TLSv1\nssl.endpoint.identification.algorithm=ldap", "Invalid value TLSv1 for configuration ssl.enabled.protocols: this build has TLSv1.2 and TLSv1.3\nInvalid value ldap for configuration ssl.endpoint.identification.algorithm: String must be one of: https, or empty for no check of host names"},
	}
	for _, tt := range tests {
		_, err := Client(props(tt.lines))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\n got %v\nwant %s", tt.lines, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a password shows in %v", err)
		}
	}
}

// A PEM file with key and chain, and the same inline, as KIP-651 has them.
func TestPEM(t *testing.T) {
	cert, err := keyStore(props(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	file := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, append(key, chain...), 0o600); err != nil {
		t.Fatal(err)
	}
	trust := map[string]string{"ssl.truststore.type": "PEM", "ssl.truststore.certificates": string(chain)}
	for name, server := range map[string]map[string]string{
		"file":   {"ssl.keystore.type": "PEM", "ssl.keystore.location": file},
		"inline": {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": string(chain), "ssl.keystore.key": string(key)},
	} {
		if err := shake(t, trust, server); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sealedKeys are the keys of testdata/sealed.pem, one by one.
func sealedKeys(t testing.TB) (keys []*pem.Block) {
	t.Helper()
	text, err := os.ReadFile("testdata/sealed.pem")
	if err != nil {
		t.Fatal(err)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return keys
		}
		keys = append(keys, block)
	}
}

func TestEncryptedPEM(t *testing.T) {
	cert, err := keyStore(props("ssl.keystore.location=testdata/key.p12\nssl.keystore.password=storepass"))
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	const kind = "not encrypted by PBES2"
	keys := sealedKeys(t)
	if len(keys) != 5 {
		t.Fatalf("%d keys, want 5", len(keys))
	}
	damaged := *keys[0]
	damaged.Bytes = damaged.Bytes[:len(damaged.Bytes)-1]
	for i, tt := range []struct {
		key            *pem.Block
		password, want string // in the error, "" for none
	}{
		{keys[0], "keypass", ""},
		{keys[1], " keypass ", ""},
		{keys[2], "keypass", ""},
		{keys[3], "keypass", kind},
		{keys[4], "keypass", kind},
		{keys[0], "s3cret", "ssl.key.password is wrong"},
		{keys[0], "", "ssl.key.password is wrong"},
		{keys[0], "none", "the private key is encrypted: set ssl.key.password"},
		{&damaged, "keypass", "the private key is not as PKCS#8 has it"},
	} {
		p := map[string]string{"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": string(chain), "ssl.keystore.key": string(pem.EncodeToMemory(tt.key))}
		if tt.password != "none" {
			p["ssl.key.password"] = tt.password
		}
		got, err := keyStore(p)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d: %v, want %q", i, err, tt.want)
		}
		if err == nil && !matches(got.PrivateKey, cert.Leaf) {
			t.Errorf("%d: another key came out", i)
		}
	}
}

func FuzzPKCS8(f *testing.F) {
	for _, key := range sealedKeys(f) {
		f.Add(key.Bytes)
	}
	f.Fuzz(func(_ *testing.T, der []byte) {
		_, _ = openPKCS8(der, "keypass")
	})
}

// A store may ask for as much work as Java would do, and no more.
func TestIterationsAreBounded(t *testing.T) {
	data, err := os.ReadFile("testdata/trust.p12")
	if err != nil {
		t.Fatal(err)
	}
	if err := affordable(data); err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(data), "\x02\x02\x27\x10") // 10000, of the MAC
	if at < 0 {
		t.Fatal("no number of iterations found")
	}
	raised := append([]byte{}, data...)
	copy(raised[at:], "\x02\x02\x7f\xff")
	if err := affordable(raised); err != nil {
		t.Errorf("32767 iterations: %v", err)
	}
	costly := []byte("\x30\x0c\x04\x04salt\x02\x04\x7f\xff\xff\xff")
	if err := affordable(costly); err == nil || err.Error() != "it wants its password hashed more than 5000000 times" {
		t.Errorf("2147483647 iterations: %v", err)
	}
	if _, err := readPKCS12Trust(append([]byte("\x30\x0e"), costly...), ""); err == nil || !strings.Contains(err.Error(), "hashed more than") {
		t.Errorf("read: %v", err)
	}
}

// seeds are the stores whose names match a pattern.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		f.Fatalf("no stores: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzJKS(f *testing.F) {
	seeds(f, "testdata/*.jks")
	f.Add([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01\xff\xff"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if found, err := readJKS(data, nil); err == nil {
			for _, e := range found {
				_, _ = unsealJKS(e.sealed, "keypass")
			}
		}
		_, _ = unsealJKS(data, "keypass")
	})
}

// Apart from the other, because each of its tries hashes a password many times.
func FuzzPKCS12(f *testing.F) {
	seeds(f, "testdata/*.p12")
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = readPKCS12Key(data, "storepass")
		_, _ = readPKCS12Trust(data, "storepass")
	})
}
