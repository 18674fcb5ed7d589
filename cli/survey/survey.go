// Package survey looks at a running Connect cluster, of Java workers usually, and says
// of each connector whether this build runs it, with what differences, and from which
// offsets it would go on.
//
// It only reads: GET requests to the REST API and, given the worker's properties, the
// config topic, ends of topics and offsets of groups. Nothing is created, and no group
// is joined. Values of configs are not shown, except where an error is about one.
package survey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker"
)

// A Survey is what to look at.
type Survey struct {
	API     *connectapi.Client
	Plugins worker.Plugins
	Worker  *worker.Config // of one of the workers; nil if it is not known
	Dial    kafka.Dialer   // nil for TCP
	Logger  *slog.Logger
}

// A Verdict is what becomes of a connector.
type Verdict string

// The verdicts.
const (
	AsIs        Verdict = "runs as is"
	Differently Verdict = "runs with these differences"
	Unsupported Verdict = "not supported"
)

// A Report is what was found, connectors by name.
type Report struct {
	URL        string      `json:"url"`
	Version    string      `json:"version"`          // of the worker that answered
	Cluster    string      `json:"kafka_cluster_id"` // of its Kafka
	AllRun     bool        `json:"all_run"`
	Connectors []Connector `json:"connectors"`
}

// A Connector of the cluster.
type Connector struct {
	Name    string  `json:"name"`
	Class   string  `json:"class"`
	State   string  `json:"state"` // RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED, or empty if unknown
	Tasks   int     `json:"tasks"`
	Verdict Verdict `json:"verdict"`

	Reasons     []string `json:"reasons"`     // why it is not supported
	Differences []string `json:"differences"` // what will not be as it was
	Unchecked   []string `json:"unchecked"`   // what this survey could not look at

	Group   string   `json:"group,omitempty"` // consumer group of the tasks
	Offsets []Offset `json:"offsets"`         // from which it would go on
}

// An Offset is where the tasks would go on in one partition.
type Offset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"offset"`
	End       *int64 `json:"end,omitempty"` // of the partition, if Kafka was asked
}

// A listed connector is one of GET /connectors?expand=info&expand=status.
type listed struct {
	Info   info              `json:"info"`
	Status connectapi.Status `json:"status"`
}

type info struct {
	Type   string            `json:"type"`
	Config map[string]string `json:"config"`
}

// ErrOther says that the worker's properties are of another cluster than the REST API.
var ErrOther = errors.New("the worker's properties and the REST API are not of the same cluster")

// Run takes the survey. Its error says that the cluster could not be read.
func (s *Survey) Run(ctx context.Context) (*Report, error) {
	var root struct {
		Version string `json:"version"`
		Cluster string `json:"kafka_cluster_id"`
	}
	if err := s.get(ctx, "/", &root); err != nil {
		return nil, err
	}
	all, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(all))
	r := &Report{URL: s.API.Base, Version: root.Version, Cluster: root.Cluster, AllRun: true, Connectors: []Connector{}}
	if err := s.same(ctx, root.Cluster, names); err != nil {
		return nil, err
	}
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, err := s.connector(ctx, cfg, name, all[name])
		if err != nil {
			return nil, err
		}
		r.AllRun = r.AllRun && c.Verdict != Unsupported
		r.Connectors = append(r.Connectors, *c)
	}
	return r, nil
}

// list returns all connectors. The expanded list leaves out those that have no status yet.
func (s *Survey) list(ctx context.Context) (map[string]listed, error) {
	all := map[string]listed{}
	if err := s.get(ctx, "/connectors?expand=info&expand=status", &all); err != nil {
		return nil, err
	}
	var names []string
	if err := s.get(ctx, "/connectors", &names); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, ok := all[name]; ok {
			continue
		}
		var l listed
		err := s.get(ctx, "/connectors/"+url.PathEscape(name), &l.Info)
		switch {
		case err == nil:
			all[name] = l
		case !connectapi.IsStatus(err, http.StatusNotFound): // deleted in between
			return nil, err
		}
	}
	return all, nil
}

func (s *Survey) get(ctx context.Context, path string, into any) error {
	return s.API.Call(ctx, http.MethodGet, path, nil, into)
}

// bareConverter stands in for the converters of workers that are not known.
const bareConverter = "org.apache.kafka.connect.converters.ByteArrayConverter"

// config is what connectors are checked against.
func (s *Survey) config() (*worker.Config, error) {
	if s.Worker != nil {
		return s.Worker, nil
	}
	cfg, _, err := worker.NewStandaloneConfig(map[string]string{
		"bootstrap.servers": "localhost:9092", "key.converter": bareConverter, "value.converter": bareConverter,
	})
	return cfg, err
}

func (s *Survey) connector(ctx context.Context, cfg *worker.Config, name string, l listed) (*Connector, error) {
	c := &Connector{
		Name: name, Class: l.Info.Config["connector.class"], State: l.Status.Connector.State, Tasks: len(l.Status.Tasks),
		Reasons: []string{}, Differences: []string{}, Unchecked: []string{}, Offsets: []Offset{},
	}
	config := maps.Clone(l.Info.Config)
	switch {
	case l.Info.Type == "source":
		c.Reasons = append(c.Reasons, "it is a source connector; this build runs sinks")
	case !s.Plugins.HasConnector(c.Class):
		c.Reasons = append(c.Reasons, "class "+c.Class+" is not in this build")
	default:
		s.check(ctx, cfg, c, config)
	}
	switch {
	case len(c.Reasons) > 0:
		c.Verdict = Unsupported
	case len(c.Differences) > 0:
		c.Verdict = Differently
	default:
		c.Verdict = AsIs
	}
	if l.Info.Type == "source" {
		return c, nil
	}
	return c, s.offsets(ctx, cfg, c, config)
}

// check is what CheckConnector says, sorted by what it means here.
func (s *Survey) check(ctx context.Context, cfg *worker.Config, c *Connector, config map[string]string) {
	f := worker.CheckConnector(ctx, cfg, s.Plugins, config, false)
	unresolved := cfg.Unresolved(config)
	for _, e := range f.Errors {
		if !slices.Contains(unresolved, e.Key) {
			c.Reasons = append(c.Reasons, sentence(e))
		}
	}
	for _, w := range f.Warnings {
		if s.Worker != nil || !strings.Contains(w.Message, "worker's converter") {
			c.Differences = append(c.Differences, sentence(w))
		}
	}
	for _, key := range unresolved {
		c.Unchecked = append(c.Unchecked, key+" holds a variable of a config provider")
	}
	for _, key := range []string{"key.converter", "value.converter"} {
		if s.Worker == nil && config[key] == "" {
			c.Unchecked = append(c.Unchecked, key+" is that of the workers: give their properties with --worker")
		}
	}
}

func sentence(e connect.ConfigError) string {
	message := strings.ReplaceAll(strings.TrimSpace(e.Message), "\n", "; ")
	if strings.Contains(message, e.Key) {
		return message
	}
	return e.Key + ": " + message
}

// offsets are those of the REST API, which knows them from Connect 3.5 on, else Kafka's.
func (s *Survey) offsets(ctx context.Context, cfg *worker.Config, c *Connector, config map[string]string) error {
	next, err := s.API.Offsets(ctx, c.Name)
	known := err == nil
	switch {
	case connectapi.IsStatus(err, http.StatusNotFound), connectapi.IsStatus(err, http.StatusMethodNotAllowed), connectapi.IsStatus(err, http.StatusInternalServerError):
		next = map[connect.TopicPartition]int64{}
	case err != nil:
		return err
	}
	_, client, group, err := cfg.Resolve(config)
	if err != nil {
		return nil //nolint:nilerr // a reason already
	}
	c.Group = group
	var ends map[connect.TopicPartition]int64
	if s.Worker != nil {
		if ends, err = s.kafka(ctx, client, group, next, known); err != nil {
			return fmt.Errorf("read the offsets of group %s: %w", group, err)
		}
	} else if !known {
		c.Unchecked = append(c.Unchecked, "the workers do not tell offsets: give their properties with --worker")
	}
	for tp, offset := range next {
		o := Offset{Topic: tp.Topic, Partition: tp.Partition, Next: offset}
		if end, ok := ends[tp]; ok {
			o.End = &end
		}
		c.Offsets = append(c.Offsets, o)
	}
	slices.SortFunc(c.Offsets, func(a, b Offset) int {
		if n := strings.Compare(a.Topic, b.Topic); n != 0 {
			return n
		}
		return int(a.Partition) - int(b.Partition)
	})
	return nil
}
