package worker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/loglevel"
	"github.com/firn-io/firn/worker/topics"
)

// A Herder decides what runs on this worker: the connectors and tasks that the group
// assigns to it, in the state that the config topic asks for. It answers the REST API.
//
// The goroutine in run owns every field below "loop". It never waits for I/O and runs no
// plugin: connectors, tasks and reads of the config topic have goroutines of their own,
// which hand back closures through post; requests come in the same way. What should run
// is compared with what runs in one place, reconcile.
type Herder struct {
	cfg       *Config
	plugins   *Plugins
	validator validator
	log       *slog.Logger
	levels    *loglevel.Levels
	dial      kafka.Dialer
	poster    *http.Client // posts task configs to the leader
	url, id   string       // advertised URL; worker id: its host:port

	configs  configStore
	statuses statusStore
	member   membership

	inbox      chan func()   // unbuffered, to the loop
	closed     chan struct{} // closed when the loop has ended
	writing    chan struct{} // holds one token: privileged writes happen one at a time
	validating chan struct{} // bounds validations under way

	clusterID atomic.Pointer[string]
	ctx       context.Context // of the goroutines that the loop starts; set before the loop
	helpers   sync.WaitGroup  // those goroutines, without connectors' and tasks'

	ready      atomic.Bool  // an assignment has been taken up
	generation atomic.Int32 // of the present assignment, for statuses

	// loop:
	assigned     *group.Assigned // nil: none, or it was lost
	synced       bool            // the config topic was read as far as assigned asks: work may start
	joining      bool            // a rebalance is under way or asked for: nobody knows who leads
	joinEvent    *group.Joining  // not answered yet
	unflushed    bool            // work was taken away since statuses were last flushed
	flushing     bool
	keyTimer     *time.Timer     // the next look at the session key, nil: none was due yet
	rotating     bool            // a session key is being written
	leftEager    bool            // the group was left for a while under the eager protocol
	known        map[string]bool // connectors that a rebalance has been asked for, or that one covered
	connectors   map[string]*connectorRun
	tasks        map[group.TaskID]*taskRun
	revoked      map[*unit]bool // must have stopped before the group is joined
	live         int            // goroutines of units, without the abandoned
	queue        []func()       // requests that wait for a settled group
	dirty        bool           // what runs has to be compared with what should
	ending       bool
	memberCancel context.CancelFunc // nil: the membership does not run
	failure      error
}

var errShutdown = &entities.Error{Status: http.StatusInternalServerError, Message: "Worker is shutting down"}

func newHerder(o Options, id string) *Herder {
	h := &Herder{
		cfg: o.Config, plugins: &o.Plugins, log: o.Logger, levels: o.Levels, dial: o.Dial, poster: o.Client, url: o.AdvertisedURL, id: id,
		inbox: make(chan func()), closed: make(chan struct{}), writing: make(chan struct{}, 1), validating: make(chan struct{}, 4),
		known: map[string]bool{}, connectors: map[string]*connectorRun{}, tasks: map[group.TaskID]*taskRun{}, revoked: map[*unit]bool{},
	}
	h.validator = validator{config: h.cfg, plugins: h.plugins}
	return h
}

// run is the loop. It joins the group and works until ctx ends; then it stops connectors
// and tasks, refuses what is queued, leaves the group and returns. It returns early with
// an error when the membership cannot go on.
func (h *Herder) run(ctx context.Context) error {
	lctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.ctx = lctx
	defer h.helpers.Wait()
	defer close(h.closed)
	defer cancel()
	for _, c := range h.configs.Snapshot().Connectors() {
		h.known[c] = true
	}
	h.joining = true
	h.startMember()
	tick := time.NewTicker(reassertEvery)
	defer tick.Stop()
	done := ctx.Done()
	for {
		select {
		case f := <-h.inbox:
			f()
		case <-tick.C:
			h.reassert()
		case e := <-h.member.Events():
			h.onEvent(e)
		case <-h.configs.Changed():
			h.onChanges(h.configs.Take())
		case <-done:
			done = nil
			h.end()
		}
		if h.dirty {
			h.dirty = false
			h.reconcile()
			h.maybeJoin()
		}
		if h.ending && h.live == 0 {
			if h.memberCancel == nil {
				return h.failure
			}
			h.memberCancel() // tasks have stopped: leave the group
		}
	}
}

// end begins the shutdown.
func (h *Herder) end() {
	if h.ending {
		return
	}
	h.ending = true
	h.synced = false
	h.ready.Store(false)
	if h.keyTimer != nil {
		h.keyTimer.Stop()
	}
	for _, c := range h.connectors {
		h.stop(&c.unit, connectorGrace)
	}
	for _, t := range h.tasks {
		h.stop(&t.unit, h.cfg.TaskGrace)
	}
	queue := h.queue
	h.queue = nil
	for _, f := range queue {
		f() // each sees that the worker is ending
	}
}

// post hands f to the loop. It returns false when the loop has ended.
func (h *Herder) post(f func()) bool {
	select {
	case h.inbox <- f:
		return true
	case <-h.closed:
		return false
	}
}

// do runs f in the loop and returns what it says. f must not wait.
func (h *Herder) do(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	return h.ask(ctx, answer, func() { answer <- f() })
}

// settled is do after the rebalance under way, if any, and after the config topic was
// read as far as the assignment asks.
func (h *Herder) settled(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	run := func() {
		switch {
		case ctx.Err() != nil:
			answer <- ctx.Err()
		case h.ending:
			answer <- errShutdown
		default:
			answer <- f()
		}
	}
	return h.ask(ctx, answer, func() {
		if h.isSettled() || h.ending {
			run()
			return
		}
		h.queue = append(h.queue, run)
	})
}

func (h *Herder) ask(ctx context.Context, answer <-chan error, f func()) error {
	select {
	case h.inbox <- f:
	case <-h.closed:
		return errShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-h.closed:
		return errShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Herder) isSettled() bool { return h.synced && !h.joining }

// runQueue runs the requests that waited, as long as nothing unsettles the group again.
func (h *Herder) runQueue() {
	for len(h.queue) > 0 && h.isSettled() {
		f := h.queue[0]
		h.queue = h.queue[1:]
		f()
	}
}

// leading returns nil if this worker leads the group, else where the leader is. Only in
// the loop, when settled.
func (h *Herder) leading() error {
	if h.assigned.IsLeader() {
		return nil
	}
	return &entities.RedirectError{URL: h.assigned.LeaderURL}
}

// write runs a privileged write: check in the loop when the group is settled and this
// worker leads, then put outside of it, one write at a time.
func (h *Herder) write(ctx context.Context, check func(s clusterState) error, put func(ctx context.Context) error) error {
	select {
	case h.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.writing }()
	err := h.settled(ctx, func() error {
		if err := h.leading(); err != nil {
			return err
		}
		return check(h.configs.Snapshot())
	})
	if err != nil {
		return err
	}
	return put(ctx)
}

// status is a state as this worker reports it now.
func (h *Herder) status(s topics.State, version, trace string) topics.Status {
	return topics.Status{State: s, Trace: trace, Worker: h.id, Generation: h.generation.Load(), Version: version}
}

// late tells whether a state may be reported after another worker has taken over; it
// must not hide what that one reports.
func late(s topics.State) bool { return s == topics.StateFailed || s == topics.StateUnassigned }

// startMember lets the membership run until memberCancel.
func (h *Herder) startMember() {
	if h.memberCancel != nil || h.ending {
		return
	}
	if len(h.connectors) == 0 && len(h.tasks) == 0 {
		h.member.Forget()
	}
	mctx, cancel := context.WithCancel(h.ctx)
	h.memberCancel = cancel
	h.background(func(context.Context) {
		err := h.member.Run(mctx)
		cancel()
		h.post(func() { h.memberEnded(err) })
	})
}

// background runs f in a goroutine that ends with the loop.
func (h *Herder) background(f func(ctx context.Context)) {
	h.helpers.Go(func() { f(h.ctx) })
}

func (h *Herder) memberEnded(err error) {
	h.memberCancel = nil
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		h.failure = err
		h.end()
	case !h.ending:
		eager := h.leftEager
		h.background(func(ctx context.Context) { h.comeBack(ctx, eager) })
	}
}

// leave gives the membership up for a while, because the config topic cannot be read.
func (h *Herder) leave(cause error) {
	h.log.Error("Cannot read the config topic to its end: leaving the group until it can be read", "error", cause)
	h.leftEager = h.assigned.Version == 0
	h.assigned, h.synced, h.joining, h.joinEvent = nil, false, true, nil
	if h.memberCancel != nil {
		h.memberCancel()
	}
}

// comeBack reads the config topic until that works, then joins again. Its pauses are
// Java's: five, growing, within the time for which others leave our work to us; then we
// stop it. Under the eager protocol others have it already, and the pause is long.
func (h *Herder) comeBack(ctx context.Context, eager bool) {
	for {
		for left := time.Duration(5); left > 0; left-- {
			pause := h.cfg.ScheduledRebalanceMaxDelay / 10 / left
			if eager {
				pause = h.cfg.UnsyncBackoff
			}
			if !sleep(ctx, pause) {
				return
			}
			rctx, cancel := context.WithTimeout(ctx, h.cfg.SyncTimeout)
			err := h.configs.ReadToEnd(rctx)
			cancel()
			if err == nil {
				h.post(h.startMember)
				return
			}
		}
		h.post(func() { h.stopWork(h.running()) })
	}
}

// sleep waits; it returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
