package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

type (
	tp      = connect.TopicPartition
	offsets = map[connect.TopicPartition]int64
)

var (
	a0 = tp{Topic: "a", Partition: 0}
	a1 = tp{Topic: "a", Partition: 1}
	b0 = tp{Topic: "b", Partition: 0}
)

// A world is a cluster with one consumer group in memory, which can fail.
type world struct {
	mu        sync.Mutex
	logs      map[tp]*partitionLog
	committed offsets
	session   connect.Session // what the group accepts commits from
	commits   []string        // every commit, as text
	fault     func(op string) error
	perPoll   int

	events  chan kafka.Event
	joins   chan []kafka.Protocol
	rejoins chan string
	over    chan struct{}
	running bool
	left    bool
	fetch   *fakeFetcher

	assignor func(leaderID, protocol string, generation int32, members map[string][]byte) (map[string][]byte, error)
}

// A partitionLog holds the records [start, start+len(values)); "" is a control record.
type partitionLog struct {
	start  int64
	values []string
	err    error // to hand over once instead of records
}

func newWorld() *world {
	return &world{
		logs: map[tp]*partitionLog{}, committed: offsets{}, perPoll: 1 << 20,
		events: make(chan kafka.Event), joins: make(chan []kafka.Protocol, 1), over: make(chan struct{}), rejoins: make(chan string, 100),
	}
}

func (w *world) produce(p tp, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.logs[p]
	if l == nil {
		l = &partitionLog{}
		w.logs[p] = l
	}
	for range n {
		l.values = append(l.values, fmt.Sprintf("%s@%d", p, l.start+int64(len(l.values))))
	}
	if w.fetch != nil {
		w.fetch.Wake()
	}
}

func (w *world) failing(op string) error {
	w.mu.Lock()
	f := w.fault
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op)
}

func (w *world) setFault(f func(op string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *world) isRunning() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

func (w *world) offsetsNow() offsets {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.committed)
}

func (w *world) clients() clients {
	return clients{
		member: func(c kafka.MemberConfig) member {
			w.assignor = c.Assign
			return &fakeMember{w}
		},
		fetcher: func(*kafka.Config) (fetcher, error) { return w.newFetcher(), w.failing("fetcher") },
		admin:   func(*kafka.Config) (admin, error) { return &fakeAdmin{w}, w.failing("admin") },
	}
}

// round plays one round of the group: the task is asked to join, and gets parts.
func (w *world) round(t *testing.T, protocol string, parts ...tp) []kafka.Protocol {
	t.Helper()
	w.tell(kafka.Prepare{Reason: "test", Join: func(p []kafka.Protocol) { w.joins <- p }})
	var joined []kafka.Protocol
	select {
	case joined = <-w.joins:
	case <-w.over:
		return nil
	}
	w.assign(protocol, parts...)
	return joined
}

// tell sends an event unless the test is over: a failed task listens no more.
func (w *world) tell(e kafka.Event) {
	select {
	case w.events <- e:
	case <-w.over:
	}
}

func (w *world) assign(protocol string, parts ...tp) {
	w.mu.Lock()
	w.session.Member, w.session.Generation = "m1", w.session.Generation+1
	gen := w.session.Generation
	w.mu.Unlock()
	w.tell(kafka.Joined{MemberID: "m1", LeaderID: "m1", Generation: gen, Protocol: protocol, Assignment: kafka.EncodeAssignment(kafka.Assignment{Partitions: parts})})
}

type fakeMember struct{ w *world }

func (m *fakeMember) Events() <-chan kafka.Event { return m.w.events }
func (m *fakeMember) Rejoin(reason string)       { m.w.rejoins <- reason }
func (m *fakeMember) Run(ctx context.Context) error {
	if err := m.w.failing("member"); err != nil {
		return err
	}
	m.w.mu.Lock()
	m.w.running = true
	m.w.mu.Unlock()
	<-ctx.Done()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.left = true
	return nil
}

func (m *fakeMember) Commit(ctx context.Context, id string, gen int32, o offsets) error {
	if err := m.w.failing("commit"); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if id != m.w.session.Member || gen != m.w.session.Generation {
		return connect.ErrFenced
	}
	maps.Copy(m.w.committed, o)
	m.w.commits = append(m.w.commits, fmt.Sprintf("%d:%s", gen, render(o)))
	return nil
}

func (m *fakeMember) Committed(_ context.Context, tps []tp) (offsets, error) {
	if err := m.w.failing("committed"); err != nil {
		return nil, err
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	out := offsets{}
	for _, p := range tps {
		if o, ok := m.w.committed[p]; ok {
			out[p] = o
		}
	}
	return out, nil
}

func render(o offsets) string {
	var b strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(o), tp.Compare) {
		fmt.Fprintf(&b, " %s=%d", p, o[p])
	}
	return b.String()
}

type fakeAdmin struct{ w *world }

func (a *fakeAdmin) Close() error { return nil }

func (a *fakeAdmin) Topics(_ context.Context, names ...string) (map[string]kafka.TopicInfo, error) {
	if err := a.w.failing("topics"); err != nil {
		return nil, err
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	out := map[string]kafka.TopicInfo{}
	for p := range a.w.logs {
		if len(names) == 0 || slices.Contains(names, p.Topic) {
			i := out[p.Topic]
			i.Name, i.Internal = p.Topic, p.Topic == "__internal"
			i.Partitions = append(i.Partitions, p.Partition)
			slices.Sort(i.Partitions)
			out[p.Topic] = i
		}
	}
	return out, nil
}

func (a *fakeAdmin) Offsets(_ context.Context, tps []tp, at int64) (offsets, error) {
	if err := a.w.failing("offsets"); err != nil {
		return nil, err
	}
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	out := offsets{}
	for _, p := range tps {
		if l := a.w.logs[p]; l != nil {
			out[p] = l.start
			if at == kafka.Latest {
				out[p] += int64(len(l.values))
			}
		}
	}
	return out, nil
}

type fakeFetcher struct {
	w      *world
	bell   chan struct{}
	next   offsets
	paused map[tp]bool
	broken map[tp]bool // an error was handed over; waits for Seek
	rounds int
}

func (w *world) newFetcher() *fakeFetcher {
	w.fetch = &fakeFetcher{w: w, bell: make(chan struct{}, 1), next: offsets{}, paused: map[tp]bool{}, broken: map[tp]bool{}}
	return w.fetch
}

func (f *fakeFetcher) Add(p tp, next int64) { f.next[p] = next }
func (f *fakeFetcher) Remove(p tp)          { delete(f.next, p); delete(f.paused, p); delete(f.broken, p) }
func (f *fakeFetcher) Pause(p tp)           { f.paused[p] = true }
func (f *fakeFetcher) Resume(p tp)          { f.paused[p] = false }
func (f *fakeFetcher) Close() error         { return nil }

func (f *fakeFetcher) Seek(p tp, next int64) {
	if _, ok := f.next[p]; !ok {
		panic("seek of a partition that was not added")
	}
	f.next[p], f.broken[p] = next, false
}

func (f *fakeFetcher) Wake() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

func (f *fakeFetcher) Poll(ctx context.Context, wait time.Duration) ([]fetched, error) {
	if err := f.w.failing("poll"); err != nil {
		return nil, err
	}
	f.rounds++
	if got := f.take(); len(got) > 0 {
		return got, nil
	}
	select {
	case <-time.After(wait):
	case <-f.bell:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return f.take(), nil
}

func (f *fakeFetcher) take() (out []fetched) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, p := range slices.SortedFunc(maps.Keys(f.next), tp.Compare) {
		l, next := f.w.logs[p], f.next[p]
		if l == nil || f.paused[p] || f.broken[p] {
			continue
		}
		if l.err != nil {
			out = append(out, fetched{TopicPartition: p, err: l.err, records: &fakeRecords{}})
			l.err, f.broken[p] = nil, true
			continue
		}
		end := l.start + int64(len(l.values))
		if next < l.start || next > end {
			out = append(out, fetched{TopicPartition: p, records: &fakeRecords{}, err: &kafka.OffsetOutOfRangeError{At: p, Position: next, Start: l.start, End: end}})
			f.broken[p] = true
			continue
		}
		to := min(end, next+int64(f.w.perPoll))
		if to == next {
			continue
		}
		out = append(out, fetched{TopicPartition: p, next: to, records: newFakeRecords(next, l.values[next-l.start:to-l.start])})
		f.next[p] = to
	}
	return out
}

type fakeRecords struct{ recs []kafka.Raw }

func newFakeRecords(first int64, values []string) *fakeRecords {
	f := &fakeRecords{}
	for i, v := range values {
		if v != "" {
			f.recs = append(f.recs, kafka.Raw{Offset: first + int64(i), Timestamp: 1000, TimestampType: connect.CreateTime, Key: []byte("k"), Value: []byte(v)})
		}
	}
	return f
}

func (f *fakeRecords) Len() int               { return len(f.recs) }
func (f *fakeRecords) At(i int, r *kafka.Raw) { *r = f.recs[i] }

// A recorder is a task that writes down what it is called with.
type recorder struct {
	mu    sync.Mutex
	tc    connect.TaskContext
	calls []string
	got   map[tp][]string
	next  offsets // delivered
	held  map[tp]bool
	idle  int

	onPut    func(b *connect.Batch) error
	onCommit func() (offsets, error)
	onOpen   func(parts []tp) offsets
	onStart  func() error
	onStop   func(ctx context.Context) error
	onClose  func()
}

func newRecorder() *recorder {
	return &recorder{got: map[tp][]string{}, next: offsets{}, held: map[tp]bool{}}
}

// meet orders what the test and the task's goroutine do to the test's variables.
func (r *recorder) meet() {
	r.mu.Lock()
	defer r.mu.Unlock()
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls
	r.calls = nil
	return c
}

func (r *recorder) values(p tp) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got[p])
}

func (r *recorder) Start(_ context.Context, tc connect.TaskContext, _ map[string]string) error {
	r.tc = tc
	r.note("start")
	if r.onStart != nil {
		return r.onStart()
	}
	return nil
}

func (r *recorder) Open(_ context.Context, parts []tp) (offsets, error) {
	r.note("open %v", parts)
	for _, p := range parts {
		if r.held[p] {
			return nil, fmt.Errorf("open of %s, which is open", p)
		}
		r.held[p] = true
	}
	if r.onOpen != nil {
		return r.onOpen(parts), nil
	}
	return nil, nil
}

func (r *recorder) Put(_ context.Context, b *connect.Batch) error {
	r.meet()
	if b == nil {
		r.mu.Lock()
		r.idle++
		r.mu.Unlock()
	} else if !r.held[b.TopicPartition] {
		return fmt.Errorf("batch of %s, which is not open", b.TopicPartition)
	}
	if r.onPut != nil {
		if err := r.onPut(b); err != nil || b == nil {
			return err
		}
	}
	if b == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range b.Records {
		r.got[b.TopicPartition] = append(r.got[b.TopicPartition], b.Records[i].Value.Text())
	}
	r.next[b.TopicPartition] = b.Next
	return nil
}

func (r *recorder) PreCommit(context.Context) (offsets, error) {
	r.meet()
	if r.onCommit != nil {
		return r.onCommit()
	}
	return maps.Clone(r.next), nil
}

func (r *recorder) Close(_ context.Context, parts []tp, lost bool) error {
	r.note("close %v lost=%v", parts, lost)
	for _, p := range parts {
		if !r.held[p] {
			return fmt.Errorf("close of %s, which is not open", p)
		}
		delete(r.held, p)
		delete(r.next, p)
	}
	if r.onClose != nil {
		r.onClose()
	}
	return nil
}

func (r *recorder) Stop(ctx context.Context) error {
	r.note("stop")
	if r.onStop != nil {
		return r.onStop(ctx)
	}
	return nil
}

// A plain converter gives the bytes as a string, after fail had its say.
type plain struct {
	fail func(ctx context.Context, data string) error
}

func (plain) ConfigDef() *connect.ConfigDef           { return &connect.ConfigDef{} }
func (plain) Version() string                         { return "test" }
func (plain) Configure(map[string]string, bool) error { return nil }

func (c plain) ToConnect(ctx context.Context, _ *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	if c.fail != nil {
		if err := c.fail(ctx, string(data)); err != nil {
			return nil, connect.Value{}, err
		}
	}
	return nil, connect.StringOf(data), nil
}

// A stage is a task under test, in its world.
type stage struct {
	t      *testing.T
	w      *world
	r      *recorder
	task   *Task
	states []string
	topics []string
	trace  string
	cancel context.CancelFunc
	done   chan error
}

// play sets a task up inside a synctest bubble, lets edit change it, and runs it.
func play(t *testing.T, edit func(s *stage, c *Config), script func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, w: newWorld(), r: newRecorder(), done: make(chan error, 1)}
		props := map[string]string{"bootstrap.servers": "localhost:9092", "auto.offset.reset": "earliest"}
		cfg := Config{
			Connector: "c", Task: s.r, Key: plain{}, Value: plain{}, KeyClass: "KeyConverter", ValueClass: "ValueConverter",
			Topics: []string{"a", "b"}, Logger: slog.New(slog.DiscardHandler),
			FlushInterval: time.Second, MemoryBytes: 1,
			OnState: func(st State, trace string) { s.states, s.trace = append(s.states, string(st)), trace },
			OnTopic: func(topic string) { s.topics = append(s.topics, topic) },
		}
		cfg.Consumer = consumer(t, props)
		if edit != nil {
			edit(s, &cfg)
		}
		s.task = New(cfg)
		s.task.clients = s.w.clients()
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.done <- s.task.Run(ctx)
		}()
		synctest.Wait()
		script(s)
		s.cancel()
		close(s.w.over)
		<-ended
	})
}

func consumer(t testing.TB, props map[string]string) *kafka.Config {
	t.Helper()
	c, err := kafka.NewConfig(props, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stop ends the task gracefully and returns what Run returned.
func (s *stage) stop() error {
	s.r.meet()
	s.cancel()
	return <-s.done
}

func (s *stage) rebalance(protocol string, parts ...tp) []kafka.Protocol {
	s.t.Helper()
	s.r.meet()
	joined := s.w.round(s.t, protocol, parts...)
	synctest.Wait()
	return joined
}

func (s *stage) wait(d time.Duration) {
	s.r.meet()
	time.Sleep(d)
	synctest.Wait()
}

func (s *stage) wantCalls(want ...string) {
	s.t.Helper()
	if got := s.r.take(); !slices.Equal(got, want) {
		s.t.Errorf("calls: got %q, want %q", got, want)
	}
}

func (s *stage) wantStates(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.states, want) {
		s.t.Errorf("states: got %v, want %v", s.states, want)
	}
}

// wantRange checks that the task got exactly the records [from, to) of p, in order.
func (s *stage) wantRange(p tp, from, to int) {
	s.t.Helper()
	got := s.r.values(p)
	if len(got) != to-from {
		s.t.Errorf("%s: got %d records, want [%d,%d)", p, len(got), from, to)
	}
	for i, v := range got {
		if want := fmt.Sprintf("%s@%d", p, from+i); v != want {
			s.t.Fatalf("%s: record %d is %q, want %q", p, i, v, want)
		}
	}
}

var errBoom = errors.New("boom")

func retry() error { return &connect.RetryError{Err: errBoom} }
