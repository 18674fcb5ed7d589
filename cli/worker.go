package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/firn-io/firn/internal/jvm"
	"github.com/firn-io/firn/rest"
	"github.com/firn-io/firn/worker"
)

// readProperties reads a Java .properties file.
func readProperties(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	props, err := worker.ParseProperties(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return props, nil
}

// workerConfig reads and checks a worker's file with check, logging its warnings.
func workerConfig(path string, log *slog.Logger, check func(map[string]string) (*worker.Config, []string, error)) (*worker.Config, error) {
	props, err := readProperties(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no file %s", path)
	}
	if err != nil {
		return nil, configError(err)
	}
	// A system property of a Java worker, and a property of the file here.
	if path := jvm.SystemProperty(os.Getenv("KAFKA_OPTS"), jvm.LoginConfig); path != "" && props[jvm.LoginConfig] == "" {
		props[jvm.LoginConfig] = path
	}
	cfg, warnings, err := check(props)
	for _, w := range warnings {
		log.Warn(w, "file", path)
	}
	if err != nil {
		return nil, configError(fmt.Errorf("%s:\n%w", path, err))
	}
	return cfg, nil
}

// runWorker runs a worker and its REST server until ctx ends. started, if not nil,
// is told the URL of the REST API as soon as it answers.
//
// The API is served before the worker has joined its group, as Java does, and
// until the worker has left it: followers may still forward requests to it.
func runWorker(ctx context.Context, o worker.Options, started func(restURL string)) error {
	listeners, err := rest.Listen(ctx, o.Config.Listeners, o.Config.ServerTLS)
	if err != nil {
		return startError(err)
	}
	o.AdvertisedURL = o.Config.Advertise(addresses(listeners))
	admins, err := rest.Listen(ctx, o.Config.AdminListeners, o.Config.AdminTLS)
	var w *worker.Worker
	if err == nil {
		w, err = worker.New(o)
	}
	if err != nil {
		for _, ln := range slices.Concat(listeners, admins) {
			err = errors.Join(err, ln.Close())
		}
		return startError(err)
	}
	server := rest.New(rest.Options{
		Herder: w.Herder(), Logger: o.Logger,
		Listeners: listeners, AdminListeners: admins, NoAdmin: o.Config.NoAdmin,
		TLS: o.Config.ClientTLS, Users: o.Config.Users,
		CORS: crossOrigin(o.Config), Headers: o.Config.ResponseHeaders,
	})
	o.Logger.Info("REST API is listening", "url", o.AdvertisedURL)
	if started != nil {
		started(o.AdvertisedURL)
	}
	g, gctx := errgroup.WithContext(ctx)
	sctx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	g.Go(func() error {
		return server.Run(sctx)
	})
	g.Go(func() error {
		defer stopServer()
		return w.Run(gctx)
	})
	return g.Wait()
}

func crossOrigin(c *worker.Config) *rest.CORS {
	if c.AllowOrigin == nil {
		return nil
	}
	return &rest.CORS{Allow: c.AllowOrigin, Methods: c.AllowMethods}
}

func addresses(listeners []net.Listener) (addrs []net.Addr) {
	for _, ln := range listeners {
		addrs = append(addrs, ln.Addr())
	}
	return addrs
}
