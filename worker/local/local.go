// Package local is a Kafka Connect platform in one process, for trying Firn and
// for tests: a broker that keeps its log on disk, a Schema Registry, and the
// places for a SQL catalog and a warehouse, all in one directory and on 127.0.0.1.
//
// Run owns everything it starts. What uses the stack, a worker above all, is a
// function that Run calls once the parts answer and waits for before it stops
// them: so this package knows neither the worker nor its plugins. The directory is
// held by a lock; a second process is refused with its name.
//
// It is a real broker protocol and a real registry API, for one machine: one
// broker, no security, no sync to disk per batch.
package local

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/local/registry"
)

// A Config says where the stack lives. Addresses are host:port on the loopback;
// empty means 127.0.0.1:0, a free port.
type Config struct {
	Dir      string // made if need be
	Kafka    string
	Registry string
	REST     string // the worker's listener; opened by the worker, not by Run
	Logger   *slog.Logger
}

// A Stack is the running parts, as a client sees them.
type Stack struct {
	Dir         string // absolute
	Bootstrap   string // bootstrap.servers
	RegistryURL string // schema.registry.url
	CatalogURI  string // iceberg.catalog.uri of a SQL catalog
	Warehouse   string // iceberg.catalog.warehouse, a file:// URL

	rest string
}

const loopback = "127.0.0.1:0"

// Run starts the broker, then the registry, then calls use; when use returns or
// a part fails, it stops them in the opposite order. It returns the first error.
func Run(ctx context.Context, cfg Config, use func(context.Context, *Stack) error) (err error) {
	d, err := openDir(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()

	brokerLn, err := listen("Kafka broker", orLoopback(cfg.Kafka))
	if err != nil {
		return err
	}
	registryLn, err := listen("schema registry", orLoopback(cfg.Registry))
	if err != nil {
		return errors.Join(err, brokerLn.Close())
	}
	cluster, err := startBroker(brokerLn, d.join("kafka"))
	if err != nil {
		return errors.Join(err, registryLn.Close())
	}
	defer cluster.Close()

	st := newStack(d, brokerLn.Addr(), registryLn.Addr(), orLoopback(cfg.REST))
	cfg.Logger.Info("local stack started", "dir", st.Dir, "kafka", st.Bootstrap, "registry", st.RegistryURL)
	return serve(ctx, st, registryLn, use)
}

// serve runs the registry for as long as use works.
func serve(ctx context.Context, st *Stack, ln net.Listener, use func(context.Context, *Stack) error) error {
	client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": st.Bootstrap, "client.id": "schema-registry"}, nil)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	journal, err := openJournal(ctx, client)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	g, gctx := errgroup.WithContext(ctx)
	rctx, stopRegistry := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRegistry()
	g.Go(func() error {
		return registry.New(journal).Run(rctx, ln)
	})
	g.Go(func() error {
		defer stopRegistry() // last: the worker's tasks may still ask it
		return use(gctx, st)
	})
	return errors.Join(g.Wait(), journal.close())
}

func orLoopback(addr string) string {
	if addr == "" {
		return loopback
	}
	return addr
}
