// Package registry is an embedded Schema Registry: Confluent's REST API over
// HTTP, with subjects and ids kept in a compacted Kafka topic in Confluent's
// own record format, so that another registry could take the topic over.
//
// It holds Avro schemas, one instance per topic. One goroutine, in Run, owns
// the state and is the topic's only writer; HTTP handlers send it functions.
// A write is answered after the broker has acknowledged it.
//
// It has no users and no TLS: it is meant for 127.0.0.1, in the local stack and
// in tests. It does not follow the topic: changes by other writers are seen
// at the next start.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// A Journal keeps what the registry must not forget.
type Journal interface {
	// Replay hands every record to apply, in order; a nil value is a tombstone.
	// It is called once, before the first Append.
	Replay(ctx context.Context, apply func(key, value []byte) error) error

	// Append returns when the record is safe.
	Append(ctx context.Context, key, value []byte) error
}

// A Registry answers the REST API from the state in its Journal.
type Registry struct {
	journal Journal
	asks    chan func(*state)
}

// New makes a registry over journal; Run brings it to life.
func New(journal Journal) *Registry {
	return &Registry{journal: journal, asks: make(chan func(*state))}
}

// Run reads the journal and serves ln until ctx ends. It closes ln.
func (r *Registry) Run(ctx context.Context, ln net.Listener) error {
	st := newState()
	if err := r.journal.Replay(ctx, st.apply); err != nil {
		if ctx.Err() != nil {
			return ln.Close() // stopped before it began
		}
		return errors.Join(fmt.Errorf("read the schemas topic: %w", err), ln.Close())
	}
	srv := &http.Server{Handler: r.routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	for {
		select {
		case ask := <-r.asks:
			ask(st)
		case err := <-served:
			return fmt.Errorf("serve the schema registry: %w", err)
		case <-ctx.Done():
			// Close, not Shutdown: a handler may be waiting for this goroutine.
			err := srv.Close()
			if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
				err = errors.Join(err, serr)
			}
			return err
		}
	}
}

// ask runs fn in Run's goroutine and waits for it.
func (r *Registry) ask(ctx context.Context, fn func(*state) error) error {
	done := make(chan error, 1)
	select {
	case r.asks <- func(st *state) { done <- fn(st) }:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write appends rec to the journal and then applies it to the state, which
// therefore never shows what a restart would not.
func (r *Registry) write(ctx context.Context, st *state, rec record) error {
	key, value, err := rec.encode()
	if err != nil {
		return err
	}
	if err := r.journal.Append(ctx, key, value); err != nil {
		return &apiError{http.StatusInternalServerError, 50001, "Error while registering schema in the backend Kafka store: " + err.Error()}
	}
	return st.apply(key, value)
}
