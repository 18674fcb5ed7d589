package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// MemberConfig describes a membership.
type MemberConfig struct {
	Config       *Config
	Group        string
	ProtocolType string // connect, consumer

	// Zero durations are taken from Config.
	Session, Rebalance, Heartbeat time.Duration

	InstanceID string // static membership (KIP-345); such a member does not leave at the end
	Logger     *slog.Logger

	// Assign is called in Run's goroutine when this member leads. It gets the metadata
	// of every member and returns an assignment for each. It must not wait for long:
	// no heartbeat is sent meanwhile. An error makes the group rebalance again.
	Assign AssignFunc
}

// A Protocol is one way to assign that a member supports, with its metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// An Event is what happens to a membership: a Prepare, a Joined or a Lost.
type Event interface{ event() }

// Prepare says that a (re)join is due. While the owner prepares, for instance gives up
// partitions and commits under the old generation, heartbeats go on. It has until the
// rebalance timeout to call Join.
type Prepare struct {
	Reason string

	// Join joins with these protocols, in order of preference. It returns at once, may
	// be called from any goroutine; calls after the first, or after a Lost that came in
	// between, have no effect.
	Join func(protocols []Protocol)
}

// Joined says that the member belongs to a new generation.
type Joined struct {
	MemberID, LeaderID string
	Generation         int32
	Protocol           string
	Assignment         []byte
}

// Lost says that the membership is gone: fenced, or the coordinator was out of reach
// for the session timeout. A Prepare follows. Err wraps connect.ErrFenced if the
// coordinator answers and has forgotten the member.
type Lost struct{ Err error }

func (Prepare) event() {}
func (Joined) event()  {}
func (Lost) event()    {}

// A Member is a membership in a group of any protocol type. The goroutine in Run owns
// it and the connection to the group coordinator; commits have a connection of their
// own, because a JoinGroup occupies its connection until all members have come.
type Member struct {
	cfg    MemberConfig
	events chan Event
	rejoin chan string // holds one reason

	life    context.Context // ends with Run, for those who commit
	end     context.CancelFunc
	commits chan *coordinator // holds the one that commits; whoever takes it uses it

	// The rest belongs to Run.
	co         *coordinator
	id         string // "" before the coordinator gave one
	generation int32  // -1 when not a member
	told       bool   // the owner knows a Joined that no Lost followed
	contact    time.Time
	tick       *time.Timer // the next heartbeat
	silent     int         // heartbeats in a row without an answer
	due        string      // why a rejoin is due, "" if none is
	gone       error       // why the membership is over, nil if it is not
}

// leaveLimit bounds the LeaveGroup at the end of Run.
const leaveLimit = 5 * time.Second

// NewMember makes a Member; Run joins.
func NewMember(cfg MemberConfig) *Member {
	if cfg.Session == 0 {
		cfg.Session = cfg.Config.session
	}
	if cfg.Rebalance == 0 {
		cfg.Rebalance = cfg.Config.rebalance
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = cfg.Config.heartbeat
	}
	if cfg.InstanceID == "" {
		cfg.InstanceID = cfg.Config.instanceID
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Member{
		cfg: cfg, events: make(chan Event), rejoin: make(chan string, 1), commits: make(chan *coordinator, 1), generation: -1,
		co: &coordinator{cluster: newCluster(cfg.Config), group: cfg.Group},
	}
	m.co.longest = max(cfg.Config.requestTimeout, cfg.Rebalance+5*time.Second) // a JoinGroup waits for the slowest member
	m.life, m.end = context.WithCancel(context.Background())
	m.commits <- &coordinator{cluster: newCluster(cfg.Config), group: cfg.Group}
	return m
}

// Run joins, sends heartbeats and rejoins until ctx ends; then it leaves the group, for
// at most 5 s, and returns nil. It returns an error only for what will not pass: not
// authorized, fenced by another member of the same InstanceID, no common protocol.
func (m *Member) Run(ctx context.Context) error {
	defer m.finish()
	m.tick = time.NewTimer(m.cfg.Heartbeat)
	defer m.tick.Stop()

	reason := "the member joins"
	for failures := 0; ctx.Err() == nil; {
		why, err := m.round(ctx, reason)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			reason, failures = why, 0
			continue
		}
		if reason, err = m.recover(ctx, err); err != nil {
			return fmt.Errorf("membership of group %s: %w", m.cfg.Group, err)
		}
		failures++
		sleep(ctx, m.cfg.Config.pause(failures))
	}
	m.leave(ctx)
	return nil
}

// round is one generation: prepare, join, stay. It returns why another one is due.
func (m *Member) round(ctx context.Context, reason string) (string, error) {
	if m.generation < 0 { // do not make the owner prepare for a coordinator that cannot be reached
		if _, err := m.co.find(ctx); err != nil {
			return "", err
		}
	}
	protocols, err := m.prepare(ctx, reason)
	if err != nil {
		return "", err
	}
	joined, err := m.join(ctx, protocols, reason)
	if err != nil {
		return "", err
	}
	m.told = true
	if !m.emit(ctx, joined) {
		return "", ctx.Err()
	}
	return m.stay(ctx)
}

// recover decides what an error means: try again, tell the owner of a loss, give up. A
// loss wraps connect.ErrFenced when the coordinator answered that it has forgotten us.
// The member id is kept through a loss: the coordinator says when it is of no more use.
func (m *Member) recover(ctx context.Context, err error) (reason string, final error) {
	silence := time.Since(m.contact)
	lost := true
	switch {
	case errors.Is(err, sarama.ErrFencedInstancedId):
		final = err
	case errors.Is(err, sarama.ErrUnknownMemberId), errors.Is(err, sarama.ErrIllegalGeneration),
		errors.Is(err, ErrUnknownGroup): // so the embedded broker after it lost its data; Kafka says UNKNOWN_MEMBER_ID
		err = fmt.Errorf("%w: %w", connect.ErrFenced, err)
	case errors.Is(err, sarama.ErrRebalanceInProgress), errors.Is(err, errAssign):
		lost = false
	case !retriable(err):
		final = err
	default:
		lost = m.gone != nil || silence >= m.cfg.Session
	}
	m.gone = nil
	if lost {
		m.generation = -1
		lost, m.told = m.told, false
		if lost {
			m.emit(ctx, Lost{Err: err})
		}
	}
	level := slog.LevelDebug
	if lost && final == nil {
		level = slog.LevelWarn
	}
	m.cfg.Logger.Log(ctx, level, "joining the group again", "group", m.cfg.Group, "member", m.id, "error", err)
	return "after: " + err.Error(), final
}

// emit hands an event to the owner; heartbeats go on while it waits.
func (m *Member) emit(ctx context.Context, event Event) bool {
	for {
		select {
		case m.events <- event:
			return true
		case <-m.tick.C:
			m.beat(ctx)
		case <-ctx.Done():
			return false
		}
	}
}

// prepare asks the owner for its metadata. Heartbeats go on until it comes.
func (m *Member) prepare(ctx context.Context, reason string) ([]Protocol, error) {
	join := make(chan []Protocol, 1)
	events := m.events
	event := Prepare{Reason: reason, Join: func(protocols []Protocol) {
		select {
		case join <- protocols:
		default:
		}
	}}
	for m.gone == nil {
		select {
		case events <- event:
			events = nil
		case protocols := <-join:
			return protocols, nil
		case <-m.tick.C:
			m.beat(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, m.gone
}

// stay sends heartbeats until a rejoin is due or the membership is over.
func (m *Member) stay(ctx context.Context) (reason string, err error) {
	for {
		if m.gone != nil {
			return "", m.gone
		}
		if m.due != "" {
			return m.due, nil
		}
		select {
		case reason := <-m.rejoin:
			return reason, nil
		case <-m.tick.C:
			m.beat(ctx)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Events is where the owner learns what happens. It must read it all the time that
// Run runs: there is no buffer, and joining waits for the reader. It is never closed.
func (m *Member) Events() <-chan Event { return m.events }

// Rejoin makes the member join again. Any goroutine may call it at any time; a call
// before or during a join brings one more.
func (m *Member) Rejoin(reason string) {
	select {
	case m.rejoin <- reason:
	default: // one is waiting already
	}
}
