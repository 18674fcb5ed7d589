package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

const (
	connectorGrace = 5 * time.Second // what a connector may take to stop; fixed in Java too
	abandonMargin  = time.Second     // after the grace period, before a goroutine is given up
)

// A unit is a connector instance or a task that runs here, in a goroutine of its own.
// Its fields are the loop's, apart from muted and failed.
type unit struct {
	label      string // for logs
	cancel     context.CancelFunc
	life       context.Context // until its place is free, also after it has failed
	endLife    context.CancelFunc
	stopping   bool
	ended      bool // the goroutine has returned
	restarting bool // shows RESTARTING when it has stopped
	drop       func()
	gone       chan struct{} // closed when its place is free
	timer      *time.Timer   // abandons it
	overruled  int           // looks in a row at another's status of a later generation

	muted  atomic.Bool // abandoned: what it still reports does not count
	failed atomic.Bool
	last   atomic.Pointer[topics.Status] // reported; nil: nothing yet
}

// launch lets run be the life of u until its context ends.
func (h *Herder) launch(u *unit, run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(h.ctx)
	u.cancel, u.gone = cancel, make(chan struct{})
	u.life, u.endLife = context.WithCancel(h.ctx)
	h.live++
	go func() {
		defer cancel()
		run(ctx)
		h.post(func() { h.unitEnded(u) })
	}()
}

func (h *Herder) unitEnded(u *unit) {
	u.ended = true
	if u.muted.Load() {
		h.log.Warn("Abandoned work has ended after all", "what", u.label)
		return
	}
	h.live--
	if u.stopping {
		h.remove(u)
	}
}

// stop asks u to end within grace; then it is abandoned. What has ended by itself is
// removed at once.
func (h *Herder) stop(u *unit, grace time.Duration) {
	if u.stopping {
		return
	}
	u.stopping = true
	if u.ended {
		h.remove(u)
		return
	}
	u.timer = time.AfterFunc(grace+abandonMargin, func() { h.post(func() { h.abandon(u) }) })
	u.cancel()
}

// abandon gives up on a goroutine that does not end. It may go on working: a zombie,
// which the sink's fencing has to deal with.
func (h *Herder) abandon(u *unit) {
	if u.ended || u.muted.Load() {
		return
	}
	h.log.Error("Graceful stop failed: it is abandoned, and may still be writing", "what", u.label)
	u.muted.Store(true)
	h.live--
	h.remove(u)
}

// remove frees the place of what has stopped.
func (h *Herder) remove(u *unit) {
	if u.timer != nil {
		u.timer.Stop()
	}
	u.endLife()
	u.drop()
	close(u.gone)
	delete(h.revoked, u)
	h.dirty = true
}

// stopWork takes work away. The group is not joined again before it has stopped.
func (h *Herder) stopWork(w group.Work) {
	for _, name := range w.Connectors {
		if run := h.connectors[name]; run != nil {
			h.takeAway(&run.unit, connectorGrace)
		}
	}
	for _, id := range w.Tasks {
		if run := h.tasks[id]; run != nil {
			h.takeAway(&run.unit, h.cfg.TaskGrace)
		}
	}
}

func (h *Herder) takeAway(u *unit, grace time.Duration) {
	h.unflushed = true
	if !u.ended {
		h.revoked[u] = true
	}
	h.stop(u, grace)
}

// running is everything that has a place here.
func (h *Herder) running() (w group.Work) {
	for name := range h.connectors {
		w.Connectors = append(w.Connectors, name)
	}
	for id := range h.tasks {
		w.Tasks = append(w.Tasks, id)
	}
	return w
}

// reconcile compares what should run with what does: it stops what is no longer wanted
// or has a new configuration, starts what is missing, and passes on target states. What
// stops is removed when it has stopped, and then missing here.
func (h *Herder) reconcile() {
	if h.assigned == nil || !h.synced || h.ending {
		return
	}
	state := h.configs.Snapshot()
	connectors, tasks := h.wanted(state)
	for name, run := range h.connectors {
		if !connectors[name] || !sameConfig(run.config, state.Config(name)) {
			h.stop(&run.unit, connectorGrace)
		}
	}
	for id, run := range h.tasks {
		if !tasks[id] || !sameConfig(run.config, state.TaskConfig(id)) || !sameConfig(run.applied, state.AppliedConfig(id.Connector)) {
			h.stop(&run.unit, h.cfg.TaskGrace)
		}
	}
	for name := range connectors {
		if h.connectors[name] == nil {
			h.startConnector(name, state)
		}
		h.connectors[name].want(state.TargetState(name))
	}
	for id := range tasks {
		if h.tasks[id] == nil {
			h.startTask(id, state, len(tasks))
		}
		h.tasks[id].setPaused(state.TargetState(id.Connector) == topics.Paused)
	}
}

// wanted is the assigned work that is still configured.
func (h *Herder) wanted(state clusterState) (connectors map[string]bool, tasks map[group.TaskID]bool) {
	connectors, tasks = map[string]bool{}, map[group.TaskID]bool{}
	for _, name := range h.assigned.Work.Connectors {
		if state.Contains(name) {
			connectors[name] = true
		}
	}
	configured := map[group.TaskID]bool{}
	for _, name := range state.Connectors() {
		for _, id := range state.Tasks(name) {
			configured[id] = true
		}
	}
	for _, id := range h.assigned.Work.Tasks {
		if configured[id] {
			tasks[id] = true
		}
	}
	return connectors, tasks
}

// contained runs plugin code; a panic becomes an error that carries the stack.
func contained(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
