package kafka

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
)

// properties reads values and gathers what is wrong with them.
type properties struct {
	given map[string]string
	errs  []error
}

// bad reports a value in the words of Java's ConfigException.
func (p *properties) bad(key, value, why string) {
	p.fail(key, "Invalid value %s for configuration %s: %s", value, key, why)
}

// fail reports something else about key, without a value that may be a secret.
func (p *properties) fail(key, format string, args ...any) {
	p.errs = append(p.errs, connect.ConfigError{Key: key, Message: fmt.Sprintf(format, args...)})
}

func (p *properties) has(key string) bool {
	_, ok := p.given[key]
	return ok
}

func (p *properties) text(key, def string) string {
	if v, ok := p.given[key]; ok {
		return strings.TrimSpace(v)
	}
	return def
}

func (p *properties) number(key string, def, low, high int64, kind string) int64 {
	v, ok := p.given[key]
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	switch {
	case err != nil || n > high || n < math.MinInt32 && high == math.MaxInt32:
		p.bad(key, v, "Not a number of type "+kind)
	case n < low:
		p.bad(key, v, "Value must be at least "+strconv.FormatInt(low, 10))
	default:
		return n
	}
	return def
}

func (p *properties) int32(key string, def, low int32) int32 {
	return int32(p.number(key, int64(def), int64(low), math.MaxInt32, "INT"))
}

func (p *properties) int64(key string, def, low int64) int64 {
	return p.number(key, def, low, math.MaxInt64, "LONG")
}

// millis reads a time in milliseconds; what does not fit a Duration is for ever.
func (p *properties) millis(key string, def, low int64) time.Duration {
	n := p.int64(key, def, low)
	return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond)/4)) * time.Millisecond
}

func (p *properties) bool(key string, def bool) bool {
	v, ok := p.given[key]
	switch {
	case !ok:
	case strings.EqualFold(strings.TrimSpace(v), "true"):
		return true
	case strings.EqualFold(strings.TrimSpace(v), "false"):
		return false
	default:
		p.bad(key, v, "Expected value to be either true or false")
	}
	return def
}

func (p *properties) oneOf(key, def string, options ...string) string {
	v := p.text(key, def)
	if !slices.Contains(options, v) {
		p.bad(key, v, "String must be one of: "+strings.Join(options, ", "))
		return def
	}
	return v
}

func (p *properties) list(key string) []string {
	var out []string
	for s := range strings.SplitSeq(p.given[key], ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// servers reads host:port pairs, as ClientUtils.parseAndValidateAddresses.
func (p *properties) servers(key string) []string {
	if !p.has(key) {
		p.fail(key, "Missing required configuration %q which has no default value.", key)
		return nil
	}
	var out []string
	for _, s := range p.list(key) {
		if at := strings.LastIndex(s, "://"); at >= 0 { // Java takes PLAINTEXT://host:port, too
			s = s[at+3:]
		}
		host, port, err := net.SplitHostPort(s)
		if _, nerr := strconv.ParseUint(port, 10, 16); err != nil || nerr != nil || host == "" {
			p.fail(key, "Invalid url in %s: %s", key, s)
			continue
		}
		out = append(out, s)
	}
	if len(out) == 0 && len(p.list(key)) == 0 {
		p.fail(key, "No resolvable bootstrap urls given in %s", key)
	}
	return out
}

func (p *properties) offsetReset(key, def string) string {
	v := p.text(key, def)
	low := strings.ToLower(v)
	switch {
	case low == "earliest", low == "latest", low == "none":
		return low
	case strings.HasPrefix(low, "by_duration:p"):
		return v
	}
	p.bad(key, v, "Invalid value `"+v+"` for configuration "+key+". The value must be either 'earliest', 'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
	return def
}

// strategies reads assignor classes. Java's default prefers range and allows a rolling
// move to cooperative-sticky (KIP-726).
func (p *properties) strategies(key string) []string {
	var out []string
	for _, class := range p.list(key) {
		switch class {
		case "org.apache.kafka.clients.consumer.RangeAssignor", RangeName:
			out = append(out, RangeName)
		case "org.apache.kafka.clients.consumer.CooperativeStickyAssignor", CooperativeStickyName:
			out = append(out, CooperativeStickyName)
		default:
			p.bad(key, class, "this build has RangeAssignor and CooperativeStickyAssignor")
		}
	}
	if len(out) == 0 {
		return []string{RangeName, CooperativeStickyName}
	}
	return out
}

// Unknown returns the keys of props that no Kafka client knows, sorted.
func Unknown(props map[string]string) []string {
	var out []string
	for key := range props {
		if !slices.Contains(knownProperties, key) && !strings.HasPrefix(key, "metrics.context.") {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// knownProperties are the keys of Kafka 4.3's ConsumerConfig, ProducerConfig and
// AdminClientConfig, and rebalance.timeout.ms of a Connect worker. Those that have no
// meaning outside a JVM are known and ignored.
var knownProperties = []string{
	"acks", "allow.auto.create.topics", "auto.commit.interval.ms", "auto.include.jmx.reporter", "auto.offset.reset", "batch.size",
	"bootstrap.controllers", "bootstrap.servers", "buffer.memory", "check.crcs", "client.dns.lookup", "client.id", "client.rack",
	"compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level", "config.providers",
	"connections.max.idle.ms", "default.api.timeout.ms", "delivery.timeout.ms", "enable.auto.commit", "enable.idempotence",
	"enable.metrics.push", "exclude.internal.topics", "fetch.max.bytes", "fetch.max.wait.ms", "fetch.min.bytes", "group.id",
	"group.instance.id", "group.protocol", "group.remote.assignor", "heartbeat.interval.ms", "interceptor.classes",
	"isolation.level", "key.deserializer", "key.serializer", "linger.ms", "max.block.ms", "max.in.flight.requests.per.connection",
	"max.partition.fetch.bytes", "max.poll.interval.ms", "max.poll.records", "max.request.size", "metadata.max.age.ms",
	"metadata.max.idle.ms", "metadata.recovery.rebootstrap.trigger.ms", "metadata.recovery.strategy", "metric.reporters",
	"metrics.num.samples", "metrics.recording.level", "metrics.sample.window.ms", "partition.assignment.strategy",
	"partitioner.adaptive.partitioning.enable", "partitioner.availability.timeout.ms", "partitioner.class",
	"partitioner.ignore.keys", "rebalance.timeout.ms", "receive.buffer.bytes", "reconnect.backoff.max.ms", "reconnect.backoff.ms",
	"request.timeout.ms", "retries", "retry.backoff.max.ms", "retry.backoff.ms", "sasl.client.callback.handler.class",
	"sasl.jaas.config", "sasl.kerberos.kinit.cmd", "sasl.kerberos.min.time.before.relogin", "sasl.kerberos.service.name",
	"sasl.kerberos.ticket.renew.jitter", "sasl.kerberos.ticket.renew.window.factor", "sasl.login.callback.handler.class",
	"sasl.login.class", "sasl.login.connect.timeout.ms", "sasl.login.read.timeout.ms", "sasl.login.refresh.buffer.seconds",
	"sasl.login.refresh.min.period.seconds", "sasl.login.refresh.window.factor", "sasl.login.refresh.window.jitter",
	"sasl.login.retry.backoff.max.ms", "sasl.login.retry.backoff.ms", "sasl.mechanism", "sasl.oauthbearer.assertion.algorithm",
	"sasl.oauthbearer.assertion.claim.aud", "sasl.oauthbearer.assertion.claim.exp.seconds", "sasl.oauthbearer.assertion.claim.iss",
	"sasl.oauthbearer.assertion.claim.jti.include", "sasl.oauthbearer.assertion.claim.nbf.seconds", "sasl.oauthbearer.assertion.claim.sub",
	"sasl.oauthbearer.assertion.file", "sasl.oauthbearer.assertion.private.key.file", "sasl.oauthbearer.assertion.private.key.passphrase",
	"sasl.oauthbearer.assertion.template.file", "sasl.oauthbearer.client.credentials.client.id",
	"sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.clock.skew.seconds",
	"sasl.oauthbearer.expected.audience", "sasl.oauthbearer.expected.issuer", "sasl.oauthbearer.header.urlencode",
	"sasl.oauthbearer.jwks.endpoint.refresh.ms", "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
	"sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "sasl.oauthbearer.jwks.endpoint.url", "sasl.oauthbearer.jwt.retriever.class",
	"sasl.oauthbearer.jwt.validator.class", "sasl.oauthbearer.scope", "sasl.oauthbearer.scope.claim.name",
	"sasl.oauthbearer.sub.claim.name", "sasl.oauthbearer.token.endpoint.url", "security.protocol", "security.providers",
	"send.buffer.bytes", "session.timeout.ms", "share.acknowledgement.mode", "share.acquire.mode", "socket.connection.setup.timeout.max.ms",
	"socket.connection.setup.timeout.ms", "ssl.cipher.suites", "ssl.enabled.protocols", "ssl.endpoint.identification.algorithm",
	"ssl.engine.factory.class", "ssl.key.password", "ssl.keymanager.algorithm", "ssl.keystore.certificate.chain",
	"ssl.keystore.key", "ssl.keystore.location", "ssl.keystore.password", "ssl.keystore.type", "ssl.protocol", "ssl.provider",
	"ssl.secure.random.implementation", "ssl.trustmanager.algorithm", "ssl.truststore.certificates", "ssl.truststore.location",
	"ssl.truststore.password", "ssl.truststore.type", "transaction.timeout.ms", "transactional.id",
	"transaction.two.phase.commit.enable", "value.deserializer", "value.serializer",
}
