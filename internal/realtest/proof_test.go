//go:build real && unix

package realtest

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// proven has `firn verify` prove the tables of a connector, by the config that the worker
// has of it.
func (c *cluster) proven(t *testing.T, connector string) {
	t.Helper()
	var config map[string]string
	if err := call(t.Context(), http.MethodGet, c.workers[0].url+"/connectors/"+connector+"/config", nil, &config); err != nil {
		t.Fatal(err)
	}
	c.prove(t, connector, config)
}

// prove does so by a config; the connector need not run.
func (c *cluster) prove(t *testing.T, connector string, config map[string]string) {
	t.Helper()
	text, err := json.Marshal(merged(config, map[string]string{"name": connector}))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, connector+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), c.firn, "verify", "--worker", c.workers[0].config, path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("firn verify %s: %v\n%s%s", connector, err, out, stderr.String())
		return
	}
	t.Logf("firn verify: %s", out)
}
