// Package transforms holds Kafka's own single message transforms
// (org.apache.kafka.connect.transforms). Configs, results and error texts follow Java's;
// each instance is used by one goroutine, and none allocates per record: schemas are
// translated once and remembered, values live in the batch's arena.
package transforms

// schemasKept is how many translated schemas an instance remembers, as in Java.
const schemasKept = 16
