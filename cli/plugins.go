package cli

import (
	"fmt"
	"maps"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/transforms"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/converters/avro"
	"github.com/firn-io/firn/converters/bytes"
	"github.com/firn-io/firn/converters/json"
	"github.com/firn-io/firn/converters/str"
	"github.com/firn-io/firn/worker"
)

// Plugins is every plugin of a build.
type Plugins struct{ worker.Plugins }

// Builtin is every plugin in this build, under the class name that users already
// have in their configs and under a short alias.
func Builtin() Plugins {
	sink := iceberg.Factory()
	return Plugins{worker.Plugins{
		Connectors: map[string]func() connect.SinkConnector{
			"org.apache.iceberg.connect.IcebergSinkConnector": sink,
			"io.tabular.iceberg.connect.IcebergSinkConnector": sink,
			"IcebergSinkConnector":                            sink,
			"IcebergSink":                                     sink,
		},
		Converters: map[string]func() connect.Converter{
			"io.confluent.connect.avro.AvroConverter": newAvro,
			"AvroConverter": newAvro,
			"Avro":          newAvro,
			"org.apache.kafka.connect.converters.ByteArrayConverter": newBytes,
			"ByteArrayConverter": newBytes,
			"ByteArray":          newBytes,
			"org.apache.kafka.connect.json.JsonConverter": newJSON,
			"JsonConverter": newJSON,
			"Json":          newJSON,
			"org.apache.kafka.connect.storage.StringConverter": newString,
			"StringConverter": newString,
			"String":          newString,
		},
		Transforms: map[string]func() connect.Transformation{
			"org.apache.iceberg.connect.transforms.CopyValue":              transforms.NewCopyValue,
			"org.apache.iceberg.connect.transforms.DebeziumTransform":      transforms.NewDebezium,
			"org.apache.iceberg.connect.transforms.DmsTransform":           transforms.NewDMS,
			"org.apache.iceberg.connect.transforms.JsonToMapTransform":     transforms.NewJSONToMap,
			"org.apache.iceberg.connect.transforms.KafkaMetadataTransform": transforms.NewKafkaMetadata,
			"org.apache.iceberg.connect.transforms.MongoDebeziumTransform": transforms.NewMongoDebezium,
			"io.tabular.iceberg.connect.transforms.CopyValue":              transforms.NewCopyValue,
			"io.tabular.iceberg.connect.transforms.DebeziumTransform":      transforms.NewDebezium,
			"io.tabular.iceberg.connect.transforms.DmsTransform":           transforms.NewDMS,
			"io.tabular.iceberg.connect.transforms.JsonToMapTransform":     transforms.NewJSONToMap,
			"io.tabular.iceberg.connect.transforms.KafkaMetadataTransform": transforms.NewKafkaMetadata,
			"io.tabular.iceberg.connect.transforms.MongoDebeziumTransform": transforms.NewMongoDebezium,
			"CopyValue":              transforms.NewCopyValue,
			"DebeziumTransform":      transforms.NewDebezium,
			"DmsTransform":           transforms.NewDMS,
			"JsonToMapTransform":     transforms.NewJSONToMap,
			"KafkaMetadataTransform": transforms.NewKafkaMetadata,
			"MongoDebeziumTransform": transforms.NewMongoDebezium,
			"org.apache.kafka.connect.transforms.InsertField$Key": transforms.NewInsertFieldKey,
			"InsertField$Key": transforms.NewInsertFieldKey,
			"org.apache.kafka.connect.transforms.InsertField$Value": transforms.NewInsertFieldValue,
			"InsertField$Value": transforms.NewInsertFieldValue,
			"org.apache.kafka.connect.transforms.RegexRouter": transforms.NewRegexRouter,
			"RegexRouter": transforms.NewRegexRouter,
		},
	}}
}

func newAvro() connect.Converter   { return new(avro.Converter) }
func newBytes() connect.Converter  { return new(bytes.Converter) }
func newJSON() connect.Converter   { return new(json.Converter) }
func newString() connect.Converter { return new(str.Converter) }

// With adds a plugin under a class name: a func() that returns a
// connect.SinkConnector, connect.Converter or connect.Transformation. It panics on
// anything else, which is a mistake of the program that calls it.
func (p Plugins) With(class string, constructor any) Plugins {
	p.Connectors, p.Converters, p.Transforms = maps.Clone(p.Connectors), maps.Clone(p.Converters), maps.Clone(p.Transforms)
	switch newPlugin := constructor.(type) {
	case func() connect.SinkConnector:
		p.Connectors[class] = newPlugin
	case func() connect.Converter:
		p.Converters[class] = newPlugin
	case func() connect.Transformation:
		p.Transforms[class] = newPlugin
	default:
		panic(fmt.Sprintf("cli: the constructor of %s is a %T, not a func() of a plugin interface", class, constructor))
	}
	return p
}
