package simtest

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
	"github.com/firn-io/firn/internal/kafka"
)

// disturb tells the story: records are produced, and harm is done, in one world more
// than in another.
func (w *world) disturb() {
	rage := 15 + w.plot.IntN(75)
	for end := time.Now().Add(harm); time.Now().Before(end); {
		w.sleep(1500)
		w.produce(w.plot.IntN(25))
		if w.plot.IntN(100) < rage {
			w.harmOnce()
		}
	}
}

func (w *world) sleep(most int) { time.Sleep(time.Duration(w.plot.IntN(most)) * time.Millisecond) }

func (w *world) harmOnce() {
	p := w.host(pick(w.plot, names...))
	later := time.Duration(w.plot.IntN(6000)) * time.Millisecond
	switch n := w.plot.IntN(29); n {
	case 0, 1, 2:
		w.murder(p, "")
	case 3, 4:
		if p.alive() {
			w.journal.note("%s is stopped, and starts again after %v", p.name, later)
			p.cancel()
			w.asides.Go(func() {
				<-p.done // its port is taken until then
				w.revive(p, later)
			})
		}
	case 5, 6, 7, 8:
		w.isolate(p, pick(w.plot, refused, hole, hole), w.plot.IntN(2) == 0, 2*later)
	case 9:
		if p.reachable() {
			w.journal.note("%s loses its connections", p.name)
			p.setNetwork(up)
		}
	case 10:
		w.journal.note("partitions get new leaders")
		w.kafka.ShufflePartitionLeaders()
	case 11:
		w.journal.note("groups get new coordinators")
		w.kafka.RehashCoordinators()
	case 12, 13:
		w.foreign()
	case 14:
		n := 1 + w.plot.IntN(30)
		w.journal.note("write %d from now fails", n)
		w.catalog.Files().FailWrite(n, errStorage)
	case 15:
		n := 1 + w.plot.IntN(10)
		w.journal.note("the end of file %d from now fails", n)
		w.catalog.Files().FailClose(n, errStorage)
	case 16:
		d := time.Duration(w.plot.IntN(2000)) * time.Millisecond
		w.journal.note("each upload takes %v", d)
		w.catalog.Files().SlowClose(d)
	case 17:
		w.pause(later)
	case 18:
		w.journal.note("connector and tasks are restarted")
		w.asides.Go(func() {
			w.ask(5*time.Second, func(ctx context.Context, p *process) error {
				_, err := p.Herder().RestartPlan(ctx, connector, true, false)
				return err
			})
		})
	case 19, 20:
		w.reconfigure()
	case 21, 22:
		w.renewControlTopic()
	case 23:
		w.freeze(p, 2*later)
	case 24:
		if w.plot.IntN(4) == 0 {
			w.freeze(p, time.Minute+10*later)
		}
	case 25, 26:
		w.takeAway()
	case 27:
		w.loseBroker(2 * later)
	case 28:
		w.breakTable(pick(w.plot, "all", "beta"), w.plot.IntN(2) == 0, 3*later)
	}
}

// reconfigure gives the connector another interval and another number of tasks.
func (w *world) reconfigure() {
	w.config["tasks.max"] = pick(w.plot, "1", "2", "3", "4")
	w.config["iceberg.control.commit.interval-ms"] = pick(w.plot, "500", "1000", "2000")
	given := w.given()
	w.journal.note("the connector gets %s tasks and commits every %s ms", w.config["tasks.max"], w.config["iceberg.control.commit.interval-ms"])
	w.asides.Go(func() {
		w.ask(10*time.Second, func(ctx context.Context, p *process) error {
			_, _, err := p.Herder().PutConfig(ctx, connector, given)
			return err
		})
	})
}

// renewControlTopic deletes the control topic. Somebody else creates it again, perhaps with
// more partitions, or the tasks have to.
func (w *world) renewControlTopic() {
	const topic = "control-iceberg"
	n := int32(w.plot.IntN(4))
	admin, err := kafka.NewAdmin(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // the test's own
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = admin.DeleteTopic(ctx, topic)
	if n > 0 && err == nil {
		err = admin.CreateTopic(ctx, kafka.TopicSpec{Name: topic, Partitions: n, ReplicationFactor: 1})
	}
	w.journal.note("the control topic is deleted, and created again with %d partitions: %v", n, err)
}

// freeze stops what a process does to others, as if it did not run. What it was about to
// do happens when it goes on.
func (w *world) freeze(p *process, d time.Duration) {
	if !p.reachable() {
		return
	}
	w.journal.note("%s is frozen for %v", p.name, d)
	p.freeze()
	w.asides.Go(func() {
		time.Sleep(d)
		w.journal.note("%s goes on", p.name)
		p.thaw()
		time.Sleep(time.Second)
		p.setNetwork(up)
	})
}

// A loss is what somebody takes away in a world: rows of a table, or records.
type loss int

const (
	nothing loss = iota
	rolledBack
	dropped
	topicRenewed
	kafkaRenewed
	losses
)

func (w *world) takeAway() {
	switch w.loses {
	case nothing, losses:
	case rolledBack, dropped:
		w.takeRows()
	case topicRenewed:
		w.renewTopic()
	case kafkaRenewed:
		w.renewKafka()
	}
}

// takeRows takes rows away from a table: whatever was produced before may be missing then.
func (w *world) takeRows() {
	admin, err := kafka.NewAdmin(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	defer admin.Close() //nolint:errcheck // the test's own
	ends, err := admin.Offsets(context.Background(), allPartitions(), kafka.Latest)
	if err != nil {
		w.t.Fatal(err)
	}
	ident := table.Identifier{"db", pick(w.plot, "all", "beta")}
	w.taken[ident[1]] = ends
	switch w.loses {
	case nothing, topicRenewed, kafkaRenewed, losses:
	case dropped:
		err = w.catalog.DropTable(context.Background(), ident)
	case rolledBack:
		var t *table.Table
		if t, err = w.catalog.Peek(ident); err == nil {
			if head := t.CurrentSnapshot(); head != nil && head.ParentSnapshotID != nil && t.SnapshotByID(*head.ParentSnapshotID) != nil {
				_, err = w.catalog.ForeignRollback(ident, table.MainBranch, *head.ParentSnapshotID)
			}
		}
	}
	w.journal.note("table %s is dropped or rolled back (%d): %v", ident[1], w.loses, err)
}

// murder kills a process; another life begins on its host some time later.
func (w *world) murder(p *process, when string) {
	roll := w.roll("murder")
	if roll == nil || !p.alive() {
		return
	}
	later := time.Duration(roll.IntN(6000)) * time.Millisecond
	w.journal.note("%s is killed %s, and starts again after %v", p.name, when, later)
	p.kill()
	w.revive(p, later)
}

// revive starts a host again, if nobody else does.
func (w *world) revive(p *process, later time.Duration) {
	w.asides.Go(func() {
		time.Sleep(later)
		if w.host(p.name) == p {
			w.journal.note("%s starts again", p.name)
			w.start(p.name)
		}
	})
}

// isolate takes the network of a process away for some time, and perhaps the lake too:
// without the network but with the lake it is a zombie whose commits arrive.
func (w *world) isolate(p *process, s state, lake bool, d time.Duration) {
	if !p.reachable() {
		return
	}
	w.journal.note("%s is cut off (%s) for %v, from the lake too: %v", p.name, map[state]string{refused: "refused", hole: "hole"}[s], d, lake)
	p.setNetwork(s)
	p.setLake(lake)
	w.asides.Go(func() {
		time.Sleep(d)
		w.journal.note("%s is back", p.name)
		p.setNetwork(up)
		p.setLake(false)
	})
}

// breakTable lets commits to one table fail for a while, and perhaps loads too.
func (w *world) breakTable(name string, loads bool, d time.Duration) {
	w.journal.note("table %s cannot be committed to for %v, nor loaded: %v", name, d, loads)
	ident, ops := table.Identifier{"db", name}, []icetest.Op{icetest.Commit}
	if loads {
		ops = append(ops, icetest.Load)
	}
	w.catalog.Break(ident, errCatalog, ops...)
	w.asides.Go(func() {
		time.Sleep(d)
		w.journal.note("table %s is back", name)
		w.catalog.Mend(ident)
	})
}

func (w *world) foreign() {
	ident := table.Identifier{"db", pick(w.plot, "all", "beta")}
	var err error
	if w.plot.IntN(2) == 0 {
		_, err = w.catalog.ForeignAppend(context.Background(), ident, table.MainBranch)
	} else {
		_, err = w.catalog.ForeignExpire(ident)
	}
	w.journal.note("another engine commits to %s: %v", ident[1], err)
}

// pause pauses the connector, and resumes it later.
func (w *world) pause(later time.Duration) {
	set := func(s entities.TargetState) func(context.Context, *process) error {
		return func(ctx context.Context, p *process) error { return p.Herder().SetTarget(ctx, connector, s) }
	}
	w.journal.note("the connector is paused for %v", later)
	w.asides.Go(func() {
		if w.ask(5*time.Second, set("PAUSED")) {
			time.Sleep(later)
		}
		if !w.ask(time.Minute, set("STARTED")) {
			w.t.Error("the connector could not be resumed")
		}
	})
}

var errCut = errors.New("simulated: the broker hangs up")

// brokerFaults makes the brokers refuse requests of some kinds, or hang up.
func (w *world) brokerFaults() {
	c := w.kafka
	coordinator := []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress}
	for key, codes := range map[kmsg.Key][]*kerr.Error{
		kmsg.Produce:         {kerr.NotLeaderForPartition, kerr.RequestTimedOut},
		kmsg.Fetch:           {kerr.NotLeaderForPartition},
		kmsg.OffsetCommit:    append(coordinator, kerr.RequestTimedOut),
		kmsg.OffsetFetch:     {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress},
		kmsg.JoinGroup:       coordinator,
		kmsg.SyncGroup:       coordinator,
		kmsg.Heartbeat:       {kerr.NotCoordinator, kerr.CoordinatorNotAvailable},
		kmsg.FindCoordinator: {kerr.CoordinatorNotAvailable},
	} {
		c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			w.sighted(req)
			roll := w.roll("broker " + key.Name())
			if roll == nil {
				return nil, nil, false
			}
			switch n := roll.IntN(400); {
			case n < 2:
				w.journal.note("a broker hangs up at %s", key.Name())
				return nil, errCut, true
			case n < 10 && key != kmsg.Fetch || n < 3:
				code := pick(roll, codes...)
				w.journal.note("a broker refuses %s: %s", key.Name(), code.Message)
				return refusal(req, code.Code), nil, true
			}
			return nil, nil, false
		})
	}
}

// refusal is the answer to a request with one error everywhere.
func refusal(req kmsg.Request, code int16) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.FetchRequest:
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rp.RecordBatches = []byte{} // empty, as Kafka has it, not null
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.OffsetCommitRequest:
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	case *kmsg.OffsetFetchRequest:
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		resp.ErrorCode = code
		for _, g := range req.Groups {
			rg := kmsg.NewOffsetFetchResponseGroup()
			rg.Group, rg.ErrorCode = g.Group, code
			resp.Groups = append(resp.Groups, rg)
		}
		return resp
	case *kmsg.JoinGroupRequest:
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.SyncGroupRequest:
		resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.HeartbeatRequest:
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.FindCoordinatorRequest:
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.ErrorCode = code
		for _, key := range req.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode, c.NodeID = key, code, -1
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp
	}
	return nil
}
