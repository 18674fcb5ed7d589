package worker

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/topics"
)

// memoryState is a standalone worker's configuration. It is never changed once it has
// been handed out.
type memoryState struct {
	offset     int64
	connectors map[string]memoryConnector
	key        *topics.SessionKey
}

type memoryConnector struct {
	config, applied map[string]string
	target          topics.TargetState
	tasks           []map[string]string
	committed       bool
}

func (s *memoryState) Offset() int64                  { return s.offset }
func (s *memoryState) SessionKey() *topics.SessionKey { return s.key }
func (s *memoryState) Connectors() []string           { return slices.Sorted(maps.Keys(s.connectors)) }

func (s *memoryState) Contains(connector string) bool {
	_, ok := s.connectors[connector]
	return ok
}

func (s *memoryState) Config(connector string) map[string]string {
	return s.connectors[connector].config
}

func (s *memoryState) TargetState(connector string) topics.TargetState {
	return s.connectors[connector].target
}

func (s *memoryState) TaskCount(connector string) (int, bool) {
	c := s.connectors[connector]
	return len(c.tasks), c.committed
}

func (s *memoryState) Tasks(connector string) (ids []group.TaskID) {
	for i := range s.connectors[connector].tasks {
		ids = append(ids, group.TaskID{Connector: connector, Task: i})
	}
	return ids
}

func (s *memoryState) TaskConfig(id group.TaskID) map[string]string {
	tasks := s.connectors[id.Connector].tasks
	if id.Task < 0 || id.Task >= len(tasks) {
		return nil
	}
	return tasks[id.Task]
}

func (s *memoryState) AppliedConfig(connector string) map[string]string {
	return s.connectors[connector].applied
}

func (s *memoryState) Work() (w group.Work) {
	w.Connectors = s.Connectors()
	for _, c := range w.Connectors {
		w.Tasks = append(w.Tasks, s.Tasks(c)...)
	}
	return w
}

// memoryConfigs is the configStore of a standalone worker.
type memoryConfigs struct {
	ready, changed chan struct{}

	mu      sync.Mutex // guards what follows
	state   *memoryState
	changes topics.Changes
}

func newMemoryConfigs() *memoryConfigs {
	m := &memoryConfigs{ready: make(chan struct{}), changed: make(chan struct{}, 1)}
	m.state = &memoryState{offset: -1, connectors: map[string]memoryConnector{}}
	close(m.ready)
	return m
}

func (m *memoryConfigs) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m *memoryConfigs) Ready() <-chan struct{}          { return m.ready }
func (m *memoryConfigs) ReadToEnd(context.Context) error { return nil }
func (m *memoryConfigs) Changed() <-chan struct{}        { return m.changed }

func (m *memoryConfigs) Snapshot() clusterState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *memoryConfigs) Take() topics.Changes {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.changes
	m.changes = topics.Changes{}
	return c
}

// update makes the next state with edit, which may also note what changed.
func (m *memoryConfigs) update(edit func(s *memoryState, c *topics.Changes)) error {
	m.mu.Lock()
	next := *m.state
	next.offset++
	next.connectors = maps.Clone(next.connectors)
	edit(&next, &m.changes)
	m.state = &next
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return nil
}

func (m *memoryConfigs) PutConnector(_ context.Context, name string, config map[string]string, initial topics.TargetState) error {
	return m.update(func(s *memoryState, c *topics.Changes) {
		entry, ok := s.connectors[name]
		if !ok {
			entry.target = topics.Started
		}
		if initial != "" {
			entry.target = initial
		}
		entry.config = maps.Clone(config)
		s.connectors[name] = entry
		c.Updated = append(c.Updated, name)
	})
}

func (m *memoryConfigs) RemoveConnector(_ context.Context, name string) error {
	return m.update(func(s *memoryState, c *topics.Changes) {
		delete(s.connectors, name)
		c.Removed = append(c.Removed, name)
	})
}

func (m *memoryConfigs) PutTasks(_ context.Context, name string, given []map[string]*string) error {
	configs := make([]map[string]string, len(given))
	for i, config := range given {
		configs[i] = make(map[string]string, len(config))
		for key, value := range config {
			if value != nil {
				configs[i][key] = *value
			}
		}
	}
	return m.update(func(s *memoryState, c *topics.Changes) {
		entry, ok := s.connectors[name]
		if !ok {
			return
		}
		entry.tasks, entry.applied, entry.committed = configs, entry.config, true
		s.connectors[name] = entry
		c.Committed = append(c.Committed, name)
	})
}

func (m *memoryConfigs) PutTargetState(_ context.Context, name string, target topics.TargetState) error {
	return m.update(func(s *memoryState, c *topics.Changes) {
		if entry, ok := s.connectors[name]; ok {
			entry.target = target
			s.connectors[name] = entry
			c.TargetStates = append(c.TargetStates, name)
		}
	})
}

func (m *memoryConfigs) PutSessionKey(_ context.Context, k topics.SessionKey) error {
	return m.update(func(s *memoryState, c *topics.Changes) { s.key, c.SessionKey = &k, &k })
}

func (m *memoryConfigs) PutRestart(_ context.Context, r topics.RestartRequest) error {
	return m.update(func(_ *memoryState, c *topics.Changes) { c.Restarts = append(c.Restarts, r) })
}

func (m *memoryConfigs) PutLevel(_ context.Context, namespace, level string) error {
	return m.update(func(_ *memoryState, c *topics.Changes) {
		if c.Levels == nil {
			c.Levels = map[string]string{}
		}
		c.Levels[namespace] = level
	})
}

// memoryStatuses is the statusStore of a standalone worker.
type memoryStatuses struct {
	ready chan struct{}

	mu         sync.Mutex // guards what follows
	connectors map[string]topics.Status
	tasks      map[group.TaskID]topics.Status
	topics     map[[2]string]topics.TopicStatus // connector, topic
}

func newMemoryStatuses() *memoryStatuses {
	m := &memoryStatuses{ready: make(chan struct{}), connectors: map[string]topics.Status{}, tasks: map[group.TaskID]topics.Status{}, topics: map[[2]string]topics.TopicStatus{}}
	close(m.ready)
	return m
}

func (m *memoryStatuses) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (m *memoryStatuses) Ready() <-chan struct{}      { return m.ready }
func (m *memoryStatuses) Flush(context.Context) error { return nil }

func (m *memoryStatuses) PutConnector(name string, s topics.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.State != topics.StateDestroyed {
		m.connectors[name] = s
		return
	}
	delete(m.connectors, name)
	maps.DeleteFunc(m.tasks, func(id group.TaskID, _ topics.Status) bool { return id.Connector == name })
}

func (m *memoryStatuses) PutConnectorSafe(name string, s topics.Status) { m.PutConnector(name, s) }

func (m *memoryStatuses) PutTask(id group.TaskID, s topics.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.State == topics.StateDestroyed {
		delete(m.tasks, id)
		return
	}
	m.tasks[id] = s
}

func (m *memoryStatuses) PutTaskSafe(id group.TaskID, s topics.Status) { m.PutTask(id, s) }

func (m *memoryStatuses) PutTopic(s topics.TopicStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.topics[[2]string{s.Connector, s.Topic}] = s
}

func (m *memoryStatuses) DeleteTopic(connector, topic string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.topics, [2]string{connector, topic})
}

func (m *memoryStatuses) Connectors() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.connectors))
}

func (m *memoryStatuses) Connector(name string) (topics.Status, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.connectors[name]
	return s, ok
}

func (m *memoryStatuses) Task(id group.TaskID) (topics.Status, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.tasks[id]
	return s, ok
}

func (m *memoryStatuses) Tasks(name string) map[int]topics.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[int]topics.Status{}
	for id, s := range m.tasks {
		if id.Connector == name {
			out[id.Task] = s
		}
	}
	return out
}

func (m *memoryStatuses) Topics(name string) (out []topics.TopicStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.topics {
		if key[0] == name {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b topics.TopicStatus) int {
		if a.Topic < b.Topic {
			return -1
		}
		return 1
	})
	return out
}
