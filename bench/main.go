//go:build linux

// Command bench measures the sink: a worker process (firn distributed, one connector,
// two tasks) that turns a topic of four partitions into an Iceberg table, against a
// broker in another process. `make bench` runs it; docs/BENCHMARKS.md explains its lines.
//
// It prints one line of JSON per broker and format, holds every table against what was
// produced, and exits with 1 if one is wrong or a bar is missed on Kafka. It reads
// /proc, so it needs Linux. Everything it makes is in one directory and on 127.0.0.1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/firn-io/firn/internal/realtest/parts"
)

// Roles of this binary when it starts itself again, as its first argument.
const (
	roleBroker = "as-broker"
	roleWorker = "as-worker"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleWorker {
		beWorker(os.Args[2:]) // does not return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == roleBroker {
		err = beBroker(ctx, os.Args[2])
	} else {
		err = bench(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// settings are the flags.
type settings struct {
	dir      string
	brokers  string
	formats  string
	kafka    string
	records  int
	runs     int
	interval int // ms
	batch    int // bytes
	profile  string
	props    assignments
	count    bool
	keep     bool
}

// assignments are key=value pairs of the connector's config.
type assignments map[string]string

func (a assignments) String() string { return fmt.Sprint(map[string]string(a)) }

func (a assignments) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("want key=value")
	}
	a[key] = value
	return nil
}

func bench(ctx context.Context) (err error) {
	s := settings{props: assignments{}}
	flag.StringVar(&s.brokers, "brokers", "kfake,kafka", "which brokers: kfake, kafka or both")
	flag.StringVar(&s.formats, "formats", "json,avro", "which formats: json, avro or both")
	flag.StringVar(&s.kafka, "bootstrap", "", "`HOST:PORT` of a Kafka that runs already, instead of one from Maven")
	flag.StringVar(&s.dir, "dir", "", "`DIR` for topics and tables; a temporary one if empty, removed at the end")
	flag.IntVar(&s.records, "records", 2_000_000, "records of each topic")
	flag.IntVar(&s.runs, "runs", 3, "measured runs of each broker and format")
	flag.IntVar(&s.interval, "interval", 1000, "commit interval in ms")
	flag.IntVar(&s.batch, "batch", 128<<10, "bytes of values in a record batch")
	flag.StringVar(&s.profile, "profile", "", "`DIR` for a CPU profile of each run's worker")
	flag.BoolVar(&s.count, "count", true, "make one more run, which counts allocations by where they are made")
	flag.BoolVar(&s.keep, "keep", false, "keep the tables and the workers' logs, under -dir")
	flag.Var(s.props, "set", "`KEY=VALUE` of the connector's config; may be repeated")
	flag.Parse()
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "firn-bench-"); err != nil {
			return err
		}
		defer func() {
			if err == nil && !s.keep {
				err = os.RemoveAll(s.dir)
			}
		}()
	} else if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	schemas, err := serveSchemas(ctx)
	if err != nil {
		return err
	}
	var missed error
	for kind := range strings.SplitSeq(s.brokers, ",") {
		results, err := s.against(ctx, kind, schemas)
		if errors.Is(err, parts.ErrMissing) && os.Getenv("CI") != "true" {
			fmt.Fprintf(os.Stderr, "bench: NOT MEASURED on Kafka: %v\n", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("on %s: %w", kind, err)
		}
		for _, r := range results {
			missed = errors.Join(missed, r.missed())
		}
	}
	return missed
}

// against measures all formats on one broker.
func (s *settings) against(ctx context.Context, kind, schemas string) ([]result, error) {
	var out []result
	err := withBroker(ctx, s, kind, func(ctx context.Context, bootstrap string) error {
		for name := range strings.SplitSeq(s.formats, ",") {
			f, ok := formats[name]
			if !ok {
				return fmt.Errorf("no format %q", name)
			}
			topic, err := fill(ctx, bootstrap, f, s.records, s.batch)
			if err != nil {
				return err
			}
			r, err := s.measure(ctx, setup{kind: kind, bootstrap: bootstrap, schemas: schemas, topic: topic})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			fmt.Println(string(line))
			out = append(out, r)
		}
		return nil
	})
	return out, err
}
