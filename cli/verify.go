package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg"
	"github.com/firn-io/firn/connectors/iceberg/verify"
	"github.com/firn-io/firn/worker"
)

// exitDifferent is the exit code of a verification that found differences.
const exitDifferent = 4

var verifyCommand = command{
	name:  "verify",
	args:  "connector.(json|properties)",
	short: "prove that tables have each record of their topics once",
	long: `
Reads the topics of an Iceberg sink's config through its converters, transformations
and routing, reads the data files of its tables with a second, independent Parquet
reader, and compares: each record below the offsets that a table stores has to have
one row with its values, and no row may be without a record. It writes nothing, and
the connector may run.

Rows are matched by topic, partition and offset if the config adds these as columns
(KafkaMetadataTransform, or InsertField with partition.field and offset.field), else
by count and checksum. In tables with a key the last record of each key counts.

Exit codes: 0 proven, 4 differences found, 1 it could not be told, 2 bad config.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		var o verifyOptions
		flags.StringVar(&o.worker, "worker", "", "worker.properties `FILE`: for brokers, default converters and security")
		flags.StringVar(&o.kafka, "kafka", "", "`HOST:PORT` of a broker, without a worker's file")
		flags.StringVar(&o.tables, "table", "", "`TABLE` namespace.name, or several with commas; those of iceberg.tables if not given")
		flags.StringVar(&o.topics, "topic", "", "`TOPIC`, or several with commas; all that the table stores offsets of if not given")
		flags.StringVar(&o.columns, "columns", "", "`TOPIC,PARTITION,OFFSET` columns of coordinates, dotted if nested; TOPIC may be empty")
		flags.BoolVar(&o.byRows, "by-rows", false, "compare by count and checksum although there are coordinates")
		flags.BoolVar(&o.fromFirst, "from-first-row", false, "the connector started late: records below a partition's first row are not asked for")
		flags.Int64Var(&o.memory, "memory", 512, "`MIB` for what is known of offsets or keys; with less, tables with a key are read more often")
		flags.IntVar(&o.examples, "examples", 10, "`N` differences to name")
		flags.BoolVar(&o.json, "json", false, "print the outcome as JSON")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return &usageError{"verify: give the connector's file"}
			}
			return o.run(ctx, e, args[0])
		}
	},
}

type verifyOptions struct {
	worker, kafka, tables, topics, columns string
	byRows, fromFirst, json                bool
	memory                                 int64
	examples                               int
}

func (o *verifyOptions) run(ctx context.Context, e *env, path string) error {
	config, err := readConnector(path, nil)
	if err != nil {
		return configError(err)
	}
	pipeline, err := o.pipeline(e, config)
	if err != nil {
		return configError(err)
	}
	sink, ok := pipeline.Connector.(*iceberg.Connector)
	if !ok {
		return configError(fmt.Errorf("%s is no Iceberg sink", config["connector.class"]))
	}
	reader, err := newTopicReader(pipeline)
	if err != nil {
		return err
	}
	defer reader.close()
	v := &iceberg.Verification{
		Config: pipeline.Config, Tables: list(o.tables), Topics: list(o.topics), Reader: reader,
		FromFirstRow: o.fromFirst, MemoryBytes: o.memory << 20, Examples: o.examples, Progress: drawn(e.screen),
	}
	if v.Coordinates, err = o.coordinates(pipeline.Config); err != nil {
		return err
	}
	var outcomes []outcome
	err = sink.Verify(ctx, v, func(table string, r *verify.Report, err error) {
		if e.screen.terminal {
			e.screen.setLine("")
		}
		out := newOutcome(table, r, err)
		outcomes = append(outcomes, out)
		if !o.json {
			out.print(e)
		}
	})
	if err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(outcomes); err != nil {
			return err
		}
	}
	return verdict(outcomes)
}

// pipeline makes the connector's chain from the worker's file or from a broker's address.
func (o *verifyOptions) pipeline(e *env, config map[string]string) (*worker.Pipeline, error) {
	props := map[string]string{
		"bootstrap.servers": o.kafka,
		"key.converter":     "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":   "org.apache.kafka.connect.json.JsonConverter",
	}
	switch {
	case o.worker != "" && o.kafka != "":
		return nil, errors.New("--worker and --kafka are both given: one of them says where the brokers are")
	case o.worker != "":
		read, err := readProperties(o.worker)
		if err != nil {
			return nil, err
		}
		props = read
	case o.kafka == "":
		return nil, errors.New("say where the brokers are: --worker worker.properties, or --kafka HOST:PORT")
	}
	cfg, _, err := worker.NewStandaloneConfig(maps.Clone(props)) // its warnings are about a worker that does not run here
	if err != nil {
		return nil, err
	}
	return worker.NewPipeline(cfg, e.plugins.Plugins, nil, config)
}

// coordinates are the columns given, or those that the config's transformations add.
func (o *verifyOptions) coordinates(config map[string]string) (*verify.Coordinates, error) {
	if o.byRows {
		return nil, nil //nolint:nilnil // none
	}
	if o.columns == "" {
		return coordinatesOf(config), nil
	}
	parts := strings.Split(o.columns, ",")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, &usageError{"verify: --columns takes three names: TOPIC,PARTITION,OFFSET, of which the first may be empty"}
	}
	return &verify.Coordinates{Topic: parts[0], Partition: parts[1], Offset: parts[2]}, nil
}

// coordinatesOf finds the columns that the transformations of a config add; nil for none.
func coordinatesOf(config map[string]string) *verify.Coordinates {
	var found *verify.Coordinates
	for _, alias := range (connect.Values{"": config["transforms"]}).List("") {
		get := func(key string) string { return strings.TrimSpace(config["transforms."+alias+"."+key]) }
		class := get("type")
		switch class[strings.LastIndexByte(class, '.')+1:] {
		case "KafkaMetadataTransform":
			name, joint := get("field_name"), "_"
			if name == "" {
				name = "_kafka_metadata"
			}
			if strings.EqualFold(get("nested"), "true") {
				joint = "."
			}
			found = &verify.Coordinates{Topic: name + joint + "topic", Partition: name + joint + "partition", Offset: name + joint + "offset"}
		case "InsertField$Value":
			bare := func(key string) string { return strings.TrimRight(get(key), "!?") }
			if p, n := bare("partition.field"), bare("offset.field"); p != "" && n != "" {
				found = &verify.Coordinates{Topic: bare("topic.field"), Partition: p, Offset: n}
			}
		}
	}
	return found
}

func list(text string) []string { return (connect.Values{"": text}).List("") }

// drawn draws progress on a terminal, some times a second.
func drawn(s *screen) func(table string, done, total int64) {
	if !s.terminal {
		return nil
	}
	const every = 200 * time.Millisecond
	var last time.Time
	looks := 0
	return func(table string, done, total int64) {
		if looks++; looks%1000 != 0 {
			return
		}
		now := time.Now()
		if now.Sub(last) < every {
			return
		}
		last = now
		const width = 30
		full := int(width * done / max(total, 1))
		s.setLine(fmt.Sprintf("%.30s [%s%s] %d of %d records and rows", table, strings.Repeat("#", full), strings.Repeat(" ", width-full), done, total))
	}
}

// An outcome is what is told of one table.
type outcome struct {
	Table   string         `json:"table"`
	Verdict string         `json:"verdict"` // proven, differences or unknown
	Reason  string         `json:"reason,omitempty"`
	Report  *verify.Report `json:"report,omitempty"`
}

const (
	proven      = "proven"
	differences = "differences"
	unknown     = "unknown"
)

func newOutcome(table string, r *verify.Report, err error) outcome {
	switch {
	case err != nil:
		return outcome{Table: table, Verdict: unknown, Reason: err.Error()}
	case r.Differences() > 0:
		return outcome{Table: table, Verdict: differences, Report: r}
	}
	return outcome{Table: table, Verdict: proven, Report: r}
}

func (o *outcome) print(e *env) {
	if o.Report == nil {
		say(e.stdout, "%s: unknown: %s\n", o.Table, o.Reason)
		return
	}
	r := o.Report
	say(e.stdout, "%s: %s (by %s)\n  %s\n", o.Table, o.Verdict, r.Method, r.Summary())
	for _, p := range r.Ranges {
		say(e.stdout, "  %s: offsets %d to %d\n", p.TopicPartition, p.First, p.Next)
	}
	f := r.Records
	say(e.stdout, "  records: %d read, %d for this table, %d tombstones, %d dropped by transformations, %d without a table, %d for other tables, %d refused\n",
		f.Read, f.Rows, f.Tombstones, f.Dropped, f.Unrouted, f.Elsewhere, f.Refused)
	for _, part := range []struct {
		mark  string
		lines []string
	}{{"difference", r.Examples}, {"proved", r.Proved}, {"not looked at", r.Unchecked}} {
		for _, line := range part.lines {
			say(e.stdout, "  %s: %s\n", part.mark, line)
		}
	}
}

// verdict is the error, with its exit code, that the outcomes come to.
func verdict(outcomes []outcome) error {
	code, bad := exitOK, 0
	for _, o := range outcomes {
		switch o.Verdict {
		case differences:
			code = exitDifferent
			bad++
		case unknown:
			code = max(code, exitOther)
			bad++
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code, fmt.Errorf("%d of %d tables are not proven", bad, len(outcomes))}
}
