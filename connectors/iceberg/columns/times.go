package columns

import (
	"math"

	"github.com/firn-io/firn/connect"
)

const (
	nanosPerDay  = 24 * 60 * 60 * 1000 * milli
	microsPerDay = nanosPerDay / micro
	millisPerDay = nanosPerDay / milli
)

// isTime tells whether the record's schema calls the value a date or a time.
func (f *field) isTime() bool {
	return f.from.source == dateSource || f.from.source == timeSource || f.from.source == timestampSource
}

// days reads a date or timestamp as days since the epoch.
func (f *field) days(v connect.Value) (int64, error) {
	switch {
	case v.Kind() != connect.Int:
		return 0, f.mismatch(v)
	case f.from.source == dateSource:
		return v.Int(), nil
	case f.from.javaDate:
		// Java divides java.util.Date's milliseconds toward zero: -1 ms is 1970-01-01.
		return v.Int() / millisPerDay, nil
	case f.from.source == timestampSource:
		return floorDiv(v.Int(), nanosPerDay/f.from.unit), nil
	}
	return 0, f.mismatch(v)
}

// appendTime writes microseconds since midnight from an ISO time, a number of the unit
// that the schema tells, or milliseconds.
func (f *field) appendTime(vec *vector, v connect.Value) error {
	var us int64
	switch {
	case v.Kind() == connect.String:
		ns, ok := parseTime(v.Text())
		if !ok {
			return f.malformed(v)
		}
		us = ns / micro
	case f.from.source == timeSource && v.Kind() == connect.Int:
		x, ok := inUnit(v.Int(), f.from.unit, micro)
		if !ok {
			return f.outOfRange(v)
		}
		us = x
	default:
		ms, err := f.millis(v)
		if err != nil {
			return err
		}
		if ms < 0 || ms >= millisPerDay {
			return f.outOfRange(v)
		}
		us = ms * (milli / micro)
	}
	if us < 0 || us >= microsPerDay {
		return f.outOfRange(v)
	}
	vec.pushInt64(us)
	return nil
}

// appendTimestamp writes microseconds or nanoseconds since the epoch from text, a number
// of the unit that the schema tells, or milliseconds. A timestamp keeps the local time of
// a text and drops its offset; a timestamptz stores the instant, and a text without offset
// is UTC.
func (f *field) appendTimestamp(vec *vector, v connect.Value) error {
	to := int64(micro)
	if f.to == toTimestampNs || f.to == toTimestampTzNs {
		to = nano
	}
	var x int64
	var ok bool
	switch {
	case v.Kind() == connect.String:
		days, ns, valid := parseTimestamp(v.Text(), f.to == toTimestampTz || f.to == toTimestampTzNs)
		if !valid {
			return f.malformed(v)
		}
		x, ok = sinceEpoch(days, ns, to)
	case f.from.source == timestampSource && v.Kind() == connect.Int:
		x, ok = inUnit(v.Int(), f.from.unit, to)
	case f.from.source == dateSource && v.Kind() == connect.Int:
		x, ok = inUnit(v.Int(), nanosPerDay, to)
	default:
		ms, err := f.millis(v)
		if err != nil {
			return err
		}
		x, ok = inUnit(ms, milli, to)
	}
	if !ok {
		return f.outOfRange(v)
	}
	vec.pushInt64(x)
	return nil
}

// millis reads a number, which means milliseconds as in Java, or a java.util.Date.
// Debezium's and Avro's dates and times go only where they make sense.
func (f *field) millis(v connect.Value) (int64, error) {
	switch {
	case !f.isTime():
		return f.integer(v)
	case !f.from.javaDate || v.Kind() != connect.Int:
		return 0, f.mismatch(v)
	case f.from.source != dateSource:
		return v.Int(), nil
	}
	if x, ok := inUnit(v.Int(), nanosPerDay, milli); ok {
		return x, nil
	}
	return 0, f.outOfRange(v)
}

// inUnit brings a number from one unit to another, both in nanoseconds; what is finer is
// cut, toward the past.
func inUnit(x, from, to int64) (int64, bool) {
	if from <= to {
		return floorDiv(x, to/from), true
	}
	return times(x, from/to)
}

// sinceEpoch is a time, in nanoseconds from the begin of a day, in units since the epoch.
func sinceEpoch(days, ns, unit int64) (int64, bool) {
	carry := floorDiv(ns, nanosPerDay)
	days, ns = days+carry, ns-carry*nanosPerDay
	perDay := nanosPerDay / unit
	if days < 0 { // back from the day's end: its begin may be out of range alone
		x, ok := times(days+1, perDay)
		rest := ns/unit - perDay
		return x + rest, ok && x >= math.MinInt64-rest
	}
	x, ok := times(days, perDay)
	rest := ns / unit
	return x + rest, ok && x <= math.MaxInt64-rest
}

func times(x, by int64) (int64, bool) {
	if x > math.MaxInt64/by || x < math.MinInt64/by {
		return 0, false
	}
	return x * by, true
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
