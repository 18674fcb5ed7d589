package worker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect/entities"
)

func TestOneWorkerRunsAConnector(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		info, err := a.Herder().Connector(t.Context(), "c")
		if err != nil || len(info.Tasks) != 2 || info.Type != "sink" {
			t.Errorf("connector is %+v, %v; want two tasks of a sink", info, err)
		}
		tasks, err := a.Herder().Tasks(t.Context(), "c")
		if err != nil || len(tasks) != 2 || tasks[1].Config["task.class"] != "probe.ProbeSinkTask" || tasks[1].Config["topics"] != "events" {
			t.Errorf("tasks are %+v, %v; want two with task.class and topics", tasks, err)
		}
		if err := a.Herder().Health(t.Context()); err != nil {
			t.Errorf("health is %v", err)
		}
	})
}

func TestLifecycle(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		h := a.Herder()
		ctx := t.Context()
		must := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")

		must("pause", h.SetTarget(ctx, "c", entities.Paused))
		fx.wantStates(20*time.Second, a, "c", "PAUSED@a [PAUSED@a PAUSED@a]")
		must("resume", h.SetTarget(ctx, "c", entities.Started))
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		if n := fx.probe.started("c-0"); n != 1 {
			t.Errorf("task c-0 was started %d times; pausing must not restart it", n)
		}

		must("restart", h.Restart(ctx, "c"))
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		if n := fx.probe.started("c-0"); n != 1 {
			t.Errorf("task c-0 was started %d times; restarting the connector must not restart it", n)
		}
		must("restart task", h.RestartTask(ctx, "c", 0))
		fx.eventually(20*time.Second, func() string {
			if n := fx.probe.started("c-0"); n != 2 {
				return fmt.Sprintf("task c-0 was started %d times, want 2", n)
			}
			return ""
		})
		plan, err := h.RestartPlan(ctx, "c", true, false)
		must("restart with tasks", err)
		if plan.Connector.State != "RESTARTING" || plan.Tasks[1].State.State != "RESTARTING" {
			t.Errorf("the plan is %+v, want everything RESTARTING", plan)
		}
		fx.eventually(20*time.Second, func() string {
			if n := fx.probe.started("c-0"); n != 3 {
				return fmt.Sprintf("task c-0 was started %d times, want 3", n)
			}
			return ""
		})
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")

		must("stop", h.SetTarget(ctx, "c", entities.Stopped))
		fx.wantStates(20*time.Second, a, "c", "STOPPED@a []")
		must("resume", h.SetTarget(ctx, "c", entities.Started))
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")

		must("delete", h.Delete(ctx, "c"))
		fx.eventually(20*time.Second, func() string {
			if got := fx.states(a, "c"); got != "No status found for connector c" {
				return got
			}
			return ""
		})
		fx.wantNotFound(h.Delete(ctx, "c"), "Connector c not found")
		fx.wantNotFound(h.SetTarget(ctx, "c", entities.Paused), "Unknown connector c")
		fx.wantNotFound(h.Restart(ctx, "c"), "Unknown connector: c")
		if len(fx.probe.running) > 0 || len(fx.probe.double) > 0 {
			t.Errorf("still running %v, started twice %q", fx.probe.running, fx.probe.double)
		}
	})
}

func (fx *fixture) wantNotFound(err error, message string) {
	fx.t.Helper()
	e, ok := errors.AsType[*entities.Error](err)
	if !ok || e.Status != http.StatusNotFound || e.Message != message {
		fx.t.Errorf("got %v, want a 404 %q", err, message)
	}
}

func TestConfigChangeRestartsTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.create(a, "d", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		fx.wantStates(20*time.Second, a, "d", "RUNNING@a [RUNNING@a RUNNING@a]")
		if _, created, err := a.Herder().PutConfig(t.Context(), "c", sinkConfig("c", map[string]string{"tasks.max": "1"})); err != nil || created {
			t.Fatalf("put answered created %t, %v; want a change", created, err)
		}
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a]")
		time.Sleep(time.Minute)
		if c, d := fx.probe.started("c-0"), fx.probe.started("d-0"); c != 2 || d != 1 {
			t.Errorf("c-0 was started %d times, d-0 %d times; want 2 and 1", c, d)
		}
	})
}

func TestFailuresShow(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", map[string]string{"probe.fail": "start"})
		fx.wantStates(20*time.Second, a, "c", "FAILED@a []")
		fx.create(a, "d", map[string]string{"probe.fail": "panic"})
		fx.wantStates(20*time.Second, a, "d", "FAILED@a []")
		fx.create(a, "e", map[string]string{"probe.fail": "task"})
		fx.wantStates(20*time.Second, a, "e", "RUNNING@a [FAILED@a FAILED@a]")
		for name, want := range map[string]string{"c": "told to fail", "d": "told to panic"} {
			s, err := a.Herder().Status(t.Context(), name)
			if err != nil || !strings.Contains(s.Connector.Trace, want) {
				t.Errorf("status of %s is %+v, %v; want the trace %q", name, s, err, want)
			}
		}
		if s, err := a.Herder().TaskStatus(t.Context(), "e", 0); err != nil || !strings.Contains(s.Trace, "told to fail") {
			t.Errorf("status of task e-0 is %+v, %v; want the trace", s, err)
		}
		if err := a.Herder().Restart(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "told to fail") {
			t.Errorf("restart of a connector that cannot start answered %v", err)
		}
		// A config that can start repairs the connector; a failed task stays where it is.
		if _, _, err := a.Herder().PutConfig(t.Context(), "c", sinkConfig("c", nil)); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
	})
}

func TestThreeWorkersShareAndTakeOver(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", map[string]string{"tasks.max": "3"})
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a RUNNING@a]")
		b, c := fx.worker("b", nil), fx.worker("c", nil)
		spread := func(w *running, on ...string) func() string {
			return func() string {
				got := fx.states(w, "c")
				for _, name := range on {
					if !strings.Contains(got, "RUNNING@"+name) {
						return "nothing runs on " + name + ": " + got
					}
				}
				if n := strings.Count(got, "RUNNING"); n != 4 {
					return "not everything runs: " + got
				}
				return ""
			}
		}
		fx.eventually(5*time.Minute, spread(a, "a", "b", "c"))
		fx.eventually(time.Minute, spread(c, "a", "b", "c"))

		b.cut()
		fx.eventually(5*time.Minute, func() string {
			if got := fx.states(a, "c"); strings.Contains(got, "@b") {
				return got
			}
			return spread(a, "a", "c")()
		})
		fx.probe.mu.Lock()
		for key, on := range fx.probe.running {
			if on == "b" { // its zombie still counts here; what matters is that others run
				t.Logf("%s still runs on the worker that was cut off", key)
			}
		}
		fx.probe.mu.Unlock()
	})
}

func TestLeaderChange(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		b := fx.worker("b", nil)
		fx.eventually(time.Minute, func() string {
			if got := fx.states(b, "c"); strings.Count(got, "RUNNING") != 3 || !strings.Contains(got, "@b") {
				return got
			}
			return ""
		})
		fx.end(a)
		fx.wantStates(2*time.Minute, b, "c", "RUNNING@b [RUNNING@b RUNNING@b]")
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := b.Herder().Delete(ctx, "c"); err != nil {
			t.Errorf("the new leader does not delete: %v", err)
		}
	})
}

func TestFollowerRedirects(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		b := fx.worker("b", nil)
		fx.eventually(time.Minute, func() string {
			if got := fx.states(b, "c"); !strings.Contains(got, "RUNNING@b") {
				return got
			}
			return ""
		})
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		for what, err := range map[string]error{
			"delete": b.Herder().Delete(ctx, "c"), "stop": b.Herder().SetTarget(ctx, "c", entities.Stopped),
		} {
			if r, ok := errors.AsType[*entities.RedirectError](err); !ok || r.URL != "http://a:8083/" {
				t.Errorf("%s on a follower answered %v, want a redirection to a", what, err)
			}
		}
		// Pausing is any worker's to write, and a restart is sent to who runs the task.
		if err := b.Herder().SetTarget(ctx, "c", entities.Paused); err != nil {
			t.Errorf("pause on a follower: %v", err)
		}
		fx.eventually(time.Minute, func() string {
			if got := fx.states(a, "c"); strings.Count(got, "PAUSED") != 3 {
				return got
			}
			return ""
		})
		owner, other := a, b
		if s, err := a.Herder().TaskStatus(ctx, "c", 0); err == nil && s.WorkerID == "b:8083" {
			owner, other = b, a
		}
		if err := owner.Herder().RestartTask(ctx, "c", 0); err != nil {
			t.Errorf("restart of a task where it runs: %v", err)
		}
		if err := other.Herder().RestartTask(ctx, "c", 0); err == nil {
			t.Error("restart of a task that runs elsewhere succeeded")
		}
	})
}
