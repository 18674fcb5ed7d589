package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

func TestKeptPartitionsAreNotTouched(t *testing.T) {
	for _, protocol := range []string{"range", "cooperative-sticky"} {
		t.Run(protocol, func(t *testing.T) {
			play(t, func(s *stage, _ *Config) {
				s.w.produce(a0, 5)
				s.w.produce(a1, 5)
				s.w.produce(b0, 5)
			}, func(s *stage) {
				s.rebalance(protocol, a0, a1)
				s.wait(50 * time.Millisecond)
				s.wantCalls("start", "open [a-0 a-1]")
				s.rebalance(protocol, a0, b0)
				s.wantCalls("close [a-1] lost=false", "open [b-0]")
				s.w.produce(a0, 5)
				s.w.produce(a1, 5)
				s.wait(time.Second)
				s.wantRange(a0, 0, 10)
				s.wantRange(a1, 0, 5)
				s.wantRange(b0, 0, 5)
				select {
				case reason := <-s.w.rejoins:
					if protocol == "range" {
						t.Errorf("joins again (%s) although the assignor is eager", reason)
					}
				default:
					if protocol != "range" {
						t.Error("gave up a partition and did not join again: nobody can get it")
					}
				}
				sess := s.r.tc.Group().Session()
				if sess.Generation != 2 || sess.Member != "m1" || !slices.Equal(sess.Owned, []tp{a0, b0}) || !slices.Equal(sess.Subscribed, []tp{a0, a1, b0}) {
					t.Errorf("session: got %+v", sess)
				}
				s.rebalance(protocol, a0, b0)
				s.wantCalls()
			})
		})
	}
}

func TestSubscriptionOfJoin(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 1) }, func(s *stage) {
		s.rebalance("cooperative-sticky", a0)
		protocols := s.rebalance("cooperative-sticky", a0)
		var names []string
		for _, p := range protocols {
			names = append(names, p.Name)
			sub, err := kafka.DecodeSubscription(p.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(sub.Topics, []string{"a", "b"}) {
				t.Errorf("%s: topics %v, want a and b, also the one that does not exist yet", p.Name, sub.Topics)
			}
			if want := p.Name == "cooperative-sticky"; want != slices.Equal(sub.Owned, []tp{a0}) {
				t.Errorf("%s: owned %v", p.Name, sub.Owned)
			}
		}
		if want := []string{"range", "cooperative-sticky"}; !slices.Equal(names, want) {
			t.Errorf("assignors: got %v, want %v", names, want)
		}
	})
}

// TestEagerCommitsBeforeJoining: once Join was called another member may own any
// partition, so what the group's offsets cover is committed first and rests.
func TestEagerCommitsBeforeJoining(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.FlushInterval = time.Hour
		s.w.produce(a0, 5)
		s.w.produce(a1, 5)
		s.r.onCommit = func() (offsets, error) {
			o := offsets{}
			for p, next := range s.r.next {
				if p != a1 { // the task keeps this one's offset elsewhere
					o[p] = next
				}
			}
			return o, nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0, a1)
		s.wait(50 * time.Millisecond)
		var joined bool
		s.w.tell(kafka.Prepare{Join: func([]kafka.Protocol) { joined = true }})
		s.wait(50 * time.Millisecond)
		if got := render(s.w.offsetsNow()); !joined || got != " a-0=5" {
			t.Errorf("joined %v with %q committed, want a-0=5 committed before", joined, got)
		}
		s.w.produce(a0, 5)
		s.w.produce(a1, 5)
		s.wait(time.Second)
		s.wantRange(a0, 0, 5)
		s.wantRange(a1, 0, 10)
		s.w.assign("range", a0, a1)
		s.wait(time.Second)
		s.wantRange(a0, 0, 10)
		s.wantCalls("start", "open [a-0 a-1]")
	})
}

func TestCooperativeCommitsWhatItGivesUp(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.FlushInterval = time.Hour
		s.w.produce(a0, 5)
		s.w.produce(a1, 5)
		s.r.onClose = func() {
			if got := s.w.offsetsNow()[a1]; got != 5 {
				t.Errorf("closed with %d committed, want 5", got)
			}
		}
	}, func(s *stage) {
		s.rebalance("cooperative-sticky", a0, a1)
		s.wait(50 * time.Millisecond)
		s.rebalance("cooperative-sticky", a0)
		if want := []string{"2: a-0=5 a-1=5"}; !slices.Equal(s.w.commits, want) {
			t.Errorf("commits: got %v, want %v, under the new generation", s.w.commits, want)
		}
	})
}

func TestMembershipLost(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 3) }, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(50 * time.Millisecond)
		s.w.tell(kafka.Lost{Err: errBoom})
		s.wait(50 * time.Millisecond)
		if g := s.r.tc.Group().Session(); g.Member != "" || len(s.r.tc.Assignment()) != 0 {
			t.Errorf("session %+v and assignment %v after the loss", g, s.r.tc.Assignment())
		}
		s.wantCalls("start", "open [a-0]", "close [a-0] lost=true")
		s.wait(5 * time.Second)
		if len(s.w.commits) != 0 {
			t.Errorf("commits without membership: %v", s.w.commits)
		}
		s.rebalance("range", a0)
		s.wait(50 * time.Millisecond)
		s.wantCalls("open [a-0]")
		if got := s.r.values(a0); len(got) != 6 {
			t.Errorf("got %d records, want the 3 uncommitted ones again", len(got))
		}
	})
}

func TestLostWhileJoinIsPrepared(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 3) }, func(s *stage) {
		gate := make(chan struct{})
		s.w.setFault(func(op string) error {
			if op == "topics" {
				<-gate
			}
			return nil
		})
		s.w.tell(kafka.Prepare{Join: func([]kafka.Protocol) { t.Error("joined with a Prepare that a Lost has overtaken") }})
		s.w.tell(kafka.Lost{Err: errBoom})
		s.wait(time.Millisecond)
		close(gate)
		s.w.setFault(nil)
		s.wait(time.Second)
		s.rebalance("range", a0)
		s.wait(time.Second)
		s.wantRange(a0, 0, 3)
	})
}

func TestRebalanceWithABatchInRedelivery(t *testing.T) {
	var refuse bool
	play(t, func(s *stage, _ *Config) {
		refuse = true
		s.w.produce(a0, 3)
		s.w.produce(b0, 3)
		s.r.onPut = func(b *connect.Batch) error {
			if b != nil && refuse {
				return retry()
			}
			return nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0, b0)
		s.wait(time.Second)
		s.rebalance("range", b0) // the waiting batch is of a-0
		refuse = false
		s.wait(time.Second)
		s.wantRange(a0, 0, 0)
		s.wantRange(b0, 0, 3)
		s.rebalance("range", a0, b0)
		s.wait(2 * time.Second)
		s.wantRange(a0, 0, 3) // and not past it
		if got := s.w.offsetsNow()[a0]; got != 3 {
			t.Errorf("committed %d, want 3", got)
		}
	})
}

func TestRegexSubscription(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Topics, c.TopicsRegex, c.MetadataMaxAge = nil, "a|n.*|__.*", time.Minute
		s.w.produce(a0, 3)
		s.w.produce(b0, 3)
		s.w.produce(tp{Topic: "__internal"}, 3)
	}, func(s *stage) {
		topics := func(p []kafka.Protocol) []string {
			sub, err := kafka.DecodeSubscription(p[0].Metadata)
			if err != nil {
				t.Fatal(err)
			}
			return sub.Topics
		}
		if got := topics(s.rebalance("range", a0)); !slices.Equal(got, []string{"a"}) {
			t.Errorf("subscribed to %v, want a: b does not match as a whole, internal topics never", got)
		}
		s.wait(2 * time.Minute)
		if len(s.w.rejoins) != 0 {
			t.Errorf("rejoined for nothing: %s", <-s.w.rejoins)
		}
		n0 := tp{Topic: "new", Partition: 0}
		s.w.produce(n0, 3)
		s.wait(time.Minute)
		if len(s.w.rejoins) != 1 {
			t.Fatalf("%d rejoins after a new topic, want 1", len(s.w.rejoins))
		}
		if got := topics(s.rebalance("range", a0, n0)); !slices.Equal(got, []string{"a", "new"}) {
			t.Errorf("subscribed to %v, want a and new", got)
		}
		s.wait(time.Second)
		s.wantRange(n0, 0, 3)
		s.wantCalls("start", "open [a-0]", "open [new-0]")
	})
}

func TestRegexWaitsForMetadata(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Topics, c.TopicsRegex = nil, "a"
		s.w.produce(a0, 3)
		s.w.fault = func(op string) error {
			if op == "topics" {
				return errBoom
			}
			return nil
		}
	}, func(s *stage) {
		var joined bool
		s.w.tell(kafka.Prepare{Join: func([]kafka.Protocol) { joined = true }})
		s.wait(time.Minute)
		if joined {
			t.Error("joined without knowing any topic")
		}
		s.w.setFault(nil)
		s.wait(2 * time.Second)
		if !joined {
			t.Error("did not join when metadata came")
		}
	})
}

func TestMissingTopicAppears(t *testing.T) {
	play(t, func(_ *stage, c *Config) { c.Topics = []string{"b"} }, func(s *stage) {
		s.rebalance("range")
		s.wait(time.Minute)
		s.w.produce(b0, 2)
		s.wait(missingAgain + time.Second)
		if len(s.w.rejoins) != 1 {
			t.Errorf("%d rejoins after the topic came, want 1", len(s.w.rejoins))
		}
	})
}

// The topic is away while the leader assigns partitions, and there before and after: that
// it is back must not look as if nothing had happened.
func TestTopicAwayDuringAssignment(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Topics = []string{"a", "b"}
		s.w.produce(a0, 1)
		s.w.produce(b0, 1)
	}, func(s *stage) {
		var protocols []kafka.Protocol
		s.w.tell(kafka.Prepare{Join: func(p []kafka.Protocol) { protocols = p }})
		s.wait(time.Second)
		s.w.mu.Lock()
		away := s.w.logs[b0]
		delete(s.w.logs, b0)
		s.w.mu.Unlock()
		if _, err := s.w.assignor("m1", protocols[0].Name, 1, map[string][]byte{"m1": protocols[0].Metadata}); err != nil {
			t.Fatal(err)
		}
		s.w.assign("range", a0)
		s.w.mu.Lock()
		s.w.logs[b0] = away
		s.w.mu.Unlock()
		s.wait(missingAgain)
		if len(s.w.rejoins) != 1 {
			t.Errorf("%d rejoins after the topic was back, want 1", len(s.w.rejoins))
		}
	})
}

func TestPartitionCountsForTheLeader(t *testing.T) {
	w := newWorld()
	w.produce(a0, 1)
	w.produce(a1, 1)
	l := &loop{Task: &Task{}, desk: make(desk, 1)}
	l.desk <- &fakeAdmin{w}
	got, err := l.partitionCounts(t.Context(), []string{"a", "nowhere"})
	if err != nil || len(got) != 1 || got["a"] != 2 {
		t.Errorf("got %v, %v, want a: 2", got, err)
	}
}

func TestStartPositions(t *testing.T) {
	reset := func(policy string) func(s *stage, c *Config) {
		return func(s *stage, c *Config) {
			c.Consumer = consumer(t, map[string]string{"bootstrap.servers": "localhost:9092", "auto.offset.reset": policy})
			s.w.produce(a0, 5)
			s.w.produce(a1, 5)
			s.w.committed[a1] = 2
		}
	}
	t.Run("earliest", func(t *testing.T) {
		play(t, reset("earliest"), func(s *stage) {
			s.rebalance("range", a0, a1)
			s.wait(50 * time.Millisecond)
			s.wantRange(a0, 0, 5)
			s.wantRange(a1, 2, 5)
		})
	})
	t.Run("latest is kept", func(t *testing.T) {
		play(t, reset("latest"), func(s *stage) {
			s.rebalance("range", a0, a1)
			s.wait(50 * time.Millisecond)
			if got, want := render(s.w.offsetsNow()), " a-0=5 a-1=2"; got != want {
				t.Errorf("committed %q before the first record, want %q", got, want)
			}
			s.w.produce(a0, 1)
			s.wait(time.Second)
			s.wantRange(a0, 5, 6)
		})
	})
	t.Run("latest of a paused partition is not", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			reset("latest")(s, c)
			s.r.onOpen = func(parts []tp) offsets {
				s.r.tc.Pause(parts...)
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(50 * time.Millisecond)
			if got, want := render(s.w.offsetsNow()), " a-1=2"; got != want {
				t.Errorf("committed %q, want %q: the task is about to decide", got, want)
			}
		})
	})
	t.Run("none", func(t *testing.T) {
		play(t, reset("none"), func(s *stage) {
			go s.w.round(s.t, "range", a0, a1)
			if err := <-s.done; !errors.Is(err, errNoReset) || !strings.Contains(err.Error(), "a-0") {
				t.Errorf("Run: got %v", err)
			}
		})
	})
	t.Run("broker away meanwhile", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			reset("earliest")(s, c)
			s.w.fault = func(op string) error {
				if op == "committed" {
					return errBoom
				}
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0, a1)
			s.wait(time.Minute)
			s.wantStates("RUNNING")
			s.w.setFault(nil)
			s.wait(2 * time.Second)
			s.wantRange(a0, 0, 5)
			s.wantRange(a1, 2, 5)
		})
	})
}

func TestRecordsThatAreGone(t *testing.T) {
	start := func(policy string, committed int64) func(s *stage, c *Config) {
		return func(s *stage, c *Config) {
			c.Consumer = consumer(t, map[string]string{"bootstrap.servers": "localhost:9092", "auto.offset.reset": policy})
			s.w.logs[a0] = &partitionLog{start: 100}
			s.w.produce(a0, 5)
			s.w.committed[a0] = committed
		}
	}
	for _, tt := range []struct {
		policy    string
		committed int64
		from      int
		gone      int64
		err       string
	}{
		{"earliest", 40, 100, 60, ""},
		{"latest", 40, 105, 65, ""},
		{"earliest", 103, 103, 0, ""},
		{"earliest", 105, 105, 0, ""},
		{"none", 40, 0, 0, "auto.offset.reset is none"},
		{"earliest", 106, 0, 0, "above the log's end 105"},
	} {
		t.Run(fmt.Sprintf("%s from %d", tt.policy, tt.committed), func(t *testing.T) {
			play(t, start(tt.policy, tt.committed), func(s *stage) {
				go s.w.round(s.t, "range", a0)
				if tt.err != "" {
					if err := <-s.done; err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Errorf("Run: got %v, want %q", err, tt.err)
					}
					return
				}
				s.wait(2 * time.Second)
				s.wantRange(a0, tt.from, 105)
				if got := s.task.Stats().Gone.Load(); got != tt.gone {
					t.Errorf("gone: got %d, want %d", got, tt.gone)
				}
			})
		})
	}
}

func TestTopicRecreated(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 5); s.w.produce(b0, 2) }, func(s *stage) {
		s.rebalance("range", a0, b0)
		s.wait(2 * time.Second)
		s.w.mu.Lock()
		s.w.logs[a0] = &partitionLog{err: &kafka.TopicIDChangedError{At: a0}}
		s.w.mu.Unlock()
		s.w.produce(a0, 3)
		s.wait(2 * time.Second)
		s.wantCalls("start", "open [a-0 b-0]", "close [a-0] lost=true", "open [a-0]")
		if got := s.r.values(a0); len(got) != 8 || got[5] != "a-0@0" {
			t.Errorf("got %v, want the new topic from its start, whatever the group's offset is", got)
		}
	})
}

// TestTaskBeginsAboveTheEnd: the task may have been told an offset of a topic that was made
// anew a moment ago. It is asked again for some seconds.
func TestTaskBeginsAboveTheEnd(t *testing.T) {
	for heals, want := range map[bool]string{true: "", false: "a-0: position 9 is above the log's end 5"} {
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			opens := 0
			s.r.onOpen = func([]tp) offsets {
				if opens++; heals && opens > 5 {
					return offsets{a0: 2}
				}
				return offsets{a0: 9}
			}
		}, func(s *stage) {
			go s.w.round(s.t, "range", a0)
			if heals {
				s.wait(10 * time.Second)
				s.wantRange(a0, 2, 5)
				s.wantStates("RUNNING")
				return
			}
			began := time.Now()
			err := <-s.done
			if took := time.Since(began); err == nil || !strings.Contains(err.Error(), want) || took < doubtFor || took > 2*doubtFor {
				t.Errorf("after %v: got %v, want %q after %v", took, err, want, doubtFor)
			}
		})
	}
}

func TestTopicDeleted(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 5); s.w.produce(b0, 2) }, func(s *stage) {
		s.rebalance("range", a0, b0)
		s.wait(2 * time.Second)
		s.w.mu.Lock()
		s.w.logs[a0].err = kafka.ErrUnknownTopic
		s.w.mu.Unlock()
		s.wait(time.Millisecond * 200)
		s.w.mu.Lock()
		delete(s.w.logs, a0)
		s.w.mu.Unlock()
		s.wait(2 * time.Second)
		if len(s.w.rejoins) != 1 {
			t.Fatalf("%d rejoins soon after the topic went, want 1", len(s.w.rejoins))
		}
		s.rebalance("range", b0)
		s.wantCalls("start", "open [a-0 b-0]", "close [a-0] lost=false")
		s.wantStates("RUNNING")
	})
}

func TestCommitFailuresDoNotEndTheTask(t *testing.T) {
	for _, err := range []error{errBoom, connect.ErrFenced, context.DeadlineExceeded} {
		play(t, func(s *stage, _ *Config) { s.w.produce(a0, 5) }, func(s *stage) {
			s.w.setFault(func(op string) error {
				if op == "commit" {
					return err
				}
				return nil
			})
			s.rebalance("range", a0)
			s.wait(3500 * time.Millisecond)
			s.wantStates("RUNNING")
			if got := s.task.Stats().CommitFailures.Load(); got != 3 {
				t.Errorf("%v: %d failures in 3.5 s, want 3", err, got)
			}
			s.w.setFault(nil)
			s.wait(time.Second)
			if got := s.w.offsetsNow()[a0]; got != 5 {
				t.Errorf("%v: committed %d afterwards, want 5", err, got)
			}
		})
	}
}

func TestSlowCommitDoesNotStopReading(t *testing.T) {
	play(t, func(s *stage, c *Config) { s.w.produce(a0, 5); c.FlushTimeout = time.Minute }, func(s *stage) {
		s.w.setFault(func(op string) error {
			if op == "commit" {
				time.Sleep(2 * time.Second)
			}
			return nil
		})
		s.rebalance("range", a0)
		s.wait(2 * time.Second)
		s.w.produce(a0, 5)
		s.wait(200 * time.Millisecond)
		s.wantRange(a0, 0, 10)
	})
}

// TestCommitsDoNotOvertake: a commit that hangs must not land after a later one, or the
// next owner of the partition would start at an old offset.
func TestCommitsDoNotOvertake(t *testing.T) {
	play(t, func(s *stage, c *Config) { s.w.produce(a0, 5); c.FlushTimeout = time.Minute }, func(s *stage) {
		first := true
		s.w.setFault(func(op string) error {
			if op == "commit" && first {
				first = false
				time.Sleep(3 * time.Second)
			}
			return nil
		})
		s.rebalance("range", a0)
		s.wait(1500 * time.Millisecond) // the first commit hangs
		s.w.produce(a0, 5)
		s.wait(100 * time.Millisecond)
		s.rebalance("range")
		s.wait(5 * time.Second)
		if want := []string{"1: a-0=5", "1: a-0=10"}; !slices.Equal(s.w.commits, want) {
			t.Errorf("commits: got %v, want %v", s.w.commits, want)
		}
	})
}

func TestPreCommitAnswers(t *testing.T) {
	t.Run("filtered", func(t *testing.T) {
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			s.w.produce(a1, 5)
			s.r.onCommit = func() (offsets, error) { return offsets{a0: 4, a1: 6, b0: 1}, nil }
		}, func(s *stage) {
			s.rebalance("range", a0, a1)
			s.wait(2 * time.Second)
			if got, want := render(s.w.offsetsNow()), " a-0=4"; got != want {
				t.Errorf("committed %q, want %q: not above what was delivered, not what is not assigned", got, want)
			}
			s.wait(5 * time.Second)
			if len(s.w.commits) != 1 {
				t.Errorf("commits: got %v, want one: nothing changed", s.w.commits)
			}
		})
	})
	t.Run("error goes back to what is safe", func(t *testing.T) {
		var fail bool
		play(t, func(s *stage, _ *Config) {
			fail = false
			s.w.produce(a0, 5)
			s.r.onCommit = func() (offsets, error) {
				if fail {
					fail = false
					return nil, errBoom
				}
				return offsets{a0: s.r.next[a0]}, nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(1500 * time.Millisecond)
			fail = true
			s.w.produce(a0, 5)
			s.wait(3 * time.Second)
			got := s.r.values(a0)
			if len(got) != 15 || got[10] != "a-0@5" {
				t.Errorf("got %v, want 5 to 9 twice", got)
			}
			if got := s.w.offsetsNow()[a0]; got != 10 {
				t.Errorf("committed %d, want 10", got)
			}
		})
	})
}
