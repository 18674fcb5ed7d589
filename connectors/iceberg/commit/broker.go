package commit

import (
	"context"
	"sync"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// KafkaBroker answers a coordinator's questions by an Admin that nobody else uses. The
// coordinator's jobs may ask at the same time; an Admin takes one question after the other.
type KafkaBroker struct {
	Admin *kafka.Admin

	mu sync.Mutex // held during a question
}

var _ Broker = (*KafkaBroker)(nil)

// TopicIDs asks the cluster's metadata.
func (b *KafkaBroker) TopicIDs(ctx context.Context, topics []string) (map[string]TopicID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	infos, err := b.Admin.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]TopicID, len(infos))
	for name, info := range infos {
		if info.Err != nil {
			return nil, info.Err
		}
		out[name] = info.ID
	}
	return out, nil
}

// Earliest is where the logs start.
func (b *KafkaBroker) Earliest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Admin.Offsets(ctx, parts, kafka.Earliest)
}

// Latest is where the logs end.
func (b *KafkaBroker) Latest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Admin.Offsets(ctx, parts, kafka.Latest)
}
