// Package cli is the command line: one file per command, and plugins.go, the
// table of every plugin in this build. It joins the packages that must not know
// each other: the worker, its REST server and the plugins.
//
// A build with plugins of its own has a main of five lines; examples/custom shows it.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/firn-io/firn/worker/loglevel"
)

// Main runs the command that the process was started with, on a build with these
// plugins, and ends the process.
func Main(p Plugins) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(p, os.Args[1:], os.Stdout, os.Stderr))
}

// gcPercent is GOGC where the environment says none. While the collector marks, every
// record costs several times as much (it is made of pointers), and a sink makes much
// garbage beside little that lives: half as many collections are 15 % less CPU for 80 MB
// under full load.
const gcPercent = 200

// A command is one word after the program's name.
type command struct {
	name  string
	args  string // for the usage line
	short string // one line, for the list
	long  string // what a newcomer has to know
	// setup declares the flags and returns what runs once they are parsed.
	setup func(*flag.FlagSet) func(ctx context.Context, e *env, args []string) error
}

var commands = []command{distributedCommand, standaloneCommand, localCommand, demoCommand, checkCommand, settleCommand, migrateCommand, verifyCommand, versionCommand}

// An env is what a command has of the outside world.
type env struct {
	plugins Plugins
	stdout  io.Writer
	screen  *screen          // standard error: logs, and a progress line on a terminal
	levels  *loglevel.Levels // of workerLogger
}

// Exit codes are those of connect-distributed.sh.
const (
	exitOK     = 0
	exitOther  = 1 // also: wrong usage
	exitConfig = 2 // the configuration is wrong or cannot be read
	exitStart  = 3 // failed to start
)

// An exitError gives an error its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func configError(err error) error { return &exitError{exitConfig, err} }
func startError(err error) error  { return &exitError{exitStart, err} }

// A usageError is answered with the usage of its command.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func run(p Plugins, args []string, stdout io.Writer, stderr *os.File) int {
	e := &env{plugins: p, stdout: stdout, screen: newScreen(stderr)}
	err := dispatch(e, args)
	usage, isUsage := errors.AsType[*usageError](err)
	exit, isExit := errors.AsType[*exitError](err)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case isUsage:
		say(e.screen, "firn: %s\nRun 'firn help' to see the commands, 'firn COMMAND --help' to learn one.\n", usage.message)
		return exitOther
	}
	say(e.screen, "firn: %v\n", err)
	if isExit {
		return exit.code
	}
	return exitOther
}

func dispatch(e *env, args []string) error {
	if len(args) == 0 {
		return &usageError{"no command given"}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) == 1 {
			printHelp(e.stdout)
			return nil
		}
		args = []string{args[1], "--help"}
	}
	at := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		return &usageError{fmt.Sprintf("no command %q", args[0])}
	}
	return commands[at].run(e, args[1:])
}

func (c command) run(e *env, args []string) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	work := c.setup(flags)
	rest, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(e.stdout, flags)
		return err
	}
	if err != nil {
		return &usageError{c.name + ": " + err.Error()}
	}
	ctx, stop := untilSignal(e.screen)
	defer stop()
	err = work(ctx, e, rest)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it ended because it was asked to
	}
	return err
}

// parse takes flags before, between and after the arguments.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// sameSignal is how soon a signal after the first one is the same again: timeout(1) and
// some supervisors send theirs to the process and then to its group.
const sameSignal = 500 * time.Millisecond

// untilSignal returns a context that the first SIGINT or SIGTERM ends, for a stop
// that finishes what is in flight. The second ends the process at once.
func untilSignal(w io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			say(w, "firn: %v: finishing what is in flight (again to quit at once)\n", s)
			cancel()
		case <-done:
			return
		}
		if s := another(signals, done); s != nil {
			say(w, "firn: %v again: quitting\n", s)
			os.Exit(exitOther)
		}
	}()
	return ctx, func() { signal.Stop(signals); close(done); cancel() }
}

// another waits for a signal that is not the first one come twice, or, with nil, for done.
func another(signals <-chan os.Signal, done <-chan struct{}) os.Signal {
	for first := time.Now(); ; {
		select {
		case s := <-signals:
			if time.Since(first) >= sameSignal {
				return s
			}
		case <-done:
			return nil
		}
	}
}

// say prints to the user. One who is gone is no reason to stop.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

const about = `Firn runs Kafka Connect sink connectors, Apache Iceberg first, in one binary.
It takes the properties files, connector configs and REST calls of Kafka Connect.

  firn demo                               see it work: everything in one process, real data, two tables
  firn local                              the same stack, empty, for your own topics and connectors
  firn distributed worker.properties      a worker of a Connect cluster

Commands:
`

func printHelp(w io.Writer) {
	say(w, about)
	for _, c := range commands {
		say(w, "  %-12s %s\n", c.name, c.short)
	}
	say(w, "\n'firn COMMAND --help' explains a command and its flags.\n")
}

func (c command) help(w io.Writer, flags *flag.FlagSet) {
	say(w, "usage: firn %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), strings.TrimSpace(c.long))
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			say(w, "\nFlags:\n")
			first = false
		}
		value, doc := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" {
			doc += " (default " + f.DefValue + ")"
		}
		say(w, "  %-22s %s\n", name, doc)
	})
}
