// Package json is org.apache.kafka.connect.json.JsonConverter: records in JSON, either
// plain (schemas.enable=false) or in an envelope of schema and payload.
//
// A Converter belongs to one goroutine. Documents are read in one pass, straight into
// Values: strings alias the data, keys that repeat from record to record are shared,
// and nothing is allocated per record.
//
// What Java reads without an error although the data is lost is refused here: an
// integer of more than 64 bits, a number that would become infinite, a NUMERIC decimal
// with more fraction digits than the schema's scale, an array that is not an array, a
// required text that is not a text. The other coercions are Java's: in an envelope a
// number takes the width of its type by dropping bits or fractions, and a value of
// another kind reads as 0, false or null. As in Java, what follows the document is
// ignored, also a second document. Members keep the order in which they stand, and of
// equal members of a plain object both are kept: the last one counts.
package json

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A Converter reads JSON. It must be configured before use.
type Converter struct {
	enveloped   bool
	replaceNull bool
	fixed       *plan // of schema.content; nil: schemas are in the envelopes
	schemas     cache
	scan        scanner
}

var _ connect.Converter = (*Converter)(nil)

// Names of settings.
const (
	keyEnable  = "schemas.enable"
	keyCache   = "schemas.cache.size"
	keyContent = "schema.content"
	keyDecimal = "decimal.format"
	keyReplace = "replace.null.with.default"
)

// Version is that of the Connect API.
func (*Converter) Version() string { return connect.APIVersion }

// ConfigDef declares the settings of JsonConverterConfig.
func (*Converter) ConfigDef() *connect.ConfigDef {
	return &connect.ConfigDef{Keys: []connect.ConfigKey{
		{
			Name: keyEnable, Type: connect.TypeBoolean, Default: new("true"), Importance: connect.High,
			Group: "Schemas", Order: 0, Width: "MEDIUM", Display: "Enable Schemas",
			Doc: "Include schemas within each of the serialized values and keys.",
		},
		{
			Name: keyCache, Type: connect.TypeInt, Default: new("1000"), Importance: connect.High,
			Group: "Schemas", Order: 1, Width: "MEDIUM", Display: "Schema Cache Size",
			Doc: "The maximum number of schemas that can be cached in this converter instance.", Check: checkCache,
		},
		{
			Name: keyContent, Type: connect.TypeString, Importance: connect.High,
			Group: "Schemas", Order: 2, Width: "MEDIUM", Display: "Schema Content",
			Doc: "The schema of all records, as it would stand in their envelopes, of which there are none then. Only with schemas.enable=true.",
		},
		{
			Name: keyDecimal, Type: connect.TypeString, Default: new("BASE64"), Importance: connect.Low,
			Group: "Serialization", Order: 0, Width: "MEDIUM", Display: "Decimal Format",
			Doc: "Controls which format this converter will serialize decimals in. This value is case insensitive and can be either 'BASE64' (default) or 'NUMERIC'. Both are read.", Check: checkDecimal,
		},
		{
			Name: keyReplace, Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Low,
			Group: "Serialization", Order: 1, Width: "MEDIUM", Display: "Replace null with default",
			Doc: "Whether to replace fields that have a default value and that are null to the default value. When set to true, the default value is used, otherwise null is used.",
		},
	}}
}

func checkCache(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 0 {
		return errors.New("must be a number of at least 0")
	}
	return nil
}

func checkDecimal(v string) error {
	if !strings.EqualFold(v, "BASE64") && !strings.EqualFold(v, "NUMERIC") {
		return errors.New("must be one of BASE64, NUMERIC")
	}
	return nil
}

// Configure reads the settings.
func (c *Converter) Configure(config map[string]string, _ bool) error {
	var err error
	if c.enveloped, err = boolean(config, keyEnable); err != nil {
		return err
	}
	if c.replaceNull, err = boolean(config, keyReplace); err != nil {
		return err
	}
	size := 1000
	if v, ok := config[keyCache]; ok {
		if err := checkCache(v); err != nil {
			return fmt.Errorf("invalid value %s for configuration %s: %w", v, keyCache, err)
		}
		size, _ = strconv.Atoi(v)
	}
	if v, ok := config[keyDecimal]; ok {
		if err := checkDecimal(v); err != nil {
			return fmt.Errorf("invalid value %s for configuration %s: %w", v, keyDecimal, err)
		}
	}
	c.schemas = cache{size: max(size, 1)}
	c.fixed, err = c.fixedSchema(config[keyContent])
	return err
}

// fixedSchema reads schema.content (KIP-1054); none, and null, leave the schemas to the envelopes.
func (c *Converter) fixedSchema(text string) (*plan, error) {
	if text == "" {
		return nil, nil
	}
	var arena connect.Arena
	c.scan.reset([]byte(text), &arena)
	fixed, end := c.schema(c.scan.space(0))
	if end < 0 {
		return nil, fmt.Errorf("invalid value for configuration %s: %w", keyContent, c.scan.err)
	}
	return fixed, nil
}

// boolean reads a setting that is true unless set.
func boolean(config map[string]string, key string) (bool, error) {
	switch v := strings.TrimSpace(config[key]); {
	case v == "" || strings.EqualFold(v, "true"):
		return true, nil
	case strings.EqualFold(v, "false"):
		return false, nil
	default:
		return false, fmt.Errorf("invalid value %s for configuration %s: expected value to be either true or false", v, key)
	}
}

// ToConnect reads one document. A plain document has no schema; its integers are Int,
// its other numbers Float, its objects Map.
func (c *Converter) ToConnect(_ context.Context, arena *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	if data == nil {
		return nil, connect.Value{}, nil
	}
	s := &c.scan
	s.reset(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), arena)
	p := s.space(0)
	switch {
	case c.enveloped && c.fixed != nil:
		v, p := s.typed(c.fixed, p)
		if p < 0 || s.ended(p, v) < 0 {
			return nil, connect.Value{}, s.err
		}
		return c.fixed.schema, v, nil
	case c.enveloped:
		return c.envelope(p)
	}
	if p == len(s.b) {
		return nil, connect.Value{}, nil
	}
	v, p := s.value(p)
	if p < 0 || s.ended(p, v) < 0 {
		return nil, connect.Value{}, s.err
	}
	return nil, v, nil
}

// ended checks that a number which is the whole document ends where it seems to.
func (s *scanner) ended(p int, v connect.Value) int {
	if k := v.Kind(); (k == connect.Int || k == connect.Float) && p < len(s.b) && s.space(p) == p {
		return s.unexpected(p, "white space after the number")
	}
	return p
}

// fail notes why the document cannot be read, and where. It returns -1.
func (s *scanner) fail(p int, what string) int {
	e := &connect.DataError{Msg: fmt.Sprintf("Converting byte[] to Kafka Connect data failed due to serialization error: %s, at byte %d of %d", what, p, len(s.b))}
	if len(s.b) >= 5 && s.b[0] == 0 {
		e.Hint = "the data starts like that of a schema registry: set the converter to io.confluent.connect.avro.AvroConverter"
	}
	s.err = e
	return -1
}

// unexpected notes that something else should stand at p.
func (s *scanner) unexpected(p int, want string) int {
	if p >= len(s.b) {
		return s.fail(p, "the data ends, expected "+want)
	}
	return s.fail(p, fmt.Sprintf("unexpected %q, expected %s", s.b[p:p+1], want))
}

// invalid notes that well-formed data is not what the schema says. It returns -1.
func (s *scanner) invalid(msg string) int {
	s.err = &connect.DataError{Msg: msg}
	return -1
}
