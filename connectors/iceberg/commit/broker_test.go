package commit

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/rcrowley/go-metrics"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/internal/kafka"
)

// A broker is an embedded one, with the clients of a task.
type broker struct {
	*kfake.Cluster
	cfg   *kafka.Config
	admin *kafka.Admin
}

// withBroker plays a story against a broker that has these topics, of two partitions each.
func withBroker(t *testing.T, story func(t *testing.T, b broker), topics ...string) {
	metrics.UseNilMetrics = true // its ticker would live in the bubble for ever
	synctest.Test(t, func(t *testing.T) {
		var vn kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics...), kfake.ListenFn(vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		cfg, err := kafka.NewConfig(ClientProps(map[string]string{"bootstrap.servers": cluster.ListenAddrs()[0]}, nil), vn.DialContext)
		if err != nil {
			t.Fatal(err)
		}
		admin, err := kafka.NewAdmin(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close() //nolint:errcheck // nothing is pending
		story(t, broker{cluster, cfg, admin})
	})
}

// channel opens one on the control topic.
func (b broker) channel(t *testing.T) *Channel {
	t.Helper()
	ch, err := OpenChannel(t.Context(), b.cfg, "control", "connect-c", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return ch
}
