package topics

import (
	"maps"
	"slices"

	"github.com/firn-io/firn/worker/group"
)

// Changes are what happened in the config topic since the last Take, apart from what it
// held when the worker started.
type Changes struct {
	Updated []string // connectors whose config was written, sorted
	Removed []string // connectors that were deleted, sorted; one that came back is in Updated too

	// Committed are the connectors whose tasks were committed, sorted; Tasks the tasks
	// that got a config so. Either calls for a rebalance.
	Committed []string
	Tasks     []group.TaskID

	TargetStates []string    // connectors whose target state changed, sorted
	SessionKey   *SessionKey // the newest, nil if none came

	Restarts []RestartRequest  // at most one per connector, by name
	Levels   map[string]string // logger namespace -> level
}

// Empty tells whether nothing changed.
func (c *Changes) Empty() bool {
	return len(c.Updated)+len(c.Removed)+len(c.Committed)+len(c.Tasks)+len(c.TargetStates)+len(c.Restarts)+len(c.Levels) == 0 &&
		c.SessionKey == nil
}

// A RestartRequest asks every worker to restart its part of a connector (KIP-745).
type RestartRequest struct {
	Connector    string
	OnlyFailed   bool
	IncludeTasks bool
}

// Impact ranks requests: of two for the same connector the one with more impact wins.
func (r RestartRequest) Impact() int {
	impact := 0
	if r.IncludeTasks {
		impact++
	}
	if !r.OnlyFailed {
		impact += 2
	}
	return impact
}

// pending gathers Changes. Its size is bounded by that of the state.
type pending struct {
	updated, removed, committed, targets map[string]bool
	tasks                                map[group.TaskID]bool
	sessionKey                           *SessionKey
	restarts                             map[string]RestartRequest
	levels                               map[string]string
}

func newPending() pending {
	return pending{
		updated: make(map[string]bool), removed: make(map[string]bool), committed: make(map[string]bool), targets: make(map[string]bool),
		tasks:    make(map[group.TaskID]bool),
		restarts: make(map[string]RestartRequest),
		levels:   make(map[string]string),
	}
}

func (p *pending) restart(r RestartRequest) {
	if old, ok := p.restarts[r.Connector]; !ok || old.Impact() < r.Impact() {
		p.restarts[r.Connector] = r
	}
}

func (p *pending) empty() bool {
	return len(p.updated)+len(p.removed)+len(p.committed)+len(p.targets)+len(p.tasks)+len(p.restarts)+len(p.levels) == 0 && p.sessionKey == nil
}

func (p *pending) changes() Changes {
	c := Changes{
		Updated: slices.Sorted(maps.Keys(p.updated)), Removed: slices.Sorted(maps.Keys(p.removed)), Committed: slices.Sorted(maps.Keys(p.committed)),
		Tasks:        slices.SortedFunc(maps.Keys(p.tasks), group.TaskID.Compare),
		TargetStates: slices.Sorted(maps.Keys(p.targets)),
		SessionKey:   p.sessionKey,
		Levels:       p.levels,
	}
	for _, name := range slices.Sorted(maps.Keys(p.restarts)) {
		c.Restarts = append(c.Restarts, p.restarts[name])
	}
	return c
}
