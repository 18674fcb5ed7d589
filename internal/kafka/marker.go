package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// marker is in the user data of every subscription of this program. Members without it
// are of another, such as a Java worker that runs the same connector.
const marker = "firn\x01"

// clientMark ends the client.id of members that are to be told while a group rebalances:
// then a broker gives no subscriptions. It says nothing for certain, as anybody may have it.
const clientMark = "-firn"

// UserData is the user data of a subscription for an assignor: what that one needs, then
// the marker, which Java ignores.
func UserData(assignor string, generation int32) []byte {
	if assignor == CooperativeStickyName {
		return CooperativeStickyUserData(generation, []byte(marker))
	}
	return []byte(marker)
}

// marked tells whether a subscription for an assignor has the marker.
func marked(assignor string, metadata []byte) bool {
	s, err := DecodeSubscription(metadata)
	if err != nil {
		return false
	}
	data := s.UserData
	if assignor == CooperativeStickyName {
		data = data[min(4, len(data)):]
	}
	return string(data) == marker
}

// Strangers are the members of a consumer group that are not of this program, by client
// id and host, sorted.
type Strangers struct {
	Names []string
	Hold  bool // one of them was assigned a partition
}

// Strangers looks for them. Members that cannot be told count as strangers. A group that
// does not exist has none; of one that rebalances it is not known yet (ErrRebalancing),
// unless all its members have a Marked client.id.
func (a *Admin) Strangers(ctx context.Context, group string) (out Strangers, err error) {
	info, err := a.DescribeGroup(ctx, group)
	if errors.Is(err, ErrUnknownGroup) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	stable := info.State == "Stable"
	for id, m := range info.Members {
		switch {
		case !stable && strings.HasSuffix(m.ClientID, clientMark):
		case !stable:
			return Strangers{}, fmt.Errorf("members of group %s: %w", group, ErrRebalancing)
		case !marked(info.Protocol, m.Metadata):
			out.Names = append(out.Names, fmt.Sprintf("%s at %s (%s)", m.ClientID, strings.TrimPrefix(m.Host, "/"), id))
			given, err := DecodeAssignment(m.Assignment)
			out.Hold = out.Hold || err != nil || len(given.Partitions) > 0
		}
	}
	slices.Sort(out.Names)
	return out, nil
}

// AmongOurs makes a MemberConfig.Assign that gives partitions to members of this program
// alone: others get none. It tells count how many those are.
func AmongOurs(assign AssignFunc, count func(ours int)) AssignFunc {
	return func(leaderID, protocol string, generation int32, members map[string][]byte) (map[string][]byte, error) {
		ours := make(map[string][]byte, len(members))
		for id, metadata := range members {
			if marked(protocol, metadata) {
				ours[id] = metadata
			}
		}
		count(len(ours))
		out, err := assign(leaderID, protocol, generation, ours)
		if err != nil {
			return nil, err
		}
		for id := range members {
			if _, ok := ours[id]; !ok {
				out[id] = EncodeAssignment(Assignment{})
			}
		}
		return out, nil
	}
}
