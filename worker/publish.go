package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// The headers that sign a request between workers (KIP-507).
const (
	headerSignature = "X-Connect-Authorization"
	headerAlgorithm = "X-Connect-Request-Signature-Algorithm"
)

const (
	publishBackoff    = 250 * time.Millisecond
	publishBackoffMax = time.Minute
)

// publishTasks brings task configs into the config topic, through the leader if that is
// another worker, and tries again until it works or ctx ends.
func (h *Herder) publishTasks(ctx context.Context, name string, configs []map[string]string) {
	for backoff := publishBackoff; ; backoff = min(2*backoff, publishBackoffMax) {
		err := h.publishOnce(ctx, name, configs)
		if err == nil || ctx.Err() != nil || errors.Is(err, errShutdown) {
			return
		}
		h.log.Warn("Task configs not published; trying again", "connector", name, "error", err, "after", backoff)
		if !sleep(ctx, backoff) {
			return
		}
	}
}

func (h *Herder) publishOnce(ctx context.Context, name string, configs []map[string]string) error {
	if !tasksChanged(h.configs.Snapshot(), name, configs) {
		return nil
	}
	err := h.putTasks(ctx, name, topics.NullableAll(configs))
	if r, ok := errors.AsType[*entities.RedirectError](err); ok {
		if r.URL == "" {
			return err
		}
		return h.postTasks(ctx, r.URL, name, configs)
	}
	return err
}

// tasksChanged tells whether committing configs would change anything: the tasks, or the
// connector config that they are committed under.
func tasksChanged(s clusterState, name string, configs []map[string]string) bool {
	n, committed := s.TaskCount(name)
	if !committed || n != len(configs) || len(s.Tasks(name)) != n || !sameConfig(s.AppliedConfig(name), s.Config(name)) {
		return true
	}
	for i, c := range configs {
		if !sameConfig(c, s.TaskConfig(group.TaskID{Connector: name, Task: i})) {
			return true
		}
	}
	return false
}

// sameConfig compares configs; an unknown one equals no other.
func sameConfig(a, b map[string]string) bool {
	return (a == nil) == (b == nil) && maps.Equal(a, b)
}

// putTasks commits task configs, on the leader.
func (h *Herder) putTasks(ctx context.Context, name string, configs []map[string]*string) error {
	return h.write(ctx, func(s clusterState) error {
		switch {
		case !s.Contains(name):
			return entities.NotFound("Connector " + name + " not found")
		case s.TargetState(name) == topics.Stopped && len(configs) > 0:
			return entities.BadRequest("Cannot submit non-empty set of task configs for stopped connector " + name)
		}
		return nil
	}, func(ctx context.Context) error { return h.configs.PutTasks(ctx, name, configs) })
}

// postTasks sends task configs to the leader, signed if there is a session key.
func (h *Herder) postTasks(ctx context.Context, leader, name string, configs []map[string]string) error {
	body, err := json.Marshal(configs)
	if err != nil {
		return fmt.Errorf("encode task configs: %w", err)
	}
	req, err := requestTo(ctx, http.MethodPost, leader, "/connectors/"+url.PathEscape(name)+"/tasks", body)
	if err != nil {
		return fmt.Errorf("address the leader: %w", err)
	}
	if key := h.configs.Snapshot().SessionKey(); key != nil {
		mac, err := group.Sign(h.cfg.SignatureAlgorithm, key.Key, body)
		if err != nil {
			return fmt.Errorf("sign task configs: %w", err)
		}
		req.Header.Set(headerSignature, mac)
		req.Header.Set(headerAlgorithm, h.cfg.SignatureAlgorithm)
	}
	answer, err := h.poster.Do(req)
	if err != nil {
		return fmt.Errorf("post task configs to the leader: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // the status says enough
	return fmt.Errorf("post task configs to the leader at %s: %s: %s", leader, answer.Status, text)
}

// requestTo is a request to the REST API of another worker, with the headers that Java's
// workers send each other.
func requestTo(ctx context.Context, method, worker, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(worker, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "kafka-connect")
	return req, nil
}

// PutTaskConfigs takes the task configs that another worker's connector generated.
func (h *Herder) PutTaskConfigs(ctx context.Context, name string, configs []map[string]*string, body []byte, s entities.Signature) error {
	if err := h.verify(ctx, body, s); err != nil {
		return err
	}
	return h.putTasks(ctx, name, configs)
}

// Fence answers what a worker asks before it starts source tasks: there are none here.
func (h *Herder) Fence(ctx context.Context, name string, body []byte, s entities.Signature) error {
	if err := h.verify(ctx, body, s); err != nil {
		return err
	}
	return entities.BadRequest("Connector " + name + " is not a source connector")
}

// verify checks the signature of a request between workers, if the group's protocol asks
// for one (KIP-507).
func (h *Herder) verify(ctx context.Context, body []byte, s entities.Signature) error {
	var version int16
	err := h.do(ctx, func() error {
		version = 2 // not in a group now: the strictest protocol
		if h.assigned != nil {
			version = h.assigned.Version
		}
		return nil
	})
	if err != nil || version < 2 {
		return err
	}
	if s.MAC == "" || s.Algorithm == "" {
		return entities.BadRequest("Internal request missing required signature")
	}
	accepted := false
	for _, a := range h.cfg.VerificationAlgorithms {
		accepted = accepted || a == s.Algorithm
	}
	if !accepted {
		return entities.BadRequest(fmt.Sprintf("This worker does not support the '%s' key signing algorithm used by other workers. This worker is currently configured to use: %s. "+
			"Check that all workers' configuration files permit the same set of signature algorithms, and correct any misconfigured worker and restart it.", s.Algorithm, strings.Join(h.cfg.VerificationAlgorithms, ", ")))
	}
	key := h.configs.Snapshot().SessionKey()
	if key == nil {
		return &entities.Error{Status: http.StatusServiceUnavailable, Message: "This worker is still starting up and has not been able to read a session key from the config topic yet"}
	}
	ok, err := group.Verify(s.Algorithm, key.Key, body, s.MAC)
	if err != nil {
		return entities.BadRequest("Internal request contained an unusable signature: " + err.Error())
	}
	if !ok {
		return &entities.Error{Status: http.StatusForbidden, Message: "Internal request contained invalid signature."}
	}
	return nil
}
