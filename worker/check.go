package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// Findings are what is wrong with a config, and what is not but should be known. Messages
// hold no values of secrets.
type Findings struct {
	Errors   []connect.ConfigError
	Warnings []connect.ConfigError
}

// CheckWorker checks a worker's properties with check, which is [NewConfig] or
// [NewStandaloneConfig], its converters, and the clients that every task will have. The Config is
// fit for [CheckConnector]; it is nil if config providers do not work.
func CheckWorker(props map[string]string, plugins Plugins, check func(map[string]string) (*Config, []string, error)) (*Config, Findings) {
	cfg, warnings, err := check(props)
	f := Findings{Errors: configErrors(err)}
	for _, w := range warnings {
		f.Warnings = append(f.Warnings, connect.ConfigError{Message: w})
	}
	if cfg == nil {
		return nil, f
	}
	p := parts{cfg, &plugins, nil}
	for key, class := range map[string]string{"key.converter": cfg.KeyConverter, "value.converter": cfg.ValueConverter} {
		if class == "" {
			continue // missed already
		}
		if _, _, err := p.newConverter(key, class, nil); err != nil {
			f.Errors = append(f.Errors, connect.ConfigError{Key: key, Message: err.Error()})
		}
	}
	if cfg.BootstrapServers == "" {
		return cfg, f
	}
	for _, client := range []struct {
		prefix string
		props  map[string]string
	}{
		{prefixConsumer, cfg.sinkConsumer("", 0, nil)},
		{prefixProducer, cfg.deadLetterProducer("", 0, nil)},
	} {
		own := stripped(cfg.Props, client.prefix)
		_, err := kafka.NewConfig(client.props, nil)
		for _, e := range configErrors(err) {
			if _, ok := own[e.Key]; ok {
				f.Errors = append(f.Errors, connect.ConfigError{Key: client.prefix + e.Key, Message: e.Message})
			}
		}
		f.unknown(client.prefix, kafka.Unknown(own))
	}
	return cfg, f
}

func (f *Findings) unknown(prefix string, keys []string) {
	for _, key := range keys {
		f.warn(prefix+key, "The configuration '"+prefix+key+"' was supplied but isn't a known config.")
	}
}

func (f *Findings) warn(key, message string) {
	f.Warnings = append(f.Warnings, connect.ConfigError{Key: key, Message: message})
}

// CheckConnector checks a connector's config as POST /connectors does. Only with outside is
// something asked over the network: connectors then try what they will work with.
func CheckConnector(ctx context.Context, cfg *Config, plugins Plugins, config map[string]string, outside bool) Findings {
	given := make(map[string]*string, len(config))
	for k, value := range config {
		given[k] = &value
	}
	v := &validator{config: cfg, plugins: &plugins, offline: !outside}
	var infos *connect.ConfigInfos
	err := contained(func() (err error) {
		infos, err = v.validate(ctx, given)
		return err
	})
	if err != nil {
		if class := strings.TrimSpace(config[keyConnectorClass]); class != "" && !plugins.HasConnector(class) {
			err = fmt.Errorf("this build has no connector class %s, only %s; it runs no source connectors", class, strings.Join(classes(plugins.Connectors), ", "))
		}
		return Findings{Errors: []connect.ConfigError{{Key: keyConnectorClass, Message: err.Error()}}}
	}
	f := Findings{Warnings: infos.Warnings}
	defined := map[string]bool{}
	for _, info := range infos.Configs {
		defined[info.Value.Name] = true
		for _, message := range info.Value.Errors {
			if has := info.Value.RecommendedValues; len(has) > 0 && strings.HasSuffix(message, "could not be found.") {
				message += " This build has " + strings.Join(has, ", ")
			}
			f.Errors = append(f.Errors, connect.ConfigError{Key: info.Value.Name, Message: message})
		}
		if _, given := config[info.Value.Name]; given && strings.HasSuffix(info.Value.Name, ".plugin.version") {
			f.warn(info.Value.Name, info.Value.Name+" has no effect: there is one version of each plugin, the built-in")
		}
	}
	f.idle(config, defined)
	return f
}

// idle warns of the keys of a connector that have no effect. What begins like the keys of
// the connector's own definition is the connector's to warn of.
func (f *Findings) idle(config map[string]string, defined map[string]bool) {
	own := map[string]bool{}
	for key := range defined {
		if head, _, dotted := strings.Cut(key, "."); dotted && head != keyTransforms && !frameworkHeads[head] {
			own[head] = true
		}
	}
	aliases := (connect.Values{"": config[keyTransforms]}).List("")
	for _, key := range slices.Sorted(maps.Keys(config)) {
		head, rest, _ := strings.Cut(key, ".")
		switch {
		case defined[key] || own[head]:
		case strings.HasPrefix(key, overrideConsumer), strings.HasPrefix(key, overrideProducer), strings.HasPrefix(key, overrideAdmin):
			prefix := head + ".override."
			f.unknown(prefix, kafka.Unknown(map[string]string{strings.TrimPrefix(key, prefix): ""}))
		case converterOf(key) != "" && config[converterOf(key)] == "":
			f.warn(key, key+" has no effect without "+converterOf(key)+" beside it: the worker's converter goes by the worker's settings")
		case head == keyTransforms && !slices.Contains(aliases, before(rest)):
			f.warn(key, key+" has no effect: transforms does not list "+before(rest))
		case head == keyPredicates && config[keyPredicates] != "", head == keyTransforms && (strings.HasSuffix(key, ".predicate") || strings.HasSuffix(key, ".negate")):
			// an error already
		case head == "header" && rest != "":
			f.warn(key, key+" has no effect: headers reach a task as bytes")
		default:
			f.warn(key, "The configuration '"+key+"' was supplied but isn't a known config.")
		}
	}
}

// frameworkHeads begin keys of every connector.
var frameworkHeads = map[string]bool{
	"connector": true, "tasks": true, "key": true, "value": true, "header": true, "config": true, "errors": true, "topics": true,
	"consumer": true, "producer": true, "admin": true, keyPredicates: true,
}

// converterOf names the converter that a key is a setting of, or is empty.
func converterOf(key string) string {
	for _, c := range []string{"key.converter", "value.converter"} {
		if strings.HasPrefix(key, c+".") {
			return c
		}
	}
	return ""
}

func before(rest string) string {
	alias, _, _ := strings.Cut(rest, ".")
	return alias
}

// Unresolved returns the keys of a connector's config that hold variables which the config
// providers of this worker do not know, sorted.
func (c *Config) Unresolved(config map[string]string) []string {
	resolved, err := c.providers.resolve(config)
	if err != nil {
		return nil // an error of CheckConnector
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(resolved)) {
		if variable.MatchString(resolved[key]) {
			out = append(out, key)
		}
	}
	return out
}
