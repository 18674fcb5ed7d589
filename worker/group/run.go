package group

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A run is one call of Member.Run; only its goroutine touches it.
type run struct {
	*Member
	ctx   context.Context // ends with Run: for the closures given to the herder
	kafka *kafka.Member
	queue []Event     // not read by the herder yet: at most an Assigned, a Lost and a Joining
	delay *time.Timer // until the scheduled rebalance

	// joins takes the herder's answers. Only the newest Prepare may be answered, once: its
	// number is prepared, or 0 when there is none. So no answer comes while kafka's
	// goroutine assigns, and the leader's fields need no lock.
	joins    chan uint64
	prepares uint64
	prepared uint64
	answer   func([]kafka.Protocol)
}

func newTimer() *time.Timer {
	t := time.NewTimer(0)
	t.Stop()
	return t
}

func (r *run) handle(e kafka.Event) {
	switch e := e.(type) {
	case kafka.Prepare:
		r.prepare(e)
	case kafka.Joined:
		r.joined(e)
	case kafka.Lost:
		r.lost(e.Err)
	}
}

func (r *run) prepare(p kafka.Prepare) {
	r.dropJoining()
	r.prepares++
	r.prepared, r.answer = r.prepares, p.Join
	ctx, joins, n := r.ctx, r.joins, r.prepared
	e := Joining{Reason: p.Reason, Join: func() {
		select {
		case joins <- n:
		case <-ctx.Done():
		}
	}}
	if r.protocol == Eager && r.held != nil {
		e.Stop = r.held.Work.Clone()
	}
	r.queue = append(r.queue, e)
}

// dropJoining takes back a Joining that the herder has not read and that has become void.
func (r *run) dropJoining() {
	r.queue = slices.DeleteFunc(r.queue, func(e Event) bool {
		_, ok := e.(Joining)
		return ok
	})
}

// join answers Prepare number n, with metadata as it is now.
func (r *run) join(n uint64) {
	if n != r.prepared {
		return
	}
	r.prepared = 0
	if r.protocol == Eager {
		r.held = nil // all stopped
	}
	configured := r.cfg.Configured()
	r.leader.joined = configured
	protocols := make([]kafka.Protocol, 0, len(r.protocols))
	for _, name := range r.protocols {
		m := Metadata{Version: version(name), URL: r.cfg.URL, ConfigOffset: configured.Offset, Allocation: r.held}
		b, err := m.Encode()
		if err != nil {
			// What this worker holds came out of the same format, and its URL is its own.
			r.cfg.Logger.Error("worker group: cannot join: metadata does not fit the protocol", "err", err)
			return
		}
		protocols = append(protocols, kafka.Protocol{Name: name, Metadata: b})
	}
	r.answer(protocols)
}

// unreadableRetry is how soon a member rejoins whose leader sent it garbage.
const unreadableRetry = time.Second

func (r *run) joined(j kafka.Joined) {
	r.leader.lastCompleted = j.Generation
	r.protocol = j.Protocol
	a, err := DecodeAssignment(j.Assignment)
	if err != nil {
		r.cfg.Logger.Warn("worker group: rejoining, because the leader's assignment cannot be read", "leader", j.LeaderID, "err", err)
		r.delay.Reset(unreadableRetry)
		return
	}
	var before Work
	if r.held != nil {
		before = r.held.Work
	}
	e := Assigned{
		Generation:   j.Generation,
		Protocol:     j.Protocol,
		Version:      version(j.Protocol),
		MemberID:     j.MemberID,
		Leader:       a.Leader,
		LeaderURL:    a.LeaderURL,
		ConfigOffset: a.ConfigOffset,
		Error:        a.Error,
		Delay:        a.Delay,
	}
	if e.Version == 0 {
		e.Work, e.Revoked = a.Work, before.Minus(a.Work)
	} else {
		e.Work, e.Revoked = a.Work.Plus(before.Minus(a.Revoked)), a.Revoked
	}
	e.Added = e.Work.Minus(before)
	if e.IsLeader() && r.leader.led.generation == j.Generation {
		e.Owners = r.leader.led.owners
	}

	held := *a
	held.Work, held.Revoked = e.Work.Clone(), Work{}
	r.held = &held
	r.queue = append(r.queue, e)

	r.delay.Stop()
	if a.Delay > 0 {
		r.delay.Reset(a.Delay)
	}
	if e.Version > 0 && !e.Revoked.Empty() {
		r.kafka.Rejoin("revoked work is free for others")
	}
}

// lost tells the herder. A member id that was merely forgotten keeps its work, as in
// Java; a member cut off from the coordinator must assume that others are given it.
func (r *run) lost(err error) {
	e := Lost{Err: err}
	if !errors.Is(err, connect.ErrFenced) && r.held != nil {
		e.Stop = r.held.Work
		r.held = nil
	}
	r.delay.Stop()
	r.prepared = 0
	r.dropJoining()
	if n := len(r.queue); n > 0 {
		if unread, ok := r.queue[n-1].(Lost); ok {
			e.Stop = unread.Stop.Plus(e.Stop)
			r.queue = r.queue[:n-1]
		}
	}
	r.queue = append(r.queue, e)
}
