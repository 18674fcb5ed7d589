package kafka

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// GroupInfo is what the cluster says about a group.
type GroupInfo struct {
	State        string // Empty, Stable, PreparingRebalance, CompletingRebalance, Dead
	ProtocolType string
	Protocol     string
	Members      map[string]GroupMember // by member id
}

// A GroupMember is one member of a group, as described.
type GroupMember struct {
	ClientID, Host, InstanceID string
	Metadata, Assignment       []byte
}

// onCoordinator asks the coordinator of a group.
func (a *Admin) onCoordinator(ctx context.Context, group string, try func(ctx context.Context, co *coordinator) error) error {
	co := &coordinator{cluster: a.cl, group: group}
	return a.cl.cfg.retry(ctx, func(ctx context.Context) error { return try(ctx, co) })
}

// GroupOffsets returns the committed offsets of a group: of tps, or all if tps is
// nil. Partitions without one are left out; an unknown group has none. With
// requireStable it waits for open transactions to end.
func (a *Admin) GroupOffsets(ctx context.Context, group string, tps []connect.TopicPartition, requireStable bool) (map[connect.TopicPartition]int64, error) {
	var out map[connect.TopicPartition]int64
	err := a.onCoordinator(ctx, group, func(ctx context.Context, co *coordinator) (err error) {
		out, err = co.committed(ctx, tps, requireStable)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, err)
	}
	return out, nil
}

// AlterGroupOffsets sets offsets of a group without members; ErrGroupInUse otherwise.
func (a *Admin) AlterGroupOffsets(ctx context.Context, group string, offsets map[connect.TopicPartition]int64) error {
	err := a.onCoordinator(ctx, group, func(ctx context.Context, co *coordinator) error {
		err := co.commit(ctx, "", -1, "", offsets)
		if fenced(err) {
			return ErrGroupInUse // a commit from outside is refused while there are members
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("alter the offsets of group %s: %w", group, err)
	}
	return nil
}

// DeleteGroupOffsets removes committed offsets; ErrGroupInUse if a member of the group
// subscribes to one of the topics. An unknown group has nothing to delete.
func (a *Admin) DeleteGroupOffsets(ctx context.Context, group string, tps []connect.TopicPartition) error {
	if len(tps) == 0 {
		return nil
	}
	err := a.onCoordinator(ctx, group, func(ctx context.Context, co *coordinator) error {
		request := &sarama.DeleteOffsetsRequest{Group: group}
		for _, tp := range tps {
			request.AddPartition(tp.Topic, tp.Partition)
		}
		answer, err := ask(ctx, co, (*sarama.Broker).DeleteOffsets, request)
		if err != nil {
			return err
		}
		if answer.ErrorCode == sarama.ErrGroupIDNotFound {
			return nil
		}
		if err := co.check(answer.ErrorCode); err != nil {
			return err
		}
		for name, partitions := range answer.Errors {
			for p, code := range partitions {
				if code != sarama.ErrUnknownTopicOrPartition && code != sarama.ErrNoError {
					return fmt.Errorf("partition %s-%d: %w", name, p, failure(code))
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete offsets of group %s: %w", group, err)
	}
	return nil
}

// DeleteGroup deletes a group and its offsets; ErrGroupInUse, ErrUnknownGroup.
func (a *Admin) DeleteGroup(ctx context.Context, group string) error {
	err := a.onCoordinator(ctx, group, func(ctx context.Context, co *coordinator) error {
		request := &sarama.DeleteGroupsRequest{Version: 2, Groups: []string{group}}
		answer, err := ask(ctx, co, (*sarama.Broker).DeleteGroups, request)
		if err != nil {
			return err
		}
		return co.check(answer.GroupErrorCodes[group])
	})
	if err != nil {
		return fmt.Errorf("delete group %s: %w", group, err)
	}
	return nil
}

// DescribeGroup describes a group; ErrUnknownGroup if there is none.
func (a *Admin) DescribeGroup(ctx context.Context, group string) (GroupInfo, error) {
	var out GroupInfo
	err := a.onCoordinator(ctx, group, func(ctx context.Context, co *coordinator) error {
		answer, err := ask(ctx, co, (*sarama.Broker).DescribeGroups, &sarama.DescribeGroupsRequest{Version: 5, Groups: []string{group}})
		if err != nil {
			return err
		}
		if len(answer.Groups) != 1 {
			return ErrUnknownGroup
		}
		g := answer.Groups[0]
		if err := co.check(g.Err); err != nil {
			return err
		}
		if g.State == "Dead" { // what brokers before 4.0 say of a group they do not know
			return ErrUnknownGroup
		}
		out = GroupInfo{State: g.State, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Members: map[string]GroupMember{}}
		for id, m := range g.Members {
			member := GroupMember{ClientID: m.ClientId, Host: m.ClientHost, Metadata: m.MemberMetadata, Assignment: m.MemberAssignment}
			if m.GroupInstanceId != nil {
				member.InstanceID = *m.GroupInstanceId
			}
			out.Members[id] = member
		}
		return nil
	})
	if err != nil {
		return GroupInfo{}, fmt.Errorf("describe group %s: %w", group, err)
	}
	return out, nil
}
