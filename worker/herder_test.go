package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/internal/kafka"
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
		// Writing a config again starts a failed connector again, and only that.
		fx.create(a, "f", map[string]string{"probe.fail": "once"})
		fx.wantStates(20*time.Second, a, "f", "FAILED@a []")
		for range 2 {
			if _, _, err := a.Herder().PutConfig(t.Context(), "f", sinkConfig("f", map[string]string{"probe.fail": "once"})); err != nil {
				t.Fatal(err)
			}
			fx.wantStates(20*time.Second, a, "f", "RUNNING@a [RUNNING@a RUNNING@a]")
		}
		if n := fx.probe.started("connector f"); n != 2 {
			t.Errorf("connector f was started %d times, want 2", n)
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
		defer fx.probe.mu.Unlock()
		for key, on := range fx.probe.running {
			if on == "b" {
				t.Errorf("%s still runs on the worker that was cut off", key)
			}
		}
		if len(fx.probe.double) > 0 {
			t.Errorf("tasks ran twice at a time: %q", fx.probe.double)
		}
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

func TestFollowerPublishesThroughTheLeader(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a, b := fx.worker("a", nil), fx.worker("b", nil)
		fx.eventually(time.Minute, func() string {
			if a.Herder().Health(t.Context()) != nil || b.Herder().Health(t.Context()) != nil {
				return "the workers have not joined"
			}
			return ""
		})
		leader := a
		if err := a.Herder().Delete(t.Context(), "none"); err != nil {
			if _, ok := errors.AsType[*entities.RedirectError](err); ok {
				leader = b
			}
		}
		fx.create(leader, "c", nil)
		fx.create(leader, "d", nil)
		fx.eventually(2*time.Minute, func() string {
			c, d := fx.states(a, "c"), fx.states(a, "d")
			if strings.Count(c+d, "RUNNING") != 6 || !strings.Contains(c+d, "RUNNING@a") || !strings.Contains(c+d, "RUNNING@b") {
				return c + d
			}
			return ""
		})
		fx.mu.Lock()
		defer fx.mu.Unlock()
		if len(fx.posts) == 0 || !strings.HasSuffix(fx.posts[len(fx.posts)-1], ": 204 No Content") {
			t.Errorf("task configs were posted %q, want one that the leader took", fx.posts)
		}
		err := leader.Herder().PutTaskConfigs(t.Context(), "c", nil, []byte("[]"), entities.Signature{})
		if e, ok := errors.AsType[*entities.Error](err); !ok || e.Status != 400 || e.Message != "Internal request missing required signature" {
			t.Errorf("unsigned task configs were answered with %v", err)
		}
		err = leader.Herder().PutTaskConfigs(t.Context(), "c", nil, []byte("[]"), entities.Signature{Algorithm: "HmacSHA256", MAC: "AAAA"})
		if e, ok := errors.AsType[*entities.Error](err); !ok || e.Status != 403 {
			t.Errorf("wrongly signed task configs were answered with %v, want a 403", err)
		}
	})
}

func TestAConnectorThatHangsIsAbandoned(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		defer close(fx.probe.release)
		a := fx.worker("a", nil)
		fx.create(a, "c", map[string]string{"probe.fail": "stop"})
		fx.create(a, "d", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		fx.wantStates(20*time.Second, a, "d", "RUNNING@a [RUNNING@a RUNNING@a]")
		if err := a.Herder().Delete(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		if err := a.Herder().RestartTask(t.Context(), "d", 0); err != nil {
			t.Errorf("while a connector hangs, another's task does not restart: %v", err)
		}
		fx.eventually(30*time.Second, func() string {
			if got := fx.states(a, "c"); got != "No status found for connector c" {
				return got
			}
			return ""
		})
		fx.end(a)
		delete(fx.workers, "a")
	})
}

// TestDoubtsAreLogged sees what a connector's self-test could not do in the log of the
// worker that accepts the config, once, and not for a config that is only validated.
func TestDoubtsAreLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		var log bytes.Buffer
		fx.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})
		a := fx.standalone("a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		class, doubt := "probe.ProbeSinkConnector", "nothing can be deleted"
		if _, err := a.Herder().Validate(ctx, class, map[string]*string{"name": new("c"), "connector.class": &class, "topics": new("t"), "probe.doubt": &doubt}); err != nil {
			t.Fatal(err)
		}
		fx.create(a, "c", map[string]string{"probe.doubt": doubt})
		fx.end(a)
		delete(fx.workers, "a")
		if got := strings.Count(log.String(), `level=WARN msg="The connector goes without what its self-test could not do" connector=c key=probe.doubt error="nothing can be deleted"`); got != 1 {
			t.Errorf("said %d times, want once:\n%s", got, log.String())
		}
	})
}

func TestOffsets(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		h := a.Herder()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		alter := func(topic string, partition, offset any) error {
			o := entities.Offset{Partition: map[string]any{"kafka_topic": topic, "kafka_partition": partition}}
			if offset != nil {
				o.Offset = map[string]any{"kafka_offset": offset}
			}
			_, err := h.AlterOffsets(ctx, "c", entities.Offsets{Offsets: []entities.Offset{o}})
			return err
		}
		wantError := func(err error, status int, message string) {
			t.Helper()
			if e, ok := errors.AsType[*entities.Error](err); !ok || e.Status != status || !strings.HasPrefix(e.Message, message) {
				t.Errorf("got %v, want a %d %q", err, status, message)
			}
		}
		wantError(alter("events", 0, 5), 400, "Connectors must be in the STOPPED state before their offsets can be modified.")
		if err := h.SetTarget(ctx, "c", entities.Stopped); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "STOPPED@a []")
		_, err := h.AlterOffsets(ctx, "c", entities.Offsets{})
		wantError(err, 400, "Partitions / offsets need to be provided for an alter offsets request")
		wantError(alter("events", "x", 5), 400, "Failed to parse the following Kafka partition value in the provided offsets: 'x'. Partition values for sink connectors need to be integers.")
		wantError(alter("events", 0, -3), 400, "Failed to modify offsets for sink connector c: negative offset")
		if err := alter("events", "1", "7"); err != nil {
			t.Errorf("numeric texts are refused: %v", err)
		}
		want := "[{map[kafka_partition:1 kafka_topic:events] map[kafka_offset:7]}]"
		if got, err := h.Offsets(ctx, "c"); err != nil || fmt.Sprint(got.Offsets) != want {
			t.Errorf("offsets are %v, %v; want %s", got, err, want)
		}
		if err := alter("events", 1, nil); err != nil {
			t.Errorf("a partition is not reset: %v", err)
		}
		if got, err := h.Offsets(ctx, "c"); err != nil || len(got.Offsets) != 0 {
			t.Errorf("offsets after the reset are %v, %v; want none", got, err)
		}
		for range 2 {
			m, err := h.ResetOffsets(ctx, "c")
			if err != nil || !strings.Contains(m.Message, "have been reset successfully. However") {
				t.Errorf("reset answered %v, %v", m, err)
			}
		}
		_, err = h.Offsets(ctx, "none")
		wantError(err, 404, "Connector none not found")
	})
}

// client is a client of the fake cluster beside the workers.
func (fx *fixture) client() *kafka.Config {
	fx.t.Helper()
	cfg, err := kafka.NewConfig(map[string]string{"bootstrap.servers": strings.Join(fx.kafka.ListenAddrs(), ",")}, fx.vn.DialContext)
	if err != nil {
		fx.t.Fatal(err)
	}
	return cfg
}

// TestOffsetsInAnotherGroup sees that the group in which a connector keeps its offsets is
// changed together with its consumer group.
func TestOffsetsInAnotherGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		fx.create(a, "c", map[string]string{"probe.group": "own"})
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		if err := a.Herder().SetTarget(ctx, "c", entities.Stopped); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "STOPPED@a []")
		admin, err := kafka.NewAdmin(fx.client())
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close() //nolint:errcheck // nothing is pending
		want := func(offsets map[connect.TopicPartition]int64) {
			t.Helper()
			for _, group := range []string{"connect-c", "own"} {
				if got, err := admin.GroupOffsets(ctx, group, nil, false); err != nil || !maps.Equal(got, offsets) {
					t.Errorf("group %s has %v, %v, want %v", group, got, err, offsets)
				}
			}
		}
		at := func(partition int) map[string]any {
			return map[string]any{"kafka_topic": "events", "kafka_partition": partition}
		}
		if _, err := a.Herder().AlterOffsets(ctx, "c", entities.Offsets{Offsets: []entities.Offset{
			{Partition: at(0), Offset: map[string]any{"kafka_offset": 7}}, {Partition: at(1), Offset: map[string]any{"kafka_offset": 8}},
		}}); err != nil {
			t.Fatal(err)
		}
		want(map[connect.TopicPartition]int64{{Topic: "events"}: 7, {Topic: "events", Partition: 1}: 8})
		if _, err := a.Herder().AlterOffsets(ctx, "c", entities.Offsets{Offsets: []entities.Offset{{Partition: at(0)}}}); err != nil {
			t.Fatal(err)
		}
		want(map[connect.TopicPartition]int64{{Topic: "events", Partition: 1}: 8})
		if _, err := a.Herder().ResetOffsets(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		want(nil)
	})
}

func TestStandalone(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.standalone("a", map[string]string{"name": "c", "connector.class": "ProbeSink", "tasks.max": "2", "topics": "events"})
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		if err := a.Herder().SetTarget(t.Context(), "c", entities.Stopped); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "STOPPED@a []")
		if err := a.Herder().SetTarget(t.Context(), "c", entities.Started); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		fx.create(a, "d", map[string]string{"tasks.max": "1"})
		fx.wantStates(20*time.Second, a, "d", "RUNNING@a [RUNNING@a]")
		if err := a.Herder().Delete(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		fx.eventually(20*time.Second, func() string {
			if got := fx.states(a, "c"); got != "No status found for connector c" {
				return got
			}
			return ""
		})
	})
}

func TestStandaloneRefusesABadConnector(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.standalone("a", map[string]string{"name": "c", "connector.class": "ProbeSink"})
		<-a.done
		if a.err == nil || !strings.Contains(a.err.Error(), "Must configure one of topics or topics.regex") {
			t.Errorf("the worker ended with %v", a.err)
		}
		delete(fx.workers, "a")
	})
}

func TestAWorkerComesBack(t *testing.T) {
	for _, cut := range []time.Duration{2 * time.Second, 15 * time.Second, 5 * time.Minute} {
		inBubble(t, func(t *testing.T, fx *fixture) {
			a := fx.worker("a", nil)
			fx.create(a, "c", nil)
			fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
			a.cut()
			time.Sleep(cut)
			a.plug()
			fx.eventually(10*time.Minute, func() string {
				fx.probe.mu.Lock()
				defer fx.probe.mu.Unlock()
				if len(fx.probe.running) != 2 {
					return fmt.Sprintf("after a cut of %v only %v run", cut, fx.probe.running)
				}
				return ""
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if err := a.Herder().SetTarget(ctx, "c", entities.Stopped); err != nil {
				t.Errorf("after a cut of %v: stop: %v", cut, err)
			}
			fx.wantStates(10*time.Minute, a, "c", "STOPPED@a []")
			if len(fx.probe.double) > 0 {
				t.Errorf("tasks ran twice at a time: %q", fx.probe.double)
			}
		})
	}
}

func TestPausedFromTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		if err := a.Herder().SetTarget(t.Context(), "c", entities.Paused); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, a, "c", "PAUSED@a [PAUSED@a PAUSED@a]")
		fx.end(a)
		b := fx.worker("b", nil)
		fx.wantStates(20*time.Second, b, "c", "PAUSED@b [PAUSED@b PAUSED@b]")
		if n := fx.probe.started("c-0"); n != 1 {
			t.Errorf("task c-0 was started %d times, want once: it is paused", n)
		}
		if err := b.Herder().SetTarget(t.Context(), "c", entities.Started); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(20*time.Second, b, "c", "RUNNING@b [RUNNING@b RUNNING@b]")
	})
}

// TestTasksMoveOnlyWhenTheyHaveStopped has tasks that take long to stop: the next owner
// must not start them before.
func TestTasksMoveOnlyWhenTheyHaveStopped(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", map[string]string{"probe.fail": "slow", "tasks.max": "4"})
		fx.wantStates(20*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a RUNNING@a RUNNING@a]")
		fx.worker("b", nil)
		fx.eventually(time.Minute, func() string {
			if got := fx.states(a, "c"); strings.Count(got, "RUNNING") != 5 || strings.Count(got, "@b") != 2 {
				return got
			}
			return ""
		})
		if len(fx.probe.double) > 0 {
			t.Errorf("tasks ran twice at a time: %q", fx.probe.double)
		}
	})
}

// A worker that was cut off writes its UNASSIGNED late, over the RUNNING of the next owner.
func TestLateStatusesArePutRight(t *testing.T) {
	// Seed 1124 of the clusters: one that outlived its Kafka cluster brings a generation
	// that the group of the next cluster has yet to reach.
	for generation, within := range map[string]time.Duration{"0": 10 * time.Second, "100": 30 * time.Second} {
		t.Run(generation, func(t *testing.T) { lateStatuses(t, generation, within) })
	}
}

func lateStatuses(t *testing.T, generation string, within time.Duration) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		fx.create(a, "c", nil)
		fx.wantStates(10*time.Second, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
		p, err := kafka.NewProducer(fx.client())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close() //nolint:errcheck // everything was sent
		late := []byte(`{"state":"UNASSIGNED","trace":null,"worker_id":"b:8083","generation":` + generation + `}`)
		var msgs []kafka.Message
		for _, key := range []string{"status-connector-c", "status-task-c-1", "status-task-c-0"} {
			msgs = append(msgs, kafka.Message{Topic: "statuses", Key: []byte(key), Value: late})
		}
		msgs[1].Value = bytes.Replace(late, []byte("UNASSIGNED"), []byte("RESTARTING"), 1) // an UNASSIGNED would be ignored, as in Java
		msgs[2].Value = nil
		if err := p.SendAll(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
		fx.wantStates(time.Second, a, "c", "UNASSIGNED@b [RESTARTING@b]")
		fx.wantStates(within, a, "c", "RUNNING@a [RUNNING@a RUNNING@a]")
	})
}
