//go:build unix

package parts

import (
	"context"
	_ "embed" // the poms
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

var (
	//go:embed connect/pom.xml
	connectPOM []byte
	//go:embed icebergsink/pom.xml
	icebergSinkPOM []byte
)

// OwnURL in a worker's properties stands for its URL, which nobody knows before it is made.
const OwnURL = "OWN-URL"

// JavaConnect is a distributed worker of Java Kafka Connect, with the Java Iceberg sink
// among its plugins.
type JavaConnect struct {
	*Process
	URL    string
	System map[string]string // properties of the JVM, to be set before Start

	dir, java, jars string
	starts          int
}

// NewJavaConnect installs a worker that is to be alone in its cluster, without starting
// it. The properties are added to the worker's own.
func NewJavaConnect(ctx context.Context, dir, bootstrap, group string, props map[string]string) (*JavaConnect, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx, "connect", connectPOM)
	if err != nil {
		return nil, err
	}
	sink, err := jars(ctx, "icebergsink", icebergSinkPOM)
	if err != nil {
		return nil, err
	}
	plugins := filepath.Join(dir, "plugins") // a plugin is a folder below one of plugin.path
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(sink, filepath.Join(plugins, "iceberg")); err != nil {
		return nil, err
	}
	port, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	c := &JavaConnect{URL: "http://127.0.0.1:" + strconv.Itoa(port), dir: dir, java: bin, jars: lib}
	all := map[string]string{
		"bootstrap.servers":                 bootstrap,
		"group.id":                          group,
		"listeners":                         c.URL,
		"plugin.path":                       plugins,
		"plugin.discovery":                  "service_load",
		"key.converter":                     "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":                   "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable":    "false",
		"config.storage.topic":              group + "-configs",
		"offset.storage.topic":              group + "-offsets",
		"status.storage.topic":              group + "-status",
		"config.storage.replication.factor": "1",
		"offset.storage.replication.factor": "1",
		"status.storage.replication.factor": "1",
		"offset.storage.partitions":         "1",
		"status.storage.partitions":         "1",
		"scheduled.rebalance.max.delay.ms":  "0",
		"offset.flush.interval.ms":          "1000", // how often an idle task is given time to answer its coordinator
		"consumer.session.timeout.ms":       "6000",
		"consumer.heartbeat.interval.ms":    "1000",
	}
	for key, value := range props {
		all[key] = strings.ReplaceAll(value, OwnURL, c.URL)
	}
	return c, writeProperties(c.config(), all)
}

func (c *JavaConnect) config() string { return filepath.Join(c.dir, "connect.properties") }

// Start starts the worker, again after Kill or Stop, and waits until it answers.
func (c *JavaConnect) Start(ctx context.Context) error {
	var system []string
	for key, value := range c.System {
		system = append(system, "-D"+key+"="+value)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.java, append(system,
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Dorg.slf4j.simpleLogger.log.org.apache.iceberg.connect=info", "-Daws.region=us-east-1",
		"-cp", filepath.Join(c.jars, "*"), "org.apache.kafka.connect.cli.ConnectDistributed", c.config())...)
	cmd.Dir = c.dir
	c.starts++
	p, err := Start("Java Connect", filepath.Join(c.dir, fmt.Sprintf("connect-%02d.log", c.starts)), cmd)
	if err != nil {
		return err
	}
	c.Process = p
	return p.Await(ctx, c.answers)
}

// answers asks for the connectors, which a worker tells once it is in its group, if not who
// asks first.
func (c *JavaConnect) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/connectors", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // nothing of it is read
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}
