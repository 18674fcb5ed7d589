// Package kafka is everything this project says to a Kafka cluster: topics and
// offsets (Admin), records out (Producer), group membership of any protocol type
// (Member), records in (Fetcher), and compacted topics followed for ever (Log).
// It is the only importer of sarama, and no type of sarama leaves it.
//
// Settings come in Java's property names (NewConfig), so that the configs of Java
// workers keep their meaning. Sarama is used on the level of single requests: each
// connection has one goroutine that owns it, has one request in flight, and can be
// cut from outside when a context ends. There are no background refreshers.
//
// The package does not decode records, keep positions across restarts, or decide
// what an assignment means: that is the caller's.
package kafka
