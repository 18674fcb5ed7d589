package kafka

import (
	"context"
	"fmt"
	"net"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// A coordinator talks to the coordinator of a group, which it looks for when it does
// not know it.
type coordinator struct {
	*cluster
	group string
	found string // address, "" when not known
}

// find looks the coordinator up and connects to it.
func (co *coordinator) find(ctx context.Context) (*conn, error) {
	if co.found == "" {
		cn, err := co.any(ctx)
		if err != nil {
			return nil, err
		}
		request := &sarama.FindCoordinatorRequest{Version: 3, CoordinatorKey: co.group, CoordinatorType: sarama.CoordinatorGroup}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).FindCoordinator, request)
		if err != nil {
			return nil, err
		}
		if err := failure(answer.Err); err != nil {
			return nil, fmt.Errorf("find the coordinator of group %s: %w", co.group, err)
		}
		co.found = answer.Coordinator.Addr()
		if host, port, err := net.SplitHostPort(co.found); err != nil || host == "" || port == "-1" {
			co.found = ""
			return nil, fmt.Errorf("find the coordinator of group %s: %w", co.group, sarama.ErrConsumerCoordinatorNotAvailable)
		}
	}
	cn, err := co.at(ctx, co.found)
	if err != nil {
		co.found = ""
	}
	return cn, err
}

// ask sends a request to the coordinator. An error of the way there makes it look the
// coordinator up again next time; see check for errors within answers.
func ask[Q, R any](ctx context.Context, co *coordinator, call func(*sarama.Broker, Q) (R, error), request Q) (R, error) {
	cn, err := co.find(ctx)
	if err != nil {
		var none R
		return none, err
	}
	answer, err := roundTrip(ctx, cn, call, request)
	if err != nil {
		co.found = ""
	}
	return answer, err
}

// check turns the error code of an answer into an error, and forgets a coordinator
// that is none any more.
func (co *coordinator) check(code sarama.KError) error {
	if code == sarama.ErrNotCoordinatorForConsumer || code == sarama.ErrConsumerCoordinatorNotAvailable {
		co.found = ""
	}
	return failure(code)
}

// commit commits offsets, under a member id and generation, or with "" and -1 from
// outside of a group without members. Its errors are retriable ones and bare codes.
func (co *coordinator) commit(ctx context.Context, member string, generation int32, instance string, offsets map[connect.TopicPartition]int64) error {
	request := &sarama.OffsetCommitRequest{
		Version: 8, ConsumerGroup: co.group, ConsumerID: member, ConsumerGroupGeneration: generation, GroupInstanceId: nullable(instance), RetentionTime: -1,
	}
	for tp, next := range offsets {
		request.AddBlockWithLeaderEpoch(tp.Topic, tp.Partition, next, -1, 0, "")
	}
	answer, err := ask(ctx, co, (*sarama.Broker).CommitOffset, request)
	if err != nil {
		return err
	}
	var worst error
	for _, partitions := range answer.Errors {
		for _, code := range partitions {
			err := co.check(code)
			if code == sarama.ErrUnknownTopicOrPartition {
				err = errGone // as Java: committing for a deleted topic does not get better
			}
			if err != nil && (worst == nil || !retriable(err)) {
				worst = err
			}
		}
	}
	return worst
}

// committed returns committed offsets of tps, or of all partitions if tps is nil.
func (co *coordinator) committed(ctx context.Context, tps []connect.TopicPartition, stable bool) (map[connect.TopicPartition]int64, error) {
	request := &sarama.OffsetFetchRequest{Version: 7, ConsumerGroup: co.group, RequireStable: stable}
	for _, tp := range tps {
		request.AddPartition(tp.Topic, tp.Partition)
	}
	if tps != nil && len(tps) == 0 {
		return map[connect.TopicPartition]int64{}, nil
	}
	answer, err := ask(ctx, co, (*sarama.Broker).FetchOffset, request)
	if err != nil {
		return nil, err
	}
	out := make(map[connect.TopicPartition]int64, len(tps))
	if answer.Err == sarama.ErrGroupIDNotFound { // the embedded broker, of a group it does not know
		return out, nil
	}
	if err := co.check(answer.Err); err != nil {
		return nil, err
	}
	for name, partitions := range answer.Blocks {
		for p, block := range partitions {
			tp := connect.TopicPartition{Topic: name, Partition: p}
			switch err := failure(block.Err); {
			case block.Err == sarama.ErrUnknownTopicOrPartition:
			case err != nil:
				return nil, fmt.Errorf("partition %s: %w", tp, err)
			case block.Offset >= 0:
				out[tp] = block.Offset
			}
		}
	}
	return out, nil
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
