package simtest

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/internal/kafka"
)

// A former is what is known of the topics that were deleted. Ids of records are never used
// again, so that the rows of a deleted topic's records differ from those of the new one's.
type former struct {
	log      []logged
	consumed map[cell]bool   // the group's offsets were past these: they must have their rows
	again    map[string]bool // topics deleted before: old offsets may have come back, and prove nothing
}

// bury reads what topics hold that are about to be deleted. Nobody but the test's
// goroutine produces, and offsets only grow until the topics are gone.
func (w *world) bury(names ...string) {
	admin, err := kafka.NewAdmin(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // the test's own
	tps := partitionsOf(names...)
	group, err := admin.GroupOffsets(context.Background(), "connect-"+connector, tps, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range w.readLog(tps) {
		w.former.log = append(w.former.log, r)
		if r.Offset < group[connect.TopicPartition{Topic: r.Topic, Partition: r.Partition}] && !w.former.again[r.Topic] {
			w.former.consumed[r.cell] = true
		}
	}
	for _, name := range names {
		w.former.again[name] = true
	}
	w.journal.note("%d records are in %v, the group is at %v", len(w.former.log), names, group)
}

// renewTopic deletes a source topic and creates it again, at once or after a while.
func (w *world) renewTopic() {
	name := pick(w.plot, topics...)
	w.bury(name)
	if err := w.kafka.DeleteTopic(name); err != nil {
		w.t.Fatal(err)
	}
	w.journal.note("topic %s is deleted", name)
	if w.plot.IntN(2) == 0 {
		w.sleep(12_000)
	}
	if err := w.kafka.CreateTopic(name, partitions, nil); err != nil {
		w.t.Fatal(err)
	}
	w.journal.note("topic %s is created again", name)
}

// newKafka starts a Kafka cluster with nothing but the source topics.
func (w *world) newKafka() *kfake.Cluster {
	c, err := kfake.NewCluster(
		kfake.Ports(firstPort, firstPort+1), kfake.ListenFn(w.vn.Listen), kfake.SeedTopics(partitions, topics...),
		kfake.GroupMinSessionTimeout(time.Second), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "200"}),
	)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// renewKafka puts another Kafka cluster in the place of the first: no offsets, no configs,
// other topic ids. Its operator starts the workers again, one now and another later, which
// create their topics then, and the user gives the connector's config again.
func (w *world) renewKafka() {
	w.bury(topics...)
	w.producer.Close() //nolint:errcheck // everything was sent
	w.journal.note("the Kafka cluster is gone")
	w.swap.Lock()
	w.kafka.Close()
	w.kafka = nil
	w.swap.Unlock()
	w.sleep(8000)
	c := w.newKafka()
	w.swap.Lock()
	w.kafka = c
	w.swap.Unlock()
	w.brokerFaults()
	w.journal.note("another Kafka cluster answers")
	var err error
	if w.producer, err = kafka.NewProducer(w.client()); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		w.renew(w.host(name), time.Duration(w.plot.IntN(6000))*time.Millisecond, time.Duration(w.plot.IntN(6000))*time.Millisecond)
	}
	given := w.given()
	w.asides.Go(func() {
		if !w.ask(time.Minute, func(ctx context.Context, p *process) error {
			_, _, err := p.Herder().PutConfig(ctx, connector, given)
			return err
		}) {
			w.t.Error("the connector could not be created again")
		}
	})
}

// renew kills a process that has lived in another Kafka cluster, some time after this one
// has begun to answer.
func (w *world) renew(p *process, after, later time.Duration) {
	w.asides.Go(func() {
		time.Sleep(after)
		if p.alive() {
			w.journal.note("%s is killed for the new cluster, and starts again after %v", p.name, later)
			p.kill()
			w.revive(p, later)
		}
	})
}

// loseBroker takes a broker away for a while: the other leads its partitions and groups.
// It is the one that is not the controller, which the embedded cluster does not elect.
func (w *world) loseBroker(d time.Duration) {
	const node = 0
	c := w.kafka
	if err := c.RemoveNode(node); err != nil {
		w.journal.note("broker %d is down already", node)
		return
	}
	w.journal.note("broker %d dies, and starts again after %v", node, d)
	w.mu.Lock()
	all := slices.Clone(w.all)
	w.mu.Unlock()
	for _, p := range append(all, w.own) {
		p.cut(node)
	}
	w.asides.Go(func() {
		time.Sleep(d)
		w.swap.Lock()
		defer w.swap.Unlock()
		if w.kafka != c {
			return // another cluster's
		}
		if _, _, err := c.AddNode(node, firstPort+node); err != nil {
			w.t.Error(err)
		}
		w.journal.note("broker %d is back", node)
	})
}
