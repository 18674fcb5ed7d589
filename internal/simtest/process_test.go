package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker"
)

// A process is one life of a worker: what a kill ends. Its network, its catalog and its
// storage can be taken away from it.
type process struct {
	*worker.Worker
	w        *world
	name     string // of the host; lives of one host follow each other, or overlap as zombies
	clientID string // of this life's clients
	cancel   context.CancelFunc
	done     chan struct{}
	err      error // of Run; after done

	mu      sync.Mutex // guards what follows
	dead    bool       // killed: nothing that it does has an effect any more
	network state
	lake    bool          // catalog and storage are out of reach
	ice     chan struct{} // closed when the process goes on; nil if it is not frozen
	healed  chan struct{} // closed at the next change of network
	links   map[*link]bool
}

// The states of a process's network.
type state int

const (
	up      state = iota
	refused       // connections end, new ones are refused: a cable is pulled
	hole          // nothing is refused, nothing arrives: a firewall drops packets
)

var (
	errNetwork = errors.New("simulated: network is unreachable")
	errLake    = errors.New("simulated: lake is unreachable")
	errDead    = errors.New("simulated: this process is dead")
)

// start begins a new life on a host.
func (w *world) start(name string) *process {
	p := &process{w: w, name: name, done: make(chan struct{}), healed: make(chan struct{}), links: make(map[*link]bool)}
	w.mu.Lock()
	p.clientID = fmt.Sprintf("%s.%d.", name, len(w.all))
	w.hosts[name] = p
	w.all = append(w.all, p)
	w.mu.Unlock()
	cfg, _, err := worker.NewConfig(w.workerProps(p.clientID))
	if err != nil {
		panic(err)
	}
	p.Worker, err = worker.New(worker.Options{
		Config: cfg, AdvertisedURL: "http://" + name + ":8083/", Logger: w.journal.logger(name),
		Plugins: w.plugins(p), Dial: p.dial, Client: &http.Client{Transport: wire{p}},
	})
	if err != nil {
		panic(err)
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(p.done)
		p.err = p.Run(ctx)
	}()
	return p
}

// kill ends a life without a goodbye: what is on its way may still arrive, nothing else.
func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.thaw()
	p.setNetwork(refused)
	p.cancel()
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// reachable tells whether requests to and from the process arrive.
func (p *process) reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead && p.network == up
}

// freeze has nothing arrive from the process or at it, and requests to the lake wait.
func (p *process) freeze() {
	p.mu.Lock()
	if p.ice == nil {
		p.ice = make(chan struct{})
	}
	p.mu.Unlock()
	p.setNetwork(hole)
}

// thaw lets the requests to the lake go on.
func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ice != nil {
		close(p.ice)
		p.ice = nil
	}
}

// reach is asked before every request to the lake.
func (p *process) reach(ctx context.Context) error {
	p.mu.Lock()
	ice := p.ice
	p.mu.Unlock()
	if ice != nil {
		select {
		case <-ice:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.dead:
		return errDead
	case p.lake:
		return errLake
	}
	return nil
}

func (p *process) setLake(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lake = away
}

// setNetwork changes the network. Connections survive the way into a hole, none survives
// the way out of one. Those that are being opened do not survive at all: sarama holds a
// lock then, for which others wait, and fake time stands still while anybody waits for a
// lock.
func (p *process) setNetwork(s state) {
	p.mu.Lock()
	if p.dead {
		s = refused
	}
	p.network = s
	close(p.healed)
	p.healed = make(chan struct{})
	var cut []*link
	for l := range p.links {
		if s != hole || !l.opened.Load() {
			cut = append(cut, l)
			delete(p.links, l)
		}
	}
	p.mu.Unlock()
	for _, l := range cut {
		l.Conn.Close() //nolint:errcheck // it is cut
	}
}

// cut ends the connections to a broker.
func (p *process) cut(node int) {
	p.mu.Lock()
	var cut []*link
	for l := range p.links {
		if l.addr == fmt.Sprintf("localhost:%d", firstPort+node) {
			cut = append(cut, l)
			delete(p.links, l)
		}
	}
	p.mu.Unlock()
	for _, l := range cut {
		l.Conn.Close() //nolint:errcheck // it is cut
	}
}

func (p *process) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	s, healed := p.network, p.healed
	p.mu.Unlock()
	switch s {
	case up:
	case refused:
		return nil, errNetwork
	case hole:
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-healed:
			return nil, errNetwork
		}
	}
	c, err := p.w.vn.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: c, p: p, addr: addr}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network != up {
		c.Close() //nolint:errcheck // it is cut
		return nil, errNetwork
	}
	p.links[l] = true
	return l, nil
}

// A link is one connection of a process to a broker.
type link struct {
	net.Conn
	p      *process
	addr   string
	opened atomic.Bool // something has been read
}

func (l *link) inHole() bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.network == hole
}

func (l *link) Write(b []byte) (int, error) {
	if l.opened.Load() && l.inHole() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// Read loses what arrives in a hole, and now and then the connection instead of a reply:
// the request has been served then.
func (l *link) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		switch {
		case err == nil && l.opened.Load() && l.inHole():
			continue
		case err == nil && l.p != l.p.w.own && l.p.w.chance("reply", 1, 700):
			l.p.w.journal.note("a broker's reply to %s is lost", l.p.name)
			l.Conn.Close() //nolint:errcheck // it is cut
			return 0, errNetwork
		}
		l.opened.Store(true)
		return n, err
	}
}

func (l *link) Close() error {
	l.p.mu.Lock()
	delete(l.p.links, l)
	l.p.mu.Unlock()
	return l.Conn.Close()
}

// A wire carries task configs from worker to worker, without HTTP servers.
type wire struct{ from *process }

func (c wire) RoundTrip(r *http.Request) (*http.Response, error) {
	to := c.from.w.host(r.URL.Hostname())
	if to == nil || !c.from.reachable() || !to.reachable() {
		return nil, errNetwork
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var configs []map[string]*string
	if err := json.Unmarshal(body, &configs); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/connectors/"), "/tasks")
	signature := entities.Signature{Algorithm: r.Header.Get("X-Connect-Request-Signature-Algorithm"), MAC: r.Header.Get("X-Connect-Authorization")}
	if err := to.Herder().PutTaskConfigs(r.Context(), name, configs, body, signature); err != nil {
		text := fmt.Sprintf(`{"error_code":409,"message":%q}`, err)
		return &http.Response{StatusCode: http.StatusConflict, Status: "409 Conflict", Body: io.NopCloser(bytes.NewBufferString(text))}, nil
	}
	return &http.Response{StatusCode: http.StatusNoContent, Status: "204 No Content", Body: http.NoBody}, nil
}
