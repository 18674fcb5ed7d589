package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"
)

// A Dialer opens connections to brokers. Nil means TCP.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// A Config is a checked set of client properties. It is immutable and may be shared.
type Config struct {
	dial   Dialer
	sarama *sarama.Config // what every connection begins with
	gssapi *gssapi        // nil if sarama authenticates, or nobody

	bootstrap []string
	clientID  string

	connectTimeout, requestTimeout, apiTimeout time.Duration
	retryBackoff, retryBackoffMax              time.Duration
	metadataMaxAge                             time.Duration

	// consumers
	session, heartbeat, rebalance       time.Duration
	instanceID, rack, reset             string
	strategies                          []string
	readCommitted                       bool
	fetchMin, fetchMax, fetchPartition  int32 // bytes
	fetchWait                           time.Duration
	allowAutoCreate, excludeInternal    bool
	pollRecords                         int32
	deliveryTimeout, linger, blockLimit time.Duration

	// producers
	bufferBytes  int64
	requestBytes int32
	codec        sarama.CompressionCodec
	codecLevel   int
	idempotent   bool
}

// NewConfig checks the Java client properties in props. All bad values are reported
// together (errors.Join of connect.ConfigError), in Java's wording and without secrets.
// Unknown keys are no error; [Unknown] lists them.
//
// The properties of consumers, producers and admin clients are known alike. acks and
// max.in.flight.requests.per.connection have no effect: a Producer always waits for
// all in-sync replicas and keeps the order.
func NewConfig(props map[string]string, dial Dialer) (*Config, error) {
	p := &properties{given: props}
	c := &Config{dial: dial}
	if c.dial == nil {
		c.dial = (&net.Dialer{KeepAlive: time.Minute}).DialContext
	}

	c.bootstrap = p.servers("bootstrap.servers")
	c.clientID = p.text("client.id", "")
	c.connectTimeout = p.millis("socket.connection.setup.timeout.ms", 10_000, 0)
	c.requestTimeout = p.millis("request.timeout.ms", 30_000, 0)
	c.apiTimeout = p.millis("default.api.timeout.ms", 60_000, 0)
	c.retryBackoff = p.millis("retry.backoff.ms", 100, 0)
	c.retryBackoffMax = max(c.retryBackoff, p.millis("retry.backoff.max.ms", 1000, 0))
	c.metadataMaxAge = p.millis("metadata.max.age.ms", 300_000, 0)
	c.consumer(p)
	c.producer(p)

	c.sarama = sarama.NewConfig()
	c.sarama.Version = sarama.V4_1_0_0 // clamped to what each broker offers
	c.sarama.ClientID = c.clientID
	c.sarama.MetricRegistry = metrics.NewRegistry() // nil panics
	c.sarama.Net.MaxOpenRequests = 1
	c.sarama.Net.Proxy.Enable = true
	c.security(p)

	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) consumer(p *properties) {
	c.session = p.millis("session.timeout.ms", 45_000, 0)
	c.heartbeat = p.millis("heartbeat.interval.ms", 3000, 0)
	c.rebalance = p.millis("max.poll.interval.ms", 300_000, 1)
	if p.has("rebalance.timeout.ms") {
		c.rebalance = p.millis("rebalance.timeout.ms", 60_000, 0)
	}
	c.instanceID = p.text("group.instance.id", "")
	c.rack = p.text("client.rack", "")
	c.reset = p.offsetReset("auto.offset.reset", "latest")
	c.strategies = p.strategies("partition.assignment.strategy")
	c.readCommitted = p.oneOf("isolation.level", "read_uncommitted", "read_committed", "read_uncommitted") == "read_committed"
	c.fetchMin = p.int32("fetch.min.bytes", 1, 0)
	c.fetchMax = p.int32("fetch.max.bytes", 50<<20, 0)
	c.fetchPartition = p.int32("max.partition.fetch.bytes", 1<<20, 0)
	c.fetchWait = p.millis("fetch.max.wait.ms", 500, 0)
	c.pollRecords = p.int32("max.poll.records", 500, 1)
	c.allowAutoCreate = p.bool("allow.auto.create.topics", true)
	c.excludeInternal = p.bool("exclude.internal.topics", true)
	if p.has("group.protocol") && strings.EqualFold(p.given["group.protocol"], "consumer") {
		p.bad("group.protocol", p.given["group.protocol"], "the protocol of KIP-848 is not in this build: use classic")
	}
}

func (c *Config) producer(p *properties) {
	c.deliveryTimeout = p.millis("delivery.timeout.ms", 120_000, 0)
	c.linger = p.millis("linger.ms", 0, 0)
	c.blockLimit = p.millis("max.block.ms", 60_000, 0)
	c.bufferBytes = p.int64("buffer.memory", 32<<20, 0)
	c.requestBytes = p.int32("max.request.size", 1<<20, 0)
	p.oneOf("acks", "all", "all", "-1", "0", "1")
	c.idempotent = p.bool("enable.idempotence", true)
	c.codecLevel = sarama.CompressionLevelDefault
	switch p.oneOf("compression.type", "none", "none", "gzip", "snappy", "lz4", "zstd") {
	case "gzip":
		c.codec = sarama.CompressionGZIP
	case "snappy":
		c.codec = sarama.CompressionSnappy
	case "lz4":
		c.codec = sarama.CompressionLZ4
	case "zstd":
		c.codec = sarama.CompressionZSTD
	}
}

func (c *Config) security(p *properties) {
	protocol := strings.ToUpper(p.text("security.protocol", "PLAINTEXT"))
	if !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
		p.bad("security.protocol", p.given["security.protocol"], "String must be one of (case insensitive): PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL")
		return
	}
	if strings.HasSuffix(protocol, "SSL") {
		c.sarama.Net.TLS.Enable = true
		c.sarama.Net.TLS.Config = p.tls()
		if c.sarama.Net.TLS.Config == nil {
			c.sarama.Net.TLS.Config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	if strings.HasPrefix(protocol, "SASL_") {
		if p.text("sasl.mechanism", sarama.SASLTypeGSSAPI) == sarama.SASLTypeGSSAPI {
			c.gssapi = p.gssapi()
		} else {
			p.sasl(c.sarama)
		}
	}
}

// ClientID is client.id.
func (c *Config) ClientID() string { return c.clientID }

// Marked is the same with a client.id by which a group's members are known as this
// program's while the group rebalances, when nothing else is told of them.
func (c *Config) Marked() *Config {
	marked, wire := *c, *c.sarama
	marked.clientID += clientMark
	wire.ClientID = marked.clientID
	marked.sarama = &wire
	return &marked
}

// Bootstrap returns bootstrap.servers.
func (c *Config) Bootstrap() []string { return slices.Clone(c.bootstrap) }

// Session is session.timeout.ms, 45 s if not given (the consumer's default; a worker's is 10 s).
func (c *Config) Session() time.Duration { return c.session }

// Heartbeat is heartbeat.interval.ms, 3 s if not given.
func (c *Config) Heartbeat() time.Duration { return c.heartbeat }

// Rebalance is rebalance.timeout.ms or else max.poll.interval.ms, 5 min if neither is given.
func (c *Config) Rebalance() time.Duration { return c.rebalance }

// InstanceID is group.instance.id, "" if not given.
func (c *Config) InstanceID() string { return c.instanceID }

// Rack is client.rack, "" if not given.
func (c *Config) Rack() string { return c.rack }

// AutoOffsetReset is auto.offset.reset: earliest, latest (the default), none, or
// by_duration: with an ISO-8601 duration (KIP-1106).
func (c *Config) AutoOffsetReset() string { return c.reset }

// ReadCommitted tells whether isolation.level is read_committed.
func (c *Config) ReadCommitted() bool { return c.readCommitted }

// MaxPollRecords is max.poll.records, 500 if not given. A Fetcher does not obey it.
func (c *Config) MaxPollRecords() int { return int(c.pollRecords) }

// Strategies is partition.assignment.strategy as names on the wire, in order of
// preference; by default range, cooperative-sticky, as for Java's consumers.
func (c *Config) Strategies() []string { return slices.Clone(c.strategies) }
