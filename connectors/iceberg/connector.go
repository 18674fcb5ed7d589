// Package iceberg is the Iceberg sink: the connector and the task that the worker sees.
//
// A task takes records, finds their tables (route), turns them into columns and Parquet
// files (columns, datafile) and announces ranges of offsets with their files; the task
// that owns the first partition of the connector also runs its coordinator (commit),
// which alone adds files to tables, exactly once.
//
// The task's goroutine owns files, floors and positions. Loading tables, uploading files,
// reading the control topic and committing happen beside it and come back as closures
// that the task runs at its next Put, so that the poll loop never waits for I/O.
package iceberg

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/route"
	"github.com/firn-io/firn/internal/kafka"
)

// Class names under which users know the sink.
const (
	ApacheClass  = "org.apache.iceberg.connect.IcebergSinkConnector"
	TabularClass = "io.tabular.iceberg.connect.IcebergSinkConnector"
)

// A Connector is the Iceberg sink connector.
type Connector struct {
	// OpenCatalog opens the catalog of a task; Dial connects to the control topic's
	// brokers. Tests put their own here; nil means the real ones.
	OpenCatalog func(ctx context.Context, name string, props map[string]string) (catalog.Catalog, error)
	Dial        kafka.Dialer

	accepted *acceptance
	doubts   []error // what the last validation found missing that the sink can do without
	config   map[string]string
}

var _ connect.SinkConnector = (*Connector)(nil)

// ConfigDef is that of the Apache sink.
func (c *Connector) ConfigDef() *connect.ConfigDef { return configDef() }

// Version is that of the sink whose configs are understood.
func (c *Connector) Version() string { return "1.12.0" }

// Validate reports what is wrong with keys together, and, if nothing is, tries the catalog
// and the storage. What ConfigDef says of single keys is not repeated.
func (c *Connector) Validate(ctx context.Context, config map[string]string) []connect.ConfigError {
	_, err := configDef().Parse(config)
	if out := c.Faults(config); err != nil || len(out) > 0 {
		return out
	}
	return c.probe(ctx, config)
}

// Faults adds what can be seen without I/O to what the definition of the keys says.
func (c *Connector) Faults(config map[string]string) []connect.ConfigError {
	_, known := configDef().Parse(config)
	blamed := make(map[string]bool)
	for _, err := range unjoin(known) {
		if e, ok := errors.AsType[connect.ConfigError](err); ok {
			blamed[e.Key] = true
		}
	}
	var out []connect.ConfigError
	for _, err := range faults(config) {
		if e, ok := errors.AsType[connect.ConfigError](err); ok && !blamed[e.Key] {
			out = append(out, e)
		}
	}
	return out
}

// faults is everything that is wrong with a config and can be seen without I/O.
func faults(config map[string]string) []error {
	_, all := parseConfig(config)
	_, routing := route.Parse(config)
	return append(unjoin(all), unjoin(routing)...)
}

// unjoin lists the errors that errors.Join put together.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// Start remembers the config. That it is in use means that it was accepted once: the
// catalog may be away now, and is not tried.
func (c *Connector) Start(_ context.Context, config map[string]string) error {
	if errs := faults(config); len(errs) > 0 {
		return errs[0]
	}
	c.accepted.add(config)
	c.config = maps.Clone(config)
	return nil
}

// TaskConfigs gives every task the whole config and its number. Tasks may run on workers in
// Java, which need a suffix for their transactional ids. Java's connector makes a new one
// each time; this one stays, so that tasks need not start again with every connector.
func (c *Connector) TaskConfigs(maxTasks int) ([]map[string]string, error) {
	id := sha256.Sum256([]byte(c.config["name"]))
	out := make([]map[string]string, maxTasks)
	for i := range out {
		out[i] = maps.Clone(c.config)
		out[i][taskIDKey] = strconv.Itoa(i)
		out[i][transactionalKey] = fmt.Sprintf("-txn-%x-%d", id[:16], i)
	}
	return out, nil
}

// Stop has nothing to release.
func (c *Connector) Stop(context.Context) error { return nil }

// NewTask makes a task.
func (c *Connector) NewTask() connect.SinkTask {
	return &Task{openCatalog: c.catalogOpener(), dial: c.Dial}
}

func (c *Connector) catalogOpener() func(ctx context.Context, name string, props map[string]string) (catalog.Catalog, error) {
	if c.OpenCatalog != nil {
		return c.OpenCatalog
	}
	return catalog.Open
}

var _ connect.OffsetKeeper = (*Connector)(nil)

// OffsetGroup is, for a Tabular sink, the group under which it keeps its offsets: there its
// tasks begin, whatever their consumer group says.
func (c *Connector) OffsetGroup(raw map[string]string) (group string, client map[string]string, err error) {
	cfg, err := parseConfig(raw)
	if err != nil || !cfg.tabular {
		return "", nil, err
	}
	return cfg.identity().Group, cfg.kafkaProps, nil
}

// AlterOffsets sets the floors in the tables known from the config and the topics, so that
// records are written again, or passed over, as asked. Tables whose names come from
// records cannot be listed: for those it says no.
func (c *Connector) AlterOffsets(ctx context.Context, raw map[string]string, offsets map[connect.TopicPartition]*int64) (bool, error) {
	cfg, err := parseConfig(raw)
	if err != nil {
		return false, err
	}
	router, err := route.Parse(raw)
	if err != nil {
		return false, err
	}
	cat, err := c.catalogOpener()(ctx, cfg.catalogName, cfg.catalogProps)
	if err != nil {
		return false, fmt.Errorf("open catalog %s: %w", cfg.catalogName, err)
	}
	defer cat.Close() //nolint:errcheck // nothing is pending on it
	id := cfg.identity()
	topics := make(map[string]bool)
	for tp := range offsets {
		topics[tp.Topic] = true
	}
	known, all := router.Known(slices.Sorted(maps.Keys(topics)))
	for _, ident := range known {
		if err := commit.Rewind(ctx, cat, cfg.target(strings.Join(ident, ".")), id.Group, offsets); err != nil {
			return false, err
		}
	}
	return all && (raw["transforms"] == "" || len(router.Static()) > 0), nil // a transformation may rename topics
}
