package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firn-io/firn/internal/kafka"
)

// Each client logs in as its own prefix says, and a connector's override comes last. No
// keytab is there: the error tells whose was looked for.
func TestWhoLogsInByKerberos(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\ndefault_realm = A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KAFKA_OPTS", "-Djava.security.krb5.conf="+conf)
	login := func(keytab string) string {
		return `com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true principal="connect" serviceName="kafka" keyTab="/none/` + keytab + `";`
	}
	c := &Config{GroupID: "g", BootstrapServers: "a:1", Props: map[string]string{keyBootstrap: "a:1"}}
	for _, prefix := range []string{"", prefixConsumer, prefixProducer, prefixAdmin} {
		c.Props[prefix+"security.protocol"], c.Props[prefix+"sasl.jaas.config"] = "SASL_PLAINTEXT", login(prefix+"keytab")
	}
	override := map[string]string{}
	for _, prefix := range []string{overrideConsumer, overrideProducer, overrideAdmin} {
		override[prefix+"sasl.jaas.config"] = login(prefix + "keytab")
	}
	for _, tt := range []struct {
		props  map[string]string
		keytab string
	}{
		{c.own("configs"), "keytab"},
		{c.sinkConsumer("c", 0, nil), "consumer.keytab"},
		{c.deadLetterProducer("c", 0, nil), "producer.keytab"},
		{c.admin("c", nil), "admin.keytab"},
		{c.sinkConsumer("c", 0, override), "consumer.override.keytab"},
		{c.deadLetterProducer("c", 0, override), "producer.override.keytab"},
		{c.admin("c", override), "admin.override.keytab"},
	} {
		_, err := kafka.NewConfig(tt.props, nil)
		if err == nil || !strings.Contains(err.Error(), "read the keytab: open /none/"+tt.keytab+":") {
			t.Errorf("want the keytab %s: got %v", tt.keytab, err)
		}
	}
}
