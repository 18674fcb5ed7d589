package simtest

import (
	"flag"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rcrowley/go-metrics"
)

var (
	simSeeds = flag.Int("sim.seeds", defaultSeeds(), "how many seeds TestSimulation runs; the environment's SEEDS is its default")
	simFirst = flag.Uint64("sim.first", 1, "the first of them")
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed alone, with the workers' logs on standard error")
)

func defaultSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil && n > 0 {
		return n
	}
	return 200
}

func TestMain(m *testing.M) {
	metrics.UseNilMetrics = true // its ticker would live in the first bubble for ever
	debug.SetGCPercent(1000)     // a third of the time otherwise: bubbles are small and many
	debug.SetMemoryLimit(512 << 20)
	os.Exit(m.Run())
}

// TestSimulation runs clusters of three workers through kills, zombies, rebalances, lost
// requests and replies of brokers and catalog, and failing writes, while records are
// produced. In some worlds tables are rolled back or dropped, a source topic is deleted and
// created again, or another Kafka cluster takes the place of the first. When the harm stops, the group's offsets must reach the ends of the log by
// themselves, and then each record must be in each table that it routes to exactly once.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed)
		return
	}
	for seed := *simFirst; seed < *simFirst+uint64(*simSeeds); seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed)
		})
	}
}

const (
	harm     = 25 * time.Second // how long harm is done
	patience = 5 * time.Minute  // by when everything must have settled afterwards
)

func simulate(t *testing.T, seed uint64) {
	j := newJournal()
	defer j.tell(t, seed)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, j)
		defer func() { w.kafka.Close() }()
		defer w.end()
		w.begin()
		w.disturb()
		w.settle()
		w.end()
		w.verify()
	})
}
