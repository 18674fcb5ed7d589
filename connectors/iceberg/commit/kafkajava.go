package commit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// KafkaJava answers a coordinator's questions about Java from a cluster. One goroutine
// uses it at a time.
type KafkaJava struct {
	Admin     *kafka.Admin  // with isolation.level=read_uncommitted: ends include open transactions
	Committed *kafka.Config // with isolation.level=read_committed
	Topic     string        // the control topic
	Consumers string        // the connector's consumer group
	Group     string        // of the identity
	Logger    *slog.Logger
}

var _ Java = (*KafkaJava)(nil)

const (
	rebalancePause = 100 * time.Millisecond
	complainAfter  = 10 * time.Second
)

// CoordinatorGroup is the group of Java's coordinator on the control topic.
func CoordinatorGroup(id Identity) string { return id.Group + "-coord" }

func (j *KafkaJava) coordinators() string { return CoordinatorGroup(Identity{Group: j.Group}) }

// Strangers looks at the consumer group, whose members of Firn's have a marker, and at the
// group of Java's coordinator, which has no member unless one runs. It waits for as long as
// the groups rebalance.
func (j *KafkaJava) Strangers(ctx context.Context) (out Strangers, err error) {
	for _, group := range []string{j.Consumers, j.coordinators()} {
		found, err := j.Admin.Strangers(ctx, group)
		for errors.Is(err, kafka.ErrRebalancing) {
			if pause(ctx, rebalancePause) != nil {
				return out, err
			}
			found, err = j.Admin.Strangers(ctx, group)
		}
		if err != nil {
			return out, err
		}
		out.Names = append(out.Names, found.Names...)
		out.Hold = out.Hold || found.Hold
	}
	return out, nil
}

// Position reads the offsets of Java's coordinator.
func (j *KafkaJava) Position(ctx context.Context) (Positions, error) {
	offsets, err := j.Admin.GroupOffsets(ctx, j.coordinators(), nil, true)
	if err != nil {
		return nil, err
	}
	out := Positions{}
	for tp, next := range offsets {
		if tp.Topic == j.Topic {
			out[tp.Partition] = next
		}
	}
	return out, nil
}

// SetPosition commits them.
func (j *KafkaJava) SetPosition(ctx context.Context, p Positions) error {
	offsets := make(map[connect.TopicPartition]int64, len(p))
	for partition, next := range p {
		offsets[connect.TopicPartition{Topic: j.Topic, Partition: partition}] = next
	}
	return j.Admin.AlterGroupOffsets(ctx, j.coordinators(), offsets)
}

// Starts asks where the control topic's log begins.
func (j *KafkaJava) Starts(ctx context.Context) (Positions, error) {
	return j.offsets(ctx, kafka.Earliest)
}

// Ends asks where it ends.
func (j *KafkaJava) Ends(ctx context.Context) (Positions, error) {
	return j.offsets(ctx, kafka.Latest)
}

func (j *KafkaJava) offsets(ctx context.Context, at int64) (Positions, error) {
	topics, err := j.Admin.Topics(ctx, j.Topic)
	if err != nil {
		return nil, err
	}
	info := topics[j.Topic]
	if info.Err != nil {
		return nil, info.Err
	}
	if len(info.Partitions) == 0 {
		return nil, fmt.Errorf("control topic %s (iceberg.control.topic) does not exist", j.Topic)
	}
	tps := make([]connect.TopicPartition, len(info.Partitions))
	for i, p := range info.Partitions {
		tps[i] = connect.TopicPartition{Topic: j.Topic, Partition: p}
	}
	offsets, err := j.Admin.Offsets(ctx, tps, at)
	if err != nil {
		return nil, err
	}
	out := make(Positions, len(offsets))
	for tp, next := range offsets {
		out[tp.Partition] = next
	}
	return out, nil
}

// Read fetches with isolation.level=read_committed, which does not go past a transaction
// that is open; the broker ends it when transaction.timeout.ms of its producer is over.
func (j *KafkaJava) Read(ctx context.Context, from, to Positions, take func(partition int32, offset int64, value []byte) error) error {
	f, err := kafka.NewFetcher(j.Committed)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it only reads
	left := 0
	for partition, end := range to {
		if from[partition] < end {
			f.Add(connect.TopicPartition{Topic: j.Topic, Partition: partition}, from[partition])
			left++
		}
	}
	moved := time.Now()
	for left > 0 {
		fetched, err := f.Poll(ctx, time.Second)
		if err != nil {
			return err
		}
		if len(fetched) == 0 && time.Since(moved) > complainAfter {
			j.Logger.Info("waiting for a transaction on the control topic to end", "topic", j.Topic)
			moved = time.Now()
		}
		for i := range fetched {
			moved = time.Now()
			next, err := j.hand(&fetched[i], to[fetched[i].Partition], take)
			if err != nil {
				return err
			}
			if next >= to[fetched[i].Partition] {
				f.Remove(fetched[i].TopicPartition)
				left--
			} else if fetched[i].Err != nil {
				f.Seek(fetched[i].TopicPartition, next)
			}
		}
	}
	return nil
}

// hand gives what was fetched below end to take and returns where to go on. What
// retention has removed meanwhile is passed over.
func (j *KafkaJava) hand(f *kafka.Fetched, end int64, take func(partition int32, offset int64, value []byte) error) (int64, error) {
	var outOfRange *kafka.OffsetOutOfRangeError
	if errors.As(f.Err, &outOfRange) && outOfRange.Position < outOfRange.Start {
		return outOfRange.Start, nil
	}
	if f.Err != nil {
		return 0, f.Err
	}
	var raw kafka.Raw
	for i := range f.Len() {
		if f.At(i, &raw); raw.Offset < end {
			if err := take(f.Partition, raw.Offset, raw.Value); err != nil {
				return 0, err
			}
		}
	}
	return f.Next, nil
}
