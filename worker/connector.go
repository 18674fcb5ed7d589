package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/worker/topics"
)

// A connectorRun is a connector instance that runs here.
type connectorRun struct {
	unit
	name    string
	config  map[string]string // as configured
	target  topics.TargetState
	targets chan topics.TargetState // capacity 1, the newest; sent by the loop alone
	first   chan error              // capacity 1: what became of the first target state
}

func (h *Herder) startConnector(name string, state clusterState) {
	run := &connectorRun{name: name, config: state.Config(name), targets: make(chan topics.TargetState, 1), first: make(chan error, 1)}
	run.label = "connector " + name
	run.drop = func() {
		if h.connectors[name] == run {
			delete(h.connectors, name)
		}
		if run.muted.Load() {
			h.statuses.PutConnectorSafe(name, h.status(topics.StateUnassigned, "", ""))
		}
		switch {
		case !h.configs.Snapshot().Contains(name):
			h.statuses.PutConnector(name, h.status(topics.StateDestroyed, "", "")) // after its UNASSIGNED
		case run.restarting:
			h.statuses.PutConnector(name, h.status(topics.StateRestarting, "", ""))
		}
	}
	h.connectors[name] = run
	h.launch(&run.unit, func(ctx context.Context) { h.runConnector(ctx, run) })
}

// want passes on the target state if it has changed; the newest replaces one not taken yet.
func (c *connectorRun) want(s topics.TargetState) {
	if s == c.target {
		return
	}
	c.target = s
	select {
	case <-c.targets:
	default:
	}
	c.targets <- s
}

// runConnector is the life of a connector instance: it follows the target state until
// ctx ends. A failure is shown and not retried.
func (h *Herder) runConnector(ctx context.Context, run *connectorRun) {
	h.watchVariables(&run.unit, run.config, connectorGrace)
	log := h.log.With("connector", run.name)
	instance := &instance{herder: h, run: run, log: log}
	for {
		select {
		case <-ctx.Done():
			instance.end(ctx)
			instance.report(topics.StateUnassigned, nil)
			return
		case target := <-run.targets:
			err := instance.move(ctx, target)
			select {
			case run.first <- err:
			default:
			}
		}
	}
}

// An instance is the plugin object behind a connectorRun while it is started. It belongs
// to the connectorRun's goroutine.
type instance struct {
	herder    *Herder
	run       *connectorRun
	log       *slog.Logger
	connector connect.SinkConnector // nil: not started
	version   string
	publish   func() // ends the publication of task configs; nil: none under way
}

func (i *instance) move(ctx context.Context, target topics.TargetState) error {
	switch target {
	case topics.Started:
		if i.connector != nil {
			return nil
		}
		if err := i.start(ctx); err != nil {
			i.fail(err)
			return err
		}
	case topics.Paused:
		i.end(ctx)
		i.identify()
		i.report(topics.StatePaused, nil)
	case topics.Stopped:
		i.end(ctx)
		i.identify()
		i.report(topics.StateStopped, nil)
	}
	return nil
}

// identify finds the version of a connector that is not started.
func (i *instance) identify() {
	config, _, err := i.herder.cfg.providers.reveal(i.run.config)
	if err != nil {
		return // it shows when the connector is started
	}
	if _, newConnector, ok := i.herder.plugins.connector(config[keyConnectorClass]); ok {
		i.version = newConnector().Version()
	}
}

// start starts a fresh connector and has its task configs published.
func (i *instance) start(ctx context.Context) error {
	h := i.herder
	config, hide, err := h.cfg.providers.reveal(i.run.config)
	if err != nil {
		return err
	}
	i.log = hide.logger(h.log.With("connector", i.run.name))
	class, newConnector, ok := h.plugins.connector(config[keyConnectorClass])
	if !ok {
		return h.plugins.lacksConnector(config[keyConnectorClass])
	}
	var tasks []map[string]string
	err = contained(func() error {
		connector := newConnector()
		i.version = connector.Version()
		if err := connector.Start(ctx, maps.Clone(config)); err != nil {
			return err
		}
		i.connector = connector
		i.run.failed.Store(false)
		i.report(topics.StateRunning, nil)
		var err error
		tasks, err = taskConfigs(connector, class, config)
		return err
	})
	if err != nil || ctx.Err() != nil {
		return hide.err(err)
	}
	restore(tasks, i.run.config, hide)
	pctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.publishTasks(pctx, i.run.name, tasks)
	}()
	i.publish = func() {
		cancel()
		<-done
	}
	return nil
}

// end stops the connector if it is started, even when ctx has ended.
func (i *instance) end(ctx context.Context) {
	if i.publish != nil {
		i.publish()
		i.publish = nil
	}
	if i.connector == nil {
		return
	}
	connector := i.connector
	i.connector = nil
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectorGrace)
	defer cancel()
	if err := contained(func() error { return connector.Stop(sctx) }); err != nil {
		i.log.Error("Connector did not stop cleanly", "error", err)
	}
}

func (i *instance) fail(err error) {
	i.log.Error("Connector failed", "error", err)
	i.run.failed.Store(true)
	i.report(topics.StateFailed, err)
}

func (i *instance) report(s topics.State, err error) {
	if i.run.muted.Load() {
		return
	}
	trace := ""
	if err != nil {
		trace = err.Error()
	}
	h, version := i.herder, i.version
	if s == topics.StateUnassigned {
		version = "" // as Java writes it
	}
	put := h.statuses.PutConnector
	if late(s) {
		put = h.statuses.PutConnectorSafe
	}
	status := h.status(s, version, trace)
	i.run.said(status)
	put(i.run.name, status)
}

// taskConfigs asks the connector for its task configs and adds what the worker adds.
func taskConfigs(connector connect.SinkConnector, class string, config map[string]string) ([]map[string]string, error) {
	most, err := tasksMax(config)
	if err != nil {
		return nil, err
	}
	configs, err := connector.TaskConfigs(most)
	if err != nil {
		return nil, err
	}
	if len(configs) > most && enforced(config) {
		return nil, tooManyTasks(config[keyName], len(configs), most)
	}
	for n, c := range configs {
		c = maps.Clone(c)
		if c == nil {
			c = map[string]string{}
		}
		if c[keyTaskClass] == "" {
			c[keyTaskClass] = taskClass(class)
		}
		for _, key := range []string{keyTopics, keyTopicsRegex} {
			if v, ok := config[key]; ok {
				c[key] = v
			}
		}
		configs[n] = c
	}
	return configs, nil
}

func tasksMax(config map[string]string) (int, error) {
	text, ok := config[keyTasksMax]
	if !ok {
		return 1, nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil || n < 1 {
		return 0, errors.New("Invalid value " + text + " for configuration tasks.max: Not a number of type INT from 1 on")
	}
	return int(n), nil
}

func enforced(config map[string]string) bool {
	return !strings.EqualFold(strings.TrimSpace(config[keyEnforce]), "false")
}

func tooManyTasks(connector string, n, most int) error {
	return fmt.Errorf("The connector %s has generated %d tasks, which is greater than %d, the maximum number of tasks it is configured to create. "+ //nolint:staticcheck // Java's wording
		"This behaviour should be considered a bug and is disallowed. If necessary, it can be permitted by reconfiguring the connector with 'tasks.max.enforce' set to false", connector, n, most)
}
