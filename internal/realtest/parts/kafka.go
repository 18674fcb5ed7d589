//go:build unix

package parts

import (
	"context"
	_ "embed" // the pom
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/firn-io/firn/internal/kafka"
)

//go:embed kafka/pom.xml
var kafkaPOM []byte

// Kafka is one broker that is its own KRaft controller.
type Kafka struct {
	*Process
	Bootstrap string   // HOST:PORT
	JVM       []string // more options of its virtual machine, if set before Start

	dir, java, jars, clusterID string
}

// NewKafka installs a broker and formats its storage in dir, without starting it.
// The properties are added to the broker's own; so are listeners that they name.
func NewKafka(ctx context.Context, dir string, props map[string]string) (*Kafka, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx, "kafka", kafkaPOM)
	if err != nil {
		return nil, err
	}
	client, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	controller, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	id := uuid.New()
	k := &Kafka{
		Bootstrap: address(client),
		dir:       dir, java: bin, jars: lib, clusterID: base64.RawURLEncoding.EncodeToString(id[:]),
	}
	all := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  "1",
		"controller.quorum.voters":                 "1@" + address(controller),
		"listeners":                                "PLAINTEXT://" + k.Bootstrap + ",CONTROLLER://" + address(controller),
		"advertised.listeners":                     "PLAINTEXT://" + k.Bootstrap,
		"controller.listener.names":                "CONTROLLER",
		"log.dirs":                                 filepath.Join(dir, "data"),
		"auto.create.topics.enable":                "false",
		"num.partitions":                           "1",
		"offsets.topic.num.partitions":             "4",
		"offsets.topic.replication.factor":         "1",
		"transaction.state.log.num.partitions":     "4",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",
		"group.min.session.timeout.ms":             "1000",
	}
	for key, value := range props {
		if own := all[key]; own != "" && strings.HasSuffix(key, "listeners") {
			value = own + "," + value
		}
		all[key] = value
	}
	if err := writeProperties(k.config(), all); err != nil {
		return nil, err
	}
	// With = because an id may begin with a dash.
	if _, err := run(ctx, dir, nil, bin, k.args("kafka.tools.StorageTool", "format", "--cluster-id="+k.clusterID, "-c", k.config())...); err != nil {
		return nil, fmt.Errorf("format the broker's storage: %w", err)
	}
	return k, nil
}

func (k *Kafka) config() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) args(main string, more ...string) []string {
	args := []string{
		"-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
	}
	return slices.Concat(args, k.JVM, []string{"-cp", filepath.Join(k.jars, "*"), main}, more)
}

// Start starts the broker, again after Kill or Stop, and waits until it answers.
func (k *Kafka) Start(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), k.java, k.args("kafka.Kafka", k.config())...)
	cmd.Dir = k.dir
	p, err := Start("kafka", filepath.Join(k.dir, "kafka.log"), cmd)
	if err != nil {
		return err
	}
	k.Process = p
	return p.Await(ctx, k.isOurs)
}

// isOurs asks the broker for the id that its storage was formatted with.
func (k *Kafka) isOurs(ctx context.Context) error {
	cfg, err := kafka.NewConfig(map[string]string{
		"bootstrap.servers": k.Bootstrap, "default.api.timeout.ms": "1000", "request.timeout.ms": "1000",
	}, nil)
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // it only asked
	id, err := admin.ClusterID(ctx)
	if err == nil && id != k.clusterID {
		err = fmt.Errorf("%s is broker of cluster %s, ours is %s", k.Bootstrap, id, k.clusterID)
	}
	return err
}
