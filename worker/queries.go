package worker

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// What follows is answered from what this worker has read of the internal topics,
// without the loop, so that it is answered during a rebalance too; and not before they
// have been read to their ends once, so that nothing seems to be missing.

// loaded waits until then.
func (h *Herder) loaded(ctx context.Context) error {
	for _, ready := range []<-chan struct{}{h.statuses.Ready(), h.configs.Ready()} {
		select {
		case <-ready:
		case <-h.closed:
			return errShutdown
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// ClusterID is the id of the Kafka cluster, "" while it is not known.
func (h *Herder) ClusterID() string {
	if id := h.clusterID.Load(); id != nil {
		return *id
	}
	return ""
}

// Health returns nil when the loop answers and work has been taken up.
func (h *Herder) Health(ctx context.Context) error {
	if !h.ready.Load() {
		return &entities.Error{Status: http.StatusServiceUnavailable, Message: "Worker is still starting up."}
	}
	return h.do(ctx, func() error { return nil })
}

// Connectors are the names of all connectors.
func (h *Herder) Connectors(ctx context.Context) ([]string, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	return append([]string{}, h.configs.Snapshot().Connectors()...), nil
}

// Connector describes a connector.
func (h *Herder) Connector(ctx context.Context, name string) (*entities.ConnectorInfo, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	s := h.configs.Snapshot()
	if !s.Contains(name) {
		return nil, entities.NotFound("Connector " + name + " not found")
	}
	return h.info(s, name, s.Config(name)), nil
}

// Tasks are a connector's tasks with their configs.
func (h *Herder) Tasks(ctx context.Context, name string) ([]entities.TaskInfo, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	s := h.configs.Snapshot()
	if !s.Contains(name) {
		return nil, entities.NotFound("Connector " + name + " not found")
	}
	tasks := []entities.TaskInfo{}
	for _, id := range s.Tasks(name) {
		tasks = append(tasks, entities.TaskInfo{ID: entities.TaskID{Connector: name, Task: id.Task}, Config: s.TaskConfig(id)})
	}
	return tasks, nil
}

// Status is the state of a connector and its tasks.
func (h *Herder) Status(ctx context.Context, name string) (*entities.ConnectorStateInfo, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	return h.stateInfo(name)
}

func (h *Herder) stateInfo(name string) (*entities.ConnectorStateInfo, error) {
	s, ok := h.statuses.Connector(name)
	if !ok {
		return nil, entities.NotFound("No status found for connector " + name)
	}
	info := &entities.ConnectorStateInfo{
		Name: name, Connector: publicState(s), Tasks: []entities.TaskState{},
		Type: h.kind(h.configs.Snapshot().Config(name)),
	}
	for id, s := range h.statuses.Tasks(name) {
		info.Tasks = append(info.Tasks, entities.TaskState{ID: id, State: publicState(s)})
	}
	slices.SortFunc(info.Tasks, func(a, b entities.TaskState) int { return a.ID - b.ID })
	return info, nil
}

func publicState(s topics.Status) entities.State {
	return entities.State{State: string(s.State), WorkerID: s.Worker, Version: s.Version, Trace: s.Trace}
}

// kind is the type of a connector in answers.
func (h *Herder) kind(config map[string]string) string {
	if _, _, ok := h.plugins.connector(config[keyConnectorClass]); ok {
		return "sink"
	}
	return "unknown"
}

// TaskStatus is the state of one task.
func (h *Herder) TaskStatus(ctx context.Context, name string, task int) (*entities.TaskState, error) {
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	s, ok := h.statuses.Task(group.TaskID{Connector: name, Task: task})
	if !ok {
		return nil, entities.NotFound("No status found for task " + name + "-" + strconv.Itoa(task))
	}
	return &entities.TaskState{ID: task, State: publicState(s)}, nil
}

// Topics are the topics that a connector has used since the last reset (KIP-558).
func (h *Herder) Topics(ctx context.Context, name string) ([]string, error) {
	if !h.cfg.TopicTracking {
		return nil, &entities.Error{Status: http.StatusForbidden, Message: "Topic tracking is disabled."}
	}
	if err := h.loaded(ctx); err != nil {
		return nil, err
	}
	names := []string{}
	for _, t := range h.statuses.Topics(name) {
		names = append(names, t.Topic)
	}
	return names, nil
}

// Plugins lists the plugins of this build.
func (h *Herder) Plugins(connectorsOnly bool) []entities.Plugin {
	return h.plugins.list(connectorsOnly)
}

// PluginConfig is the definition of a plugin's keys.
func (h *Herder) PluginConfig(class string) ([]connect.KeyInfo, error) {
	return h.validator.definition(class)
}

// sameConnector tells whether a connector class is what the path of a validation names,
// which may leave out the package and the suffix Connector.
func sameConnector(class, path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(class, "Connector"), strings.TrimSuffix(path, "Connector"))
}
