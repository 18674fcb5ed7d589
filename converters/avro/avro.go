// Package avro is io.confluent.connect.avro.AvroConverter: records in Avro, with the id
// of their schema in front.
//
// A schema is read from the registry and compiled when its id is met for the first
// time; from then on a record is decoded straight into Values in the batch's arena,
// without an allocation of its own: strings and bytes alias the data. The decoder takes
// hostile bytes: every length, count, number and depth is checked before it is used.
// hamba/avro parses the schemas; its decoder is not used.
//
// Schemas become what Confluent's AvroData makes of them, with these exceptions: the
// registry's version number of a schema is not looked up (so a renamed topic works, and
// schema.version is connect.version or none), a fixed with a decimal is a Decimal, and
// an int outside the range of connect.type int8 or int16 is an error instead of another
// number. Recursive records become schemas that contain themselves.
//
// A Converter belongs to one goroutine.
package avro

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/converters/registry"
)

// A Converter reads Avro. It must be configured before use.
type Converter struct {
	// Source is where schemas come from; Configure makes a client of the registry that
	// the config names if it is nil.
	Source registry.Source

	settings settings
	types    map[uint32]*compiled
	last     *compiled
	read     reader
}

var _ connect.Converter = (*Converter)(nil)

// A compiled is what a converter keeps for a schema id.
type compiled struct {
	id     uint32
	schema *connect.Schema
	node   *node
}

// maxCompiled bounds the schemas that a converter keeps: more ids than that on one
// topic are compiled again and again.
const maxCompiled = 10_000

// Version is that of the Connect API.
func (*Converter) Version() string { return connect.APIVersion }

// A toggle is a boolean setting.
type toggle struct {
	name string
	def  bool
	doc  string
	set  func(*settings, bool) // nil: not in this build, the default only
}

// toggles are the settings that change what is read. (Source: AvroDataConfig and
// AbstractKafkaSchemaSerDeConfig.)
var toggles = []toggle{
	{"connect.meta.data", true, "Allow the Connect converter to add its metadata to the output schema.", func(s *settings, v bool) { s.metaData = v }},
	{"enhanced.avro.schema.support", false, "Toggle for enabling/disabling enhanced avro schema support: enum symbol preservation and package name awareness.", func(s *settings, v bool) { s.enhanced = v }},
	{"flatten.singleton.unions", true, "Whether to flatten singleton unions.", func(s *settings, v bool) { s.flatten = v }},
	{"generalized.sum.type.support", false, "Toggle for enabling/disabling generalized sum type support: interoperability of enum/union with other schema formats.", func(s *settings, v bool) { s.general = v }},
	{"discard.type.doc.default", false, "Toggle for enabling/disabling discarding of type documentation and defaults in parameters.", func(s *settings, v bool) { s.discardDocs = v }},
	{"scrub.invalid.names", false, "Whether to scrub invalid names by replacing invalid characters with valid ones; not in this build.", nil},
	{"use.latest.version", false, "Whether to read with the latest schema of the subject; not in this build.", nil},
}

// ConfigDef declares the registry's settings and the converter's.
func (*Converter) ConfigDef() *connect.ConfigDef {
	keys := registry.ConfigKeys()
	for _, t := range toggles {
		key := connect.ConfigKey{Name: t.name, Type: connect.TypeBoolean, Default: new(strconv.FormatBool(t.def)), Importance: connect.Low, Doc: t.doc}
		key.Check = func(v string) error { _, err := t.value(v); return err }
		keys = append(keys, key)
	}
	keys = append(keys, connect.ConfigKey{
		Name: "schemas.cache.config", Type: connect.TypeInt, Default: new("1000"), Importance: connect.Low,
		Doc: "Size of the converted schemas cache; this build keeps up to 10000.",
	})
	return &connect.ConfigDef{Keys: keys}
}

func (t toggle) value(text string) (bool, error) {
	v := t.def
	switch {
	case strings.EqualFold(strings.TrimSpace(text), "true"):
		v = true
	case strings.EqualFold(strings.TrimSpace(text), "false"):
		v = false
	default:
		return v, errors.New("expected value to be either true or false")
	}
	if t.set == nil && v != t.def {
		return v, fmt.Errorf("this build has only %t", t.def)
	}
	return v, nil
}

// Configure reads the settings.
func (c *Converter) Configure(config map[string]string, _ bool) error {
	c.settings, c.types = settings{}, map[uint32]*compiled{}
	for _, t := range toggles {
		v := t.def
		if text, ok := config[t.name]; ok {
			var err error
			if v, err = t.value(text); err != nil {
				return fmt.Errorf("invalid value %s for configuration %s: %w", text, t.name, err)
			}
		}
		if t.set != nil {
			t.set(&c.settings, v)
		}
	}
	if c.Source == nil {
		client, err := registry.NewClient(config)
		if err != nil {
			return err
		}
		c.Source = client
	}
	return nil
}

// ToConnect decodes one record.
func (c *Converter) ToConnect(ctx context.Context, arena *connect.Arena, _ string, data []byte) (*connect.Schema, connect.Value, error) {
	if data == nil {
		return nil, connect.Value{}, nil
	}
	id, payload, err := registry.SplitHeader(data)
	if err != nil {
		return nil, connect.Value{}, err
	}
	t := c.last
	if t == nil || t.id != id {
		if t, err = c.compiled(ctx, id); err != nil {
			return nil, connect.Value{}, err
		}
		c.last = t
	}
	v, err := c.read.decode(t.node, payload, arena)
	if err != nil {
		return nil, connect.Value{}, blame(err, id)
	}
	return t.schema, v, nil
}

// blame adds the schema id to what was wrong with a record.
func blame(err error, id uint32) error {
	if e, ok := errors.AsType[*connect.DataError](err); ok {
		e.Msg = fmt.Sprintf("%s, with schema id %d", e.Msg, id)
		e.Hint = "was it written with that schema?"
	}
	return err
}

// compiled finds what is kept for the id, or asks the registry and compiles.
func (c *Converter) compiled(ctx context.Context, id uint32) (*compiled, error) {
	if t := c.types[id]; t != nil {
		return t, nil
	}
	text, err := c.Source.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	if text.Type != registry.Avro {
		return nil, &connect.DataError{
			Msg:  fmt.Sprintf("schema id %d is of type %s, not AVRO", id, text.Type),
			Hint: "set the converter that the topic's producers use",
		}
	}
	t, err := c.settings.compile(text)
	if err != nil {
		return nil, &connect.DataError{Msg: fmt.Sprintf("schema id %d: %v", id, err)}
	}
	if len(c.types) >= maxCompiled {
		clear(c.types)
	}
	c.types[id] = t
	return t, nil
}

func (s settings) compile(text *registry.Schema) (*compiled, error) {
	a, err := parse(text)
	if err != nil {
		return nil, err
	}
	tr := &translator{settings: s, open: map[string]*cycle{}}
	schema, err := tr.translate(a, use{})
	if err != nil {
		return nil, err
	}
	if schema.Name == namespace+".Anything" {
		return nil, errors.New("schemaless data in Avro (" + schema.Name + ") is not supported")
	}
	co := &compiler{settings: s, named: map[string]*node{}, least: map[string]int{}}
	n, err := co.compile(a)
	if err != nil {
		return nil, err
	}
	return &compiled{id: text.ID, schema: schema, node: n}, nil
}
