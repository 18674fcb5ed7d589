package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// errAssign marks a failure of MemberConfig.Assign.
var errAssign = errors.New("assign")

// join sends JoinGroup and SyncGroup.
func (m *Member) join(ctx context.Context, protocols []Protocol, reason string) (Joined, error) {
	reason = reason[:min(len(reason), 255)] // KIP-800
	request := &sarama.JoinGroupRequest{
		Version: 8, GroupId: m.cfg.Group, ProtocolType: m.cfg.ProtocolType, GroupInstanceId: nullable(m.cfg.InstanceID), Reason: &reason,
		SessionTimeout: int32(m.cfg.Session.Milliseconds()), RebalanceTimeout: int32(m.cfg.Rebalance.Milliseconds()),
	}
	for _, p := range protocols {
		request.AddGroupProtocol(p.Name, p.Metadata)
	}
	answer, err := m.enter(ctx, request)
	if err != nil {
		return Joined{}, fmt.Errorf("join: %w", err)
	}
	m.id, m.generation, m.due = answer.MemberId, answer.GenerationId, ""
	m.seen()

	sync := &sarama.SyncGroupRequest{
		Version: 5, GroupId: m.cfg.Group, GenerationId: m.generation, MemberId: m.id, GroupInstanceId: nullable(m.cfg.InstanceID),
		ProtocolType: &m.cfg.ProtocolType, ProtocolName: &answer.GroupProtocol,
	}
	if answer.LeaderId == m.id {
		if err := m.lead(answer, sync); err != nil {
			return Joined{}, err
		}
	}
	given, err := ask(ctx, m.co, (*sarama.Broker).SyncGroup, sync)
	if err == nil {
		err = m.co.check(given.Err)
	}
	if err != nil {
		return Joined{}, fmt.Errorf("sync: %w", err)
	}
	m.seen()
	return Joined{MemberID: m.id, LeaderID: answer.LeaderId, Generation: m.generation, Protocol: answer.GroupProtocol, Assignment: given.MemberAssignment}, nil
}

// enter sends JoinGroup. A new member is first told its id (KIP-394), and one that was
// lost may find that its id is gone.
func (m *Member) enter(ctx context.Context, request *sarama.JoinGroupRequest) (*sarama.JoinGroupResponse, error) {
	for try := 1; ; try++ {
		request.MemberId = m.id
		cn, err := m.co.find(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := roundTrip(ctx, cn, (*sarama.Broker).JoinGroup, request)
		if err != nil {
			m.co.found = ""
			m.contact = time.Now() // while a member waits for the others it is not timed out
			return nil, err
		}
		switch {
		case answer.Err == sarama.ErrMemberIdRequired && try <= 2:
			m.id = answer.MemberId
		case answer.Err == sarama.ErrUnknownMemberId && m.generation < 0 && try == 1:
			m.id = ""
		default:
			return answer, m.co.check(answer.Err)
		}
	}
}

// lead fills in the assignments, being the leader.
func (m *Member) lead(answer *sarama.JoinGroupResponse, sync *sarama.SyncGroupRequest) error {
	members := make(map[string][]byte, len(answer.Members))
	for _, member := range answer.Members {
		members[member.MemberId] = member.Metadata
	}
	assignments, err := m.cfg.Assign(m.id, answer.GroupProtocol, m.generation, members)
	if err != nil {
		return fmt.Errorf("%w as leader of generation %d: %w", errAssign, m.generation, err)
	}
	for id, a := range assignments {
		sync.AddGroupAssignment(id, a)
	}
	return nil
}

// seen notes that the coordinator knows this member.
func (m *Member) seen() {
	m.contact, m.silent = time.Now(), 0
	m.tick.Reset(m.cfg.Heartbeat)
}

// beat sends a heartbeat and notes what it brings in due and gone.
func (m *Member) beat(ctx context.Context) {
	if m.generation < 0 || m.gone != nil {
		return
	}
	one, cancel := context.WithTimeout(ctx, max(m.cfg.Session/3, time.Millisecond))
	defer cancel()
	request := &sarama.HeartbeatRequest{Version: 4, GroupId: m.cfg.Group, GenerationId: m.generation, MemberId: m.id, GroupInstanceId: nullable(m.cfg.InstanceID)}
	answer, err := ask(one, m.co, (*sarama.Broker).Heartbeat, request)
	if err == nil {
		err = m.co.check(answer.Err)
	}
	switch silence := time.Since(m.contact); {
	case ctx.Err() != nil:
	case err == nil:
		m.seen()
	case errors.Is(err, sarama.ErrRebalanceInProgress):
		m.seen()
		m.due = "the group rebalances"
	case fenced(err), !retriable(err):
		m.gone = fmt.Errorf("heartbeat: %w", err)
	case silence >= m.cfg.Session:
		m.gone = fmt.Errorf("no answer from the group coordinator for %v: %w", silence, err)
	default:
		m.silent++
		m.tick.Reset(min(m.cfg.Config.pause(m.silent), m.cfg.Session-silence))
	}
}

// leave tells the coordinator, so that the others need not wait for the session
// timeout. A static member stays (KIP-345).
func (m *Member) leave(ctx context.Context) {
	if m.id == "" || m.cfg.InstanceID != "" {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	reason := "the member stops"
	request := &sarama.LeaveGroupRequest{Version: 5, GroupId: m.cfg.Group, Members: []sarama.MemberIdentity{{MemberId: m.id, Reason: &reason}}}
	for try := 1; ; try++ {
		answer, err := ask(last, m.co, (*sarama.Broker).LeaveGroup, request)
		if err == nil {
			err = m.co.check(answer.Err)
		}
		if err == nil {
			return
		}
		if !retriable(err) || !sleep(last, m.cfg.Config.pause(try)) {
			m.cfg.Logger.Info("could not leave the group: it will time out", "group", m.cfg.Group, "member", m.id, "error", err)
			return
		}
	}
}

// finish ends the connections.
func (m *Member) finish() {
	m.end()
	m.co.close()
	co := <-m.commits
	co.close()
	m.commits <- co
}

// withCommits lends the connection for commits.
func (m *Member) withCommits(ctx context.Context, use func(context.Context, *coordinator) error) error {
	if m.life.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)()
	select {
	case co := <-m.commits:
		defer func() { m.commits <- co }()
		if m.life.Err() != nil {
			return ErrClosed
		}
		return m.cfg.Config.retry(ctx, func(ctx context.Context) error { return use(ctx, co) })
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Commit commits offsets (next to read) under a member id and generation of this
// membership. Any goroutine may call it while Run runs. It retries while the
// coordinator moves, until ctx ends or default.api.timeout.ms passes.
// connect.ErrFenced: the group has moved on.
func (m *Member) Commit(ctx context.Context, member string, generation int32, offsets map[connect.TopicPartition]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	err := m.withCommits(ctx, func(ctx context.Context, co *coordinator) error {
		return co.commit(ctx, member, generation, m.cfg.InstanceID, offsets)
	})
	if fenced(err) || errors.Is(err, ErrUnknownGroup) { // see recover
		err = fmt.Errorf("%w: %w", connect.ErrFenced, err)
	}
	if err != nil {
		return fmt.Errorf("commit offsets of group %s in generation %d: %w", m.cfg.Group, generation, err)
	}
	return nil
}

// Committed returns the group's offsets of tps, waiting for open transactions;
// partitions without one are left out. Any goroutine may call it while Run runs.
func (m *Member) Committed(ctx context.Context, tps []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	var out map[connect.TopicPartition]int64
	err := m.withCommits(ctx, func(ctx context.Context, co *coordinator) (err error) {
		out, err = co.committed(ctx, tps, true)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", m.cfg.Group, err)
	}
	return out, nil
}
