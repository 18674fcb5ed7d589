// Package rest serves the Kafka Connect REST API over a [Herder].
package rest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// Options is what a Server is made of.
type Options struct {
	Herder    Herder
	Listeners []net.Listener // from Listen, or any; Run closes them
	Logger    *slog.Logger   // nil: slog.Default
	Client    *http.Client   // for forwarding to other workers; nil: one of its own
}

// Listen binds the addresses of the worker config's listeners ("http://127.0.0.1:8083");
// port 0 picks a free one, which the listener's Addr tells.
func Listen(ctx context.Context, listeners []string) ([]net.Listener, error) { return nil, nil }

// A Server answers requests until its Run ends.
type Server struct{ opts Options }

// New makes a Server. It serves nothing before Run.
func New(o Options) *Server { return &Server{opts: o} }

// Run serves until ctx ends, then waits for requests under way.
func (s *Server) Run(ctx context.Context) error { return nil }

// Handler is the API without a listener, for tests and for embedding.
func (s *Server) Handler() http.Handler { return nil }
