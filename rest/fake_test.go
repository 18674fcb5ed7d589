package rest_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

// A fakeHerder answers every call with the same reply and notes what was asked.
type fakeHerder struct {
	reply   []byte // JSON of the result
	err     error
	created bool // what PutConfig says
	names   []string
	calls   []string
}

func answer[T any](h *fakeHerder, format string, args ...any) (T, error) {
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
	var v T
	if h.err != nil {
		return v, h.err
	}
	if len(h.reply) > 0 {
		if err := json.Unmarshal(h.reply, &v); err != nil {
			return v, fmt.Errorf("the fake's reply: %w", err)
		}
	}
	return v, nil
}

func only(_ any, err error) error { return err }

func text(config map[string]*string) string {
	b, err := json.Marshal(config)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (h *fakeHerder) ClusterID() string { return "cluster-1" }

func (h *fakeHerder) Health(context.Context) error { return h.err }

func (h *fakeHerder) Connectors(context.Context) ([]string, error) {
	if h.names != nil {
		return h.names, h.err
	}
	return answer[[]string](h, "Connectors")
}

func (h *fakeHerder) Connector(_ context.Context, name string) (*entities.ConnectorInfo, error) {
	if h.names != nil {
		all, err := answer[map[string]entities.Expanded](h, "Connector %s", name)
		return all[name].Info, err
	}
	return answer[*entities.ConnectorInfo](h, "Connector %s", name)
}

func (h *fakeHerder) Tasks(_ context.Context, name string) ([]entities.TaskInfo, error) {
	return answer[[]entities.TaskInfo](h, "Tasks %s", name)
}

func (h *fakeHerder) Status(_ context.Context, name string) (*entities.ConnectorStateInfo, error) {
	if h.names != nil {
		all, err := answer[map[string]entities.Expanded](h, "Status %s", name)
		return all[name].Status, err
	}
	return answer[*entities.ConnectorStateInfo](h, "Status %s", name)
}

func (h *fakeHerder) TaskStatus(_ context.Context, name string, task int) (*entities.TaskState, error) {
	return answer[*entities.TaskState](h, "TaskStatus %s %d", name, task)
}

func (h *fakeHerder) Create(_ context.Context, r entities.CreateRequest) (*entities.ConnectorInfo, error) {
	return answer[*entities.ConnectorInfo](h, "Create %s %s %s", r.Name, text(r.Config), r.InitialState)
}

func (h *fakeHerder) PutConfig(_ context.Context, name string, config map[string]*string) (*entities.ConnectorInfo, bool, error) {
	info, err := answer[*entities.ConnectorInfo](h, "PutConfig %s %s", name, text(config))
	return info, h.created, err
}

func (h *fakeHerder) PatchConfig(_ context.Context, name string, patch map[string]*string) (*entities.ConnectorInfo, error) {
	return answer[*entities.ConnectorInfo](h, "PatchConfig %s %s", name, text(patch))
}

func (h *fakeHerder) Delete(_ context.Context, name string) error {
	return only(answer[any](h, "Delete %s", name))
}

func (h *fakeHerder) SetTarget(_ context.Context, name string, state entities.TargetState) error {
	return only(answer[any](h, "SetTarget %s %s", name, state))
}

func (h *fakeHerder) Restart(_ context.Context, name string) error {
	return only(answer[any](h, "Restart %s", name))
}

func (h *fakeHerder) RestartPlan(_ context.Context, name string, includeTasks, onlyFailed bool) (*entities.ConnectorStateInfo, error) {
	return answer[*entities.ConnectorStateInfo](h, "RestartPlan %s %t %t", name, includeTasks, onlyFailed)
}

func (h *fakeHerder) RestartTask(_ context.Context, name string, task int) error {
	return only(answer[any](h, "RestartTask %s %d", name, task))
}

func (h *fakeHerder) PutTaskConfigs(_ context.Context, name string, configs []map[string]*string, body []byte, s entities.Signature) error {
	var all []string
	for _, config := range configs {
		all = append(all, text(config))
	}
	return only(answer[any](h, "PutTaskConfigs %s %v %s %s", name, all, body, s.MAC))
}

func (h *fakeHerder) Fence(_ context.Context, name string, _ []byte, s entities.Signature) error {
	return only(answer[any](h, "Fence %s %s", name, s.MAC))
}

func (h *fakeHerder) Topics(_ context.Context, name string) ([]string, error) {
	all, err := answer[map[string]entities.ActiveTopics](h, "Topics %s", name)
	return all[name].Topics, err
}

func (h *fakeHerder) ResetTopics(_ context.Context, name string) error {
	return only(answer[any](h, "ResetTopics %s", name))
}

func (h *fakeHerder) Offsets(_ context.Context, name string) (*entities.Offsets, error) {
	return answer[*entities.Offsets](h, "Offsets %s", name)
}

func (h *fakeHerder) AlterOffsets(_ context.Context, name string, offsets entities.Offsets) (*entities.Message, error) {
	return answer[*entities.Message](h, "AlterOffsets %s %v", name, offsets.Offsets)
}

func (h *fakeHerder) ResetOffsets(_ context.Context, name string) (*entities.Message, error) {
	return answer[*entities.Message](h, "ResetOffsets %s", name)
}

func (h *fakeHerder) Loggers() map[string]entities.LoggerLevel {
	all, err := answer[map[string]entities.LoggerLevel](h, "Loggers")
	if err != nil {
		return nil
	}
	return all
}

func (h *fakeHerder) Logger(name string) (*entities.LoggerLevel, error) {
	return answer[*entities.LoggerLevel](h, "Logger %s", name)
}

func (h *fakeHerder) SetLogger(name, level string) ([]string, error) {
	return answer[[]string](h, "SetLogger %s %s", name, level)
}

func (h *fakeHerder) SetClusterLogger(_ context.Context, name, level string) error {
	return only(answer[any](h, "SetClusterLogger %s %s", name, level))
}

func (h *fakeHerder) Plugins(connectorsOnly bool) []entities.Plugin {
	list, err := answer[[]entities.Plugin](h, "Plugins %t", connectorsOnly)
	if err != nil {
		return nil
	}
	return list
}

func (h *fakeHerder) PluginConfig(class string) ([]connect.KeyInfo, error) {
	return answer[[]connect.KeyInfo](h, "PluginConfig %s", class)
}

func (h *fakeHerder) Validate(_ context.Context, plugin string, config map[string]*string) (*connect.ConfigInfos, error) {
	return answer[*connect.ConfigInfos](h, "Validate %s %s", plugin, text(config))
}
