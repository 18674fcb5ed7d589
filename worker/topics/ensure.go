package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// A Spec describes one of the internal topics as the worker's properties do.
type Spec struct {
	Kind              Kind
	Name              string
	Partitions        int32             // -1: the broker's default; a config topic always has 1
	ReplicationFactor int16             // -1: the broker's default
	Configs           map[string]string // the rest of KIND.storage.*; cleanup.policy is always compact
}

// Kind says which of the internal topics a Spec is about, by the prefix of its properties.
type Kind string

// The internal topics.
const (
	KindConfig Kind = "config"
	KindOffset Kind = "offset"
	KindStatus Kind = "status"
)

// property is the worker property that names the topic.
func (k Kind) property() string { return string(k) + ".storage.topic" }

// purpose is what the topic is for, in Java's words.
func (k Kind) purpose() string {
	switch k {
	case KindConfig:
		return "connector configurations"
	case KindOffset:
		return "source connector offsets"
	case KindStatus:
		return "connector and task statuses"
	}
	panic("topics: unknown kind " + string(k))
}

const (
	createLimit = time.Minute // Java's default.api.timeout.ms of the shared admin client
	createPause = time.Second // a broker that is short of replicas may get them
)

// Ensure creates the topic if it is missing. For up to a minute it retries, because
// brokers may still be starting. An existing topic must be compacted, and a config topic
// have one partition: otherwise the error has Java's wording.
func Ensure(ctx context.Context, admin *kafka.Admin, s Spec) error {
	ctx, cancel := context.WithTimeout(ctx, createLimit)
	defer cancel()
	for {
		err := ensure(ctx, admin, s)
		if _, wrong := errors.AsType[*ConfigError](err); err == nil || wrong || errors.Is(err, kafka.ErrUnauthorized) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(createPause):
		}
	}
}

// A ConfigError says that a topic cannot serve the worker. Message is Java's.
type ConfigError struct{ Message string }

func (e *ConfigError) Error() string { return e.Message }

func ensure(ctx context.Context, admin *kafka.Admin, s Spec) error {
	topics, err := admin.Topics(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("look up topic %s of %s: %w", s.Name, s.Kind.property(), err)
	}
	if info, ok := topics[s.Name]; ok {
		return verify(ctx, admin, s, len(info.Partitions))
	}
	configs := map[string]string{}
	maps.Copy(configs, s.Configs)
	configs["cleanup.policy"] = "compact"
	partitions := s.Partitions
	if s.Kind == KindConfig {
		partitions = 1
	}
	err = admin.CreateTopic(ctx, kafka.TopicSpec{Name: s.Name, Partitions: partitions, ReplicationFactor: s.ReplicationFactor, Configs: configs})
	if err != nil && !errors.Is(err, kafka.ErrTopicExists) {
		return fmt.Errorf("create topic %s of %s with %s.storage.replication.factor=%d: %w", s.Name, s.Kind.property(), s.Kind, s.ReplicationFactor, err)
	}
	return nil
}

// verify looks whether an existing topic will do. A configuration that this worker is not
// allowed to read counts as right, as in Java.
func verify(ctx context.Context, admin *kafka.Admin, s Spec, partitions int) error {
	if s.Kind == KindConfig && partitions > 1 {
		return &ConfigError{fmt.Sprintf("Topic '%s' supplied via the '%s' property is required to have a single partition in order to guarantee consistency of connector configurations, but found %d partitions.",
			s.Name, s.Kind.property(), partitions)}
	}
	config, err := admin.TopicConfig(ctx, s.Name)
	if errors.Is(err, kafka.ErrUnauthorized) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration of topic %s of %s: %w", s.Name, s.Kind.property(), err)
	}
	policy, ok := config["cleanup.policy"]
	if !ok || strings.TrimSpace(policy) == "compact" {
		return nil
	}
	return &ConfigError{fmt.Sprintf("Topic '%[1]s' supplied via the '%[2]s' property is required to have 'cleanup.policy=compact' to guarantee consistency and durability of %[3]s, "+
		"but found the topic currently has 'cleanup.policy=%[4]s'. Continuing would likely result in eventually losing %[3]s and problems restarting this Connect cluster in the future. "+
		"Change the '%[2]s' property in the Connect worker configurations to use a topic with 'cleanup.policy=compact'.",
		s.Name, s.Kind.property(), s.Kind.purpose(), policy)}
}
