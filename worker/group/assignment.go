package group

import "time"

// The protocols by their names in a JoinGroup request, in the order of preference, and
// the versions of their formats.
const (
	Sessioned  = "sessioned"  // version 2: as compatible, and requests between workers are signed
	Compatible = "compatible" // version 1: incremental cooperative rebalancing
	Eager      = "default"    // version 0: all work stops for every rebalance
)

// The errors an Assignment can carry.
const (
	NoError        int16 = 0
	ConfigMismatch int16 = 1 // the leader could not read the config topic up to ConfigOffset
)

// An Assignment is what a leader tells a member, and, as the allocation in Metadata,
// what a member tells the leader that it holds.
type Assignment struct {
	Version      int16 // 0, 1 or 2
	Error        int16
	Leader       string // member id
	LeaderURL    string
	ConfigOffset int64 // the config topic is to be read up to here before work starts

	// Work is everything in version 0; in later versions, what is new to the member. In
	// an allocation it is everything the member holds.
	Work Work

	Revoked Work          // to be stopped at once; always empty in version 0
	Delay   time.Duration // after which the member rejoins; 0: none. Whole milliseconds
}

// Metadata is what a member tells the leader when it joins.
type Metadata struct {
	Version      int16
	URL          string      // where its REST server is reached; ends with /
	ConfigOffset int64       // how far it has read the config topic; -1: nothing
	Allocation   *Assignment // nil: it holds nothing it could keep; always nil in version 0
}
