package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/firn-io/firn/connect"
)

// A Message is one record to send.
type Message struct {
	Topic     string
	Partition int32 // -1: chosen as Java's default partitioner does: murmur2 of Key, else any
	Key       []byte
	Value     []byte // nil is a tombstone
	Headers   []connect.Header
	Timestamp time.Time // zero: now
}

// size is an upper bound of the bytes of a message in a batch of its own.
func (m *Message) size() int {
	const batch, record, header = 61, 5 + 1 + 10 + 5 + 5 + 5 + 5, 10
	n := batch + record + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += header + len(h.Key) + len(h.Value)
	}
	return n
}

// A Producer sends records with acks=all and keeps their order per partition. Unless
// enable.idempotence=false, a retry after a lost answer does not store a record twice.
// Its methods may be called from any goroutine. What is buffered is bounded by
// buffer.memory; a Send that finds it full waits.
//
// One goroutine owns the queues. Each broker has one request in flight, with at most
// one batch of each partition; what comes in meanwhile makes the next batch, so that
// batches grow with the load and nothing waits when there is none.
type Producer struct {
	cfg     *Config
	in      chan []*Delivery
	closing chan struct{}
	once    sync.Once
	life    context.Context // of the goroutines
	stop    context.CancelFunc
	running sync.WaitGroup
}

// A Delivery is a record on its way.
type Delivery struct {
	message  Message
	bytes    int
	deadline time.Time
	together *together

	offset int64 // both set before together.done closes
	err    error
}

// together are deliveries that one caller waits for.
type together struct {
	left int // the sender's
	done chan struct{}
}

// NewProducer makes a Producer. It connects on first use. Close it.
func NewProducer(cfg *Config) (*Producer, error) {
	p := &Producer{cfg: cfg, in: make(chan []*Delivery), closing: make(chan struct{})}
	p.life, p.stop = context.WithCancel(context.Background())
	s := newSender(p)
	p.running.Go(s.run)
	p.running.Go(s.lookUp)
	return p, nil
}

// Send queues a message and returns at once unless the buffer is full. The message's
// memory belongs to the Producer until the delivery is done.
func (p *Producer) Send(ctx context.Context, m Message) (*Delivery, error) {
	one, err := p.send(ctx, []Message{m})
	if err != nil {
		return nil, err
	}
	return one[0], nil
}

func (p *Producer) send(ctx context.Context, messages []Message) ([]*Delivery, error) {
	all := &together{left: len(messages), done: make(chan struct{})}
	deliveries, slab := make([]*Delivery, len(messages)), make([]Delivery, len(messages))
	now := time.Now()
	for i, m := range messages {
		if m.Timestamp.IsZero() {
			m.Timestamp = now
		}
		n := m.size()
		if n > int(p.cfg.requestBytes) {
			return nil, fmt.Errorf("%w: The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration.", ErrRecordTooLarge, n, p.cfg.requestBytes) //nolint:staticcheck,revive // Java's text
		}
		if m.Timestamp.UnixMilli() < 0 {
			return nil, fmt.Errorf("send to %s: timestamp %v is before 1970", m.Topic, m.Timestamp)
		}
		slab[i] = Delivery{message: m, bytes: n, deadline: now.Add(p.cfg.deliveryTimeout), together: all}
		deliveries[i] = &slab[i]
	}
	select {
	case <-p.closing:
		return nil, ErrClosed
	default:
	}
	select {
	case p.in <- deliveries:
		return deliveries, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for room in the producer's buffer: %w", ctx.Err())
	case <-p.life.Done():
		return nil, ErrClosed
	}
}

// Wait returns the record's offset once all in-sync replicas have it (-1 if the
// broker did not say), or why it could not be stored within delivery.timeout.ms.
// The end of ctx ends the waiting, not the delivery.
func (d *Delivery) Wait(ctx context.Context) (offset int64, err error) {
	select {
	case <-d.together.done:
		return d.offset, d.err
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

// done tells the waiting caller. Only the sender calls it.
func (d *Delivery) done(offset int64, err error) {
	d.offset, d.err = offset, err
	d.message = Message{}
	if d.together.left--; d.together.left == 0 {
		close(d.together.done)
	}
}

// SendAll sends messages and waits for all of them. It returns the first error.
func (p *Producer) SendAll(ctx context.Context, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	deliveries, err := p.send(ctx, msgs)
	if err != nil {
		return err
	}
	for _, d := range deliveries {
		if _, err := d.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close sends what is queued, for at most the request timeout, and ends the Producer.
// What is left then fails with ErrClosed.
func (p *Producer) Close() error {
	p.once.Do(func() { close(p.closing) })
	p.running.Wait()
	return nil
}
