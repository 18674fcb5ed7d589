package worker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/sink"
)

// parts makes what a task is put together from.
type parts struct {
	cfg     *Config
	plugins *Plugins
	dial    kafka.Dialer
}

func (h *Herder) parts() parts { return parts{h.cfg, h.plugins, h.dial} }

// A Pipeline is the way of records to a connector's tasks, for those who want to go it
// again without running the connector.
type Pipeline struct {
	Config     map[string]string // of the connector, variables resolved
	Connector  connect.SinkConnector
	Consumer   *kafka.Config // of a task's consumer
	Key, Value connect.Converter
	Transforms []sink.Transform
}

// NewPipeline makes the pipeline of a connector as a worker of that configuration would. It
// does no I/O but that of config providers. dial may be nil.
func NewPipeline(cfg *Config, plugins Plugins, dial kafka.Dialer, connector map[string]string) (*Pipeline, error) {
	p := parts{cfg, &plugins, dial}
	config, err := cfg.providers.resolve(connector)
	if err != nil {
		return nil, err
	}
	_, newConnector, ok := plugins.connector(config[keyConnectorClass])
	if !ok {
		return nil, fmt.Errorf("no connector %q in this build; it has %s", config[keyConnectorClass], strings.Join(classes(plugins.Connectors), ", "))
	}
	out := &Pipeline{Config: maps.Clone(config), Connector: newConnector()}
	if out.Consumer, err = p.client(overrideConsumer, config, cfg.sinkConsumer(config["name"], 0, config)); err != nil {
		return nil, err
	}
	if out.Key, _, err = p.newConverter("key.converter", cfg.KeyConverter, config); err != nil {
		return nil, err
	}
	if out.Value, _, err = p.newConverter("value.converter", cfg.ValueConverter, config); err != nil {
		return nil, err
	}
	out.Transforms, err = p.newTransforms(config)
	return out, err
}

// client makes the configuration of a client whose properties the connector may override
// under prefix, as far as the policy allows.
func (p parts) client(prefix string, config, props map[string]string) (*kafka.Config, error) {
	for _, key := range slices.Sorted(maps.Keys(stripped(config, prefix))) {
		if !p.cfg.mayOverride(key) {
			return nil, fmt.Errorf("Client Config Overrides not allowed: the '%s' policy does not allow '%s' to be overridden in the connector configuration", p.cfg.OverridePolicy, prefix+key)
		}
	}
	c, err := kafka.NewConfig(props, p.dial)
	if err != nil {
		return nil, fmt.Errorf("configure the client of %s*: %w", prefix, err)
	}
	return c, nil
}

// newConverter makes a converter for a task: the connector's, configured from the
// connector's keys alone, or the worker's, configured from the worker's.
func (p parts) newConverter(key, fallback string, config map[string]string) (connect.Converter, string, error) {
	name, settings := fallback, stripped(p.cfg.Props, key+".")
	if own, ok := config[key]; ok {
		name, settings = own, stripped(config, key+".")
	}
	class, newConverter, ok := p.plugins.converter(name)
	if !ok {
		return nil, "", fmt.Errorf("Invalid value %s for configuration %s: Class %s could not be found.", name, key, name) //nolint:revive,staticcheck // Java's wording
	}
	converter := newConverter()
	if err := converter.Configure(settings, key == "key.converter"); err != nil {
		return nil, "", fmt.Errorf("configure %s %s: %w", key, class, err)
	}
	return converter, class, nil
}

// newTransforms makes the transformations of a task, in order.
func (p parts) newTransforms(config map[string]string) ([]sink.Transform, error) {
	var chain []sink.Transform
	for _, alias := range (connect.Values{"": config[keyTransforms]}).List("") {
		prefix := keyTransforms + "." + alias + "."
		name := config[prefix+"type"]
		class, newTransform, ok := p.plugins.transform(name)
		if !ok {
			return nil, fmt.Errorf("Invalid value %s for configuration %stype: Class %s could not be found.", name, prefix, name) //nolint:revive,staticcheck // Java's wording
		}
		if config[prefix+"predicate"] != "" {
			return nil, fmt.Errorf("predicates are not in this build: leave out %spredicate", prefix)
		}
		t := newTransform()
		if err := t.Configure(stripped(config, prefix)); err != nil {
			return nil, fmt.Errorf("configure transformation %s: %w", alias, err)
		}
		chain = append(chain, sink.Transform{Alias: alias, Class: class, Transformation: t})
	}
	return chain, nil
}
