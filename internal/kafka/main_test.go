package kafka

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
)

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	m.Run()
}

// A fixture is a fake cluster on a virtual network. Its connections can be cut.
type fixture struct {
	*kfake.Cluster
	t  *testing.T
	vn kfake.VirtualNetwork

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]string
	down  map[string]bool // client ids that cannot connect
}

// inBubble runs a test in fake time, with a fake cluster.
func inBubble(t *testing.T, run func(t *testing.T, fx *fixture), opts ...kfake.Opt) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fx := &fixture{t: t, conns: map[net.Conn]string{}, down: map[string]bool{}}
		c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.Ports(9001, 9002, 9003), kfake.ListenFn(fx.vn.Listen)}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fx.Cluster = c
		run(t, fx)
	})
}

// config makes a Config of one client.
func (fx *fixture) config(client string, pairs ...string) *Config {
	fx.t.Helper()
	props := map[string]string{
		"bootstrap.servers": strings.Join(fx.ListenAddrs(), ","), "client.id": client, "session.timeout.ms": "10000",
		"rebalance.timeout.ms": "60000", "auto.offset.reset": "earliest",
	}
	for i := 0; i < len(pairs); i += 2 {
		props[pairs[i]] = pairs[i+1]
	}
	cfg, err := NewConfig(props, func(ctx context.Context, network, addr string) (net.Conn, error) {
		fx.mu.Lock()
		down := fx.down[client]
		fx.mu.Unlock()
		if down {
			return nil, fmt.Errorf("%s is unplugged", client)
		}
		cn, err := fx.vn.DialContext(ctx, network, addr)
		if err == nil {
			fx.mu.Lock()
			fx.conns[cn] = client
			fx.mu.Unlock()
		}
		return cn, err
	})
	if err != nil {
		fx.t.Fatal(err)
	}
	return cfg
}

// plug cuts a client's connections, and lets it connect again or not.
func (fx *fixture) plug(client string, in bool) {
	fx.mu.Lock()
	defer fx.mu.Unlock()
	fx.down[client] = !in
	for cn, who := range fx.conns {
		if who == client {
			closed(cn)
			delete(fx.conns, cn)
		}
	}
}

func (fx *fixture) admin() *Admin {
	fx.t.Helper()
	a, err := NewAdmin(fx.config("admin"))
	if err != nil {
		fx.t.Fatal(err)
	}
	return a
}

// produce stores messages and waits.
func (fx *fixture) produce(msgs ...Message) {
	fx.t.Helper()
	p, err := NewProducer(fx.config("fixture-producer"))
	if err != nil {
		fx.t.Fatal(err)
	}
	defer closed(p)
	if err := p.SendAll(fx.t.Context(), msgs); err != nil {
		fx.t.Fatal(err)
	}
}

// numbered are n messages for one partition with values 0, 1, 2 …
func numbered(topic string, partition int32, from, n int) []Message {
	out := make([]Message, n)
	for i := range out {
		out[i] = Message{Topic: topic, Partition: partition, Key: []byte("k"), Value: fmt.Append(nil, from+i)}
	}
	return out
}

func tp(topic string, partition int32) connect.TopicPartition {
	return connect.TopicPartition{Topic: topic, Partition: partition}
}

// soon bounds a wait in fake time.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// closed closes what cannot fail to.
func closed(c io.Closer) {
	if err := c.Close(); err != nil {
		panic(err)
	}
}
