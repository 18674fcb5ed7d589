package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// errFormat marks records that this build cannot read.
var errFormat = errors.New("the message format is older than version 2 (Kafka 0.11), which is not in this build")

// errCut marks a batch that does not arrive whole.
var errCut = errors.New("a record batch is damaged or larger than fetch.max.bytes")

// A fetchBroker is one broker to fetch from. Its goroutine owns the connection.
type fetchBroker struct {
	addr     string
	requests chan *fetchRequest // holds one
	busy     bool               // the Fetcher's: a request has no answer yet
}

type fetchRequest struct {
	*sarama.FetchRequest
	number uint64
	asked  map[connect.TopicPartition]int64 // positions
}

type fetchAnswer struct {
	addr   string
	number uint64
	parts  []progress
}

func (f *Fetcher) newRequest(number uint64) *fetchRequest {
	// Version 11 is the last one with topic names only; later ones bring nothing used here.
	r := &sarama.FetchRequest{
		Version: 11, MinBytes: f.cfg.fetchMin, MaxBytes: f.cfg.fetchMax, MaxWaitTime: int32(f.cfg.fetchWait.Milliseconds()),
		SessionEpoch: -1, // no fetch session
	}
	if f.cfg.readCommitted {
		r.Isolation = sarama.ReadCommitted
	}
	return &fetchRequest{FetchRequest: r, number: number, asked: map[connect.TopicPartition]int64{}}
}

// serve is the goroutine of one broker.
func (f *Fetcher) serve(b *fetchBroker) {
	var cn *conn
	defer func() {
		if cn != nil {
			cn.close()
		}
	}()
	for {
		var request *fetchRequest
		select {
		case request = <-b.requests:
		case <-f.life.Done():
			return
		}
		reused := cn != nil
		parts, err := f.fetch(b.addr, &cn, request)
		if err != nil && reused && cn == nil && retriable(err) { // brokers close connections that idle
			parts, err = f.fetch(b.addr, &cn, request)
		}
		if err != nil {
			parts = parts[:0]
			for tp := range request.asked {
				parts = append(parts, progress{Fetched: Fetched{TopicPartition: tp, Err: err}})
			}
		}
		select {
		case f.answers <- fetchAnswer{b.addr, request.number, parts}:
		case <-f.life.Done():
			return
		}
	}
}

// fetch does one request. After an error of the connection it leaves *cn nil.
func (f *Fetcher) fetch(addr string, cn **conn, request *fetchRequest) ([]progress, error) {
	if *cn == nil {
		made, err := f.cfg.connect(f.life, addr, f.cfg.requestTimeout+f.cfg.fetchWait)
		if err != nil {
			return nil, err
		}
		*cn = made
	}
	answer, err := roundTrip(f.life, *cn, (*sarama.Broker).Fetch, request.FetchRequest)
	if err == nil && answer.ErrorCode != 0 {
		return nil, fmt.Errorf("fetch from %s: %w", addr, sarama.KError(answer.ErrorCode))
	}
	if err != nil {
		(*cn).close()
		*cn = nil
		return nil, fmt.Errorf("fetch: %w", err)
	}
	parts := make([]progress, 0, len(request.asked))
	var outside []connect.TopicPartition
	for tp, next := range request.asked {
		block := answer.GetBlock(tp.Topic, tp.Partition)
		if block == nil {
			parts = append(parts, progress{Fetched: Fetched{TopicPartition: tp, Err: sarama.ErrNetworkException}})
			continue
		}
		if block.Err == sarama.ErrOffsetOutOfRange {
			outside = append(outside, tp)
			continue
		}
		got, err := read(tp, next, block, f.cfg.readCommitted)
		if failed := failure(block.Err); failed != nil {
			err = fmt.Errorf("fetch %s: %w", tp, failed)
		}
		got.Err = err
		parts = append(parts, got)
	}
	return append(parts, f.bounds(*cn, request.asked, outside)...), nil
}

// bounds asks where the logs of partitions begin and end whose positions are outside.
func (f *Fetcher) bounds(cn *conn, asked map[connect.TopicPartition]int64, outside []connect.TopicPartition) []progress {
	if len(outside) == 0 {
		return nil
	}
	starts, ends := map[connect.TopicPartition]int64{}, map[connect.TopicPartition]int64{}
	err := f.list(cn, outside, Earliest, starts)
	if err == nil {
		err = f.list(cn, outside, Latest, ends)
	}
	var out []progress
	for _, tp := range outside {
		failed := err
		if failed == nil {
			failed = &OffsetOutOfRangeError{At: tp, Position: asked[tp], Start: starts[tp], End: ends[tp]}
		}
		out = append(out, progress{Fetched: Fetched{TopicPartition: tp, Err: failed}})
	}
	return out
}

func (f *Fetcher) list(cn *conn, tps []connect.TopicPartition, at int64, out map[connect.TopicPartition]int64) error {
	request := sarama.NewOffsetRequest(sarama.V4_1_0_0)
	for _, tp := range tps {
		request.AddBlock(tp.Topic, tp.Partition, at, 1)
	}
	return listOffsets(f.life, cn, request, out)
}

// leaders is what a look-up found.
type leaders struct {
	names []string // of the topics asked for
	view
	err error
}

// lookUp is the goroutine that asks for metadata.
func (f *Fetcher) lookUp() {
	cl := newCluster(f.cfg)
	defer cl.close()
	for {
		found := leaders{}
		select {
		case found.names = <-f.asks:
		case <-f.life.Done():
			return
		}
		ctx, cancel := context.WithTimeout(f.life, f.cfg.requestTimeout)
		found.err = cl.refresh(ctx, found.names...)
		cancel()
		found.view = view{maps.Clone(cl.addrs), maps.Clone(cl.topics)}
		select {
		case f.leaders <- found:
		case <-f.life.Done():
			return
		}
	}
}
