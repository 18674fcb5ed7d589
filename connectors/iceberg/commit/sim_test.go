package commit

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

var (
	simSeeds = flag.Int("sim.seeds", defaultSeeds(), "how many seeds TestSimulation runs; the environment's SEEDS is its default")
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed alone, and tell what happens")
)

// defaultSeeds is few: the simulation of whole clusters (internal/simtest) runs the same
// code, and this one is for finding out which part of the protocol is to blame.
func defaultSeeds() int {
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil && n > 0 {
		return n
	}
	return 40
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(1000) // a quarter of the simulation's time otherwise: worlds are small and many
	debug.SetMemoryLimit(512 << 20)
	os.Exit(m.Run())
}

// TestSimulation runs the real coordinator, chain and publisher in fake time, against a
// catalog that loses and delays requests and replies, a control topic that loses, repeats
// and reorders, tasks that die, sleep as zombies or freeze for minutes and come back,
// other configurations, and other engines that commit and expire. In half of the worlds the
// catalog offers commits of several tables. In some a table is rolled back, or dropped and
// created again, or the topic is, or the whole Kafka cluster. When the faults stop, every
// record must be in every table it routes to exactly once, and the group's offsets at the
// end of the log.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		simulate(t, *simSeed)
		return
	}
	for seed := range *simSeeds {
		t.Run(strconv.Itoa(seed+1), func(t *testing.T) {
			t.Parallel()
			simulate(t, uint64(seed+1))
		})
	}
}

const (
	simTasks  = 3
	simParts  = 3
	simFaults = 40 * time.Second // how long faults happen
	simLimit  = 20 * time.Minute // by then everything must be settled
)

var simTables = []Target{{"db.a", "main"}, {"db.b", "main"}, {"db.k", "main"}}

// simKeyed is the table whose rows replace older ones with their key.
const simKeyed = 2

// simRoutes: most records go to a, some go to b or k too, a few to b alone, some nowhere.
func simRoutes(tp connect.TopicPartition, offset int64) []int {
	switch (offset + int64(tp.Partition)) % 7 {
	case 0:
		return []int{0, 1}
	case 1, 2:
		return []int{0, simKeyed}
	case 3:
		return []int{0, 1, simKeyed}
	case 5:
		return []int{1}
	case 6:
		return nil
	}
	return []int{0}
}

// A simRow is a record in a table.
type simRow struct {
	topic  TopicID
	tp     connect.TopicPartition
	offset int64
}

// key is that of the record in the keyed table: some keys are in all partitions.
func (r simRow) key() int64 {
	if r.offset%3 == 0 {
		return r.offset % 4
	}
	return 100*int64(r.tp.Partition+1) + r.offset%5
}

// deletes tells whether the record takes its key's row away.
func (r simRow) deletes() bool { return r.offset%5 == 4 }

// A world is the cluster as it truly is. mu guards everything.
type world struct {
	t        *testing.T
	log      *slog.Logger
	catalog  *icetest.Catalog
	calamity calamity                                            // what may happen here and not elsewhere
	multi    bool                                                // the catalog commits several tables in one request
	routes   func(tp connect.TopicPartition, offset int64) []int // indexes of simTables
	cadence  func(table string) Cadence
	trouble  func(what string)
	late     sync.WaitGroup // requests that were given up and have not landed yet

	mu         sync.Mutex
	rng        *rand.Rand
	calm       bool // no more faults
	kafka      int  // Kafka clusters before this one
	topicID    TopicID
	logEnd     map[connect.TopicPartition]int64
	made       map[connect.TopicPartition][]int64   // timestamps of the records, which do not fall
	silent     map[connect.TopicPartition]time.Time // until when nothing is produced
	group      map[connect.TopicPartition]int64
	watermarks int // seen
	generation int32
	owner      map[connect.TopicPartition]int
	members    [simTasks]*member
	hash       uint64              // of the newest configuration
	awake      time.Time           // when nobody sleeps any more
	rows       map[string][]simRow // by file
	gone       map[string][]int64  // keys, by equality delete file
	excused    [3]excuse           // by table
}

// An excuse is what somebody took out of a table: each record of it may be missing, and
// rows of keys that it has may be older ones.
type excuse struct {
	rows map[simRow]bool
	ends map[connect.TopicPartition]int64 // everything below is excused; nil if nothing
	any  bool
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.calm && w.rng.IntN(100) < percent
}

func (w *world) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

func simulate(t *testing.T, seed uint64) {
	inWorld(t, seed, func(w *world) {
		w.calamity = calamity(seed % uint64(calamities))
		w.multi = seed%2 == 0
		w.catalog.Chaos(w.catalogFault)
		w.begin()
		w.disturb()
		w.mu.Lock()
		w.calm = true
		w.mu.Unlock()
		w.settle()
		w.verify()
	})
}

// inWorld plays a story, which calls begin, in fake time.
func inWorld(t *testing.T, seed uint64, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		out := io.Discard
		if *simSeed != 0 {
			out = os.Stderr
		}
		w := &world{
			t: t, log: slog.New(slog.NewTextHandler(out, nil)), catalog: icetest.New(icetest.NewFiles()), topicID: TopicID{7},
			routes: simRoutes,
			rng:    rand.New(rand.NewPCG(seed, 1)), hash: 1, generation: 1, made: make(map[connect.TopicPartition][]int64), silent: make(map[connect.TopicPartition]time.Time),
			logEnd: make(map[connect.TopicPartition]int64), group: make(map[connect.TopicPartition]int64),
			owner: make(map[connect.TopicPartition]int), rows: make(map[string][]simRow), gone: make(map[string][]int64),
		}
		for i := range w.excused {
			w.excused[i].rows = make(map[simRow]bool)
		}
		w.createTables()
		for i, tp := range w.partitions() {
			w.owner[tp] = i % simTasks
		}
		defer func() { // also when the test failed: a bubble waits for its goroutines
			for _, m := range w.members {
				if m != nil {
					m.kill()
				}
			}
			w.late.Wait()
		}()
		story(w)
	})
}

func (w *world) begin() {
	for slot := range simTasks {
		w.start(slot)
	}
}

func (w *world) partitions() []connect.TopicPartition {
	out := make([]connect.TopicPartition, simParts)
	for i := range out {
		out[i] = connect.TopicPartition{Topic: "orders", Partition: int32(i)}
	}
	return out
}

// createTables has the library retry commits, if it may, in half of the worlds.
func (w *world) createTables() {
	ctx := w.t.Context()
	props := iceberg.Properties{table.CommitNumRetriesKey: strconv.Itoa(4 * w.pick(2))}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "o", Type: iceberg.PrimitiveTypes.Int64})
	if err := w.catalog.CreateNamespace(ctx, table.Identifier{"db"}, nil); err != nil {
		w.t.Fatal(err)
	}
	for _, target := range simTables {
		if _, err := w.catalog.CreateTable(ctx, target.Identifier(), schema, icebergcatalog.WithProperties(props)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rebalance gives partitions to other tasks; members hear of it one after the other.
// Those who sleep or are frozen get none: the group has thrown them out.
func (w *world) rebalance() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var present []int
	for slot, m := range w.members {
		if !m.away() {
			present = append(present, slot)
		}
	}
	w.generation++
	for _, tp := range w.partitions() {
		if len(present) > 0 && (w.rng.IntN(2) == 0 || !slices.Contains(present, w.owner[tp])) {
			w.owner[tp] = present[w.rng.IntN(len(present))]
		}
	}
	for _, m := range w.members {
		delay := time.Duration(w.rng.IntN(600)) * time.Millisecond
		time.AfterFunc(delay, m.rejoin)
	}
	w.log.Info("sim: rebalance", "generation", w.generation, "owner", fmt.Sprint(w.owner))
}
