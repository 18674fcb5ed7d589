package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/internal/kafka"
)

// configure writes connectors' configs as another worker would, which has their class.
func (fx *fixture) configure(names ...string) {
	fx.t.Helper()
	p, err := kafka.NewProducer(fx.client())
	if err != nil {
		fx.t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // everything was sent
	var msgs []kafka.Message
	for _, name := range names {
		value, err := json.Marshal(map[string]any{"properties": sinkConfig(name, nil)})
		if err != nil {
			fx.t.Fatal(err)
		}
		msgs = append(msgs, kafka.Message{Topic: "configs", Key: []byte("connector-" + name), Value: value})
	}
	if err := p.SendAll(fx.t.Context(), msgs); err != nil {
		fx.t.Fatal(err)
	}
}

// tally counts the states of connectors c, d and e and of their tasks, by worker.
func (fx *fixture) tally(w *running) map[string]int {
	count := map[string]int{}
	for _, name := range []string{"c", "d", "e"} {
		for _, state := range strings.FieldsFunc(fx.states(w, name), func(r rune) bool { return strings.ContainsRune("[] ", r) }) {
			count[state]++
		}
	}
	return count
}

func (fx *fixture) wantTally(w *running, want map[string]int) {
	fx.t.Helper()
	fx.eventually(3*time.Minute, func() string {
		if got := fx.tally(w); !maps.Equal(got, want) {
			return fmt.Sprintf("states are %v, want %v", got, want)
		}
		return ""
	})
}

// configs are the configs of all tasks of c, d and e.
func (fx *fixture) configs(w *running) string {
	fx.t.Helper()
	var all []any
	for _, name := range []string{"c", "d", "e"} {
		tasks, err := w.Herder().Tasks(fx.t.Context(), name)
		if err != nil {
			fx.t.Fatal(err)
		}
		all = append(all, tasks)
	}
	return fmt.Sprint(all...)
}

// lacking tells what is wrong with the traces of what failed for want of its class.
func (fx *fixture) lacking(w *running) {
	fx.t.Helper()
	for _, name := range []string{"c", "d", "e"} {
		s, err := w.Herder().Status(fx.t.Context(), name)
		if err != nil {
			fx.t.Fatal(err)
		}
		states := []entities.State{s.Connector}
		for _, task := range s.Tasks {
			states = append(states, task.State)
		}
		for _, state := range states {
			if state.State == "FAILED" && !strings.Contains(state.Trace, "has no connector class probe.ProbeSinkConnector, only firn.OwnSinkConnector") {
				fx.t.Errorf("a part of %s failed with %q, want that the class is missing", name, state.Trace)
			}
		}
	}
}

// A worker without the class joins one that has it, and leaves again: what falls to it
// fails there and nowhere else, and no task config changes.
func TestAFollowerWithoutTheClass(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.probe.lacks = "lacks"
		has := fx.worker("has", nil)
		for _, name := range []string{"c", "d", "e"} {
			fx.create(has, name, nil)
		}
		fx.wantTally(has, map[string]int{"RUNNING@has": 9})
		before := fx.configs(has)
		lacks := fx.worker("lacks", nil)
		fx.wantTally(has, map[string]int{"RUNNING@has": 5, "FAILED@lacks": 4})
		fx.lacking(has)
		if after := fx.configs(lacks); after != before {
			t.Errorf("task configs were %s, and are %s", before, after)
		}
		fx.end(lacks)
		fx.wantTally(has, map[string]int{"RUNNING@has": 9})
		if after := fx.configs(has); after != before {
			t.Errorf("task configs were %s, and are %s", before, after)
		}
	})
}

// A leader without the class assigns all work alike, and makes no task configs itself but
// takes those of the worker that has it.
func TestALeaderWithoutTheClass(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.probe.lacks = "lacks"
		lacks := fx.worker("lacks", nil)
		fx.wantHealth(lacks)
		_, err := lacks.Herder().Create(t.Context(), entities.CreateRequest{Name: "c", Config: sinkConfig("c", nil)})
		if e, ok := errors.AsType[*entities.Error](err); !ok || e.Status != 400 || !strings.Contains(e.Message, "Failed to find any class") {
			t.Errorf("creating a connector without its class is answered with %v, want a 400", err)
		}
		fx.configure("c", "d", "e")
		fx.wantTally(lacks, map[string]int{"FAILED@lacks": 3})
		has := fx.worker("has", nil)
		fx.wantTally(lacks, map[string]int{"RUNNING@has": 2, "FAILED@lacks": 3})
		fx.lacking(has)
		if n := strings.Count(fx.configs(has), "task.class:probe.ProbeSinkTask"); n != 2 {
			t.Errorf("task configs are %s, want those of the connector that runs", fx.configs(has))
		}
		if err := lacks.Herder().Delete(t.Context(), "c"); err != nil {
			t.Errorf("a leader deletes no connector whose class it lacks: %v", err)
		}
		fx.configure("c")
		fx.end(lacks)
		fx.wantTally(has, map[string]int{"RUNNING@has": 9})
	})
}

// What a leader lacks the class for is validated by a member that has it: created if valid,
// refused with its reasons if not; and with the reason why nobody could say.
func TestALeaderAsksForValidation(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		fx.probe.lacks = "lacks"
		lacks := fx.worker("lacks", nil)
		fx.wantHealth(lacks)
		has := fx.worker("has", nil)
		fx.wantHealth(has)
		ctx := entities.WithAuthorization(t.Context(), "secret")
		create := func(ctx context.Context, w *running, name string, config map[string]*string) string {
			t.Helper()
			_, err := w.Herder().Create(ctx, entities.CreateRequest{Name: name, Config: config})
			if e, ok := errors.AsType[*entities.Error](err); ok && e.Status != 400 {
				t.Errorf("creating %s is answered with %d %v, want 400", name, e.Status, e)
			}
			if err != nil {
				return err.Error()
			}
			return ""
		}
		if got := create(t.Context(), lacks, "c", sinkConfig("c", nil)); !strings.Contains(got, "Failed to find any class that implements Connector") || !strings.Contains(got, "http://has:8083/: 401 User cannot access the resource.") {
			t.Errorf("creating without a password is answered with %q", got)
		}
		bad := sinkConfig("c", map[string]string{"topics": ""})
		if got := create(ctx, lacks, "c", bad); !strings.Contains(got, "Must configure one of topics or topics.regex") {
			t.Errorf("creating an invalid connector is answered with %q", got)
		}
		null := sinkConfig("c", nil)
		null["none"] = nil
		if got := create(ctx, lacks, "c", null); !strings.Contains(got, "Null value can not be supplied") {
			t.Errorf("creating a connector with a null is answered with %q", got)
		}
		if got := create(ctx, lacks, "x", map[string]*string{"name": new("x"), "connector.class": new("nobody.Has")}); !strings.Contains(got, "http://has:8083/: 500") || strings.Count(got, "available connectors are") != 1 {
			t.Errorf("creating a connector of no class is answered with %q", got)
		}
		if infos, err := lacks.Herder().Validate(ctx, "ProbeSink", bad); err != nil || infos.ErrorCount != 2 {
			t.Errorf("validating it is answered with %v, %v; want two errors", infos, err)
		}
		if got := create(ctx, lacks, "c", sinkConfig("c", nil)); got != "" {
			t.Fatalf("a valid connector is refused: %s", got)
		}
		if _, _, err := lacks.Herder().PutConfig(ctx, "c", sinkConfig("c", map[string]string{"tasks.max": "1"})); err != nil {
			t.Errorf("a valid change is refused: %v", err)
		}

		// The other way round the request goes to the leader, which has the class.
		fx.end(lacks)
		fx.eventually(time.Minute, func() string { return create(ctx, has, "d", sinkConfig("d", nil)) })
		fx.probe.lacks = "late"
		late := fx.worker("late", nil)
		fx.eventually(time.Minute, func() string {
			_, err := late.Herder().Create(ctx, entities.CreateRequest{Name: "e", Config: sinkConfig("e", nil)})
			if e, ok := errors.AsType[*entities.RedirectError](err); !ok || e.URL != "http://has:8083/" {
				return fmt.Sprintf("a follower without the class answers %v, want a redirection", err)
			}
			_, err = late.Herder().Validate(ctx, "ProbeSink", sinkConfig("e", nil))
			if _, ok := errors.AsType[*entities.RedirectError](err); !ok {
				return fmt.Sprintf("a follower without the class validates with %v, want a redirection", err)
			}
			return ""
		})
	})
}

// One worker that knows no signatures turns them off for the group, for as long as it is
// a member.
func TestSignaturesFollowTheProtocol(t *testing.T) {
	inBubble(t, func(t *testing.T, fx *fixture) {
		a := fx.worker("a", nil)
		required := func(want bool) func() string {
			return func() string {
				if err := a.Herder().Health(t.Context()); err != nil {
					return err.Error()
				}
				err := a.Herder().PutTaskConfigs(t.Context(), "none", nil, []byte("[]"), entities.Signature{})
				if got := err != nil && strings.Contains(err.Error(), "missing required signature"); err == nil || got != want {
					return fmt.Sprintf("an unsigned request is answered with %v; want that a signature is required: %t", err, want)
				}
				return ""
			}
		}
		fx.eventually(time.Minute, required(true))
		b := fx.worker("b", map[string]string{"connect.protocol": "Compatible"})
		fx.eventually(time.Minute, required(false))
		fx.end(b)
		fx.eventually(time.Minute, required(true))
	})
}
