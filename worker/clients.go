package worker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// topLevel is the client configuration of the worker's own clients: every property
// without one of the prefixes of other clients.
func (c *Config) topLevel() map[string]string {
	props := map[string]string{}
	for k, v := range c.Props {
		if !strings.HasPrefix(k, prefixConsumer) && !strings.HasPrefix(k, prefixProducer) && !strings.HasPrefix(k, prefixAdmin) {
			props[k] = v
		}
	}
	return props
}

// own is the configuration of the worker's own clients with the client id
// GROUP-[CLIENT-]suffix.
func (c *Config) own(suffix string) map[string]string {
	props := c.topLevel()
	id := c.GroupID + "-"
	if c.ClientID != "" {
		id += c.ClientID + "-"
	}
	props["client.id"] = id + suffix
	return props
}

// sinkConsumer is the configuration of a sink task's consumer. Security settings of the
// top level do not reach it, as in Java: they are repeated with the prefix consumer.
func (c *Config) sinkConsumer(connector string, task int, config map[string]string) map[string]string {
	props := map[string]string{
		"group.id":           "connect-" + connector,
		"client.id":          "connector-consumer-" + connector + "-" + strconv.Itoa(task),
		keyBootstrap:         c.BootstrapServers,
		"enable.auto.commit": "false",
		"auto.offset.reset":  "earliest",
	}
	overlay(props, c.Props, prefixConsumer)
	overlay(props, config, overrideConsumer)
	if id := props["group.instance.id"]; id != "" && task > 0 { // in Java all tasks have the same and fence each other
		props["group.instance.id"] = id + "-" + strconv.Itoa(task)
	}
	return props
}

// deadLetterProducer is the configuration of the producer of a task's dead-letter topic.
func (c *Config) deadLetterProducer(connector string, task int, config map[string]string) map[string]string {
	props := map[string]string{
		keyBootstrap:                            c.BootstrapServers,
		"acks":                                  "all",
		"enable.idempotence":                    "false",
		"max.in.flight.requests.per.connection": "1",
		"delivery.timeout.ms":                   strconv.Itoa(1<<31 - 1),
		"client.id":                             "connector-dlq-producer-" + connector + "-" + strconv.Itoa(task),
	}
	overlay(props, c.Props, prefixProducer)
	overlay(props, config, overrideProducer)
	return props
}

// admin is the configuration of admin clients on behalf of a connector. They do inherit
// the top level.
func (c *Config) admin(clientID string, config map[string]string) map[string]string {
	props := c.topLevel()
	props["client.id"] = clientID
	overlay(props, c.Props, prefixAdmin)
	overlay(props, config, overrideAdmin)
	return props
}

// overlay puts what src has under prefix into dst, stripped of it.
func overlay(dst, src map[string]string, prefix string) {
	maps.Copy(dst, stripped(src, prefix))
}

// stripped returns what config has under prefix, without it.
func stripped(config map[string]string, prefix string) map[string]string {
	out := map[string]string{}
	for k, v := range config {
		if rest, ok := strings.CutPrefix(k, prefix); ok && rest != "" {
			if prefix == prefixConsumer || prefix == prefixProducer || prefix == prefixAdmin {
				if strings.HasPrefix(rest, "override.") {
					continue
				}
			}
			out[rest] = v
		}
	}
	return out
}

// principalKeys are what the policy Principal lets a connector override.
var principalKeys = []string{"sasl.jaas.config", "sasl.mechanism", "security.protocol"}

// mayOverride tells whether the policy lets a connector override a client property.
func (c *Config) mayOverride(key string) bool {
	switch c.OverridePolicy {
	case "None":
		return false
	case "Principal":
		return slices.Contains(principalKeys, key)
	case "Allowlist":
		return slices.Contains(c.OverrideAllowlist, key)
	}
	return true
}
