package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/internal/kafka"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	m.Run()
}

// A fixture is a fake cluster on a virtual network, and the workers of one group.
type fixture struct {
	t       *testing.T
	vn      kfake.VirtualNetwork
	addrs   string
	workers map[string]*worker

	mu         sync.Mutex // guards what follows
	configured Configured
}

// A worker is a Member with a herder that does nothing but keep book.
type worker struct {
	fx     *fixture
	name   string
	member *Member
	cancel context.CancelFunc
	left   chan error

	mu      sync.Mutex // guards what follows
	conns   []net.Conn
	down    bool
	last    Assigned
	running Work
	revoked Work // all that was ever taken away
	rounds  int
	lost    []Lost
}

func inBubble(t *testing.T, run func(fx *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fx := &fixture{t: t, workers: make(map[string]*worker), configured: Configured{Offset: 1, Work: configured(map[string]int{"a": 4, "b": 2, "c": 3})}}
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9001), kfake.ListenFn(fx.vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fx.addrs = strings.Join(c.ListenAddrs(), ",")
		defer func() {
			for _, w := range fx.workers {
				w.stop()
			}
		}()
		run(fx)
	})
}

func (fx *fixture) state() Configured {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	return fx.configured
}

const (
	session  = 10 * time.Second
	maxDelay = 20 * time.Second
)

func (fx *fixture) start(name, protocol string) *worker {
	fx.t.Helper()
	return fx.startSeeing(name, protocol, fx.state)
}

// startSeeing starts a worker that has read of the config topic what see says.
func (fx *fixture) startSeeing(name, protocol string, see func() Configured) *worker {
	fx.t.Helper()
	w := &worker{fx: fx, name: name, left: make(chan error, 1)}
	cfg, err := kafka.NewConfig(map[string]string{"bootstrap.servers": fx.addrs, "client.id": name}, w.dial)
	if err != nil {
		fx.t.Fatal(err)
	}
	w.member, err = NewMember(Config{
		Kafka: cfg, GroupID: "connect-cluster", URL: "http://" + name + ":8083/", Protocol: protocol,
		Session: session, Rebalance: time.Minute, Heartbeat: 3 * time.Second, MaxDelay: maxDelay,
		Logger: slog.New(slog.DiscardHandler), Configured: see,
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.workers[name] = w
	fx.run(w)
	return w
}

// run makes a worker join, with a herder that listens.
func (fx *fixture) run(w *worker) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go w.herd(ctx)
	go func() { w.left <- w.member.Run(ctx) }()
}

// stop ends a worker, which leaves the group unless it is unplugged.
func (w *worker) stop() {
	w.cancel()
	if err := <-w.left; err != nil {
		w.fx.t.Errorf("%s: %v", w.name, err)
	}
	delete(w.fx.workers, w.name)
}

func (w *worker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, errors.New("unplugged")
	}
	c, err := w.fx.vn.DialContext(ctx, network, addr)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

// unplug is what a kill -9 looks like to the others.
func (w *worker) unplug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *worker) plug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

func (w *worker) herd(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.member.Events():
			w.handle(e)
		}
	}
}

func (w *worker) handle(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case Joining:
		w.running = w.running.Minus(e.Stop)
		e.Join()
	case Assigned:
		w.rounds++
		w.last = e
		if missing := e.Revoked.Minus(w.running); !missing.Empty() {
			w.fx.t.Errorf("%s is to stop %v, which it does not run", w.name, missing)
		}
		if got := w.running.Minus(e.Revoked).Plus(e.Added); fmt.Sprint(sorted(got.Clone())) != fmt.Sprint(sorted(e.Work.Clone())) {
			w.fx.t.Errorf("%s: work %v, but %v - %v + %v = %v", w.name, e.Work, w.running, e.Revoked, e.Added, got)
		}
		w.revoked = w.revoked.Plus(e.Revoked)
		w.running = e.Work.Clone()
		if e.Error != NoError {
			w.member.Rejoin("the assignment failed")
		}
	case Lost:
		w.lost = append(w.lost, e)
		w.running = w.running.Minus(e.Stop)
	}
}

func (w *worker) assigned() Assigned {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func (w *worker) work() Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running.Clone()
}

// check says whether these workers run everything, nothing twice, and equally much.
func (fx *fixture) check(what string, names ...string) {
	fx.t.Helper()
	var all Work
	var connectors, tasks []int
	for _, name := range names {
		w := fx.workers[name].work()
		if twice := all.And(w); !twice.Empty() {
			fx.t.Errorf("%s: %v runs on %s and another worker", what, twice, name)
		}
		all = all.Plus(w)
		connectors, tasks = append(connectors, len(w.Connectors)), append(tasks, len(w.Tasks))
	}
	if missing := fx.state().Work.Minus(all); !missing.Empty() {
		fx.t.Errorf("%s: nobody runs %v", what, missing)
	}
	for _, n := range [][]int{connectors, tasks} {
		if slices.Max(n)-slices.Min(n) > 1 {
			fx.t.Errorf("%s: not balanced: %v connectors, %v tasks", what, connectors, tasks)
		}
	}
}

func (fx *fixture) leader() *worker {
	fx.t.Helper()
	var found *worker
	for _, name := range slices.Sorted(maps.Keys(fx.workers)) {
		w := fx.workers[name]
		if a := w.assigned(); a.IsLeader() && a.MemberID != "" {
			if found != nil {
				fx.t.Errorf("%s and %s both lead", found.name, name)
			}
			found = w
		}
	}
	if found == nil {
		fx.t.Fatal("nobody leads")
	}
	return found
}

func (fx *fixture) follower() *worker {
	leader := fx.leader()
	for _, name := range slices.Sorted(maps.Keys(fx.workers)) {
		if name != leader.name {
			return fx.workers[name]
		}
	}
	fx.t.Fatal("there is no follower")
	return nil
}

func TestThreeWorkersOneDies(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		fx.start("w1", "sessioned")
		time.Sleep(5 * time.Second)
		fx.check("alone", "w1")
		fx.start("w2", "sessioned")
		fx.start("w3", "Sessioned")
		time.Sleep(30 * time.Second)
		fx.check("all three", "w1", "w2", "w3")

		leader, dead := fx.leader(), fx.follower()
		a := leader.assigned()
		if a.Version != 2 || a.Protocol != Sessioned || a.LeaderURL != "http://"+leader.name+":8083/" || a.ConfigOffset != 1 {
			t.Errorf("the leader was told %+v", a)
		}
		for name, w := range fx.workers {
			for _, id := range w.work().Tasks {
				if got := a.Owners.Tasks[id]; got != "http://"+name+":8083/" {
					t.Errorf("the leader takes %q for the owner of %s, which runs on %s", got, id, name)
				}
			}
			if (w != leader) != (w.assigned().Owners == nil) {
				t.Errorf("%s knows owners %v, the leader is %s", name, w.assigned().Owners, leader.name)
			}
		}

		orphans := dead.work()
		before := make(map[string]Work)
		var rest []string
		for name, w := range fx.workers {
			if w != dead {
				rest = append(rest, name)
				before[name] = w.work()
				w.mu.Lock()
				w.revoked = Work{}
				w.mu.Unlock()
			}
		}
		dead.unplug()
		time.Sleep(session + maxDelay - 5*time.Second)
		for _, name := range rest {
			if now := fx.workers[name].work(); !now.Minus(before[name]).Empty() {
				t.Errorf("during the delay %s was given %v", name, now.Minus(before[name]))
			}
		}
		time.Sleep(15 * time.Second)
		fx.check("after the delay", rest...)
		var moved Work
		for _, name := range rest {
			w := fx.workers[name]
			if taken := w.revoked; !taken.Empty() {
				t.Errorf("%s had to stop %v", name, taken)
			}
			moved = moved.Plus(w.work().Minus(before[name]))
		}
		if fmt.Sprint(sorted(moved)) != fmt.Sprint(sorted(orphans)) {
			t.Errorf("moved %v, want exactly %v", moved, orphans)
		}
		// The dead one was only cut off: it has stopped its work by now, since it cannot know.
		if w := dead.work(); !w.Empty() || len(dead.lost) == 0 {
			t.Errorf("the worker that was cut off still runs %v", w)
		}
		dead.plug()
		time.Sleep(60 * time.Second)
		fx.check("it is back", "w1", "w2", "w3")
	})
}

func TestLeaderDies(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		for _, name := range []string{"w1", "w2", "w3"} {
			fx.start(name, "compatible")
		}
		time.Sleep(30 * time.Second)
		fx.check("all three", "w1", "w2", "w3")
		leader := fx.leader()
		if v := leader.assigned().Version; v != 1 {
			t.Errorf("protocol version %d, want 1", v)
		}
		leader.unplug()
		delete(fx.workers, leader.name)
		defer func() { fx.workers[leader.name] = leader }()
		rest := slices.Sorted(maps.Keys(fx.workers))
		time.Sleep(session + 8*time.Second) // no delay: the new leader knows of no old member
		fx.check("after the session timeout", rest...)
	})
}

func TestWorkerLeavesAndReturns(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		fx.start("w1", "")
		fx.start("w2", "")
		time.Sleep(20 * time.Second)
		fx.check("both", "w1", "w2")
		away := fx.follower()
		name := away.name
		had := away.work()
		away.stop()
		time.Sleep(maxDelay / 2)
		back := fx.start(name, "")
		time.Sleep(maxDelay)
		fx.check("back within the delay", "w1", "w2")
		if missing := had.Minus(back.work()); !missing.Empty() {
			t.Errorf("back, %s lacks %v of its old work", name, missing)
		}
	})
}

func TestOneEagerWorkerMakesTheGroupEager(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		fx.start("w1", "sessioned")
		time.Sleep(10 * time.Second)
		fx.start("w2", "eager")
		time.Sleep(20 * time.Second)
		fx.check("both", "w1", "w2")
		for name, w := range fx.workers {
			if a := w.assigned(); a.Protocol != Eager || a.Version != 0 {
				t.Errorf("%s speaks %s", name, a.Protocol)
			}
		}
		fx.workers["w1"].member.Rejoin("test")
		time.Sleep(10 * time.Second)
		fx.check("after another round", "w1", "w2")
	})
}

func TestLeaderBehindItsFollowers(t *testing.T) {
	inBubble(t, func(fx *fixture) {
		w1 := fx.start("w1", "sessioned")
		time.Sleep(5 * time.Second)
		// w2 has seen a later config; w1, which leads, catches up 2 s after it was told.
		late := fx.state()
		late.Offset = 9
		fx.startSeeing("w2", "sessioned", func() Configured { return late })
		time.Sleep(4 * time.Second)
		if a := w1.assigned(); a.Error != ConfigMismatch || a.ConfigOffset != 9 {
			t.Fatalf("assigned %+v, want a mismatch at offset 9", a)
		}
		if missing := late.Work.Minus(w1.work()); !missing.Empty() {
			t.Errorf("a failed round took %v away", missing)
		}
		fx.mu.Lock()
		fx.configured = late
		fx.mu.Unlock()
		time.Sleep(20 * time.Second)
		if a := w1.assigned(); a.Error != NoError || a.ConfigOffset != 9 {
			t.Errorf("assigned %+v, want offset 9", a)
		}
		fx.check("caught up", "w1", "w2")
	})
}
