package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/topics"
)

// ErrNoConnector says that the cluster has no connector of a name.
var ErrNoConnector = errors.New("no such connector")

// ReadConnector returns the config of a connector as the config topic has it, for
// commands that are not workers. It creates nothing.
func ReadConnector(ctx context.Context, c *Config, dial kafka.Dialer, log *slog.Logger, name string) (map[string]string, error) {
	all, err := ReadConnectors(ctx, c, dial, log)
	if err != nil {
		return nil, err
	}
	if config, ok := all[name]; ok {
		return config, nil
	}
	return nil, fmt.Errorf("%w: %q is not among those of group %s: %q", ErrNoConnector, name, c.GroupID, slices.Sorted(maps.Keys(all)))
}

// ReadConnectors returns the configs of all connectors as the config topic has them, by
// name. It creates nothing.
func ReadConnectors(ctx context.Context, c *Config, dial kafka.Dialer, log *slog.Logger) (configs map[string]map[string]string, err error) {
	client, err := kafka.NewConfig(c.own("settle"), dial)
	if err != nil {
		return nil, err
	}
	if err := hasTopic(ctx, client, c.ConfigTopic.Name); err != nil {
		return nil, err
	}
	t := topics.NewConfigTopic(topics.ConfigOptions{
		Spec: c.ConfigTopic.spec(topics.KindConfig), Admin: client, Consumer: client, Producer: client, Logger: log,
	})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- t.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	select {
	case <-t.Ready():
	case err := <-ended:
		ended <- nil
		return nil, err
	}
	state := t.State()
	configs = map[string]map[string]string{}
	for _, name := range state.Connectors() {
		configs[name] = state.Config(name)
	}
	return configs, nil
}

// Client is the configuration of a client of a command that is no worker. It takes part in
// the worker's client id.
func (c *Config) Client(purpose string) map[string]string { return c.own(purpose) }

func hasTopic(ctx context.Context, client *kafka.Config, name string) (err error) {
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	found, err := admin.Topics(ctx, name)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no topic %s (config.storage.topic): is this the workers' cluster?", name)
	}
	return err
}

// Resolve returns a connector's config with the variables of config providers put in,
// its client configuration for group offsets, and its consumer group.
func (c *Config) Resolve(config map[string]string) (resolved map[string]string, client map[string]string, group string, err error) {
	if resolved, err = c.providers.resolve(config); err != nil {
		return nil, nil, "", err
	}
	name := resolved[keyName]
	return resolved, c.admin("firn-settle-"+name, resolved), c.sinkConsumer(name, 0, resolved)[keyGroupID], nil
}
