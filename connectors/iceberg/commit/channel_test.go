package commit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"

	"github.com/firn-io/firn/internal/kafka"
)

// A channel that cannot be opened leaves nothing behind: the bubble would say so.
func TestOpenChannelWithoutBrokers(t *testing.T) {
	metrics.UseNilMetrics = true // its ticker would live in the bubble for ever
	unreachable := errors.New("unreachable")
	synctest.Test(t, func(t *testing.T) {
		cfg, err := kafka.NewConfig(map[string]string{"bootstrap.servers": "localhost:1"}, func(context.Context, string, string) (net.Conn, error) { return nil, unreachable })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ch, err := OpenChannel(ctx, cfg, "control", "connect-c", slog.New(slog.DiscardHandler))
		if ch != nil || !errors.Is(err, unreachable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v; want no channel and the dialer's error", ch, err)
		}
	})
}
