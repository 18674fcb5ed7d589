package group

import "time"

// An Event is what happens to the membership: a Joining, an Assigned or a Lost.
type Event interface{ event() }

// Joining says that a (re)join is due; heartbeats go on meanwhile. The herder calls Join
// as soon as (1) everything in Stop has stopped, (2) whatever an earlier Assigned
// revoked has stopped, and (3) it wants to be in the group at all (a worker that cannot
// read the config topic does not). The group waits for it, at most the rebalance
// timeout. From now until the next Assigned the worker is no leader. A later Joining
// makes this one void.
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
	Workers    []string // the URLs of all, sorted
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
