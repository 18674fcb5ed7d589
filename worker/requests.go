package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// Create makes a new connector.
func (h *Herder) Create(ctx context.Context, r entities.CreateRequest) (*entities.ConnectorInfo, error) {
	info, _, err := h.put(ctx, r.Name, r.Config, topics.TargetState(r.InitialState), false)
	return info, err
}

// PutConfig creates a connector or replaces its config.
func (h *Herder) PutConfig(ctx context.Context, name string, config map[string]*string) (info *entities.ConnectorInfo, created bool, err error) {
	return h.put(ctx, name, config, "", true)
}

// PatchConfig merges patch into a connector's config; a nil value removes its key (KIP-477).
func (h *Herder) PatchConfig(ctx context.Context, name string, patch map[string]*string) (*entities.ConnectorInfo, error) {
	var config map[string]*string
	err := h.settled(ctx, func() error {
		if err := h.leading(); err != nil {
			return err
		}
		state := h.configs.Snapshot()
		if !state.Contains(name) {
			return entities.NotFound("Connector " + name + " not found")
		}
		config = map[string]*string{}
		for k, v := range state.Config(name) {
			config[k] = &v
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for k, v := range patch {
		if v == nil {
			delete(config, k)
		} else {
			config[k] = v
		}
	}
	info, _, err := h.put(ctx, name, config, "", true)
	return info, err
}

func (h *Herder) put(ctx context.Context, name string, given map[string]*string, initial topics.TargetState, replace bool) (info *entities.ConnectorInfo, created bool, err error) {
	infos, err := h.validateAnywhere(ctx, given)
	if err != nil {
		return nil, false, err
	}
	if err := invalid(infos); err != nil {
		return nil, false, err
	}
	config := make(map[string]string, len(given))
	for k, v := range given {
		if v == nil { // a validation elsewhere may have let it pass
			return nil, false, entities.BadRequest(k + ": Null value can not be supplied as the configuration value.")
		}
		config[k] = *v
	}
	err = h.write(ctx, func(s clusterState) error {
		created = !s.Contains(name)
		if !created && !replace {
			return entities.Conflict("Connector " + name + " already exists")
		}
		info = h.info(s, name, config)
		return nil
	}, func(ctx context.Context) error { return h.configs.PutConnector(ctx, name, config, initial) })
	if err != nil {
		return nil, false, err
	}
	for _, doubt := range infos.Doubts {
		h.log.Warn("The connector goes without what its self-test could not do", "connector", name, "key", doubt.Key, "error", doubt.Message)
	}
	return info, created, nil
}

// validate runs a validation, of which only some run at a time. It happens in the
// caller's goroutine: a connector that takes its time holds up nobody else.
func (h *Herder) validate(ctx context.Context, config map[string]*string) (infos *connect.ConfigInfos, err error) {
	select {
	case h.validating <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.validating }()
	verr := contained(func() error {
		infos, err = h.validator.validate(ctx, config)
		return nil
	})
	return infos, errors.Join(verr, err)
}

// Validate checks a config for a plugin without keeping it.
func (h *Herder) Validate(ctx context.Context, plugin string, config map[string]*string) (*connect.ConfigInfos, error) {
	if given := config[keyConnectorClass]; given != nil && !sameConnector(*given, plugin) {
		return nil, entities.BadRequest(fmt.Sprintf("Included connector type %s does not match request type %s", *given, plugin))
	}
	infos, err := h.validateAnywhere(ctx, config)
	if e, ok := errors.AsType[*entities.Error](err); ok { // as measured: Java's future wraps it
		return nil, &entities.Error{Status: http.StatusInternalServerError, Message: "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: " + e.Message}
	}
	return infos, err
}

// Delete removes a connector.
func (h *Herder) Delete(ctx context.Context, name string) error {
	return h.write(ctx, h.contains(name, "Connector %s not found"), func(ctx context.Context) error { return h.configs.RemoveConnector(ctx, name) })
}

// contains is a check that there is a connector; message is for when there is not.
func (h *Herder) contains(name, message string) func(s clusterState) error {
	return func(s clusterState) error {
		if s.Contains(name) {
			return nil
		}
		return entities.NotFound(fmt.Sprintf(message, name))
	}
}

// SetTarget pauses, resumes or stops a connector. Any worker writes the first two, the
// leader alone the last, because it takes the task configs away too.
func (h *Herder) SetTarget(ctx context.Context, name string, state entities.TargetState) error {
	target := topics.TargetState(state)
	check := h.contains(name, "Unknown connector %s")
	if target != topics.Stopped {
		if err := h.loaded(ctx); err != nil {
			return err
		}
		if err := check(h.configs.Snapshot()); err != nil {
			return err
		}
		return h.configs.PutTargetState(ctx, name, target)
	}
	return h.write(ctx, check, func(ctx context.Context) error {
		if err := h.configs.PutTasks(ctx, name, nil); err != nil {
			return err
		}
		return h.configs.PutTargetState(ctx, name, target)
	})
}

// Restart restarts the connector instance, where it runs, and returns when it runs again.
func (h *Herder) Restart(ctx context.Context, name string) error {
	var gone chan struct{}
	err := h.settled(ctx, func() error {
		if !h.configs.Snapshot().Contains(name) {
			return entities.NotFound("Unknown connector: " + name)
		}
		run := h.connectors[name]
		if run == nil {
			return h.elsewhere(func(o *group.Owners) string { return o.Connectors[name] })
		}
		gone = run.gone
		h.stop(&run.unit, connectorGrace)
		return nil
	})
	if err != nil {
		return err
	}
	var first chan error
	err = h.await(ctx, gone, func() {
		if run := h.connectors[name]; run != nil {
			first = run.first
		}
	})
	if err != nil || first == nil {
		return err
	}
	select {
	case err = <-first:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("Failed to start connector: %s: %w", name, err) //nolint:staticcheck // Java's wording
	}
	return nil
}

// RestartTask restarts one task, where it runs, and returns when it has been started.
func (h *Herder) RestartTask(ctx context.Context, name string, task int) error {
	id := group.TaskID{Connector: name, Task: task}
	var gone chan struct{}
	err := h.settled(ctx, func() error {
		s := h.configs.Snapshot()
		if !s.Contains(name) {
			return entities.NotFound("Unknown connector: " + name)
		}
		if s.TaskConfig(id) == nil {
			return entities.NotFound("Unknown task: " + id.String())
		}
		run := h.tasks[id]
		if run == nil {
			return h.elsewhere(func(o *group.Owners) string { return o.Tasks[id] })
		}
		gone = run.gone
		h.stop(&run.unit, h.cfg.TaskGrace)
		return nil
	})
	if err != nil {
		return err
	}
	return h.await(ctx, gone, func() {})
}

// elsewhere redirects to the owner of work, which the leader knows, or to the leader.
func (h *Herder) elsewhere(owner func(o *group.Owners) string) error {
	if err := h.leading(); err != nil {
		return err
	}
	if h.assigned.Owners == nil || owner(h.assigned.Owners) == h.url {
		return &entities.RedirectError{} // assigned here, and not taken up
	}
	return &entities.RedirectError{URL: owner(h.assigned.Owners)}
}

// await waits until a unit's place is free, by when its successor has been started, and
// runs f in the loop.
func (h *Herder) await(ctx context.Context, gone <-chan struct{}, f func()) error {
	select {
	case <-gone:
	case <-h.closed:
		return errShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
	return h.do(ctx, func() error {
		f()
		return nil
	})
}

// RestartPlan has every worker restart its part of a connector (KIP-745) and returns the
// states as planned.
func (h *Herder) RestartPlan(ctx context.Context, name string, includeTasks, onlyFailed bool) (*entities.ConnectorStateInfo, error) {
	r := topics.RestartRequest{Connector: name, OnlyFailed: onlyFailed, IncludeTasks: includeTasks}
	var plan *entities.ConnectorStateInfo
	err := h.write(ctx, func(s clusterState) (err error) {
		if !s.Contains(name) {
			return entities.NotFound("Unknown connector: " + name)
		}
		if plan, err = h.stateInfo(name); err != nil {
			return entities.NotFound("Status for connector " + name + " not found")
		}
		planRestart(plan, r)
		return nil
	}, func(ctx context.Context) error { return h.configs.PutRestart(ctx, r) })
	if err != nil {
		return nil, err
	}
	return plan, nil
}

func planRestart(plan *entities.ConnectorStateInfo, r topics.RestartRequest) {
	affected := func(s *entities.State) {
		if !r.OnlyFailed || s.State == string(topics.StateFailed) {
			s.State, s.Trace = string(topics.StateRestarting), ""
		}
	}
	affected(&plan.Connector)
	for i := range plan.Tasks {
		if r.IncludeTasks {
			affected(&plan.Tasks[i].State)
		}
	}
}

// ResetTopics forgets the topics that a connector has used (KIP-558).
func (h *Herder) ResetTopics(ctx context.Context, name string) error {
	if !h.cfg.TopicTracking {
		return &entities.Error{Status: http.StatusForbidden, Message: "Topic tracking is disabled."}
	}
	if !h.cfg.TopicReset {
		return &entities.Error{Status: http.StatusForbidden, Message: "Topic tracking reset is disabled."}
	}
	if err := h.loaded(ctx); err != nil {
		return err
	}
	for _, t := range h.statuses.Topics(name) {
		h.statuses.DeleteTopic(name, t.Topic)
	}
	return h.statuses.Flush(ctx)
}

func (h *Herder) info(s clusterState, name string, config map[string]string) *entities.ConnectorInfo {
	info := &entities.ConnectorInfo{Name: name, Config: maps.Clone(config), Tasks: []entities.TaskID{}, Type: h.kind(config)}
	for _, id := range s.Tasks(name) {
		info.Tasks = append(info.Tasks, entities.TaskID{Connector: id.Connector, Task: id.Task})
	}
	return info
}
