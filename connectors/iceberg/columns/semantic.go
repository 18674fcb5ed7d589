package columns

import (
	"fmt"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

// A source is what the record's schema says about a value beyond its kind.
type source uint8

const (
	plain source = iota
	float32Source
	decimalSource         // unscaled bytes; the scale is the schema's
	variableDecimalSource // a struct of scale and unscaled bytes
	dateSource            // days since the epoch
	timeSource            // since midnight
	timestampSource       // since the epoch
	uuidSource            // text, or 16 bytes
	zonedSource           // text with an offset
)

// A meaning is the semantic type of a schema: those of Connect itself, of Debezium
// (io.debezium.time, io.debezium.data) and of Avro, which the Avro converter passes on
// where Connect has no name for them.
type meaning struct {
	source source
	unit   int64 // of times and timestamps, in nanoseconds
	local  bool  // a timestamp without zone
	// Connect's own dates and times are java.util.Date in Java, which no number column
	// takes; all others are numbers and texts there, and remain so in columns of such types.
	javaDate bool
}

const (
	nano  = 1
	micro = 1000 * nano
	milli = 1000 * micro
)

// A kindOfSchema is what meanings are found by: a schema's type with its name, or with
// the logical type in Avro.
type kindOfSchema struct {
	typ  connect.Type
	name string
}

// meanings by name. (Source: Debezium, "Temporal types".) What is not here, such as
// io.debezium.time.Year, Interval and IsoDate, or io.debezium.data.Json, Xml, Enum and
// Bits, is what its Connect type says.
var meanings = map[kindOfSchema]meaning{ // read only
	{connect.BytesType, connect.LogicalDecimal}:                   {source: decimalSource},
	{connect.Int32, connect.LogicalDate}:                          {source: dateSource, javaDate: true},
	{connect.Int32, connect.LogicalTime}:                          {source: timeSource, unit: milli, javaDate: true},
	{connect.Int64, connect.LogicalTimestamp}:                     {source: timestampSource, unit: milli, javaDate: true},
	{connect.StringType, "uuid"}:                                  {source: uuidSource},
	{connect.Int32, "io.debezium.time.Date"}:                      {source: dateSource},
	{connect.Int32, "io.debezium.time.Time"}:                      {source: timeSource, unit: milli},
	{connect.Int64, "io.debezium.time.MicroTime"}:                 {source: timeSource, unit: micro},
	{connect.Int64, "io.debezium.time.NanoTime"}:                  {source: timeSource, unit: nano},
	{connect.Int64, "io.debezium.time.Timestamp"}:                 {source: timestampSource, unit: milli, local: true},
	{connect.Int64, "io.debezium.time.MicroTimestamp"}:            {source: timestampSource, unit: micro, local: true},
	{connect.Int64, "io.debezium.time.NanoTimestamp"}:             {source: timestampSource, unit: nano, local: true},
	{connect.StringType, "io.debezium.time.ZonedTimestamp"}:       {source: zonedSource},
	{connect.StringType, "io.debezium.data.Uuid"}:                 {source: uuidSource},
	{connect.StructType, "io.debezium.data.VariableScaleDecimal"}: {source: variableDecimalSource},
}

// avroMeanings by logical type. (Source: Avro specification 1.12, "Logical types".)
var avroMeanings = map[kindOfSchema]meaning{ // read only
	{connect.Int64, "time-micros"}:            {source: timeSource, unit: micro},
	{connect.Int64, "timestamp-micros"}:       {source: timestampSource, unit: micro},
	{connect.Int64, "timestamp-nanos"}:        {source: timestampSource, unit: nano},
	{connect.Int64, "local-timestamp-millis"}: {source: timestampSource, unit: milli, local: true},
	{connect.Int64, "local-timestamp-micros"}: {source: timestampSource, unit: micro, local: true},
	{connect.Int64, "local-timestamp-nanos"}:  {source: timestampSource, unit: nano, local: true},
	{connect.StringType, "uuid"}:              {source: uuidSource},
	{connect.BytesType, "uuid"}:               {source: uuidSource},
}

// meaningOf finds the meaning of a schema.
func meaningOf(s *connect.Schema) meaning {
	if s.Type == connect.Float32 {
		return meaning{source: float32Source}
	}
	if m, ok := meanings[kindOfSchema{s.Type, s.Name}]; ok {
		return m
	}
	return avroMeanings[kindOfSchema{s.Type, s.Parameters[connect.ParameterAvroLogicalType]}]
}

// java tells whether Java's sink knows the meaning.
func (m meaning) java(s *connect.Schema) bool { return m.javaDate || s.Name == "uuid" }

// columnType is the type of a new column for a meaning, nil if it is that of the Connect
// type. What has no exact type is left as it comes: nanoseconds of the day, nanoseconds
// since the epoch in tables of format 1 and 2, decimals of any scale.
func (m meaning) columnType(format int) iceberg.Type {
	switch m.source { //nolint:exhaustive // the others have none
	case dateSource:
		return iceberg.PrimitiveTypes.Date
	case timeSource:
		if m.unit >= micro {
			return iceberg.PrimitiveTypes.Time
		}
	case timestampSource:
		switch {
		case m.unit < micro && format < 3:
			return nil
		case m.unit < micro && m.local:
			return iceberg.PrimitiveTypes.TimestampNs
		case m.unit < micro:
			return iceberg.PrimitiveTypes.TimestampTzNs
		case m.local:
			return iceberg.PrimitiveTypes.Timestamp
		}
		return iceberg.PrimitiveTypes.TimestampTz
	case zonedSource:
		return iceberg.PrimitiveTypes.TimestampTz
	case uuidSource:
		return iceberg.PrimitiveTypes.UUID
	}
	return nil
}

// readSource takes what matters from the record's schema.
func (f *field) readSource() error {
	if f.schema == nil {
		return nil
	}
	f.from = meaningOf(f.schema)
	switch f.from.source { //nolint:exhaustive // the others need no more
	case decimalSource:
		scale, err := decimalScale(f.schema)
		if err != nil {
			return fmt.Errorf("column %q: the record's decimal has no scale: %w", f.path, err)
		}
		f.scale = scale
	case variableDecimalSource:
		f.scaleAt, f.unscaledAt = f.schema.FieldIndex("scale"), f.schema.FieldIndex("value")
		if f.scaleAt < 0 || f.unscaledAt < 0 {
			f.from = meaning{} // some other struct
		}
	}
	return nil
}

// temporal tells whether the value is a java.util.Date in Java, which only columns of
// dates and times take.
func (f *field) temporal() bool { return f.from.javaDate }
