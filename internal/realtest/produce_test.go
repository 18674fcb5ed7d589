//go:build real && unix

package realtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/firn-io/firn/examples/flights"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/internal/realtest/parts"
)

// partitions is how many every topic of the stories has.
const partitions int32 = 4

// A truth is what the readers must see of a topic, by partition.
type truth [partitions]parts.Slice

func newTruth() *truth {
	var want truth
	for p := range want {
		want[p] = parts.Slice{Partition: int32(p), Last: -1}
	}
	return &want
}

// add notes one record more at the end of a partition.
func (w *truth) add(partition int32, n int64) {
	w[partition].Rows++
	w[partition].Offsets++
	w[partition].Last++
	w[partition].Sum += n
}

// A feed writes records to a topic and keeps the truth about it.
type feed struct {
	topic    string
	producer *kafka.Producer
	want     *truth
}

func (s *stack) feed(t *testing.T, topic string) *feed {
	t.Helper()
	s.createTopic(t, topic)
	producer, err := kafka.NewProducer(s.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := producer.Close(); err != nil {
			t.Error(err)
		}
	})
	return &feed{topic, producer, newTruth()}
}

const batchRecords = 5000

// flights writes the first rows of the flights, keyed by their carrier, in Avro.
func (f *feed) flights(ctx context.Context, schemaID int32, rows int) error {
	enc, err := newAvroEncoder(flights.FlightSchema, schemaID)
	if err != nil {
		return err
	}
	const carrier, distance = 9, 15
	enough := errors.New("enough")
	var batch []kafka.Message
	err = flights.Flights(func(fields []string) error {
		if rows == 0 {
			return enough
		}
		rows--
		value, err := enc.encode(fields)
		if err != nil {
			return err
		}
		miles, err := strconv.ParseInt(fields[distance], 10, 64)
		if err != nil {
			return err
		}
		key := []byte(fields[carrier])
		p := int32(crc32.ChecksumIEEE(key) % uint32(partitions))
		f.want.add(p, miles)
		batch = append(batch, kafka.Message{Topic: f.topic, Partition: p, Key: slices.Clone(key), Value: value, Timestamp: time.Now()})
		if len(batch) < batchRecords {
			return nil
		}
		err = f.producer.SendAll(ctx, batch)
		batch = batch[:0]
		return err
	})
	if err != nil && !errors.Is(err, enough) {
		return err
	}
	return f.producer.SendAll(ctx, batch)
}

// json writes schemaless JSON records, numbered from first, over all partitions.
func (f *feed) json(ctx context.Context, first, rows int) error {
	batch := make([]kafka.Message, rows)
	for i := range batch {
		n := first + i
		p := int32(n) % partitions
		f.want.add(p, int64(n))
		batch[i] = kafka.Message{
			Topic: f.topic, Partition: p, Key: []byte("k" + strconv.Itoa(n%100)), Timestamp: time.Now(),
			Value: fmt.Appendf(nil, `{"n":%d,"city":"city %d","warm":%t,"degrees":%d.5}`, n, n%17, n%2 == 0, n%40),
		}
	}
	return f.producer.SendAll(ctx, batch)
}

// An avroEncoder makes records of text fields, by a record schema of primitive types
// and of unions of null with one of them.
type avroEncoder struct {
	header []byte // of the Confluent wire format
	fields []avroField
}

type avroField struct {
	kind     string // int, string, timestamp-millis
	nullable bool
}

func newAvroEncoder(schema string, id int32) (*avroEncoder, error) {
	var record struct {
		Fields []struct {
			Type json.RawMessage `json:"type"`
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(schema), &record); err != nil {
		return nil, err
	}
	e := &avroEncoder{header: binary.BigEndian.AppendUint32([]byte{0}, uint32(id))}
	for _, f := range record.Fields {
		text := string(f.Type)
		var field avroField
		for _, kind := range []string{"timestamp-millis", "string", "int"} {
			if field.kind == "" && strings.Contains(text, `"`+kind+`"`) {
				field.kind = kind
			}
		}
		field.nullable = strings.Contains(text, `"null"`)
		e.fields = append(e.fields, field)
	}
	return e, nil
}

func (e *avroEncoder) encode(fields []string) ([]byte, error) {
	b := slices.Clone(e.header)
	for i, f := range e.fields {
		text := fields[i]
		if f.nullable {
			if text == flights.Null {
				b = append(b, 0)
				continue
			}
			b = append(b, 2) // branch 1
		}
		switch f.kind {
		case "string":
			b = append(binary.AppendVarint(b, int64(len(text))), text...)
		case "int":
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("field %d: %w", i, err)
			}
			b = binary.AppendVarint(b, n)
		case "timestamp-millis":
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, fmt.Errorf("field %d: %w", i, err)
			}
			b = binary.AppendVarint(b, at.UnixMilli())
		}
	}
	return b, nil
}
