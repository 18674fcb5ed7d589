package sink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A hermit is a recorder that does not like company.
type hermit struct {
	*recorder
	others   func(ctx context.Context) (string, error)
	finished *atomic.Bool
}

var _ connect.Recluse = hermit{}

func (h hermit) Others(ctx context.Context) (string, error) { return h.others(ctx) }

func (h hermit) Finish(context.Context) error {
	h.note("finish")
	time.Sleep(time.Second)
	h.finished.Store(true)
	return nil
}

// hermit starts a recluse that looks at its group itself, and notes its states.
func (c *cluster) hermit(id int) (*run, func() string) {
	var mu sync.Mutex
	var last string
	finished := new(atomic.Bool)
	x := c.start(id, func(r *recorder, cfg *Config) {
		cfg.OnState = func(s State, trace string) {
			mu.Lock()
			defer mu.Unlock()
			last = string(s) + " " + trace
		}
		cfg.Task = hermit{r, func(ctx context.Context) (string, error) {
			time.Sleep(2 * time.Second * time.Duration(id)) // they see others one after another
			a, err := kafka.NewAdmin(c.config("looker"))
			if err != nil {
				return "", err
			}
			defer closing(c.t, a)
			s, err := a.Strangers(ctx, "connect-c")
			return strings.Join(s.Names, " "), err
		}, finished}
		r.onCommit = func() (offsets, error) {
			if finished.Load() {
				return maps.Clone(r.next), nil
			}
			return nil, nil
		}
	})
	return x, func() string {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// A javaTask is a member without a marker. It takes what it gets.
type javaTask struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error

	mu    sync.Mutex
	held  []tp
	joins int
}

func (c *cluster) java(client string) *javaTask {
	c.t.Helper()
	j := &javaTask{t: c.t, ended: make(chan error, 1)}
	m := kafka.NewMember(kafka.MemberConfig{
		Config: c.config(client), Group: "connect-c", ProtocolType: "consumer",
		Assign: kafka.ConsumerAssign(func([]string) (map[string]int32, error) { return map[string]int32{"a": 2, "b": 1}, nil }),
	})
	var ctx context.Context
	ctx, j.cancel = context.WithCancel(c.t.Context())
	go func() { j.ended <- m.Run(ctx) }()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-m.Events():
				switch e := e.(type) {
				case kafka.Prepare:
					e.Join([]kafka.Protocol{{Name: kafka.RangeName, Metadata: kafka.EncodeSubscription(kafka.Subscription{Topics: []string{"a", "b"}, Generation: -1})}})
				case kafka.Joined:
					j.joined(e)
				}
			}
		}
	}()
	return j
}

func (j *javaTask) joined(e kafka.Joined) {
	a, err := kafka.DecodeAssignment(e.Assignment)
	if err != nil {
		j.t.Error(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = a.Partitions
	j.joins++
}

func (j *javaTask) seen() (held, joins int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.held), j.joins
}

func (j *javaTask) leave() {
	j.t.Helper()
	j.cancel()
	if err := <-j.ended; err != nil {
		j.t.Error(err)
	}
}

func TestRecluseStaysOut(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		java := c.java("java-0")
		time.Sleep(10 * time.Second)
		x, state := c.hermit(0)
		c.produce(a0, 0, 5)
		time.Sleep(time.Minute)
		if held, joins := java.seen(); held != 3 || joins != 1 {
			t.Errorf("Java has %d partitions after %d rounds: it is to be left alone", held, joins)
		}
		if s := state(); !strings.HasPrefix(s, "RUNNING ") || !strings.Contains(s, "java-0") {
			t.Errorf("the state is %q, want that it runs, and says who is there", s)
		}
		x.r.take()
		java.leave()
		time.Sleep(2*othersAgain + time.Second)
		if n := len(x.r.values(a0)); n != 5 {
			t.Errorf("%d records read after Java was gone, want 5", n)
		}
		if s := state(); s != "RUNNING " {
			t.Errorf("the state is %q", s)
		}
		x.stop()
	}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(1, "b"))
}

// Others join a group of two recluses: these are asked to finish, and commit, before the
// others get the first partition.
func TestRecluseLeaves(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		x, state := c.hermit(0)
		y, _ := c.hermit(1)
		time.Sleep(20 * time.Second)
		if a, b := len(x.r.tc.Group().Session().Owned), len(y.r.tc.Group().Session().Owned); a+b != 3 || a*b == 0 {
			t.Fatalf("the recluses have %d and %d partitions", a, b)
		}
		for _, p := range []tp{a0, a1, b0} {
			c.produce(p, 0, 5)
		}
		time.Sleep(5 * time.Second)
		x.r.take()
		java := c.java("a-java") // which is served first when partitions are divided
		for held := 0; held == 0; held, _ = java.seen() {
			time.Sleep(10 * time.Millisecond)
		}
		if got := c.committed(a0, a1, b0); got != " a-0=5 a-1=5 b-0=5" {
			t.Errorf("committed before Java read: %q", got)
		}
		time.Sleep(10 * time.Second)
		if held, _ := java.seen(); held != 3 {
			t.Errorf("Java has %d partitions, want all", held)
		}
		for _, r := range []*run{x, y} {
			calls := r.r.take()
			if i := slices.Index(calls, "finish"); i < 0 || i+2 != len(calls) || !strings.HasSuffix(calls[i+1], "lost=false") {
				t.Errorf("calls %q, want that it finishes, then gives all partitions up", calls)
			}
		}
		if s := state(); !strings.Contains(s, "a-java") {
			t.Errorf("the state is %q", s)
		}
		java.leave()
		c.produce(a0, 5, 9)
		time.Sleep(20 * time.Second)
		x.stop()
		y.stop()
		got := append(x.r.values(a0), y.r.values(a0)...)
		slices.Sort(got)
		if len(slices.Compact(got)) != 9 || x.total()+y.total() != 19 {
			t.Errorf("read %q", got)
		}
	}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(1, "b"))
}

// All begin at once: recluses that came in between others go again, whoever leads.
func TestReclusesAndOthersAtOnce(t *testing.T) {
	for delay := range 6 {
		t.Run(strconv.Itoa(delay), func(t *testing.T) {
			inCluster(t, func(t *testing.T, c *cluster) {
				x, _ := c.hermit(0)
				time.Sleep(time.Duration(delay) * 400 * time.Millisecond)
				java, other := c.java("java-0"), c.java("java-1")
				y, _ := c.hermit(1)
				time.Sleep(40 * time.Second)
				one, _ := java.seen()
				two, _ := other.seen()
				if one+two != 3 {
					t.Errorf("Java's have %d and %d partitions, want all", one, two)
				}
				for _, r := range []*run{x, y} {
					if s := r.r.tc.Group().Session(); s.Member != "" {
						t.Errorf("a recluse is a member: %+v", s)
					}
				}
				java.leave()
				time.Sleep(10 * time.Second)
				if two, _ := other.seen(); two != 3 {
					t.Errorf("the last of Java's has %d partitions", two)
				}
				other.leave()
				time.Sleep(20 * time.Second)
				a, b := len(x.r.tc.Group().Session().Owned), len(y.r.tc.Group().Session().Owned)
				if a+b != 3 {
					t.Errorf("the recluses have %d and %d partitions", a, b)
				}
				x.stop()
				y.stop()
			}, kfake.SeedTopics(2, "a"), kfake.SeedTopics(1, "b"))
		})
	}
}

// What cannot be seen keeps the task out, but not in: a member goes on and looks again.
func TestRecluseCannotSee(t *testing.T) {
	var mu sync.Mutex
	answer := errBoom
	set := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		answer = err
	}
	play(t, func(s *stage, c *Config) {
		s.w.produce(a0, 5)
		c.Task = hermit{s.r, func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			return "", answer
		}, new(atomic.Bool)}
	}, func(s *stage) {
		s.wait(time.Minute)
		if !strings.Contains(s.trace, errBoom.Error()) {
			t.Errorf("the state says %q", s.trace)
		}
		if s.w.isRunning() {
			t.Error("it has joined although nobody knows who is there")
		}
		set(nil)
		s.wait(2 * othersAgain)
		s.rebalance("range", a0)
		set(errors.New("gone again"))
		s.rebalance("range", a0)
		s.wait(time.Minute)
		s.wantRange(a0, 0, 5)
		s.wantStates("RUNNING", "RUNNING", "RUNNING")
		s.wantCalls("start", "open [a-0]")
	})
}

// A stop ends a question that nobody answers.
func TestRecluseIsStoppedWhileAsked(t *testing.T) {
	play(t, func(s *stage, c *Config) {
		c.Task = hermit{s.r, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, new(atomic.Bool)}
	}, func(s *stage) {
		s.wait(time.Second)
		began := time.Now()
		if err := s.stop(); err != nil || time.Since(began) > 0 {
			t.Errorf("stopped after %v: %v", time.Since(began), err)
		}
		s.wantCalls("start", "stop")
	})
}
