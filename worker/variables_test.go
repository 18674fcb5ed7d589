package worker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/worker"
)

// A secret that is replaced reaches connector and tasks when the time of the old one is
// over, also those that have failed with it; unless the connector says that nothing is to
// be done, or the provider gives no time.
func TestChangedVariablesRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.properties")
	write := func(t *testing.T, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, func(t *testing.T, fx *fixture) {
		write(t, "user=one\nfault=task\n")
		const class = "org.apache.kafka.common.config.provider.FileConfigProvider"
		a := fx.worker("a", map[string]string{
			"config.providers":            "brief, ever",
			"config.providers.ever.class": class, "config.providers.brief.class": class, "config.providers.brief.param.ttl.ms": "60000",
		})
		brief, ever := "${brief:"+file+":user}", "${ever:"+file+":user}"
		fx.create(a, "restarts", map[string]string{"probe.user": brief})
		fx.create(a, "stays", map[string]string{"probe.user": brief, "config.action.reload": "none"})
		fx.create(a, "ever", map[string]string{"probe.user": ever})
		fx.create(a, "fails", map[string]string{"probe.fail": "${brief:" + file + ":fault}"})
		all := []string{"restarts", "stays", "ever"}
		running := func() {
			t.Helper()
			for _, name := range all {
				fx.wantStates(20*time.Second, a, name, "RUNNING@a [RUNNING@a RUNNING@a]")
			}
		}
		running()
		fx.wantStates(20*time.Second, a, "fails", "RUNNING@a [FAILED@a FAILED@a]")
		starts := func(want ...int) {
			t.Helper()
			for i, name := range all {
				if n, c := fx.probe.started(name+"-0"), fx.probe.started("connector "+name); n != want[i] || c != want[i] {
					t.Errorf("%s was started %d times and its task %d times, want %d", name, c, n, want[i])
				}
			}
		}
		time.Sleep(10 * time.Minute)
		starts(1, 1, 1) // nothing has changed
		write(t, "user=two\nfault=none\n")
		time.Sleep(50 * time.Second)
		time.Sleep(30 * time.Second)
		running()
		starts(2, 1, 1)
		fx.wantStates(20*time.Second, a, "fails", "RUNNING@a [RUNNING@a RUNNING@a]")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		running()
		starts(2, 1, 1) // what they have still serves
		write(t, "user=three\nfault=none\n")
		time.Sleep(2 * time.Minute)
		running()
		starts(3, 1, 1)
	})
}

func TestTimeToLiveOfVariables(t *testing.T) {
	_, _, err := worker.NewConfig(distributed(map[string]string{
		"config.providers": "f", "config.providers.f.class": "FileConfigProvider", "config.providers.f.param.ttl.ms": "1h",
	}))
	if err == nil || !strings.Contains(err.Error(), "Invalid value 1h for configuration config.providers.f.param.ttl.ms: Not a number of milliseconds") {
		t.Errorf("NewConfig failed with %v", err)
	}
}
