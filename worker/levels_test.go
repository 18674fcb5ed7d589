package worker_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/firn-io/firn/connect/entities"
)

func TestLogLevels(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, b := fx.worker("a", nil), fx.worker("b", nil)
		level := func(w *running, name string) string {
			l, err := w.Herder().Logger(name)
			if err != nil {
				return err.Error()
			}
			return l.Level
		}
		fx.wantHealth(a, b)
		if err := a.Herder().SetClusterLogger(t.Context(), "org.apache.kafka", "debug"); err != nil {
			t.Fatal(err)
		}
		fx.eventually(20*time.Second, func() string {
			for _, w := range []*running{a, b} {
				if got := level(w, "org.apache.kafka"); got != "DEBUG" {
					return got
				}
			}
			return ""
		})
		changed, err := a.Herder().SetLogger("org.apache", "WARN")
		if err != nil || len(changed) != 2 || level(a, "org.apache.kafka") != "WARN" || level(b, "org.apache.kafka") != "DEBUG" {
			t.Errorf("setting a level on one worker changed %q (%v), left %s and %s", changed, err, level(a, "org.apache.kafka"), level(b, "org.apache.kafka"))
		}
		if l := a.Herder().Loggers()["root"]; l.Level != "INFO" || l.LastModified != nil {
			t.Errorf("the root has %+v, want INFO and never modified", l)
		}
		_, err = a.Herder().SetLogger("org.apache", "LOUD")
		for _, err := range []error{err, a.Herder().SetClusterLogger(t.Context(), "root", "LOUD")} {
			if e, ok := errors.AsType[*entities.Error](err); !ok || e.Status != http.StatusNotFound || e.Message != "invalid log level 'LOUD'." {
				t.Errorf("a level that does not exist was answered with %v", err)
			}
		}
		// A worker that starts later does not hear of it, as in Java.
		if c := fx.worker("c", nil); level(c, "org.apache.kafka") != "Logger org.apache.kafka not found." {
			t.Errorf("a worker that came later has %s", level(c, "org.apache.kafka"))
		}
	})
}
