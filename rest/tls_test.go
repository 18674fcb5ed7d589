package rest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/rest"
)

// An authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template, nil, nil)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) issue(name string) tls.Certificate {
	cert, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// run serves on listeners until the test ends and returns their addresses.
func run(t *testing.T, o rest.Options, listeners []string, secure *tls.Config) []string {
	t.Helper()
	var err error
	if o.Listeners, err = rest.Listen(t.Context(), listeners, secure); err != nil {
		t.Fatal(err)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	var addrs []string
	for _, l := range o.Listeners {
		addrs = append(addrs, l.Addr().String())
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rest.New(o).Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return addrs
}

func TestListenersOfBothProtocols(t *testing.T) {
	own, stranger := newAuthority(t), newAuthority(t)
	tests := []struct {
		name string
		auth tls.ClientAuthType
		show []tls.Certificate
		ok   bool
	}{
		{"none", tls.NoClientCert, nil, true},
		{"requested, none shown", tls.VerifyClientCertIfGiven, nil, true},
		{"requested, a stranger's shown", tls.VerifyClientCertIfGiven, []tls.Certificate{stranger.issue("client")}, false},
		{"required, none shown", tls.RequireAndVerifyClientCert, nil, false},
		{"required, a stranger's shown", tls.RequireAndVerifyClientCert, []tls.Certificate{stranger.issue("client")}, false},
		{"required and shown", tls.RequireAndVerifyClientCert, []tls.Certificate{own.issue("client")}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secure := &tls.Config{Certificates: []tls.Certificate{own.issue("server")}, ClientAuth: tt.auth, ClientCAs: own.pool()}
			h := &fakeHerder{reply: []byte(`{"name":"c","config":{},"tasks":[],"type":"sink"}`)}
			addrs := run(t, rest.Options{Herder: h}, []string{"http://127.0.0.1:0", "HTTPS://127.0.0.1:0"}, secure)
			if status, _, body := ask(t, "GET", "http://"+addrs[0]+"/", ""); status != http.StatusOK {
				t.Errorf("http answered %d %s", status, body)
			}
			// A stranger's certificate is shown whatever authorities the server names.
			show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if tt.show == nil {
					return new(tls.Certificate), nil
				}
				return &tt.show[0], nil
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: own.pool(), GetClientCertificate: show}}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+addrs[1]+"/connectors", strings.NewReader(`{"name":"c","config":{}}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if (err == nil) != tt.ok {
				t.Fatalf("https answered with %v, want success: %t", err, tt.ok)
			}
			if err != nil {
				return
			}
			defer resp.Body.Close() //nolint:errcheck // it was only read
			body, err := io.ReadAll(resp.Body)
			if want := "https://" + addrs[1] + "/connectors/c"; err != nil || resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != want {
				t.Errorf("https answered %d %s with Location %q (%v), want 201 and %q", resp.StatusCode, body, resp.Header.Get("Location"), err, want)
			}
		})
	}
}

func TestForwardOverMutualTLS(t *testing.T) {
	own := newAuthority(t)
	cert := own.issue("worker")
	secure := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: own.pool()}
	leader := &fakeHerder{}
	addr := run(t, rest.Options{Herder: leader}, []string{"https://127.0.0.1:0"}, secure)[0]
	away := &fakeHerder{err: &entities.RedirectError{URL: "https://" + addr + "/"}}

	client := &tls.Config{RootCAs: own.pool(), Certificates: []tls.Certificate{cert}}
	follower := run(t, rest.Options{Herder: away, TLS: client}, []string{"http://127.0.0.1:0"}, nil)[0]
	if status, _, body := ask(t, "PUT", "http://"+follower+"/connectors/c/stop", ""); status != 204 || len(leader.calls) != 1 {
		t.Errorf("answered %d %s, the leader was asked %q; want 204 and one call", status, body, leader.calls)
	}
	plain := run(t, rest.Options{Herder: away, TLS: &tls.Config{RootCAs: own.pool()}}, []string{"http://127.0.0.1:0"}, nil)[0]
	if status, _, body := ask(t, "PUT", "http://"+plain+"/connectors/c/stop", ""); status != 500 || !strings.Contains(body, "IO Error") || len(leader.calls) != 1 {
		t.Errorf("a follower without a certificate answered %d %s, the leader was asked %q; want 500 and nothing more", status, body, leader.calls)
	}
}

func TestListenNeedsCertificate(t *testing.T) {
	for listener, want := range map[string]string{"https://127.0.0.1:0": "needs a certificate", "ftp://127.0.0.1:0": "only http and https"} {
		if _, err := rest.Listen(t.Context(), []string{"http://127.0.0.1:0", listener}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Listen on %s failed with %v, want %q", listener, err, want)
		}
	}
}
