package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/cli/survey"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

// checkFrom is firn check --from.
func checkFrom(ctx context.Context, e *env, from, workerFile, clientFile string, asJSON bool) error {
	api, err := apiOf(from, clientFile)
	if err != nil {
		return configError(err)
	}
	log := e.screen.logger(slog.LevelError)
	s := &survey.Survey{API: api, Plugins: e.plugins.Plugins, Logger: log}
	if workerFile != "" {
		if s.Worker, err = workerConfig(workerFile, log, worker.NewConfig); err != nil {
			return err
		}
	}
	r, err := s.Run(ctx)
	switch {
	case errors.Is(err, survey.ErrOther):
		return configError(err)
	case err != nil:
		return startError(err)
	}
	if asJSON {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		say(e.stdout, "%s\n", text)
	} else {
		printSurvey(e.stdout, r)
	}
	if !r.AllRun {
		return configError(errors.New("check: there are connectors that do not run here"))
	}
	return nil
}

// apiOf is a client of a REST API, by the properties of a file if there is one.
func apiOf(from, clientFile string) (*connectapi.Client, error) {
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("--from: give the URL of a REST API, as http://host:8083")
	}
	api := &connectapi.Client{Name: "the cluster"}
	if u.User != nil {
		api.User = u.User.Username()
		api.Password, _ = u.User.Password()
		u.User = nil
	}
	api.Base = strings.TrimRight(u.String(), "/")
	const patience = time.Minute
	api.HTTP = &http.Client{Timeout: patience}
	if clientFile == "" {
		return api, nil
	}
	props, err := readProperties(clientFile)
	if err != nil {
		return nil, err
	}
	if info, ok := props["basic.auth.user.info"]; ok {
		if api.User, api.Password, ok = strings.Cut(info, ":"); !ok {
			return nil, fmt.Errorf("%s: basic.auth.user.info is not user:password", clientFile)
		}
	}
	tls, err := kafka.NewTLS(props)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clientFile, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tls
	api.HTTP.Transport = transport
	return api, nil
}

// printSurvey prints a table of the connectors, and then what there is to say of each.
func printSurvey(w io.Writer, r *survey.Report) {
	say(w, "%s: Kafka Connect %s, %d connector(s)\n\n", r.URL, r.Version, len(r.Connectors))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	say(table, "CONNECTOR\tSTATE\tTASKS\tVERDICT\n")
	for _, c := range r.Connectors {
		say(table, "%s\t%s\t%d\t%s\n", c.Name, c.State, c.Tasks, c.Verdict)
	}
	_ = table.Flush() // a user who is gone is no reason to stop
	for _, c := range r.Connectors {
		say(w, "\n%s (%s): %s\n", c.Name, c.Class, c.Verdict)
		for _, list := range [][]string{c.Reasons, c.Differences} {
			for _, line := range list {
				say(w, "  - %s\n", line)
			}
		}
		for _, line := range c.Unchecked {
			say(w, "  not checked: %s\n", line)
		}
		if c.Group == "" {
			continue
		}
		say(w, "  goes on from the offsets of group %s:", c.Group)
		for _, o := range c.Offsets {
			say(w, " %s-%d %d", o.Topic, o.Partition, o.Next)
			if o.End != nil {
				say(w, " of %d", *o.End)
			}
		}
		if len(c.Offsets) == 0 {
			say(w, " none yet")
		}
		say(w, "\n")
	}
}
