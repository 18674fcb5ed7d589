package topics

import (
	"log/slog"
	"maps"
	"strings"

	"github.com/firn-io/firn/worker/group"
)

// A machine applies the records of the config topic, with the same outcome as
// KafkaConfigBackingStore of Kafka 4.3. Whoever uses it makes sure that one goroutine
// does at a time.
type machine struct {
	state    ClusterState
	deferred map[string]map[int]map[string]string // task configs that wait for their commit record
	started  bool                                 // the topic has been read to its end once
	pending  pending                              // only filled once started
	logger   *slog.Logger

	fenced bool // somebody was told that there are exactly-once source connectors
	shared bool // the maps of state belong to a snapshot too
}

func newMachine(logger *slog.Logger) *machine {
	return &machine{
		state: ClusterState{
			offset: -1, connectors: make(map[string]map[string]string), targets: make(map[string]TargetState), counts: make(map[string]int),
			tasks: make(map[string]map[int]map[string]string), applied: make(map[string]map[string]string), inconsistent: make(map[string]bool),
		},
		deferred: make(map[string]map[int]map[string]string),
		pending:  newPending(),
		logger:   logger,
	}
}

// snapshot is the present state, never to change.
func (m *machine) snapshot() *ClusterState {
	m.shared = true
	s := m.state
	return &s
}

// edit returns the state to change its maps, after copying them if a snapshot has them.
// The inner maps are replaced, never changed.
func (m *machine) edit() *ClusterState {
	if s := &m.state; m.shared {
		s.connectors, s.targets, s.counts = maps.Clone(s.connectors), maps.Clone(s.targets), maps.Clone(s.counts)
		s.tasks, s.applied, s.inconsistent = maps.Clone(s.tasks), maps.Clone(s.applied), maps.Clone(s.inconsistent)
		m.shared = false
	}
	return &m.state
}

// apply applies the record at offset. A value that is no JSON does not count in Offset:
// Java's converter fails before the counter moves, and workers compare these numbers.
func (m *machine) apply(key string, value []byte, offset int64) {
	obj, present, err := parse(value)
	if err != nil {
		m.logger.Error("config topic: ignoring a record that cannot be read", "key", key, "offset", offset, "err", err)
		return
	}
	m.state.offset = offset + 1
	if fault := m.dispatch(key, obj, present); fault != "" {
		m.logger.Error("config topic: ignoring a record", "key", key, "offset", offset, "reason", fault)
	}
}

// dispatch tries the keys in Java's order. It returns what is wrong with the record, ""
// if nothing is. Values never go into it: they hold secrets.
func (m *machine) dispatch(key string, obj object, present bool) (fault string) {
	if name, ok := strings.CutPrefix(key, targetStateKey); ok {
		return m.targetState(name, obj, present)
	}
	if name, ok := strings.CutPrefix(key, connectorKey); ok {
		return m.connector(name, obj, present)
	}
	if strings.HasPrefix(key, taskKey) {
		return m.task(key, obj)
	}
	if name, ok := strings.CutPrefix(key, commitKey); ok {
		return m.commit(name, obj)
	}
	if name, ok := strings.CutPrefix(key, restartKey); ok {
		return m.restart(name, obj)
	}
	if name, ok := strings.CutPrefix(key, tasksFencingKey); ok {
		m.fencing(name, present)
		return ""
	}
	if key == sessionKeyKey {
		return m.sessionKey(obj)
	}
	if name, ok := strings.CutPrefix(key, loggerKey); ok {
		return m.level(name, obj)
	}
	return "its key is unknown"
}

func (m *machine) targetState(name string, obj object, present bool) (fault string) {
	if !present {
		if m.state.Contains(name) {
			m.edit().targets[name] = Started
		} else {
			delete(m.edit().targets, name)
		}
		return ""
	}
	target, ok := decodeTargetState(obj)
	if !ok {
		return "it has no target state that this version knows"
	}
	if m.state.targets[name] == target {
		return ""
	}
	m.edit().targets[name] = target
	if m.started && m.state.Contains(name) {
		m.pending.targets[name] = true
	}
	return ""
}

func (m *machine) connector(name string, obj object, present bool) (fault string) {
	if !present {
		delete(m.edit().connectors, name)
		m.forgetTasks(name)
		if m.started {
			m.pending.removed[name] = true
			delete(m.pending.updated, name)
		}
		return ""
	}
	config := obj.properties()
	if config == nil {
		return "its properties are no object"
	}
	s := m.edit()
	s.connectors[name] = config
	if s.targets[name] == "" {
		s.targets[name] = Started
	}
	if m.started {
		m.pending.updated[name] = true
	}
	return ""
}

// forgetTasks drops what hangs on a connector that is gone. Its target state stays, and
// so does its mark as inconsistent: as in Java.
func (m *machine) forgetTasks(name string) {
	s := m.edit()
	delete(s.counts, name)
	delete(s.tasks, name)
	delete(s.applied, name)
	delete(m.deferred, name)
}

func (m *machine) task(key string, obj object) (fault string) {
	id, ok := parseTask(key, 1)
	if !ok {
		return "its key names no task"
	}
	config := obj.properties()
	if config == nil {
		return "its properties are no object"
	}
	if m.deferred[id.Connector] == nil {
		m.deferred[id.Connector] = make(map[int]map[string]string)
	}
	m.deferred[id.Connector][id.Task] = config
	return ""
}

// commit makes deferred task configs count, if they are all there: compaction may have
// left a commit record whose task configs are gone, or the configs of a later set.
func (m *machine) commit(name string, obj object) (fault string) {
	if !m.state.Contains(name) {
		m.forgetTasks(name)
		return ""
	}
	n, ok := obj.number("tasks")
	if !ok {
		return "its task count is no integer"
	}
	count := int(int32(n)) // as Java narrows it
	s := m.edit()
	var updated []int
	if deferred := m.deferred[name]; complete(deferred, count) {
		all := maps.Clone(s.tasks[name])
		if all == nil {
			all = make(map[int]map[string]string, len(deferred))
		}
		for i, config := range deferred {
			all[i] = config
			updated = append(updated, i)
		}
		s.tasks[name] = all
		s.applied[name] = s.connectors[name]
		delete(s.inconsistent, name)
	} else {
		s.inconsistent[name] = true
	}
	delete(m.deferred, name)
	s.counts[name] = count
	if m.started {
		m.pending.committed[name] = true
		for _, i := range updated {
			m.pending.tasks[group.TaskID{Connector: name, Task: i}] = true
		}
	}
	return ""
}

// complete tells whether configs has all of 0 to count-1; more do not matter.
func complete(configs map[int]map[string]string, count int) bool {
	if len(configs) < count {
		return false
	}
	for i := range count {
		if configs[i] == nil {
			return false
		}
	}
	return true
}

func (m *machine) restart(name string, obj object) (fault string) {
	if obj == nil {
		return "it is no object"
	}
	if m.started {
		m.pending.restart(RestartRequest{Connector: name, OnlyFailed: obj.flag("only-failed"), IncludeTasks: obj.flag("include-tasks")})
	}
	return ""
}

// fencing looks at the number of tasks that an exactly-once source connector had when it was
// last fenced, which is the only trace in a group of workers that support that: the first is
// told.
func (m *machine) fencing(name string, present bool) {
	if !present || m.fenced {
		return
	}
	m.fenced = true
	m.logger.Warn("the config topic knows an exactly-once source connector: while this worker leads, workers in Java cannot start its tasks. "+
		"Source connectors need a Connect cluster without Firn", "connector", name)
}

func (m *machine) sessionKey(obj object) (fault string) {
	k, ok := decodeSessionKey(obj)
	if !ok {
		return "it is no session key"
	}
	m.state.sessionKey = k
	if m.started {
		m.pending.sessionKey = k
	}
	return ""
}

func (m *machine) level(namespace string, obj object) (fault string) {
	level, ok := obj.text("level")
	if !ok {
		return "its level is no string"
	}
	if m.started {
		m.pending.levels[namespace] = level
	}
	return ""
}
