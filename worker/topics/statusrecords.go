package topics

import (
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/worker/group"
)

// The keys of the status topic, as prefixes. (Source: KafkaStatusBackingStore.)
const (
	connectorStatusKey = "status-connector-"
	taskStatusKey      = "status-task-"
	topicStatusKey     = "status-topic-"
	topicStatusSep     = ":connector-"
)

// maxTraceBytes keeps a status below max.request.size (1 MiB), for otherwise the failure
// that it tells of would stay unknown.
const maxTraceBytes = 128 << 10

func taskStatusRecordKey(id group.TaskID) string {
	return taskStatusKey + id.Connector + "-" + strconv.Itoa(id.Task)
}

func topicStatusRecordKey(connector, topic string) string {
	return topicStatusKey + topic + topicStatusSep + connector
}

// parseTopicStatusKey splits at the first colon: topic names have none.
func parseTopicStatusKey(key string) (connector, topic string, ok bool) {
	topic, rest, ok := strings.Cut(strings.TrimPrefix(key, topicStatusKey), ":")
	if !ok || topic == "" || len(rest) < len(topicStatusSep) {
		return "", "", false
	}
	return rest[len(topicStatusSep)-1:], topic, true
}

// encodeStatus writes a status in the fields of Kafka 4.1 and later. A DESTROYED one is a
// tombstone.
func encodeStatus(s Status) []byte {
	if s.State == StateDestroyed {
		return nil
	}
	b := appendString([]byte(`{"state":`), string(s.State))
	b = appendOptional(append(b, `,"trace":`...), s.Trace[:min(len(s.Trace), maxTraceBytes)])
	b = appendString(append(b, `,"worker_id":`...), s.Worker)
	b = strconv.AppendInt(append(b, `,"generation":`...), int64(s.Generation), 10)
	b = appendOptional(append(b, `,"version":`...), s.Version)
	return append(b, '}')
}

func decodeStatus(o object) (Status, bool) {
	state, ok1 := o.text("state")
	generation, ok2 := o.number("generation")
	s := Status{State: State(state), Generation: int32(generation)}
	s.Trace, _ = o.text("trace")
	s.Worker, _ = o.text("worker_id")
	s.Version, _ = o.text("version")
	return s, ok1 && ok2 && s.State.known()
}

func (s State) known() bool {
	switch s {
	case StateUnassigned, StateRunning, StatePaused, StateFailed, StateRestarting, StateStopped, StateDestroyed:
		return true
	}
	return false
}

func encodeTopicStatus(s TopicStatus) []byte {
	b := appendString([]byte(`{"topic":{"name":`), s.Topic)
	b = appendString(append(b, `,"connector":`...), s.Connector)
	b = strconv.AppendInt(append(b, `,"task":`...), int64(s.Task), 10)
	b = strconv.AppendInt(append(b, `,"discoverTimestamp":`...), s.Discovered.UnixMilli(), 10)
	return append(b, "}}"...)
}

func decodeTopicStatus(o object) (TopicStatus, bool) {
	o = o.object("topic")
	topic, ok1 := o.text("name")
	connector, ok2 := o.text("connector")
	task, ok3 := o.number("task")
	discovered, ok4 := o.number("discoverTimestamp")
	return TopicStatus{Topic: topic, Connector: connector, Task: int(task), Discovered: time.UnixMilli(discovered)}, ok1 && ok2 && ok3 && ok4
}
