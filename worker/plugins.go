package worker

import (
	"github.com/firn-io/firn/connect"
)

// Plugins is every plugin of this build: Java class name and short alias → constructor.
// It is read only once a Worker has it.
type Plugins struct {
	Connectors map[string]func() connect.SinkConnector
	Converters map[string]func() connect.Converter
	Transforms map[string]func() connect.Transformation
}
