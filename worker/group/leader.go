package group

import (
	"fmt"
	"log/slog"
	"slices"
)

// A leader computes assignments when this member leads. Its fields belong to the
// goroutine of kafka.Member.Run, which calls assign, except joined and lastCompleted:
// Member sets them before it answers a kafka.Prepare, and assign runs only after that.
type leader struct {
	configured  func() Configured
	incremental *Incremental
	logger      *slog.Logger

	joined        Configured // what this member's own metadata was made from
	lastCompleted int32

	// led is the last round that assign computed; Member reads it when it gets the
	// kafka.Joined of that generation, before the next round can begin.
	led struct {
		generation int32
		owners     *Owners
	}
}

// assign is kafka.MemberConfig.Assign.
func (l *leader) assign(leaderID, protocol string, generation int32, members map[string][]byte) (map[string][]byte, error) {
	metadata := l.decode(members)
	self := metadata[leaderID]
	if self == nil {
		return nil, fmt.Errorf("assign generation %d: no metadata of the leader %s itself", generation, leaderID)
	}
	base := Assignment{Version: version(protocol), Leader: leaderID, LeaderURL: self.URL}
	configured, ok := l.config(metadata)
	base.ConfigOffset = configured.Offset
	if !ok {
		base.Error = ConfigMismatch
		l.led.generation, l.led.owners = generation, &Owners{}
		return encodeAll(members, func(string) Assignment { return base })
	}

	var r Round
	if base.Version == 0 {
		r.Added = AssignEager(configured.Work, keys(metadata))
		r.Running = r.Added
	} else {
		held := make(map[string]Work, len(metadata))
		for id, m := range metadata {
			held[id] = Work{}
			if m.Allocation != nil {
				held[id] = m.Allocation.Work
			}
		}
		r = l.incremental.Assign(configured.Work, l.lastCompleted, generation, held)
	}
	l.led.generation, l.led.owners = generation, ownersOf(r.Running, metadata)
	return encodeAll(members, func(id string) Assignment {
		a := base
		a.Work, a.Revoked, a.Delay = r.Added[id], r.Revoked[id], r.Delay
		return a
	})
}

// decode leaves out members that nobody can understand. They stay in the group, without
// work, rather than keep it from ever settling.
func (l *leader) decode(members map[string][]byte) map[string]*Metadata {
	out := make(map[string]*Metadata, len(members))
	for id, b := range members {
		m, err := DecodeMetadata(b)
		if err != nil {
			l.logger.Warn("worker group: a member gets no work, because its metadata cannot be read", "member", id, "err", err)
			continue
		}
		out[id] = m
	}
	return out
}

// config picks the config state to assign from: no member may have seen a later one. The
// offset it returns is what the members are to read up to; false means that this worker
// is behind itself. (Source: WorkerCoordinator, ensureLeaderConfig.)
func (l *leader) config(members map[string]*Metadata) (Configured, bool) {
	latest := l.joined.Offset
	for _, m := range members {
		latest = max(latest, m.ConfigOffset)
	}
	if l.joined.Offset >= latest {
		return l.joined, true
	}
	if fresh := l.configured(); fresh.Offset >= latest {
		return fresh, true
	}
	return Configured{Offset: latest}, false
}

func encodeAll(members map[string][]byte, of func(id string) Assignment) (map[string][]byte, error) {
	out := make(map[string][]byte, len(members))
	for id := range members {
		a := of(id)
		b, err := a.Encode()
		if err != nil {
			return nil, fmt.Errorf("encode assignment of %s: %w", id, err)
		}
		out[id] = b
	}
	return out, nil
}

func ownersOf(running map[string]Work, members map[string]*Metadata) *Owners {
	o := &Owners{Connectors: make(map[string]string), Tasks: make(map[TaskID]string)}
	for _, m := range members {
		o.Workers = append(o.Workers, m.URL)
	}
	slices.Sort(o.Workers)
	for id, w := range running {
		for _, c := range w.Connectors {
			o.Connectors[c] = members[id].URL
		}
		for _, t := range w.Tasks {
			o.Tasks[t] = members[id].URL
		}
	}
	return o
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
