package survey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

// same makes sure, if the worker's properties are known, that they are of the cluster whose
// REST API answers: the same Kafka, and a config topic with the same connectors.
func (s *Survey) same(ctx context.Context, clusterID string, names []string) error {
	if s.Worker == nil {
		return nil
	}
	client, err := kafka.NewConfig(s.Worker.Client("check"), s.Dial)
	if err != nil {
		return err
	}
	id, err := ask(client, func(a *kafka.Admin) (string, error) { return a.ClusterID(ctx) })
	if err != nil {
		return err
	}
	if clusterID != "" && id != clusterID {
		return fmt.Errorf("%w: Kafka is %s here and %s there", ErrOther, id, clusterID)
	}
	log := s.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	written, err := worker.ReadConnectors(ctx, s.Worker, s.Dial, log)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := written[name]; !ok {
			return fmt.Errorf("%w: topic %s has no connector %s", ErrOther, s.Worker.ConfigTopic.Name, name)
		}
	}
	return nil
}

// kafka returns the ends of the partitions that a connector reads, and, unless the REST API
// has told the group's offsets, adds these to next.
func (s *Survey) kafka(ctx context.Context, props map[string]string, group string, next map[connect.TopicPartition]int64, known bool) (map[connect.TopicPartition]int64, error) {
	client, err := kafka.NewConfig(props, s.Dial)
	if err != nil {
		return nil, err
	}
	return ask(client, func(a *kafka.Admin) (map[connect.TopicPartition]int64, error) {
		if !known {
			committed, err := a.GroupOffsets(ctx, group, nil, false)
			if err != nil {
				return nil, err
			}
			maps.Copy(next, committed)
		}
		tps := slices.Collect(maps.Keys(next))
		if len(tps) == 0 {
			return nil, nil
		}
		ends, err := a.Offsets(ctx, tps, kafka.Latest)
		if errors.Is(err, kafka.ErrUnknownTopic) {
			return nil, nil // deleted since the group read it
		}
		return ends, err
	})
}

// ask opens an admin client for one question.
func ask[T any](client *kafka.Config, question func(*kafka.Admin) (T, error)) (answer T, err error) {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	return question(admin)
}
