package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

var checkCommand = command{
	name:  "check",
	args:  "worker.properties [connector.(properties|json)...] | --from URL [--worker worker.properties]",
	short: "what is wrong with a worker's file and connectors; what of a Java cluster runs here",
	long: `
Checks the file of a worker and any number of connectors as a worker would, and
says everything that is wrong at once, in the words of Kafka Connect. Keys that
have no effect are warnings. Nothing is asked over the network, unless --connect
is given: then the worker's Kafka cluster is asked for its topics, and
connectors try their catalog and storage as POST /connectors does.

With --from, looks at a running Connect cluster, of Java workers usually, and
says of each connector whether it runs here, with what differences, and from
which offsets it would go on. Only reads: GET requests to its REST API and, with
--worker, its config topic and the ends of topics. Credentials and TLS of the API
come from a file of properties (--client): basic.auth.user.info=user:password,
ssl.truststore.* and ssl.keystore.* as in a worker's file.

Exit codes: 0 nothing is wrong (there may be warnings), all connectors run; 2 not
so; 3 Kafka or the REST API does not answer; 1 other.`,
	setup: func(flags *flag.FlagSet) func(context.Context, *env, []string) error {
		asJSON := flags.Bool("json", false, "print what was found as JSON")
		alone := flags.Bool("standalone", false, "the worker's file is for firn standalone")
		outside := flags.Bool("connect", false, "try Kafka, catalogs and storage, too")
		from := flags.String("from", "", "`URL` of the REST API of a cluster to look at")
		workerFile := flags.String("worker", "", "properties `FILE` of one of its workers")
		clientFile := flags.String("client", "", "properties `FILE` for the connection to its REST API")
		return func(ctx context.Context, e *env, args []string) error {
			if *from != "" {
				if len(args) > 0 || *alone || *outside {
					return &usageError{"check: --from goes with --worker, --client and --json alone"}
				}
				return checkFrom(ctx, e, *from, *workerFile, *clientFile, *asJSON)
			}
			if *workerFile != "" || *clientFile != "" {
				return &usageError{"check: --worker and --client go with --from; else the first file is the worker's"}
			}
			if len(args) == 0 {
				return &usageError{"check: give worker.properties, and the connectors' files"}
			}
			check := worker.NewConfig
			if *alone {
				check = worker.NewStandaloneConfig
			}
			r, err := checkFiles(ctx, e, check, args, *outside)
			if perr := r.print(e.stdout, *asJSON); err == nil {
				err = perr
			}
			if err == nil && !r.OK {
				return configError(errors.New("check: there are errors"))
			}
			return err
		}
	},
}

// A checkReport is what was found, one part per file, the worker's first.
type checkReport struct {
	OK    bool        `json:"ok"`
	Files []checkPart `json:"files"`
}

type checkPart struct {
	File      string    `json:"file"`
	Connector string    `json:"connector,omitempty"` // its name
	Errors    []finding `json:"errors"`
	Warnings  []finding `json:"warnings"`
}

// A finding is about a key, or about the file if there is none.
type finding struct {
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func findings(from []connect.ConfigError) []finding {
	out := []finding{}
	for _, e := range from {
		out = append(out, finding(e))
	}
	return out
}

func (r *checkReport) add(file, connector string, f worker.Findings) {
	r.OK = r.OK && len(f.Errors) == 0
	r.Files = append(r.Files, checkPart{file, connector, findings(f.Errors), findings(f.Warnings)})
}

func (r *checkReport) unreadable(file string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such file")
	}
	r.add(file, "", worker.Findings{Errors: []connect.ConfigError{{Message: err.Error()}}})
}

// checkFiles checks a worker's file and those of connectors. What is wrong is in the report;
// the error is of a Kafka cluster that does not answer.
func checkFiles(ctx context.Context, e *env, check func(map[string]string) (*worker.Config, []string, error), paths []string, outside bool) (*checkReport, error) {
	r := &checkReport{OK: true}
	var cfg *worker.Config
	props, err := readProperties(paths[0])
	if err != nil {
		r.unreadable(paths[0], err)
	} else {
		var f worker.Findings
		cfg, f = worker.CheckWorker(props, e.plugins.Plugins, check)
		r.add(paths[0], "", f)
	}
	var unreached error
	if outside && r.OK {
		unreached = askKafka(ctx, cfg)
	}
	for _, path := range paths[1:] {
		config, err := readConnector(path, nil)
		switch {
		case err != nil:
			r.unreadable(path, err)
		case cfg != nil:
			r.add(path, config["name"], worker.CheckConnector(ctx, cfg, e.plugins.Plugins, config, outside))
		}
	}
	return r, unreached
}

// askKafka proves that the worker's own client gets answers.
func askKafka(ctx context.Context, cfg *worker.Config) error {
	const patience = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kafka.NewConfig(cfg.Client("check"), nil)
	if err != nil {
		return configError(err)
	}
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return startError(err)
	}
	_, err = admin.Topics(ctx)
	if err = errors.Join(err, admin.Close()); err != nil {
		return startError(fmt.Errorf("ask Kafka: %w", err))
	}
	return nil
}

func (r *checkReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		text, err := json.MarshalIndent(r, "", "  ")
		say(w, "%s\n", text)
		return err
	}
	for _, p := range r.Files {
		verdict := "ok"
		if n := len(p.Errors); n > 0 {
			verdict = fmt.Sprintf("%d error(s)", n)
		}
		name := p.File
		if p.Connector != "" {
			name += " (" + p.Connector + ")"
		}
		say(w, "%s: %s\n", name, verdict)
		for _, f := range p.Errors {
			say(w, "  error    %s\n", f)
		}
		for _, f := range p.Warnings {
			say(w, "  warning  %s\n", f)
		}
	}
	return nil
}

// String is the message, after the key if the message does not name it.
func (f finding) String() string {
	message := strings.ReplaceAll(strings.TrimSpace(f.Message), "\n", "; ")
	if f.Key == "" || strings.Contains(message, f.Key) {
		return message
	}
	return f.Key + ": " + message
}
