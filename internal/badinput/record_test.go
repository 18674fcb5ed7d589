package badinput

import (
	"encoding/binary"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

var withDeadLetters = map[string]string{
	"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dlq", "errors.deadletterqueue.topic.replication.factor": "1",
	"errors.deadletterqueue.context.headers.enable": "true",
}

func with(configs ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, c := range configs {
		maps.Copy(out, c)
	}
	return out
}

// deadLetters waits until topic dlq holds exactly these values, and gives each one's
// exception message.
func (s *scene) deadLetters(values ...string) (messages []string) {
	s.Helper()
	f, err := kafka.NewFetcher(s.own())
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test's own
	f.Add(connect.TopicPartition{Topic: "dlq"}, 0)
	var got []string
	for end := time.Now().Add(soon); time.Now().Before(end); {
		batches, err := f.Poll(s.Context(), time.Second)
		if err != nil {
			s.Fatal(err)
		}
		var r kafka.Raw
		for i := range batches {
			for k := range batches[i].Len() {
				batches[i].At(k, &r)
				got = append(got, string(r.Value))
				for _, h := range r.Headers {
					if h.Key == "__connect.errors.exception.message" {
						messages = append(messages, string(h.Value))
					}
				}
			}
		}
	}
	if strings.Join(got, "|") != strings.Join(values, "|") {
		s.Errorf("the dead-letter topic holds %q, want %q", got, values)
	}
	return messages
}

// avroBytes is a payload behind a good header.
func avroBytes(payload ...byte) string {
	return string(append([]byte{0, 0, 0, 0, 1}, payload...))
}

// TestBadBytes: each record ends the task; when errors are tolerated it is in the
// dead-letter topic, and its neighbours are in the table.
func TestBadBytes(t *testing.T) {
	huge := binary.AppendVarint([]byte{4}, 1<<40) // id 2, then a string of a terabyte
	good := event(1, 2)
	for _, tt := range []struct {
		name   string
		avro   bool
		bytes  string
		reason string
	}{
		{"truncated Avro", true, good[:len(good)-2], "with schema id 1 (was it written with that schema?)"},
		{"Avro that claims a terabyte", true, avroBytes(huge...), "with schema id 1 (was it written with that schema?)"},
		{"JSON for Avro", true, `{"id":2}`, "the topic seems to hold JSON: set the converter to org.apache.kafka.connect.json.JsonConverter"},
		{"one byte of Avro", true, "\x00", "the data is cut off"},
		{"no JSON", false, "\xff\xfe\x00", "expected a value, at byte 0 of 3"},
		{"cut JSON", false, `{"id":2`, "the data ends, expected a comma or the end of the object, at byte 7 of 7"},
		{"deep JSON", false, strings.Repeat("[", 1<<16), "more than 1000 levels of nesting, at byte 1000 of 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(s *scene) {
				config, around := map[string]string{}, numbers(1, 3)
				if tt.avro {
					config, around = withAvro(nil), events(1, 1, 3)
				}
				s.produce("events", around[0], tt.bytes, around[2])
				s.create(config)
				s.failed(soon, "Tolerance exceeded in error handler: VALUE_CONVERTER events-0@1: ", tt.reason)
				s.reconfigure(with(config, withDeadLetters))
				s.rows(3, 2)
				if got := s.deadLetters(tt.bytes); len(got) != 1 || !strings.Contains(got[0], tt.reason) {
					s.Errorf("the dead letter's message is %q, want %q in it", got, tt.reason)
				}
				s.running()
			})
		})
	}
}

// TestFieldOfAnotherType writes to a table that is there already.
func TestFieldOfAnotherType(t *testing.T) {
	for _, tt := range []struct{ name, bytes, reason string }{
		{"text for a long", `{"id":"two"}`, `table db.events: column "id": cannot read "two" as long`},
		{"struct for a long", `{"id":{"a":1}}`, `table db.events: column "id": cannot convert map to long`},
		{"nothing for a required column", `{"other":2}`, `table db.events: column "id" is required and the record has no value for it (make the column optional, or fill the field)`},
		{"no struct", `2`, "table db.events: cannot convert a value that is integer to a table row (the sink takes structs and maps: set value.converter, or use a transformation)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, func(s *scene) {
				if err := s.catalog.CreateNamespace(s.Context(), []string{"db"}, nil); err != nil {
					s.Fatal(err)
				}
				schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true})
				if _, err := s.catalog.CreateTable(s.Context(), []string{"db", "events"}, schema); err != nil {
					s.Fatal(err)
				}
				s.produce("events", `{"id":1}`, tt.bytes, `{"id":3}`)
				s.create(nil)
				s.failed(soon, "Tolerance exceeded in error handler: TASK_PUT events-0@1: ", tt.reason)
				s.reconfigure(withDeadLetters)
				s.rows(3, 2)
				if got := s.deadLetters(tt.bytes); len(got) != 1 || !strings.Contains(got[0], tt.reason) {
					s.Errorf("the dead letter's message is %q, want %q in it", got, tt.reason)
				}
				s.running()
			})
		})
	}
}

// TestLargeRecord is one record of many times what a fetch may bring.
func TestLargeRecord(t *testing.T) {
	play(t, func(s *scene) {
		s.produce("events", `{"id":1}`, `{"id":2,"text":"`+strings.Repeat("x", 900<<10)+`"}`, `{"id":3}`)
		s.create(map[string]string{"consumer.override.max.partition.fetch.bytes": "1000", "consumer.override.fetch.max.bytes": "1000"})
		s.rows(3)
	})
}

// TestDeadLetterTooLarge has a dead-letter topic that takes smaller records than the source.
func TestDeadLetterTooLarge(t *testing.T) {
	play(t, func(s *scene) {
		admin, err := kafka.NewAdmin(s.own())
		if err != nil {
			s.Fatal(err)
		}
		defer admin.Close() //nolint:errcheck // the test's own
		if err := admin.CreateTopic(s.Context(), kafka.TopicSpec{Name: "dlq", Partitions: 1, ReplicationFactor: 1, Configs: map[string]string{"max.message.bytes": "2000"}}); err != nil {
			s.Fatal(err)
		}
		large := strings.Repeat("x", 3000)
		s.produce("events", `{"id":1}`, large, `{"id":3}`)
		s.create(withDeadLetters)
		s.failed(soon, "store record in dead-letter topic dlq: ")
		s.rows(0)
		if err := admin.DeleteTopic(s.Context(), "dlq"); err != nil {
			s.Fatal(err)
		}
		s.restart()
		s.rows(3, 2)
		s.deadLetters(large)
	})
}
