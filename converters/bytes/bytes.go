// Package bytes is org.apache.kafka.connect.converters.ByteArrayConverter: the data
// of a record as it is. The value aliases the data.
package bytes

import (
	"context"

	"github.com/firn-io/firn/connect"
)

// A Converter passes bytes through. Its zero value is ready for use.
type Converter struct{}

var _ connect.Converter = (*Converter)(nil)

// schema is that of every value, also of a null (Java: Schema.OPTIONAL_BYTES_SCHEMA).
var schema = &connect.Schema{Type: connect.BytesType, Optional: true}

// Version is that of the Connect API.
func (*Converter) Version() string { return connect.APIVersion }

// ConfigDef is empty: there is nothing to set.
func (*Converter) ConfigDef() *connect.ConfigDef { return &connect.ConfigDef{} }

// Configure accepts any config.
func (*Converter) Configure(map[string]string, bool) error { return nil }

// ToConnect wraps data; a null keeps the schema.
func (*Converter) ToConnect(_ context.Context, _ *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	if data == nil {
		return schema, connect.Value{}, nil
	}
	return schema, connect.BytesValue(data), nil
}
