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
