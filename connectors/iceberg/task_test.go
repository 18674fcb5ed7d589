package iceberg

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

func TestTaskWritesATable(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("orders")
		s.produce(s.t.Context(), 10)
		s.mustPoll(3 * time.Second)
		s.exactlyOnce("orders")
		floors, err := commit.ReadFloors(s.peek(orders), "main")
		if err != nil || len(floors) != 2 {
			s.t.Errorf("floors %v, %v; want those of two partitions", floors, err)
		}
	})
}

// After a clean stop a new task goes on where the last one ended, and adds nothing twice.
func TestTaskRestarts(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(1500 * time.Millisecond)
		s.stop()
		s.exactlyOnce("orders")
		s.start()
		s.produce(s.t.Context(), 25)
		s.mustPoll(4 * time.Second)
		s.exactlyOnce("orders")
	})
}

// Group offsets lost, rows in the table: D in the snapshot says where to go on.
func TestTaskSurvivesLostGroupOffsets(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		s.stop()
		s.tc.Members.SetOffsets(nil)
		s.start()
		s.produce(s.t.Context(), 5)
		s.mustPoll(3 * time.Second)
		s.exactlyOnce("orders")
	})
}

func TestTaskCatalogTrouble(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.catalog.Chaos(func(op icetest.Op, n int) icetest.Fault {
			switch {
			case op == icetest.Commit && n%2 == 1:
				return icetest.Fault{After: errors.New("504 after it landed")}
			case n%3 == 0:
				return icetest.Fault{Before: errors.New("503")}
			}
			return icetest.Fault{DelayBefore: 300 * time.Millisecond}
		})
		for range 6 {
			s.produce(s.t.Context(), 9)
			s.mustPoll(4 * time.Second)
		}
		s.mustPoll(20 * time.Second)
		s.exactlyOnce("orders")
	})
}

// Partitions come and go while files are open.
func TestTaskRebalance(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		for round, lost := range []bool{false, true, false, true} {
			s.produce(s.t.Context(), 15)
			s.mustPoll(700 * time.Millisecond)
			gone := s.parts()[1:]
			if err := s.task.Close(s.t.Context(), gone, lost); err != nil {
				s.t.Fatal(err)
			}
			s.tc.Parts = s.parts()[:1]
			s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: int32(2*round + 2), Subscribed: s.parts(), Owned: s.parts()[:1]})
			s.mustPoll(700 * time.Millisecond)
			s.tc.Parts = s.parts()
			s.tc.Members.SetSession(connect.Session{Member: "m1", Generation: int32(2*round + 3), Subscribed: s.parts(), Owned: s.parts()})
			if _, err := s.task.Open(s.t.Context(), gone); err != nil {
				s.t.Fatal(err)
			}
		}
		s.mustPoll(10 * time.Second)
		s.exactlyOnce("orders")
	})
}

// The table is dropped and made anew while the task runs: what was in it is gone by
// somebody's will, what comes after is there once.
func TestTaskTableRecreated(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(3 * time.Second)
		if _, err := s.catalog.Recreate(orders); err != nil {
			s.t.Fatal(err)
		}
		before := make(map[connect.TopicPartition]int)
		for tp, log := range s.log {
			before[tp] = len(log)
		}
		s.produce(s.t.Context(), 20)
		s.mustPoll(20 * time.Second)
		s.holds(orders, func(tp connect.TopicPartition, o int64) int {
			if o >= int64(before[tp]) {
				return 1
			}
			return 0
		})
	})
}

// Offsets set back on a stopped connector: the records from there are in the table twice,
// because that was asked for; those before stay as they are.
func TestAlterOffsets(t *testing.T) {
	for _, tables := range []string{"db.orders", "db.${topic}"} {
		t.Run(tables, func(t *testing.T) { alterOffsets(t, tables) })
	}
}

func alterOffsets(t *testing.T, tables string) {
	inStage(t, func(config map[string]string) { config["name"], config["iceberg.tables"] = "test", tables }, func(s *stage) {
		s.mustPoll(3 * time.Second)
		s.stop()
		back := int64(30)
		tp := s.parts()[0]
		c := s.connector()
		if ok, err := c.AlterOffsets(s.t.Context(), s.config, map[connect.TopicPartition]*int64{tp: &back}); !ok || err != nil {
			s.t.Fatalf("AlterOffsets = %v, %v", ok, err)
		}
		s.tc.Members.SetOffsets(map[connect.TopicPartition]int64{tp: back, s.parts()[1]: 40})
		s.start()
		s.mustPoll(3 * time.Second)
		s.holds(orders, func(p connect.TopicPartition, o int64) int {
			if p == tp && o >= back {
				return 2
			}
			return 1
		})
	})
}

// A new coordinator starts below what the last one had accepted, and its cycle is read by
// the very Put that brings the next batch. The batch was fetched at the old position:
// taking it would leave a hole that the unit covers. (Seen as 26,689 lost flights after a
// kill -9 of the demo.)
func TestChainMovesBackUnderABatch(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		task := s.task.(*Task)
		tp := s.parts()[0]
		if before, open := task.chain.Position(tp); !open || before != 40 {
			s.t.Fatalf("position before: %d, %v; want 40", before, open)
		}
		s.produce(s.t.Context(), 7)
		cy := &commit.Cycle{Coordinator: [16]byte{9}, Sequence: 1, Epoch: 1, ConfigHash: task.cfg.hash()}
		for _, p := range s.parts() {
			cy.Levels = append(cy.Levels, commit.Level{TopicPartition: p, TopicID: task.chain.TopicID(p), End: 10, Done: 10})
		}
		task.mail.post(func(ctx context.Context) error { return task.observe(ctx, cy) })
		if err := s.task.Put(s.t.Context(), &connect.Batch{TopicPartition: tp, Records: s.log[tp][40:47], First: 40, Next: 47, Arena: new(connect.Arena)}); err != nil {
			s.t.Fatal(err)
		}
		if got, _ := task.chain.Position(tp); got != 10 {
			s.t.Errorf("position after the chain moved back to 10 under a batch of 40 to 47: got %d, want 10: records 10 to 39 are lost", got)
		}
	})
}

// The task finds a table dropped when it looks for a new schema, while a range is open
// whose floor it knows. The next record must not meet a table that is not there.
func TestTableGoneInAnOpenRange(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		task, tp := s.task.(*Task), s.parts()[0]
		if err := s.catalog.DropTable(s.t.Context(), orders); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(reloadAfter + time.Second)
		task.refresh(task.tables["db.orders"])
		time.Sleep(time.Millisecond) // the load is over, and its result in the mail
		s.produce(s.t.Context(), 1)
		err := s.task.Put(s.t.Context(), &connect.Batch{TopicPartition: tp, Records: s.log[tp][40:], First: 40, Next: 41, Arena: new(connect.Arena)})
		if _, again := errors.AsType[*connect.RetryError](err); !again {
			s.t.Errorf("got %v, want to be asked again while the table is made", err)
		}
		s.mustPoll(5 * time.Second)
		if rows := s.read(orders); len(rows) != 2 {
			s.t.Errorf("the new table holds %v; want what was produced after the drop", rows)
		}
	})
}

// A batch of a topic that was made anew waits until the chain is that of the new topic.
func TestBatchOfAnotherTopic(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		task, tp := s.task.(*Task), s.parts()[0]
		s.produce(s.t.Context(), 1)
		put := func(id commit.TopicID) error {
			return s.task.Put(s.t.Context(), &connect.Batch{TopicPartition: tp, TopicID: id, Records: s.log[tp][40:], First: 40, Next: 41, Arena: new(connect.Arena)})
		}
		position := func() int64 { pos, _ := task.chain.Position(tp); return pos }
		for i := 1; i <= 8; i++ {
			err := put(commit.TopicID{9})
			_, again := errors.AsType[*connect.RetryError](err)
			if sought := s.tc.TakeSeeks()[tp] == 40; again == (i%4 == 0) || sought == again {
				s.t.Errorf("try %d: got %v, seek %t; want to be asked again, each fourth time with a seek instead", i, err, sought)
			}
		}
		if got := position(); got != 40 {
			s.t.Errorf("position after batches of another topic: got %d, want 40", got)
		}
		task.topicIDs[tp] = topicIDs{now: commit.TopicID{9}, before: task.chain.TopicID(tp)}
		if err := put(task.chain.TopicID(tp)); err != nil || position() != 41 {
			s.t.Errorf("under the id from before: got %v at %d, want it taken", err, position())
		}
	})
}

// Rows of a table that is there need not tell of a column, wherever a task begins.
func TestFirstRecordWithoutColumns(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		s.stop()
		s.produce(s.t.Context(), 1)
		for _, tp := range s.parts() {
			s.log[tp][40].Value = connect.MapValue(nil)
		}
		s.start()
		s.mustPoll(3 * time.Second)
		if got := s.tc.Errants(); len(got) > 0 {
			s.t.Errorf("a row of nulls was reported: %v", got)
		}
	})
}

// What the worker could not convert is in the dead-letter topic or nowhere: no unit may
// pass over it before.
func TestDeadLettersOfTheWorkerCount(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		s.tc.FlushErr = errors.New("the dead-letter topic is away")
		s.produce(s.t.Context(), 1)
		if err := s.poll(3 * time.Second); !errors.Is(err, s.tc.FlushErr) {
			s.t.Errorf("got %v, want that the dead-letter topic is away", err)
		}
		for _, tp := range s.parts() {
			if got := s.tc.Members.Offsets()[tp]; got != 40 {
				s.t.Errorf("group offset of %s: got %d, want 40", tp, got)
			}
		}
		s.tc.FlushErr = nil
	})
}

func TestTaskBadRecords(t *testing.T) {
	inStage(t, nil, func(s *stage) {
		s.mustPoll(2 * time.Second)
		s.tc.Tolerate = true
		tp := s.parts()[0]
		s.produce(s.t.Context(), 3)
		log := s.log[tp]
		log[len(log)-2].Value = connect.StringValue("no fields")
		log[len(log)-1].Value = connect.Value{}
		s.mustPoll(3 * time.Second)
		errants := s.tc.Errants()
		if len(errants) != 1 || errants[0].Offset != int64(len(log)-2) {
			s.t.Errorf("errants %v, want the one at %d", errants, len(log)-2)
		}
		if got := s.tc.Members.Offsets()[tp]; got != int64(len(log)) {
			s.t.Errorf("group offset %d, want %d: skipped records count", got, len(log))
		}
	})
}

// A transformation that renames topics decides where records go; where they were read from
// stays what offsets are counted by.
func TestTaskRoutesByRenamedTopic(t *testing.T) {
	inStage(t, func(config map[string]string) { config["iceberg.tables"] = "db.${topic}" }, func(s *stage) {
		for _, tp := range s.parts() {
			for i := range s.log[tp] {
				s.log[tp][i].Topic = "Shop.Orders"
			}
		}
		s.mustPoll(5 * time.Second)
		s.exactlyOnce("shop_orders")
	})
}

func TestTaskMissingTable(t *testing.T) {
	inStage(t, func(config map[string]string) { config["iceberg.tables.auto-create-enabled"] = "false" }, func(s *stage) {
		err := s.poll(3 * time.Second)
		want := "table db.orders does not exist (create it, or set iceberg.tables.auto-create-enabled=true)"
		if err == nil || err.Error() != want {
			s.t.Errorf("error %v, want %s", err, want)
		}
	})
}
