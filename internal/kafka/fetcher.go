package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// A Fetcher reads partitions in bulk. Its methods are called by one goroutine, except
// Wake. Each broker has one request in flight, and its next answer is fetched and
// decoded while the owner works on the last one, so that at most two answers of
// fetch.max.bytes per broker are in memory besides what the owner holds.
type Fetcher struct {
	cfg     *Config
	stop    context.CancelFunc
	life    context.Context // of the goroutines below
	running sync.WaitGroup
	wake    chan struct{}
	answers chan fetchAnswer // from the goroutines of brokers
	asks    chan []string    // to the goroutine that looks up leaders
	leaders chan leaders     // from it

	parts    map[connect.TopicPartition]*part
	brokers  map[string]*fetchBroker // by address
	requests uint64                  // numbers requests from 1
	looking  bool                    // a look-up is under way
	lookAt   time.Time               // not before
	failures int                     // look-ups failed in a row
	looked   time.Time               // last success
	out      []Fetched
	fatal    error
}

// A part is a partition being fetched.
type part struct {
	next     int64
	asked    uint64 // request under way that covers it, 0 for none
	addr     string // of its leader, "" when not known
	id       [16]byte
	share    int32 // bytes of an answer
	paused   bool
	halted   bool // until Seek
	failures int  // in a row
	retryAt  time.Time
	reported bool // an error since the last success
	verdict  *OffsetOutOfRangeError
}

// OffsetOutOfRangeError says that the position is not in the log, which spans from
// Start to End.
type OffsetOutOfRangeError struct {
	At         connect.TopicPartition
	Position   int64
	Start, End int64
}

func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("fetch position %d of %s is out of range: the log has offsets %d to %d", e.Position, e.At, e.Start, e.End)
}

// TopicIDChangedError says that the topic was deleted and created again.
type TopicIDChangedError struct {
	At       connect.TopicPartition
	Old, New [16]byte
}

func (e *TopicIDChangedError) Error() string {
	return fmt.Sprintf("topic of %s was created again: its id was %x and is %x", e.At, e.Old, e.New)
}

// NewFetcher makes a Fetcher without partitions. Close it.
func NewFetcher(cfg *Config) (*Fetcher, error) {
	f := &Fetcher{
		cfg: cfg, wake: make(chan struct{}, 1), answers: make(chan fetchAnswer), asks: make(chan []string, 1), leaders: make(chan leaders, 1),
		parts: map[connect.TopicPartition]*part{}, brokers: map[string]*fetchBroker{},
	}
	f.life, f.stop = context.WithCancel(context.Background())
	f.running.Go(f.lookUp)
	return f, nil
}

// Close ends the Fetcher and its goroutines.
func (f *Fetcher) Close() error {
	f.stop()
	f.running.Wait()
	return nil
}

// Add begins to fetch tp at offset next. Adding it again is a Seek.
func (f *Fetcher) Add(tp connect.TopicPartition, next int64) {
	if f.parts[tp] == nil {
		f.parts[tp] = &part{share: f.cfg.fetchPartition}
	}
	f.Seek(tp, next)
}

// Remove stops fetching tp; what was fetched of it already is dropped.
func (f *Fetcher) Remove(tp connect.TopicPartition) { delete(f.parts, tp) }

// Seek goes on at offset next; what was fetched of tp already is dropped.
func (f *Fetcher) Seek(tp connect.TopicPartition, next int64) {
	if p := f.parts[tp]; p != nil {
		p.next, p.asked, p.halted, p.verdict, p.retryAt, p.failures = next, 0, false, nil, time.Time{}, 0
	}
}

// Pause stops handing over records of tp; the others go on.
func (f *Fetcher) Pause(tp connect.TopicPartition) {
	if p := f.parts[tp]; p != nil {
		p.paused = true
	}
}

// Resume ends a pause.
func (f *Fetcher) Resume(tp connect.TopicPartition) {
	if p := f.parts[tp]; p != nil {
		p.paused = false
	}
}

// Position is the offset after what Poll has handed over, false if tp was not added.
func (f *Fetcher) Position(tp connect.TopicPartition) (int64, bool) {
	if p := f.parts[tp]; p != nil {
		return p.next, true
	}
	return 0, false
}

// Wake makes the present Poll, or else the next, return at once. Any goroutine may call it.
func (f *Fetcher) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Poll returns what has been fetched, waiting for at most wait. It returns early when
// there is something, on Wake, and with ctx's error when ctx ends. Each element is of
// another partition, but for errors.
//
// Trouble of one partition comes as Fetched.Err, once: an OffsetOutOfRangeError or a
// TopicIDChangedError, after which the partition waits for Seek or Remove; and
// ErrUnknownTopic, ErrUnauthorized and answers that cannot be decoded, after which
// fetching is tried again with back-off. Brokers that cannot be reached are tried
// again without a word. Poll's own error is ctx's, or final: authentication failed.
func (f *Fetcher) Poll(ctx context.Context, wait time.Duration) ([]Fetched, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		again := f.dispatch(time.Now())
		if f.fatal != nil {
			return nil, f.fatal
		}
		if len(f.out) > 0 {
			out := f.out
			f.out = nil
			return out, nil
		}
		if f.collect() {
			continue
		}
		if done, err := f.wait(ctx, deadline.C, again); done {
			return nil, err
		}
	}
}

// collect takes what is there without waiting.
func (f *Fetcher) collect() bool {
	select {
	case a := <-f.answers:
		f.take(a)
	case l := <-f.leaders:
		f.learn(l)
	default:
		return false
	}
	return true
}

// wait waits for something to happen. It tells whether Poll is over.
func (f *Fetcher) wait(ctx context.Context, deadline <-chan time.Time, again time.Duration) (bool, error) {
	var retry <-chan time.Time
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		retry = t.C
	}
	select {
	case a := <-f.answers:
		f.take(a)
		for f.collect() { // other brokers'
		}
	case l := <-f.leaders:
		f.learn(l)
	case <-retry:
	case <-f.wake:
		return true, nil
	case <-deadline:
		return true, nil
	case <-ctx.Done():
		return true, ctx.Err()
	}
	return false, nil
}

// dispatch sends each idle broker a request for what it leads, and looks up leaders
// that are not known. It returns when to call it again, 0 if nothing is held back.
func (f *Fetcher) dispatch(now time.Time) time.Duration {
	var again time.Duration
	hold := func(until time.Time) bool {
		wait := until.Sub(now)
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
		return wait > 0
	}
	stale := now.Sub(f.looked) > f.cfg.metadataMaxAge
	lost := false
	requests := map[string]*fetchRequest{}
	for tp, p := range f.parts {
		if p.addr == "" && (!p.halted || p.verdict != nil) && !hold(p.retryAt) {
			lost = true
		}
		if p.addr == "" || p.paused || p.halted || p.asked > 0 || hold(p.retryAt) {
			continue
		}
		b := f.broker(p.addr)
		if b.busy {
			continue
		}
		r := requests[p.addr]
		if r == nil {
			f.requests++
			r = f.newRequest(f.requests)
			requests[p.addr] = r
		}
		p.asked = r.number
		r.asked[tp] = p.next
		r.AddBlock(tp.Topic, tp.Partition, p.next, p.share, -1)
	}
	for addr, r := range requests {
		b := f.brokers[addr]
		b.busy = true
		b.requests <- r // has room: the broker is idle
	}
	if (lost || stale) && len(f.parts) > 0 && !f.looking && !hold(f.lookAt) {
		f.looking = true
		f.asks <- topicNames(keys(f.parts))
	}
	return again
}

func keys(parts map[connect.TopicPartition]*part) []connect.TopicPartition {
	out := make([]connect.TopicPartition, 0, len(parts))
	for tp := range parts {
		out = append(out, tp)
	}
	return out
}

func (f *Fetcher) broker(addr string) *fetchBroker {
	b := f.brokers[addr]
	if b == nil {
		b = &fetchBroker{addr: addr, requests: make(chan *fetchRequest, 1)}
		f.brokers[addr] = b
		f.running.Go(func() { f.serve(b) })
	}
	return b
}

// take puts an answer into out, but for what a Seek, Remove or Pause has overtaken.
func (f *Fetcher) take(a fetchAnswer) {
	f.brokers[a.addr].busy = false
	for _, got := range a.parts {
		p := f.parts[got.TopicPartition]
		if p == nil || p.asked != a.number {
			continue
		}
		p.asked = 0
		switch {
		case got.Err != nil:
			f.trouble(p, got.Fetched)
		case !p.paused:
			f.advance(p, got)
		}
	}
}

func (f *Fetcher) advance(p *part, got progress) {
	if !got.cut {
		p.failures, p.reported = 0, false
	}
	if got.Next == p.next && got.n == 0 {
		if got.cut {
			f.enlarge(p, got.TopicPartition)
		}
		return
	}
	p.share = f.cfg.fetchPartition
	p.next = got.Next
	got.TopicID = p.id
	f.out = append(f.out, got.Fetched)
}

// enlarge gives a partition room for a batch that did not fit. The broker sends the
// first batch of an answer whole, whatever its size (KIP-74), so that this is rare.
func (f *Fetcher) enlarge(p *part, tp connect.TopicPartition) {
	limit := max(f.cfg.fetchMax, f.cfg.fetchPartition)
	if p.share < limit {
		p.share = int32(min(2*int64(p.share)+1, int64(limit)))
		return
	}
	p.failures++
	p.retryAt = time.Now().Add(f.cfg.pause(p.failures))
	f.report(p, tp, fmt.Errorf("fetch %s at %d: %w", tp, p.next, errCut))
}

// trouble decides what an error of a partition means.
func (f *Fetcher) trouble(p *part, got Fetched) {
	p.failures++
	p.retryAt = time.Now().Add(f.cfg.pause(p.failures))
	if gone, ok := errors.AsType[*OffsetOutOfRangeError](got.Err); ok {
		// Only together with the topic's id this tells what has happened.
		p.verdict, p.halted, p.addr, p.retryAt = gone, true, "", time.Time{}
		return
	}
	switch {
	case undecodable(got.Err):
		f.report(p, got.TopicPartition, got.Err)
	case retriable(got.Err):
		p.addr = ""
	case answered(got.Err):
		p.addr = ""
		f.report(p, got.TopicPartition, got.Err)
	default:
		f.fatal = got.Err
	}
}

// report tells the owner of an error, once.
func (f *Fetcher) report(p *part, tp connect.TopicPartition, err error) {
	if !p.reported {
		p.reported = true
		f.out = append(f.out, Fetched{TopicPartition: tp, TopicID: p.id, Next: p.next, Err: err})
	}
}

// learn takes in who leads what.
func (f *Fetcher) learn(l leaders) {
	f.looking = false
	if l.err != nil {
		f.failures++
		f.lookAt = time.Now().Add(f.cfg.pause(f.failures))
		if !retriable(l.err) {
			f.fatal = l.err
		}
		return
	}
	f.failures, f.looked = 0, time.Now()
	f.lookAt = f.looked.Add(f.cfg.pause(1))
	for tp, p := range f.parts {
		if slices.Contains(l.names, tp.Topic) {
			f.learnPart(tp, p, &l.view)
		}
	}
}

func (f *Fetcher) learnPart(tp connect.TopicPartition, p *part, v *view) {
	addr, err := v.leader(tp)
	id := v.topics[tp.Topic].id
	changed := p.id != [16]byte{} && id != [16]byte{} && p.id != id
	switch {
	case err != nil:
		p.addr = ""
		p.failures++
		p.retryAt = time.Now().Add(f.cfg.pause(p.failures))
		if errors.Is(err, ErrUnknownTopic) || !retriable(err) {
			f.report(p, tp, err)
		}
	case changed:
		p.reported = false
		f.report(p, tp, &TopicIDChangedError{At: tp, Old: p.id, New: id})
		p.addr, p.id, p.halted, p.verdict, p.asked = addr, id, true, nil, 0
	default:
		p.addr, p.id = addr, id
		if p.verdict != nil {
			p.reported = false
			f.report(p, tp, p.verdict)
			p.verdict = nil
		}
	}
}

// undecodable tells whether a broker answered with what cannot be read.
func undecodable(err error) bool {
	_, bad := errors.AsType[sarama.PacketDecodingError](err)
	return bad || errors.Is(err, errFormat) || errors.Is(err, sarama.ErrDecompressedBatchTooLarge) || errors.Is(err, sarama.ErrInsufficientData)
}
