package demo

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/examples/flights"
	"github.com/firn-io/firn/internal/kafka"
)

// createTopics makes the topics that are not there yet.
func createTopics(ctx context.Context, client *kafka.Config) error {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return err
	}
	for _, s := range sources {
		err := admin.CreateTopic(ctx, kafka.TopicSpec{Name: s.topic, Partitions: s.partitions, ReplicationFactor: 1})
		if err != nil && !errors.Is(err, kafka.ErrTopicExists) {
			return errors.Join(fmt.Errorf("create topic %s: %w", s.topic, err), admin.Close())
		}
	}
	return admin.Close()
}

// partitionsOf lists the partitions of a source's topic.
func (s source) partitionsOf() []connect.TopicPartition {
	tps := make([]connect.TopicPartition, s.partitions)
	for p := range tps {
		tps[p] = connect.TopicPartition{Topic: s.topic, Partition: int32(p)}
	}
	return tps
}

// produce writes what the topics do not hold yet. Rows go to partitions by their
// key alone and always in the same order, so a partition that ends at n holds
// exactly its first n rows: a run that was killed is continued without repeats.
func produce(ctx context.Context, client *kafka.Config, schemaID int) error {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return err
	}
	producer, err := kafka.NewProducer(client)
	if err != nil {
		return errors.Join(err, admin.Close())
	}
	err = produceAll(ctx, admin, producer, schemaID)
	return errors.Join(err, producer.Close(), admin.Close())
}

func produceAll(ctx context.Context, admin *kafka.Admin, producer *kafka.Producer, schemaID int) error {
	for i, rows := range []func(*encoder, func(key string, value []byte) error) error{flightRows, weatherRows} {
		s := sources[i]
		ends, err := admin.Offsets(ctx, s.partitionsOf(), kafka.Latest)
		if err != nil {
			return fmt.Errorf("read the end of topic %s: %w", s.topic, err)
		}
		enc, err := newEncoder(schemaID)
		if err != nil {
			return err
		}
		w := &resumer{source: s, ends: ends, send: func(msgs []kafka.Message) error { return producer.SendAll(ctx, msgs) }}
		if err := rows(enc, w.row); err != nil {
			return fmt.Errorf("write topic %s: %w", s.topic, err)
		}
		if err := w.flush(); err != nil {
			return fmt.Errorf("write topic %s: %w", s.topic, err)
		}
	}
	return nil
}

// A resumer drops the rows that the topic holds and sends the others in batches.
type resumer struct {
	source
	ends  map[connect.TopicPartition]int64 // of the topic, rows to drop
	batch []kafka.Message
	send  func([]kafka.Message) error
}

const batchRows = 10_000

func (w *resumer) row(key string, value []byte) error {
	tp := connect.TopicPartition{Topic: w.topic, Partition: partitionOf(key, w.partitions)}
	if w.ends[tp] > 0 {
		w.ends[tp]--
		return nil
	}
	w.batch = append(w.batch, kafka.Message{Topic: tp.Topic, Partition: tp.Partition, Key: []byte(key), Value: value})
	if len(w.batch) < batchRows {
		return nil
	}
	return w.flush()
}

func (w *resumer) flush() error {
	batch := w.batch
	w.batch = w.batch[:0]
	return w.send(batch)
}

func partitionOf(key string, partitions int32) int32 {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int32(h.Sum32() % uint32(partitions))
}

// flightRows calls row with each flight, keyed by its carrier.
func flightRows(enc *encoder, row func(key string, value []byte) error) error {
	const carrier = 9
	return flights.Flights(func(f []string) error {
		value, err := enc.encode(f)
		if err != nil {
			return err
		}
		return row(f[carrier], value)
	})
}

// weatherRows calls row with each observation, keyed by its airport. One that lacks
// nothing goes first: without a schema, the first record names the table's columns.
func weatherRows(_ *encoder, row func(key string, value []byte) error) error {
	columns := flights.WeatherColumns()
	var before [][]string // the rows ahead of the first complete one
	found := false
	return flights.Weather(func(f []string) error {
		switch {
		case found:
			return row(f[0], jsonRow(columns, f))
		case slices.Contains(f, flights.Null):
			before = append(before, f)
			return nil
		}
		found = true
		for _, f := range slices.Concat([][]string{f}, before) {
			if err := row(f[0], jsonRow(columns, f)); err != nil {
				return err
			}
		}
		return nil
	})
}
