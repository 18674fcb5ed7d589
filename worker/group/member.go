package group

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
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

// A Member is this worker's membership. The goroutine in Run owns it; Rejoin may be
// called from any goroutine.
type Member struct {
	cfg       Config
	protocols []string
	events    chan Event
	leader    *leader
	rejoin    chan string

	// held is the last assignment, with everything this worker runs as its Work; nil if
	// it runs nothing. It goes into the metadata of the next round.
	held     *Assignment
	protocol string // of the last round; "" before the first
}

// NewMember makes a Member; Run joins.
func NewMember(cfg Config) (*Member, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	m := &Member{
		cfg:    cfg,
		events: make(chan Event),
		rejoin: make(chan string, 1),
		leader: &leader{
			configured:    cfg.Configured,
			incremental:   NewIncremental(cfg.MaxDelay, time.Now),
			logger:        cfg.Logger,
			lastCompleted: noGeneration,
		},
	}
	switch strings.ToLower(cfg.Protocol) {
	case "", "sessioned":
		m.protocols = []string{Sessioned, Compatible, Eager}
	case "compatible":
		m.protocols = []string{Compatible, Eager}
	case "eager":
		m.protocols = []string{Eager}
	default:
		return nil, fmt.Errorf("connect.protocol %q: want eager, compatible or sessioned", cfg.Protocol)
	}
	return m, nil
}

// Events is where the herder learns what happens. A herder that is slow to read holds
// up the next round, not the heartbeats. It is never closed.
func (m *Member) Events() <-chan Event { return m.events }

// Rejoin asks for another round. It returns at once.
func (m *Member) Rejoin(reason string) {
	select {
	case m.rejoin <- reason:
	default: // one is asked for already
	}
}

// Forget drops the work held, between two calls of Run: the worker has stopped it all.
func (m *Member) Forget() { m.held = nil }

// Run joins the group and stays in it until ctx ends; then it leaves and returns nil.
// It may be called again later, which joins again with the work still held (see
// Forget): that is how a worker leaves for a while. An error will not pass by itself.
func (m *Member) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k := kafka.NewMember(kafka.MemberConfig{
		Config:       m.cfg.Kafka,
		Group:        m.cfg.GroupID,
		ProtocolType: "connect",
		Session:      m.cfg.Session,
		Rebalance:    m.cfg.Rebalance,
		Heartbeat:    m.cfg.Heartbeat,
		Logger:       m.cfg.Logger,
		Assign:       m.leader.assign,
	})
	left := make(chan error, 1)
	go func() { left <- k.Run(ctx) }()

	r := run{Member: m, ctx: ctx, kafka: k, joins: make(chan uint64), delay: newTimer()}
	defer r.delay.Stop()
	for {
		// Heartbeats must not wait for the herder, so kafka's events are always read, and
		// what the herder has not read yet is queued.
		var out chan<- Event
		var next Event
		if len(r.queue) > 0 {
			out, next = m.events, r.queue[0]
		}
		select {
		case err := <-left:
			if err != nil {
				return fmt.Errorf("worker group %s: %w", m.cfg.GroupID, err)
			}
			return nil
		case e := <-k.Events():
			r.handle(e)
		case out <- next:
			r.queue = r.queue[1:]
		case n := <-r.joins:
			r.join(n)
		case reason := <-m.rejoin:
			k.Rejoin(reason)
		case <-r.delay.C:
			k.Rejoin("the scheduled rebalance delay is over")
		}
	}
}
