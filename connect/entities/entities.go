// Package entities holds what is asked of a Connect cluster and what it answers: the
// JSON bodies of the REST API (org.apache.kafka.connect.runtime.rest.entities) and the
// errors a herder reports, each with its HTTP status.
//
// It is data alone, so that the packages rest and worker can agree without importing
// each other.
package entities

// ServerInfo is the body of GET /.
type ServerInfo struct {
	Version        string `json:"version"`
	Commit         string `json:"commit"`
	KafkaClusterID string `json:"kafka_cluster_id"`
}

// Health is the body of GET /health (KIP-1017).
type Health struct {
	Status  string `json:"status"` // healthy, starting, unhealthy
	Message string `json:"message"`
}

// A TaskID names one task of a connector.
type TaskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// ConnectorInfo describes a connector by its config, as it was written: variables are
// not substituted.
type ConnectorInfo struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	Tasks  []TaskID          `json:"tasks"`
	Type   string            `json:"type"` // sink, source, unknown
}

// TaskInfo is one element of GET /connectors/{name}/tasks. A nil config is that of a
// connector whose task configs are inconsistent.
type TaskInfo struct {
	ID     TaskID            `json:"id"`
	Config map[string]string `json:"config"`
}

// State is the state of a connector or of a task as the status topic has it.
type State struct {
	State    string `json:"state"`
	WorkerID string `json:"worker_id"`         // advertised host:port
	Version  string `json:"version,omitempty"` // of the plugin
	Trace    string `json:"trace,omitempty"`   // of a failure
}

// TaskState is the state of one task.
type TaskState struct {
	ID int `json:"id"`
	State
}

// ConnectorStateInfo is the state of a connector and of its tasks, in the order of their ids.
type ConnectorStateInfo struct {
	Name      string      `json:"name"`
	Connector State       `json:"connector"`
	Tasks     []TaskState `json:"tasks"`
	Type      string      `json:"type"`
}

// Expanded is one member of GET /connectors?expand=…: what was not asked for is nil.
type Expanded struct {
	Status *ConnectorStateInfo `json:"status,omitempty"`
	Info   *ConnectorInfo      `json:"info,omitempty"`
}

// CreateRequest is the body of POST /connectors. A nil value in Config is a JSON null,
// which validation refuses.
type CreateRequest struct {
	Name         string
	Config       map[string]*string
	InitialState TargetState // "": none given, counts as Started (KIP-980)
}

// TargetState is what an operator wants a connector to be.
type TargetState string

// The target states, spelled as state.v2 of the config topic.
const (
	Started TargetState = "STARTED"
	Paused  TargetState = "PAUSED"
	Stopped TargetState = "STOPPED"
)

// Plugin is one element of GET /connector-plugins.
type Plugin struct {
	Class   string `json:"class"`
	Type    string `json:"type"` // sink, transformation, converter …
	Version string `json:"version,omitempty"`
}

// ActiveTopics is what a connector has read from since the last reset.
type ActiveTopics struct {
	Topics []string `json:"topics"`
}

// Offsets is the body of GET and PATCH /connectors/{name}/offsets (KIP-875).
type Offsets struct {
	Offsets []Offset `json:"offsets"`
}

// Offset is one partition's position in the loose form that the API takes: numbers or
// numeric texts. A nil Offset resets the partition.
type Offset struct {
	Partition map[string]any `json:"partition"`
	Offset    map[string]any `json:"offset"`
}

// Message is the body of an answer that only says what was done.
type Message struct {
	Message string `json:"message"`
}

// LoggerLevel is the level of a logger (KIP-495).
type LoggerLevel struct {
	Level        string `json:"level"`         // DEBUG, INFO …
	LastModified *int64 `json:"last_modified"` // in ms since 1970; nil: as it was at the start
}

// A Signature proves that a request comes from a worker of the group that holds the
// session key (KIP-507).
type Signature struct {
	Algorithm string // header X-Connect-Request-Signature-Algorithm
	MAC       string // header X-Connect-Authorization: base64
}
