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

// Strangers names the members of a consumer group that are not of this program, by
// client id and host, sorted. Those that cannot be told count as strangers. A group that
// does not exist has none; of one that rebalances it is not known yet (ErrRebalancing).
func (a *Admin) Strangers(ctx context.Context, group string) ([]string, error) {
	info, err := a.DescribeGroup(ctx, group)
	if errors.Is(err, ErrUnknownGroup) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.State != "Stable" && len(info.Members) > 0 {
		return nil, fmt.Errorf("members of group %s: %w", group, ErrRebalancing)
	}
	var out []string
	for id, m := range info.Members {
		if !marked(info.Protocol, m.Metadata) {
			out = append(out, fmt.Sprintf("%s at %s (%s)", m.ClientID, strings.TrimPrefix(m.Host, "/"), id))
		}
	}
	slices.Sort(out)
	return out, nil
}
