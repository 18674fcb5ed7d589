package kafka

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/IBM/sarama"
)

// A sendBroker is one broker to send to. Its goroutine owns the connection.
type sendBroker struct {
	addr     string
	requests chan *sendRequest // holds one
	busy     bool              // the sender's: a request has no answer yet
}

type sendRequest struct {
	*sarama.ProduceRequest
	queues []*queue
	bytes  int
}

type sendAnswer struct {
	addr   string
	queues []*queue
	answer *sarama.ProduceResponse
	err    error
}

func (s *sender) broker(addr string) *sendBroker {
	b := s.brokers[addr]
	if b == nil {
		b = &sendBroker{addr: addr, requests: make(chan *sendRequest, 1)}
		s.brokers[addr] = b
		s.running.Go(func() { s.serve(b) })
	}
	return b
}

// serve is the goroutine of one broker. It touches nothing of a queue: only the
// batches, which do not change.
func (s *sender) serve(b *sendBroker) {
	var cn *conn
	defer func() {
		if cn != nil {
			cn.close()
		}
	}()
	for {
		var request *sendRequest
		select {
		case request = <-b.requests:
		case <-s.life.Done():
			return
		}
		answer, err := s.produce(b.addr, &cn, request)
		select {
		case s.answers <- sendAnswer{b.addr, request.queues, answer, err}:
		case <-s.life.Done():
			return
		}
	}
}

// produce does one request. After an error of the connection it leaves *cn nil.
func (s *sender) produce(addr string, cn **conn, request *sendRequest) (*sarama.ProduceResponse, error) {
	if *cn == nil {
		made, err := s.cfg.connect(s.life, addr, 2*s.cfg.requestTimeout) // the broker itself waits for replicas up to one
		if err != nil {
			return nil, err
		}
		*cn = made
	}
	answer, err := roundTrip(s.life, *cn, (*sarama.Broker).Produce, request.ProduceRequest)
	if err != nil {
		(*cn).close()
		*cn = nil
		return nil, fmt.Errorf("produce: %w", err)
	}
	return answer, nil
}

// A sendAsk asks for the leaders of topics and, if newID, for a producer id.
type sendAsk struct {
	names []string
	newID bool
}

type sendFound struct {
	sendAsk
	view
	id    producerID // id -1 for none
	plain bool       // idempotence is not to be had
	err   error
}

// lookUp is the goroutine that asks for metadata and producer ids.
func (s *sender) lookUp() {
	cl := newCluster(s.cfg)
	defer cl.close()
	for {
		found := sendFound{id: producerID{-1, -1}}
		select {
		case found.sendAsk = <-s.asks:
		case <-s.life.Done():
			return
		}
		ctx, cancel := context.WithTimeout(s.life, s.cfg.requestTimeout)
		if len(found.names) > 0 {
			found.err = cl.refresh(ctx, found.names...)
		}
		if found.err == nil && found.newID {
			found.err = found.identify(ctx, cl)
		}
		cancel()
		found.view = view{maps.Clone(cl.addrs), maps.Clone(cl.topics)}
		select {
		case s.found <- found:
		case <-s.life.Done():
			return
		}
	}
}

// identify asks for a producer id. Where that is forbidden, records are sent without.
func (f *sendFound) identify(ctx context.Context, cl *cluster) error {
	cn, err := cl.any(ctx)
	if err != nil {
		return err
	}
	answer, err := roundTrip(ctx, cn, (*sarama.Broker).InitProducerID, &sarama.InitProducerIDRequest{Version: 4, ProducerID: -1, ProducerEpoch: -1})
	if err != nil {
		return err
	}
	switch err := failure(answer.Err); {
	case err == nil:
		f.id = producerID{answer.ProducerID, answer.ProducerEpoch}
	case retriable(err):
		return fmt.Errorf("ask for a producer id: %w", err)
	default:
		f.plain = true
	}
	return nil
}

// murmur2 is the hash of Java's default partitioner (org.apache.kafka.common.utils.Utils).
func murmur2(data []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := seed ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		h = h*m ^ (k^k>>r)*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
