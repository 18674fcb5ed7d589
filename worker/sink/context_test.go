package sink

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
)

func TestErrant(t *testing.T) {
	report := func(s *stage, swallow bool) func(b *connect.Batch) error {
		return func(b *connect.Batch) error {
			if b == nil {
				return nil
			}
			for i := range b.Records {
				r := &b.Records[i]
				if r.Offset == 3 {
					r.Topic, r.Partition = "renamed", 8 // the consumed record counts
					if err := s.r.tc.Errant(s.t.Context(), r, errBoom); err != nil && !swallow {
						return err
					}
				}
			}
			return nil
		}
	}
	t.Run("tolerated", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			c.Faults.TolerateAll = true
			s.w.produce(a0, 5)
			s.r.onPut = report(s, false)
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(2 * time.Second)
			s.wantStates("RUNNING")
			if got := s.task.Errors().Failures.Load(); got != 1 {
				t.Errorf("failures: got %d, want 1", got)
			}
		})
	})
	for _, swallow := range []bool{false, true} {
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			s.r.onPut = report(s, swallow)
		}, func(s *stage) {
			go s.w.round(s.t, "range", a0)
			err := <-s.done
			if err == nil || !strings.Contains(err.Error(), "Tolerance exceeded in error handler: TASK_PUT a-0@3: boom") {
				t.Errorf("swallowed by the task %v: got %v", swallow, err)
			}
		})
	}
}

func TestErrantOfAnUnknownRecord(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Faults.TolerateAll = true
		s.w.produce(a0, 5)
		s.r.onPut = func(b *connect.Batch) error {
			return s.r.tc.Errant(s.t.Context(), &connect.Record{Topic: "a", Offset: 77}, errBoom)
		}
	}, func(s *stage) {
		if err := <-s.done; !errors.Is(err, errBoom) {
			t.Errorf("got %v, want an error: there are no bytes to keep", err)
		}
	})
}

func TestGroup(t *testing.T) {
	play(t, func(s *stage, c *Config) { c.GroupID = "mine"; s.w.produce(a0, 1); c.FlushInterval = time.Hour }, func(s *stage) {
		g := s.r.tc.Group()
		s.rebalance("range", a0)
		old := g.Session()
		if err := g.Commit(s.t.Context(), old, offsets{a0: 1}); err != nil || g.ID() != "mine" {
			t.Errorf("commit in group %s: %v", g.ID(), err)
		}
		if got, err := g.Committed(s.t.Context(), []tp{a0, b0}); err != nil || len(got) != 1 || got[a0] != 1 {
			t.Errorf("committed: got %v, %v", got, err)
		}
		s.rebalance("range", a0)
		if err := g.Commit(s.t.Context(), old, offsets{a0: 1}); !errors.Is(err, connect.ErrFenced) {
			t.Errorf("commit under the session before: got %v, want ErrFenced", err)
		}
	})
}
