package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/firn-io/firn/worker"
)

// keyStore writes a PEM key store for 127.0.0.1 and returns its path and a client that
// trusts it.
func keyStore(t *testing.T) (path string, client *http.Client) {
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
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	path = filepath.Join(t.TempDir(), "worker.pem")
	if err := os.WriteFile(path, append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return path, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// TestWorkerServesAsConfigured starts a worker whose Kafka does not answer: its REST API
// does, as the properties say.
func TestWorkerServesAsConfigured(t *testing.T) {
	store, client := keyStore(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"users": "alice=s3cret",
		"jaas":  `KafkaConnect { org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file="` + filepath.Join(dir, "users") + `"; };`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, warnings, err := worker.NewStandaloneConfig(map[string]string{
		"bootstrap.servers": "127.0.0.1:1", "key.converter": "String", "value.converter": "String",
		"listeners": "https://127.0.0.1:0", "listeners.https.ssl.keystore.type": "PEM", "listeners.https.ssl.keystore.location": store,
		"admin.listeners":        "",
		"rest.extension.classes": "BasicAuthSecurityRestExtension", "java.security.auth.login.config": filepath.Join(dir, "jaas"),
		"access.control.allow.origin": "https://ui", "response.http.headers.config": "set X-Frame-Options: DENY",
	})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warned %q", err, warnings)
	}
	ctx, stop := context.WithCancel(t.Context())
	base, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- runWorker(ctx, worker.Options{Config: config, Plugins: Builtin().Plugins, Logger: slog.New(slog.DiscardHandler), Standalone: true}, func(url string) { base <- url })
	}()
	url := <-base
	for _, tt := range []struct {
		path, password string
		status         int
	}{
		{"", "s3cret", http.StatusOK},
		{"", "wrong", http.StatusUnauthorized},
		{"openapi.json", "s3cret", http.StatusOK},
		{"admin/loggers", "s3cret", http.StatusNotFound},
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("alice", tt.password)
		req.Header.Set("Origin", "https://ui")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if cerr := resp.Body.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
		if resp.StatusCode != tt.status || resp.Header.Get("X-Frame-Options") != "DENY" || resp.Header.Get("Access-Control-Allow-Origin") != "https://ui" {
			t.Errorf("GET %s%s answered %s %s with %v, want %d", url, tt.path, resp.Status, body, resp.Header, tt.status)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}
