package worker

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// A script is a membership that a test plays.
type script struct {
	events  chan group.Event
	rejoins []string
}

func (m *script) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
func (m *script) Events() <-chan group.Event { return m.events }
func (m *script) Rejoin(reason string)       { m.rejoins = append(m.rejoins, reason) }
func (m *script) Forget()                    {}

// scripted runs a herder on memory and a script, in fake time.
func scripted(t *testing.T, test func(t *testing.T, h *Herder, m *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHerder(Options{
			Config: &Config{SyncTimeout: time.Second, TaskGrace: time.Second}, Logger: slog.New(slog.DiscardHandler), AdvertisedURL: "http://a:1/",
			Plugins: Plugins{Connectors: map[string]func() connect.SinkConnector{}},
		}, "a:1")
		m := &script{events: make(chan group.Event)}
		h.configs, h.statuses, h.member = newMemoryConfigs(), newMemoryStatuses(), m
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.run(ctx) }()
		synctest.Wait()
		test(t, h, m)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the herder ended with %v", err)
		}
	})
}

func TestWorkStartsOnlyWhereTheLeaderLooked(t *testing.T) {
	scripted(t, func(t *testing.T, h *Herder, m *script) {
		if err := h.configs.PutConnector(t.Context(), "c", map[string]string{"name": "c", "connector.class": "none"}, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		assigned := func(offset int64, code int16) {
			m.rejoins = nil
			m.events <- group.Assigned{MemberID: "a", Leader: "a", LeaderURL: "http://a:1/", ConfigOffset: offset, Error: code, Work: group.Work{Connectors: []string{"c"}}}
			synctest.Wait()
		}
		at := h.configs.Snapshot().Offset()
		assigned(at-1, group.NoError)
		if _, ok := h.statuses.Connector("c"); ok || len(m.rejoins) != 1 {
			t.Errorf("behind the config topic: started %t, rejoins %q; want no start and one rejoin", ok, m.rejoins)
		}
		assigned(at, group.ConfigMismatch)
		if _, ok := h.statuses.Connector("c"); ok || len(m.rejoins) != 1 {
			t.Errorf("after a failed assignment: started %t, rejoins %q; want no start and one rejoin", ok, m.rejoins)
		}
		assigned(at, group.NoError)
		if s, _ := h.statuses.Connector("c"); s.State != topics.StateFailed || len(m.rejoins) != 0 {
			t.Errorf("at the offset: status %v, rejoins %q; want it started (its class is unknown, so FAILED)", s, m.rejoins)
		}
	})
}

func TestRequestsWaitForTheRebalance(t *testing.T) {
	scripted(t, func(t *testing.T, h *Herder, m *script) {
		answer := make(chan error, 1)
		go func() { answer <- h.Delete(t.Context(), "c") }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-answer:
			t.Fatalf("answered %v before there was a leader", err)
		default:
		}
		joined := false
		m.events <- group.Joining{Reason: "test", Join: func() { joined = true }}
		m.events <- group.Assigned{MemberID: "a", Leader: "a", ConfigOffset: -1}
		if err := <-answer; err == nil || err.Error() != "Connector c not found" || !joined {
			t.Errorf("answered %v, joined %t; want that there is no connector", err, joined)
		}
	})
}
