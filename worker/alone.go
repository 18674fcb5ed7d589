package worker

import (
	"context"

	"github.com/firn-io/firn/worker/group"
)

// alone is the membership of a standalone worker: it leads a group of itself and is
// assigned everything at once.
type alone struct {
	url      string
	snapshot func() clusterState
	events   chan group.Event
	rejoin   chan string // capacity 1: one request stands for many
	held     group.Work
}

func newAlone(url string, snapshot func() clusterState) *alone {
	return &alone{url: url, snapshot: snapshot, events: make(chan group.Event), rejoin: make(chan string, 1)}
}

func (m *alone) Events() <-chan group.Event { return m.events }
func (m *alone) Forget()                    { m.held = group.Work{} }

func (m *alone) Rejoin(reason string) {
	select {
	case m.rejoin <- reason:
	default:
	}
}

func (m *alone) Run(ctx context.Context) error {
	reason := "the worker starts"
	for generation := int32(1); ; generation++ {
		join := make(chan struct{}, 1)
		m.send(ctx, group.Joining{Reason: reason, Join: func() { join <- struct{}{} }})
		select {
		case <-join:
		case <-ctx.Done():
			return nil
		}
		m.send(ctx, m.assign(generation))
		select {
		case reason = <-m.rejoin:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *alone) send(ctx context.Context, e group.Event) {
	select {
	case m.events <- e:
	case <-ctx.Done():
	}
}

func (m *alone) assign(generation int32) group.Assigned {
	state := m.snapshot()
	work := state.Work()
	owners := &group.Owners{Connectors: map[string]string{}, Tasks: map[group.TaskID]string{}}
	for _, c := range work.Connectors {
		owners.Connectors[c] = m.url
	}
	for _, t := range work.Tasks {
		owners.Tasks[t] = m.url
	}
	a := group.Assigned{
		Generation: generation, Protocol: group.Compatible, Version: 1, MemberID: m.url, Leader: m.url, LeaderURL: m.url,
		ConfigOffset: state.Offset(), Work: work, Added: work.Minus(m.held), Revoked: m.held.Minus(work), Owners: owners,
	}
	m.held = work
	return a
}
