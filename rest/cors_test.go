package rest_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/firn-io/firn/rest"
)

func TestCrossOrigin(t *testing.T) {
	const good, bad = "https://ui.example.com", "https://evil.example.com"
	cors := func(edit func(c *rest.CORS)) *rest.CORS {
		c := &rest.CORS{Allow: func(origin string) bool { return origin == good }}
		edit(c)
		return c
	}
	none := func(*rest.CORS) {}
	tests := []struct {
		name, method, origin, asks string
		cors                       *rest.CORS
		allow, methods             string
	}{
		{"off", "GET", good, "", nil, "", ""},
		{"allowed", "GET", good, "", cors(none), good, ""},
		{"not allowed", "GET", bad, "", cors(none), "", ""},
		{"no origin", "GET", "", "", cors(none), "", ""},
		{"asked before", "OPTIONS", good, "PUT", cors(none), good, "GET,POST,HEAD"},
		{"asked before, with methods", "OPTIONS", good, "PUT", cors(func(c *rest.CORS) { c.Methods = []string{"PUT", "DELETE"} }), good, "PUT,DELETE"},
		{"asked before, not allowed", "OPTIONS", bad, "PUT", cors(none), "", ""},
	}
	for _, tt := range tests {
		server := httptest.NewServer(rest.New(rest.Options{
			Herder: &fakeHerder{names: []string{}}, Logger: slog.New(slog.DiscardHandler), CORS: tt.cors,
			Headers: func(h http.Header) { h.Set("X-Frame-Options", "DENY") },
		}).Handler())
		var header []string
		if tt.origin != "" {
			header = append(header, "Origin", tt.origin)
		}
		if tt.asks != "" {
			header = append(header, "Access-Control-Request-Method", tt.asks)
		}
		status, got, body := ask(t, tt.method, server.URL+"/connectors", "", header...)
		server.Close()
		if status != 200 || got.Get("X-Frame-Options") != "DENY" || (tt.cors != nil) != (got.Get("Vary") == "Origin") {
			t.Errorf("%s: answered %d %s with %v", tt.name, status, body, got)
		}
		for key, want := range map[string]string{
			"Access-Control-Allow-Origin": tt.allow, "Access-Control-Allow-Methods": tt.methods, "Access-Control-Allow-Credentials": "",
		} {
			if got.Get(key) != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, key, got.Get(key), want)
			}
		}
	}
}
