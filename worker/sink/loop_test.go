package sink

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/faults"
)

func TestDeliversEverythingInOrder(t *testing.T) {
	var sizes []int
	play(t, func(s *stage, _ *Config) {
		s.w.produce(a0, 1250)
		s.w.produce(a1, 10)
		s.w.logs[a1].values[4] = "" // a control record
		s.w.logs[a1].values[9] = ""
		s.r.onPut = func(b *connect.Batch) error {
			if b != nil {
				sizes = append(sizes, len(b.Records))
				if n := len(b.Records); n > 0 && b.Records[n-1].Offset >= b.Next {
					t.Errorf("next %d is not above the last record %d", b.Next, b.Records[n-1].Offset)
				}
			}
			return nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0, a1)
		s.wait(2 * time.Second)
		s.wantRange(a0, 0, 1250)
		if got := s.r.values(a1); len(got) != 8 {
			t.Errorf("a-1: got %d records, want 8 without the control records", len(got))
		}
		if want := []int{500, 500, 250, 8}; !slices.Equal(sizes, want) {
			t.Errorf("batches: got %v, want %v", sizes, want)
		}
		if got, want := render(s.w.offsetsNow()), " a-0=1250 a-1=10"; got != want {
			t.Errorf("committed: got %q, want %q", got, want)
		}
		if s.r.idle < 10 || s.r.idle > 30 {
			t.Errorf("Put(nil) %d times in 2 s, want about 20", s.r.idle)
		}
		s.wantCalls("start", "open [a-0 a-1]")
		if err := s.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		s.wantCalls("stop")
		s.wantStates("RUNNING", "UNASSIGNED")
		if !slices.Equal(s.topics, []string{"a"}) {
			t.Errorf("topics: got %v, want a once", s.topics)
		}
		if !s.w.left {
			t.Error("the task did not leave its group")
		}
	})
}

func TestCommitsOnStop(t *testing.T) {
	play(t, func(_ *stage, c *Config) { c.FlushInterval = time.Hour }, func(s *stage) {
		s.rebalance("range", a0)
		s.w.produce(a0, 3)
		s.wait(time.Second)
		if got := s.w.offsetsNow(); len(got) != 0 {
			t.Errorf("committed %v before the interval was over", got)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if got := s.w.offsetsNow()[a0]; got != 3 {
			t.Errorf("committed %d on stop, want 3", got)
		}
	})
}

func TestPutAsksForRetry(t *testing.T) {
	var batches [][]string
	play(t, func(s *stage, _ *Config) {
		s.w.produce(a0, 3)
		s.w.produce(b0, 1)
		s.r.onPut = func(b *connect.Batch) error {
			if b == nil {
				if len(batches) > 0 && len(batches) < 4 {
					t.Error("Put(nil) while a batch waits for redelivery")
				}
				return nil
			}
			var v []string
			for _, r := range b.Records {
				v = append(v, r.Value.Text())
			}
			if batches = append(batches, v); len(batches) < 4 {
				return retry()
			}
			return nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0, b0)
		s.wait(50 * time.Millisecond)
		if got := len(batches); got != 1 {
			t.Errorf("%d Puts in 50 ms, want 1 and a back-off", got)
		}
		s.wait(10 * time.Second)
		s.wantRange(a0, 0, 3)
		s.wantRange(b0, 0, 1)
		for _, b := range batches[:4] {
			if !slices.Equal(b, batches[0]) {
				t.Errorf("redelivered %v, want %v", b, batches[0])
			}
		}
		if got := s.task.Stats().Redeliveries.Load(); got != 3 {
			t.Errorf("redeliveries: got %d, want 3", got)
		}
	})
}

func TestStopWhileWaitingForRedelivery(t *testing.T) {
	play(t, func(s *stage, _ *Config) {
		s.w.produce(a0, 3)
		s.r.onPut = func(b *connect.Batch) error {
			if b == nil {
				return nil
			}
			return retry()
		}
	}, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(time.Minute)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if got := s.w.offsetsNow(); len(got) != 0 {
			t.Errorf("committed %v of records the task never took", got)
		}
	})
}

func TestSeek(t *testing.T) {
	t.Run("in Put", func(t *testing.T) {
		done := false
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 2500)
			s.r.onPut = func(b *connect.Batch) error {
				if b != nil && !done {
					done = true
					v := b.Arena.Values(1)
					v[0] = connect.IntValue(7)
					s.r.tc.Seek(a0, 2490)
					if v[0].Int() != 7 {
						t.Error("the batch's arena was reset before Put has returned")
					}
				}
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Second)
			got := s.r.values(a0)
			if len(got) != 510 || got[500] != "a-0@2490" || got[509] != "a-0@2499" {
				t.Errorf("got %d records, want 500, then 2490 to 2499", len(got))
			}
		})
	})
	t.Run("in Put with a retry", func(t *testing.T) {
		done := false
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			s.r.onPut = func(b *connect.Batch) error {
				if b != nil && !done {
					done = true
					s.r.tc.Seek(a0, 3)
					return retry()
				}
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Second)
			s.wantRange(a0, 3, 5)
		})
	})
	t.Run("while the start is looked up", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			c.FlushInterval = time.Hour
			s.w.produce(a0, 5)
			s.w.fault = func(op string) error {
				if op == "committed" {
					time.Sleep(time.Second)
				}
				return nil
			}
			done := false
			s.r.onPut = func(b *connect.Batch) error {
				if b == nil && !done && len(s.r.tc.Assignment()) > 0 {
					done = true
					s.r.tc.Seek(a0, 3)
				}
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(5 * time.Second)
			s.wantRange(a0, 3, 5)
		})
	})
	t.Run("backwards while idle", func(t *testing.T) {
		done := false
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			s.r.onPut = func(b *connect.Batch) error {
				if b == nil && !done && s.r.next[a0] == 5 {
					done = true
					s.r.tc.Seek(a0, 3)
				}
				return nil
			}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Second)
			if got := s.r.values(a0); len(got) != 7 || got[5] != "a-0@3" {
				t.Errorf("got %v, want 0 to 4, then 3 and 4", got)
			}
		})
	})
	t.Run("from Open", func(t *testing.T) {
		play(t, func(s *stage, _ *Config) {
			s.w.produce(a0, 5)
			s.w.produce(a1, 5)
			s.w.produce(b0, 5)
			s.w.committed[a0], s.w.committed[a1], s.w.committed[b0] = 1, 1, 1
			s.r.onOpen = func([]tp) offsets {
				s.r.tc.Seek(a1, 4)
				return offsets{a0: 2}
			}
		}, func(s *stage) {
			s.rebalance("range", a0, a1, b0)
			s.wait(time.Second)
			s.wantRange(a0, 2, 5)
			s.wantRange(a1, 4, 5)
			s.wantRange(b0, 1, 5)
		})
	})
}

func TestPauseByTask(t *testing.T) {
	play(t, func(s *stage, _ *Config) {
		s.w.produce(a0, 700)
		s.w.produce(a1, 3)
		s.r.onPut = func(b *connect.Batch) error {
			if b != nil && b.TopicPartition == a0 {
				s.r.tc.Pause(a0)
			}
			return nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0, a1)
		s.wait(time.Second)
		s.wantRange(a0, 0, 500) // what was fetched already waits too
		s.wantRange(a1, 0, 3)
		s.task.SetPaused(true) // a resume of the whole task leaves the partition paused
		s.wait(time.Second)
		s.task.SetPaused(false)
		s.wait(time.Second)
		s.wantRange(a0, 0, 500)
		resumed := false
		s.r.onPut = func(b *connect.Batch) error {
			if b == nil && !resumed {
				resumed = true
				s.r.tc.Resume(a0)
			}
			return nil
		}
		s.wait(time.Second)
		s.wantRange(a0, 0, 700)
	})
}

func TestPauseWholeTask(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 2) }, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(100 * time.Millisecond)
		s.task.SetPaused(true)
		synctest.Wait()
		if got := s.w.offsetsNow()[a0]; got != 2 {
			t.Errorf("committed %d when pausing, want 2", got)
		}
		s.w.produce(a0, 2)
		before := s.r.idle
		s.wait(time.Minute)
		s.wantRange(a0, 0, 2)
		if s.r.idle == before {
			t.Error("a paused task is not called any more: it could not finish what it has")
		}
		s.rebalance("range", a0, b0) // still a member
		s.w.produce(b0, 1)
		s.wait(time.Second)
		s.wantRange(b0, 0, 0)
		s.task.SetPaused(false)
		s.wait(time.Second)
		s.wantRange(a0, 0, 4)
		s.wantRange(b0, 0, 1)
		s.wantStates("RUNNING", "PAUSED", "RUNNING")
	})
}

func TestPausedFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), newRecorder()
		var states []State
		task := New(Config{Connector: "c", Task: r, Consumer: consumer(t, map[string]string{"bootstrap.servers": "localhost:9092"}), Topics: []string{"a"}, OnState: func(s State, _ string) { states = append(states, s) }})
		task.clients = w.clients()
		task.SetPaused(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- task.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.take(); len(got) != 0 || !slices.Equal(states, []State{Paused}) {
			t.Errorf("paused from the start: got calls %v, states %v", got, states)
		}
		task.SetPaused(false)
		synctest.Wait()
		if got := r.take(); !slices.Equal(got, []string{"start"}) {
			t.Errorf("resumed: got calls %v, want start", got)
		}
		cancel()
		if err := <-done; err != nil || !slices.Equal(states, []State{Paused, Running, Unassigned}) {
			t.Errorf("got error %v, states %v", err, states)
		}
	})
}

func TestWakeFromAnotherGoroutine(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(time.Second)
		before := s.r.idle
		s.r.tc.Wake()
		synctest.Wait()
		if s.r.idle != before+1 {
			t.Errorf("%d calls of Put(nil) right after Wake, want 1", s.r.idle-before)
		}
	})
}

func TestFailFromAnotherGoroutine(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.rebalance("range", a0)
		s.r.tc.Fail(errBoom)
		s.r.tc.Fail(errors.New("second"))
		if err := <-s.done; !errors.Is(err, errBoom) {
			t.Errorf("Run: got %v, want the first error", err)
		}
		s.wantStates("RUNNING", "FAILED")
		if !strings.Contains(s.trace, "boom") {
			t.Errorf("trace %q lacks the error", s.trace)
		}
	})
}

// A task that goes on with a part of its work shows as failed, until all is well.
func TestTroubleFromAnotherGoroutine(t *testing.T) {
	play(t, func(s *stage, _ *Config) { s.w.produce(a0, 2) }, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(time.Second)
		say := func(err error) {
			go s.r.tc.Trouble(err)
			s.wait(time.Second)
		}
		say(errors.New("table b cannot be reached"))
		if !strings.Contains(s.trace, "table b cannot be reached") {
			t.Errorf("trace %q", s.trace)
		}
		s.w.produce(a0, 3)
		s.wait(time.Second)
		s.wantRange(a0, 0, 5) // it goes on
		s.task.SetPaused(true)
		s.wait(time.Second)
		s.task.SetPaused(false)
		s.wait(time.Second)
		say(nil)
		say(nil)
		s.wantStates("RUNNING", "FAILED", "PAUSED", "FAILED", "RUNNING")
	})
}

func TestPanicsAreContained(t *testing.T) {
	for name, edit := range map[string]func(s *stage, c *Config){
		"start":     func(s *stage, _ *Config) { s.r.onStart = func() error { panic("boom") } },
		"put":       func(s *stage, _ *Config) { s.r.onPut = func(*connect.Batch) error { panic("boom") } },
		"preCommit": func(s *stage, _ *Config) { s.r.onCommit = func() (offsets, error) { panic("boom") } },
		"open":      func(s *stage, _ *Config) { s.r.onOpen = func([]tp) offsets { panic("boom") } },
		"converter": func(_ *stage, c *Config) { c.Value = plain{func(context.Context, string) error { panic("boom") }} },
		"put, then stop": func(s *stage, _ *Config) {
			s.r.onPut = func(*connect.Batch) error { panic("boom") }
			s.r.onStop = func(context.Context) error { panic("stop") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage, c *Config) {
				s.w.produce(a0, 1)
				edit(s, c)
			}, func(s *stage) {
				go s.w.round(s.t, "range", a0)
				if err := <-s.done; err == nil || !strings.Contains(err.Error(), "boom") {
					t.Errorf("Run: got %v, want the panic as an error", err)
				}
				if got := s.states[len(s.states)-1]; got != "FAILED" || !strings.Contains(s.trace, "goroutine") {
					t.Errorf("got state %s with trace %q, want FAILED with a stack", got, s.trace)
				}
				if !s.w.left && name != "start" {
					t.Error("the failed task is still in its group")
				}
			})
		})
	}
}

func TestTaskThatDoesNotStop(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Grace = 2 * time.Second
		release := make(chan struct{})
		s.w.produce(a0, 1)
		s.r.onPut = func(b *connect.Batch) error {
			if b != nil {
				<-release
			}
			return nil
		}
		time.AfterFunc(time.Minute, func() { close(release) })
	}, func(s *stage) {
		s.rebalance("range", a0)
		began := time.Now()
		err := s.stop()
		if !errors.Is(err, errLate) {
			t.Errorf("Run: got %v, want %v", err, errLate)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("stopping took %v, want little more than the grace period", took)
		}
		s.wait(2 * time.Minute) // Put returns at last
		s.wantStates("RUNNING")
		if got := s.w.offsetsNow(); len(got) != 0 {
			t.Errorf("the abandoned task committed %v", got)
		}
	})
}

func TestStopGetsTheGracePeriod(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Grace = 3 * time.Second
		s.r.onStop = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}, func(s *stage) {
		began := time.Now()
		_ = s.stop()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("Stop had %v, want the grace period of 3 s", took)
		}
	})
}

func TestErrorsThatEndTheTask(t *testing.T) {
	for op, want := range map[string]string{"fetcher": "open consumer", "admin": "open admin client", "member": "membership of group connect-c", "poll": "fetch"} {
		t.Run(op, func(t *testing.T) {
			play(t, func(s *stage, _ *Config) {
				s.w.fault = func(o string) error {
					if o == op {
						return errBoom
					}
					return nil
				}
			}, func(s *stage) {
				if err := <-s.done; err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("Run: got %v, want an error beginning with %q", err, want)
				}
				if got := s.states[len(s.states)-1]; got != "FAILED" {
					t.Errorf("got state %s, want FAILED", got)
				}
			})
		})
	}
	t.Run("put", func(t *testing.T) {
		play(t, func(s *stage, _ *Config) { s.r.onPut = func(*connect.Batch) error { return errBoom } }, func(s *stage) {
			err := <-s.done
			if want := "Exiting WorkerSinkTask due to unrecoverable exception: boom"; err == nil || err.Error() != want {
				t.Errorf("Run: got %v, want %q", err, want)
			}
			if want := "org.apache.kafka.connect.errors.ConnectException: Exiting"; !strings.HasPrefix(s.trace, want) {
				t.Errorf("trace: got %q, want %q…", s.trace, want)
			}
			s.wantCalls("start", "stop")
		})
	})
	t.Run("start", func(t *testing.T) {
		play(t, func(s *stage, _ *Config) { s.r.onStart = func() error { return errBoom } }, func(s *stage) {
			if err := <-s.done; !errors.Is(err, errBoom) {
				t.Errorf("Run: got %v", err)
			}
			s.wantStates("FAILED")
			s.wantCalls("start", "stop")
		})
	})
}

func TestConverterErrors(t *testing.T) {
	bad := func(_ context.Context, data string) error {
		if data == "a-0@2" {
			return &connect.DataError{Msg: "bad bytes"}
		}
		return nil
	}
	t.Run("not tolerated", func(t *testing.T) {
		play(t, func(s *stage, c *Config) { c.Value = plain{bad}; s.w.produce(a0, 5) }, func(s *stage) {
			go s.w.round(t, "range", a0)
			err := <-s.done
			if want := "Tolerance exceeded in error handler: VALUE_CONVERTER a-0@2: bad bytes"; err == nil || err.Error() != want {
				t.Errorf("Run: got %v, want %q", err, want)
			}
			if got := s.w.offsetsNow(); len(got) != 0 {
				t.Errorf("committed %v, want nothing: the portion was not delivered", got)
			}
		})
	})
	t.Run("tolerated", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			c.Value, c.Faults.TolerateAll = plain{bad}, true
			s.w.produce(a0, 5)
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(2 * time.Second)
			if got := s.r.values(a0); len(got) != 4 || slices.Contains(got, "a-0@2") {
				t.Errorf("got %v, want all but record 2", got)
			}
			if got := s.w.offsetsNow()[a0]; got != 5 {
				t.Errorf("committed %d, want 5: the skipped record counts", got)
			}
			if got := s.task.Errors().Skipped.Load(); got != 1 {
				t.Errorf("skipped: got %d, want 1", got)
			}
		})
	})
}

// TestConverterIsRetried: a schema registry that is away for a while delays records and
// loses none; members of the group do not notice, because events are handled meanwhile.
func TestConverterIsRetried(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	edit := func(s *stage, c *Config) {
		away.Store(true)
		c.Value = plain{func(_ context.Context, data string) error {
			if away.Load() && data == "a-0@2" {
				return retry()
			}
			return nil
		}}
		c.Faults.RetryTimeout, c.Faults.RetryDelayMax = -1, time.Second
		s.w.produce(a0, 5)
	}
	t.Run("comes back", func(t *testing.T) {
		play(t, edit, func(s *stage) {
			s.rebalance("range", a0)
			before := s.r.idle
			s.wait(time.Minute)
			if len(s.r.values(a0)) != 0 || s.r.idle == before {
				t.Errorf("while it is away: got %d records and %d calls of Put(nil), want none and some", len(s.r.values(a0)), s.r.idle-before)
			}
			s.rebalance("range", a0, b0)
			away.Store(false)
			s.wait(5 * time.Second)
			s.wantRange(a0, 0, 5)
		})
	})
	t.Run("stop meanwhile", func(t *testing.T) {
		play(t, edit, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Minute)
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if got := s.w.offsetsNow(); len(got) != 0 {
				t.Errorf("committed %v, past a record that was never resolved", got)
			}
		})
	})
	t.Run("stop while it is asked", func(t *testing.T) {
		play(t, func(s *stage, c *Config) {
			edit(s, c)
			c.Faults = faults.Config{TolerateAll: true}
			c.Value = plain{func(ctx context.Context, data string) error {
				if data == "a-0@2" {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
		}, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Second)
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if n := s.task.Errors().Skipped.Load(); n != 0 || len(s.w.offsetsNow()) != 0 {
				t.Errorf("stopping skipped %d records and committed %v", n, s.w.offsetsNow())
			}
		})
	})
	t.Run("partition goes meanwhile", func(t *testing.T) {
		play(t, edit, func(s *stage) {
			s.rebalance("range", a0)
			s.wait(time.Minute)
			s.rebalance("range", b0)
			s.w.produce(b0, 3)
			s.wait(time.Minute)
			s.wantRange(b0, 0, 3)
		})
	})
	t.Run("time is over", func(t *testing.T) {
		play(t, func(s *stage, c *Config) { edit(s, c); c.Faults.RetryTimeout = 10 * time.Second }, func(s *stage) {
			began := time.Now()
			go s.w.round(t, "range", a0)
			if err := <-s.done; !errors.Is(err, errBoom) {
				t.Errorf("Run: got %v", err)
			}
			if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
				t.Errorf("failed after %v, want errors.retry.timeout", took)
			}
		})
	})
}

func TestTransforms(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Transforms = []Transform{
			{"drop", "Drop", apply(func(r *connect.Record) (bool, error) { return r.Offset%2 == 0, nil })},
			{"move", "Move", apply(func(r *connect.Record) (bool, error) {
				r.Topic, r.Partition = "elsewhere", 9
				if r.Offset == 4 {
					return false, &connect.DataError{Msg: "four"}
				}
				return true, nil
			})},
		}
		c.Faults.TolerateAll = true
		s.w.produce(a0, 7)
		s.r.onPut = func(b *connect.Batch) error {
			if b != nil {
				for _, r := range b.Records {
					if r.Topic != "elsewhere" || b.TopicPartition != a0 {
						t.Errorf("record %s-%d in batch of %s", r.Topic, r.Partition, b.TopicPartition)
					}
				}
			}
			return nil
		}
	}, func(s *stage) {
		s.rebalance("range", a0)
		s.wait(2 * time.Second)
		if got, want := s.r.values(a0), []string{"a-0@0", "a-0@2", "a-0@6"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := s.w.offsetsNow()[a0]; got != 7 {
			t.Errorf("committed %d, want 7", got)
		}
		if !slices.Equal(s.topics, []string{"a"}) {
			t.Errorf("active topics: got %v, want the topic before the transformations", s.topics)
		}
	})
}

type apply func(r *connect.Record) (bool, error)

func (apply) ConfigDef() *connect.ConfigDef                             { return &connect.ConfigDef{} }
func (apply) Version() string                                           { return "test" }
func (apply) Configure(map[string]string) error                         { return nil }
func (f apply) Apply(_ *connect.Arena, r *connect.Record) (bool, error) { return f(r) }
