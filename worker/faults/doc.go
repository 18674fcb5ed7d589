// Package faults decides what becomes of a record that failed: it is retried, skipped,
// or ends the task, as the connector's errors.* keys say, and it is reported on the
// way: in the error log and in the dead-letter topic, in the exact words and headers of
// Kafka Connect (RetryWithToleranceOperator and the ErrorReporters of its runtime).
//
// It differs from Java where Java would skip records that are fine: while a service that all
// records need is away (an outage: the schema registry does not answer) the record is
// tried again for ten minutes at least, also with errors.retry.timeout=0, and then the task
// fails; what only the operator can mend (wrong credentials) fails the task at once.
// Neither asks errors.tolerance.
//
// A [Reporter] belongs to one task and is used by the task's goroutine; only Stats
// may be read by others. It never sleeps: it says how long to wait, and the task's loop,
// which stays responsive, does the waiting.
package faults
