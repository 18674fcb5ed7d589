package topics

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/firn-io/firn/worker/group"
)

// A TargetState is what the user wants a connector to be in.
type TargetState string

// The target states, as in state.v2 of the config topic (KIP-875).
const (
	Started TargetState = "STARTED"
	Paused  TargetState = "PAUSED"
	Stopped TargetState = "STOPPED"
)

// A SessionKey signs requests between workers (KIP-507).
type SessionKey struct {
	Key       []byte // a secret
	Algorithm string
	Created   time.Time // milliseconds count
}

// LogValue keeps the key out of logs.
func (k SessionKey) LogValue() slog.Value {
	return slog.StringValue(k.Algorithm + " key of " + k.Created.UTC().Format(time.RFC3339))
}

// String keeps the key out of messages.
func (k SessionKey) String() string { return k.LogValue().String() }

// A ClusterState is the config topic's content at one moment. It is immutable: nothing
// it returns may be changed.
type ClusterState struct {
	offset       int64
	sessionKey   *SessionKey
	connectors   map[string]map[string]string         // raw configs
	targets      map[string]TargetState               // also of connectors that are gone
	counts       map[string]int                       // as last committed
	tasks        map[string]map[int]map[string]string // raw configs; may hold more than counts
	applied      map[string]map[string]string         // the connector's config at its last commit
	inconsistent map[string]bool
}

// Offset is the offset after the last record applied; -1 if there was none. It is what
// workers compare for equality (it is not the topic's end offset: Java counts so too).
func (s *ClusterState) Offset() int64 { return s.offset }

// SessionKey is the newest session key, nil if there is none.
func (s *ClusterState) SessionKey() *SessionKey { return s.sessionKey }

// Connectors are the names of all connectors, sorted.
func (s *ClusterState) Connectors() []string { return slices.Sorted(maps.Keys(s.connectors)) }

// Contains tells whether there is a connector of this name.
func (s *ClusterState) Contains(connector string) bool { return s.connectors[connector] != nil }

// Config is the connector's config as it was given, variables not substituted; nil if
// there is none.
func (s *ClusterState) Config(connector string) map[string]string { return s.connectors[connector] }

// TargetState is what the connector is wanted to be in; "" if it is unknown.
func (s *ClusterState) TargetState(connector string) TargetState { return s.targets[connector] }

// TaskCount is the number of tasks last committed; false if none ever was.
func (s *ClusterState) TaskCount(connector string) (int, bool) {
	n, ok := s.counts[connector]
	return n, ok
}

// Tasks are the connector's tasks in order: none while its task configs are inconsistent.
func (s *ClusterState) Tasks(connector string) []group.TaskID {
	if s.inconsistent[connector] {
		return nil
	}
	var out []group.TaskID
	for i := range s.counts[connector] { // a consistent count has a config for each
		out = append(out, group.TaskID{Connector: connector, Task: i})
	}
	return out
}

// TaskConfig is the config of one task, variables not substituted; nil if there is none.
func (s *ClusterState) TaskConfig(id group.TaskID) map[string]string {
	return s.tasks[id.Connector][id.Task]
}

// AppliedConfig is the connector config that was in force when its tasks were last
// committed; nil if that is unknown.
func (s *ClusterState) AppliedConfig(connector string) map[string]string { return s.applied[connector] }

// Inconsistent tells whether the connector's last commit lacked task configs, which
// compaction can cause. It gets no tasks until they are committed anew.
func (s *ClusterState) Inconsistent(connector string) bool { return s.inconsistent[connector] }

// Work is everything that is configured to run: what a leader assigns.
func (s *ClusterState) Work() group.Work {
	w := group.Work{Connectors: s.Connectors()}
	for _, c := range w.Connectors {
		w.Tasks = append(w.Tasks, s.Tasks(c)...)
	}
	return w
}
