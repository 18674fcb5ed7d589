package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/firn-io/firn/cli/survey"
)

// Credentials come from a file or from the URL, and are not in the address that is shown.
func TestAPIOf(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "s3c:ret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(file, []byte("basic.auth.user.info=me:s3c:ret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, file string }{
		{srv.URL + "/", file},
		{strings.Replace(srv.URL, "http://", "http://me:s3c%3Aret@", 1), ""},
	} {
		api, err := apiOf(tt.from, tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := api.Call(t.Context(), http.MethodGet, "/", nil, nil); err != nil || api.Base != srv.URL {
			t.Errorf("%v: base %s, %v", tt, api.Base, err)
		}
	}
	for _, from := range []string{"", "host:8083", "ftp://host", "http://"} {
		if _, err := apiOf(from, ""); err == nil {
			t.Errorf("%q was taken", from)
		}
	}
	if err := os.WriteFile(file, []byte("basic.auth.user.info=s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apiOf(srv.URL, file); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestPrintSurvey(t *testing.T) {
	var b strings.Builder
	printSurvey(&b, &survey.Report{
		URL: "http://x:8083", Version: "4.3.1",
		Connectors: []survey.Connector{
			{Name: "orders", Class: "a.B", State: "RUNNING", Tasks: 2, Verdict: survey.Differently, Differences: []string{"one"}, Unchecked: []string{"two"}, Group: "g", Offsets: []survey.Offset{{Topic: "t", Partition: 1, Next: 3, End: new(int64(9))}, {Topic: "t", Partition: 2, Next: 4}}},
			{Name: "j", Class: "c.D", State: "PAUSED", Verdict: survey.Unsupported, Reasons: []string{"three"}},
		},
	})
	want := `http://x:8083: Kafka Connect 4.3.1, 2 connector(s)

CONNECTOR  STATE    TASKS  VERDICT
orders     RUNNING  2      runs with these differences
j          PAUSED   0      not supported

orders (a.B): runs with these differences
  - one
  not checked: two
  goes on from the offsets of group g: t-1 3 of 9 t-2 4

j (c.D): not supported
  - three
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
