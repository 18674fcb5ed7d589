package cli

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/firn-io/firn/cli/demo"
	"github.com/firn-io/firn/worker/local"
)

var demoCommand = command{
	name:  "demo",
	short: "see it work: 362,891 real records become two Iceberg tables",
	long: `
Starts the stack of 'firn local', writes all flights that left New York in 2013
(Avro, 4 partitions) and the weather there (JSON) to two topics, creates two
Iceberg sink connectors over the REST API, waits until the tables hold every
record, reads them back and compares them with the truth. Then it stays up, for
you to try the REST API; --exit ends it instead, with code 1 if a count differs.

Everything lives in one directory. A second run finds its work done and adds
nothing; a run that was killed is continued. Delete the directory to start over.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		cfg := stackFlags(flags, "demo")
		exit := flags.Bool("exit", false, "end when the story is told")
		level := logLevel(flags, "error")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) > 0 {
				return &usageError{"demo: takes no arguments: " + args[0]}
			}
			return runDemo(ctx, e, *cfg, level.Level, *exit)
		}
	},
}

// errInterrupted keeps a script from taking half a demo for a whole one.
var errInterrupted = errors.New("interrupted before the end; run it again to go on where it stopped")

func runDemo(ctx context.Context, e *env, cfg local.Config, level slog.Level, exit bool) error {
	out := e.screen.above(e.stdout)
	say(out, "Everything lives in %s\n", cfg.Dir)
	closeLog, err := demoLog(e, &cfg, level)
	if err != nil {
		return startError(err)
	}
	defer closeLog()
	told := false
	err = runStack(ctx, e, cfg, func(ctx context.Context, st *local.Stack, restURL string) error {
		say(out, "Kafka %s, schema registry %s, Connect REST %s\n", st.Bootstrap, st.RegistryURL, restURL)
		story := demo.Config{
			Bootstrap: st.Bootstrap, RegistryURL: st.RegistryURL, RESTURL: restURL, WorkerID: host(restURL), Expand: st.Expand, Out: out,
		}
		if e.screen.terminal {
			story.Line = e.screen.setLine
		}
		err := demo.Run(ctx, story)
		told = err == nil
		if exit || err != nil {
			return err
		}
		say(out, "\nThe stack stays up; Ctrl-C ends it. Try:\n  curl %s/connectors?expand=status\n  curl %s/connectors/flights/offsets\n", restURL, restURL)
		<-ctx.Done()
		return nil
	})
	if ctx.Err() != nil && !told && (err == nil || errors.Is(err, context.Canceled)) {
		return errInterrupted
	}
	return err
}

// demoLog makes the log of the stack: whole in DIR/firn.log, and from level up on
// the screen.
func demoLog(e *env, cfg *local.Config, level slog.Level) (closeLog func(), err error) {
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cfg.Dir, "firn.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cfg.Logger = slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(f, nil),
		newTextHandler(e.screen, level, e.screen.colour),
	))
	return func() { _ = f.Close() }, nil // a log that cannot be closed is no reason to fail
}

// host is the host:port of a URL.
func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	return u.Host
}
