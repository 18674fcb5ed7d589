package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

var settleCommand = command{
	name:  "settle",
	args:  "worker.properties NAME|CONNECTOR_FILE",
	short: "after a crash, before Java takes a connector back: bring its offsets up to its tables",
	long: `
A connector that was stopped cleanly leaves its group's offsets where its tables
are. After a crash a table may be ahead of them. Firn knows that and goes on
correctly; the Java sink does not, and would write those rows again.

settle reads the config of the connector NAME from the config topic of the
workers that worker.properties describes (or from a file), compares the offsets
of its group with its tables, and, if a table is ahead: moves the offsets, if
the connector has but one table; else runs the connector in this process until
no table is ahead, and stops it cleanly. The connector must be stopped, or its
workers dead: members of the group are an error.

Exit codes: 0 settled, 2 bad config or no such connector, 3 Kafka or the catalog
cannot be reached, 1 not settled (the message says why).`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		asJSON := flags.Bool("json", false, "print what was found and done as JSON")
		look := flags.Bool("dry-run", false, "only look")
		patience := flags.Duration("timeout", 10*time.Minute, "how long to run the connector for at most")
		level := logLevel(flags, "warn")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 2 {
				return &usageError{"settle: give worker.properties and the connector's name or file"}
			}
			log := e.screen.logger(level.Level)
			s, err := newSettling(ctx, e, args[0], args[1], log)
			if err != nil {
				return err
			}
			report, err := s.settle(ctx, *look, *patience)
			if err = errors.Join(err, s.close()); report == nil {
				return err
			}
			if *asJSON {
				text, jerr := json.MarshalIndent(report, "", "  ")
				say(e.stdout, "%s\n", text)
				return errors.Join(err, jerr)
			}
			say(e.stdout, "%s", report)
			return err
		}
	},
}

// A settling is the work of the command.
type settling struct {
	env     *env
	log     *slog.Logger
	props   map[string]string // of worker.properties
	config  map[string]string // of the connector, as it was written
	admin   *kafka.Admin
	settler *iceberg.Settler
}

func newSettling(ctx context.Context, e *env, path, connector string, log *slog.Logger) (*settling, error) {
	cfg, err := workerConfig(path, log, worker.NewConfig)
	if err != nil {
		return nil, err
	}
	config, err := connectorConfig(ctx, cfg, connector, log)
	if err != nil {
		return nil, err
	}
	return settlingOf(ctx, e, cfg, config, log)
}

// settlingOf is for a connector whose config is known.
func settlingOf(ctx context.Context, e *env, cfg *worker.Config, config map[string]string, log *slog.Logger) (*settling, error) {
	s := &settling{env: e, log: log, props: cfg.Props, config: config}
	resolved, client, group, err := cfg.Resolve(config)
	if err != nil {
		return nil, configError(err)
	}
	if !isIceberg(resolved) {
		return nil, configError(fmt.Errorf("connector %s is a %s, not an Iceberg sink", resolved["name"], resolved["connector.class"]))
	}
	kcfg, err := kafka.NewConfig(client, nil)
	if err != nil {
		return nil, configError(err)
	}
	if s.admin, err = kafka.NewAdmin(kcfg); err != nil {
		return nil, startError(err)
	}
	if s.settler, err = new(iceberg.Connector).Settler(ctx, resolved, group, s.admin); err != nil {
		return nil, startError(errors.Join(err, s.admin.Close()))
	}
	return s, nil
}

func isIceberg(config map[string]string) bool {
	switch config["connector.class"] {
	case iceberg.ApacheClass, iceberg.TabularClass, "IcebergSink", "IcebergSinkConnector":
		return true
	}
	return false
}

// connectorConfig is the config in a file, if there is one of that name, else that of the
// config topic.
func connectorConfig(ctx context.Context, cfg *worker.Config, connector string, log *slog.Logger) (map[string]string, error) {
	if _, err := os.Stat(connector); err == nil {
		config, err := readConnector(connector, nil)
		if err != nil {
			return nil, configError(err)
		}
		return config, nil
	}
	config, err := worker.ReadConnector(ctx, cfg, nil, log, connector)
	switch {
	case errors.Is(err, worker.ErrNoConnector):
		return nil, configError(err)
	case err != nil:
		return nil, startError(err)
	}
	config = maps.Clone(config)
	config["name"] = connector
	return config, nil
}

func (s *settling) close() error { return errors.Join(s.settler.Close(), s.admin.Close()) }

// A settleReport is what was found and done.
type settleReport struct {
	Connector  string            `json:"connector"`
	Action     string            `json:"action"` // none, offsets, run
	Settled    bool              `json:"settled"`
	Message    string            `json:"message"`
	Partitions []settlePartition `json:"partitions"`
}

type settlePartition struct {
	Topic     string           `json:"topic"`
	Partition int32            `json:"partition"`
	Before    int64            `json:"offset_before"` // of the group; -1 for none
	After     int64            `json:"offset_after"`
	Tables    map[string]int64 `json:"tables"` // below which the table has all
}

func (r *settleReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "connector %s: %s\n", r.Connector, r.Message)
	for _, p := range r.Partitions {
		var tables []string
		for _, name := range slices.Sorted(maps.Keys(p.Tables)) {
			tables = append(tables, fmt.Sprintf("%s %d", name, p.Tables[name]))
		}
		fmt.Fprintf(&b, "  %s-%d: group %d -> %d; tables: %s\n", p.Topic, p.Partition, p.Before, p.After, strings.Join(tables, ", "))
	}
	return b.String()
}

// note takes in the group's offsets and the tables as they are now.
func (r *settleReport) note(standings []iceberg.Standing, all bool) {
	before := make(map[connect.TopicPartition]int64)
	for _, p := range r.Partitions {
		before[connect.TopicPartition{Topic: p.Topic, Partition: p.Partition}] = p.Before
	}
	r.Partitions, r.Settled = []settlePartition{}, all
	for _, st := range standings {
		r.Settled = r.Settled && st.Ahead() < 0
		p := settlePartition{st.Topic, st.Partition, st.Offset, st.Offset, st.Tables}
		if was, ok := before[st.TopicPartition]; ok {
			p.Before = was
		}
		r.Partitions = append(r.Partitions, p)
	}
}

// settle finds out whether a table is ahead and does what that asks for.
func (s *settling) settle(ctx context.Context, look bool, patience time.Duration) (*settleReport, error) {
	r := &settleReport{Connector: s.config["name"], Action: "none", Message: "settled: no table is ahead of the group's offsets"}
	standings, all, err := s.settler.Standings(ctx)
	switch {
	case errors.Is(err, kafka.ErrGroupInUse):
		return nil, err
	case err != nil:
		return nil, startError(err)
	}
	r.note(standings, all)
	if r.Settled {
		return r, nil
	}
	one := all && s.settler.Tables() == 1
	switch {
	case look && one:
		r.Message = "its table is ahead of the group's offsets: settle would move them"
	case look && all:
		r.Message = "a table is ahead of the group's offsets: settle would run the connector until none is"
	case look:
		r.Message = "records name its tables: settle would run the connector to the present end of its topics"
	case one:
		r.Action, r.Message = "offsets", "settled: the group's offsets were moved to where the table is"
		err = s.settler.Forward(ctx, standings)
	default:
		r.Action, r.Message = "run", "settled: the connector ran until no table was ahead, and was stopped"
		var goal map[connect.TopicPartition]int64
		if goal, err = s.settler.Goal(ctx, standings, all); err == nil {
			err = s.run(ctx, goal, patience)
		}
	}
	if look || err != nil {
		return r, s.unsettled(r, err)
	}
	if standings, _, err = s.settler.Standings(ctx); err == nil {
		r.note(standings, true)
	}
	return r, s.unsettled(r, err)
}

// unsettled is the error of a report that does not say settled.
func (s *settling) unsettled(r *settleReport, err error) error {
	switch {
	case err != nil:
		r.Settled, r.Message = false, "not settled: "+err.Error()
		return fmt.Errorf("settle %s: %w", r.Connector, err)
	case !r.Settled:
		if r.Action != "none" {
			r.Message = "not settled: a table is still ahead of the group's offsets; run settle again"
		}
		return fmt.Errorf("connector %s is not settled", r.Connector)
	}
	return nil
}

// run is a worker on its own with the connector, until the group has come to goal.
func (s *settling) run(ctx context.Context, goal map[connect.TopicPartition]int64, patience time.Duration) error {
	props := maps.Clone(s.props)
	props["task.shutdown.graceful.timeout.ms"] = "60000" // the clean stop is what this is for
	cfg, _, err := worker.NewStandaloneConfig(props)
	if err != nil {
		return configError(err)
	}
	w, err := worker.New(worker.Options{
		Config: cfg, Plugins: s.env.plugins.Plugins, Logger: s.log, AdvertisedURL: "http://127.0.0.1:1/", // nobody asks for it
		Standalone: true, Connectors: []map[string]string{s.config},
	})
	if err != nil {
		return startError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	rctx, stop := context.WithCancel(gctx)
	g.Go(func() error {
		defer stop()
		return w.Run(rctx)
	})
	g.Go(func() error {
		defer stop()
		return s.await(rctx, w.Herder(), goal)
	})
	return g.Wait()
}

// await returns once goal is reached, or the connector has failed.
func (s *settling) await(ctx context.Context, h *worker.Herder, goal map[connect.TopicPartition]int64) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the connector has not come to the offsets that it must reach: %w", ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
		if reached, err := s.settler.Reached(ctx, goal); reached || (err != nil && ctx.Err() == nil) {
			return err
		}
		st, err := h.Status(ctx, s.config["name"])
		if err != nil {
			continue // it is not created yet
		}
		for _, t := range st.Tasks {
			if t.State.State == "FAILED" {
				return fmt.Errorf("task %d has failed: %s", t.ID, t.Trace)
			}
		}
	}
}
