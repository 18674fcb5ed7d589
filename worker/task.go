package worker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firn-io/firn/worker/faults"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/sink"
	"github.com/firn-io/firn/worker/topics"
)

// A taskRun is a task that runs here.
type taskRun struct {
	unit
	id      group.TaskID
	config  map[string]string // of the task, as committed
	applied map[string]string // of the connector, as it was when the task configs were committed
	whole   map[string]string // of the connector, newest

	version string
	hide    *veil // of the secrets in its configs

	mu     sync.Mutex // guards what follows
	paused bool
	task   *sink.Task // nil until it is made
}

func (h *Herder) startTask(id group.TaskID, state clusterState, siblings int) {
	run := &taskRun{id: id, config: state.TaskConfig(id), applied: state.AppliedConfig(id.Connector), whole: state.Config(id.Connector)}
	run.paused = state.TargetState(id.Connector) == topics.Paused // so that it does not start first
	run.label = "task " + id.String()
	run.drop = func() {
		if h.tasks[id] == run {
			delete(h.tasks, id)
		}
		switch {
		case !slices.Contains(h.configs.Snapshot().Tasks(id.Connector), id):
			h.statuses.PutTask(id, h.status(topics.StateDestroyed, "", "")) // after its UNASSIGNED
		case run.restarting:
			h.statuses.PutTask(id, h.status(topics.StateRestarting, "", ""))
		}
	}
	h.tasks[id] = run
	count, _ := state.TaskCount(id.Connector)
	share := h.cfg.MemoryBytes / int64(max(1, siblings))
	h.launch(&run.unit, func(ctx context.Context) { h.runTask(ctx, run, count, share) })
}

// setPaused pauses the task, also one that is not made yet.
func (t *taskRun) setPaused(paused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = paused
	if t.task != nil {
		t.task.SetPaused(paused)
	}
}

// runTask is the life of a task. Whatever fails before it runs shows as FAILED, with the
// reason, and is not retried.
func (h *Herder) runTask(ctx context.Context, run *taskRun, count int, memory int64) {
	h.watchVariables(&run.unit, run.whole, h.cfg.TaskGrace)
	err := contained(func() error {
		task, err := h.newTask(run, count, memory)
		if err != nil {
			h.reportTask(run, topics.StateFailed, run.hide.text(err.Error()))
			return err
		}
		run.mu.Lock()
		run.task = task
		task.SetPaused(run.paused)
		run.mu.Unlock()
		return task.Run(ctx)
	})
	if err == nil {
		return
	}
	err = run.hide.err(err)
	run.failed.Store(true)
	h.log.Error("Task failed", "task", run.id.String(), "error", err)
	if strings.HasPrefix(err.Error(), "panic: ") {
		h.reportTask(run, topics.StateFailed, err.Error())
	}
}

func (h *Herder) reportTask(run *taskRun, s topics.State, trace string) {
	if run.muted.Load() {
		return
	}
	version := run.version
	if s == topics.StateUnassigned {
		version = "" // as Java writes it
	}
	put := h.statuses.PutTask
	if late(s) {
		put = h.statuses.PutTaskSafe
	}
	status := h.status(s, version, trace)
	run.said(status)
	put(run.id, status)
}

// newTask puts a task together from the connector's and its own config.
func (h *Herder) newTask(run *taskRun, count int, memory int64) (*sink.Task, error) {
	config, hide, err := h.cfg.providers.reveal(run.whole)
	if err != nil {
		return nil, err
	}
	own, err := h.cfg.providers.resolve(run.config)
	if err != nil {
		return nil, err
	}
	run.hide = hide
	most, err := tasksMax(config)
	if err != nil {
		return nil, err
	}
	if count > most && enforced(config) {
		return nil, tooManyTasks(run.id.Connector, count, most)
	}
	_, newConnector, ok := h.plugins.connector(config[keyConnectorClass])
	if !ok {
		return nil, h.plugins.lacksConnector(config[keyConnectorClass])
	}
	connector := newConnector()
	run.version = connector.Version()
	c := sink.Config{
		Connector: run.id.Connector, TaskID: run.id.Task,
		Task: connector.NewTask(), TaskConfig: maps.Clone(own),
		Topics: topicsOf(own), TopicsRegex: strings.TrimSpace(own[keyTopicsRegex]),
		ClientConfig:  h.cfg.topLevel(),
		FlushInterval: h.cfg.FlushInterval, FlushTimeout: h.cfg.FlushTimeout, Grace: h.cfg.TaskGrace,
		MemoryBytes: memory,
		Logger:      hide.logger(h.log),
		OnState:     func(s sink.State, trace string) { h.reportTask(run, topics.State(s), hide.text(trace)) },
	}
	if h.cfg.TopicTracking {
		c.OnTopic = func(topic string) {
			h.statuses.PutTopic(topics.TopicStatus{Topic: topic, Connector: run.id.Connector, Task: run.id.Task, Discovered: time.Now()})
		}
	}
	parts := h.parts()
	if c.Key, c.KeyClass, err = parts.newConverter("key.converter", h.cfg.KeyConverter, config); err != nil {
		return nil, err
	}
	if c.Value, c.ValueClass, err = parts.newConverter("value.converter", h.cfg.ValueConverter, config); err != nil {
		return nil, err
	}
	if c.Transforms, err = parts.newTransforms(config); err != nil {
		return nil, err
	}
	if err = h.taskClients(run.id, config, &c); err != nil {
		return nil, err
	}
	return sink.New(c), nil
}

// taskClients makes the client configurations of a task: of its consumer, and of the
// dead-letter topic's producer and admin if there is one.
func (h *Herder) taskClients(id group.TaskID, config map[string]string, c *sink.Config) (err error) {
	if c.Faults, err = faults.ParseConfig(config); err != nil {
		return err
	}
	props := h.cfg.sinkConsumer(id.Connector, id.Task, config)
	c.GroupID = props[keyGroupID]
	if c.Consumer, err = h.parts().client(overrideConsumer, config, props); err != nil || c.Faults.DLQTopic == "" {
		return err
	}
	if c.Faults.Producer, err = h.parts().client(overrideProducer, config, h.cfg.deadLetterProducer(id.Connector, id.Task, config)); err != nil {
		return err
	}
	c.Faults.Admin, err = h.parts().client(overrideAdmin, config, h.cfg.admin("connector-dlq-adminclient-", config))
	return err
}
