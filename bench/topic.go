//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A topic is one that has been filled.
type topic struct {
	name    string
	format  *format
	records int
	batch   int   // bytes of a record batch
	bytes   int64 // of all values
}

const partitions = 4

// fill makes the topic of a format and reads it once, which warms the page cache and
// the broker. Record i is in partition i%4, in batches of so many bytes.
func fill(ctx context.Context, bootstrap string, f *format, records, batch int) (topic, error) {
	t := topic{name: fmt.Sprintf("bench-%s-p%d-n%d-b%d", f.name, partitions, records, batch), format: f, records: records, batch: batch}
	client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": bootstrap, "client.id": "bench"}, nil)
	if err != nil {
		return t, err
	}
	admin, err := kafka.NewAdmin(client)
	if err != nil {
		return t, err
	}
	defer admin.Close() //nolint:errcheck // nothing depends on it
	start := time.Now()
	err = admin.CreateTopic(ctx, kafka.TopicSpec{
		Name: t.name, Partitions: partitions, ReplicationFactor: 1,
		Configs: map[string]string{"retention.ms": "-1"}, // the events are of a fixed day
	})
	switch {
	case err == nil:
		err = t.produce(ctx, client)
	case errors.Is(err, kafka.ErrTopicExists):
		err = t.adopt(ctx, admin)
	}
	if err != nil {
		return t, fmt.Errorf("fill topic %s: %w", t.name, err)
	}
	took := time.Since(start)
	if err := t.warm(ctx, client); err != nil {
		return t, fmt.Errorf("warm %s: %w", t.name, err)
	}
	fmt.Fprintf(os.Stderr, "bench: %s has %d records of %d bytes (%.1f s)\n", t.name, records, t.bytes/int64(records), took.Seconds())
	return t, nil
}

// adopt takes a topic that an earlier bench has filled.
func (t *topic) adopt(ctx context.Context, admin *kafka.Admin) error {
	var all []connect.TopicPartition
	for p := range int32(partitions) {
		all = append(all, connect.TopicPartition{Topic: t.name, Partition: p})
	}
	ends, err := admin.Offsets(ctx, all, kafka.Latest)
	if err != nil {
		return err
	}
	for _, tp := range all {
		if ends[tp] != int64(t.records/partitions) {
			return fmt.Errorf("%s ends at %d, want %d: delete it, it was not filled to its end", tp, ends[tp], t.records/partitions)
		}
	}
	for i := range t.records {
		e := eventAt(i)
		t.bytes += int64(len(t.format.encode(&e, nil)))
	}
	return nil
}

func (t *topic) produce(ctx context.Context, client *kafka.Config) error {
	p, err := kafka.NewProducer(client)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // SendAll has waited for all of it
	var msgs []kafka.Message
	size := 0
	for i := range t.records {
		e := eventAt(i)
		value := t.format.encode(&e, nil)
		t.bytes += int64(len(value))
		size += len(value)
		msgs = append(msgs, kafka.Message{Topic: t.name, Partition: int32(i % partitions), Value: value, Timestamp: time.UnixMilli(e.ts)})
		if size < partitions*t.batch && i < t.records-1 {
			continue
		}
		if err := p.SendAll(ctx, msgs); err != nil {
			return err
		}
		msgs, size = msgs[:0], 0
	}
	return nil
}

func (t *topic) warm(ctx context.Context, client *kafka.Config) error {
	f, err := kafka.NewFetcher(client)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing depends on it
	for p := range int32(partitions) {
		f.Add(connect.TopicPartition{Topic: t.name, Partition: p}, 0)
	}
	for left := t.records; left > 0; {
		got, err := f.Poll(ctx, time.Second)
		if err != nil {
			return err
		}
		for i := range got {
			if got[i].Err != nil {
				return got[i].Err
			}
			left -= got[i].Len()
		}
	}
	return nil
}

// serveSchemas is the Schema Registry: it knows one schema. It returns its URL.
func serveSchemas(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(fmt.Sprintf("GET /schemas/ids/%d", schemaID), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": eventSchema}) // a client that is gone has no use for it
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }() // as long as the process
	return "http://" + ln.Addr().String(), nil
}
