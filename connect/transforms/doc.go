// Package transforms holds single message transforms: some of Kafka's own
// (org.apache.kafka.connect.transforms) and the six of the Iceberg sink
// (org.apache.iceberg.connect.transforms). Configs and results follow Java's, and so do
// error texts where Java has one that helps.
//
// Each instance is used by one goroutine. None allocates per record once it has seen the
// record's form: schemas are worked out once and remembered, up to a bound, so that equal
// records get the same *Schema, from which the sink compiles its plans; values live in
// the batch's arena.
package transforms

// schemasKept is how many translated schemas an instance remembers, as in Java.
const schemasKept = 16

// sinkVersion is the release of the Iceberg sink whose transforms are followed.
const sinkVersion = "1.12.0"
