package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// idlePut is how often Put(nil) comes when there is nothing to deliver.
const idlePut = 100 * time.Millisecond

// A loop is the state of a running task. Only the goroutine in Task.live touches it.
type loop struct {
	*Task
	fetcher fetcher
	desk    desk
	cancel  context.CancelFunc // ends the goroutines below
	wg      sync.WaitGroup
	events  chan kafka.Event
	done    chan func(context.Context) error // what to do about the results of work done away
	started bool                             // Start has been called

	parts       map[connect.TopicPartition]*partition
	queue       []*fetched // fetched and not delivered, in the order of arrival
	portion     portion
	isPaused    bool // the whole task
	shown       appearance
	lastPut     time.Time
	complained  time.Time // when complain last spoke
	topicsSeen  map[string]bool
	intolerable error // what Errant said must end the task
	doubts      map[connect.TopicPartition]doubt

	// Membership (rebalance.go, topics.go, recluse.go).
	membership  atomic.Pointer[membership]
	secluded    seclusion
	topics      subscription
	counted     atomic.Pointer[map[string]int32] // by topic: partitions that this task, leading, assigned in the present round
	preparing   *kafka.Prepare                   // a join is being prepared
	cooperative bool                             // the group's assignor moves partitions in two rounds
	resolving   bool                             // start positions are being looked up
	resolveAt   time.Time                        // when to look them up again; zero for at once

	// Commits (commit.go).
	commitAt   time.Time
	committing bool
	commitDone chan committed // capacity 1
}

// A membership is one stay in the group, from before it has joined.
type membership struct {
	member
	cancel context.CancelFunc // nil: it has not begun
	wg     sync.WaitGroup
}

// An appearance is what OnState was told.
type appearance struct {
	state State
	trace string
}

// A partition is one that the task holds.
type partition struct {
	connect.TopicPartition
	next      int64 // after the last record delivered; -1 while the start is not known
	safe      int64 // where to go on if PreCommit fails; -1 for nowhere yet
	committed int64 // what the group is known to have, -1 for nothing
	seeks     int   // tells a Put that its partition was moved meanwhile
	fresh     bool  // the topic was recreated: the group's offset is of the old one
	delivered bool  // records, since it was opened
	told      bool  // the task said where to begin
	own       bool  // the task keeps its offset elsewhere: PreCommit left it out
	added     bool  // to the fetcher
	paused    bool  // by the task
	held      bool  // until the rebalance is over
	stopped   bool  // what the fetcher was told last
	troubled  bool  // trouble was logged, nothing came since
}

func newLoop(t *Task) *loop {
	recluse, _ := t.cfg.Task.(connect.Recluse)
	return &loop{
		secluded: seclusion{task: recluse}, portion: portion{size: t.cfg.Consumer.MaxPollRecords()},
		Task: t, parts: map[connect.TopicPartition]*partition{}, topicsSeen: map[string]bool{}, doubts: map[connect.TopicPartition]doubt{},
		events: make(chan kafka.Event, 1), done: make(chan func(context.Context) error, 1), commitDone: make(chan committed, 1),
	}
}

// run starts the task and works until ctx ends or something fails. The calls it makes,
// and the goroutines it starts, last until close.
func (l *loop) run(ctx, hard context.Context) error {
	hard, l.cancel = context.WithCancel(hard)
	if err := l.open(ctx, hard); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a stop ended it
		}
		return err
	}
	l.started = true
	if err := l.cfg.Task.Start(hard, taskContext{l}, l.cfg.TaskConfig); err != nil {
		if ctx.Err() != nil {
			l.log.Info("task was stopped while it started", "error", err)
			return nil //nolint:nilerr // a stop is no failure
		}
		return fmt.Errorf("start task: %w", err)
	}
	l.appear()
	l.enter(hard)
	now := time.Now()
	l.lastPut, l.commitAt = now, now.Add(l.cfg.FlushInterval)
	for ctx.Err() == nil {
		if err := l.news(hard); err != nil {
			return err
		}
		if err := l.commitIfDue(hard); err != nil {
			return err
		}
		if err := l.step(ctx, hard); err != nil {
			return err
		}
	}
	return nil
}

// open makes the clients. ctx bounds the making, hard the clients' life.
func (l *loop) open(ctx, hard context.Context) (err error) {
	if l.topics, err = subscribe(l.cfg); err != nil {
		return err
	}
	if err := l.faults.Open(ctx); err != nil {
		return err
	}
	a, err := l.clients.admin(l.cfg.Consumer)
	if err != nil {
		return fmt.Errorf("open admin client: %w", err)
	}
	l.desk = make(desk, 1)
	l.desk <- a
	if l.fetcher, err = l.clients.fetcher(l.cfg.Consumer); err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	l.waker.Store(&l.fetcher)
	l.newMembership(hard)
	return nil
}

// newMembership makes the next membership. What it looks up lasts no longer than ctx.
func (l *loop) newMembership(ctx context.Context) {
	c := kafka.MemberConfig{
		Config: l.cfg.Consumer, Group: l.cfg.GroupID, ProtocolType: "consumer", InstanceID: l.cfg.Consumer.InstanceID(), Logger: l.log,
		Assign: kafka.ConsumerAssign(func(topics []string) (map[string]int32, error) { return l.partitionCounts(ctx, topics) }),
	}
	if l.secluded.task != nil {
		c.Config, c.Assign = c.Config.Marked(), kafka.AmongOurs(c.Assign, func(ours int) { l.secluded.counted.Store(int32(ours)) })
	}
	l.membership.Store(&membership{member: l.clients.member(c)})
}

// join starts the membership. What it has to say arrives in events.
func (l *loop) join(ctx context.Context) {
	m := l.membership.Load()
	ctx, m.cancel = context.WithCancel(ctx)
	m.wg.Go(func() {
		if err := m.Run(ctx); err != nil && ctx.Err() == nil {
			l.fail(fmt.Errorf("membership of group %s: %w", l.cfg.GroupID, err))
		}
	})
	m.wg.Go(func() {
		for {
			select {
			case e := <-m.Events():
				select {
				case l.events <- e:
					l.ring()
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

// isMember tells whether the task is in its group, or on the way.
func (l *loop) isMember() bool {
	m := l.membership.Load()
	return m != nil && m.cancel != nil
}

// away does work in another goroutine; what it returns is called in the loop.
func (l *loop) away(ctx context.Context, work func() func(context.Context) error) {
	l.wg.Go(func() {
		result := work()
		select {
		case l.done <- result:
			l.ring()
		case <-ctx.Done():
		}
	})
}

// news handles what other goroutines have sent.
func (l *loop) news(ctx context.Context) error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	l.pauseOrResume()
	l.appear()
	for {
		var err error
		select {
		case e := <-l.events:
			err = l.rebalanced(ctx, e)
		case result := <-l.done:
			err = result(ctx)
		case c := <-l.commitDone:
			err = l.settle(c)
		default:
			l.refreshTopics(ctx)
			l.lookForOthers(ctx)
			l.resolve(ctx)
			return l.askAgain(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// pauseOrResume follows SetPaused. What was fetched and not delivered is dropped, so
// that a task paused for days holds no memory; it is fetched again.
func (l *loop) pauseOrResume() {
	want := l.paused.Load()
	if want == l.isPaused {
		return
	}
	l.isPaused = want
	for _, p := range l.parts {
		l.applyPause(p)
	}
	if !want {
		return
	}
	l.portion.end()
	l.queue = nil
	for _, p := range l.parts {
		if p.added {
			l.fetcher.Seek(p.TopicPartition, p.next)
		}
	}
	l.commitAt = time.Now()
}

// appear reports the state if it has changed. A task that goes on with a part of its work
// shows as failed, since that is what those who watch states look for; one that stays out
// of its group is running, for nothing is wrong, and says why it does nothing.
func (l *loop) appear() {
	now := appearance{Running, l.secluded.why}
	switch broken := l.broken.Load(); {
	case l.isPaused:
		now = appearance{Paused, ""}
	case broken != nil:
		now = appearance{Failed, trace(*broken)}
	}
	if now == l.shown {
		return
	}
	if l.shown = now; now.state == Failed {
		l.log.Warn("task shows as failed, and goes on", "error", *l.broken.Load())
	}
	l.state(now.state, now.trace)
}

// applyPause tells the fetcher when a partition's reasons to rest come or go.
func (l *loop) applyPause(p *partition) {
	stop := p.paused || p.held || l.isPaused
	if stop == p.stopped || !p.added {
		return
	}
	if p.stopped = stop; stop {
		l.fetcher.Pause(p.TopicPartition)
	} else {
		l.fetcher.Resume(p.TopicPartition)
	}
}

// step does one thing: it delivers, converts, or polls.
func (l *loop) step(ctx, hard context.Context) error {
	q := &l.portion
	switch {
	case q.redelivery && time.Now().Before(q.retryAt) && !l.woken.Load():
		l.sleep(ctx, q.retryAt)
		return nil
	case q.redelivery:
		return l.deliver(hard)
	case q.from != nil && time.Now().Before(q.retryAt):
		if err := l.putNothing(hard); err != nil || q.from == nil {
			return err
		}
		l.sleep(ctx, q.retryAt)
		return nil
	case q.from != nil:
		return l.convert(ctx, hard)
	}
	if f := l.ready(); f != nil {
		l.begin(f)
		return l.convert(ctx, hard)
	}
	return l.poll(ctx, hard)
}

// ready takes the first run of records that may be delivered from the queue.
func (l *loop) ready() *fetched {
	for i, f := range l.queue {
		if p := l.parts[f.TopicPartition]; !p.stopped {
			l.queue = slices.Delete(l.queue, i, i+1)
			return f
		}
	}
	return nil
}

// poll waits for records, and gives the task its turn when there are none.
func (l *loop) poll(ctx, hard context.Context) error {
	l.portion.forget()
	if err := l.putNothing(hard); err != nil {
		return err
	}
	got, err := l.fetcher.Poll(ctx, l.until(time.Now().Add(idlePut)))
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a stop ended it
		}
		return fmt.Errorf("fetch: %w", err)
	}
	for i := range got {
		f := &got[i]
		p := l.parts[f.TopicPartition]
		switch {
		case p == nil:
		case f.err != nil:
			if err := l.trouble(hard, p, f.err); err != nil {
				return err
			}
		default:
			p.troubled = false
			l.queue = append(l.queue, f)
		}
	}
	return nil
}

// putNothing calls Put(nil) if the task has asked for it or it is time.
func (l *loop) putNothing(ctx context.Context) error {
	now := time.Now()
	if !l.woken.Load() && now.Sub(l.lastPut) < idlePut {
		return nil
	}
	l.lastPut = now
	l.woken.Store(false)
	err := l.cfg.Task.Put(ctx, nil)
	if l.intolerable != nil {
		return l.intolerable
	}
	if _, ok := errors.AsType[*connect.RetryError](err); ok {
		l.log.Warn("task asks for a retry, and was given no records", "error", err)
		return nil
	}
	return unrecoverable(err)
}

func unrecoverable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("Exiting WorkerSinkTask due to unrecoverable exception: %w", err) //nolint:staticcheck // Java's sentence
}

// until is how long to wait at most: to at, or to the next commit.
func (l *loop) until(at time.Time) time.Duration {
	if l.commitAt.Before(at) {
		at = l.commitAt
	}
	return max(time.Until(at), 0)
}

// sleep waits until at, the next commit, or the bell; what else has a date can wait for idlePut.
func (l *loop) sleep(ctx context.Context, at time.Time) {
	timer := time.NewTimer(min(l.until(at), idlePut))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.bell:
	case <-ctx.Done():
	}
}

// stop ends a task that has been started: offsets are committed one last time, unless
// a panic has left the task in an unknown state.
func (l *loop) stop(ctx context.Context, cause error) error {
	if !l.started {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Grace)
	defer cancel()
	l.secluded.doNotAsk()
	l.portion.end()
	var last error
	if _, panicked := errors.AsType[*panicError](cause); !panicked && l.isMember() {
		last = l.commitNow(ctx)
	}
	if err := l.cfg.Task.Stop(ctx); err != nil {
		return errors.Join(last, fmt.Errorf("stop task: %w", err))
	}
	return last
}

// close leaves the group and ends every goroutine and client.
func (l *loop) close() {
	if l.cancel != nil {
		l.cancel()
	}
	l.wg.Wait()
	if m := l.membership.Load(); m != nil {
		m.wg.Wait()
	}
	l.session.Store(nil)
	if l.fetcher != nil {
		l.warn("close consumer", l.fetcher.Close())
	}
	if l.desk != nil {
		l.warn("close admin client", (<-l.desk).Close())
	}
	l.warn("close dead-letter producer", l.faults.Close())
}

func (l *loop) warn(what string, err error) {
	if err != nil {
		l.log.Warn(what, "error", err)
	}
}
