// Package transforms holds Kafka's own single message transforms
// (org.apache.kafka.connect.transforms). Configs, results and error texts follow Java's;
// each instance is used by one goroutine, and none allocates per record: schemas are
// translated once and remembered, values live in the batch's arena.
package transforms

// Version is the Kafka release whose behaviour is followed.
const Version = "4.3.1"

// schemasKept is how many translated schemas an instance remembers, as in Java.
const schemasKept = 16
