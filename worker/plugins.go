package worker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

// Plugins is every plugin of this build: Java class name and short alias → constructor.
// A name with a dot is a class name; its simple name, and that without the suffix of its
// kind, are aliases without being listed. It is read only once a Worker has it.
type Plugins struct {
	Connectors map[string]func() connect.SinkConnector
	Converters map[string]func() connect.Converter
	Transforms map[string]func() connect.Transformation
}

// simpleHeaderConverter is the only header converter: headers stay bytes until someone
// looks at them.
const simpleHeaderConverter = "org.apache.kafka.connect.storage.SimpleHeaderConverter"

// find looks name up in a table and returns the class name it stands for besides the
// constructor. suffix is what Java leaves out of aliases, e.g. Converter.
func find[T any](table map[string]func() T, name, suffix string) (class string, newPlugin func() T, ok bool) {
	name = strings.TrimSpace(name)
	newPlugin, ok = table[name]
	if ok && strings.Contains(name, ".") {
		return name, newPlugin, true
	}
	var owners []string
	for class := range table {
		if at := strings.LastIndexByte(class, '.'); at >= 0 {
			simple := class[at+1:]
			pruned := strings.TrimSuffix(simple, suffix)
			if name == simple || name == pruned || ok && strings.EqualFold(name, pruned) {
				owners = append(owners, class)
			}
		}
	}
	if len(owners) == 1 { // an alias that two classes could mean means neither
		return owners[0], table[owners[0]], true
	}
	return name, newPlugin, ok
}

// HasConnector tells whether this build runs connectors of a class, by name or alias.
func (p *Plugins) HasConnector(class string) bool {
	_, _, ok := p.connector(class)
	return ok
}

func (p *Plugins) connector(name string) (class string, newConnector func() connect.SinkConnector, ok bool) {
	return find(p.Connectors, name, "Connector")
}

func (p *Plugins) converter(name string) (class string, newConverter func() connect.Converter, ok bool) {
	return find(p.Converters, name, "Converter")
}

func (p *Plugins) transform(name string) (class string, newTransform func() connect.Transformation, ok bool) {
	return find(p.Transforms, name, "Transformation")
}

// classes lists the class names of a table, sorted.
func classes[T any](table map[string]func() T) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(name string) bool { return !strings.Contains(name, ".") })
}

// list is the answer of GET /connector-plugins.
func (p *Plugins) list(connectorsOnly bool) []entities.Plugin {
	out := []entities.Plugin{}
	for _, class := range classes(p.Connectors) {
		out = append(out, entities.Plugin{Class: class, Type: "sink", Version: p.Connectors[class]().Version()})
	}
	if connectorsOnly {
		return out
	}
	for _, class := range classes(p.Transforms) {
		out = append(out, entities.Plugin{Class: class, Type: "transformation", Version: p.Transforms[class]().Version()})
	}
	for _, class := range classes(p.Converters) {
		out = append(out, entities.Plugin{Class: class, Type: "converter", Version: p.Converters[class]().Version()})
	}
	return append(out, entities.Plugin{Class: simpleHeaderConverter, Type: "header_converter", Version: connect.APIVersion})
}

// unknownConnector is Java's complaint, with what this build has.
func (p *Plugins) unknownConnector(name string) error {
	var known []string
	for _, d := range p.list(true) {
		known = append(known, fmt.Sprintf("PluginDesc{klass=class %s, name='%s', version='%s', encodedVersion=%s, type=sink, typeName='sink', location='built in'}", d.Class, d.Class, d.Version, d.Version))
	}
	return entities.BadRequest("Failed to find any class that implements Connector and which name matches " + name + ", available connectors are: " + strings.Join(known, ", "))
}

// lacksConnector is what a connector or a task fails with whose class this build does not
// have. Workers tell the leader nothing about their plugins, so that any leader gives any
// work to any worker; a worker that refused would be given it again.
func (p *Plugins) lacksConnector(name string) error {
	return fmt.Errorf("this worker (Firn) has no connector class %s, only %s. Tasks on workers that have the class go on, and nothing was changed in their configs; "+
		"restarting does not help here. Create the connector in a Connect cluster all of whose workers have the class, then delete it in this one; "+
		"its consumer group and its offsets stay", strings.TrimSpace(name), strings.Join(classes(p.Connectors), ", "))
}

// plugin finds a plugin of any kind, for its definition of keys.
func (p *Plugins) plugin(name string) (connect.Plugin, bool) {
	if _, newPlugin, ok := p.connector(name); ok {
		return newPlugin(), true
	}
	if _, newPlugin, ok := p.converter(name); ok {
		return newPlugin(), true
	}
	if _, newPlugin, ok := p.transform(name); ok {
		return newPlugin(), true
	}
	return nil, false
}

// taskClass is the name that task configs carry as task.class: by convention that of the
// connector with Task for Connector.
func taskClass(connectorClass string) string {
	return strings.TrimSuffix(connectorClass, "Connector") + "Task"
}
