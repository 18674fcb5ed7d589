package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

var migrateCommand = command{
	name:  "migrate",
	args:  "worker.properties NAME --from URL --to URL",
	short: "move one connector from a Connect cluster to another, from Java to Firn or back",
	long: `
Moves the sink connector NAME from the Connect cluster whose REST API is at
--from to the one at --to; both use the same Kafka cluster. Name, config and
consumer group stay, so that the connector goes on from its offsets. Java to
Firn, Firn to Java and back again are the same command.

  1. looks: the connector is at --from, the config is valid at --to, and no
     connector of this name runs there
  2. stops it at --from, and waits until its consumer group has no members
  3. from Firn to Java: settles it (see firn settle)
  4. creates it at --to, stopped; compares the offsets that --to sees
  5. gives it the state that it had, and waits until all its tasks run and its
     offsets move on
  6. leaves it stopped at --from, or with --delete deletes it there

If step 4 or 5 fails, it is stopped or removed at --to again, and put back to
its state at --from. --dry-run ends after step 1.

worker.properties is of a worker of Firn's, in either cluster: it tells how to
reach Kafka, and has the config providers that the connector's config needs. The
file of --client is as in firn check, for both REST APIs. Java has to be Kafka
3.7 or newer.

In a single Connect cluster of Java and Firn workers there is nothing to do for a
connector: its tasks go to workers of both kinds, and those of an Iceberg sink
wait on Firn as long as one runs on Java. Stop the Java workers one after
another.

Exit codes: 0 moved (or could be), 2 it cannot be moved, nothing was changed; 3
Kafka or a REST API does not answer, nothing was changed; 1 it failed on the way:
the message says where the connector is.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		from := flags.String("from", "", "`URL` of the REST API where the connector is")
		to := flags.String("to", "", "`URL` of the REST API where it shall be")
		clientFile := flags.String("client", "", "properties `FILE` for the connections to both REST APIs")
		state := flags.String("state", "", "RUNNING, PAUSED or STOPPED at the end, instead of the `STATE` that it has")
		remove := flags.Bool("delete", false, "delete it at --from in the end")
		look := flags.Bool("dry-run", false, "only look whether it can be moved")
		asJSON := flags.Bool("json", false, "print what was done as JSON")
		patience := flags.Duration("timeout", 10*time.Minute, "how long to wait in each step")
		level := logLevel(flags, "warn")
		return func(ctx context.Context, e *env, args []string) error {
			switch {
			case len(args) != 2:
				return &usageError{"migrate: give worker.properties and the connector's name"}
			case *from == "" || *to == "":
				return &usageError{"migrate: give --from and --to, the REST APIs of two Connect clusters; within one, stop the Java workers one after another"}
			}
			m := &moving{
				name: args[1], state: *state, remove: *remove, patience: *patience, log: e.screen.logger(level.Level),
				tell: func(step string) { say(e.screen, "%s\n", step) },
			}
			cfg, err := workerConfig(args[0], m.log, worker.NewConfig)
			if err != nil {
				return err
			}
			if m.from, err = apiOf(*from, *clientFile); err == nil {
				m.to, err = apiOf(*to, *clientFile)
			}
			if err != nil {
				return configError(err)
			}
			m.from.Name, m.to.Name = m.from.Base, m.to.Base
			m.kafka = func(ctx context.Context, config map[string]string) (movedGroup, error) {
				return newGroupToMove(e, cfg, config, m)
			}
			report, err := m.run(ctx, *look)
			if report == nil {
				return err
			}
			if *asJSON {
				text, jerr := json.MarshalIndent(report, "", "  ")
				say(e.stdout, "%s\n", text)
				return errors.Join(err, jerr)
			}
			say(e.stdout, "%s\n", report.Message)
			return err
		}
	},
}

// A movedGroup is what Kafka knows of the connector that is moved.
type movedGroup interface {
	// Members is how many its groups have.
	Members(ctx context.Context) (int, error)
	Ends(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error)
	// Settle brings the offsets up to the tables, for Java.
	Settle(ctx context.Context) error
	Close() error
}

// groupToMove asks a Kafka cluster.
type groupToMove struct {
	*kafka.Admin
	groups []string
	settle func(ctx context.Context) error
}

func newGroupToMove(e *env, cfg *worker.Config, config map[string]string, m *moving) (movedGroup, error) {
	resolved, client, group, err := cfg.Resolve(config)
	if err != nil {
		return nil, configError(err)
	}
	kcfg, err := kafka.NewConfig(client, nil)
	if err != nil {
		return nil, configError(err)
	}
	admin, err := kafka.NewAdmin(kcfg)
	if err != nil {
		return nil, startError(err)
	}
	g := &groupToMove{Admin: admin, groups: []string{group}, settle: func(context.Context) error { return nil }}
	if isIceberg(resolved) {
		coordinator, err := new(iceberg.Connector).CoordinatorGroup(resolved)
		if err != nil {
			return nil, configError(errors.Join(err, admin.Close()))
		}
		g.groups = append(g.groups, coordinator)
		g.settle = func(ctx context.Context) error { return settleMoved(ctx, e, cfg, config, m.log, m.patience) }
	}
	return g, nil
}

func (g *groupToMove) Members(ctx context.Context) (n int, err error) {
	for _, group := range g.groups {
		info, err := g.DescribeGroup(ctx, group)
		if err != nil && !errors.Is(err, kafka.ErrUnknownGroup) {
			return 0, err
		}
		n += len(info.Members)
	}
	return n, nil
}

func (g *groupToMove) Ends(ctx context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return g.Offsets(ctx, parts, kafka.Latest)
}

func (g *groupToMove) Settle(ctx context.Context) error { return g.settle(ctx) }

func settleMoved(ctx context.Context, e *env, cfg *worker.Config, config map[string]string, log *slog.Logger, patience time.Duration) error {
	s, err := settlingOf(ctx, e, cfg, config, log)
	if err != nil {
		return err
	}
	_, err = s.settle(ctx, false, patience)
	return errors.Join(err, s.close())
}

// A moveReport is what was found and done.
type moveReport struct {
	Connector string       `json:"connector"`
	From      string       `json:"from"`
	To        string       `json:"to"`
	State     string       `json:"state"` // that it has, or had, at from
	Moved     bool         `json:"moved"`
	PutBack   bool         `json:"put_back"` // it runs at from as before
	Message   string       `json:"message"`
	Steps     []string     `json:"steps"`
	Offsets   []moveOffset `json:"offsets"`
}

type moveOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    int64  `json:"offset_before"`
	After     int64  `json:"offset_after"`
}

// isFirn tells whether workers of Firn's answer: Java's have no description of their API.
func isFirn(ctx context.Context, api *connectapi.Client) (bool, error) {
	err := api.Call(ctx, http.MethodGet, "/openapi.json", nil, nil)
	if connectapi.IsStatus(err, http.StatusNotFound) {
		return false, nil
	}
	return err == nil, err
}

// shortState is what STATE counts as: a connector whose instance has failed, or is on its
// way between workers, is one that shall run.
func shortState(state string) string {
	switch state = strings.ToUpper(state); state {
	case "PAUSED", "STOPPED":
		return state
	}
	return "RUNNING"
}

func notFound(name, where string) error {
	return configError(fmt.Errorf("there is no connector %s at %s", name, where))
}
