package commit

import (
	"strconv"
	"time"

	"github.com/apache/iceberg-go/table"
)

// The watermark of a branch, a summary property as Java writes it: the time before which
// all events are in the table. Apache's sink writes a date and time, Tabular's the
// milliseconds, each under a name of its own; see [Identity].
//
// Here it is the least, over the partitions of the connector, of the greatest timestamp
// of the records that the snapshot covers; Java takes the timestamp of the last record,
// which may be an old one. A partition with nothing to read holds it back only to the time
// when that was seen. It never goes back: not when the coordinator changes, and not when
// an idle partition brings an older record. A rewind on purpose (see Rewind) begins it anew.

const (
	apacheWatermark  = "kafka.connect.valid-through-ts"
	tabularWatermark = "kafka.connect.vtts"
)

// watermarkText is a watermark, in milliseconds, as Java writes it under property:
// OffsetDateTime.toString, which leaves out seconds and milliseconds that are zero, or
// Long.toString.
func watermarkText(property string, millis int64) string {
	if property == tabularWatermark {
		return strconv.FormatInt(millis, 10)
	}
	t := time.UnixMilli(millis).UTC()
	switch {
	case millis%1000 != 0:
		return t.Format("2006-01-02T15:04:05.000Z07:00")
	case t.Second() != 0:
		return t.Format("2006-01-02T15:04:05Z07:00")
	}
	return t.Format("2006-01-02T15:04Z07:00")
}

// parseWatermark returns None for what is not a watermark. Java of other time zones and
// precisions is understood.
func parseWatermark(property, text string) int64 {
	if property == tabularWatermark {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			return n
		}
		return None
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil && t.UnixMilli() >= 0 {
			return t.UnixMilli()
		}
	}
	return None
}

// watermark reads that of a branch, from the nearest ancestor that has it. None: none has.
func watermark(t *table.Table, branch, property string) int64 {
	for s := base(t, branch); s != nil; s = parent(t, s) {
		if s.Summary == nil {
			continue
		}
		if text, ok := s.Summary.Properties[property]; ok {
			return parseWatermark(property, text)
		}
		if _, ours := s.Summary.Properties[SummaryKey]; ours {
			return None // our snapshots carry it on
		}
	}
	return None
}

// eventTime is a watermark in an event; zero for none.
func eventTime(millis int64) time.Time {
	if millis == None {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}
