package faults

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

// Config says how the failures of one connector's records are treated. [ParseConfig]
// fills what the connector's errors.* keys say; the rest comes from the worker.
type Config struct {
	RetryTimeout  time.Duration // errors.retry.timeout: 0 no retries, negative for ever
	RetryDelayMax time.Duration // errors.retry.delay.max.ms
	TolerateAll   bool          // errors.tolerance=all
	Log           bool          // errors.log.enable
	LogMessages   bool          // errors.log.include.messages

	DLQTopic       string // errors.deadletterqueue.topic.name, trimmed; "" for no queue
	DLQReplication int16  // errors.deadletterqueue.topic.replication.factor
	DLQHeaders     bool   // errors.deadletterqueue.context.headers.enable

	// Producer and Admin are the clients of the dead-letter queue (connector-dlq-producer-…
	// with producer.* and producer.override.*, connector-dlq-adminclient-…); both may be nil
	// when DLQTopic is "".
	Producer *kafka.Config
	Admin    *kafka.Config
}

// ParseConfig reads the errors.* keys of a connector config. A value of the wrong
// type is an error in Java's words; validate has usually said so before.
func ParseConfig(connector map[string]string) (Config, error) {
	p := parser{config: connector}
	c := Config{
		RetryTimeout:   p.millis("errors.retry.timeout", 0),
		RetryDelayMax:  p.millis("errors.retry.delay.max.ms", 60_000),
		Log:            p.boolean("errors.log.enable"),
		LogMessages:    p.boolean("errors.log.include.messages"),
		DLQTopic:       strings.TrimSpace(connector["errors.deadletterqueue.topic.name"]),
		DLQReplication: int16(p.integer("errors.deadletterqueue.topic.replication.factor", 16, 3)),
		DLQHeaders:     p.boolean("errors.deadletterqueue.context.headers.enable"),
	}
	switch v := strings.TrimSpace(connector["errors.tolerance"]); strings.ToLower(v) {
	case "all":
		c.TolerateAll = true
	case "", "none":
	default:
		p.fail("errors.tolerance", v, "String must be one of (case insensitive): NONE, ALL")
	}
	return c, p.err
}

// A parser keeps the first error.
type parser struct {
	config map[string]string
	err    error
}

func (p *parser) fail(key, value, why string) {
	if p.err == nil {
		p.err = fmt.Errorf("Invalid value %s for configuration %s: %s", value, key, why) //nolint:staticcheck // Java's sentence
	}
}

func (p *parser) integer(key string, bits int, fallback int64) int64 {
	v, ok := p.config[key]
	if !ok {
		return fallback
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, bits)
	if err != nil {
		kind := "LONG"
		if bits == 16 {
			kind = "SHORT"
		}
		p.fail(key, v, "Not a number of type "+kind)
		return fallback
	}
	return n
}

func (p *parser) millis(key string, fallback int64) time.Duration {
	n := p.integer(key, 64, fallback)
	if n > int64(1<<63-1)/int64(time.Millisecond) {
		return -1 // centuries: for ever
	}
	return time.Duration(n) * time.Millisecond
}

func (p *parser) boolean(key string) bool {
	v, ok := p.config[key]
	if !ok {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true":
		return true
	case "false":
		return false
	}
	p.fail(key, v, "Expected value to be either true or false")
	return false
}
