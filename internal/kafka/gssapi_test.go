package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	tokens "github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/firn-io/firn/internal/krb5"
)

// kerberosFiles makes a krb5.conf, which the environment then names, and a keytab.
func kerberosFiles(t *testing.T) (keytabPath string) {
	t.Helper()
	dir := t.TempDir()
	kt := keytab.New()
	if err := kt.AddEntry("connect", "EXAMPLE.COM", "s3cret", time.Unix(1000, 0), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	data, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	keytabPath = filepath.Join(dir, "connect.keytab")
	conf := filepath.Join(dir, "krb5.conf")
	if err := errors.Join(os.WriteFile(keytabPath, data, 0o600), os.WriteFile(conf, []byte("[libdefaults]\ndefault_realm = EXAMPLE.COM\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KAFKA_OPTS", "")
	t.Setenv("KRB5_CONFIG", conf)
	return keytabPath
}

const kerberosModule = "com.sun.security.auth.module.Krb5LoginModule required "

func TestKerberosConfig(t *testing.T) {
	keys := kerberosFiles(t)
	login := kerberosModule + `useKeyTab=true storeKey=true doNotPrompt=true debug=false keyTab="` + keys + `" principal="connect@EXAMPLE.COM"`
	for _, tt := range []struct{ props, want string }{
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + login + ";", ""},
		{"sasl.mechanism=GSSAPI\nsasl.jaas.config=" + login + ` serviceName="kafka";`, ""},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + login + ` serviceName="kafka";`, ""},
		{"sasl.jaas.config=" + login + ";", "No serviceName defined in either JAAS or Kafka config (set sasl.kerberos.service.name to the first part of the brokers' principal, often kafka)"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + login + ` serviceName="broker";`, "Conflicting serviceName values found in JAAS and Kafka configs value in JAAS file broker, value in Kafka config kafka"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=x", `sasl.jaas.config: want LOGIN_MODULE_CLASS required option="value" … ; (is the ; at the end missing?) (sasl.mechanism is GSSAPI, which it is if it is not given)`},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"a\" password=\"b\";", "sasl.jaas.config: sasl.mechanism GSSAPI, which it is if it is not given, needs com.sun.security.auth.module.Krb5LoginModule, not org.apache.kafka.common.security.plain.PlainLoginModule"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + kerberosModule + "doNotPrompt=true;", "sasl.jaas.config: Could not login: the client is being asked for a password, but the Kafka client code does not currently support obtaining a password from the user. (set useKeyTab=true with keyTab and principal, or useTicketCache=true)"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + login + " useFirstPass=true isInitiator=false;", "sasl.jaas.config: useFirstPass: there is no login module before it: leave it out\nsasl.jaas.config: isInitiator=false is for servers: leave it out"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + login + " useTicketCache=true renewTGT=true;", "sasl.jaas.config: renewTGT: this build renews no ticket of a cache: keep the cache fresh with kinit and leave renewTGT out, or use a keytab"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + strings.Replace(login, "connect.keytab", "none", 1) + ";", "sasl.jaas.config: read the keytab: open " + strings.Replace(keys, "connect.keytab", "none", 1) + ": no such file or directory"},
		{"sasl.kerberos.service.name=kafka\nsasl.jaas.config=" + kerberosModule + `useTicketCache=true ticketCache="/none";`, "sasl.jaas.config: read the ticket cache: open /none: no such file or directory"},
		{"sasl.kerberos.service.name=kafka\nsasl.kerberos.ticket.renew.window.factor=2\nsasl.jaas.config=" + login + ";", "Invalid value 2 for configuration sasl.kerberos.ticket.renew.window.factor: Value must be between 0.5 and 1.0"},
		{"sasl.mechanism=KERBEROS", "Invalid value KERBEROS for configuration sasl.mechanism: this build has GSSAPI, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER"},
	} {
		props := map[string]string{"bootstrap.servers": "a:1", "security.protocol": "SASL_SSL"}
		for line := range strings.SplitSeq(tt.props, "\n") {
			key, value, _ := strings.Cut(line, "=")
			props[key] = value
		}
		c, err := NewConfig(props, nil)
		switch {
		case tt.want == "" && (err != nil || c.gssapi.service != "kafka" || c.gssapi.ticket == nil || c.sarama.Net.SASL.Enable || !c.sarama.Net.TLS.Enable):
			t.Errorf("%s\n got %+v, %v", tt.props, c, err)
		case tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%s\n got %v\nwant %s", tt.props, err, tt.want)
		}
	}
}

// What sasl.jaas.config does not say a file may, for every mechanism.
func TestJAASFile(t *testing.T) {
	keys := kerberosFiles(t)
	path := filepath.Join(t.TempDir(), "jaas.conf")
	const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="s3cret";`
	for _, tt := range []struct{ text, mechanism, want string }{
		{"KafkaClient {\n  " + kerberosModule + `useKeyTab=true principal="connect" serviceName="kafka" keyTab="` + keys + "\";\n};", "GSSAPI", ""},
		{"KafkaServer { a.B required; };\nKafkaClient { a.B required;" + plain + "};", "PLAIN", ""},
		{"KafkaClient { " + plain + " };", "GSSAPI", "sasl.jaas.config: sasl.mechanism GSSAPI, which it is if it is not given, needs com.sun.security.auth.module.Krb5LoginModule, not org.apache.kafka.common.security.plain.PlainLoginModule"},
		{"KafkaServer { " + plain + " };", "PLAIN", "sasl.jaas.config: Could not find a 'KafkaClient' entry in the JAAS configuration. System property 'java.security.auth.login.config' is " + path},
		{"KafkaClient { " + plain, "PLAIN", "sasl.jaas.config: read " + path + ": want a word before the end"},
		{"", "PLAIN", "sasl.jaas.config: open " + path + ": no such file or directory"},
		{"none", "PLAIN", "sasl.jaas.config: Could not find a 'KafkaClient' entry in the JAAS configuration. System property 'java.security.auth.login.config' is not set"},
	} {
		t.Setenv("KAFKA_OPTS", "-Djava.security.auth.login.config="+path)
		switch tt.text {
		case "":
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		case "none":
			t.Setenv("KAFKA_OPTS", "")
		default:
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := NewConfig(map[string]string{"bootstrap.servers": "a:1", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": tt.mechanism}, nil)
		switch {
		case tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%s\n got %v\nwant %s", tt.text, err, tt.want)
		case tt.want == "" && (err != nil || tt.mechanism == "PLAIN" && c.sarama.Net.SASL.User != "alice"):
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

// ticketFor is a ticket as a KDC gives one.
func ticketFor(t *testing.T) *krb5.Ticket {
	t.Helper()
	client, service := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "connect"), types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, "kafka/localhost")
	keys := keytab.New()
	if err := keys.AddEntry("kafka/localhost", "EXAMPLE.COM", "other", time.Unix(1000, 0), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ticket, key, err := messages.NewTicket(client, "EXAMPLE.COM", service, "EXAMPLE.COM", types.NewKrbFlags(), keys, etypeID.AES256_CTS_HMAC_SHA1_96, 0, now, now, now.Add(time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	return &krb5.Ticket{Realm: "EXAMPLE.COM", Client: client, Ticket: ticket, Key: key, End: now.Add(time.Hour)}
}

// layers is the token by which a broker offers security layers: none.
func layers(t *testing.T, key types.EncryptionKey) []byte {
	t.Helper()
	token := tokens.WrapToken{Flags: 1, EC: 12, SndSeqNum: 7, Payload: []byte{1, 0, 0, 0}}
	if err := token.SetCheckSum(key, keyusage.GSSAPI_ACCEPTOR_SEAL); err != nil {
		t.Fatal(err)
	}
	b, err := token.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// says is an answer to a token.
func says(t *testing.T, token []byte, sessionMillis int64) *sarama.MockSaslAuthenticateResponse {
	return sarama.NewMockSaslAuthenticateResponse(t).SetAuthBytes(token).SetSessionLifetimeMs(sessionMillis)
}

func always(ticket *krb5.Ticket) func() (*krb5.Ticket, error) {
	return func() (*krb5.Ticket, error) { return ticket, nil }
}

// kerberosAdmin asks a fake broker that answers tokens so, one after the other.
func kerberosAdmin(t *testing.T, secured bool, ticket func() (*krb5.Ticket, error), mechanisms *sarama.MockSaslHandshakeResponse, answers ...any) (*sarama.MockBroker, *Admin) {
	t.Helper()
	cert, pemCert, _ := selfSigned(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the broker closes it
	if err != nil {
		t.Fatal(err)
	}
	props := map[string]string{
		"security.protocol": "SASL_PLAINTEXT", "sasl.kerberos.service.name": "kafka", "client.id": "me",
		"sasl.jaas.config": kerberosModule + `useKeyTab=true principal="connect" keyTab="` + kerberosFiles(t) + `";`,
	}
	if secured {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		maps.Copy(props, map[string]string{"security.protocol": "SASL_SSL", "ssl.truststore.type": "PEM", "ssl.truststore.certificates": string(pemCert)})
	}
	broker := sarama.NewMockBrokerListener(t, 1, ln)
	t.Cleanup(broker.Close)
	broker.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{
			{ApiKey: 3, MaxVersion: 5}, {ApiKey: 17, MaxVersion: 1}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 36, MaxVersion: 1},
		}),
		"SaslHandshakeRequest":    mechanisms,
		"SaslAuthenticateRequest": sarama.NewMockSequence(answers...),
		"MetadataRequest":         sarama.NewMockMetadataResponse(t).SetBroker(broker.Addr(), 1),
	})
	props["bootstrap.servers"] = broker.Addr()
	cfg, err := NewConfig(props, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.gssapi.ticket = func(_ context.Context, service, host string) (*krb5.Ticket, error) {
		if service != "kafka" || host != "127.0.0.1" {
			t.Errorf("asked for a ticket of %s/%s", service, host)
		}
		return ticket()
	}
	a, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(a) })
	return broker, a
}

// The conversation of a connection, and again when the broker's time for it is nearly over.
func TestKerberosOnTheWire(t *testing.T) {
	offers := sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{sarama.SASLTypeGSSAPI})
	for _, secured := range []bool{false, true} {
		ticket := ticketFor(t)
		again := layers(t, ticket.Key)
		broker, a := kerberosAdmin(t, secured, always(ticket), offers, says(t, again, 0), says(t, nil, 3_600_000), says(t, again, 0), says(t, nil, 0))
		for n := range 3 {
			if _, err := a.Topics(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, cn := range a.cl.conns {
				if left := time.Until(cn.reauthenticate); n == 0 && (left < 30*time.Minute || left > 51*time.Minute) || n > 0 && !cn.reauthenticate.IsZero() {
					t.Errorf("TLS %v, request %d: the next authentication is at %v, in %v", secured, n, cn.reauthenticate, left)
				}
				if n == 0 {
					cn.reauthenticate = time.Now().Add(-time.Second)
				}
			}
		}
		var sent [][]byte
		var order string
		for _, r := range broker.History() {
			switch rq := r.Request.(type) {
			case *sarama.SaslAuthenticateRequest:
				sent = append(sent, rq.SaslAuthBytes)
				order += "A"
			case *sarama.SaslHandshakeRequest:
				order += "H" + rq.Mechanism
			case *sarama.MetadataRequest:
				order += "M"
			}
		}
		if order != "HGSSAPIAAMHGSSAPIAAMM" {
			t.Fatalf("TLS %v: got %s", secured, order)
		}
		if !bytes.HasPrefix(sent[0], []byte{0x60}) || !bytes.Contains(sent[0], []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01, 0x00, 0x6e}) {
			t.Errorf("the first token is %x", sent[0])
		}
		var chosen tokens.WrapToken
		if err := chosen.Unmarshal(sent[1], false); err != nil || !bytes.Equal(chosen.Payload, []byte{1, 0, 0, 0}) {
			t.Errorf("the second token is %x: %v", sent[1], err)
		}
		if ok, err := chosen.Verify(ticket.Key, keyusage.GSSAPI_INITIATOR_SEAL); !ok {
			t.Errorf("the second token: %v", err)
		}
	}
}

func TestKerberosOnTheWireFailures(t *testing.T) {
	offers := sarama.NewMockSaslHandshakeResponse(t).SetEnabledMechanisms([]string{sarama.SASLTypeGSSAPI})
	ticket := ticketFor(t)
	for _, tt := range []struct {
		name    string
		offers  *sarama.MockSaslHandshakeResponse
		answers []any
		want    string
	}{
		{"refused", offers, []any{sarama.NewMockSaslAuthenticateResponse(t).SetError(sarama.ErrSASLAuthenticationFailed)}, "not authorized"},
		{"another mechanism", sarama.NewMockSaslHandshakeResponse(t).SetError(sarama.ErrUnsupportedSASLMechanism).SetEnabledMechanisms([]string{"PLAIN"}), []any{says(t, nil, 0)}, `the listener has no GSSAPI: it offers ["PLAIN"] (set sasl.mechanism)`},
		{"another key", offers, []any{says(t, layers(t, ticketFor(t).Key), 0)}, "checksum mismatch"},
		{"no token", offers, []any{says(t, nil, 0)}, "the broker does not prove that it is kafka at 127.0.0.1: bytes shorter than header length"},
		{"half a token", offers, []any{says(t, layers(t, ticket.Key)[:20], 0)}, "inconsistent checksum length"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, a := kerberosAdmin(t, false, always(ticket), tt.offers, tt.answers...)
			start := time.Now()
			if _, err := a.Topics(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v: it was tried again and again", took)
			}
		})
	}

	_, a := kerberosAdmin(t, false, func() (*krb5.Ticket, error) { return nil, krb5.ErrRefused }, offers, says(t, nil, 0))
	if _, err := a.Topics(t.Context()); !errors.Is(err, krb5.ErrRefused) || strings.Contains(err.Error(), "gave up") {
		t.Errorf("got %v", err)
	}
}

// A cannedConn says what it was given.
type cannedConn struct {
	net.Conn
	io.Reader
}

func (cannedConn) Write(b []byte) (int, error)  { return len(b), nil }
func (c cannedConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func FuzzSASLAnswers(f *testing.F) {
	f.Add([]byte{0, 0, 0, 14, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 'A', 'B'})
	f.Add([]byte{0, 0, 0, 8, 0, 0, 0, 1, 0, 33, 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = (&saslWire{socket: cannedConn{Reader: bytes.NewReader(data)}}).handshake("GSSAPI")
		answer, lifetime, err := (&saslWire{socket: cannedConn{Reader: bytes.NewReader(data)}}).authenticate(nil)
		if err == nil && (len(answer) > len(data) || lifetime < 0) {
			t.Errorf("%x: got %x for %v", data, answer, lifetime)
		}
	})
}
