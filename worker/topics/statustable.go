package topics

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/worker/group"
)

// A statusTable applies the records of the status topic, with the same outcome as
// KafkaStatusBackingStore of Kafka 4.3. Whoever uses it makes sure that one goroutine
// does at a time.
type statusTable struct {
	connectors map[string]Status
	tasks      map[string]map[int]Status
	topics     map[string]map[string]TopicStatus // by connector and topic
	logger     *slog.Logger
}

func newStatusTable(logger *slog.Logger) *statusTable {
	return &statusTable{
		connectors: make(map[string]Status),
		tasks:      make(map[string]map[int]Status),
		topics:     make(map[string]map[string]TopicStatus),
		logger:     logger,
	}
}

func (t *statusTable) apply(key string, value []byte) {
	obj, present, err := parse(value)
	if err != nil {
		t.logger.Error("status topic: ignoring a record that cannot be read", "key", key, "err", err)
		return
	}
	if fault := t.dispatch(key, obj, present); fault != "" {
		t.logger.Error("status topic: ignoring a record", "key", key, "reason", fault)
	}
}

func (t *statusTable) dispatch(key string, obj object, present bool) (fault string) {
	if name, ok := strings.CutPrefix(key, connectorStatusKey); ok {
		return t.connector(name, obj, present)
	}
	if strings.HasPrefix(key, taskStatusKey) {
		return t.task(key, obj, present)
	}
	if strings.HasPrefix(key, topicStatusKey) {
		return t.topic(key, obj, present)
	}
	return "its key is unknown"
}

// connector applies a connector's status; a tombstone takes those of its tasks along.
func (t *statusTable) connector(name string, obj object, present bool) (fault string) {
	if name == "" {
		return "its key names no connector"
	}
	if !present {
		delete(t.connectors, name)
		delete(t.tasks, name)
		return ""
	}
	s, ok := decodeStatus(obj)
	if !ok {
		return "it is no status that this version knows"
	}
	t.connectors[name] = s
	return ""
}

// task applies a task's status. An UNASSIGNED that arrives after the RUNNING of the same
// or a later generation came from the previous owner, late.
func (t *statusTable) task(key string, obj object, present bool) (fault string) {
	id, ok := parseTask(key, 2)
	if !ok {
		return "its key names no task"
	}
	if !present {
		delete(t.tasks[id.Connector], id.Task)
		if len(t.tasks[id.Connector]) == 0 {
			delete(t.tasks, id.Connector)
		}
		return ""
	}
	s, ok := decodeStatus(obj)
	if !ok {
		return "it is no status that this version knows"
	}
	old, known := t.tasks[id.Connector][id.Task]
	if known && s.State == StateUnassigned && old.State == StateRunning && old.Generation >= s.Generation {
		return ""
	}
	if t.tasks[id.Connector] == nil {
		t.tasks[id.Connector] = make(map[int]Status)
	}
	t.tasks[id.Connector][id.Task] = s
	return ""
}

func (t *statusTable) topic(key string, obj object, present bool) (fault string) {
	connector, topic, ok := parseTopicStatusKey(key)
	if !ok || connector == "" {
		return "its key names no topic of a connector"
	}
	if !present {
		delete(t.topics[connector], topic)
		if len(t.topics[connector]) == 0 {
			delete(t.topics, connector)
		}
		return ""
	}
	s, ok := decodeTopicStatus(obj)
	if !ok {
		return "it is no topic status"
	}
	if t.topics[connector] == nil {
		t.topics[connector] = make(map[string]TopicStatus)
	}
	t.topics[connector][topic] = s
	return ""
}

// names are the connectors that have a status, or whose tasks have one.
func (t *statusTable) names() []string {
	all := make(map[string]bool, len(t.connectors))
	for name := range t.connectors {
		all[name] = true
	}
	for name := range t.tasks {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// current is the status under a record key of a connector or a task.
func (t *statusTable) current(key string) (Status, bool) {
	if name, ok := strings.CutPrefix(key, connectorStatusKey); ok {
		s, ok := t.connectors[name]
		return s, ok
	}
	if id, ok := parseTask(key, 2); ok && strings.HasPrefix(key, taskStatusKey) {
		return t.taskStatus(id)
	}
	return Status{}, false
}

func (t *statusTable) taskStatus(id group.TaskID) (Status, bool) {
	s, ok := t.tasks[id.Connector][id.Task]
	return s, ok
}
