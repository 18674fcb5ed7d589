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
