// Package rest serves the Kafka Connect REST API (Kafka 4.3) over a [Herder]: routes,
// JSON bodies, errors, and the forwarding of requests to the worker that can handle them.
//
// It promises Java's paths, status codes, bodies and error texts wherever another program
// could look at them; docs and tests name the differences. It keeps no state besides its
// listeners: each request has its own goroutine, waits for the Herder for 90 seconds at
// most, and holds at most one body of bounded size. It decides nothing about connectors,
// never imports the worker, and knows no users but those it is given.
package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	requestTimeout  = 90 * time.Second // Java's fixed wait for the herder
	shutdownTimeout = 10 * time.Second // for requests under way; they get an answer as the herder ends
	maxBodyBytes    = 8 << 20          // a config has to fit into a Kafka record
)

// Options is what a Server is made of.
type Options struct {
	Herder    Herder
	Listeners []net.Listener // from Listen, or any; Run closes them
	// AdminListeners serve /admin apart from the rest; without them it is with the rest,
	// unless NoAdmin. Run closes them too.
	AdminListeners []net.Listener
	NoAdmin        bool

	CORS    *CORS             // nil: browsers keep the API from scripts of other origins
	Headers func(http.Header) // puts more headers into each answer; nil: none

	Logger *slog.Logger      // nil: slog.Default
	Client *http.Client      // for forwarding to other workers; nil: one of its own
	TLS    *tls.Config       // of that one, for workers on https; nil: Go's defaults
	Users  map[string]string // who may ask, with their passwords (basic auth); nil: everybody
	Commit string            // shown by GET /: which build this is; "" counts as unknown
}

// Listen binds the addresses of the worker config's listeners ("http://127.0.0.1:8083",
// "https://:8443"), in their order; port 0 picks a free one, which the listener's Addr
// tells. Those of https answer with secure. Either all are bound or none.
func Listen(ctx context.Context, listeners []string, secure *tls.Config) ([]net.Listener, error) {
	var bound []net.Listener
	for _, l := range listeners {
		ln, err := listen(ctx, l, secure)
		if err == nil {
			bound = append(bound, ln)
			continue
		}
		for _, ln := range bound {
			err = errors.Join(err, ln.Close())
		}
		return nil, fmt.Errorf("listen on %s: %w", l, err)
	}
	return bound, nil
}

func listen(ctx context.Context, listener string, secure *tls.Config) (net.Listener, error) {
	u, err := url.Parse(listener)
	if err != nil {
		return nil, err
	}
	https := strings.EqualFold(u.Scheme, "https")
	switch {
	case https && secure == nil:
		return nil, errors.New("https needs a certificate")
	case !https && !strings.EqualFold(u.Scheme, "http"):
		return nil, errors.New("only http and https are served")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", u.Host)
	if err != nil || !https {
		return ln, err
	}
	return tls.NewListener(ln, secure), nil
}

// A Server answers requests until its Run ends.
type Server struct {
	herder    Herder
	listeners []net.Listener
	admins    []net.Listener
	log       *slog.Logger
	client    *http.Client
	users     passwords // nil: everybody
	commit    string
	routes    http.Handler
	admin     http.Handler // of AdminListeners
}

// New makes a Server. It serves nothing before Run.
func New(o Options) *Server {
	s := &Server{herder: o.Herder, listeners: o.Listeners, admins: o.AdminListeners, log: o.Logger, client: o.Client, commit: o.Commit}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.client == nil {
		s.client = &http.Client{
			Transport:     &http.Transport{TLSClientConfig: o.TLS, DisableKeepAlives: true}, // as Java: one connection per request, no proxy between workers
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if s.commit == "" {
		s.commit = "unknown"
	}
	if o.Users != nil {
		s.users = newPasswords(o.Users)
	}
	s.admin = s.router(s.adminEndpoints)
	s.routes = s.router(s.endpoints)
	if !o.NoAdmin && len(o.AdminListeners) == 0 {
		s.routes = s.router(s.endpoints, s.adminEndpoints)
	}
	if o.CORS != nil {
		s.routes = crossOrigin(o.CORS, s.routes)
	}
	if o.Headers != nil {
		s.routes = withHeaders(o.Headers, s.routes)
	}
	return s
}

// Handler is the API without a listener, for tests and for embedding.
func (s *Server) Handler() http.Handler { return s.routes }

// Run serves until ctx ends, then waits some seconds for requests under way.
func (s *Server) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	s.serve(gctx, g, s.routes, s.listeners)
	s.serve(gctx, g, s.admin, s.admins)
	return g.Wait()
}

// serve has g answer what comes to listeners until ctx ends.
func (s *Server) serve(ctx context.Context, g *errgroup.Group, handler http.Handler, listeners []net.Listener) {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      requestTimeout + time.Minute,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	for _, l := range listeners {
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve REST on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(sctx); err != nil {
			return errors.Join(server.Close()) // cuts what is still under way
		}
		return nil
	})
}
