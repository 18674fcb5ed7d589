package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/connect/entities"
)

// What a config provider gives is nowhere but in the hands of the connector: not in what the
// REST API answers, not in traces, not in the log, whatever the connector says.
func TestSecretsAreNowhere(t *testing.T) {
	const secret = "hunter two+2"
	t.Setenv("FIRN_SECRET", secret)
	inBubble(t, func(t *testing.T, fx *fixture) {
		var log bytes.Buffer
		fx.log = slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
		a := fx.worker("a", map[string]string{"config.providers": "env", "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var answers []any
		ask := func(answer any, err error) {
			answers = append(answers, answer, fmt.Sprint(err))
		}
		h := a.Herder()
		for name, fails := range map[string]string{"c": "leak", "t": "leak task"} {
			config := map[string]string{"probe.fail": fails, "probe.password": "${env:FIRN_SECRET}", "probe.doubt": "${env:FIRN_SECRET}"}
			fx.create(a, name, config)
			want := map[string]string{"c": "FAILED@a []", "t": "RUNNING@a [FAILED@a FAILED@a]"}[name]
			fx.wantStates(20*time.Second, a, name, want)
			ask(h.Connector(ctx, name))
			ask(h.Tasks(ctx, name))
			ask(h.Status(ctx, name))
			ask(nil, h.Restart(ctx, name))
			ask(h.RestartPlan(ctx, name, true, false))
			ask(h.Offsets(ctx, name))
			full := sinkConfig(name, config)
			bad := "${env:FIRN_SECRET}"
			full["tasks.max"], full["consumer.override.max.poll.records"] = &bad, &bad
			ask(h.Validate(ctx, "probe.ProbeSinkConnector", full))
			ask(h.Create(ctx, entities.CreateRequest{Name: name + "2", Config: full}))
		}
		fx.end(a)
		delete(fx.workers, "a")
		text, err := json.Marshal(answers)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "trying ${env:FIRN_SECRET}") || !strings.Contains(string(text), "https://me:${env:FIRN_SECRET}@host") {
			t.Errorf("the connector has not said what it should\n%s\n%s", log.String(), text)
		}
		for where, said := range map[string]string{"log": log.String(), "answers": string(text)} {
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
				if at := strings.Index(said, form); at >= 0 {
					t.Errorf("the %s has the secret: %s", where, said[max(0, at-200):min(len(said), at+60)])
				}
			}
		}
	})
}
