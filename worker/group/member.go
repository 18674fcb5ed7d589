package group

import (
	"context"
	"log/slog"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// Config describes a worker's membership.
type Config struct {
	Kafka    *kafka.Config
	GroupID  string
	URL      string // advertised REST URL; ends with /
	Protocol string // connect.protocol: eager, compatible or sessioned, in any case; "" is sessioned

	// Zero durations are taken from Kafka.
	Session, Rebalance, Heartbeat time.Duration

	MaxDelay time.Duration // scheduled.rebalance.max.delay.ms
	Logger   *slog.Logger  // nil: slog.Default

	// Configured is the present state of the config topic. It is called from goroutines
	// of the Member whenever it joins or leads, and must not block.
	Configured func() Configured
}

// Configured is what the leader knows from the config topic.
type Configured struct {
	Offset int64 // ClusterState.Offset
	Work   Work  // all connectors, and the tasks of those that are consistent
}

// An Event is what happens to the membership: a Joining, an Assigned or a Lost.
type Event interface{ event() }

// Joining says that a (re)join is due; heartbeats go on meanwhile. The herder calls Join
// as soon as (1) everything in Stop has stopped, (2) whatever an earlier Assigned
// revoked has stopped, and (3) it wants to be in the group at all (a worker that cannot
// read the config topic does not). The group waits for it, at most the rebalance
// timeout. From now until the next Assigned the worker is no leader.
type Joining struct {
	Reason string
	Stop   Work // everything held, under the eager protocol; else empty
	Join   func()
}

// Assigned says what this worker is to run. The herder stops what is Revoked, reads the
// config topic up to ConfigOffset, and then runs exactly Work.
//
// The Member itself asks for the next round where one is needed: at once when something
// was revoked (its Joining follows), and when Delay is over. The herder calls
// Member.Rejoin when Error is set, once it has read the config topic to its end, and
// when its config offset has gone past ConfigOffset.
type Assigned struct {
	Generation   int32
	Protocol     string // Sessioned, Compatible, Eager
	Version      int16  // of the protocol: 2 means that requests between workers are signed
	MemberID     string
	Leader       string // member id
	LeaderURL    string
	ConfigOffset int64
	Error        int16 // NoError, ConfigMismatch

	Work    Work // everything to run from now on
	Added   Work // the part of it that was not held before
	Revoked Work // to stop; no longer in Work

	Delay time.Duration // the time until the Member rejoins by itself; 0: it does not

	// Owners tells where everything runs. It is nil unless this worker leads.
	Owners *Owners
}

// IsLeader tells whether this worker leads the group.
func (a *Assigned) IsLeader() bool { return a.MemberID == a.Leader }

// Owners maps work to the REST URLs of the workers that run it after a round. It is
// immutable.
type Owners struct {
	Connectors map[string]string
	Tasks      map[TaskID]string
}

// Lost says that the membership is gone; a Joining follows. Stop is what the herder must
// stop before it calls that Joining's Join: everything held when the coordinator was out
// of reach, because others will be given it; nothing when the group has merely forgotten
// this member id, because the worker then rejoins with what it holds (as Java does).
type Lost struct {
	Err  error
	Stop Work
}

func (Joining) event()  {}
func (Assigned) event() {}
func (Lost) event()     {}

// A Member is this worker's membership. The goroutine in Run owns it; Rejoin may be
// called from any goroutine.
type Member struct {
	cfg    Config
	events chan Event
}

// NewMember makes a Member; Run joins.
func NewMember(cfg Config) (*Member, error) {
	return &Member{cfg: cfg, events: make(chan Event)}, nil
}

// Run joins the group and stays in it until ctx ends; then it leaves and returns nil.
// It may be called again later, which joins again with the work still held (see
// Forget): that is how a worker leaves for a while. An error will not pass by itself.
func (m *Member) Run(ctx context.Context) error { return nil }

// Forget drops the work held, between two calls of Run: the worker has stopped it all.
func (m *Member) Forget() {}

// Events is where the herder learns what happens. It must be read all the time that Run
// runs: it has no buffer. It is never closed.
func (m *Member) Events() <-chan Event { return m.events }

// Rejoin asks for another round. It returns at once.
func (m *Member) Rejoin(reason string) {}
