package worker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
)

// Config is a worker's configuration, checked. Props holds every property as given,
// unknown ones too: they reach the Kafka clients.
type Config struct {
	Props map[string]string

	BootstrapServers string
	GroupID          string // group.id: the name of the Connect cluster; "" when standalone
	ClientID         string

	KeyConverter, ValueConverter string // class names

	Listeners []string // URLs as configured; port 0 picks one

	// AdminListeners serve /admin apart from everything else. NoAdmin: nobody serves it;
	// with neither the Listeners do.
	AdminListeners []string
	NoAdmin        bool

	ConfigTopic, OffsetTopic, StatusTopic Topic

	SessionTimeout, RebalanceTimeout, HeartbeatInterval time.Duration
	SyncTimeout, UnsyncBackoff                          time.Duration // worker.sync.timeout.ms, worker.unsync.backoff.ms
	ScheduledRebalanceMaxDelay                          time.Duration
	Protocol                                            string // eager, compatible, sessioned

	KeyAlgorithm, SignatureAlgorithm string
	VerificationAlgorithms           []string
	KeySizeBits                      int // 0: the algorithm's own
	KeyTTL                           time.Duration

	TaskGrace                   time.Duration // task.shutdown.graceful.timeout.ms
	FlushInterval, FlushTimeout time.Duration // offset.flush.*.ms
	TopicTracking, TopicReset   bool
	OverridePolicy              string   // All, None, Principal, Allowlist
	OverrideAllowlist           []string // for Allowlist
	MetadataMaxAge              time.Duration
	MemoryBytes                 int64 // firn.memory.bytes: shared by the running tasks

	// The TLS of https listeners, nil if there are none, and that of requests to other
	// workers, nil if its stores cannot be read and this worker serves no https.
	ServerTLS, AdminTLS, ClientTLS *tls.Config

	// AllowOrigin tells of whose scripts browsers may let the REST API be used; nil: only
	// its own. AllowMethods are theirs; nil: Java's default.
	AllowOrigin  func(origin string) bool
	AllowMethods []string

	// ResponseHeaders puts headers into each answer of the REST API; nil: there are none.
	ResponseHeaders func(http.Header)

	// Users are who may use the REST API, with their passwords; nil: everybody.
	Users map[string]string

	advertisedProtocol, advertisedHost, advertisedPort string

	providers providers // of variables in connector configs
}

// Topic is an internal topic.
type Topic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string // the other PREFIX.storage.* keys
}

// NewConfig checks the properties of a distributed worker. The error names everything
// that is wrong, in Java's words, one line each; warnings name unknown keys and the like.
// A Config beside an error is what could be read, fit for [CheckConnector] alone; it is nil
// if the config providers do not work.
func NewConfig(props map[string]string) (cfg *Config, warnings []string, err error) {
	return newConfig(props, distributedKeys)
}

// NewStandaloneConfig checks the properties of a standalone worker, which needs no group
// and no topics of its own.
func NewStandaloneConfig(props map[string]string) (cfg *Config, warnings []string, err error) {
	return newConfig(props, standaloneKeys)
}

func newConfig(props map[string]string, mode []connect.ConfigKey) (*Config, []string, error) {
	vars, perr := newProviders(props)
	if perr == nil {
		props, perr = vars.resolve(props)
	}
	if perr != nil {
		return nil, nil, errors.Join(perr, besides(props, mode))
	}
	def := &connect.ConfigDef{Keys: slices.Concat(commonKeys, mode)}
	v, err := def.Parse(props)
	c := &Config{
		Props:            maps.Clone(props),
		providers:        vars,
		BootstrapServers: v[keyBootstrap],
		GroupID:          v[keyGroupID],
		ClientID:         v["client.id"],

		KeyConverter:   v["key.converter"],
		ValueConverter: v["value.converter"],
		Listeners:      v.List(keyListeners),
		AdminListeners: v.List(keyAdminListeners),

		ConfigTopic: storage("config", v, props, 1),
		OffsetTopic: storage("offset", v, props, int32(v.Int("offset.storage.partitions"))),
		StatusTopic: storage("status", v, props, int32(v.Int("status.storage.partitions"))),

		SessionTimeout:             v.Millis("session.timeout.ms"),
		RebalanceTimeout:           v.Millis("rebalance.timeout.ms"),
		HeartbeatInterval:          v.Millis("heartbeat.interval.ms"),
		SyncTimeout:                v.Millis("worker.sync.timeout.ms"),
		UnsyncBackoff:              v.Millis("worker.unsync.backoff.ms"),
		ScheduledRebalanceMaxDelay: v.Millis("scheduled.rebalance.max.delay.ms"),
		Protocol:                   strings.ToLower(v["connect.protocol"]),

		KeyAlgorithm:           v[keyGeneration],
		SignatureAlgorithm:     v[keySignature],
		VerificationAlgorithms: v.List(keyVerification),
		KeySizeBits:            int(v.Int(keySize)),
		KeyTTL:                 v.Millis("inter.worker.key.ttl.ms"),

		TaskGrace:         v.Millis("task.shutdown.graceful.timeout.ms"),
		FlushInterval:     v.Millis("offset.flush.interval.ms"),
		FlushTimeout:      v.Millis("offset.flush.timeout.ms"),
		TopicTracking:     v.Bool("topic.tracking.enable"),
		TopicReset:        v.Bool("topic.tracking.allow.reset"),
		OverridePolicy:    v[keyOverrides],
		OverrideAllowlist: v.List(keyAllowlist),
		MetadataMaxAge:    v.Millis("metadata.max.age.ms"),
		MemoryBytes:       v.Int(keyMemoryBytes),

		advertisedProtocol: v["rest.advertised.listener"],
		advertisedHost:     v["rest.advertised.host.name"],
		advertisedPort:     v["rest.advertised.port"],
	}
	if admin, given := props[keyAdminListeners]; given && strings.TrimSpace(admin) == "" {
		c.NoAdmin = true
	}
	warning, terr := c.secureREST()
	c.answerHeaders(v)
	var uerr error
	c.Users, uerr = users(v.List(keyExtensions), v[keyLoginConfig])
	err = errors.Join(err, c.cross(), terr, uerr)
	client := c.foreign(def)
	_, kerr := kafka.NewConfig(client, nil)
	warnings := c.warnings(def, kafka.Unknown(client))
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return c, warnings, errors.Join(err, kerr)
}

// besides is what is wrong with properties whose config providers do not work: all that
// does not depend on a variable.
func besides(props map[string]string, mode []connect.ConfigKey) (err error) {
	plain := maps.Clone(props)
	maps.DeleteFunc(plain, func(k, _ string) bool { return strings.HasPrefix(k, "config.providers") })
	_, _, all := newConfig(plain, mode)
	for _, e := range configErrors(all) {
		if !variable.MatchString(props[e.Key]) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// cross checks keys against each other.
func (c *Config) cross() error {
	if _, err := group.KeyBytes(c.KeyAlgorithm, 0); err == nil && c.KeySizeBits >= 8 {
		if _, err := group.KeyBytes(c.KeyAlgorithm, c.KeySizeBits); err != nil {
			return connect.ConfigError{
				Key:     keySize,
				Message: fmt.Sprintf("Unable to create key generator with algorithm %s and key size %d: %v", c.KeyAlgorithm, c.KeySizeBits, err),
			}
		}
	}
	if c.SignatureAlgorithm != "" && !slices.Contains(c.VerificationAlgorithms, c.SignatureAlgorithm) {
		return connect.ConfigError{
			Key:     keySignature,
			Message: fmt.Sprintf("Invalid value %s for configuration %s: Signature algorithm must be present in %s list", c.SignatureAlgorithm, keySignature, keyVerification),
		}
	}
	return nil
}

// foreign returns the properties of the worker's own clients that def does not look at.
func (c *Config) foreign(def *connect.ConfigDef) map[string]string {
	props := c.topLevel()
	for _, k := range def.Keys {
		if k.Name != keyBootstrap {
			delete(props, k.Name)
		}
	}
	if props[keyBootstrap] == "" { // its absence is reported already
		props[keyBootstrap] = "localhost:9092"
	}
	return props
}

// storage reads the properties of an internal topic: what the definition does not name
// becomes configuration of the topic when it is created.
func storage(name string, v connect.Values, props map[string]string, partitions int32) Topic {
	prefix := name + ".storage."
	t := Topic{
		Name: v[prefix+"topic"], Partitions: partitions,
		ReplicationFactor: int16(v.Int(prefix + "replication.factor")), Configs: map[string]string{},
	}
	for k, value := range props {
		rest, ok := strings.CutPrefix(k, prefix)
		if ok && !slices.Contains([]string{"topic", "partitions", "replication.factor", "cleanup.policy", "file.filename"}, rest) {
			t.Configs[rest] = value
		}
	}
	return t
}

// warnings names what is given and has no effect, or not the one it seems to have.
func (c *Config) warnings(def *connect.ConfigDef, unknownToClient []string) (lines []string) {
	for _, key := range slices.Sorted(slices.Values(unknownToClient)) {
		declared := slices.ContainsFunc(def.Keys, func(k connect.ConfigKey) bool { return k.Name == key })
		foreign := slices.ContainsFunc(otherPrefixes, func(p string) bool { return strings.HasPrefix(key, p) })
		if !declared && !foreign {
			lines = append(lines, fmt.Sprintf("The configuration '%s' was supplied but isn't a known config.", key))
		}
	}
	if c.Props["security.protocol"] != "" && c.Props["consumer.security.protocol"] == "" {
		lines = append(lines, "security.protocol is for the worker's own clients: sink tasks read without it unless the security settings are repeated with the prefix consumer. (and producer. for dead-letter topics)")
	}
	for _, key := range slices.Sorted(maps.Keys(c.Props)) {
		if why := inJava(key, "", prefixConsumer, prefixProducer, prefixAdmin); why != "" {
			lines = append(lines, why)
		}
	}
	if c.Users != nil && c.GroupID != "" && c.Protocol != "sessioned" {
		lines = append(lines, "connect.protocol="+c.Protocol+": requests between workers are not signed, so that anybody can send them, without a password; use sessioned")
	}
	return lines
}

// javaParts are the keys of clients that name Java classes which would do something that
// nothing here does.
var javaParts = map[string]string{
	"interceptor.classes":      "interceptors",
	"metric.reporters":         "reporters of metrics",
	"sasl.login.class":         "logins",
	"security.providers":       "security providers",
	"ssl.engine.factory.class": "SSL engines",
}

// inJava tells what a key would do in Java under one of the prefixes; "" if it is none of
// javaParts.
func inJava(key string, prefixes ...string) string {
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(key, prefix); ok && javaParts[rest] != "" {
			return key + " has no effect: " + javaParts[rest] + " are Java classes, and there is no JVM here"
		}
	}
	return ""
}

// workerID is the host:port of an advertised URL.
func workerID(advertised string) (string, error) {
	u, err := url.Parse(advertised)
	if err != nil {
		return "", fmt.Errorf("parse advertised URL: %w", err)
	}
	if u.Hostname() == "" || u.Port() == "" {
		return "", fmt.Errorf("advertised URL %q has no host:port", advertised)
	}
	if p, err := strconv.Atoi(u.Port()); err != nil || p < 1 || p > 65535 {
		return "", fmt.Errorf("advertised URL %q has no usable port", advertised)
	}
	return u.Host, nil
}
