// Package registry finds schemas by the ids that records carry in front of their
// data: the wire header, and a client of the Confluent Schema Registry's REST API.
//
// A Client may be shared by any number of goroutines: one asks the registry, those
// who need the same id wait for its answer. It starts no goroutine of its own. It
// reads schemas only; it registers none.
package registry

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/firn-io/firn/connect"
)

// A Source is where converters get schemas from.
type Source interface {
	// Schema returns the schema with the id. Errors: [connect.RetryError] with Outage when the
	// same call may succeed later, [connect.DataError] when there is no such schema or it
	// cannot be used, [connect.FatalError] when the registry refuses the caller or is none,
	// the context's error.
	Schema(ctx context.Context, id uint32) (*Schema, error)
}

// The types of schemas.
const (
	Avro     = "AVRO"
	Protobuf = "PROTOBUF"
	JSON     = "JSON"
)

// A Schema is one immutable entry of a registry.
type Schema struct {
	ID         uint32
	Type       string // Avro, Protobuf or JSON
	Text       string
	References []Reference // all that Text needs, directly or not: each stands after those it needs itself
}

// A Reference is another schema that a schema names.
type Reference struct {
	Name    string // as the schema that refers to it calls it
	Subject string
	Version int
	Text    string
}

// SplitHeader takes the wire header off data: one zero byte, then the schema id as
// four bytes, big-endian. The payload shares memory with data. The error is a
// [connect.DataError]. (Source: Confluent Schema Registry, "Wire format".)
func SplitHeader(data []byte) (id uint32, payload []byte, err error) {
	if len(data) < 5 || data[0] != 0 {
		return 0, nil, &connect.DataError{
			Msg:  fmt.Sprintf("no schema-registry header: %d bytes starting %s", len(data), starting(data)),
			Hint: "a header is a zero byte and a schema id of four bytes; " + guess(data),
		}
	}
	return binary.BigEndian.Uint32(data[1:]), data[5:], nil
}

func starting(data []byte) string {
	if len(data) == 0 {
		return "with nothing"
	}
	return fmt.Sprintf("% x", data[:min(len(data), 5)])
}

// guess tells what the data looks like, and so which converter may read it.
func guess(data []byte) string {
	if len(data) > 0 {
		switch c := data[0]; {
		case c == '{' || c == '[':
			return "the topic seems to hold JSON: set the converter to org.apache.kafka.connect.json.JsonConverter"
		case c == 0:
			return "the data is cut off"
		case c == 1:
			return "schema ids as GUIDs are not supported"
		case c >= 0x20 && c < 0x7f:
			return "the topic seems to hold text: set the converter to org.apache.kafka.connect.storage.StringConverter"
		}
	}
	return "set the converter that the topic's producers use"
}
