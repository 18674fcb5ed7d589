package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// A cluster is one goroutine's view of the brokers: connections, addresses, and the
// leaders of the topics it asked about. It learns only when told to refresh.
type cluster struct {
	cfg     *Config
	longest time.Duration    // of any answer
	conns   map[string]*conn // by address
	view

	id         string
	controller int32
}

// A view is the last known state of brokers and topics.
type view struct {
	addrs  map[int32]string // by broker id
	topics map[string]topic
}

// A topic is what metadata says about one topic. It is not changed once made.
type topic struct {
	id       [16]byte
	internal bool
	leaders  map[int32]int32 // partition to broker id, -1 for none now
	err      error
}

func newCluster(cfg *Config) *cluster {
	return &cluster{
		cfg: cfg, longest: cfg.requestTimeout + 5*time.Second, controller: -1,
		conns: map[string]*conn{}, view: view{addrs: map[int32]string{}, topics: map[string]topic{}},
	}
}

func (cl *cluster) close() {
	for _, cn := range cl.conns {
		cn.close()
	}
	clear(cl.conns)
}

// at returns the connection to an address, made if need be.
func (cl *cluster) at(ctx context.Context, addr string) (*conn, error) {
	if cn := cl.conns[addr]; cn != nil {
		if !cn.broken {
			return cn, nil
		}
		cn.close()
		delete(cl.conns, addr)
	}
	cn, err := cl.cfg.connect(ctx, addr, cl.longest)
	if err != nil {
		return nil, err
	}
	cl.conns[addr] = cn
	return cn, nil
}

// any returns a connection to some broker: an open one if there is one.
func (cl *cluster) any(ctx context.Context) (*conn, error) {
	for addr, cn := range cl.conns {
		if !cn.broken {
			return cn, nil
		}
		cn.close()
		delete(cl.conns, addr)
	}
	addrs := slices.Clone(cl.cfg.bootstrap)
	for _, addr := range cl.addrs {
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	var errs []error
	for _, addr := range addrs {
		cn, err := cl.at(ctx, addr)
		if err == nil {
			return cn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// refresh asks for the metadata of topics, or of all without names. Topics that do not
// exist are forgotten.
func (cl *cluster) refresh(ctx context.Context, names ...string) error {
	cn, err := cl.any(ctx)
	if err != nil {
		return err
	}
	answer, err := roundTrip(ctx, cn, (*sarama.Broker).GetMetadata, sarama.NewMetadataRequest(sarama.V4_1_0_0, names))
	if err != nil {
		return err
	}
	if len(answer.Brokers) > 0 {
		clear(cl.addrs)
	}
	for _, b := range answer.Brokers {
		cl.addrs[b.ID()] = b.Addr()
	}
	cl.controller = answer.ControllerID
	if answer.ClusterID != nil {
		cl.id = *answer.ClusterID
	}
	if len(names) == 0 {
		clear(cl.topics)
	}
	for _, t := range answer.Topics {
		if t.Err == sarama.ErrUnknownTopicOrPartition {
			delete(cl.topics, t.Name)
		} else {
			cl.topics[t.Name] = topicOf(t)
		}
	}
	return nil
}

func topicOf(t *sarama.TopicMetadata) topic {
	out := topic{id: t.Uuid, internal: t.IsInternal, leaders: make(map[int32]int32, len(t.Partitions)), err: failure(t.Err)}
	for _, p := range t.Partitions {
		out.leaders[p.ID] = p.Leader
	}
	return out
}

// leader returns the address of a partition's leader as last heard of.
func (v *view) leader(tp connect.TopicPartition) (string, error) {
	t, ok := v.topics[tp.Topic]
	if !ok {
		return "", fmt.Errorf("partition %s: %w", tp, unknownTopicError{sarama.ErrUnknownTopicOrPartition})
	}
	if t.err != nil {
		return "", fmt.Errorf("partition %s: %w", tp, t.err)
	}
	broker, ok := t.leaders[tp.Partition]
	if !ok {
		return "", fmt.Errorf("partition %s: %w", tp, unknownTopicError{sarama.ErrUnknownTopicOrPartition})
	}
	addr, ok := v.addrs[broker]
	if !ok {
		return "", fmt.Errorf("partition %s: %w", tp, sarama.ErrLeaderNotAvailable)
	}
	return addr, nil
}

// offsets lists the offsets of tps that out does not have yet, by leader.
func (cl *cluster) offsets(ctx context.Context, tps []connect.TopicPartition, at int64, out map[connect.TopicPartition]int64) error {
	byLeader := map[string]*sarama.OffsetRequest{}
	for _, tp := range tps {
		if _, done := out[tp]; done {
			continue
		}
		addr, err := cl.leader(tp)
		if err != nil {
			if err := cl.refresh(ctx, topicNames(tps)...); err != nil {
				return err
			}
			if addr, err = cl.leader(tp); err != nil {
				return err
			}
		}
		if byLeader[addr] == nil {
			byLeader[addr] = sarama.NewOffsetRequest(sarama.V4_1_0_0)
			if cl.cfg.readCommitted {
				byLeader[addr].IsolationLevel = sarama.ReadCommitted
			}
		}
		byLeader[addr].AddBlock(tp.Topic, tp.Partition, at, 1)
	}
	for addr, request := range byLeader {
		if err := cl.offsetsOf(ctx, addr, request, out); err != nil {
			for _, name := range topicNames(tps) {
				delete(cl.topics, name) // the leader may have moved
			}
			return err
		}
	}
	return nil
}

func (cl *cluster) offsetsOf(ctx context.Context, addr string, request *sarama.OffsetRequest, out map[connect.TopicPartition]int64) error {
	cn, err := cl.at(ctx, addr)
	if err != nil {
		return err
	}
	return listOffsets(ctx, cn, request, out)
}

// listOffsets asks one leader.
func listOffsets(ctx context.Context, cn *conn, request *sarama.OffsetRequest, out map[connect.TopicPartition]int64) error {
	answer, err := roundTrip(ctx, cn, (*sarama.Broker).GetAvailableOffsets, request)
	if err != nil {
		return err
	}
	var failed error
	for name, partitions := range answer.Blocks {
		for p, block := range partitions {
			tp := connect.TopicPartition{Topic: name, Partition: p}
			if err := failure(block.Err); err != nil {
				failed = fmt.Errorf("partition %s: %w", tp, err)
				continue
			}
			out[tp] = block.Offset
		}
	}
	return failed
}

func topicNames(tps []connect.TopicPartition) []string {
	var out []string
	for _, tp := range tps {
		if !slices.Contains(out, tp.Topic) {
			out = append(out, tp.Topic)
		}
	}
	return out
}
