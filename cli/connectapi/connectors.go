package connectapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A Connector is the body of POST /connectors.
type Connector struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	State  string            `json:"initial_state,omitempty"` // RUNNING if empty (KIP-980)
}

// An Outcome says what PutConnector did.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged"
)

// PutConnector posts a connector, or, when it is there from an earlier run, changes
// what is different now.
func (c *Client) PutConnector(ctx context.Context, conn Connector) (Outcome, error) {
	path := connectorPath(conn.Name) + "/config"
	var old map[string]string
	err := c.Call(ctx, http.MethodGet, path, nil, &old)
	if IsStatus(err, http.StatusNotFound) {
		return Created, c.Call(ctx, http.MethodPost, "/connectors", conn, nil)
	}
	if err != nil {
		return "", err
	}
	want := maps.Clone(conn.Config)
	want["name"] = conn.Name // the worker adds it
	if maps.Equal(old, want) {
		return Unchanged, nil
	}
	return Updated, c.Call(ctx, http.MethodPut, path, conn.Config, nil)
}

func connectorPath(name string) string { return "/connectors/" + url.PathEscape(name) }

// Offsets is GET /connectors/NAME/offsets: the next offset per partition.
func (c *Client) Offsets(ctx context.Context, name string) (map[connect.TopicPartition]int64, error) {
	var answer struct {
		Offsets []struct {
			Partition struct {
				Topic     string `json:"kafka_topic"`
				Partition int32  `json:"kafka_partition"`
			} `json:"partition"`
			Offset struct {
				Next int64 `json:"kafka_offset"`
			} `json:"offset"`
		} `json:"offsets"`
	}
	if err := c.Call(ctx, http.MethodGet, connectorPath(name)+"/offsets", nil, &answer); err != nil {
		return nil, err
	}
	next := map[connect.TopicPartition]int64{}
	for _, o := range answer.Offsets {
		next[connect.TopicPartition{Topic: o.Partition.Topic, Partition: o.Partition.Partition}] = o.Offset.Next
	}
	return next, nil
}

// A Status is GET /connectors/NAME/status.
type Status struct {
	Name      string  `json:"name"`
	Connector State   `json:"connector"`
	Tasks     []State `json:"tasks"`
}

// A State is that of the connector or of one task.
type State struct {
	ID     int    `json:"id"` // of a task
	State  string `json:"state"`
	Worker string `json:"worker_id"`
	Trace  string `json:"trace"`
}

// Status asks for the states of a connector and its tasks.
func (c *Client) Status(ctx context.Context, name string) (Status, error) {
	st := Status{Name: name}
	err := c.Call(ctx, http.MethodGet, connectorPath(name)+"/status", nil, &st)
	return st, err
}

// Running tells whether the connector and all its tasks, one at least, run on this
// worker. States that another worker left behind do not count.
func (st Status) Running(workerID string) bool {
	for _, s := range append(st.Tasks, st.Connector) {
		if s.State != "RUNNING" || s.Worker != workerID {
			return false
		}
	}
	return len(st.Tasks) > 0
}

// A FailedError says that a connector or a task has failed, and why.
type FailedError struct{ What, Trace string }

func (e *FailedError) Error() string { return e.What + " has failed: " + strings.TrimSpace(e.Trace) }

// Failure returns a [FailedError] if the connector or a task failed on this worker.
func (st Status) Failure(workerID string) error {
	for i, s := range append([]State{st.Connector}, st.Tasks...) {
		if s.State != "FAILED" || s.Worker != workerID {
			continue
		}
		what := "connector " + st.Name
		if i > 0 {
			what = fmt.Sprintf("task %d of connector %s", s.ID, st.Name)
		}
		return &FailedError{what, s.Trace}
	}
	return nil
}

// Config is GET /connectors/NAME/config.
func (c *Client) Config(ctx context.Context, name string) (map[string]string, error) {
	var config map[string]string
	err := c.Call(ctx, http.MethodGet, connectorPath(name)+"/config", nil, &config)
	return config, err
}

// Steer asks for a state: "stop", "pause" or "resume". It is reached some time later.
func (c *Client) Steer(ctx context.Context, name, verb string) error {
	return c.Call(ctx, http.MethodPut, connectorPath(name)+"/"+verb, nil, nil)
}

// Create posts a connector.
func (c *Client) Create(ctx context.Context, conn Connector) error {
	return c.Call(ctx, http.MethodPost, "/connectors", conn, nil)
}

// Configure puts the config of a connector, which keeps its state.
func (c *Client) Configure(ctx context.Context, conn Connector) error {
	return c.Call(ctx, http.MethodPut, connectorPath(conn.Name)+"/config", conn.Config, nil)
}

// Delete deletes a connector; its consumer group stays.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.Call(ctx, http.MethodDelete, connectorPath(name), nil, nil)
}

// Validate returns what is wrong with a connector's config, each with its key.
func (c *Client) Validate(ctx context.Context, config map[string]string) ([]string, error) {
	var answer struct {
		Configs []struct {
			Value struct {
				Name   string   `json:"name"`
				Errors []string `json:"errors"`
			} `json:"value"`
		} `json:"configs"`
	}
	path := "/connector-plugins/" + url.PathEscape(config["connector.class"]) + "/config/validate"
	if err := c.Call(ctx, http.MethodPut, path, config, &answer); err != nil {
		return nil, err
	}
	var wrong []string
	for _, item := range answer.Configs {
		for _, message := range item.Value.Errors {
			wrong = append(wrong, item.Value.Name+": "+message)
		}
	}
	return wrong, nil
}
