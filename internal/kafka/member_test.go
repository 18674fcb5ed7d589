package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/firn-io/firn/connect"
)

// A player is a member and an owner that answers its events: it joins with its name as
// metadata, after a time to prepare, and is assigned the names of all members.
type player struct {
	*Member
	stop  context.CancelFunc
	ended chan error

	mu      sync.Mutex // guards what follows
	name    string
	prepare time.Duration
	events  []string
	last    Joined
}

func (fx *fixture) player(name string, prepare time.Duration, pairs ...string) *player {
	p := &player{name: name, prepare: prepare, ended: make(chan error, 1)}
	p.Member = NewMember(MemberConfig{
		Config: fx.config(name, pairs...), Group: "cluster", ProtocolType: "connect",
		Assign: func(_, _ string, _ int32, members map[string][]byte) (map[string][]byte, error) {
			var names []string
			for _, m := range members {
				names = append(names, string(m))
			}
			slices.Sort(names)
			out := map[string][]byte{}
			for id := range members {
				out[id] = []byte(strings.Join(names, "+"))
			}
			return out, nil
		},
	})
	ctx, cancel := context.WithCancel(fx.t.Context())
	p.stop = cancel
	go func() { p.ended <- p.Run(ctx) }()
	go p.play(ctx)
	return p
}

func (p *player) play(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-p.Events():
			switch e := e.(type) {
			case Prepare:
				p.mu.Lock()
				name, prepare := []byte(p.name), p.prepare
				p.mu.Unlock()
				go func() {
					if sleep(ctx, prepare) {
						e.Join([]Protocol{{Name: "sessioned", Metadata: name}, {Name: "default", Metadata: name}})
					}
				}()
				p.note("prepare")
			case Joined:
				p.mu.Lock()
				p.last = e
				p.mu.Unlock()
				p.note("joined " + string(e.Assignment))
			case Lost:
				p.note("lost")
			}
		}
	}
}

func (p *player) note(event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, event)
}

// seen returns what happened since the last call.
func (p *player) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.events, ", ")
	p.events = nil
	return out
}

func (p *player) joined() Joined {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *player) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

func TestMembersRebalance(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		expect := func(after time.Duration, want map[*player]string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			for p, events := range want {
				if got := p.seen(); got != events {
					t.Errorf("%s saw %q, want %q", p.name, got, events)
				}
			}
		}
		a := fx.player("a", 0)
		expect(10*time.Second, map[*player]string{a: "prepare, joined a"})
		b := fx.player("b", 9*time.Second) // the others wait in JoinGroup: kfake drops who does so for longer than the session
		expect(40*time.Second, map[*player]string{a: "prepare, joined a+b", b: "prepare, joined a+b"})
		c := fx.player("c", 0)
		expect(40*time.Second, map[*player]string{a: "prepare, joined a+b+c", b: "prepare, joined a+b+c", c: "prepare, joined a+b+c"})

		generation := b.joined().Generation
		b.Rejoin("because") // metadata as before: a follower gets the same generation again
		expect(20*time.Second, map[*player]string{a: "", b: "prepare, joined a+b+c", c: ""})
		if got := b.joined().Generation; got != generation {
			t.Errorf("generation %d after a rejoin without news, want %d", got, generation)
		}
		b.mu.Lock()
		b.prepare, b.name = 0, "B"
		b.mu.Unlock()
		b.Rejoin("news")
		expect(20*time.Second, map[*player]string{a: "prepare, joined B+a+c", b: "prepare, joined B+a+c", c: "prepare, joined B+a+c"})

		c.end(t) // leaves: the others need not wait for the session timeout
		expect(25*time.Second, map[*player]string{a: "prepare, joined B+a", b: "prepare, joined B+a"})

		fx.plug("a", false) // dies
		expect(40*time.Second, map[*player]string{a: "lost", b: "prepare, joined B"})
		fx.plug("a", true)
		expect(20*time.Second, map[*player]string{a: "prepare, joined B+a", b: "prepare, joined B+a"})
		a.end(t)
		b.end(t)
		if info := fx.GroupInfo("cluster"); info != nil && len(info.Members) > 0 {
			t.Errorf("left behind: %+v", info)
		}
	})
}

func TestMemberThroughCoordinatorTrouble(t *testing.T) {
	tests := []struct {
		name string
		do   func(fx *fixture, p *player)
		want string
	}{
		{"coordinator moves", func(fx *fixture, _ *player) { fx.fault(kmsg.Heartbeat, kerr.NotCoordinator, 2) }, ""},
		{"coordinator loads", func(fx *fixture, _ *player) { fx.fault(kmsg.Heartbeat, kerr.CoordinatorNotAvailable, 2) }, ""},
		{"connection cut", func(fx *fixture, _ *player) { fx.plug("a", true) }, ""},
		{"unplugged for less than the session", func(fx *fixture, _ *player) {
			fx.plug("a", false)
			time.Sleep(6 * time.Second)
			fx.plug("a", true)
		}, ""},
		{"unknown member", func(fx *fixture, _ *player) { fx.fault(kmsg.Heartbeat, kerr.UnknownMemberID, 1) }, "lost, prepare, joined a"},
		{"illegal generation", func(fx *fixture, _ *player) { fx.fault(kmsg.Heartbeat, kerr.IllegalGeneration, 1) }, "lost, prepare, joined a"},
		{"rebalance", func(fx *fixture, _ *player) { fx.fault(kmsg.Heartbeat, kerr.RebalanceInProgress, 1) }, "prepare, joined a"},
		{"rejoin fails on the way", func(fx *fixture, p *player) {
			fx.fault(kmsg.JoinGroup, kerr.CoordinatorNotAvailable, 1)
			p.Rejoin("test")
		}, "prepare, prepare, joined a"},
		{"sync says rebalance", func(fx *fixture, p *player) {
			fx.fault(kmsg.SyncGroup, kerr.RebalanceInProgress, 1)
			p.Rejoin("test")
		}, "prepare, prepare, joined a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, fx *fixture) {
				p := fx.player("a", 0)
				time.Sleep(10 * time.Second)
				if got := p.seen(); got != "prepare, joined a" {
					t.Fatalf("before: %q", got)
				}
				tt.do(fx, p)
				time.Sleep(30 * time.Second)
				if got := p.seen(); got != tt.want {
					t.Errorf("saw %q, want %q", got, tt.want)
				}
				p.end(t)
			})
		})
	}
}

// A static member that is back within the session timeout disturbs nobody (KIP-345); a second
// one under the same name ends the first.
func TestStaticMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.player("a", 0, "group.instance.id", "one")
		b := fx.player("b", 0, "group.instance.id", "two")
		time.Sleep(30 * time.Second)
		if got := b.seen(); !strings.HasSuffix(got, "joined a+b") {
			t.Fatalf("before: %q", got)
		}
		before := a.joined()
		a.end(t)
		time.Sleep(2 * time.Second)
		again := fx.player("a", 0, "group.instance.id", "one")
		time.Sleep(30 * time.Second)
		if got := again.seen(); got != "prepare, joined a+b" {
			t.Errorf("the member that is back saw %q", got)
		}
		if got := again.joined(); got.Generation != before.Generation || got.MemberID == before.MemberID {
			t.Errorf("it is %s in generation %d, and was %s in %d", got.MemberID, got.Generation, before.MemberID, before.Generation)
		}
		if got := b.seen(); got != "" {
			t.Errorf("the other saw %q", got)
		}

		rival := fx.player("a", 0, "group.instance.id", "one")
		err := <-again.ended
		again.stop()
		if err == nil || !errors.Is(err, ErrRival) {
			t.Errorf("the first ended with %v, want that another has its group.instance.id", err)
		}
		commit := again.Commit(soon(t), again.joined().MemberID, again.joined().Generation, map[connect.TopicPartition]int64{tp("orders", 0): 1})
		if commit == nil {
			t.Error("the first still commits")
		}
		time.Sleep(20 * time.Second)
		if got := rival.seen(); got != "prepare, joined a+b" {
			t.Errorf("the second saw %q", got)
		}
		rival.end(t)
		b.end(t)
	})
}

func TestMemberEndsWhenForbidden(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.fault(kmsg.JoinGroup, kerr.GroupAuthorizationFailed, -1)
		p := fx.player("a", 0)
		if err := <-p.ended; !errors.Is(err, ErrUnauthorized) {
			t.Errorf("run: %v", err)
		}
		p.stop()
	})
}

// Another cluster answers at the same addresses, and does not know the group.
func TestMemberInAnotherCluster(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.player("a", 0)
		time.Sleep(10 * time.Second)
		fx.Close()
		time.Sleep(2 * time.Second)
		c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.Ports(9001, 9002, 9003), kfake.ListenFn(fx.vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(30 * time.Second)
		if got, want := a.seen(), "prepare, joined a, lost, prepare, joined a"; got != want {
			t.Errorf("saw %q, want %q", got, want)
		}
		a.end(t)
	})
}

// Ending a member whose JoinGroup waits for the others must not wait for them.
func TestMemberLeavesWhileJoining(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.player("a", 0)
		time.Sleep(10 * time.Second)
		a.mu.Lock()
		a.prepare = time.Hour // does not come when the others join
		a.mu.Unlock()
		b := fx.player("b", 0)
		c := fx.player("c", 0)
		time.Sleep(time.Second)
		start := time.Now()
		b.end(t)
		if took := time.Since(start); took > 5*time.Second || b.seen() != "prepare" {
			t.Errorf("leaving took %v", took)
		}
		a.end(t)
		c.end(t)
	})
}

func TestMemberCommits(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		p := fx.player("a", 0)
		time.Sleep(10 * time.Second)
		at := p.joined()
		zero, one := tp("orders", 0), tp("orders", 1)
		if got, err := p.Committed(soon(t), []connect.TopicPartition{zero, one}); err != nil || len(got) != 0 {
			t.Errorf("before any commit: %v, %v", got, err)
		}
		fx.fault(kmsg.OffsetCommit, kerr.NotCoordinator, 2)
		if err := p.Commit(soon(t), at.MemberID, at.Generation, map[connect.TopicPartition]int64{zero: 5}); err != nil {
			t.Errorf("commit: %v", err)
		}
		fx.fault(kmsg.OffsetFetch, kerr.UnstableOffsetCommit, 2)
		if got, err := p.Committed(soon(t), []connect.TopicPartition{zero, one}); err != nil || fmt.Sprint(got) != "map[orders-0:5]" {
			t.Errorf("committed: %v, %v", got, err)
		}
		for what, err := range map[string]error{
			"another generation": p.Commit(soon(t), at.MemberID, at.Generation+1, map[connect.TopicPartition]int64{zero: 6}),
			"another member":     p.Commit(soon(t), "somebody", at.Generation, map[connect.TopicPartition]int64{zero: 6}),
		} {
			if !errors.Is(err, connect.ErrFenced) {
				t.Errorf("%s: %v", what, err)
			}
		}
		fx.plug("a", false)
		time.AfterFunc(2*time.Second, func() { fx.plug("a", true) })
		if err := p.Commit(soon(t), at.MemberID, at.Generation, map[connect.TopicPartition]int64{zero: 7}); err != nil {
			t.Errorf("commit through a cut: %v", err)
		}
		p.end(t)
		if err := p.Commit(soon(t), at.MemberID, at.Generation, map[connect.TopicPartition]int64{zero: 8}); !errors.Is(err, ErrClosed) {
			t.Errorf("commit after the end: %v", err)
		}
	}, kfake.SeedTopics(2, "orders"))
}
