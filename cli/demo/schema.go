package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/examples/flights"
)

// registerSchema registers the schema of flights as a serializer does, and
// returns its id.
func registerSchema(ctx context.Context, registryURL string) (int, error) {
	registry := &connectapi.Client{Base: registryURL, Name: "the schema registry"}
	var answer struct {
		ID int `json:"id"`
	}
	err := registry.Call(ctx, http.MethodPost, "/subjects/flights-value/versions", map[string]string{"schema": flights.FlightSchema}, &answer)
	return answer.ID, err
}

// An encoder writes flights in Confluent's wire format: a zero byte, the schema id
// as four bytes, the Avro body.
type encoder struct {
	header []byte
	fields []fieldEncoder
}

// A fieldEncoder appends the Avro encoding of one column's text.
type fieldEncoder func(dst []byte, text string) ([]byte, error)

func newEncoder(schemaID int) (*encoder, error) {
	schema, err := avro.Parse(flights.FlightSchema)
	if err != nil {
		return nil, fmt.Errorf("read the schema of flights: %w", err)
	}
	record, ok := schema.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("the schema of flights is a %s, not a record", schema.Type())
	}
	e := &encoder{header: binary.BigEndian.AppendUint32([]byte{0}, uint32(schemaID))}
	for _, f := range record.Fields() {
		fe, err := fieldEncoderOf(f.Type())
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name(), err)
		}
		e.fields = append(e.fields, fe)
	}
	return e, nil
}

func (e *encoder) encode(row []string) ([]byte, error) {
	if len(row) != len(e.fields) {
		return nil, fmt.Errorf("a flight of %d fields, want %d: %q", len(row), len(e.fields), row)
	}
	dst := append(make([]byte, 0, 128), e.header...)
	for i, fe := range e.fields {
		var err error
		if dst, err = fe(dst, row[i]); err != nil {
			return nil, fmt.Errorf("column %d of flight %q: %w", i+1, row, err)
		}
	}
	return dst, nil
}

func fieldEncoderOf(s avro.Schema) (fieldEncoder, error) {
	switch s := s.(type) {
	case *avro.UnionSchema:
		if !s.Nullable() {
			break
		}
		return nullable(s)
	case *avro.PrimitiveSchema:
		switch {
		case s.Logical() != nil && s.Logical().Type() == avro.TimestampMillis:
			return appendTimestamp, nil
		case s.Type() == avro.Int:
			return appendInt, nil
		case s.Type() == avro.String:
			return appendString, nil
		}
	}
	return nil, fmt.Errorf("no encoder for %s", s)
}

// nullable encodes a union of null and one type: the branch, then the value.
func nullable(s *avro.UnionSchema) (fieldEncoder, error) {
	null, some := s.Indices()
	value, err := fieldEncoderOf(s.Types()[some])
	if err != nil {
		return nil, err
	}
	return func(dst []byte, text string) ([]byte, error) {
		if text == flights.Null {
			return binary.AppendVarint(dst, int64(null)), nil
		}
		return value(binary.AppendVarint(dst, int64(some)), text)
	}, nil
}

// Go's varints are Avro's: zig-zag, seven bits a byte, the low ones first.
func appendInt(dst []byte, text string) ([]byte, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	return binary.AppendVarint(dst, n), err
}

func appendString(dst []byte, text string) ([]byte, error) {
	return append(binary.AppendVarint(dst, int64(len(text))), text...), nil
}

func appendTimestamp(dst []byte, text string) ([]byte, error) {
	t, err := time.Parse(time.RFC3339, text)
	return binary.AppendVarint(dst, t.UnixMilli()), err
}

// jsonRow writes an observation as a JSON object without a schema. A number that
// can have a fraction always shows one: the type of a column is inferred from
// the first value that is seen.
func jsonRow(columns, row []string) []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(name) + ":")
		switch text := row[i]; {
		case text == flights.Null:
			b.WriteString("null")
		case name == "origin" || name == "time_hour":
			b.WriteString(strconv.Quote(text))
		case fractional[name]:
			b.WriteString(fraction(text))
		default:
			b.WriteString(text)
		}
	}
	b.WriteByte('}')
	return []byte(b.String())
}

// fraction writes a number with its fraction: 1012, 1e3 and 10.5 are 1012.0, 1000.0
// and 10.5. Text that is no number stays, for the reader to refuse.
func fraction(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	text = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// fractional are the columns of weather that are measured in fractions.
var fractional = map[string]bool{
	"temp": true, "dewp": true, "humid": true, "wind_speed": true, "wind_gust": true,
	"precip": true, "pressure": true, "visib": true,
}
