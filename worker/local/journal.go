package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/firn-io/firn/internal/kafka"
)

// schemasTopic is where Confluent's registry keeps its records by default.
const schemasTopic = "_schemas"

// A journal keeps the registry's records in the compacted schemas topic.
type journal struct {
	client   *kafka.Config
	producer *kafka.Producer
}

// openJournal makes the topic if it is not there yet.
func openJournal(ctx context.Context, client *kafka.Config) (*journal, error) {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return nil, fmt.Errorf("open the schemas topic: %w", err)
	}
	err = admin.CreateTopic(ctx, kafka.TopicSpec{
		Name: schemasTopic, Partitions: 1, ReplicationFactor: 1,
		Configs: map[string]string{"cleanup.policy": "compact"},
	})
	if err != nil && !errors.Is(err, kafka.ErrTopicExists) {
		return nil, errors.Join(fmt.Errorf("create topic %s: %w", schemasTopic, err), admin.Close())
	}
	producer, err := kafka.NewProducer(client)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write to topic %s: %w", schemasTopic, err), admin.Close())
	}
	return &journal{client, producer}, admin.Close()
}

// Replay implements registry.Journal.
func (j *journal) Replay(ctx context.Context, apply func(key, value []byte) error) error {
	log, err := kafka.NewLog(j.client, schemasTopic)
	if err != nil {
		return err
	}
	lctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() {
		err := log.Run(lctx, func(r kafka.Raw) {
			if err := apply(r.Key, r.Value); err != nil {
				stop(fmt.Errorf("offset %d: %w", r.Offset, err))
			}
		})
		stop(err)
		done <- err
	}()
	err = log.ReadToEnd(lctx)
	if cause := context.Cause(lctx); cause != nil {
		err = cause
	}
	stop(nil)
	return errors.Join(err, <-done)
}

// Append implements registry.Journal.
func (j *journal) Append(ctx context.Context, key, value []byte) error {
	return j.producer.SendAll(ctx, []kafka.Message{{Topic: schemasTopic, Key: key, Value: value}})
}

func (j *journal) close() error { return j.producer.Close() }
