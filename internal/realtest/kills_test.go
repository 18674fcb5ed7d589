//go:build real && unix

package realtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// killRounds is how many times something is killed, unless FIRN_KILL_ROUNDS says otherwise.
func killRounds(t *testing.T, usual int) int {
	t.Helper()
	text, ok := os.LookupEnv("FIRN_KILL_ROUNDS")
	if !ok {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("FIRN_KILL_ROUNDS: %v", err)
	}
	return n
}

// kills kills processes as kill -9 does, again and again, while records come in. In
// the end every record is in the table once.
func (s *stack) kills(t *testing.T) {
	tr, url := s.trapCatalog(t, "kills", "readings")
	k := &killing{cluster: s.cluster(t, "kills", 3, nil), trap: tr}
	f := s.feed(t, "kills-readings")
	k.post(t, 0, connector, sink(f.topic, "kills.readings", "bucket(n, 4)", s.restCatalog("iceberg.catalog."), schemaless,
		map[string]string{"tasks.max": "3", "iceberg.control.commit.interval-ms": "300", "iceberg.catalog.uri": url}))

	ctx, stopFeeding := context.WithCancel(t.Context())
	fed := make(chan error, 1)
	go func() { fed <- f.endlessly(ctx) }()
	t.Cleanup(stopFeeding)

	spark := s.spark(t)
	rounds := killRounds(t, 20)
	for round := range rounds {
		k.awaitProgress(t)
		what := turns[round%len(turns)]
		t.Logf("round %d, after %d records: %s", round+1, k.committed, what.name)
		what.play(k, t)
	}
	k.awaitProgress(t)
	stopFeeding()
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	k.awaitReady(t)
	k.awaitCommitted(t, connector, s.ends(t, f.topic), 2*time.Minute)
	got := s.verify(t, s.restCatalog(""), "kills.readings", "n", f.want)
	compare(t, "Spark", "kills.readings", spark.slices(t, "kills.readings", "n"), f.want)
	k.proven(t, connector)
	var rows int64
	for _, slice := range f.want {
		rows += slice.Rows
	}
	t.Logf("%d rounds: %d records in %d files and %d snapshots", rounds, rows, len(got.Files), got.Snapshots)
}

const connector = "kills"

// killing is the cluster under attack.
type killing struct {
	*cluster
	trap      *trap
	committed int64 // records, when last asked
}

// turns are what happens in the rounds, in turn.
var turns = []struct {
	name string
	play func(*killing, *testing.T)
}{
	{"a worker at any moment", (*killing).anyWorker},
	{"all workers, their commit never arrives", (*killing).commitLost},
	{"a worker at any moment", (*killing).anyWorker},
	{"all workers, their commit lands unanswered", (*killing).commitUnanswered},
	{"the broker", (*killing).broker},
	{"a worker at any moment", (*killing).anyWorker},
	{"all workers, their commit arrives after another", (*killing).commitLate},
}

func (k *killing) anyWorker(t *testing.T) {
	time.Sleep(rand.N(time.Second))
	victim := rand.IntN(len(k.workers))
	k.workers[victim].Kill()
	k.launch(t, victim)
}

func (k *killing) broker(t *testing.T) {
	k.kafka.Kill()
	if err := k.kafka.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (k *killing) commitLost(t *testing.T) {
	h := k.catch(t, false)
	k.restart(t)
	h.release <- false
	<-h.status
}

func (k *killing) commitUnanswered(t *testing.T) {
	h := k.catch(t, true)
	k.restart(t)
	h.release <- false
	switch status := <-h.status; status {
	case http.StatusOK:
	case http.StatusConflict: // it was that of a coordinator already replaced
		t.Log("the commit that was to land was refused")
	default:
		t.Errorf("the commit that was to land was answered %d", status)
	}
}

// commitLate lets the commit of the dead arrive when their successors have moved the
// table's head: the catalog must refuse it for the head that it was made for.
func (k *killing) commitLate(t *testing.T) {
	h := k.catch(t, false)
	before := k.head(t)
	k.restart(t)
	for deadline := time.Now().Add(stuck); k.head(t) == before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no snapshot for %s after all workers were killed", stuck)
		}
	}
	h.release <- true
	if status := <-h.status; status != http.StatusConflict {
		t.Errorf("the commit that came too late was answered %d, want %d", status, http.StatusConflict)
	}
}

// head asks the catalog for the table's current snapshot.
func (k *killing) head(t *testing.T) int64 {
	t.Helper()
	var answer struct {
		Metadata struct {
			Head int64 `json:"current-snapshot-id"`
		} `json:"metadata"`
	}
	err := call(t.Context(), http.MethodGet, k.catalog.URL+"/v1/namespaces/kills/tables/readings", nil, &answer)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Metadata.Head
}

// catch holds the next commit.
func (k *killing) catch(t *testing.T, forward bool) hold {
	t.Helper()
	h := k.trap.set(forward)
	select {
	case <-h.caught:
	case <-time.After(stuck):
		t.Fatalf("no commit for %s", stuck)
	}
	return h
}

// restart kills all workers and starts them again.
func (k *killing) restart(t *testing.T) {
	t.Helper()
	for _, w := range k.workers {
		w.Kill()
	}
	for i := range k.workers {
		k.launch(t, i)
	}
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

// stuck is how long nothing is committed when something is wrong.
const stuck = time.Minute

// awaitProgress waits until the connector has committed more than at the last call.
func (k *killing) awaitProgress(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(stuck); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if trace := k.failure(t.Context(), connector); trace != "" {
			t.Fatalf("connector %s has failed: %s", connector, trace)
		}
		offsets, err := k.offsets(t.Context(), connector)
		if err != nil {
			continue
		}
		var committed int64
		for _, next := range offsets {
			committed += next
		}
		if committed > k.committed {
			k.committed = committed
			return
		}
	}
	st, err := k.status(t.Context(), connector)
	t.Fatalf("connector %s has committed nothing for %s after %d records: %+v, %v", connector, stuck, k.committed, st, err)
}
