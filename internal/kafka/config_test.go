package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/internal/javatls"
)

func TestConfigDefaultsAndValues(t *testing.T) {
	props := map[string]string{"bootstrap.servers": " a:1, PLAINTEXT://[::1]:2 ", "foo.bar": "x", "another": "y", "key.deserializer": "z"}
	c, err := NewConfig(props, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Bootstrap(), Unknown(props), c.Session(), c.Rebalance(), c.Heartbeat(), c.AutoOffsetReset(), c.Strategies(), c.ReadCommitted()); got !=
		"[a:1 [::1]:2] [another foo.bar] 45s 5m0s 3slatest[range cooperative-sticky] false" {
		t.Error(got)
	}
	c, err = NewConfig(map[string]string{
		"bootstrap.servers": "a:1", "rebalance.timeout.ms": "60000", "delivery.timeout.ms": "2147483647", "max.block.ms": "9223372036854775807",
		"isolation.level": "read_committed", "partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Rebalance() != time.Minute || !c.ReadCommitted() || c.Strategies()[0] != CooperativeStickyName || c.blockLimit <= 0 {
		t.Errorf("%+v", c)
	}
}

func TestConfigFailures(t *testing.T) {
	const jaas = `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="s3cret";`
	tests := []struct {
		props string // one a line
		want  string
	}{
		{"bootstrap.servers=", "No resolvable bootstrap urls given in bootstrap.servers"},
		{"bootstrap.servers=nowhere", "Invalid url in bootstrap.servers: nowhere"},
		{"request.timeout.ms=soon\nfetch.min.bytes=-1", "Invalid value soon for configuration request.timeout.ms: Not a number of type LONG\nInvalid value -1 for configuration fetch.min.bytes: Value must be at least 0"},
		{"isolation.level=none", "Invalid value none for configuration isolation.level: String must be one of: read_committed, read_uncommitted"},
		{"auto.offset.reset=begin", "Invalid value begin for configuration auto.offset.reset: Invalid value `begin` for configuration auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS>'."},
		{"security.protocol=TLS", "Invalid value TLS for configuration security.protocol: String must be one of (case insensitive): PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL"},
		{"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config=" + jaas, "sasl.jaas.config: sasl.mechanism SCRAM-SHA-256 needs org.apache.kafka.common.security's ScramLoginModule, not org.apache.kafka.common.security.plain.PlainLoginModule"},
		{"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=" + strings.TrimSuffix(jaas, ";"), `sasl.jaas.config: want LOGIN_MODULE_CLASS required option="value" … ; (is the ; at the end missing?)`},
		{"security.protocol=SSL\nssl.truststore.location=/t.jks", "read ssl.truststore.location: open /t.jks: no such file or directory"},
		{"security.protocol=SSL\nssl.truststore.certificates=x", "ssl.truststore.certificates can be specified only for PEM, but ssl.truststore.type is JKS"},
		{"security.protocol=SSL\nssl.truststore.certificates=x\nssl.truststore.type=PEM", "ssl.truststore: no certificates found in the PEM data"},
		{"partition.assignment.strategy=org.apache.kafka.clients.consumer.StickyAssignor", "Invalid value org.apache.kafka.clients.consumer.StickyAssignor for configuration partition.assignment.strategy: this build has RangeAssignor and CooperativeStickyAssignor"},
		{"enable.idempotence=maybe", "Invalid value maybe for configuration enable.idempotence: Expected value to be either true or false"},
	}
	for _, tt := range tests {
		props := map[string]string{"bootstrap.servers": "a:1"}
		for line := range strings.SplitSeq(tt.props, "\n") {
			key, value, _ := strings.Cut(line, "=")
			props[key] = value
		}
		_, err := NewConfig(props, nil)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\n got %v\nwant %s", tt.props, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "alice")) {
			t.Errorf("%s: a secret shows in %v", tt.props, err)
		}
	}
	if _, err := NewConfig(nil, nil); err == nil || err.Error() != `Missing required configuration "bootstrap.servers" which has no default value.` {
		t.Errorf("nothing given: %v", err)
	}
}

func TestJAAS(t *testing.T) {
	got, err := parseJAAS("a.b.ScramLoginModule\n  required username='al\"ice' password=\"p\\\"; =x\\\\\"\ttokenauth=true ;")
	if err != nil || got.module != "a.b.ScramLoginModule" || got.options["username"] != `al"ice` || got.options["password"] != `p"; =x\` || got.options["tokenauth"] != "true" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzJAAS(f *testing.F) {
	f.Add(`x required a="b";`)
	f.Add(`x required a="b`)
	f.Add(`x required a=;`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseJAAS(text); err != nil && len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("%q shows in %v", text, err)
		}
	})
}

// SASL and TLS run on TCP, in real time.
func TestSecurity(t *testing.T) {
	cert, pemCert, pemKey := selfSigned(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pemCert)
	keystore := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(keystore, append(pemKey, pemCert...), 0o600); err != nil {
		t.Fatal(err)
	}
	module := func(kind, password string) string {
		class := map[string]string{"plain": "plain.PlainLoginModule", "scram": "scram.ScramLoginModule"}[kind]
		return "org.apache.kafka.common.security." + class + ` required username="alice" password="` + password + `";`
	}
	mtls := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	side, err := javatls.Client(map[string]string{
		"ssl.keystore.location": "../javatls/testdata/key.p12", "ssl.keystore.password": "storepass", "ssl.keystore.type": "PKCS12",
		"ssl.truststore.location": "../javatls/testdata/trust.p12", "ssl.truststore.password": "storepass", "ssl.truststore.type": "PKCS12",
	})
	if err != nil {
		t.Fatal(err)
	}
	java := kfake.TLS(&tls.Config{Certificates: side.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: side.RootCAs})
	tests := []struct {
		name  string
		opts  []kfake.Opt
		props map[string]string
		ok    bool
	}{
		{"plain", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "s3cret")}, map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": module("plain", "s3cret"),
		}, true},
		{"plain, wrong password", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "s3cret")}, map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": module("plain", "no"),
		}, false},
		{"scram 256", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "alice", "s3cret")}, map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": module("scram", "s3cret"),
		}, true},
		{"scram 512 over tls", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", "s3cret"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}})}, map[string]string{
			"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": module("scram", "s3cret"),
			"ssl.truststore.type": "PEM", "ssl.truststore.certificates": string(pemCert),
		}, true},
		{"scram, wrong password", []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", "s3cret")}, map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": module("scram", "no"),
		}, false},
		{"client certificate inline", []kfake.Opt{mtls}, map[string]string{
			"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.certificates": string(pemCert),
			"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": string(pemCert), "ssl.keystore.key": string(pemKey),
		}, true},
		{"stores of Java", []kfake.Opt{java}, map[string]string{
			"security.protocol": "SSL", "ssl.truststore.location": "../javatls/testdata/trust.jks", "ssl.truststore.password": "storepass",
			"ssl.keystore.location": "../javatls/testdata/key.jks", "ssl.keystore.password": "storepass", "ssl.key.password": "keypass",
		}, true},
		{"client certificate in a file", []kfake.Opt{mtls}, map[string]string{
			"security.protocol": "SSL", "ssl.truststore.type": "PEM", "ssl.truststore.certificates": string(pemCert),
			"ssl.keystore.type": "PEM", "ssl.keystore.location": keystore,
		}, true},
		{"unknown authority", []kfake.Opt{mtls}, map[string]string{"security.protocol": "SSL"}, false},
		{"unknown authority, names not checked", []kfake.Opt{mtls}, map[string]string{"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": ""}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := kfake.NewCluster(append(tt.opts, kfake.NumBrokers(1))...)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tt.props["bootstrap.servers"] = c.ListenAddrs()[0]
			tt.props["default.api.timeout.ms"] = "500" // kfake closes the connection on a wrong password, which Kafka says in words
			cfg, err := NewConfig(tt.props, nil)
			if err != nil {
				t.Fatal(err)
			}
			a, err := NewAdmin(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(a)
			start := time.Now()
			_, err = a.Topics(t.Context())
			if (err == nil) != tt.ok {
				t.Errorf("topics: %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "PRIVATE")) {
				t.Errorf("a secret shows in %v", err)
			}
		})
	}
}

func selfSigned(t *testing.T) (cert tls.Certificate, pemCert, pemKey []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IPAddresses: nil, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	template.IPAddresses = append(template.IPAddresses, []byte{127, 0, 0, 1})
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pemCert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pemKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	cert, err = tls.X509KeyPair(pemCert, pemKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pemCert, pemKey
}

func TestFailureCodes(t *testing.T) {
	if failure(sarama.ErrNoError) != nil {
		t.Error("no error is an error")
	}
	for _, tt := range []struct {
		code  sarama.KError
		is    error
		again bool
	}{
		{sarama.ErrUnknownTopicOrPartition, ErrUnknownTopic, true},
		{sarama.ErrTopicAlreadyExists, ErrTopicExists, false},
		{sarama.ErrGroupAuthorizationFailed, ErrUnauthorized, false},
		{sarama.ErrNotLeaderForPartition, sarama.ErrNotLeaderForPartition, true},
		{sarama.ErrProducerFenced, sarama.ErrProducerFenced, false},
	} {
		err := fmt.Errorf("wrapped: %w", failure(tt.code))
		if !errors.Is(err, tt.is) || retriable(err) != tt.again {
			t.Errorf("code %d: %v, retriable %v", tt.code, err, retriable(err))
		}
	}
}
