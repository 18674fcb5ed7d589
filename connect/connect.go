// Package connect is the contract between the worker and its plugins: the data
// model (Schema, Value, Record, Batch), the plugin interfaces (SinkConnector,
// SinkTask, Converter, Transformation) and ConfigDef.
//
// A plugin imports this package and nothing else of ours; this package imports
// the standard library alone. Names and lifecycles follow
// org.apache.kafka.connect so that existing configs keep their meaning.
//
// The worker calls a task, its converters and its transformations from one
// goroutine: they need no locks for what only those calls touch. Nothing on the
// data path boxes a value: a Value is three words, strings and bytes alias the
// fetched data, and what a batch needs besides lives in its Arena and dies with it.
package connect

import "strconv"

// APIVersion is the version of Apache Kafka whose Connect API is implemented here:
// what GET / answers and what the plugins of this build call their version. Clients
// gate features on it.
const APIVersion = "4.3.1"

// TopicPartition names one partition of one topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String spells the partition as Kafka's logs do: topic-partition.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// Compare orders by topic name, then by partition number.
func (tp TopicPartition) Compare(o TopicPartition) int {
	switch {
	case tp.Topic < o.Topic:
		return -1
	case tp.Topic > o.Topic:
		return 1
	}
	return int(tp.Partition) - int(o.Partition)
}
