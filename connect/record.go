package connect

// TimestampType says what a record's timestamp means.
type TimestampType uint8

// The timestamp types as org.apache.kafka.common.record.TimestampType spells them.
const (
	NoTimestampType TimestampType = iota
	CreateTime
	LogAppendTime
)

// String spells the type as Java does.
func (t TimestampType) String() string {
	switch t {
	case CreateTime:
		return "CreateTime"
	case LogAppendTime:
		return "LogAppendTime"
	case NoTimestampType:
	}
	return "NoTimestampType"
}

// A Header is one record header as it came over the wire. Header converters that
// infer types are applied by those who look at headers, not on the data path.
type Header struct {
	Key   string
	Value []byte // nil for a null value
}

// A Record is one message on its way to a task. Transformations change Topic,
// Partition, Key, Value, their schemas and Headers; where the record was read from
// stays in Batch.TopicPartition and Offset.
type Record struct {
	Topic         string
	Partition     int32
	TimestampType TimestampType
	Offset        int64
	Timestamp     int64 // milliseconds since the epoch, -1 for none

	KeySchema   *Schema // nil: schemaless
	Key         Value
	ValueSchema *Schema // nil: schemaless
	Value       Value   // null: a tombstone
	Headers     []Header
}

// A Batch is a run of records of one partition, in offset order. Its records,
// their values and its Arena belong to the worker and are valid until Put returns.
type Batch struct {
	TopicPartition // where the records were read from

	// TopicID tells a topic from one that was deleted and created again under its name;
	// zero if the broker tells none. A topic that was made anew a moment ago may still
	// have the old id here.
	TopicID [16]byte

	Records []Record // may be empty: records were filtered, or only time has passed

	// The batch stands for the offsets [First, Next), whether Records shows them or not:
	// filtered, skipped and dead-lettered records, control records and gaps count. First
	// is where the batch before ended, or what Seek said.
	First, Next int64

	Arena *Arena // for values made on the way; reset after Put
}
