package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/firn-io/firn/worker"
)

var standaloneCommand = command{
	name:  "standalone",
	args:  "worker.properties connector.(properties|json)...",
	short: "a worker on its own with its connectors from files, as connect-standalone.sh",
	long: `
Runs the connectors of the given files without a group and without internal
topics. A connector file is a .properties file, or JSON: a flat object of keys,
or {"name": …, "config": {…}} as POST /connectors takes it.

Exit codes: 2 bad config, 3 failed to start, 1 other.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		level := logLevel(flags, "info")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) < 1 {
				return &usageError{"standalone: give worker.properties and the connectors' files"}
			}
			log := e.workerLogger(level.Level)
			cfg, err := workerConfig(args[0], log, worker.NewStandaloneConfig)
			if err != nil {
				return err
			}
			var connectors []map[string]string
			for _, path := range args[1:] {
				c, err := readConnector(path, nil)
				if err != nil {
					return configError(err)
				}
				connectors = append(connectors, c)
			}
			return runWorker(ctx, worker.Options{
				Config: cfg, Plugins: e.plugins.Plugins, Logger: log, Levels: e.levels, Standalone: true, Connectors: connectors,
			}, nil)
		}
	},
}

// readConnector reads a connector's file and returns its config with "name" in it.
// expand, if not nil, is applied to the text of a JSON file.
func readConnector(path string, expand func(string) string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config map[string]string
	if strings.HasSuffix(path, ".properties") {
		config, err = worker.ParseProperties(bytes.NewReader(text))
	} else {
		if expand != nil {
			text = []byte(expand(string(text)))
		}
		config, err = parseConnector(text)
	}
	if err == nil && config["name"] == "" {
		err = errors.New(`it has no "name"`)
	}
	if err != nil {
		return nil, fmt.Errorf("read connector %s: %w", path, err)
	}
	return config, nil
}

// parseConnector reads both JSON forms of a connector.
func parseConnector(text []byte) (map[string]string, error) {
	var request struct {
		Name   string         `json:"name"`
		Config map[string]any `json:"config"`
	}
	if err := decodeJSON(text, &request); err != nil || request.Config == nil {
		var flat map[string]any
		if err := decodeJSON(text, &flat); err != nil {
			return nil, err
		}
		return texts(flat)
	}
	config, err := texts(request.Config)
	if err != nil {
		return nil, err
	}
	if inside, ok := config["name"]; ok && inside != request.Name {
		return nil, fmt.Errorf("it is named %q outside and %q inside its config", request.Name, inside)
	}
	config["name"] = request.Name
	return config, nil
}

// decodeJSON decodes text, all of it, and keeps numbers as they are written.
func decodeJSON(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows the JSON value at byte %d", dec.InputOffset())
	}
	return nil
}

// texts turns JSON values into the text that a config holds: 2 and "2" are the same.
func texts(values map[string]any) (map[string]string, error) {
	config := make(map[string]string, len(values))
	for key, value := range values {
		switch v := value.(type) {
		case string:
			config[key] = v
		case json.Number, bool:
			config[key] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("the value of %q is no text, number or boolean", key)
		}
	}
	return config, nil
}
