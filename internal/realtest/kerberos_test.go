//go:build real && unix

package realtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// kerberos has a broker of its own, to which Firn says who it is by a KDC's tickets: for the
// worker's topics, its group, the connector's consumer and its producers.
func (s *stack) kerberos(t *testing.T) {
	const service = "kafka/localhost"
	began := time.Now()
	kdc, err := parts.StartKDC(t.Context(), s.folder(t, "kerberos-kdc"), "connect", service)
	have(t, err)
	t.Cleanup(func() { stop(t, kdc.Process) })
	t.Setenv("KAFKA_OPTS", "-Djava.security.krb5.conf="+kdc.Conf) // of the workers, and of this process
	port, err := parts.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	own := *s
	own.kafka, err = parts.NewKafka(t.Context(), s.folder(t, "kerberos-kafka"), map[string]string{
		"listeners":                                               fmt.Sprintf("KERBEROS://127.0.0.1:%d", port),
		"advertised.listeners":                                    fmt.Sprintf("KERBEROS://localhost:%d", port),
		"listener.security.protocol.map":                          "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,KERBEROS:SASL_PLAINTEXT",
		"sasl.enabled.mechanisms":                                 "GSSAPI",
		"listener.name.kerberos.gssapi.sasl.jaas.config":          krb5Module(`useKeyTab=true storeKey=true keyTab="%s" principal="%s@%s"`, kdc.Keytab(service), service, kdc.Realm),
		"sasl.kerberos.service.name":                              "kafka",
		"listener.name.kerberos.gssapi.connections.max.reauth.ms": "2000",
	})
	have(t, err)
	own.kafka.JVM = []string{"-Djava.security.krb5.conf=" + kdc.Conf}
	have(t, own.kafka.Start(t.Context()))
	t.Cleanup(func() { stop(t, own.kafka.Process) })
	if own.client, err = kafka.NewConfig(map[string]string{"bootstrap.servers": own.kafka.Bootstrap}, nil); err != nil {
		t.Fatal(err)
	}

	byKeytab := func(keytab string) map[string]string {
		return map[string]string{
			"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI", "sasl.kerberos.service.name": "kafka",
			"sasl.jaas.config": krb5Module(`useKeyTab=true storeKey=true doNotPrompt=true keyTab="%s" principal="connect@%s"`, keytab, kdc.Realm),
		}
	}
	byCache := krb5Module(`useTicketCache=true serviceName=kafka ticketCache="%s"`, kdc.Cache("connect"))
	bootstrap := map[string]string{"bootstrap.servers": fmt.Sprintf("localhost:%d", port)}
	asks := func(props map[string]string, forHow time.Duration) (dials int32, err error) {
		var count atomic.Int32
		cfg, err := kafka.NewConfig(merged(bootstrap, props), func(ctx context.Context, network, addr string) (net.Conn, error) {
			count.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		})
		if err != nil {
			return 0, err
		}
		admin, err := kafka.NewAdmin(cfg)
		if err != nil {
			return 0, err
		}
		defer admin.Close() //nolint:errcheck // it only asks
		for until := time.Now().Add(forHow); ; time.Sleep(100 * time.Millisecond) {
			if _, err := admin.Topics(t.Context()); err != nil || time.Now().After(until) {
				return count.Load(), err
			}
		}
	}

	// The broker ends a session after 2 s (it takes no second login within one); the connection stays, because it says again who it is.
	t.Logf("the broker runs after %.1f s", time.Since(began).Seconds())
	dials, err := asks(byKeytab(kdc.Keytab("connect")), 4*time.Second)
	if err != nil || dials != 1 {
		t.Errorf("in some sessions: %d connections, %v, want 1", dials, err)
	}
	_, err = asks(map[string]string{
		"security.protocol": "SASL_PLAINTEXT",
		"sasl.jaas.config":  byCache,
	}, 0)
	if err != nil {
		t.Errorf("by a ticket cache: %v", err)
	}
	unknown := byKeytab(kdc.Keytab("connect"))
	unknown["sasl.kerberos.service.name"] = "broker"
	if _, err = asks(unknown, 0); err == nil || !strings.Contains(err.Error(), "KDC_ERR_S_PRINCIPAL_UNKNOWN") {
		t.Errorf("a service that there is not: %v", err)
	}

	// The connector says itself how its consumer logs in: by the ticket cache.
	everywhere := merged(bootstrap, byKeytab(kdc.Keytab("connect")), prefixed("producer.", byKeytab(kdc.Keytab("connect"))),
		prefixed("admin.", byKeytab(kdc.Keytab("connect"))), map[string]string{"consumer.security.protocol": "SASL_PLAINTEXT"})
	c := own.cluster(t, "kerberos", 1, everywhere)
	f := own.feed(t, "kerberos-readings")
	for n := range 2 {
		if err := f.json(t.Context(), n*2000, 2000); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			c.post(t, 0, "kerberos", sink(f.topic, "kerberos.readings", "", own.restCatalog("iceberg.catalog."), schemaless, map[string]string{
				"consumer.override.sasl.jaas.config": byCache,
			}))
		}
		c.awaitCommitted(t, "kerberos", own.ends(t, f.topic), time.Minute)
	}
	own.verify(t, own.restCatalog(""), "kerberos.readings", "n", f.want)
	c.proven(t, "kerberos")

	// A keytab of the right name with another key, as after a change of the password.
	wrong := filepath.Join(c.dir, "wrong.properties")
	var text strings.Builder
	text.WriteString("group.id=wrong\nconfig.storage.topic=a\noffset.storage.topic=b\nstatus.storage.topic=c\nlisteners=http://127.0.0.1:0\n" +
		"key.converter=org.apache.kafka.connect.storage.StringConverter\nvalue.converter=org.apache.kafka.connect.storage.StringConverter\n")
	for key, value := range merged(bootstrap, byKeytab(kdc.OldKeytab("connect"))) {
		text.WriteString(key + "=" + value + "\n")
	}
	if err := os.WriteFile(wrong, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.firn, "distributed", wrong).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() < 1 || !strings.Contains(string(out), "Kerberos refuses the login of connect@FIRN.TEST") || !strings.Contains(string(out), "export it anew") {
		t.Errorf("with another key: %v\n%s", err, out)
	}
}

func krb5Module(format string, args ...any) string {
	return "com.sun.security.auth.module.Krb5LoginModule required " + fmt.Sprintf(format, args...) + ";"
}
