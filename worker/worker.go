// Package worker is a Kafka Connect worker: it joins the worker group, follows the config
// topic, and runs the connectors and tasks that the group's leader assigns to it
// (org.apache.kafka.connect.runtime in Java: Worker and DistributedHerder).
//
// It promises that work runs only under an assignment that this worker holds, and only
// after the config topic was read as far as the assignment asks; that tasks which a
// rebalance leaves alone run on through it; and that a plugin which fails, panics or
// hangs harms itself only. Run starts everything and returns when everything has ended.
//
// The [Herder]'s goroutine owns what runs; [Config] and [Plugins] are only read. What it
// does not do: read records (worker/sink), assign (worker/group), encode the internal
// topics (worker/topics), serve HTTP (rest).
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/group"
	"github.com/firn-io/firn/worker/loglevel"
	"github.com/firn-io/firn/worker/topics"
)

// Options is what a Worker is made of.
type Options struct {
	Config  *Config
	Plugins Plugins
	Dial    kafka.Dialer // nil: plain TCP
	Logger  *slog.Logger // nil: slog.Default

	// Levels are those of Logger, for /admin/loggers; nil: ones that change nothing.
	Levels *loglevel.Levels

	// AdvertisedURL is where other workers reach this one's REST API, e.g.
	// "http://10.0.0.7:8083/"; its host:port is the worker id.
	AdvertisedURL string

	// Client posts task configs to the leader; nil: one of its own.
	Client *http.Client

	// Standalone makes a worker without a group and without internal topics: connectors
	// live in memory and come from Connectors (offsets are still the consumer groups').
	Standalone bool
	Connectors []map[string]string // configs, created at start; standalone only
}

// A Worker is one member of a Connect cluster.
type Worker struct {
	opts   Options
	herder *Herder
}

// New makes a worker. It does no I/O before Run.
func New(o Options) (*Worker, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Levels == nil {
		o.Levels = loglevel.New(slog.LevelInfo, nil)
	}
	if o.Client == nil {
		o.Client = &http.Client{
			Transport:     &http.Transport{TLSClientConfig: o.Config.ClientTLS, ResponseHeaderTimeout: time.Minute, DisableKeepAlives: true}, // no proxy between workers
			Timeout:       time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	id, err := workerID(o.AdvertisedURL)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{o.Config.KeyConverter, o.Config.ValueConverter} {
		if _, _, ok := o.Plugins.converter(key); !ok {
			return nil, fmt.Errorf("Class %s could not be found: this build has the converters %v", key, classes(o.Plugins.Converters)) //nolint:staticcheck // Java's wording
		}
	}
	w := &Worker{opts: o, herder: newHerder(o, id)}
	if o.Standalone {
		w.standalone()
		return w, nil
	}
	return w, w.distributed()
}

func (w *Worker) standalone() {
	h := w.herder
	configs := newMemoryConfigs()
	h.configs, h.statuses, h.member = configs, newMemoryStatuses(), newAlone(h.url, configs.Snapshot)
}

func (w *Worker) distributed() error {
	h, c := w.herder, w.opts.Config
	clients := map[string]*kafka.Config{}
	for _, suffix := range []string{"shared-admin", "configs", "statuses"} {
		cfg, err := kafka.NewConfig(c.own(suffix), h.dial)
		if err != nil {
			return err
		}
		clients[suffix] = cfg
	}
	props := c.topLevel()
	if c.ClientID == "" {
		props["client.id"] = "connect-" + h.id
	}
	member, err := kafka.NewConfig(props, h.dial)
	if err != nil {
		return err
	}
	configs := configTopic{topics.NewConfigTopic(topics.ConfigOptions{
		Spec: c.ConfigTopic.spec(topics.KindConfig), Admin: clients["shared-admin"], Consumer: clients["configs"], Producer: clients["configs"], Logger: h.log,
	})}
	h.configs = configs
	h.statuses = topics.NewStatusTopic(topics.StatusOptions{
		Spec: c.StatusTopic.spec(topics.KindStatus), Admin: clients["shared-admin"], Consumer: clients["statuses"], Producer: clients["statuses"], Logger: h.log,
	})
	h.member, err = group.NewMember(group.Config{
		Kafka: member, GroupID: c.GroupID, URL: h.url, Protocol: c.Protocol,
		Session: c.SessionTimeout, Rebalance: c.RebalanceTimeout, Heartbeat: c.HeartbeatInterval, MaxDelay: c.ScheduledRebalanceMaxDelay,
		Logger:     h.log,
		Configured: configs.Configured,
	})
	return err
}

func (t Topic) spec(kind topics.Kind) topics.Spec {
	return topics.Spec{Kind: kind, Name: t.Name, Partitions: t.Partitions, ReplicationFactor: t.ReplicationFactor, Configs: t.Configs}
}

// Herder is the part of the worker that answers the REST API (a rest.Herder).
func (w *Worker) Herder() *Herder { return w.herder }

// Run works until ctx ends: then tasks finish what they have in hand, the worker leaves
// the group, and the last statuses are written. It returns nil after that, and an error
// if Kafka cannot be reached at the start, if an internal topic cannot be used, or if the
// membership is refused.
func (w *Worker) Run(ctx context.Context) error {
	h := w.herder
	if err := w.lookAround(ctx); err != nil {
		close(h.closed)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	sctx, stopStores := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStores()
	var stores errgroup.Group
	hctx, stopHerder := context.WithCancel(ctx)
	defer stopHerder()
	for _, run := range []func(context.Context) error{h.configs.Run, h.statuses.Run} {
		stores.Go(func() error {
			defer stopHerder() // without its topics the herder can only stop
			return run(sctx)
		})
	}
	herr := w.herd(hctx)
	stopStores()
	return errors.Join(stores.Wait(), herr)
}

// herd runs the herder once the internal topics have been read.
func (w *Worker) herd(ctx context.Context) error {
	h := w.herder
	for _, ready := range []<-chan struct{}{h.statuses.Ready(), h.configs.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done():
			close(h.closed)
			return nil
		}
	}
	if !w.opts.Standalone {
		return h.run(ctx)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.run(gctx) })
	g.Go(func() error { return w.create(gctx) })
	return g.Wait()
}

// create makes the connectors of a standalone worker.
func (w *Worker) create(ctx context.Context) error {
	for _, config := range w.opts.Connectors {
		given := map[string]*string{}
		for k, v := range config {
			given[k] = &v
		}
		_, _, err := w.herder.PutConfig(ctx, config[keyName], given)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("create connector %q: %w", config[keyName], err)
		}
	}
	return nil
}

// patience is how long the start waits for Kafka in silence.
const patience = 5 * time.Second

// lookAround finds out which cluster this is, and creates the offset topic, which only
// workers in Java use.
func (w *Worker) lookAround(ctx context.Context) (err error) {
	h, c := w.herder, w.opts.Config
	cfg, err := kafka.NewConfig(maps.Clone(c.admin(c.own("shared-admin")["client.id"], nil)), h.dial)
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := admin.ClusterID(soon)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		h.log.Warn("Kafka does not answer yet; trying on", "bootstrap.servers", c.Props["bootstrap.servers"], "error", err)
		id, err = admin.ClusterID(ctx)
	}
	if err != nil {
		return fmt.Errorf("Failed to connect to and describe Kafka cluster. Check worker's broker connection and security properties: %w", err) //nolint:staticcheck // Java's wording
	}
	h.clusterID.Store(&id)
	if w.opts.Standalone {
		return nil
	}
	return topics.Ensure(ctx, admin, c.OffsetTopic.spec(topics.KindOffset))
}
