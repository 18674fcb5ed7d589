//go:build real && unix

package realtest

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/firn-io/firn/cli/connectapi"
)

// migrate moves a connector with firn migrate from a cluster of Java's to one of Firn's, back,
// and there again, with records to read each time.
func (s *stack) migrate(t *testing.T) {
	m := s.migration(t, "moved")
	c := s.cluster(t, "moved", 1, nil)
	firn := c.workers[0].url
	m.more(t)
	m.post(t, m.java.URL)
	m.awaitRows(t)
	for _, move := range []struct {
		from, to string
		more     []string
	}{
		{m.java.URL, firn, nil},
		{firn, m.java.URL, nil},
		{m.java.URL, firn, []string{"--delete"}},
	} {
		m.more(t)
		m.move(t, c, append([]string{"--from", move.from, "--to", move.to}, move.more...)...)
		m.more(t)
		m.awaitRows(t)
	}
	var st connectapi.Status
	if err := call(t.Context(), http.MethodGet, m.java.URL+"/connectors/"+m.name+"/status", nil, &st); err == nil {
		t.Errorf("it was to be deleted on Java, and is %s", st.Connector.State)
	}
	m.check(t, c)
}

// move runs firn migrate.
func (m *migration) move(t *testing.T, c *cluster, flags ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), m.s.firn, append([]string{"migrate", "--json", "--timeout", "60s", c.workers[0].config, m.name}, flags...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var report struct {
		Moved   bool
		Message string
	}
	if jerr := json.Unmarshal(out, &report); err != nil || jerr != nil || !report.Moved {
		t.Fatalf("firn migrate: %v, %v\n%s\n%s", err, jerr, out, stderr.String())
	}
	t.Logf("firn migrate: %s\n%s", report.Message, stderr.String())
}
