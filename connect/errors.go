package connect

import (
	"errors"
	"strconv"
)

// ErrFenced says that the caller's membership is over: a newer generation exists.
var ErrFenced = errors.New("fenced by a newer group generation")

// A Stage is a step on a record's way, in Kafka's own words
// (org.apache.kafka.connect.runtime.errors.Stage).
type Stage string

// The stages of a sink.
const (
	StageKeyConverter    Stage = "KEY_CONVERTER"
	StageValueConverter  Stage = "VALUE_CONVERTER"
	StageHeaderConverter Stage = "HEADER_CONVERTER"
	StageTransformation  Stage = "TRANSFORMATION"
	StageTaskPut         Stage = "TASK_PUT"
)

// A RecordError blames one record. Its message is one line, fit for a log or a
// dead-letter header: stage, place, cause, and what the operator can do.
type RecordError struct {
	Stage  Stage
	At     TopicPartition
	Offset int64
	Err    error
}

func (e *RecordError) Error() string {
	return string(e.Stage) + " " + e.At.String() + "@" + strconv.FormatInt(e.Offset, 10) + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// A RetryError says that the same call may succeed later: Java's RetriableException.
type RetryError struct{ Err error }

func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RetryError) Unwrap() error { return e.Err }

// A DataError says that a datum is not what the converter, the transformation or
// the table can take: Java's DataException. Hint, if any, is what to change.
type DataError struct {
	Msg  string
	Hint string
}

func (e *DataError) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + " (" + e.Hint + ")"
}
