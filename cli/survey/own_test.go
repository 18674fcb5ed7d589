package survey

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/cli/connectapi"
	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/rest"
	"github.com/firn-io/firn/worker"
)

// own runs a worker of this build with a stopped connector c, whose group has read orders-1
// up to offset 3.
func own(t *testing.T) (cfg *worker.Config, api *connectapi.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg, _, err = worker.NewConfig(map[string]string{
		"bootstrap.servers": cluster.ListenAddrs()[0], "group.id": "workers", "listeners": "http://127.0.0.1:0",
		"key.converter": stringClass, "value.converter": jsonClass,
		"config.storage.topic": "configs", "offset.storage.topic": "offsets", "status.storage.topic": "statuses",
		"config.storage.replication.factor": "1", "offset.storage.replication.factor": "1", "status.storage.replication.factor": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := rest.Listen(t.Context(), cfg.Listeners, nil)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listeners[0].Addr().String()
	log := slog.New(slog.DiscardHandler)
	w, err := worker.New(worker.Options{Config: cfg, Plugins: plugins(), Logger: log, AdvertisedURL: url + "/"})
	if err != nil {
		t.Fatal(err)
	}
	server := rest.New(rest.Options{Herder: w.Herder(), Listeners: listeners, Logger: log})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- w.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	api = &connectapi.Client{Base: url, Name: "the cluster"}
	body := map[string]any{"name": "c", "initial_state": "STOPPED", "config": map[string]string{"connector.class": icebergSink, "topics": "orders", "iceberg.tables": "a.b"}}
	create(t, api, body)

	client, err := kafka.NewConfig(cfg.Client("test"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(client, func(a *kafka.Admin) (any, error) {
		return nil, a.AlterGroupOffsets(t.Context(), "connect-c", map[connect.TopicPartition]int64{{Topic: "orders", Partition: 1}: 3})
	}); err != nil {
		t.Fatal(err)
	}
	return cfg, api
}

// create waits until the worker has joined its group and takes the connector.
func create(t *testing.T, api *connectapi.Client, body any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := api.Call(ctx, http.MethodPost, "/connectors", body, nil)
		switch {
		case err == nil:
			return
		case !connectapi.IsStatus(err, http.StatusConflict) && !connectapi.IsStatus(err, http.StatusInternalServerError), !connectapi.Pause(ctx, 20*time.Millisecond):
			t.Fatal(err)
		}
	}
}

// A cluster of this build is surveyed as one of Java; with the worker's properties the
// converters are known, and Kafka tells the ends of the partitions.
func TestOwnCluster(t *testing.T) {
	cfg, api := own(t)
	for _, s := range []*Survey{{API: api, Plugins: plugins()}, {API: api, Plugins: plugins(), Worker: cfg}} {
		r, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !r.AllRun || len(r.Connectors) != 1 {
			t.Fatalf("got %+v", r)
		}
		c := r.Connectors[0]
		if c.Name != "c" || c.Verdict != AsIs || c.Group != "connect-c" || len(c.Offsets) != 1 || c.Offsets[0].Partition != 1 || c.Offsets[0].Next != 3 {
			t.Errorf("got %+v", c)
		}
		known := s.Worker != nil
		if (len(c.Unchecked) == 0) != known || (c.Offsets[0].End != nil) != known || known && *c.Offsets[0].End != 0 {
			t.Errorf("with the worker's properties %v: got %+v", known, c)
		}
	}

	// Workers that do not tell offsets: Kafka does.
	info := `{"c":{"info":{"type":"sink","config":{"name":"c","connector.class":"` + icebergSink + `","topics":"orders","iceberg.tables":"a.b"}}}}`
	old := serve(t, map[string]string{"/": `{"version":"3.4.0"}`, expanded: info, "/connectors": `["c"]`})
	r, err := (&Survey{API: old, Plugins: plugins(), Worker: cfg}).Run(t.Context())
	if err != nil || len(r.Connectors[0].Offsets) != 1 || r.Connectors[0].Offsets[0].Next != 3 {
		t.Errorf("got %+v, %v", r, err)
	}

	// The properties of another cluster.
	for _, answers := range []map[string]string{
		{"/": `{"kafka_cluster_id":"other"}`, expanded: `{}`, "/connectors": `[]`},
		{"/": `{}`, expanded: strings.Replace(info, `{"c":`, `{"d":`, 1), "/connectors": `["d"]`},
	} {
		if _, err := (&Survey{API: serve(t, answers), Plugins: plugins(), Worker: cfg}).Run(t.Context()); !errors.Is(err, ErrOther) {
			t.Errorf("%v: got %v", answers, err)
		}
	}
}
