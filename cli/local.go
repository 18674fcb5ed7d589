package cli

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/worker"
	"github.com/firn-io/firn/worker/local"
)

var localCommand = command{
	name:  "local",
	args:  "[connector.json...]",
	short: "broker, schema registry, SQL catalog and a worker in one process",
	long: `
Starts, on 127.0.0.1 and with everything it keeps under one directory: a Kafka
broker, a Schema Registry, a SQLite catalog, a warehouse of local files, and a
distributed worker. The given connectors are created, or updated if they exist.
In their files ${local:bootstrap}, ${local:registry}, ${local:catalog}, ${local:warehouse} and
${local:dir} stand for this stack's places.

One process at a time may use a directory. Ctrl-C ends it; what it holds stays.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		cfg := stackFlags(flags, "local")
		level := logLevel(flags, "info")
		return func(ctx context.Context, e *env, args []string) error {
			cfg.Logger = e.workerLogger(level.Level)
			return runStack(ctx, e, *cfg, func(ctx context.Context, st *local.Stack, restURL string) error {
				if err := putConnectors(ctx, e, restURL, args, st.Expand); err != nil {
					return err
				}
				say(e.stdout, "Kafka            %s\nschema registry  %s\nConnect REST     %s\ncatalog          %s\nwarehouse        %s\n",
					st.Bootstrap, st.RegistryURL, restURL, st.CatalogURI, st.Warehouse)
				<-ctx.Done()
				return nil
			})
		}
	},
}

// putConnectors creates or updates the connectors of files over the REST API.
func putConnectors(ctx context.Context, e *env, restURL string, paths []string, expand func(string) string) error {
	client := &connectapi.Client{Base: restURL, Name: "the worker"}
	if err := client.AwaitReady(ctx); err != nil {
		return err
	}
	for _, path := range paths {
		config, err := readConnector(path, expand)
		if err != nil {
			return configError(err)
		}
		outcome, err := client.PutConnector(ctx, connectapi.Connector{Name: config["name"], Config: config})
		if err != nil {
			return fmt.Errorf("create the connector of %s: %w", path, err)
		}
		say(e.stdout, "connector %s: %s\n", config["name"], outcome)
	}
	return nil
}

// stackFlags declares what local and demo have in common.
func stackFlags(flags *flag.FlagSet, name string) *local.Config {
	var cfg local.Config
	flags.StringVar(&cfg.Dir, "dir", defaultDir(name), "`DIR` that holds everything")
	flags.StringVar(&cfg.REST, "rest", "127.0.0.1:8083", "`ADDRESS` of the Connect REST API; port 0 picks a free one")
	flags.StringVar(&cfg.Kafka, "kafka", "127.0.0.1:0", "`ADDRESS` of the Kafka broker")
	flags.StringVar(&cfg.Registry, "registry", "127.0.0.1:0", "`ADDRESS` of the schema registry")
	return &cfg
}

func defaultDir(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "firn", name)
}

// runStack runs the local stack with a worker on it for as long as story takes.
func runStack(ctx context.Context, e *env, cfg local.Config, story func(ctx context.Context, st *local.Stack, restURL string) error) error {
	started := false
	err := local.Run(ctx, cfg, func(ctx context.Context, st *local.Stack) error {
		started = true
		wcfg, _, err := worker.NewConfig(st.WorkerConfig())
		if err != nil {
			return configError(err)
		}
		wctx, stopWorker := context.WithCancel(ctx)
		defer stopWorker()
		g, gctx := errgroup.WithContext(wctx)
		ready := make(chan string, 1)
		g.Go(func() error {
			return runWorker(gctx, worker.Options{Config: wcfg, Plugins: e.plugins.Plugins, Logger: cfg.Logger, Levels: e.levels}, func(restURL string) { ready <- restURL })
		})
		g.Go(func() error {
			defer stopWorker()
			select {
			case restURL := <-ready:
				return story(gctx, st, trimSlash(restURL))
			case <-gctx.Done():
				return nil // the worker's error is the one to tell
			}
		})
		return g.Wait()
	})
	if err != nil && !started {
		return startError(err)
	}
	return err
}

func trimSlash(base string) string {
	if u, err := url.Parse(base); err == nil && u.Path == "/" {
		u.Path = ""
		return u.String()
	}
	return base
}
