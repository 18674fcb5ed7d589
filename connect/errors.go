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
type RetryError struct {
	Err error

	// Outage: a service that every record needs does not answer, such as a schema
	// registry. Nothing is wrong with the record, and the next would fare no better: the
	// runtime waits for some minutes even if errors.retry.timeout allows no retry, and no
	// record is skipped because of it.
	Outage bool
}

func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RetryError) Unwrap() error { return e.Err }

// A FatalError says that no record will fare better before the operator has changed
// something, such as a password that the registry refuses: it ends the task whatever
// errors.tolerance says, for else a whole topic would be skipped. Hint, if any, is what
// to change.
type FatalError struct {
	Msg  string
	Hint string
}

func (e *FatalError) Error() string { return hinted(e.Msg, e.Hint) }

// A DataError says that a datum is not what the converter, the transformation or
// the table can take: Java's DataException. Hint, if any, is what to change.
type DataError struct {
	Msg  string
	Hint string
}

func (e *DataError) Error() string { return hinted(e.Msg, e.Hint) }

func hinted(msg, hint string) string {
	if hint == "" {
		return msg
	}
	return msg + " (" + hint + ")"
}
