package rest_test

import (
	"encoding/base64"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/firn-io/firn/rest"
)

func TestBasicAuth(t *testing.T) {
	basic := func(credentials string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
	}
	tests := []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", "/connectors", basic("alice:s3cret"), 200},
		{"GET", "/connectors", "bAsIc" + basic("alice:s3cret")[5:], 200},
		{"GET", "/connectors", basic("bob:with:colon"), 200},
		{"GET", "/connectors", "", 401},
		{"GET", "/connectors", basic("alice:"), 401},
		{"GET", "/connectors", basic("alice:s3cre"), 401},
		{"GET", "/connectors", basic("alice:with:colon"), 401},
		{"GET", "/connectors", basic("mallory:s3cret"), 401},
		{"GET", "/connectors", basic(":s3cret"), 401},
		{"GET", "/connectors", "Basic !", 401},
		{"GET", "/connectors", "Bearer s3cret", 401},
		{"GET", "/", "", 401},
		{"GET", "/health", "", 401},
		{"HEAD", "/connectors", "", 401},
		{"DELETE", "/connectors/c", "", 401},
		{"GET", "/connectors/c/tasks", "", 401},
		{"PUT", "/connector-plugins/p/config/validate", "", 401},
		{"PUT", "/connectors/c/fence", "", 200}, // signed instead
		{"OPTIONS", "/connectors", "", 200},
		{"GET", "/nope", "", 404},
	}
	h := &fakeHerder{names: []string{}}
	server := httptest.NewServer(rest.New(rest.Options{
		Herder: h, Logger: slog.New(slog.DiscardHandler), Users: map[string]string{"alice": "s3cret", "bob": "with:colon"},
	}).Handler())
	defer server.Close()
	for _, tt := range tests {
		h.calls = nil
		var header []string
		if tt.authorization != "" {
			header = []string{"Authorization", tt.authorization}
		}
		status, got, body := ask(t, tt.method, server.URL+tt.path, "", header...)
		if status != tt.status || status == 401 && len(h.calls) > 0 {
			t.Errorf("%s %s with %q answered %d %s and asked %q, want %d", tt.method, tt.path, tt.authorization, status, body, h.calls, tt.status)
		}
		if status == 401 && (tt.method != "HEAD" && body != "User cannot access the resource." || got.Get("WWW-Authenticate") != "" || got.Get("Content-Type") != "application/json") {
			t.Errorf("%s %s was refused with %q, %v", tt.method, tt.path, body, got)
		}
	}
	if status, _, body := ask(t, "POST", server.URL+"/connectors/c/tasks", `[]`); status != 204 {
		t.Errorf("task configs of another worker were answered with %d %s, want 204", status, body)
	}
}

func TestAdminListeners(t *testing.T) {
	for _, tt := range []struct {
		name        string
		own, off    bool
		main, admin int // answers to GET /admin/loggers
	}{
		{"with the rest", false, false, 200, 0},
		{"nowhere", false, true, 404, 0},
		{"apart", true, false, 404, 200},
	} {
		o := rest.Options{Herder: &fakeHerder{}, NoAdmin: tt.off}
		if tt.own {
			var err error
			if o.AdminListeners, err = rest.Listen(t.Context(), []string{"http://127.0.0.1:0"}, nil); err != nil {
				t.Fatal(err)
			}
		}
		main := run(t, o, []string{"http://127.0.0.1:0"}, nil)[0]
		if status, _, body := ask(t, "GET", "http://"+main+"/admin/loggers", ""); status != tt.main {
			t.Errorf("%s: /admin/loggers answered %d %s, want %d", tt.name, status, body, tt.main)
		}
		if !tt.own {
			continue
		}
		admin := "http://" + o.AdminListeners[0].Addr().String()
		if status, _, body := ask(t, "GET", admin+"/admin/loggers", ""); status != tt.admin {
			t.Errorf("%s: /admin/loggers answered %d %s there, want %d", tt.name, status, body, tt.admin)
		}
		if status, _, body := ask(t, "GET", admin+"/connectors", ""); status != 404 {
			t.Errorf("%s: /connectors answered %d %s there, want 404", tt.name, status, body)
		}
	}
}
