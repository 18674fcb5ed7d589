package cli

import (
	"log/slog"

	"github.com/firn-io/firn/worker/loglevel"
)

// loggers are the names under which /admin/loggers knows the parts of a worker: those of
// the Java classes that do the same, which is what operators and their scripts know.
var loggers = []loglevel.Name{
	{Package: "github.com/firn-io/firn/rest", Logger: "org.apache.kafka.connect.runtime.rest"},
	{Package: "github.com/firn-io/firn/worker", Logger: "org.apache.kafka.connect.runtime"},
	{Package: "github.com/firn-io/firn/worker/group", Logger: "org.apache.kafka.connect.runtime.distributed"},
	{Package: "github.com/firn-io/firn/worker/sink", Logger: "org.apache.kafka.connect.runtime.WorkerSinkTask"},
	{Package: "github.com/firn-io/firn/worker/topics", Logger: "org.apache.kafka.connect.storage"},
	{Package: "github.com/firn-io/firn/internal/kafka", Logger: "org.apache.kafka.clients"},
	{Package: "github.com/firn-io/firn/converters/avro", Logger: "io.confluent.connect.avro"},
	{Package: "github.com/firn-io/firn/converters/registry", Logger: "io.confluent.kafka.schemaregistry"},
	{Package: "github.com/firn-io/firn/connect/transforms", Logger: "org.apache.kafka.connect.transforms"},
	{Package: "github.com/firn-io/firn/connectors/iceberg", Logger: "org.apache.iceberg.connect"},
}

// workerLogger writes to the screen what e.levels, which begin with level, let through.
func (e *env) workerLogger(level slog.Level) *slog.Logger {
	e.levels = loglevel.New(level, loggers)
	everything, _ := loglevel.Parse("ALL")
	return slog.New(e.levels.Handler(newTextHandler(e.screen, everything, e.screen.colour)))
}
