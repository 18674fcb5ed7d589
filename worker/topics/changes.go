package topics

import "github.com/firn-io/firn/worker/group"

// Changes are what happened in the config topic since the last Take, apart from what it
// held when the worker started.
type Changes struct {
	Updated []string // connectors whose config was written, sorted
	Removed []string // connectors that were deleted, sorted; one that came back is in Updated too

	// Committed are the connectors whose tasks were committed, sorted; Tasks the tasks
	// that got a config so. Either calls for a rebalance.
	Committed []string
	Tasks     []group.TaskID

	TargetStates []string // connectors whose target state changed, sorted
	SessionKey   *SessionKey

	Restarts []RestartRequest  // at most one per connector, by name
	Levels   map[string]string // logger namespace -> level
}

// Empty tells whether nothing changed.
func (c *Changes) Empty() bool { return true }

// A RestartRequest asks every worker to restart its part of a connector (KIP-745).
type RestartRequest struct {
	Connector    string
	OnlyFailed   bool
	IncludeTasks bool
}

// Impact ranks requests: of two for the same connector the one with more impact wins.
func (r RestartRequest) Impact() int { return 0 }
