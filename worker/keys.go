package worker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/group"
)

// The property names that code reads; the tables below declare them all.
const (
	keyBootstrap      = "bootstrap.servers"
	keyGroupID        = "group.id"
	keyListeners      = "listeners"
	keyAdminListeners = "admin.listeners"
	keyMemoryBytes    = "firn.memory.bytes"
	keySignature      = "inter.worker.signature.algorithm"
	keyVerification   = "inter.worker.verification.algorithms"
	keySize           = "inter.worker.key.size"
	keyGeneration     = "inter.worker.key.generation.algorithm"
	keyOverrides      = "connector.client.config.override.policy"
	keyAllowlist      = "connector.client.config.override.allowlist"
	prefixConsumer    = "consumer."
	prefixProducer    = "producer."
	prefixAdmin       = "admin."
	overrideConsumer  = "consumer.override."
	overrideProducer  = "producer.override."
	overrideAdmin     = "admin.override."
)

// commonKeys are the keys of every worker. Kafka client keys (security.protocol, sasl.*,
// ssl.*, timeouts of connections) are internal/kafka's. (Source:
// org.apache.kafka.connect.runtime.WorkerConfig and rest.RestServerConfig.)
var commonKeys = []connect.ConfigKey{
	{Name: keyBootstrap, Type: connect.TypeList, Required: true, Importance: connect.High, Doc: "Host and port of some brokers, from which the client learns of the others."},
	{Name: "key.converter", Type: connect.TypeClass, Required: true, Importance: connect.High, Doc: "Converter of record keys for connectors that name none."},
	{Name: "value.converter", Type: connect.TypeClass, Required: true, Importance: connect.High, Doc: "Converter of record values for connectors that name none."},
	{Name: "header.converter", Type: connect.TypeClass, Default: new("org.apache.kafka.connect.storage.SimpleHeaderConverter"), Importance: connect.Low, Doc: "Accepted; headers reach a task as bytes."},
	{Name: "client.id", Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "Part of the client ids of the worker's own clients."},
	{Name: "metadata.max.age.ms", Type: connect.TypeLong, Default: new("300000"), Importance: connect.Low, Doc: "How long metadata of topics stay fresh.", Check: atLeast(0)},
	{Name: "task.shutdown.graceful.timeout.ms", Type: connect.TypeLong, Default: new("5000"), Importance: connect.Low, Doc: "How long tasks may take to stop, all of one call together.", Check: atLeast(0)},
	{Name: "offset.flush.interval.ms", Type: connect.TypeLong, Default: new("60000"), Importance: connect.Low, Doc: "How often tasks are asked for offsets to commit.", Check: atLeast(1)},
	{Name: "offset.flush.timeout.ms", Type: connect.TypeLong, Default: new("5000"), Importance: connect.Low, Doc: "How long such a commit may take.", Check: atLeast(1)},
	{Name: "topic.creation.enable", Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Low, Doc: "Accepted; for source connectors."},
	{Name: "topic.tracking.enable", Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Low, Doc: "Whether the topics that a connector reads are recorded."},
	{Name: "topic.tracking.allow.reset", Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Low, Doc: "Whether that record may be reset by the REST API."},
	{Name: "plugin.path", Type: connect.TypeString, Importance: connect.Low, Doc: "Accepted; plugins are compiled in, jars are not loaded."},
	{Name: "plugin.discovery", Type: connect.TypeString, Default: new("hybrid_warn"), Importance: connect.Low, Doc: "Accepted; see plugin.path.", Check: oneOfFold("only_scan", "hybrid_warn", "hybrid_fail", "service_load")},
	{Name: "config.providers", Type: connect.TypeList, Default: new(""), Importance: connect.Low, Doc: "Names of config providers, whose variables ${provider:path:key} configs may hold."},
	{Name: keyOverrides, Type: connect.TypeString, Default: new("All"), Importance: connect.Medium, Doc: "Which client properties a connector may override: All, None, Principal or Allowlist.", Check: oneOf("All", "None", "Principal", "Allowlist")},
	{Name: keyAllowlist, Type: connect.TypeList, Default: new(""), Importance: connect.Medium, Doc: "The properties that policy Allowlist allows."},
	{Name: keyListeners, Type: connect.TypeList, Default: new("http://127.0.0.1:8083"), Importance: connect.Low, Doc: "Where the REST API listens; http://:8083 is every interface. Unlike Java's, the default is this machine alone.", Check: checkListeners},
	{Name: keyAdminListeners, Type: connect.TypeList, Importance: connect.Low, Doc: "Where /admin is served, apart from the rest of the API; empty is nowhere, absent is with the rest.", Check: checkAdminListeners},
	{Name: keyClientAuth, Type: connect.TypeString, Default: new("none"), Importance: connect.Low, Doc: "Whether clients of https listeners show a certificate: none, requested or required.", Check: oneOf(clientAuths...)},
	{Name: keyExtensions, Type: connect.TypeList, Default: new(""), Importance: connect.Low, Doc: "BasicAuthSecurityRestExtension, for users with passwords; see " + keyLoginConfig + ".", Check: checkExtensions},
	{Name: keyLoginConfig, Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "JAAS file that names the file of users and passwords; in Java a system property."},
	{Name: keyAllowOrigin, Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "Origins whose scripts may use the REST API (CORS): a list, * for any; empty is none.", Check: checkOrigins},
	{Name: keyAllowMethods, Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "Methods that they may use; empty is GET, POST and HEAD."},
	{Name: keyHeaders, Type: connect.TypeString, Default: new(""), Importance: connect.Low, Doc: "Headers of each answer: a list of \"set NAME: VALUE\"; also add, setDate, addDate.", Check: checkHeaders},
	{Name: "rest.advertised.host.name", Type: connect.TypeString, Importance: connect.Low, Doc: "Host under which other workers reach this one."},
	{Name: "rest.advertised.port", Type: connect.TypeInt, Importance: connect.Low, Doc: "Port under which other workers reach this one.", Check: atLeast(1)},
	{Name: "rest.advertised.listener", Type: connect.TypeString, Importance: connect.Low, Doc: "Protocol under which other workers reach this one.", Check: oneOfFold("http", "https")},
	{Name: keyMemoryBytes, Type: connect.TypeLong, Default: new("268435456"), Importance: connect.Medium, Doc: "Memory for buffered data, shared by the tasks that run on this worker.", Check: atLeast(1 << 20)},
}

// distributedKeys are what a member of a worker group needs besides. (Source:
// org.apache.kafka.connect.runtime.distributed.DistributedConfig.)
var distributedKeys = []connect.ConfigKey{
	{Name: keyGroupID, Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "Name of the Connect cluster: its workers' group."},
	{Name: "config.storage.topic", Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "Topic of connector and task configs.", Check: notBlank},
	{Name: "config.storage.replication.factor", Type: connect.TypeShort, Default: new("3"), Importance: connect.Low, Doc: "Replication of that topic when it is created.", Check: replication},
	{Name: "offset.storage.topic", Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "Topic of source connectors' offsets; created for workers in Java.", Check: notBlank},
	{Name: "offset.storage.partitions", Type: connect.TypeInt, Default: new("25"), Importance: connect.Low, Doc: "Partitions of that topic when it is created.", Check: partitions},
	{Name: "offset.storage.replication.factor", Type: connect.TypeShort, Default: new("3"), Importance: connect.Low, Doc: "Replication of that topic when it is created.", Check: replication},
	{Name: "status.storage.topic", Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "Topic of connectors' and tasks' states.", Check: notBlank},
	{Name: "status.storage.partitions", Type: connect.TypeInt, Default: new("5"), Importance: connect.Low, Doc: "Partitions of that topic when it is created.", Check: partitions},
	{Name: "status.storage.replication.factor", Type: connect.TypeShort, Default: new("3"), Importance: connect.Low, Doc: "Replication of that topic when it is created.", Check: replication},
	{Name: "session.timeout.ms", Type: connect.TypeInt, Default: new("10000"), Importance: connect.High, Doc: "A worker that is silent for so long counts as dead.", Check: atLeast(1)},
	{Name: "rebalance.timeout.ms", Type: connect.TypeInt, Default: new("60000"), Importance: connect.High, Doc: "How long workers have to join a rebalance.", Check: atLeast(1)},
	{Name: "heartbeat.interval.ms", Type: connect.TypeInt, Default: new("3000"), Importance: connect.High, Doc: "How often a worker shows that it lives.", Check: atLeast(1)},
	{Name: "worker.sync.timeout.ms", Type: connect.TypeInt, Default: new("3000"), Importance: connect.Medium, Doc: "How long reading the config topic to its end may take.", Check: atLeast(1)},
	{Name: "worker.unsync.backoff.ms", Type: connect.TypeInt, Default: new("300000"), Importance: connect.Medium, Doc: "How long an eager worker stays out of the group when it cannot.", Check: atLeast(0)},
	{Name: "scheduled.rebalance.max.delay.ms", Type: connect.TypeInt, Default: new("300000"), Importance: connect.Low, Doc: "How long the work of a lost worker waits for its return.", Check: atLeast(0)},
	{Name: "connect.protocol", Type: connect.TypeString, Default: new("sessioned"), Importance: connect.Low, Doc: "Protocol of the worker group: eager, compatible or sessioned.", Check: checkProtocol},
	{Name: keyGeneration, Type: connect.TypeString, Default: new("HmacSHA256"), Importance: connect.Low, Doc: "Algorithm of the key that requests between workers are signed with.", Check: checkMac("key generation")},
	{Name: keySize, Type: connect.TypeInt, Importance: connect.Low, Doc: "Size of that key in bits; null is the algorithm's own.", Check: atLeast(8)},
	{Name: "inter.worker.key.ttl.ms", Type: connect.TypeInt, Default: new("3600000"), Importance: connect.Low, Doc: "How long such a key is used; 0 is for ever.", Check: atLeast(0)},
	{Name: keySignature, Type: connect.TypeString, Default: new("HmacSHA256"), Importance: connect.Low, Doc: "Algorithm of the signatures.", Check: checkMac("signature")},
	{Name: keyVerification, Type: connect.TypeList, Default: new("HmacSHA256"), Importance: connect.Low, Doc: "Algorithms whose signatures are accepted.", Check: checkVerification},
	{Name: "exactly.once.source.support", Type: connect.TypeString, Default: new("disabled"), Importance: connect.High, Doc: "Accepted when disabled: workers that write the config topic in transactions cannot share a group with this one.", Check: checkExactlyOnce},
}

// standaloneKeys are what a worker without a group accepts besides.
var standaloneKeys = []connect.ConfigKey{
	{Name: "offset.storage.file.filename", Type: connect.TypeString, Importance: connect.Low, Doc: "Accepted; for source connectors."},
}

// otherPrefixes begin the names of keys that belong to others: clients, converters,
// config providers, topics. What a client does not know it reports itself.
var otherPrefixes = []string{
	prefixConsumer, prefixProducer, prefixAdmin, "key.converter.", "value.converter.", "header.converter.",
	prefixHTTPS, "config.providers.", "config.storage.", "offset.storage.", "status.storage.", "metrics.context.",
}

func atLeast(low int64) func(string) error {
	return func(value string) error {
		if v := (connect.Values{"": value}).Int(""); v < low {
			return javaErrorf("Value must be at least %d", low)
		}
		return nil
	}
}

// javaErrorf makes an error in Java's wording, which begins with a capital.
func javaErrorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func oneOf(allowed ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return javaErrorf("String must be one of: %s", strings.Join(allowed, ", "))
	}
}

func oneOfFold(allowed ...string) func(string) error {
	return func(value string) error {
		if slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, value) }) {
			return nil
		}
		return javaErrorf("String must be one of (case insensitive): %s", strings.Join(allowed, ", "))
	}
}

func notBlank(value string) error {
	if strings.TrimSpace(value) == "" {
		return javaErrorf("Must not be blank")
	}
	return nil
}

func partitions(value string) error {
	if v := (connect.Values{"": value}).Int(""); v <= 0 && v != -1 {
		return javaErrorf("Number of partitions must be positive, or -1 to use the broker's default")
	}
	return nil
}

func replication(value string) error {
	if v := (connect.Values{"": value}).Int(""); v <= 0 && v != -1 {
		return javaErrorf("Replication factor must be positive, or -1 to use the broker's default")
	}
	return nil
}

func checkProtocol(value string) error {
	return oneOfFold("eager", "compatible", "sessioned")(value)
}

// checkExactlyOnce refuses what would be a promise to others: a leader under it writes the
// config topic in transactions, so that one that was replaced is fenced.
func checkExactlyOnce(value string) error {
	switch strings.ToLower(value) {
	case "disabled":
		return nil
	case "preparing", "enabled":
		return javaErrorf("this worker does not write the config topic in transactions, as leaders have to for exactly-once source connectors; it runs no source connectors and needs none for its sinks. " +
			"Set disabled on all workers of the group, or give this one a group.id of its own")
	}
	return javaErrorf("String must be one of (case insensitive): disabled, enabled, preparing")
}

func checkMac(use string) func(string) error {
	return func(value string) error {
		if _, err := group.KeyBytes(value, 0); err != nil {
			return javaErrorf("%s algorithm is not available: %v", use, err)
		}
		return nil
	}
}

func checkVerification(value string) error {
	names := connect.SplitList(value)
	if len(names) == 0 {
		return javaErrorf("At least one signature verification algorithm must be provided")
	}
	for _, n := range names {
		if err := checkMac("signature verification")(n); err != nil {
			return err
		}
	}
	return nil
}

var listenerForm = regexp.MustCompile(`^(?i:http|https)://(\[[0-9A-Fa-f:.%]+\]|[^/:\[\]]*):([0-9]{1,5})/?$`)

func checkListeners(value string) error {
	if len(connect.SplitList(value)) == 0 {
		return javaErrorf("at least one URL is expected, ex: http://localhost:8080,https://localhost:8443.")
	}
	return checkAdminListeners(value)
}

func checkAdminListeners(value string) error {
	for _, item := range connect.SplitList(value) {
		if !listenerForm.MatchString(item) {
			return javaErrorf("listener %q does not have the form protocol://host:port", item)
		}
	}
	return nil
}
