package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riferrei/srclient"

	"github.com/firn-io/firn/connect"
)

const (
	negativeTTL   = 10 * time.Second // how long a refusal is remembered
	maxEntries    = 10_000           // schemas and refusals kept
	maxReferences = 1_000            // of one schema, all levels
	maxReplyBytes = 16 << 20
)

// A Client reads schemas from a registry. It remembers what it found for good, since
// ids are never reused, and what it did not find for ten seconds. Anything else is asked
// again.
//
// srclient speaks the protocol. It has no context, no fail-over, no retry and one
// flight per caller, so those are here: see session.
type Client struct {
	urls      []*url.URL
	header    http.Header
	transport http.RoundTripper
	retries   int
	wait      time.Duration
	maxWait   time.Duration
	timeout   time.Duration // of one attempt

	preferred atomic.Uint32 // index of the URL that answered last

	mu      sync.Mutex // guards entries; never held across I/O
	entries map[uint32]*entry
}

// An entry is one id's answer: on its way until done is closed, then fixed.
type entry struct {
	done      chan struct{}
	schema    *Schema
	err       error
	abandoned bool      // the context of the one who asked ended
	expires   time.Time // zero: never
}

var _ Source = (*Client)(nil)

// SetTransport carries requests over t instead of the network that the config describes:
// tests have a network of their own. It comes before the first call of Schema.
func (c *Client) SetTransport(t http.RoundTripper) { c.transport = t }

// Schema returns the schema with the id, from memory if it was read before. See
// [Source] for the errors.
func (c *Client) Schema(ctx context.Context, id uint32) (*Schema, error) {
	for {
		e, mine := c.entry(id)
		if mine {
			c.fill(ctx, id, e)
			return e.schema, e.err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !e.abandoned {
			return e.schema, e.err
		}
	}
}

// entry returns the id's entry, and whether the caller is the one to fill it.
func (c *Client) entry(id uint32) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.entries[id]; e != nil && (e.expires.IsZero() || time.Now().Before(e.expires)) {
		return e, false
	}
	if len(c.entries) >= maxEntries {
		for old := range c.entries {
			delete(c.entries, old)
			if len(c.entries) < maxEntries {
				break
			}
		}
	}
	e = &entry{done: make(chan struct{})}
	c.entries[id] = e
	return e, true
}

func (c *Client) fill(ctx context.Context, id uint32, e *entry) {
	schema, err := c.fetch(ctx, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.schema, e.err = schema, err
	e.abandoned = ctx.Err() != nil
	if err != nil {
		if _, refused := errors.AsType[*connect.DataError](err); refused {
			e.expires = time.Now().Add(negativeTTL)
		} else if c.entries[id] == e {
			delete(c.entries, id)
		}
	}
	close(e.done)
}

// fetch asks the registry for the schema and for everything it refers to.
func (c *Client) fetch(ctx context.Context, id uint32) (*Schema, error) {
	s := &session{ctx: ctx, client: c}
	rest := s.rest()
	got, err := rest.GetSchema(int(id))
	what := fmt.Sprintf("schema id %d", id)
	if err != nil {
		return nil, c.explain(what, err)
	}
	if got.Schema() == "" {
		return nil, c.explain(what, errors.New("the answer holds no schema"))
	}
	if err := s.checkRules(); err != nil {
		return nil, &connect.DataError{Msg: fmt.Sprintf("schema id %d %v", id, err)}
	}
	out := &Schema{ID: id, Type: Avro, Text: got.Schema()}
	if t := got.SchemaType(); t != nil && *t != "" {
		out.Type = string(*t)
	}
	if out.References, err = c.resolve(rest, got.References()); err != nil {
		return nil, fmt.Errorf("references of schema id %d: %w", id, err)
	}
	return out, nil
}

type refID struct {
	subject string
	version int
}

// resolve reads references depth first, each once.
func (c *Client) resolve(rest *srclient.SchemaRegistryClient, refs []srclient.Reference) ([]Reference, error) {
	var out []Reference
	seen := map[refID]bool{}
	var visit func(refs []srclient.Reference) error
	visit = func(refs []srclient.Reference) error {
		for _, r := range refs {
			id := refID{r.Subject, r.Version}
			if seen[id] {
				continue
			}
			seen[id] = true
			if len(seen) > maxReferences {
				return &connect.DataError{Msg: fmt.Sprintf("more than %d schemas are referred to", maxReferences)}
			}
			got, err := rest.GetSchemaByVersion(r.Subject, r.Version)
			if err != nil {
				return c.explain(fmt.Sprintf("subject %q version %d", r.Subject, r.Version), err)
			}
			if err := visit(got.References()); err != nil {
				return err
			}
			out = append(out, Reference{Name: r.Name, Subject: r.Subject, Version: r.Version, Text: got.Schema()})
		}
		return nil
	}
	return out, visit(refs)
}

// explain turns what went wrong into one of our classes, with what to do about it.
func (c *Client) explain(what string, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the wrapper names a placeholder host
	} else {
		err = fmt.Errorf("%w: %w", errReply, err) // it came, and srclient cannot read it
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	status, ok := errors.AsType[*statusError](err)
	switch {
	case ok && status.code == http.StatusNotFound && status.reason/100 == http.StatusNotFound: // 40401 to 40403; other programs answer 404 without
		return &connect.DataError{
			Msg:  fmt.Sprintf("%s is not in the registry at %s", what, status.at),
			Hint: "the data may come from producers that use another registry: check " + keyURL,
		}
	case ok && status.code == http.StatusUnauthorized:
		return &connect.FatalError{
			Msg:  fmt.Sprintf("read %s: the registry at %s does not accept the credentials (401)", what, status.at),
			Hint: "check " + keyBasic + " and " + keyUser + ", or " + keyToken,
		}
	case ok && status.code == http.StatusForbidden:
		return &connect.FatalError{
			Msg:  fmt.Sprintf("read %s: the registry at %s forbids it (403)", what, status.at),
			Hint: "give the user of " + keyUser + " or " + keyToken + " the right to read schemas",
		}
	case ok && !status.retriable():
		return &connect.FatalError{Msg: fmt.Sprintf("read %s: %v", what, err), Hint: "no schema registry, or not the path of one: check " + keyURL}
	case errors.Is(err, errReply):
		return &connect.FatalError{Msg: fmt.Sprintf("read %s: %v", what, err), Hint: "no schema registry, or not the path of one: check " + keyURL}
	case errors.Is(err, errSize):
		return &connect.DataError{Msg: fmt.Sprintf("read %s: %v", what, err)}
	}
	return &connect.RetryError{Outage: true, Err: fmt.Errorf("read %s from the schema registry: %w", what, err)}
}
