package bytes_test

import (
	"testing"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/converters/bytes"
)

func TestConverter(t *testing.T) {
	connecttest.Converter(t, func(*testing.T) connect.Converter { return new(bytes.Converter) }, []byte{}, []byte{0, 1, 0xff})

	data := []byte{1, 2}
	var arena connect.Arena
	schema, v, err := new(bytes.Converter).ToConnect(t.Context(), &arena, "topic", data)
	if err != nil || schema.Type != connect.BytesType || !schema.Optional || &v.Bytes()[0] != &data[0] {
		t.Errorf("got %v, %s, %v, want the same bytes under OPTIONAL_BYTES", schema, connecttest.Render(v), err)
	}
	if schema, _, err = new(bytes.Converter).ToConnect(t.Context(), &arena, "topic", nil); err != nil || schema == nil {
		t.Errorf("null: got schema %v, %v, want OPTIONAL_BYTES", schema, err)
	}
}
