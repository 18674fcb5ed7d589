package local

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"
)

func newStack(d *dir, broker, reg net.Addr, rest string) *Stack {
	catalog := filepath.ToSlash(d.join("catalog.db"))
	return &Stack{
		Dir:         d.path,
		Bootstrap:   broker.String(),
		RegistryURL: "http://" + reg.String(),
		CatalogURI:  "sqlite:///" + catalog,
		Warehouse:   fileURL(d.join("warehouse")),
		rest:        rest,
	}
}

// fileURL writes an absolute path as a URL; iceberg-go percent-decodes it again.
func fileURL(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… becomes file:///C:/…
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// WorkerConfig is the worker.properties of a distributed worker on this stack.
// Keys are text, values are Avro through the stack's registry; a connector
// that sets its own converter is free of both.
func (s *Stack) WorkerConfig() map[string]string {
	return map[string]string{
		"bootstrap.servers":                   s.Bootstrap,
		"group.id":                            "firn-local",
		"listeners":                           "http://" + s.rest,
		"key.converter":                       "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":                     "io.confluent.connect.avro.AvroConverter",
		"value.converter.schema.registry.url": s.RegistryURL,
		"config.storage.topic":                "connect-configs",
		"offset.storage.topic":                "connect-offsets",
		"status.storage.topic":                "connect-status",
		"config.storage.replication.factor":   "1",
		"offset.storage.replication.factor":   "1",
		"status.storage.replication.factor":   "1",
		"offset.storage.partitions":           "1",
		"status.storage.partitions":           "1",
		// One worker: nobody else is coming back whose tasks would have to wait.
		"scheduled.rebalance.max.delay.ms": "0",
		"offset.flush.interval.ms":         "5000",
	}
}

// Expand replaces, in the text of a connector config, the places that differ from
// one stack to the next: ${local:bootstrap}, ${local:registry}, ${local:catalog},
// ${local:warehouse} and ${local:dir}. Other references are left to the worker.
func (s *Stack) Expand(text string) string {
	return strings.NewReplacer(
		"${local:bootstrap}", s.Bootstrap,
		"${local:registry}", s.RegistryURL,
		"${local:catalog}", s.CatalogURI,
		"${local:warehouse}", s.Warehouse,
		"${local:dir}", s.Dir,
	).Replace(text)
}
