//go:build real && unix

package realtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/examples/flights"
)

// wrongCredentials tries a storage and a registry that refuse us: the task says so,
// and does not say the secret.
func (s *stack) wrongCredentials(t *testing.T) {
	const secret = "not-the-secret"
	c := s.cluster(t, "wrong", 1, nil)

	f := s.feed(t, "wrong-readings")
	if err := f.json(t.Context(), 0, 100); err != nil {
		t.Fatal(err)
	}
	config := sink(f.topic, "wrong.readings", "city", s.restCatalog("iceberg.catalog."), schemaless)
	config["iceberg.catalog.s3.secret-access-key"] = secret
	c.post(t, 0, "wrong-storage", config)
	c.fails(t, "wrong-storage", secret, "s3")

	// Nothing is lost: the right ones bring it all.
	right := sink(f.topic, "wrong.readings", "city", s.restCatalog("iceberg.catalog."), schemaless)
	if err := call(t.Context(), http.MethodPut, c.workers[0].url+"/connectors/wrong-storage/config", right, nil); err != nil {
		t.Fatal(err)
	}
	c.recovers(t, "wrong-storage")
	c.awaitCommitted(t, "wrong-storage", s.ends(t, f.topic), time.Minute)
	s.verify(t, s.restCatalog(""), "wrong.readings", "n", f.want)

	asked := s.guardRegistry(t)
	avro := s.feed(t, "wrong-flights")
	schemaID, err := s.register(t.Context(), avro.topic, flights.FlightSchema)
	if err != nil {
		t.Fatal(err)
	}
	if err := avro.flights(t.Context(), schemaID, 100); err != nil {
		t.Fatal(err)
	}
	c.post(t, 0, "wrong-registry", sink(avro.topic, "wrong.flights", "carrier", s.restCatalog("iceberg.catalog."), map[string]string{
		"value.converter":                               "io.confluent.connect.avro.AvroConverter",
		"value.converter.schema.registry.url":           asked,
		"value.converter.basic.auth.credentials.source": "USER_INFO",
		"value.converter.basic.auth.user.info":          "firn:" + secret,
	}))
	c.fails(t, "wrong-registry", secret, "401")
}

// guardRegistry puts a server before the registry that asks for a password, and
// returns its URL.
func (s *stack) guardRegistry(t *testing.T) string {
	t.Helper()
	target, err := url.Parse(s.registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "firn" || password != "right" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error_code":401,"message":"Unauthorized"}`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(guard.Close)
	return guard.URL
}

// fails waits until a task has failed with a trace that holds want and not the secret.
func (c *cluster) fails(t *testing.T, connector, secret, want string) {
	t.Helper()
	began := time.Now()
	const patience = 90 * time.Second
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		trace := c.failure(t.Context(), connector)
		if trace == "" {
			continue
		}
		t.Logf("%s, %.1f s after it was posted: %s", connector, time.Since(began).Seconds(), trace)
		if !strings.Contains(strings.ToLower(trace), strings.ToLower(want)) {
			t.Errorf("%s fails with %q, want it to name %q", connector, trace, want)
		}
		if strings.Contains(trace, secret) {
			t.Errorf("%s shows the secret: %q", connector, trace)
		}
		return
	}
	st, err := c.status(t.Context(), connector)
	t.Errorf("%s has not failed after %s: %+v, %v", connector, patience, st, err)
}

// recovers waits until nothing of the connector is failed any more.
func (c *cluster) recovers(t *testing.T, connector string) {
	t.Helper()
	const patience = 30 * time.Second
	for deadline := time.Now().Add(patience); c.failure(t.Context(), connector) != ""; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is still failed after %s: %s", connector, patience, c.failure(t.Context(), connector))
		}
	}
}

// registryDown stops the registry before the sink has ever asked it, and starts it
// again: the task retries, then goes on.
func (s *stack) registryDown(t *testing.T) {
	c := s.cluster(t, "down", 1, nil)
	f := s.feed(t, "down-flights")
	schemaID, err := s.register(t.Context(), f.topic, flights.FlightSchema)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s.registry.Process)
	if err := f.flights(t.Context(), schemaID, 1000); err != nil {
		t.Fatal(err)
	}
	c.post(t, 0, "down", sink(f.topic, "down.flights", "carrier", s.restCatalog("iceberg.catalog."), map[string]string{
		"errors.retry.timeout": "120000", "errors.retry.delay.max.ms": "2000",
	}))
	const down = 20 * time.Second
	time.Sleep(down)
	if trace := c.failure(t.Context(), "down"); trace != "" {
		t.Errorf("the task has not waited for the registry: %s", trace)
	}
	if err := s.registry.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitCommitted(t, "down", s.ends(t, f.topic), time.Minute)
	s.verify(t, s.restCatalog(""), "down.flights", "distance", f.want)
}

// storageDown takes the catalog away, then the storage, while records come in, and
// gives them back: nothing is lost and nothing fails.
func (s *stack) storageDown(t *testing.T) {
	const down, rows = 15 * time.Second, 2000
	tr, catalogURL := s.trapCatalog(t, "outage", "readings")
	c := s.cluster(t, "outage", 2, nil)
	f := s.feed(t, "outage-readings")
	c.post(t, 0, "outage", sink(f.topic, "outage.readings", "city", s.restCatalog("iceberg.catalog."), schemaless,
		map[string]string{"iceberg.catalog.uri": catalogURL}))
	next := 0
	for _, outage := range []struct {
		what     string
		take     func()
		giveBack func() error
	}{
		{"nothing", func() {}, func() error { return nil }},
		{"the catalog", func() { tr.down.Store(true) }, func() error { tr.down.Store(false); return nil }},
		{"the storage", func() { stop(t, s.s3.Process) }, func() error { return s.s3.Start(t.Context()) }},
	} {
		t.Logf("down: %s", outage.what)
		outage.take()
		for end := time.Now().Add(down); next == 0 || time.Now().Before(end) && outage.what != "nothing"; time.Sleep(time.Second) {
			if err := f.json(t.Context(), next, rows); err != nil {
				t.Fatal(err)
			}
			next += rows
		}
		if err := outage.giveBack(); err != nil {
			t.Fatal(err)
		}
		c.awaitCommitted(t, "outage", s.ends(t, f.topic), time.Minute)
	}
	s.verify(t, s.restCatalog(""), "outage.readings", "n", f.want)
}

// brokerDown kills the broker under a worker, then the worker, and starts the worker
// before the broker: it waits, and goes on.
func (s *stack) brokerDown(t *testing.T) {
	const away, rows = 5 * time.Second, 2000
	c := s.cluster(t, "away", 1, nil)
	f := s.feed(t, "away-readings")
	if err := f.json(t.Context(), 0, rows); err != nil {
		t.Fatal(err)
	}
	c.post(t, 0, "away", sink(f.topic, "away.readings", "city", s.restCatalog("iceberg.catalog."), schemaless))
	c.awaitCommitted(t, "away", s.ends(t, f.topic), time.Minute)

	s.kafka.Kill()
	time.Sleep(away)
	if !c.workers[0].Running() {
		t.Fatalf("the worker has ended without its broker:\n%s", c.workers[0].Tail())
	}
	c.workers[0].Kill()
	c.launch(t, 0)
	time.Sleep(away)
	if err := s.kafka.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.json(t.Context(), rows, rows); err != nil {
		t.Fatal(err)
	}
	c.awaitReady(t)
	c.awaitCommitted(t, "away", s.ends(t, f.topic), time.Minute)
	s.verify(t, s.restCatalog(""), "away.readings", "n", f.want)
}
