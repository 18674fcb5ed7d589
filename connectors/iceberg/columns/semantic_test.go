package columns

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
)

func avroType(t connect.Type, logical string) *connect.Schema {
	return &connect.Schema{Type: t, Parameters: map[string]string{connect.ParameterAvroLogicalType: logical}}
}

func named(t connect.Type, name string) *connect.Schema { return &connect.Schema{Type: t, Name: name} }

func variableScale() *connect.Schema {
	s := structSchema(false, fieldOf("scale", connect.Int32, false), fieldOf("value", connect.BytesType, false))
	s.Name = "io.debezium.data.VariableScaleDecimal"
	return s
}

// What the types of Debezium and Avro mean in columns of each type. Columns that Java's
// sink makes for them, of numbers and texts, get what Java writes.
func TestSemanticTypes(t *testing.T) {
	const us = 1_704_164_645_123_456 // 2024-01-02T03:04:05.123456
	microTimestamp, nanoTimestamp := named(connect.Int64, "io.debezium.time.MicroTimestamp"), named(connect.Int64, "io.debezium.time.NanoTimestamp")
	for _, c := range []struct {
		schema *connect.Schema
		value  connect.Value
		target string
		want   string // "!" and a part of the error
	}{
		{named(connect.Int32, "io.debezium.time.Date"), integer(19724), "date", "LocalDate:2024-01-02"},
		{named(connect.Int32, "io.debezium.time.Date"), integer(19724), "int", "Integer:19724"},
		{named(connect.Int32, "io.debezium.time.Date"), integer(19724), "string", "String:19724"},
		{named(connect.Int32, "io.debezium.time.Date"), integer(19724), "timestamp", "LocalDateTime:2024-01-02T00:00:00"},
		{named(connect.Int32, "io.debezium.time.Date"), integer(19724), "time", "!cannot convert a io.debezium.time.Date to time"},
		{named(connect.Int32, "io.debezium.time.Time"), integer(1500), "time", "LocalTime:00:00:01.5"},
		{named(connect.Int64, "io.debezium.time.MicroTime"), integer(1_500_000), "time", "LocalTime:00:00:01.5"},
		{named(connect.Int64, "io.debezium.time.NanoTime"), integer(1_500_000_999), "time", "LocalTime:00:00:01.5"},
		{named(connect.Int64, "io.debezium.time.MicroTime"), integer(microsPerDay), "time", "!out of range"},
		{named(connect.Int64, "io.debezium.time.MicroTime"), integer(1_500_000), "long", "Long:1500000"},
		{named(connect.Int64, "io.debezium.time.MicroTime"), integer(1), "timestamp", "!cannot convert"},
		{named(connect.Int64, "io.debezium.time.Timestamp"), integer(us / 1000), "timestamp", "LocalDateTime:2024-01-02T03:04:05.123"},
		{microTimestamp, integer(us), "timestamp", "LocalDateTime:2024-01-02T03:04:05.123456"},
		{microTimestamp, integer(0), "timestamp", "LocalDateTime:1970-01-01T00:00:00"},
		{microTimestamp, integer(us), "timestamptz", "OffsetDateTime:2024-01-02T03:04:05.123456Z"},
		{microTimestamp, integer(us), "long", "Long:1704164645123456"},
		{microTimestamp, integer(us), "double", "Double:1.704164645123456E15"},
		{microTimestamp, integer(us), "string", "String:1704164645123456"},
		{microTimestamp, integer(us), "int", "!out of range"},
		{microTimestamp, integer(-1), "date", "LocalDate:1969-12-31"},
		{microTimestamp, integer(us), "date", "LocalDate:2024-01-02"},
		{microTimestamp, integer(us), "timestamp_ns", "Nanos:1704164645123456000"},
		{microTimestamp, integer(1 << 62), "timestamp_ns", "!out of range"},
		{nanoTimestamp, integer(us*1000 + 999), "timestamp", "LocalDateTime:2024-01-02T03:04:05.123456"},
		{nanoTimestamp, integer(-1), "timestamp", "LocalDateTime:1969-12-31T23:59:59.999999"},
		{nanoTimestamp, integer(us*1000 + 999), "timestamp_ns", "Nanos:1704164645123456999"},
		{nanoTimestamp, integer(us*1000 + 999), "long", "Long:1704164645123456999"},
		{named(connect.StringType, "io.debezium.time.ZonedTimestamp"), text("2024-01-02T03:04:05.123456+01:00"), "timestamptz", "OffsetDateTime:2024-01-02T02:04:05.123456Z"},
		{named(connect.StringType, "io.debezium.time.ZonedTimestamp"), text("2024-01-02T03:04:05Z"), "string", "String:2024-01-02T03:04:05Z"},
		{named(connect.StringType, "io.debezium.data.Uuid"), text("00000000-0000-0000-0000-0000000000aa"), "uuid", "UUID:00000000-0000-0000-0000-0000000000aa"},
		{avroType(connect.BytesType, "uuid"), connect.BytesValue([]byte("0123456789abcdef")), "uuid", "UUID:30313233-3435-3637-3839-616263646566"},
		{avroType(connect.BytesType, "uuid"), connect.BytesValue([]byte("0123")), "uuid", "!cannot convert"},
		{avroType(connect.Int64, "timestamp-micros"), integer(us), "timestamptz", "OffsetDateTime:2024-01-02T03:04:05.123456Z"},
		{avroType(connect.Int64, "timestamp-nanos"), integer(us * 1000), "timestamptz_ns", "Nanos:1704164645123456000"},
		{avroType(connect.Int64, "local-timestamp-millis"), integer(us / 1000), "timestamp", "LocalDateTime:2024-01-02T03:04:05.123"},
		{avroType(connect.Int64, "local-timestamp-micros"), integer(us), "timestamp", "LocalDateTime:2024-01-02T03:04:05.123456"},
		{avroType(connect.Int64, "time-micros"), integer(1), "time", "LocalTime:00:00:00.000001"},
		{avroType(connect.Int64, "time-micros"), integer(1), "date", "!cannot convert an Avro time-micros to date"},
		{variableScale(), structOf(integer(3), connect.BytesValue([]byte{0x03, 0xED})), "decimal(9,2)", "BigDecimal:1.01"},
		{variableScale(), structOf(integer(3), connect.BytesValue([]byte{0x03, 0xED})), "double", "Double:1.005"},
		{variableScale(), structOf(integer(1<<40), connect.BytesValue([]byte{1})), "decimal(9,2)", "!cannot convert"},
		{variableScale(), structOf(integer(3), connect.BytesValue([]byte{0x03, 0xED})), "string", `String:{"scale":3,"value":"A+0="}`},
		{plainLong, text("2024-01-02T03:04:05.123456789"), "timestamp_ns", "Nanos:1704164645123456789"},
		{plainLong, text("2024-01-02T03:04:05.123456789+01:00"), "timestamp_ns", "Nanos:1704164645123456789"},
		{plainLong, text("2024-01-02T03:04:05.123456789+01:00"), "timestamptz_ns", "Nanos:1704161045123456789"},
		{plainLong, text("1677-09-21T00:12:43.145224192"), "timestamp_ns", "Nanos:-9223372036854775808"},
		{plainLong, text("1677-09-21T00:12:43.145224191"), "timestamp_ns", "!out of range"},
		{plainLong, text("2262-04-11T23:47:16.854775807"), "timestamp_ns", "Nanos:9223372036854775807"},
		{plainLong, text("2262-04-11T23:47:16.854775808"), "timestamp_ns", "!out of range"},
		{plainLong, integer(us / 1000), "timestamp_ns", "Nanos:1704164645123000000"},
		{plainLong, integer(us * 1000), "timestamp_ns", "!out of range"},
		{named(connect.Int64, connect.LogicalTimestamp), integer(-1), "timestamptz_ns", "Nanos:-1000000"},
		{named(connect.Int64, connect.LogicalTimestamp), integer(us / 1000), "long", "!cannot convert a Connect Timestamp"},
	} {
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: types[c.target]})
		label := strings.TrimSpace(c.schema.Name+" "+c.schema.Parameters[connect.ParameterAvroLogicalType]) + " -> " + c.target
		got, err := convertOne(t, schema, input{c.value, c.schema})
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if _, ok := errors.AsType[*connect.DataError](err); !ok || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %s and error %v, want an error with %q", label, got, err, part)
			}
			continue
		}
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: got %s (%v), want %s", label, got, err, c.want)
		}
	}
}

var plainLong = &connect.Schema{Type: connect.Int64}

// The types of new columns: what the meaning says, or what Java's sink gives them.
func TestColumnTypes(t *testing.T) {
	for _, c := range []struct {
		schema         *connect.Schema
		v2, v3, inJava string
	}{
		{named(connect.Int32, connect.LogicalDate), "date", "date", "date"},
		{named(connect.Int64, connect.LogicalTimestamp), "timestamptz", "timestamptz", "timestamptz"},
		{named(connect.StringType, "uuid"), "uuid", "uuid", "uuid"},
		{named(connect.Int32, "io.debezium.time.Date"), "date", "date", "int"},
		{named(connect.Int32, "io.debezium.time.Time"), "time", "time", "int"},
		{named(connect.Int64, "io.debezium.time.MicroTime"), "time", "time", "long"},
		{named(connect.Int64, "io.debezium.time.NanoTime"), "long", "long", "long"},
		{named(connect.Int64, "io.debezium.time.Timestamp"), "timestamp", "timestamp", "long"},
		{named(connect.Int64, "io.debezium.time.MicroTimestamp"), "timestamp", "timestamp", "long"},
		{named(connect.Int64, "io.debezium.time.NanoTimestamp"), "long", "timestamp_ns", "long"},
		{named(connect.StringType, "io.debezium.time.ZonedTimestamp"), "timestamptz", "timestamptz", "string"},
		{named(connect.StringType, "io.debezium.data.Uuid"), "uuid", "uuid", "string"},
		{named(connect.StringType, "io.debezium.data.Json"), "string", "string", "string"},
		{named(connect.StringType, "io.debezium.data.Enum"), "string", "string", "string"},
		{named(connect.BytesType, "uuid"), "binary", "binary", "binary"}, // a name of the user's
		{named(connect.Int64, "timestamp-micros"), "long", "long", "long"},
		{variableScale(), "struct<1: scale: required int, 2: value: required binary>", "struct<1: scale: required int, 2: value: required binary>", "struct<1: scale: required int, 2: value: required binary>"},
		{avroType(connect.Int64, "timestamp-micros"), "timestamptz", "timestamptz", "long"},
		{avroType(connect.Int64, "timestamp-nanos"), "long", "timestamptz_ns", "long"},
		{avroType(connect.Int64, "local-timestamp-millis"), "timestamp", "timestamp", "long"},
		{avroType(connect.Int64, "local-timestamp-micros"), "timestamp", "timestamp", "long"},
		{avroType(connect.Int64, "local-timestamp-nanos"), "long", "timestamp_ns", "long"},
		{avroType(connect.Int64, "time-micros"), "time", "time", "long"},
		{avroType(connect.StringType, "uuid"), "uuid", "uuid", "string"},
		{avroType(connect.BytesType, "uuid"), "uuid", "uuid", "binary"},
	} {
		for _, o := range []struct {
			opts Options
			want string
		}{{Options{FormatVersion: 2}, c.v2}, {Options{FormatVersion: 3}, c.v3}, {Options{FormatVersion: 3, JavaTypes: true}, c.inJava}} {
			m := mapper{opts: o.opts}
			if got, err := m.typeOf("f", c.schema, 1); err != nil || got.String() != o.want {
				t.Errorf("%s %v, format %d: got %v (%v), want %s", c.schema.Name, c.schema.Parameters, o.opts.FormatVersion, got, err, o.want)
			}
		}
	}
}
