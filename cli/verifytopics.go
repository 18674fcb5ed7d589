package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

// A topicReader reads topics as the worker does for a task: the same consumer settings,
// converters and transformations.
type topicReader struct {
	pipeline *worker.Pipeline
	admin    *kafka.Admin
	arena    connect.Arena
}

var _ iceberg.TopicReader = (*topicReader)(nil)

func newTopicReader(p *worker.Pipeline) (*topicReader, error) {
	admin, err := kafka.NewAdmin(p.Consumer)
	return &topicReader{pipeline: p, admin: admin}, err
}

func (t *topicReader) close() { _ = t.admin.Close() } // nothing is pending on it

// Topics describes topics: ids, where their logs begin and end, whether they are compacted.
func (t *topicReader) Topics(ctx context.Context, names []string) (map[string]iceberg.Topic, error) {
	out := make(map[string]iceberg.Topic, len(names))
	if len(names) == 0 {
		return out, nil
	}
	infos, err := t.admin.Topics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	for _, name := range names {
		info, ok := infos[name]
		if !ok {
			continue
		}
		if info.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", name, info.Err)
		}
		topic := iceberg.Topic{ID: info.ID, First: make(map[int32]int64), End: make(map[int32]int64)}
		var parts []connect.TopicPartition
		for _, p := range info.Partitions {
			parts = append(parts, connect.TopicPartition{Topic: name, Partition: p})
		}
		for at, into := range map[int64]map[int32]int64{kafka.Earliest: topic.First, kafka.Latest: topic.End} {
			offsets, err := t.admin.Offsets(ctx, parts, at)
			if err != nil {
				return nil, fmt.Errorf("ask for the offsets of topic %s: %w", name, err)
			}
			for tp, o := range offsets {
				into[tp.Partition] = o
			}
		}
		config, err := t.admin.TopicConfig(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the configuration of topic %s: %w", name, err)
		}
		topic.Compacted = slices.Contains(list(config["cleanup.policy"]), "compact")
		out[name] = topic
	}
	return out, nil
}

// patience is how long a partition may give nothing before reading is given up.
const patience = time.Minute

// Read goes through the records of a partition in [from, to).
func (t *topicReader) Read(ctx context.Context, part connect.TopicPartition, from, to int64, each func(*connect.Record, bool, error) error) error {
	f, err := kafka.NewFetcher(t.pipeline.Consumer)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing is pending on it
	f.Add(part, from)
	var trouble error
	moved := time.Now()
	for next := from; next < to; {
		fetched, err := f.Poll(ctx, time.Second)
		if err != nil {
			return err
		}
		if time.Since(moved) > patience {
			return fmt.Errorf("nothing comes at offset %d for %v: %w", next, patience, trouble)
		}
		for i := range fetched {
			got := &fetched[i]
			if trouble = got.Err; trouble != nil {
				if outside, ok := errors.AsType[*kafka.OffsetOutOfRangeError](trouble); ok {
					return fmt.Errorf("records left the topic while it was read: %w", outside)
				}
				continue
			}
			if err := t.run(ctx, part.Topic, got, to, each); err != nil {
				return err
			}
			next, moved = got.Next, time.Now()
		}
	}
	return nil
}

// run takes what was fetched through converters and transformations.
func (t *topicReader) run(ctx context.Context, topic string, got *kafka.Fetched, to int64, each func(*connect.Record, bool, error) error) error {
	var raw kafka.Raw
	var r connect.Record
	for i := range got.Len() {
		if got.At(i, &raw); raw.Offset >= to {
			return nil
		}
		r = connect.Record{
			Topic: topic, Partition: got.Partition, Offset: raw.Offset,
			Timestamp: raw.Timestamp, TimestampType: raw.TimestampType, Headers: raw.Headers,
		}
		keep, err := t.convert(ctx, &r, &raw)
		if _, fatal := errors.AsType[*connect.FatalError](err); fatal {
			return err
		}
		if _, again := errors.AsType[*connect.RetryError](err); again {
			return err
		}
		if err := each(&r, keep, err); err != nil {
			return err
		}
		t.arena.Reset()
	}
	return nil
}

// convert is what the worker does to a record. A service that does not answer, such as a
// schema registry, is asked again for a while.
func (t *topicReader) convert(ctx context.Context, r *connect.Record, raw *kafka.Raw) (keep bool, err error) {
	const attempts = 6
	again := func(try func() error) error {
		for wait, n := 250*time.Millisecond, 1; ; wait, n = 2*wait, n+1 {
			err := try()
			if _, ok := errors.AsType[*connect.RetryError](err); !ok || n == attempts {
				return err
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	topic := r.Topic
	err = again(func() (err error) {
		r.KeySchema, r.Key, err = t.pipeline.Key.ToConnect(ctx, &t.arena, topic, raw.Key)
		return err
	})
	if err != nil {
		return false, err
	}
	err = again(func() (err error) {
		r.ValueSchema, r.Value, err = t.pipeline.Value.ToConnect(ctx, &t.arena, topic, raw.Value)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, tr := range t.pipeline.Transforms {
		if keep, err := tr.Transformation.Apply(&t.arena, r); err != nil || !keep {
			return false, err
		}
	}
	return true, nil
}
