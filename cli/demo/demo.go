// Package demo tells Firn's story on a running stack: it writes real data to two
// topics, creates two connectors as a Connect user would, watches them, and
// checks the tables against the truth about the data.
//
// It is a client and nothing more: it speaks to the broker, to the registry's and
// the worker's REST API and, at the end, to the catalog, and it shares no memory
// with any of them. Everything it does may be repeated: producing goes on where
// the topics end, and connectors that exist are left as they are.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/examples/flights"
	"github.com/firn-io/firn/internal/kafka"
)

// A Config says where the stack is and where the story goes.
type Config struct {
	Bootstrap   string
	RegistryURL string
	RESTURL     string
	WorkerID    string                   // host:port under which the worker reports states
	Expand      func(text string) string // puts the stack's places into a connector config

	Out  io.Writer         // the story
	Line func(text string) // shows progress in place; nil: Out gets a line now and then
}

// say tells a piece of the story. A reader who is gone is no reason to stop.
func (cfg Config) say(format string, args ...any) { _, _ = fmt.Fprintf(cfg.Out, format, args...) }

// ErrWrongCount says that a table does not hold the truth.
var ErrWrongCount = errors.New("a table differs from the data")

// A source is one topic, its connector and its table.
type source struct {
	topic      string
	partitions int32
	connector  string // body of POST /connectors, with references
	rows       int64
	column     string // summed for the checksum; "" for none
	sum        int64
}

var sources = []source{
	{"flights", 4, flights.FlightsConnector, flights.FlightRows, "distance", flights.DistanceSum},
	{"weather", 1, flights.WeatherConnector, flights.WeatherRows, "", 0},
}

// Run plays the story and returns when it is told. Its error is [ErrWrongCount] if
// all went well except that the tables do not hold the truth.
func Run(ctx context.Context, cfg Config) error {
	client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": cfg.Bootstrap, "client.id": "firn-demo"}, nil)
	if err != nil {
		return err
	}
	begin := time.Now()
	worker := &connectapi.Client{Base: cfg.RESTURL, Name: "the worker"}
	if err := worker.AwaitReady(ctx); err != nil {
		return err
	}
	schemaID, err := registerSchema(ctx, cfg.RegistryURL)
	if err != nil {
		return err
	}
	if err := createTopics(ctx, client); err != nil {
		return err
	}
	for _, s := range sources {
		if err := createConnector(ctx, worker, cfg, s); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return produce(gctx, client, schemaID) })
	g.Go(func() error { return watch(gctx, cfg, client, worker) })
	if err := g.Wait(); err != nil {
		return err
	}
	cfg.say("\nEverything is in the tables after %s.\n", time.Since(begin).Round(100*time.Millisecond))
	return report(ctx, cfg)
}

// connectorOf reads the connector config of s, with this stack's places put in.
func (cfg Config) connectorOf(s source) (connectapi.Connector, error) {
	var c connectapi.Connector
	if err := json.Unmarshal([]byte(cfg.Expand(s.connector)), &c); err != nil {
		return c, fmt.Errorf("read the connector of topic %s: %w", s.topic, err)
	}
	return c, nil
}

// createConnector posts the connector as a user would.
func createConnector(ctx context.Context, worker *connectapi.Client, cfg Config, s source) error {
	c, err := cfg.connectorOf(s)
	if err != nil {
		return err
	}
	outcome, err := worker.PutConnector(ctx, c)
	if err != nil {
		return err
	}
	switch outcome {
	case connectapi.Created:
		cfg.say("connector %s created  (POST %s/connectors)\n", c.Name, worker.Base)
	case connectapi.Updated:
		cfg.say("connector %s updated  (PUT %s/connectors/%s/config)\n", c.Name, worker.Base, c.Name)
	case connectapi.Unchanged:
		cfg.say("connector %s is there from an earlier run\n", c.Name)
	}
	return nil
}
