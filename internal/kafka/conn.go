package kafka

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/IBM/sarama"
)

// A conn is one connection to one broker. One goroutine at a time uses it: sarama's
// Broker holds a lock for the whole round trip, and closing it waits for that lock.
// The way out of a round trip is to cut the socket, which ending its context does.
type conn struct {
	addr   string
	broker *sarama.Broker
	socket net.Conn
	broken bool

	plain          net.Conn                    // what goes into TLS, if that is ours; else the socket
	authenticate   func(context.Context) error // nil if that is sarama's business
	reauthenticate time.Time                   // when to do so again; zero for never
}

// oneSocket is the dialer that hands a finished connection to sarama.
type oneSocket struct{ net.Conn }

func (s oneSocket) Dial(_, _ string) (net.Conn, error) { return s.Conn, nil }

// connect dials, and does what has to be said before the first request: TLS, versions,
// authentication. No answer may take longer than longest.
func (c *Config) connect(ctx context.Context, addr string, longest time.Duration) (*conn, error) {
	dctx, cancel := context.WithTimeout(ctx, c.connectTimeout)
	defer cancel()
	socket, err := c.dial(dctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	cfg, plain := *c.sarama, socket
	if c.gssapi != nil && cfg.Net.TLS.Enable {
		if plain, err = overTLS(dctx, socket, addr, cfg.Net.TLS.Config); err != nil {
			_ = socket.Close()
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		cfg.Net.TLS.Enable = false
	}
	cfg.Net.ReadTimeout = longest
	cfg.Net.WriteTimeout = c.requestTimeout
	cfg.Net.Proxy.Dialer = oneSocket{plain}
	cn := &conn{addr: addr, broker: sarama.NewBroker(addr), socket: socket, plain: plain}

	stop := context.AfterFunc(ctx, cn.cut)
	defer stop()
	if err := cn.broker.Open(&cfg); err != nil {
		cn.cut()
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if ok, err := cn.broker.Connected(); !ok || err != nil { // waits for the end of Open
		cn.close()
		if err == nil {
			err = sarama.ErrNotConnected
		}
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	if c.gssapi != nil {
		cn.authenticate = func(ctx context.Context) error { return c.gssapi.authenticate(ctx, cn, c) }
		if err := cn.authenticate(ctx); err != nil {
			cn.close()
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
	}
	return cn, nil
}

// cut ends whatever the connection does. Any goroutine may call it.
func (cn *conn) cut() { _ = cn.socket.Close() }

// close ends the connection; only its user may call it.
func (cn *conn) close() {
	cn.cut()
	_ = cn.broker.Close() // says that the socket is closed already
}

// roundTrip sends a request and waits for the answer. When ctx ends first, the
// connection is cut. After an error the connection is of no more use.
func roundTrip[Q, R any](ctx context.Context, cn *conn, call func(*sarama.Broker, Q) (R, error), request Q) (R, error) {
	stop := context.AfterFunc(ctx, cn.cut)
	defer stop()
	var answer R
	var err error
	if !cn.reauthenticate.IsZero() && time.Now().After(cn.reauthenticate) {
		err = cn.authenticate(ctx)
	}
	if err == nil {
		answer, err = call(cn.broker, request)
	}
	if err != nil {
		cn.broken = true
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fmt.Errorf("ask broker %s: %w", cn.addr, err)
	}
	return answer, err
}
