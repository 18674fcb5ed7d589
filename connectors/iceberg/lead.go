package iceberg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/internal/kafka"
)

// A leadership is the coordinator that this task runs, with connections of its own.
type leadership struct {
	coordinator *commit.Coordinator
	cancel      context.CancelFunc
	done        chan struct{} // closed when the coordinator has returned
}

// finishPatience bounds how long a task waits for its coordinator to finish. What it
// misses costs nothing but the way back to Java: firn settle mends that.
const finishPatience = 5 * time.Second

// leavePatience is longer: a Java sink is there already and waits for the offsets.
const leavePatience = time.Minute

// lead keeps a coordinator while this task holds the connector's first partition. It is
// decided as a level, from the session, and never relied on: rivals cost time, not rows.
func (t *Task) lead(ctx context.Context) {
	s := t.tc.Group().Session()
	leads := len(s.Subscribed) > 0 && len(s.Owned) > 0 && s.Owned[0] == s.Subscribed[0]
	switch {
	case leads && t.leading == nil:
		t.coordinate()
	case !leads && t.leading != nil:
		if s.Member == "" {
			t.leading.cancel() // the session is over, and with it the right to move offsets
		}
		t.retire(ctx, finishPatience)
	}
	if c := t.leader.Load(); c != nil && s.Generation != t.generation {
		c.Wake()
	}
	t.generation = s.Generation
}

// retire has the coordinator bring what it has accepted to its end, so that the tables
// are not ahead of the group's offsets: the next one may be Java's, or have another config.
func (t *Task) retire(ctx context.Context, patience time.Duration) {
	if t.leading == nil {
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	t.leading.coordinator.Finish()
	inTime := true
	select {
	case <-t.leading.done:
	case <-late.C:
		inTime = false
	case <-ctx.Done():
		inTime = false
	}
	if !inTime {
		t.tc.Logger().Warn("the coordinator was stopped before all tables had what it had accepted; nothing is lost, but if the connector goes back to Java now, run firn settle first")
	}
	t.leading.cancel()
	t.leading = nil
}

func (t *Task) coordinate() {
	clients, err := t.leaderClients()
	if err != nil {
		t.tc.Fail(err)
		return
	}
	multi, _ := catalog.AsMultiTable(t.catalog)
	c := commit.NewCoordinator(commit.Config{
		Group: clients.group, Identity: t.identity, Java: clients.java, Broker: commit.NewKafkaBroker(clients.broker),
		Catalog: t.catalog, Multi: multi, CatalogName: t.cfg.catalogName, Tables: t.knownTargets(), Target: t.cfg.target,
		Task: fmt.Sprintf("%s-%d", t.tc.Connector(), t.tc.Task()), ConfigHash: t.cfg.hash(),
		Interval: t.cfg.flush, Cadence: t.cfg.cadence, Timeout: t.cfg.timeout, Threads: t.cfg.threads,
		Failures: t.cfg.failures, Trouble: t.hearTrouble,
		Latest: t.cfg.raw["consumer.override.auto.offset.reset"] == "latest",
		Logger: t.tc.Logger(), Send: t.channel.Send,
	})
	ctx, cancel := context.WithCancel(t.life)
	l := &leadership{coordinator: c, cancel: cancel, done: make(chan struct{})}
	t.leading = l
	t.leader.Store(c)
	t.wg.Go(func() {
		defer close(l.done)
		err := c.Run(ctx)
		t.leader.CompareAndSwap(c, nil)
		t.hearTrouble("")
		if cerr := clients.close(); cerr != nil {
			t.tc.Logger().Debug("closing the coordinator's connections", "error", cerr)
		}
		switch {
		case errors.Is(err, commit.ErrNotAlone):
			t.mail.post(func(context.Context) error {
				if t.leading == l {
					t.leading = nil // a new one waits until they are gone, or this task is
				}
				return nil
			})
		case err != nil:
			t.tc.Fail(err)
		}
	})
}

// knownTargets are the tables that can be told before there are records.
func (t *Task) knownTargets() []commit.Target {
	var topics []string
	for _, tp := range t.tc.Group().Session().Subscribed {
		if len(topics) == 0 || topics[len(topics)-1] != tp.Topic {
			topics = append(topics, tp.Topic)
		}
	}
	var out []commit.Target
	known, _ := t.router.Known(topics)
	for _, ident := range known {
		out = append(out, t.cfg.target(strings.Join(ident, ".")))
	}
	return out
}

// leaderClients are a coordinator's connections.
type leaderClients struct {
	broker, beside, offsets *kafka.Admin
	java                    *commit.KafkaJava
	group                   connect.Group
}

func (t *Task) leaderClients() (c *leaderClients, err error) {
	config := func(isolation string) (*kafka.Config, error) {
		props := maps.Clone(t.client)
		props["isolation.level"] = isolation
		return kafka.NewConfig(props, t.dial)
	}
	all, err := config("read_uncommitted")
	if err != nil {
		return nil, fmt.Errorf("clients of the coordinator: %w", err)
	}
	committed, err := config("read_committed")
	if err != nil {
		return nil, fmt.Errorf("clients of the coordinator: %w", err)
	}
	c = &leaderClients{group: t.tc.Group()}
	for _, a := range []**kafka.Admin{&c.broker, &c.beside, &c.offsets} {
		if *a, err = kafka.NewAdmin(all); err != nil {
			return nil, fmt.Errorf("clients of the coordinator: %w", errors.Join(err, c.close()))
		}
	}
	c.java = &commit.KafkaJava{
		Admin: c.beside, Committed: committed, Topic: t.cfg.controlTopic,
		Consumers: c.group.ID(), Group: t.identity.Group, Logger: t.tc.Logger(),
	}
	if t.identity.Tabular && t.identity.Group != c.group.ID() {
		c.group = commit.NewTabularGroup(c.group, t.identity.Group, c.offsets)
	}
	return c, nil
}

// close ends the connections.
func (c *leaderClients) close() error {
	var errs []error
	for _, a := range []*kafka.Admin{c.broker, c.beside, c.offsets} {
		if a != nil {
			errs = append(errs, a.Close())
		}
	}
	return errors.Join(errs...)
}
