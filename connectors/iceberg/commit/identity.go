package commit

// An Identity is under which names the Java sink of the same connector class keeps its
// state, so that it can be taken over from and given back to. Tabular's sink and Apache's
// know nothing of each other's.
type Identity struct {
	// Group is the group_id of control events, and names the coordinator's consumer group
	// (Group + "-coord"): connect-NAME for Apache's sink, cg-control-NAME for Tabular's.
	Group string

	// OffsetsProperty is the summary property of snapshots with the offsets of the control
	// topic: kafka.connect.offsets.TOPIC.GROUP.
	OffsetsProperty string

	// ValidThroughKey is the summary property with the watermark: an ISO date and time
	// under kafka.connect.valid-through-ts, or, Tabular, epoch milliseconds under
	// kafka.connect.vtts.
	ValidThroughKey string
	Tabular         bool
}

// JavaIdentity is the identity of group on a control topic.
func JavaIdentity(controlTopic, group string, tabular bool) Identity {
	id := Identity{
		Group: group, OffsetsProperty: "kafka.connect.offsets." + controlTopic + "." + group,
		ValidThroughKey: "kafka.connect.valid-through-ts", Tabular: tabular,
	}
	if tabular {
		id.ValidThroughKey = "kafka.connect.vtts"
	}
	return id
}
