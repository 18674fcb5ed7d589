package topics

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/worker/group"
)

// The keys of the config topic, as prefixes. (Source: KafkaConfigBackingStore.)
const (
	targetStateKey  = "target-state-"
	connectorKey    = "connector-"
	taskKey         = "task-"
	commitKey       = "commit-"
	restartKey      = "restart-connector-"
	tasksFencingKey = "tasks-fencing-"
	sessionKeyKey   = "session-key" // the whole key
	loggerKey       = "logger-cluster-"
)

func taskRecordKey(id group.TaskID) string {
	return taskKey + id.Connector + "-" + strconv.Itoa(id.Task)
}

// parseTask reads the task out of a key that has skip parts before the connector's name.
// Names may contain dashes; the last part is always the number. Empty parts at the end do
// not count, as in Java's String.split.
func parseTask(key string, skip int) (group.TaskID, bool) {
	parts := strings.Split(strings.TrimRight(key, "-"), "-")
	if len(parts) < skip+2 {
		return group.TaskID{}, false
	}
	last := len(parts) - 1
	n, err := strconv.ParseInt(parts[last], 10, 32)
	if err != nil {
		return group.TaskID{}, false
	}
	return group.TaskID{Connector: strings.Join(parts[skip:last], "-"), Task: int(n)}, true
}

func encodeCommit(tasks int) []byte {
	return []byte(`{"tasks":` + strconv.Itoa(tasks) + `}`)
}

// encodeTargetState writes a state twice: workers before 3.5 read only "state", and know
// no STOPPED.
func encodeTargetState(s TargetState) []byte {
	old := s
	if s == Stopped {
		old = Paused
	}
	return []byte(`{"state":"` + string(old) + `","state.v2":"` + string(s) + `"}`)
}

func decodeTargetState(o object) (TargetState, bool) {
	s, ok := o.text("state.v2")
	if !ok {
		s, ok = o.text("state")
	}
	switch t := TargetState(s); t {
	case Started, Paused, Stopped:
		return t, ok
	}
	return "", false
}

func encodeSessionKey(k SessionKey) []byte {
	b := appendString([]byte(`{"key":`), base64.StdEncoding.EncodeToString(k.Key))
	b = appendString(append(b, `,"algorithm":`...), k.Algorithm)
	b = strconv.AppendInt(append(b, `,"creation-timestamp":`...), k.Created.UnixMilli(), 10)
	return append(b, '}')
}

func decodeSessionKey(o object) (*SessionKey, bool) {
	text, ok1 := o.text("key")
	algorithm, ok2 := o.text("algorithm")
	created, ok3 := o.number("creation-timestamp")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok1 || !ok2 || !ok3 || err != nil {
		return nil, false
	}
	return &SessionKey{Key: key, Algorithm: algorithm, Created: time.UnixMilli(created)}, true
}

func encodeRestart(r RestartRequest) []byte {
	b := strconv.AppendBool([]byte(`{"include-tasks":`), r.IncludeTasks)
	b = strconv.AppendBool(append(b, `,"only-failed":`...), r.OnlyFailed)
	return append(b, '}')
}

func encodeLevel(level string) []byte {
	return append(appendString([]byte(`{"level":`), level), '}')
}
