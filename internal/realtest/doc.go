// Package realtest holds the tests against real servers: Kafka, a schema registry,
// S3 and a REST catalog, each started by the tests on 127.0.0.1 and on free ports.
//
// They carry the build tag "real" and run by `make test-real`. A part that cannot be
// had is said aloud and skipped; under CI=true it is a failure.
package realtest
