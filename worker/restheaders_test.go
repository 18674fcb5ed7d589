package worker_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/worker"
)

func TestAllowOrigin(t *testing.T) {
	tests := []struct {
		value    string
		yes, no  []string
		disabled bool
	}{
		{"", nil, nil, true},
		{" , ", nil, nil, true},
		{"*", []string{"https://a", "null"}, nil, false},
		{"https://ui.example.com, http://localhost:3000", []string{"https://ui.example.com", "http://localhost:3000"}, []string{"https://uixexample.com", "https://ui.example.com.evil", "http://localhost:30001", ""}, false},
		{"https://*.example.com", []string{"https://a.example.com", "https://a.b.example.com"}, []string{"https://example.com", "http://a.example.com", "https://a.example.com.evil"}, false},
		{`https://.*\.example\.com`, []string{"https://a.example.com"}, []string{"https://axexample.com", "https://a.example.com.evil"}, false},
		{"https://(a|b).com", []string{"https://a.com"}, []string{"https://c.com", "xhttps://a.com"}, false},
	}
	for _, tt := range tests {
		c, warnings, err := worker.NewConfig(distributed(map[string]string{"access.control.allow.origin": tt.value, "access.control.allow.methods": "GET, PUT"}))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v, warned %q", tt.value, err, warnings)
		}
		if (c.AllowOrigin == nil) != tt.disabled || strings.Join(c.AllowMethods, " ") != "GET PUT" {
			t.Errorf("%s: allows by %t, methods %q", tt.value, c.AllowOrigin != nil, c.AllowMethods)
		}
		for _, origin := range tt.yes {
			if !c.AllowOrigin(origin) {
				t.Errorf("%s does not allow %s", tt.value, origin)
			}
		}
		for _, origin := range tt.no {
			if c.AllowOrigin(origin) {
				t.Errorf("%s allows %s", tt.value, origin)
			}
		}
	}
}

func TestResponseHeaders(t *testing.T) {
	c, _, err := worker.NewConfig(distributed(map[string]string{
		"response.http.headers.config": `set X-Frame-Options: DENY, "add Cache-Control: no-cache, no-store, must-revalidate",ADD Cache-Control:private, setDate Expires: 3600000`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := http.Header{"X-Frame-Options": {"SAMEORIGIN"}}
	c.ResponseHeaders(got)
	expires, err := http.ParseTime(got.Get("Expires"))
	if in := time.Until(expires); err != nil || in < 59*time.Minute || in > time.Hour {
		t.Errorf("Expires is %q, want in an hour", got.Get("Expires"))
	}
	if got.Get("X-Frame-Options") != "DENY" || strings.Join(got["Cache-Control"], "|") != "no-cache, no-store, must-revalidate|private" {
		t.Errorf("headers are %v", got)
	}
	for value, want := range map[string]string{
		"X-Frame-Options:DENY":  "Invalid format of header config 'X-Frame-Options:DENY'",
		"put X: y":              "Invalid header config action: 'put'. Expected one of [set, add, setDate, addDate]",
		"set X-Frame Options:y": "The '[header name]' cannot contain whitespace",
		"set X-Frame":           "Invalid header name 'X-Frame'",
		"set X: a\\nSet-Cookie": "",
		"setDate X: soon":       "no number of milliseconds",
	} {
		_, _, err := worker.NewConfig(distributed(map[string]string{"response.http.headers.config": value}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want an error with %q", value, err, want)
		}
	}
	if _, _, err := worker.NewConfig(distributed(map[string]string{"response.http.headers.config": "set X: a\nSet-Cookie: b"})); err == nil {
		t.Error("a header of two lines was taken")
	}
	if _, _, err := worker.NewConfig(distributed(map[string]string{"access.control.allow.origin": "https://(a"})); err == nil {
		t.Error("an origin that is no regular expression was taken")
	}
}
