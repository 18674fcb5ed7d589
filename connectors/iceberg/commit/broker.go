package commit

import (
	"context"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// KafkaBroker answers a coordinator's questions by an Admin that nobody else uses. The
// coordinator's jobs may ask at the same time; an Admin takes one question after the other.
type KafkaBroker struct {
	admin *kafka.Admin
	turn  chan struct{} // capacity 1: holds a token during a question. A mutex would stop fake time
}

var _ Broker = (*KafkaBroker)(nil)

// NewKafkaBroker asks by admin.
func NewKafkaBroker(admin *kafka.Admin) *KafkaBroker {
	return &KafkaBroker{admin: admin, turn: make(chan struct{}, 1)}
}

func (b *KafkaBroker) take(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *KafkaBroker) pass() { <-b.turn }

// TopicIDs asks the cluster's metadata.
func (b *KafkaBroker) TopicIDs(ctx context.Context, topics []string) (map[string]TopicID, error) {
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	defer b.pass()
	infos, err := b.admin.Topics(ctx, topics...)
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
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	defer b.pass()
	return b.admin.Offsets(ctx, parts, kafka.Earliest)
}

// Latest is where the logs end.
func (b *KafkaBroker) Latest(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	if err := b.take(ctx); err != nil {
		return nil, err
	}
	defer b.pass()
	return b.admin.Offsets(ctx, parts, kafka.Latest)
}
