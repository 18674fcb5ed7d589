package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// flushTimeout bounds how long a rebalance waits for statuses to be written.
const flushTimeout = 5 * time.Second

func (h *Herder) onEvent(e group.Event) {
	if h.ending {
		return
	}
	switch e := e.(type) {
	case group.Joining:
		h.log.Info("Rebalance started", "reason", e.Reason)
		h.joining, h.joinEvent = true, &e
		if !e.Stop.Empty() {
			h.synced = false
			h.stopWork(e.Stop)
		}
		h.maybeJoin()
	case group.Assigned:
		h.onAssigned(&e)
	case group.Lost:
		h.log.Warn("Group membership lost", "error", e.Err)
		h.assigned, h.synced, h.joining, h.joinEvent = nil, false, true, nil
		h.stopWork(e.Stop)
	}
}

// maybeJoin answers the rebalance under way once everything that was taken away has
// stopped, and its UNASSIGNED is written, so that it cannot come after the next owner's
// RUNNING.
func (h *Herder) maybeJoin() {
	if h.joinEvent == nil || len(h.revoked) > 0 || h.flushing {
		return
	}
	if !h.unflushed {
		h.joinEvent.Join()
		h.joinEvent = nil
		return
	}
	h.unflushed, h.flushing = false, true
	h.background(func(ctx context.Context) {
		fctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		err := h.statuses.Flush(fctx)
		h.post(func() {
			if err != nil {
				h.log.Warn("Statuses not flushed before a rebalance", "error", err)
			}
			h.flushing = false
			h.maybeJoin()
		})
	})
}

func (h *Herder) onAssigned(a *group.Assigned) {
	h.log.Info("Assigned", "generation", a.Generation, "leader", a.LeaderURL, "connectors", a.Work.Connectors, "tasks", len(a.Work.Tasks),
		"revoked", len(a.Revoked.Connectors)+len(a.Revoked.Tasks), "delay", a.Delay)
	h.joining, h.joinEvent = false, nil
	h.assigned, h.synced = a, false
	h.generation.Store(a.Generation)
	h.stopWork(a.Revoked)
	if a.Error == group.NoError && h.configs.Snapshot().Offset() >= a.ConfigOffset {
		h.takeUp(a)
		return
	}
	h.background(func(ctx context.Context) {
		rctx, cancel := context.WithTimeout(ctx, h.cfg.SyncTimeout)
		defer cancel()
		err := h.configs.ReadToEnd(rctx)
		h.post(func() {
			switch {
			case h.assigned != a || h.ending:
			case err != nil:
				h.leave(err)
			case a.Error != group.NoError:
				h.rejoinLater(a, "the leader could not read the config topic far enough")
			default:
				h.takeUp(a)
			}
		})
	})
}

// takeUp starts the work of an assignment, if the config topic is exactly where the
// leader saw it. Changes up to there are covered by the assignment.
func (h *Herder) takeUp(a *group.Assigned) {
	changes := h.configs.Take()
	state := h.configs.Snapshot()
	for _, c := range state.Connectors() {
		h.known[c] = true
	}
	h.apply(changes)
	at := state.Offset()
	if at < a.ConfigOffset { // though the topic was read to its end
		h.rejoinLater(a, "the config topic is shorter than the leader knew it")
		return
	}
	if at > a.ConfigOffset {
		h.log.Info("The config topic has moved on since the leader looked", "offset", at, "assigned", a.ConfigOffset)
		h.rejoin("the config topic has moved on")
		return
	}
	h.synced = true
	h.ready.Store(true)
	if a.IsLeader() {
		h.forgetStatuses(state)
		h.checkSessionKey()
	}
	h.reconcile()
	h.runQueue()
}

// shortPause is before another round when one worker has seen more of the config topic than
// others can read. Where the topic is shorter than it was, as when another Kafka cluster
// answers, they never can, and the group would go round as fast as the network.
const shortPause = 100 * time.Millisecond

func (h *Herder) rejoinLater(a *group.Assigned, reason string) {
	h.background(func(ctx context.Context) {
		select {
		case <-time.After(shortPause):
		case <-ctx.Done():
		}
		h.post(func() {
			if h.assigned == a && !h.ending {
				h.rejoin(reason)
			}
		})
	})
}

func (h *Herder) rejoin(reason string) {
	h.joining = true
	h.member.Rejoin(reason)
}

// forgetStatuses writes tombstones for what is no longer configured. The leader does it.
func (h *Herder) forgetStatuses(state clusterState) {
	gone := topics.Status{State: topics.StateDestroyed, Worker: h.id, Generation: h.generation.Load()}
	for _, c := range h.statuses.Connectors() {
		ids := state.Tasks(c)
		for n := range h.statuses.Tasks(c) {
			if id := (group.TaskID{Connector: c, Task: n}); !slices.Contains(ids, id) {
				h.statuses.PutTask(id, gone)
			}
		}
		if !state.Contains(c) {
			h.statuses.PutConnector(c, gone)
		}
	}
}

// onChanges takes in what happened in the config topic.
func (h *Herder) onChanges(c topics.Changes) {
	if h.ending {
		return
	}
	reason := ""
	for _, name := range c.Updated {
		if !h.known[name] {
			h.known[name] = true
			reason = "connector " + name + " was created"
		}
	}
	for _, name := range c.Removed {
		if h.known[name] && !h.configs.Snapshot().Contains(name) {
			delete(h.known, name)
			reason = "connector " + name + " was deleted"
		}
	}
	if len(c.Committed) > 0 {
		reason = "tasks of connector " + c.Committed[0] + " were configured"
	}
	h.apply(c)
	h.dirty = true
	if reason != "" {
		h.rejoin(reason)
	}
}

// apply does what a change asks of this worker and that comparing cannot tell: restarts and
// log levels. A config that is written again restarts a connector that has failed.
func (h *Herder) apply(c topics.Changes) {
	for _, name := range c.Updated {
		if run := h.connectors[name]; run != nil && run.failed.Load() {
			h.stop(&run.unit, connectorGrace)
		}
	}
	for _, r := range c.Restarts {
		h.restartLocally(r)
	}
	h.setLevels(c)
}

// restartLocally carries out this worker's part of a restart (KIP-745), planned on the
// statuses as they are known here.
func (h *Herder) restartLocally(r topics.RestartRequest) {
	if run := h.connectors[r.Connector]; run != nil {
		if s, _ := h.statuses.Connector(r.Connector); !r.OnlyFailed || s.State == topics.StateFailed {
			run.restarting = true
			h.stop(&run.unit, connectorGrace)
		}
	}
	if !r.IncludeTasks {
		return
	}
	for id, run := range h.tasks {
		if s, _ := h.statuses.Task(id); id.Connector == r.Connector && (!r.OnlyFailed || s.State == topics.StateFailed) {
			run.restarting = true
			h.stop(&run.unit, h.cfg.TaskGrace)
		}
	}
}

// checkSessionKey has a new key for requests between workers made when one is due. The
// leader does it.
func (h *Herder) checkSessionKey() {
	if h.ending || h.rotating || h.assigned == nil || !h.assigned.IsLeader() || h.assigned.Version < 2 {
		return
	}
	switch due, in := h.keyDue(h.configs.Snapshot()); {
	case due:
		h.rotating = true
		h.background(h.rotateKey)
	case in > 0:
		h.checkKeyAfter(in)
	}
}

// keyDue tells whether a session key is due, because there is none, because it has expired
// or because it is not of the kind that this worker is configured for; and if not, in what
// time, 0 being never.
func (h *Herder) keyDue(s clusterState) (due bool, in time.Duration) {
	key := s.SessionKey()
	if key == nil || key.Algorithm != h.cfg.KeyAlgorithm {
		return true, 0
	}
	if n, err := group.KeyBytes(h.cfg.KeyAlgorithm, h.cfg.KeySizeBits); err != nil || n != len(key.Key) {
		return true, 0
	}
	if h.cfg.KeyTTL == 0 {
		return false, 0
	}
	in = time.Until(key.Created.Add(h.cfg.KeyTTL))
	return in <= 0, in
}

var errKeyNotDue = errors.New("another session key has come meanwhile")

// rotateKey writes a new session key, unless that is no longer this worker's to do.
func (h *Herder) rotateKey(ctx context.Context) {
	fresh, err := group.NewKey(h.cfg.KeyAlgorithm, h.cfg.KeySizeBits)
	if err == nil {
		err = h.write(ctx, func(s clusterState) error {
			if due, _ := h.keyDue(s); !due {
				return errKeyNotDue
			}
			return nil
		}, func(ctx context.Context) error {
			return h.configs.PutSessionKey(ctx, topics.SessionKey{Key: fresh, Algorithm: h.cfg.KeyAlgorithm, Created: time.Now()})
		})
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errShutdown) {
		return
	}
	h.post(func() {
		h.rotating = false
		if _, follows := errors.AsType[*entities.RedirectError](err); err == nil || follows || errors.Is(err, errKeyNotDue) {
			h.checkSessionKey() // sets the timer
			return
		}
		h.log.Error("Session key not written; trying again", "error", err)
		h.checkKeyAfter(keyRetry)
	})
}

// keyRetry is the pause after a session key could not be written.
const keyRetry = 10 * time.Second

// checkKeyAfter comes back to the session key later; the last call counts.
func (h *Herder) checkKeyAfter(d time.Duration) {
	if h.keyTimer != nil {
		h.keyTimer.Stop()
	}
	h.keyTimer = time.AfterFunc(d, func() { h.post(h.checkSessionKey) })
}
