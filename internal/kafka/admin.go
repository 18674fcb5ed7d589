package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// Positions to ask Admin.Offsets for.
const (
	Earliest int64 = -2
	Latest   int64 = -1
)

// An Admin reads and changes topics and group offsets. It is used by one goroutine
// at a time. Every call retries what Kafka calls retriable until ctx ends or
// default.api.timeout.ms (60 s) passes.
type Admin struct{ cl *cluster }

// TopicInfo is what the cluster says about a topic.
type TopicInfo struct {
	Name       string
	ID         [16]byte // zero if the broker tells none
	Internal   bool
	Partitions []int32 // numbers, sorted
	Err        error   // the topic exists but the cluster would not say more
}

// A TopicSpec describes a topic to create. -1 for Partitions or ReplicationFactor
// takes the broker's default.
type TopicSpec struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Configs           map[string]string
}

// NewAdmin makes an Admin. It connects on first use.
func NewAdmin(cfg *Config) (*Admin, error) { return &Admin{newCluster(cfg)}, nil }

// Close closes the connections.
func (a *Admin) Close() error {
	a.cl.close()
	return nil
}

// ClusterID returns the id of the cluster.
func (a *Admin) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := a.cl.cfg.retry(ctx, func(ctx context.Context) error {
		cn, err := a.cl.any(ctx)
		if err != nil {
			return err
		}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).DescribeCluster, &sarama.DescribeClusterRequest{})
		if err == nil {
			id, err = answer.ClusterID, failure(answer.Err)
		}
		if err != nil && retriable(err) {
			return err
		}
		if err != nil { // brokers before 2.8 tell it with the metadata
			err = a.cl.refresh(ctx)
			id = a.cl.id
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask for the cluster id: %w", err)
	}
	return id, nil
}

// Topics describes the named topics, or all without names. A topic that does not
// exist is left out. It never creates topics.
func (a *Admin) Topics(ctx context.Context, names ...string) (map[string]TopicInfo, error) {
	var out map[string]TopicInfo
	err := a.cl.cfg.retry(ctx, func(ctx context.Context) error {
		if err := a.cl.refresh(ctx, names...); err != nil {
			return err
		}
		out = map[string]TopicInfo{}
		for name, t := range a.cl.topics {
			if len(names) > 0 && !slices.Contains(names, name) {
				continue
			}
			if t.err != nil && retriable(t.err) {
				return fmt.Errorf("topic %s: %w", name, t.err)
			}
			out[name] = TopicInfo{Name: name, ID: t.id, Internal: t.internal, Partitions: slices.Sorted(maps.Keys(t.leaders)), Err: t.err}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	return out, nil
}

// onController asks the broker that controls the cluster.
func (a *Admin) onController(ctx context.Context, try func(ctx context.Context, cn *conn) error) error {
	return a.cl.cfg.retry(ctx, func(ctx context.Context) error {
		if _, ok := a.cl.addrs[a.cl.controller]; !ok {
			if err := a.cl.refresh(ctx); err != nil {
				return err
			}
		}
		addr, ok := a.cl.addrs[a.cl.controller]
		if !ok {
			return sarama.ErrNotController
		}
		cn, err := a.cl.at(ctx, addr)
		if err == nil {
			err = try(ctx, cn)
		}
		if err != nil {
			a.cl.controller = -1
		}
		return err
	})
}

// CreateTopic creates a topic; ErrTopicExists if there is one of this name.
func (a *Admin) CreateTopic(ctx context.Context, spec TopicSpec) error {
	detail := &sarama.TopicDetail{NumPartitions: spec.Partitions, ReplicationFactor: spec.ReplicationFactor, ConfigEntries: map[string]*string{}}
	for key, value := range spec.Configs {
		detail.ConfigEntries[key] = &value
	}
	err := a.onController(ctx, func(ctx context.Context, cn *conn) error {
		// Version 4: later ones are answered wrongly by the embedded broker, and bring nothing used here.
		request := &sarama.CreateTopicsRequest{Version: 4, TopicDetails: map[string]*sarama.TopicDetail{spec.Name: detail}, Timeout: a.cl.cfg.requestTimeout}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).CreateTopics, request)
		if err != nil {
			return err
		}
		result := answer.TopicErrors[spec.Name]
		if result == nil {
			return fmt.Errorf("the answer does not mention it: %w", sarama.ErrNetworkException)
		}
		return described(result.Err, result.ErrMsg)
	})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	return nil
}

// described adds what the broker says in words.
func described(code sarama.KError, message *string) error {
	err := failure(code)
	if err == nil || message == nil || *message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, *message)
}

// DeleteTopic deletes a topic; ErrUnknownTopic if there is none.
func (a *Admin) DeleteTopic(ctx context.Context, name string) error {
	err := a.onController(ctx, func(ctx context.Context, cn *conn) error {
		// Version 5: version 6 makes the name nullable and is answered by topic id.
		request := &sarama.DeleteTopicsRequest{Version: 5, Topics: []string{name}, Timeout: a.cl.cfg.requestTimeout}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).DeleteTopics, request)
		if err != nil {
			return err
		}
		if code := answer.TopicErrorCodes[name]; code != sarama.ErrUnknownTopicOrPartition {
			return described(code, answer.TopicErrorMessages[name])
		}
		return errGone
	})
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	delete(a.cl.topics, name)
	return nil
}

// errGone is an ErrUnknownTopic that is not worth another try.
var errGone = finalError{ErrUnknownTopic}

// TopicConfig returns the configuration of a topic, defaults included.
func (a *Admin) TopicConfig(ctx context.Context, name string) (map[string]string, error) {
	out := map[string]string{}
	err := a.cl.cfg.retry(ctx, func(ctx context.Context) error {
		cn, err := a.cl.any(ctx)
		if err != nil {
			return err
		}
		request := &sarama.DescribeConfigsRequest{Version: 4, Resources: []*sarama.ConfigResource{{Type: sarama.TopicResource, Name: name}}}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).DescribeConfigs, request)
		if err != nil {
			return err
		}
		for _, r := range answer.Resources {
			code := sarama.KError(r.ErrorCode)
			if code == sarama.ErrUnknownTopicOrPartition {
				return errGone
			}
			if err := described(code, &r.ErrorMsg); err != nil {
				return err
			}
			for _, c := range r.Configs {
				out[c.Name] = c.Value
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the configuration of topic %s: %w", name, err)
	}
	return out, nil
}

// Offsets returns for each partition the offset of its log start (at Earliest), of
// its end (Latest; with isolation.level=read_committed the last stable offset), or of
// the first record at or after a time in milliseconds (-1 if there is none).
func (a *Admin) Offsets(ctx context.Context, tps []connect.TopicPartition, at int64) (map[connect.TopicPartition]int64, error) {
	out := make(map[connect.TopicPartition]int64, len(tps))
	err := a.cl.cfg.retry(ctx, func(ctx context.Context) error { return a.cl.offsets(ctx, tps, at, out) })
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	return out, nil
}
