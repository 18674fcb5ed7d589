package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// A script is a membership that a test plays.
type script struct {
	events chan group.Event
	runs   atomic.Int32

	mu      sync.Mutex // the herder may speak while the test sleeps
	reasons []string   // to rejoin
}

func (m *script) Run(ctx context.Context) error {
	m.runs.Add(1)
	<-ctx.Done()
	return nil
}
func (m *script) Events() <-chan group.Event { return m.events }
func (m *script) Forget()                    {}

func (m *script) Rejoin(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reasons = append(m.reasons, reason)
}

// rejoins are the reasons to rejoin that were given since they were last forgotten.
func (m *script) rejoins() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.reasons)
}

func (m *script) forgetReasons() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reasons = nil
}

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
			m.forgetReasons()
			m.events <- group.Assigned{MemberID: "a", Leader: "a", LeaderURL: "http://a:1/", ConfigOffset: offset, Error: code, Work: group.Work{Connectors: []string{"c"}}}
			synctest.Wait()
		}
		at := h.configs.Snapshot().Offset()
		assigned(at+1, group.NoError)
		time.Sleep(shortPause)
		synctest.Wait()
		if _, ok := h.statuses.Connector("c"); ok || len(m.rejoins()) != 1 {
			t.Errorf("ahead of the config topic: started %t, rejoins %q; want no start and one rejoin", ok, m.rejoins())
		}
		assigned(at-1, group.NoError)
		if _, ok := h.statuses.Connector("c"); ok || len(m.rejoins()) != 1 {
			t.Errorf("behind the config topic: started %t, rejoins %q; want no start and one rejoin", ok, m.rejoins())
		}
		assigned(at, group.ConfigMismatch)
		if len(m.rejoins()) != 0 {
			t.Errorf("after a failed assignment: rejoins %q at once: the group would never rest", m.rejoins())
		}
		time.Sleep(shortPause)
		synctest.Wait()
		if _, ok := h.statuses.Connector("c"); ok || len(m.rejoins()) != 1 {
			t.Errorf("after a failed assignment: started %t, rejoins %q; want no start and one rejoin", ok, m.rejoins())
		}
		assigned(at, group.NoError)
		if s, _ := h.statuses.Connector("c"); s.State != topics.StateFailed || len(m.rejoins()) != 0 {
			t.Errorf("at the offset: status %v, rejoins %q; want it started (its class is unknown, so FAILED)", s, m.rejoins())
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

// A cutStore is a config topic that at times cannot be read to its end.
type cutStore struct {
	configStore
	cut atomic.Bool
}

func (s *cutStore) ReadToEnd(ctx context.Context) error {
	if s.cut.Load() {
		return errors.New("cut off")
	}
	return s.configStore.ReadToEnd(ctx)
}

// TestPauseOutOfTheGroup wants the pauses of Java when the config topic cannot be read.
func TestPauseOutOfTheGroup(t *testing.T) {
	for _, tt := range []struct {
		version int16
		pause   time.Duration
	}{{0, 5 * time.Minute}, {2, 6 * time.Second}} {
		scripted(t, func(t *testing.T, h *Herder, m *script) {
			h.cfg.UnsyncBackoff, h.cfg.ScheduledRebalanceMaxDelay = 5*time.Minute, 5*time.Minute
			store := &cutStore{configStore: h.configs}
			store.cut.Store(true)
			if err := h.do(t.Context(), func() error { h.configs = store; return nil }); err != nil {
				t.Fatal(err)
			}
			m.events <- group.Assigned{MemberID: "a", Leader: "b", Version: tt.version, ConfigOffset: 7}
			synctest.Wait()
			store.cut.Store(false)
			time.Sleep(tt.pause - time.Millisecond)
			synctest.Wait()
			if n := m.runs.Load(); n != 1 {
				t.Errorf("protocol version %d: joined again before %v were over", tt.version, tt.pause)
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			if n := m.runs.Load(); n != 2 {
				t.Errorf("protocol version %d: joined %d times after %v, want 2", tt.version, n, tt.pause)
			}
		})
	}
}

// TestSessionKeys follows the keys that a worker makes while it leads.
func TestSessionKeys(t *testing.T) {
	scripted(t, func(t *testing.T, h *Herder, m *script) {
		h.cfg.KeyAlgorithm, h.cfg.KeyTTL = "HmacSHA256", time.Hour
		assigned := func(leader string, version int16) {
			m.events <- group.Assigned{MemberID: "a", Leader: leader, LeaderURL: "http://b:1/", Version: version, ConfigOffset: h.configs.Snapshot().Offset()}
			synctest.Wait()
		}
		var last []byte
		want := func(what string, fresh bool, size int) {
			t.Helper()
			synctest.Wait()
			var key []byte
			if k := h.configs.Snapshot().SessionKey(); k != nil {
				key = k.Key
			}
			if len(key) != size || bytes.Equal(key, last) == fresh {
				t.Errorf("%s: a key of %d bytes, new %t; want %d, %t", what, len(key), !bytes.Equal(key, last), size, fresh)
			}
			last = key
		}
		assigned("a", 1)
		want("a protocol without signatures", false, 0)
		assigned("b", 2)
		want("another leads", false, 0)
		assigned("a", 2)
		want("there is none", true, 32)
		assigned("a", 2)
		want("there is one", false, 32)
		time.Sleep(59 * time.Minute)
		want("before it expires", false, 32)
		time.Sleep(2 * time.Minute)
		want("when it has expired", true, 32)
		assigned("b", 2)
		time.Sleep(3 * time.Hour)
		want("expired while another leads", false, 32)
		assigned("a", 2)
		want("leading again", true, 32)
		h.cfg.KeyAlgorithm, h.cfg.KeyTTL = "HmacSHA512", 0
		assigned("a", 2)
		want("of another kind", true, 64)
		time.Sleep(48 * time.Hour)
		want("for ever", false, 64)
		h.cfg.KeySizeBits = 128
		assigned("a", 2)
		want("of another size", true, 16)
	})
}
