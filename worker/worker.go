// Package worker is a Kafka Connect worker: it joins the worker group, follows the config
// topic, and runs the connectors and tasks that the group's leader assigns to it.
package worker

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/firn-io/firn/internal/kafka"
)

// Options is what a Worker is made of.
type Options struct {
	Config  *Config
	Plugins Plugins
	Dial    kafka.Dialer // nil: plain TCP
	Logger  *slog.Logger // nil: slog.Default

	// AdvertisedURL is where other workers reach this one's REST API, e.g.
	// "http://10.0.0.7:8083/"; its host:port is the worker id.
	AdvertisedURL string

	// Client posts task configs to the leader; nil: one of its own.
	Client *http.Client

	// Standalone makes a worker without a group and without internal topics: connectors
	// live in memory and come from Connectors (offsets are still the consumer groups').
	Standalone bool
	Connectors []map[string]string // configs, created at start; standalone only
}

// A Worker is one member of a Connect cluster.
type Worker struct {
	herder *Herder
}

// New makes a worker. It does no I/O before Run.
func New(o Options) (*Worker, error) { return &Worker{}, nil }

// Run works until ctx ends: then tasks finish what they have in hand, and the worker
// leaves the group.
func (w *Worker) Run(ctx context.Context) error { return nil }

// Herder is the part of the worker that answers the REST API (a rest.Herder).
func (w *Worker) Herder() *Herder { return w.herder }

// A Herder owns the worker's share of the cluster.
type Herder struct{}
