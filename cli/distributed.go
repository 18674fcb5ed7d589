package cli

import (
	"context"
	"flag"
	"log/slog"

	"github.com/firn-io/firn/worker"
)

var distributedCommand = command{
	name:  "distributed",
	args:  "worker.properties",
	short: "a worker of a Connect cluster, as connect-distributed.sh",
	long: `
Joins the worker group that the file names (group.id), shares connectors and
tasks with its other members, and serves the Connect REST API. Takes the file
of a Java worker; keys it does not know are warned of.

The first SIGTERM or SIGINT finishes what is in flight and leaves the group, the
second quits at once. Exit codes: 2 bad config, 3 failed to start, 1 other.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		level := logLevel(flags, "info")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return &usageError{"distributed: give one file, worker.properties"}
			}
			log := e.workerLogger(level.Level)
			cfg, err := workerConfig(args[0], log, worker.NewConfig)
			if err != nil {
				return err
			}
			return runWorker(ctx, worker.Options{Config: cfg, Plugins: e.plugins.Plugins, Logger: log, Levels: e.levels}, nil)
		}
	},
}

// A levelFlag is --log-level.
type levelFlag struct{ slog.Level }

func (l *levelFlag) Set(text string) error { return l.UnmarshalText([]byte(text)) }

func logLevel(flags *flag.FlagSet, byDefault string) *levelFlag {
	var l levelFlag
	_ = l.Set(byDefault)
	flags.Var(&l, "log-level", "`LEVEL` of the log: debug, info, warn or error")
	return &l
}
