package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// A sender is the goroutine behind a Producer: it owns the queues.
type sender struct {
	*Producer
	answers chan sendAnswer
	asks    chan sendAsk
	found   chan sendFound

	view
	queues   map[connect.TopicPartition]*queue
	homeless map[string][]*Delivery // by topic: no partition chosen yet
	sticky   map[string]int32       // partition for records without a key, by topic
	brokers  map[string]*sendBroker // by address
	bytes    int64                  // of all deliveries here
	draining bool

	id       producerID
	plain    bool // not idempotent
	looking  bool
	lookAt   time.Time
	failures int
}

// A producerID makes the batches of a producer known (KIP-98). id is -1 for none.
type producerID struct {
	id    int64
	epoch int16
}

// A queue is what goes to one partition.
type queue struct {
	connect.TopicPartition
	waiting  []*Delivery
	batch    *sendBatch // under way, or to be sent again as it is
	flying   bool
	addr     string // of the leader, "" when not known
	failures int
	retryAt  time.Time
	why      error // of the last failure
	most     int   // records in a batch, 0 for no limit
	id       producerID
	sequence int32 // of the next record
}

// A sendBatch is a batch that will not change: what may have been stored is sent again
// exactly so, that the broker knows it.
type sendBatch struct {
	deliveries []*Delivery
	records    *sarama.RecordBatch
	bytes      int
}

func newSender(p *Producer) *sender {
	return &sender{
		Producer: p, answers: make(chan sendAnswer), asks: make(chan sendAsk, 1), found: make(chan sendFound, 1),
		view: view{map[int32]string{}, map[string]topic{}}, queues: map[connect.TopicPartition]*queue{}, homeless: map[string][]*Delivery{},
		sticky: map[string]int32{}, brokers: map[string]*sendBroker{}, id: producerID{-1, -1}, plain: !p.cfg.idempotent,
	}
}

func (s *sender) run() {
	defer s.stop()
	defer s.drop(ErrClosed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	closing := s.closing
	var last <-chan time.Time
	for {
		timer.Reset(s.dispatch(time.Now()))
		if s.draining && s.bytes == 0 {
			return
		}
		in := s.in
		if s.bytes >= s.cfg.bufferBytes {
			in = nil
		}
		select {
		case deliveries := <-in:
			s.accept(deliveries)
		case a := <-s.answers:
			s.take(a)
		case f := <-s.found:
			s.learn(f)
		case <-timer.C:
		case <-closing:
			closing, s.draining = nil, true
			limit := time.NewTimer(s.cfg.requestTimeout)
			defer limit.Stop()
			last = limit.C
		case <-last:
			return
		}
	}
}

// drop fails everything.
func (s *sender) drop(err error) {
	for _, waiting := range s.homeless {
		s.finish(waiting, err)
	}
	for _, q := range s.queues {
		if q.batch != nil {
			s.finish(q.batch.deliveries, err)
		}
		s.finish(q.waiting, err)
	}
}

func (s *sender) finish(deliveries []*Delivery, err error) {
	for _, d := range deliveries {
		s.bytes -= int64(d.bytes)
		d.done(-1, err)
	}
}

// accept queues new deliveries.
func (s *sender) accept(deliveries []*Delivery) {
	for _, d := range deliveries {
		s.bytes += int64(d.bytes)
		s.place(d)
	}
}

func (s *sender) place(d *Delivery) {
	m := &d.message
	if m.Partition < 0 {
		t, ok := s.topics[m.Topic]
		if !ok || len(t.leaders) == 0 {
			s.homeless[m.Topic] = append(s.homeless[m.Topic], d)
			return
		}
		m.Partition = s.choose(m, int32(len(t.leaders)))
	}
	tp := connect.TopicPartition{Topic: m.Topic, Partition: m.Partition}
	q := s.queues[tp]
	if q == nil {
		q = &queue{TopicPartition: tp, id: producerID{-1, -1}}
		q.addr, _ = s.leader(tp)
		s.queues[tp] = q
	}
	q.waiting = append(q.waiting, d)
}

// choose is Java's default partitioner: the key decides, and records without one stay
// with a partition until it has been sent a batch (KIP-480).
func (s *sender) choose(m *Message, partitions int32) int32 {
	if m.Key != nil {
		return int32(murmur2(m.Key)&0x7fffffff) % partitions
	}
	return s.sticky[m.Topic] % partitions
}

// dispatch gives idle brokers what is queued for them. It returns when to call it
// again at the latest.
func (s *sender) dispatch(now time.Time) time.Duration {
	wake := now.Add(time.Hour)
	s.expire(now, &wake)
	lost := len(s.homeless) > 0
	requests := map[string]*sendRequest{}
	for _, q := range s.queues {
		if q.flying || q.batch == nil && len(q.waiting) == 0 {
			continue
		}
		if now.Before(q.retryAt) {
			wake = earlier(wake, q.retryAt)
			continue
		}
		if q.addr == "" {
			lost = true
			continue
		}
		if q.batch == nil && !s.plain && s.id.id < 0 {
			lost = true // an id first
			continue
		}
		if b := s.brokers[q.addr]; b != nil && b.busy {
			continue
		}
		s.join(q, requests)
	}
	for addr, r := range requests {
		b := s.broker(addr)
		b.busy = true
		b.requests <- r // has room: the broker is idle
	}
	if lost && !s.looking {
		if now.Before(s.lookAt) {
			wake = earlier(wake, s.lookAt)
		} else {
			s.looking = true
			s.asks <- sendAsk{s.wanted(), !s.plain && s.id.id < 0}
		}
	}
	return wake.Sub(now)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// join adds a queue's next batch to the request for its broker, if there is room.
func (s *sender) join(q *queue, requests map[string]*sendRequest) {
	r := requests[q.addr]
	if q.batch == nil {
		q.batch = s.form(q)
	}
	if r != nil && r.bytes+q.batch.bytes > int(s.cfg.requestBytes) {
		return
	}
	if r == nil {
		r = &sendRequest{ProduceRequest: &sarama.ProduceRequest{Version: 9, RequiredAcks: sarama.WaitForAll, Timeout: int32(s.cfg.requestTimeout.Milliseconds())}}
		requests[q.addr] = r
	}
	r.bytes += q.batch.bytes
	r.queues = append(r.queues, q)
	r.AddBatch(q.Topic, q.Partition, q.batch.records)
	q.flying = true
}

// form makes a batch of what is waiting.
func (s *sender) form(q *queue) *sendBatch {
	b := &sendBatch{}
	for i, d := range q.waiting {
		if i > 0 && (b.bytes+d.bytes > int(s.cfg.requestBytes) || i == q.most) {
			break
		}
		b.deliveries, b.bytes = append(b.deliveries, d), b.bytes+d.bytes
	}
	q.waiting = q.waiting[len(b.deliveries):]
	s.sticky[q.Topic] = q.Partition + 1
	if q.id != s.id {
		q.id, q.sequence = s.id, 0
	}
	b.records = recordBatch(b.deliveries)
	b.records.Codec, b.records.CompressionLevel = s.cfg.codec, s.cfg.codecLevel
	q.stamp(b)
	return b
}

// stamp marks a batch with the queue's producer id and sequence.
func (q *queue) stamp(b *sendBatch) {
	b.records.ProducerID, b.records.ProducerEpoch, b.records.FirstSequence = q.id.id, q.id.epoch, -1
	if q.id.id >= 0 {
		b.records.FirstSequence = q.sequence
	}
}

func recordBatch(deliveries []*Delivery) *sarama.RecordBatch {
	b := &sarama.RecordBatch{Version: 2, FirstTimestamp: deliveries[0].message.Timestamp.Truncate(time.Millisecond), LastOffsetDelta: int32(len(deliveries) - 1)}
	slab := make([]sarama.Record, len(deliveries))
	b.Records = make([]*sarama.Record, len(deliveries))
	for i, d := range deliveries {
		m := &d.message
		r := &slab[i]
		r.OffsetDelta, r.TimestampDelta, r.Key, r.Value = int64(i), m.Timestamp.Truncate(time.Millisecond).Sub(b.FirstTimestamp), m.Key, m.Value
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, &sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		if m.Timestamp.After(b.MaxTimestamp) {
			b.MaxTimestamp = m.Timestamp
		}
		b.Records[i] = r
	}
	return b
}

// expire fails what could not be sent in time, and lowers wake to when that is next.
func (s *sender) expire(now time.Time, wake *time.Time) {
	for name, waiting := range s.homeless {
		limit := waiting[0].deadline.Add(min(0, s.cfg.blockLimit-s.cfg.deliveryTimeout)) // max.block.ms after Send
		*wake = earlier(*wake, limit)
		if !now.Before(limit) {
			delete(s.homeless, name)
			s.finish(waiting, fmt.Errorf("%w: Topic %s not present in metadata after %d ms.", ErrUnknownTopic, name, s.cfg.blockLimit.Milliseconds())) //nolint:staticcheck,revive // Java's text
		}
	}
	for _, q := range s.queues {
		if q.flying {
			continue
		}
		if q.batch != nil {
			*wake = earlier(*wake, q.batch.deliveries[0].deadline)
			if !now.Before(q.batch.deliveries[0].deadline) {
				s.fail(q, s.timeout(q))
			}
		}
		for len(q.waiting) > 0 && !now.Before(q.waiting[0].deadline) {
			s.finish(q.waiting[:1], s.timeout(q))
			q.waiting = q.waiting[1:]
		}
		if len(q.waiting) > 0 {
			*wake = earlier(*wake, q.waiting[0].deadline)
		}
	}
}

func (s *sender) timeout(q *queue) error {
	why := q.why
	if why == nil {
		why = context.DeadlineExceeded
	}
	return fmt.Errorf("send to %s: not stored within delivery.timeout.ms (%v): %w", q.TopicPartition, s.cfg.deliveryTimeout, why)
}

// fail gives a batch up. What the broker may have stored of it makes a gap in the
// sequence, so that the next batches come from a new producer.
func (s *sender) fail(q *queue, err error) {
	s.finish(q.batch.deliveries, err)
	q.batch = nil
	if q.id == s.id {
		s.id = producerID{-1, -1}
	}
	q.id = producerID{-1, -1}
}

// take looks at what became of a request.
func (s *sender) take(a sendAnswer) {
	s.brokers[a.addr].busy = false
	for _, q := range a.queues {
		q.flying = false
		if a.err != nil {
			s.stumble(q, a.err)
			continue
		}
		block := a.answer.GetBlock(q.Topic, q.Partition)
		if block == nil {
			s.stumble(q, sarama.ErrNetworkException)
			continue
		}
		switch block.Err { //nolint:exhaustive // Kafka has more than a hundred codes
		case sarama.ErrNoError:
			s.stored(q, block.Offset)
		case sarama.ErrDuplicateSequenceNumber: // stored by an earlier try
			s.stored(q, -1)
		default:
			s.stumble(q, described(block.Err, block.ErrorMessage))
		}
	}
}

func (s *sender) stored(q *queue, offset int64) {
	for i, d := range q.batch.deliveries {
		s.bytes -= int64(d.bytes)
		if offset < 0 {
			d.done(-1, nil)
		} else {
			d.done(offset+int64(i), nil)
		}
	}
	q.sequence = int32((int64(q.sequence) + int64(len(q.batch.deliveries))) & 0x7fffffff)
	q.batch, q.failures, q.why, q.most = nil, 0, nil, 0
}

// stumble decides what comes after a failed try: the same again, less, or nothing.
func (s *sender) stumble(q *queue, err error) {
	q.failures++
	q.why = err
	q.retryAt = time.Now().Add(s.cfg.pause(q.failures))
	n := len(q.batch.deliveries)
	switch {
	case errors.Is(err, ErrRecordTooLarge) && n > 1:
		q.waiting = slices.Concat(q.batch.deliveries, q.waiting)
		q.batch, q.most, q.retryAt = nil, (n+1)/2, time.Time{}
	case q.id.id >= 0 && staleProducer(err):
		if q.id == s.id {
			s.id = producerID{-1, -1}
		}
		q.waiting = slices.Concat(q.batch.deliveries, q.waiting)
		q.batch = nil
	case retriable(err):
		q.addr = ""
	default:
		s.fail(q, fmt.Errorf("send to %s: %w", q.TopicPartition, err))
	}
}

// staleProducer tells whether the broker does not know the producer id or its sequence
// any more, as after it was idle for days or its records were deleted.
func staleProducer(err error) bool {
	return errors.Is(err, sarama.ErrOutOfOrderSequenceNumber) || errors.Is(err, sarama.ErrUnknownProducerID) ||
		errors.Is(err, sarama.ErrInvalidProducerEpoch) || errors.Is(err, sarama.ErrInvalidProducerIDMapping)
}

// wanted are the topics to look up.
func (s *sender) wanted() []string {
	names := map[string]bool{}
	for name := range s.homeless {
		names[name] = true
	}
	for tp, q := range s.queues {
		if q.addr == "" || len(q.waiting) > 0 {
			names[tp.Topic] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// learn takes in leaders and a producer id.
func (s *sender) learn(f sendFound) {
	s.looking = false
	if f.err != nil {
		s.failures++
		s.lookAt = time.Now().Add(s.cfg.pause(s.failures))
	} else {
		s.failures, s.lookAt = 0, time.Now().Add(s.cfg.pause(1))
		s.addrs = f.addrs
		for _, name := range f.names {
			delete(s.topics, name)
		}
		maps.Copy(s.topics, f.topics)
	}
	if f.id.id >= 0 {
		s.id = f.id
	}
	s.plain = s.plain || f.plain
	for tp, q := range s.queues {
		s.learnQueue(q, tp, f)
	}
	for name, waiting := range s.homeless {
		t := s.topics[name]
		if f.err != nil {
			t.err = f.err
		}
		switch {
		case t.err != nil && !retriable(t.err):
			delete(s.homeless, name)
			s.finish(waiting, fmt.Errorf("send to %s: %w", name, t.err))
		case len(t.leaders) > 0:
			delete(s.homeless, name)
			for _, d := range waiting {
				s.place(d)
			}
		}
	}
}

func (s *sender) learnQueue(q *queue, tp connect.TopicPartition, f sendFound) {
	addr, err := s.leader(tp)
	switch {
	case q.flying:
		return
	case f.err != nil:
		err = f.err
	case !slices.Contains(f.names, tp.Topic):
		return
	default:
		q.addr = addr
	}
	if err != nil {
		q.why = err
		if !retriable(err) {
			s.refuse(q, err)
		}
	}
}

// refuse fails everything of a queue.
func (s *sender) refuse(q *queue, err error) {
	err = fmt.Errorf("send to %s: %w", q.TopicPartition, err)
	if q.batch != nil {
		s.fail(q, err)
	}
	s.finish(q.waiting, err)
	q.waiting = nil
}
