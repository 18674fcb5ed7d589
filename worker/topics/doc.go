// Package topics keeps a worker group's shared state in Kafka, in the records that
// Java's workers read and write: the config topic (ConfigTopic), the status topic
// (StatusTopic) and the offset topic, which a sink worker only creates (Ensure).
//
// It promises that the state it shows is what any Java worker would derive from the same
// records, and that a write has been read back when the call returns (config topic) or
// after Flush and ReadToEnd (status topic). What it finds in the topics it treats as
// hostile: a record it cannot understand is logged and left alone.
//
// Each topic has one goroutine, the one behind its Run, that applies records. Readers
// get immutable snapshots (ClusterState) or copies (Status); writers may be any
// goroutine. What changed is collected for the herder (ConfigTopic.Take) rather than
// sent, so that a herder waiting for ReadToEnd never blocks the goroutine it waits for.
//
// It does not decide who may write: only the group's leader writes connector and task
// configs, and only the herder knows who leads.
package topics
