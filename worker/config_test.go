package worker_test

import (
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/worker"
)

// distributed is the smallest configuration of a worker of a group.
func distributed(more map[string]string) map[string]string {
	props := map[string]string{
		"bootstrap.servers": "kafka:9092", "group.id": "g",
		"key.converter": "json", "value.converter": "json",
		"config.storage.topic": "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
	}
	maps.Copy(props, more)
	return props
}

func TestConfigDefaults(t *testing.T) {
	c, warnings, err := worker.NewConfig(distributed(nil))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("NewConfig failed with %v, warned %q; want neither", err, warnings)
	}
	if got, want := c.Listeners, []string{"http://127.0.0.1:8083"}; !slices.Equal(got, want) {
		t.Errorf("listeners %q, want %q", got, want)
	}
	if c.SessionTimeout != 10*time.Second || c.ScheduledRebalanceMaxDelay != 5*time.Minute || c.Protocol != "sessioned" {
		t.Errorf("session %v, delay %v, protocol %q; want 10s, 5m, sessioned", c.SessionTimeout, c.ScheduledRebalanceMaxDelay, c.Protocol)
	}
	if c.MemoryBytes != 256<<20 || c.StatusTopic.Partitions != 5 || c.ConfigTopic.Partitions != 1 || c.OffsetTopic.ReplicationFactor != 3 {
		t.Errorf("memory %d, topics %+v %+v %+v", c.MemoryBytes, c.ConfigTopic, c.OffsetTopic, c.StatusTopic)
	}
}

func TestConfigErrorsAllAtOnce(t *testing.T) {
	_, _, err := worker.NewConfig(map[string]string{
		"bootstrap.servers": "kafka:9092", "key.converter": "json", "value.converter": "json",
		"offset.storage.topic": " ", "status.storage.topic": "s",
		"session.timeout.ms": "ten", "status.storage.partitions": "0", "connect.protocol": "lazy",
		"topic.tracking.enable": "yes", "listeners": "8083", "connector.client.config.override.policy": "Most",
		"inter.worker.signature.algorithm": "HmacSHA512",
	})
	if err == nil {
		t.Fatal("NewConfig took a bad configuration")
	}
	want := []string{
		`Missing required configuration "group.id" which has no default value.`,
		`Missing required configuration "config.storage.topic" which has no default value.`,
		`Invalid value  for configuration offset.storage.topic: Must not be blank`,
		`Invalid value ten for configuration session.timeout.ms: Not a number of type INT`,
		`Invalid value 0 for configuration status.storage.partitions: Number of partitions must be positive, or -1 to use the broker's default`,
		`Invalid value lazy for configuration connect.protocol: String must be one of (case insensitive): eager, compatible, sessioned`,
		`Invalid value yes for configuration topic.tracking.enable: Expected value to be either true or false`,
		`Invalid value 8083 for configuration listeners: listener "8083" does not have the form protocol://host:port`,
		`Invalid value Most for configuration connector.client.config.override.policy: String must be one of: All, None, Principal, Allowlist`,
		`Invalid value HmacSHA512 for configuration inter.worker.signature.algorithm: Signature algorithm must be present in inter.worker.verification.algorithms list`,
	}
	lines := strings.Split(err.Error(), "\n")
	slices.Sort(lines)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("NewConfig failed with\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestConfigWarnsOfUnknownKeys(t *testing.T) {
	_, warnings, err := worker.NewConfig(distributed(map[string]string{
		"offset.flush.intervall.ms": "1", "consumer.max.poll.records": "7", "value.converter.schemas.enable": "false",
		"status.storage.min.insync.replicas": "1", "plugin.path": "/plugins", "request.timeout.ms": "1000",
	}))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "'offset.flush.intervall.ms'") {
		t.Errorf("warned %q (error %v), want one warning about offset.flush.intervall.ms", warnings, err)
	}
}

func TestAdvertise(t *testing.T) {
	tests := []struct {
		props map[string]string
		want  string
	}{
		{nil, "http://127.0.0.1:18083/"},
		{map[string]string{"listeners": "http://localhost:0"}, "http://localhost:18083/"},
		{map[string]string{"rest.advertised.host.name": "worker-1", "rest.advertised.port": "80"}, "http://worker-1:80/"},
		{map[string]string{"listeners": "http://[::1]:8083"}, "http://[::1]:18083/"},
	}
	for _, tt := range tests {
		c, _, err := worker.NewConfig(distributed(tt.props))
		if err != nil {
			t.Fatalf("NewConfig(%v): %v", tt.props, err)
		}
		if got := c.Advertise([]net.Addr{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18083}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18443}}); got != tt.want {
			t.Errorf("with %v advertises %q, want %q", tt.props, got, tt.want)
		}
	}
}

// The sizes that the JDK's generators of keys take, and its words.
func TestKeySize(t *testing.T) {
	for given, want := range map[string]string{
		"HmacSHA256 40": "", "HmacSHA1 8": "", "HmacMD5 8": "", "HmacSHA512 65536": "",
		"HmacSHA256 39": "Unable to create key generator with algorithm HmacSHA256 and key size 39: Key length must be at least 40 bits",
		"HmacSHA256 8":  "Unable to create key generator with algorithm HmacSHA256 and key size 8: Key length must be at least 40 bits",
		"HmacSHA256 7":  "Value must be at least 8",
		"HmacSHA256 -1": "Value must be at least 8",
		"Hmac 16":       "key generation algorithm is not available",
	} {
		algorithm, size, _ := strings.Cut(given, " ")
		_, _, err := worker.NewConfig(distributed(map[string]string{"inter.worker.key.generation.algorithm": algorithm, "inter.worker.key.size": size}))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > 0) {
			t.Errorf("%s: %v, want %q", given, err, want)
		}
	}
}

func TestExactlyOnceSourceSupport(t *testing.T) {
	for value, want := range map[string]string{
		"disabled": "", "Disabled": "",
		"preparing": "does not write the config topic in transactions",
		"ENABLED":   "does not write the config topic in transactions",
		"on":        "String must be one of (case insensitive): disabled, enabled, preparing",
	} {
		_, _, err := worker.NewConfig(distributed(map[string]string{"exactly.once.source.support": value}))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}
