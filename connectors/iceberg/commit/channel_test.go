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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// A broker may not know a topic yet that it has just created.
func TestOpenChannelOnNewTopic(t *testing.T) {
	withBroker(t, func(t *testing.T, b broker) {
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "control", Err: kerr.UnknownTopicOrPartition, Count: 4})
		ch := b.channel(t)
		defer ch.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := ch.Send(ctx, Hello{}); err != nil {
			t.Fatal(err)
		}
		err := ch.Run(ctx, func(any) { cancel() })
		if cause := ctx.Err(); err != nil || !errors.Is(cause, context.Canceled) {
			t.Errorf("Run returned %v and its context ended by %v; want the message within seconds", err, cause)
		}
	})
}

// The control topic may be made anew with fewer partitions while a message is on its way.
func TestSendToAVanishedPartition(t *testing.T) {
	withBroker(t, func(t *testing.T, b broker) {
		create := func(partitions int32) {
			t.Helper()
			if err := b.admin.CreateTopic(t.Context(), kafka.TopicSpec{Name: "control", Partitions: partitions, ReplicationFactor: 1}); err != nil {
				t.Fatal(err)
			}
		}
		create(1000)
		ch := b.channel(t)
		defer ch.Close()
		ch.key = []byte("not of partition 0")
		if err := ch.Send(t.Context(), Hello{}); err != nil { // the producer knows the partitions now
			t.Fatal(err)
		}
		if err := b.admin.DeleteTopic(t.Context(), "control"); err != nil {
			t.Fatal(err)
		}
		create(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := ch.Send(ctx, Hello{}); err == nil || ctx.Err() != nil {
			t.Errorf("got %v after a minute (%v); want the partition given up before", err, ctx.Err())
		}
		if err := ch.Send(ctx, Hello{}); err != nil {
			t.Errorf("sending again: %v", err)
		}
	})
}
