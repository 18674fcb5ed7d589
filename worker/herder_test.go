package worker_test

import (
	"testing"
	"time"
)

func TestOneWorkerRunsAConnector(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
	})
}
