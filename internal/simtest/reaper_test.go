package simtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The embedded broker does not time out a member whose connection had ended by when its
// JoinGroup was answered, and starts its rebalance timeout again with each JoinGroup: a
// worker that was killed while it joined stays in its groups for ever, and whatever it
// was given with it (kfake 2026-09-18, groups.go: reply, rebalance; Kafka does neither).
// So members are watched from outside, and those that time should have removed leave.

// A membership is known by the requests of the member.
type membership struct{ group, member string }

const (
	session = 4 * time.Second // session.timeout.ms
	silence = 9 * time.Second // longer than a live member waits for the answer to a JoinGroup
)

// sighted notes that a member has sent a request.
func (w *world) sighted(req kmsg.Request) {
	var m membership
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		m = membership{req.Group, req.MemberID}
	case *kmsg.SyncGroupRequest:
		m = membership{req.Group, req.MemberID}
	case *kmsg.HeartbeatRequest:
		m = membership{req.Group, req.MemberID}
	}
	if m.member == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[m] = time.Now()
}

// reap removes members whose session has ended.
func (w *world) reap() {
	for {
		select {
		case <-w.over:
			return
		case <-time.After(500 * time.Millisecond):
		}
		for _, m := range w.expired() {
			if err := w.remove(m); err != nil {
				w.journal.note("%s is not removed from %s: %v", m.member, m.group, err)
			}
		}
	}
}

// expired takes the members from the list that are silent for too long. Client ids, with
// which member ids begin, name the life of the process.
func (w *world) expired() (gone []membership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m, last := range w.members {
		limit := silence
		for _, p := range w.all {
			if strings.HasPrefix(m.member, p.clientID) && !p.alive() {
				limit = session
			}
		}
		if time.Since(last) >= limit {
			gone = append(gone, m)
			delete(w.members, m)
		}
	}
	return gone
}

func (w *world) coordinator(group string) (node int32, ok bool) {
	w.swap.Lock()
	defer w.swap.Unlock()
	if w.kafka == nil {
		return 0, false
	}
	return w.kafka.CoordinatorFor(group), true
}

// remove sends a LeaveGroup for a member, who may be gone already.
func (w *world) remove(m membership) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 4, m.group
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.member}}
	node, ok := w.coordinator(m.group)
	if !ok {
		return nil // the cluster is gone, and its groups with it
	}
	c, err := w.vn.DialContext(w.t.Context(), "tcp", fmt.Sprintf("localhost:%d", firstPort+node))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // used once
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		return err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(size[:])))
	return err
}
