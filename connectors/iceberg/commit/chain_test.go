package commit

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/connecttest"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// A said is a short cycle: partition, end, done …
func said(coordinator byte, sequence uint64, commit byte, numbers ...int64) *Cycle {
	cy := &Cycle{Coordinator: [16]byte{coordinator}, Sequence: sequence, Epoch: 1, ConfigHash: 1}
	if commit != 0 {
		cy.Commit = [16]byte{commit}
	}
	for i := 0; i < len(numbers); i += 3 {
		cy.Levels = append(cy.Levels, Level{TopicPartition: tp(int32(numbers[i])), End: numbers[i+1], Done: numbers[i+2]})
	}
	return cy
}

// opened is a chain with partitions 0 and 1 open at 10 and 20, coordinator 1 at sequence 1.
func opened(t *testing.T) *Chain {
	t.Helper()
	c := NewChain(1)
	c.Assign([]connect.TopicPartition{tp(0), tp(1)}, 1)
	step := c.Observe(said(1, 1, 0, 0, 10, 10, 1, 20, 20), time.Now())
	if !maps.Equal(step.Open, map[connect.TopicPartition]int64{tp(0): 10, tp(1): 20}) || step.Reset != "" || step.Flush {
		t.Fatalf("first step %+v", step)
	}
	return c
}

func sealAndSend(c *Chain, commit byte) *Unit {
	u := c.Seal([16]byte{commit})
	c.Sent(u, time.Now())
	return u
}

func TestChainOpensOnlyWhenIdle(t *testing.T) {
	c := NewChain(1)
	c.Assign([]connect.TopicPartition{tp(0)}, 1)
	if step := c.Observe(said(1, 1, 0, 0, 10, 5), time.Now()); len(step.Open) > 0 {
		t.Errorf("opened %v while something is pending", step.Open)
	}
	if step := c.Observe(said(1, 2, 0, 0, 10, 10), time.Now()); step.Open[tp(0)] != 10 {
		t.Errorf("opened %v, want 0 at 10", step.Open)
	}
}

func TestChainIgnores(t *testing.T) {
	c := opened(t)
	other := said(1, 2, 7, 0, 99, 99)
	other.ConfigHash = 2
	older := said(2, 9, 7, 0, 99, 99)
	older.Epoch = 0
	for _, cy := range []*Cycle{other, older, said(1, 1, 7, 0, 99, 99)} {
		if step := c.Observe(cy, time.Now()); step.Flush || step.Reset != "" {
			t.Errorf("%+v had the effect %+v", cy, step)
		}
	}
}

// A coordinator of a group that was deleted speaks up once more: it is heard, and does not
// silence the one of the new group.
func TestChainOutlivesAGroup(t *testing.T) {
	c := opened(t)
	c.In(1)
	zombie := said(2, 5, 0, 0, 99, 99)
	zombie.Epoch = 15
	if step := c.Observe(zombie, time.Now()); step.Reset == "" {
		t.Errorf("a cycle of a later generation had the effect %+v", step)
	}
	c.In(1)
	if step := c.Observe(said(1, 2, 7, 0, 10, 10), time.Now()); step.Reset == "" || step.Open[tp(0)] != 10 || !step.Flush {
		t.Errorf("a cycle of the task's own generation had the effect %+v", step)
	}
}

func TestChainLifeOfAUnit(t *testing.T) {
	c := opened(t)
	c.Advance(tp(0), 17)
	step := c.Observe(said(1, 2, 7, 0, 10, 10, 1, 20, 20), time.Now())
	if !step.Flush || step.Commit != [16]byte{7} {
		t.Fatalf("step %+v, want a flush", step)
	}
	u := sealAndSend(c, 7)
	if want := []Range{{tp(0), TopicID{}, 10, 17, None}, {tp(1), TopicID{}, 20, 20, None}}; u.Ranges[0] != want[0] || u.Ranges[1] != want[1] {
		t.Errorf("ranges %+v, want %+v", u.Ranges, want)
	}
	for i, cy := range []*Cycle{
		said(1, 3, 7, 0, 10, 10, 1, 20, 20), // not seen yet
		said(1, 4, 7, 0, 17, 10, 1, 20, 20), // accepted
	} {
		if step := c.Observe(cy, time.Now()); step.Reset != "" || step.Flush || c.Settled() {
			t.Errorf("cycle %d: %+v, settled %v", i, step, c.Settled())
		}
	}
	if c.Observe(said(1, 5, 7, 0, 17, 17, 1, 20, 20), time.Now()); !c.Settled() {
		t.Error("done is at the unit's end, and it is not confirmed")
	}
}

// A new coordinator starts from the group's offsets and has seen nothing.
func TestChainAnnouncesAgain(t *testing.T) {
	c := opened(t)
	c.Advance(tp(0), 15)
	first := sealAndSend(c, 7)
	c.Advance(tp(0), 19)
	second := sealAndSend(c, 0)
	step := c.Observe(said(2, 1, 0, 0, 10, 10, 1, 20, 20), time.Now())
	if len(step.Announce) != 2 || step.Announce[0] != first || step.Announce[1] != second || step.Reset != "" {
		t.Errorf("step %+v, want both units again", step)
	}
}

// Two coordinators that speak in turns, one of them of a group that is no more, get each
// unit and each answer once: else they and the task would go round as fast as the network.
func TestChainHearsRivals(t *testing.T) {
	c := opened(t)
	c.Advance(tp(0), 15)
	sealAndSend(c, 7)
	var announced, flushed int
	for turn := range uint64(10) {
		for _, coordinator := range []byte{1, 2} {
			c.In(1)
			step := c.Observe(said(coordinator, 2+turn, 7+coordinator, 0, 10, 10, 1, 20, 20), time.Now())
			announced += len(step.Announce)
			if step.Flush {
				flushed++
			}
		}
	}
	if announced != 1 || flushed != 2 {
		t.Errorf("announced %d times, want once, to the coordinator that is new; flushed %d times, want once for each", announced, flushed)
	}
	for other := range byte(2 * mostHeard) {
		c.Observe(said(10+other, 1, 0), time.Now())
	}
	if len(c.heard) > mostHeard {
		t.Errorf("%d coordinators are remembered", len(c.heard))
	}
}

func TestChainStartsOver(t *testing.T) {
	tests := []struct {
		name  string
		story func(c *Chain) *Cycle
	}{
		{"the chain went on elsewhere", func(*Chain) *Cycle { return said(1, 2, 0, 0, 12, 12, 1, 20, 20) }},
		{"a unit was refused", func(c *Chain) *Cycle {
			c.Advance(tp(0), 15)
			cy := said(1, 2, 0, 0, 10, 10, 1, 20, 20)
			cy.Void = []UnitID{sealAndSend(c, 0).ID}
			return cy
		}},
		{"another task's range of one of a unit's partitions is in the chain", func(c *Chain) *Cycle {
			c.Advance(tp(0), 15)
			c.Advance(tp(1), 25)
			sealAndSend(c, 0)
			c.Revoke([]connect.TopicPartition{tp(1)})
			return said(1, 2, 0, 0, 10, 10, 1, 23, 23)
		}},
		// The simulation's seed 226: the unit before was confirmed by a coordinator that
		// died before the group had its offsets, and the partition went and came meanwhile.
		{"nothing leads up to a unit any more", func(c *Chain) *Cycle {
			c.Advance(tp(0), 15)
			sealAndSend(c, 0)
			c.Observe(said(1, 2, 0, 0, 15, 15, 1, 20, 20), time.Now())
			c.Advance(tp(0), 19)
			sealAndSend(c, 0)
			c.Revoke([]connect.TopicPartition{tp(0)})
			c.Assign([]connect.TopicPartition{tp(0)}, 1)
			return said(2, 1, 0, 0, 10, 10, 1, 20, 20)
		}},
		{"the topic was made anew", func(*Chain) *Cycle {
			cy := said(1, 2, 0, 0, 10, 10, 1, 20, 20)
			cy.Levels[0].TopicID = TopicID{9}
			return cy
		}},
		// Seed 1243 of the clusters: the partition was away with its topic, and its unit was
		// announced for ever.
		{"the topic of a unit was made anew", func(c *Chain) *Cycle {
			c.Advance(tp(0), 15)
			sealAndSend(c, 0)
			c.Revoke([]connect.TopicPartition{tp(0)})
			c.Assign([]connect.TopicPartition{tp(0)}, 1)
			cy := said(1, 2, 0, 0, 10, 10, 1, 20, 20)
			cy.Levels[0].TopicID = TopicID{9}
			return cy
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := opened(t)
			cy := tt.story(c)
			step := c.Observe(cy, time.Now())
			if step.Reset == "" {
				t.Fatalf("no reset: %+v", step)
			}
			if step.Open[tp(0)] != cy.Levels[0].End || !c.Settled() {
				t.Errorf("opened %v, settled %v; want 0 at %d and no units", step.Open, c.Settled(), cy.Levels[0].End)
			}
		})
	}
}

// The simulation's seed 96: a unit with an empty range of a partition that others moved
// on is no unit to wait for.
func TestChainEmptyRangeIsNotOvertaken(t *testing.T) {
	c := opened(t)
	c.Advance(tp(0), 15)
	sealAndSend(c, 0)
	c.Revoke([]connect.TopicPartition{tp(1)})
	if step := c.Observe(said(1, 2, 0, 0, 15, 15, 1, 50, 50), time.Now()); step.Reset != "" || !c.Settled() {
		t.Errorf("step %+v, settled %v", step, c.Settled())
	}
}

// A partition that comes while answers are awaited answers with nothing.
func TestChainSpeaksUp(t *testing.T) {
	c := opened(t)
	c.Observe(said(1, 2, 7, 0, 10, 10, 1, 20, 20), time.Now())
	sealAndSend(c, 7)
	c.Assign([]connect.TopicPartition{tp(2)}, 1)
	step := c.Observe(said(1, 3, 7, 0, 10, 10, 1, 20, 20, 2, 5, 0), time.Now())
	if len(step.Announce) != 1 || len(step.Announce[0].Ranges) != 1 || step.Announce[0].Ranges[0].TopicPartition != tp(2) || step.Announce[0].Cycle != [16]byte{7} {
		t.Errorf("announced %+v, want partition 2 for commit 7", step.Announce)
	}
	if step := c.Observe(said(1, 4, 7, 0, 10, 10, 1, 20, 20, 2, 5, 0), time.Now()); len(step.Announce) != 0 {
		t.Errorf("announced again: %+v", step.Announce)
	}
}

// The simulation's seeds 31 and 474: a rival at its end sets the group's offsets back, in
// the same generation, after they were stored.
func TestCoordinatorStoresOffsetsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := connecttest.NewGroup("connect-test")
		group.SetSession(connect.Session{Member: "m1", Generation: 1, Subscribed: []connect.TopicPartition{tp(0)}, Owned: []connect.TopicPartition{tp(0)}})
		c := NewCoordinator(Config{
			Group: group, Broker: stillBroker{}, Catalog: icetest.New(icetest.NewFiles()), ConfigHash: 1, Threads: 1,
			Interval: time.Hour, Timeout: time.Second, Logger: slog.New(slog.DiscardHandler),
			Send: func(context.Context, ...any) error { return nil },
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		c.Offer(unit(1, 0, 0, 7))
		time.Sleep(time.Second)
		if got := group.Offsets()[tp(0)]; got != 7 {
			t.Errorf("group offset %d after the commit, want 7", got)
		}
		for _, set := range []map[connect.TopicPartition]int64{{tp(0): 3}, nil} {
			group.SetOffsets(set)
			time.Sleep(2 * checkInterval)
			if got := group.Offsets()[tp(0)]; got != 7 {
				t.Errorf("group offset %d some time after it was set to %v, want 7", got, set)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A stillBroker has one topic that never changes.
type stillBroker struct{}

func (stillBroker) TopicIDs(_ context.Context, topics []string) (map[string]TopicID, error) {
	out := make(map[string]TopicID)
	for _, topic := range topics {
		out[topic] = TopicID{}
	}
	return out, nil
}

func (stillBroker) Earliest(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return map[connect.TopicPartition]int64{parts[0]: 0}, nil
}

func (stillBroker) Latest(_ context.Context, parts []connect.TopicPartition) (map[connect.TopicPartition]int64, error) {
	return map[connect.TopicPartition]int64{parts[0]: 100}, nil
}
