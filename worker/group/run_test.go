package group

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

// What the herder has not read yet when the membership is lost: the void Joining goes,
// and two losses become one.
func TestLost(t *testing.T) {
	work := Work{Connectors: []string{"a"}, Tasks: []TaskID{{"a", 0}}}
	tests := []struct {
		name  string
		err   error
		queue []Event
		want  string
		keeps bool
	}{
		{"cut off", errors.New("no coordinator"), nil, "Lost{[a] [a-0]}", false},
		{"forgotten", fmt.Errorf("heartbeat: %w", connect.ErrFenced), nil, "Lost{[] []}", true},
		{"with a Joining", errors.New("x"), []Event{Assigned{}, Joining{}}, "Assigned Lost{[a] [a-0]}", false},
		{"twice", errors.New("x"), []Event{Lost{Stop: Work{Tasks: []TaskID{{"b", 1}}}}, Joining{}}, "Lost{[a] [b-1 a-0]}", false},
		{"again, before the Assigned was read", errors.New("x"), []Event{Lost{Stop: Work{Connectors: []string{"b"}}}, Assigned{}}, "Lost{[b] []} Assigned Lost{[a] [a-0]}", false},
	}
	for _, tt := range tests {
		r := run{Member: &Member{held: &Assignment{Work: work}}, queue: tt.queue, delay: newTimer(), prepared: 3}
		r.lost(tt.err)
		got := ""
		for _, e := range r.queue {
			switch e := e.(type) {
			case Assigned:
				got += " Assigned"
			case Joining:
				got += " Joining"
			case Lost:
				got += fmt.Sprintf(" Lost%v", e.Stop)
			}
		}
		if got != " "+tt.want || (r.held != nil) != tt.keeps || r.prepared != 0 {
			t.Errorf("%s: queue%s, keeps work %v, answerable %d; want %s, %v, 0", tt.name, got, r.held != nil, r.prepared, tt.want, tt.keeps)
		}
	}
}

func TestUnknownProtocol(t *testing.T) {
	if _, err := NewMember(Config{Protocol: "lazy"}); err == nil {
		t.Error("connect.protocol=lazy was taken")
	}
}

// A worker that cannot read the config topic leaves, and comes back with the same Member.
func TestLeaveForAWhile(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		fx.start("w1", "")
		fx.start("w2", "")
		time.Sleep(20 * time.Second)
		w := fx.follower()
		w.cancel()
		if err := <-w.left; err != nil {
			t.Fatal(err)
		}
		had := w.work()
		time.Sleep(maxDelay / 2)
		fx.run(w)
		time.Sleep(maxDelay)
		fx.check("back with its work", "w1", "w2")
		if missing := had.Minus(w.work()); !missing.Empty() {
			t.Errorf("%v was taken away", missing)
		}

		w.cancel()
		if err := <-w.left; err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.running = Work{}
		w.mu.Unlock()
		w.member.Forget()
		time.Sleep(3 * maxDelay)
		fx.run(w)
		time.Sleep(maxDelay)
		fx.check("back without work", "w1", "w2")
	})
}
