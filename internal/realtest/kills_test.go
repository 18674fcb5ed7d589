//go:build real && unix

package realtest

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// killRounds is how many times a worker is killed; FIRN_KILL_ROUNDS says otherwise.
func killRounds(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv("FIRN_KILL_ROUNDS")
	if !ok {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("FIRN_KILL_ROUNDS: %v", err)
	}
	return n
}

// kills kills a random worker as kill -9 does, again and again, while records come in
// and commits are under way; every seventh time it is the broker. In the end every
// record is in the table once.
func (s *stack) kills(t *testing.T) {
	rounds := killRounds(t)
	const brokerEvery = 7
	c := s.cluster(t, "kills", 3, nil)
	f := s.feed(t, "kills-readings")
	c.post(t, 0, "kills", sink(f.topic, "kills.readings", "bucket(n, 4)", s.restCatalog("iceberg.catalog."), schemaless,
		map[string]string{"tasks.max": "3", "iceberg.control.commit.interval-ms": "300"}))

	ctx, stopFeeding := context.WithCancel(t.Context())
	fed := make(chan error, 1)
	go func() { fed <- f.endlessly(ctx) }()
	t.Cleanup(func() { stopFeeding() })

	moved := &progress{}
	for round := range rounds {
		c.awaitProgress(t, "kills", moved)
		time.Sleep(rand.N(time.Second)) // any moment of a commit
		if round%brokerEvery == brokerEvery-1 {
			t.Logf("round %d: the broker, after %d records", round+1, moved.committed)
			s.kafka.Kill()
			if err := s.kafka.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		victim := rand.IntN(len(c.workers))
		t.Logf("round %d: worker %d, after %d records", round+1, victim, moved.committed)
		c.workers[victim].Kill()
		c.launch(t, victim)
	}
	c.awaitProgress(t, "kills", moved)
	stopFeeding()
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	c.awaitReady(t)
	c.awaitCommitted(t, "kills", s.ends(t, f.topic), 2*time.Minute)
	got := s.verify(t, s.restCatalog(""), "kills.readings", "n", f.want)
	var rows int64
	for _, slice := range f.want {
		rows += slice.Rows
	}
	t.Logf("%d rounds: %d records in %d files and %d snapshots", rounds, rows, len(got.Files), got.Snapshots)
}

// endlessly writes records at a steady pace until ctx ends.
func (f *feed) endlessly(ctx context.Context) error {
	const rows, pace = 200, 100 * time.Millisecond
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for next := 0; ; next += rows {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A batch that has begun is finished: the truth already has it.
		if err := f.json(context.WithoutCancel(ctx), next, rows); err != nil {
			return err
		}
	}
}

// progress is how many records a connector has committed so far.
type progress struct{ committed int64 }

// awaitProgress waits until the connector has committed more than at the last call.
func (c *cluster) awaitProgress(t *testing.T, connector string, last *progress) {
	t.Helper()
	const patience = time.Minute
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if trace := c.failure(t.Context(), connector); trace != "" {
			t.Fatalf("connector %s has failed: %s", connector, trace)
		}
		offsets, err := c.offsets(t.Context(), connector)
		if err != nil {
			continue
		}
		var committed int64
		for _, next := range offsets {
			committed += next
		}
		if committed > last.committed {
			last.committed = committed
			return
		}
	}
	st, err := c.status(t.Context(), connector)
	t.Fatalf("connector %s has committed nothing for %s after %d records: %+v, %v", connector, patience, last.committed, st, err)
}
