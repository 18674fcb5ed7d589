package worker

import (
	"io"
	"time"
)

// Config is a worker's configuration, checked. Props holds every property as given,
// unknown ones too: they reach the Kafka clients.
type Config struct {
	Props map[string]string

	BootstrapServers string
	GroupID          string // group.id: the name of the Connect cluster

	KeyConverter, ValueConverter, HeaderConverter string // class names

	Listeners     []string // URLs as configured; port 0 picks one
	AdvertisedURL string   // from rest.advertised.*, "" when they are not set

	ConfigTopic, OffsetTopic, StatusTopic Topic

	SessionTimeout, RebalanceTimeout, HeartbeatInterval time.Duration
	SyncTimeout                                         time.Duration // worker.sync.timeout.ms
	ScheduledRebalanceMaxDelay                          time.Duration
	Protocol                                            string // eager, compatible, sessioned

	KeyAlgorithm, SignatureAlgorithm string
	VerificationAlgorithms           []string
	KeySizeBits                      int // 0: the algorithm's own
	KeyTTL                           time.Duration

	TaskGrace                   time.Duration // task.shutdown.graceful.timeout.ms
	FlushInterval, FlushTimeout time.Duration // offset.flush.*.ms
	TopicTracking, TopicReset   bool
	OverridePolicy              string // All, None, Principal, Allowlist
	MetadataMaxAge              time.Duration
	MemoryBytes                 int64 // firn.memory.bytes: shared by the running tasks
}

// Topic is an internal topic.
type Topic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string // the other PREFIX.storage.* keys
}

// ParseProperties reads a Java .properties file.
func ParseProperties(r io.Reader) (map[string]string, error) { return nil, nil }

// NewConfig checks the properties of a distributed worker. The error names everything
// that is wrong, in Java's words, one line each; warnings name unknown keys and the like.
func NewConfig(props map[string]string) (cfg *Config, warnings []string, err error) {
	return nil, nil, nil
}

// NewStandaloneConfig checks the properties of a standalone worker, which needs no group
// and no topics of its own.
func NewStandaloneConfig(props map[string]string) (cfg *Config, warnings []string, err error) {
	return nil, nil, nil
}
