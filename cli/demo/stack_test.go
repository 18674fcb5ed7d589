package demo

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/kafka"
	"github.com/firn-io/firn/worker/local"
)

// TestProduceIntoAStack writes everything to a real log, kills nothing, and wants
// a second run to add nothing.
func TestProduceIntoAStack(t *testing.T) {
	cfg := local.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}
	err := local.Run(t.Context(), cfg, func(ctx context.Context, st *local.Stack) error {
		client, err := kafka.NewConfig(map[string]string{"bootstrap.servers": st.Bootstrap}, nil)
		if err != nil {
			return err
		}
		admin, err := kafka.NewAdmin(client)
		if err != nil {
			return err
		}
		defer admin.Close() //nolint:errcheck // it only read
		for run := range 2 {
			began := time.Now()
			id, err := registerSchema(ctx, st.RegistryURL)
			if err != nil {
				return err
			}
			if err := createTopics(ctx, client); err != nil {
				return err
			}
			if err := produce(ctx, client, id); err != nil {
				return err
			}
			t.Logf("run %d took %s", run, time.Since(began))
			for _, s := range sources {
				ends, err := admin.Offsets(ctx, s.partitionsOf(), kafka.Latest)
				if err != nil {
					return err
				}
				got := int64(0)
				for _, end := range ends {
					got += end
				}
				if got != s.rows {
					t.Errorf("run %d: topic %s holds %d records in %v, want %d", run, s.topic, got, ends, s.rows)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
