package topics

import (
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
	Key       []byte
	Algorithm string
	Created   time.Time // milliseconds count
}

// A ClusterState is the config topic's content at one moment. It is immutable: nothing
// it returns may be changed.
type ClusterState struct {
	offset int64
}

// Offset is the offset after the last record applied; -1 if there was none. It is what
// workers compare for equality (it is not the topic's end offset: Java counts so too).
func (s *ClusterState) Offset() int64 { return s.offset }

// SessionKey is the newest session key, nil if there is none.
func (s *ClusterState) SessionKey() *SessionKey { return nil }

// Connectors are the names of all connectors, sorted.
func (s *ClusterState) Connectors() []string { return nil }

// Contains tells whether there is a connector of this name.
func (s *ClusterState) Contains(connector string) bool { return false }

// Config is the connector's config as it was given, variables not substituted; nil if
// there is none.
func (s *ClusterState) Config(connector string) map[string]string { return nil }

// TargetState is what the connector is wanted to be in; "" if it is unknown.
func (s *ClusterState) TargetState(connector string) TargetState { return "" }

// TaskCount is the number of tasks last committed; false if none ever was.
func (s *ClusterState) TaskCount(connector string) (int, bool) { return 0, false }

// Tasks are the connector's tasks in order: none while its task configs are inconsistent.
func (s *ClusterState) Tasks(connector string) []group.TaskID { return nil }

// TaskConfig is the config of one task, variables not substituted; nil if there is none.
func (s *ClusterState) TaskConfig(id group.TaskID) map[string]string { return nil }

// AppliedConfig is the connector config that was in force when its tasks were last
// committed; nil if that is unknown.
func (s *ClusterState) AppliedConfig(connector string) map[string]string { return nil }

// Inconsistent tells whether the connector's last commit lacked task configs, which
// compaction can cause. It gets no tasks until they are committed anew.
func (s *ClusterState) Inconsistent(connector string) bool { return false }

// Work is everything that is configured to run: what a leader assigns.
func (s *ClusterState) Work() group.Work { return group.Work{} }
