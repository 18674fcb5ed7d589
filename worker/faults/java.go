package faults

import (
	"errors"

	"github.com/firn-io/firn/connect"
)

// JavaClass is the Java exception class that stands for err where other programs
// look at it: dead-letter headers and the trace of a task's status.
func JavaClass(err error) string {
	if retriable(err) {
		return "org.apache.kafka.connect.errors.RetriableException"
	}
	if _, ok := errors.AsType[*connect.DataError](err); ok {
		return "org.apache.kafka.connect.errors.DataException"
	}
	return "org.apache.kafka.connect.errors.ConnectException"
}

// Trace is err as the first line of a Java stack trace.
func Trace(err error) string { return JavaClass(err) + ": " + err.Error() }
