package kafka

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.admin()
		defer closed(a)
		if got, err := a.Strangers(t.Context(), "cluster"); err != nil || got.Names != nil {
			t.Errorf("of no group: %v, %v", got, err)
		}
		ours := string(EncodeSubscription(Subscription{Topics: []string{"a"}, UserData: UserData(RangeName, 3)}))
		java := string(EncodeSubscription(Subscription{Topics: []string{"a"}, Generation: 3}))
		p := fx.player(ours, 0)
		time.Sleep(10 * time.Second)
		if got, err := a.Strangers(t.Context(), "cluster"); err != nil || len(got.Names) != 0 {
			t.Errorf("without Java: %v, %v", got, err)
		}
		q := fx.player(java, 0)
		unknown := fx.player("not a subscription", 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		got, err := a.Strangers(t.Context(), "cluster")
		names := strings.Join(got.Names, "")
		if err != nil || len(got.Names) != 2 || !strings.Contains(names, q.joined().MemberID) || !strings.Contains(names, unknown.joined().MemberID) {
			t.Errorf("with Java: %+v, %v", got, err)
		}
		slow := fx.player(ours, 20*time.Second)
		time.Sleep(25 * time.Second)
		if got, err := a.Strangers(t.Context(), "cluster"); !errors.Is(err, ErrRebalancing) && len(got.Names) != 2 {
			t.Errorf("while the group rebalances: %+v, %v", got, err)
		}
		for _, p := range []*player{slow, p, q, unknown} {
			p.end(t)
		}
	})
}

func TestMarked(t *testing.T) {
	for name, c := range map[string]struct {
		assignor string
		data     []byte
		want     bool
	}{
		"range":                     {RangeName, UserData(RangeName, 5), true},
		"cooperative":               {CooperativeStickyName, UserData(CooperativeStickyName, 5), true},
		"Java's cooperative":        {CooperativeStickyName, CooperativeStickyUserData(5, nil), false},
		"Java's range":              {RangeName, nil, false},
		"cooperative's under range": {RangeName, UserData(CooperativeStickyName, 5), false},
		"somebody else's data":      {RangeName, []byte("marker"), false},
	} {
		if got := marked(c.assignor, EncodeSubscription(Subscription{UserData: c.data})); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if marked(RangeName, nil) {
		t.Error("a member without metadata is taken for ours")
	}
}

// While a group rebalances its members are told by their client.id alone.
func TestStrangersWhileAGroupRebalances(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.admin()
		defer closed(a)
		ours := string(EncodeSubscription(Subscription{Topics: []string{"a"}, UserData: UserData(RangeName, 3)}))
		p := fx.player(ours+clientMark, 0) // what follows a subscription is passed over
		time.Sleep(10 * time.Second)
		for _, c := range []struct {
			name string
			err  error
		}{{ours + "2" + clientMark, nil}, {ours + "3", ErrRebalancing}} {
			slow := fx.player(c.name, 0)
			for state := ""; state != "PreparingRebalance"; time.Sleep(time.Millisecond) {
				info, err := a.DescribeGroup(t.Context(), "cluster")
				if err != nil {
					t.Fatal(err)
				}
				state = info.State
			}
			if got, err := a.Strangers(t.Context(), "cluster"); !errors.Is(err, c.err) || len(got.Names) != 0 {
				t.Errorf("%q: %+v, %v", c.name[len(ours):], got, err)
			}
			time.Sleep(10 * time.Second)
			slow.end(t)
			time.Sleep(10 * time.Second)
		}
		p.end(t)
	})
}

func TestAmongOurs(t *testing.T) {
	counted := 0
	assign := AmongOurs(ConsumerAssign(func([]string) (map[string]int32, error) { return map[string]int32{"a": 4}, nil }), func(ours int) { counted = ours })
	ours := EncodeSubscription(Subscription{Topics: []string{"a"}, UserData: UserData(RangeName, 1)})
	got, err := assign("x", RangeName, 1, map[string][]byte{
		"a-java": EncodeSubscription(Subscription{Topics: []string{"a"}}), "b-other": []byte("?"), "x": ours, "y": ours,
	})
	if err != nil || counted != 2 || len(got) != 4 {
		t.Fatalf("%d assignments, %d of ours, %v", len(got), counted, err)
	}
	for id, want := range map[string]int{"a-java": 0, "b-other": 0, "x": 2, "y": 2} {
		if a, err := DecodeAssignment(got[id]); err != nil || len(a.Partitions) != want || len(got[id]) == 0 {
			t.Errorf("%s has %v, %v; want %d partitions", id, a.Partitions, err, want)
		}
	}
}
