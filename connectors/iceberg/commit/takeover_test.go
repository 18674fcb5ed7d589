package commit

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/commit/javaevent"
	"github.com/firn-io/firn/connectors/iceberg/icetest"
)

// Announced by Java, not committed: the drain brings it into the tables.
func TestTakeOver(t *testing.T) {
	for _, name := range []string{"with -coord", "-coord lost", "announced before the first commit"} {
		t.Run(name, func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				if name != "announced before the first commit" {
					s.end = 4
					s.java("earliest")
					s.end = 10
				}
				s.javaWorker(7, false)
				if name == "-coord lost" {
					s.coord = nil
				}
				s.firn(s.config())
				s.expect("")
				if s.group != 10 || s.coord[0] == 0 {
					t.Errorf("group at %d, -coord at %v", s.group, s.coord)
				}
				s.end = 15
				s.java("earliest")
				s.expect("")
			})
		})
	}
}

// The way back: after a clean stop Java goes on, wherever it begins with the control topic.
func TestGiveBack(t *testing.T) {
	for _, reset := range []string{"", "earliest", "latest"} {
		t.Run("-coord "+reset, func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(5, false)
				s.firn(s.config())
				if reset != "" {
					s.coord = nil // lost since
				}
				s.end = 20
				s.java(reset)
				s.expect("")
				s.end = 30
				s.firn(s.config())
				s.expect("")
			})
		})
	}
}

func TestTakeOverWithoutDrainLoses(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.javaWorker(7, false)
		cfg := s.config()
		cfg.Java = nil
		s.firn(cfg)
		s.expect("LOST")
	})
}

func TestDrainWithoutPropertyDoubles(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.end = 4
		s.java("earliest")
		s.end, s.coord = 10, nil
		cfg := s.config()
		cfg.Identity.OffsetsProperty += "-another"
		s.firn(cfg)
		s.expect("DUP")
	})
}

// Replies that are lost, and requests that land late, do not double what is drained.
func TestDrainWithUnclearOutcomes(t *testing.T) {
	for name, fault := range map[string]icetest.Fault{
		"reply lost":   {After: errSim},
		"request lost": {Before: errSim},
		"slow":         {DelayBefore: 20 * time.Second, Detached: true},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(7, false)
				s.catalog.Inject(icetest.Commit, fault, fault, fault)
				s.firn(s.config())
				s.expect("")
			})
		})
	}
}

// A transaction that is open when Firn starts, and ends with success: the group's offsets
// and the announcements come together or not at all.
func TestOpenTransaction(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.javaWorker(4, false)
		s.javaWorker(7, true)
		go func() {
			time.Sleep(30 * time.Second)
			s.meanwhile(s.endTransaction)
		}()
		s.firn(s.config())
		s.expect("")
	})
}

// Offsets that were read before an announcement count for nothing once they have moved.
func TestOffsetsThatMoveDuringTheDrain(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.javaWorker(4, false)
		s.onOffset = func() {
			if s.asked == 2 {
				s.javaWorker(7, false) // a sink that is not fenced, as Tabular's
			}
		}
		s.firn(s.config())
		s.expect("")
	})
}

// A coordinator of Java's that has read announcements, sleeps through the take-over and
// commits then: from 1.11 on it sees that the property has moved. Older ones do not look.
func TestLingeringJavaCoordinator(t *testing.T) {
	for validator, want := range map[bool]string{true: "", false: "DUP"} {
		t.Run(fmt.Sprint("validator ", validator), func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(7, false)
				old := s.javaCoordinator("earliest")
				old.validator = validator
				old.read()
				late := old.prepare(stageTables[0])
				s.firn(s.config())
				if late() != (want == "DUP") {
					t.Errorf("the late commit of validator %v went the wrong way", validator)
				}
				s.expect(want)
			})
		})
	}
}

// With the property not carried by Firn's snapshots, even an old filter would see nothing.
func TestPropertyIsCarried(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.javaWorker(5, false)
		s.firn(s.config())
		for _, target := range stageTables {
			got := s.load(target).CurrentSnapshot().Summary.Properties
			if at, err := parsePositions(got[s.id.OffsetsProperty]); err != nil || at[0] < 3 {
				t.Errorf("%s: property %q, %v", target.Table, got[s.id.OffsetsProperty], err)
			}
		}
	})
}

// kill -9 between two tables, then Java: the table that was ahead has rows twice. That is
// what settle is for; here, another life of Firn's that is stopped cleanly.
func TestGiveBackAfterCrash(t *testing.T) {
	for _, settled := range []bool{false, true} {
		t.Run(fmt.Sprint("settled ", settled), func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(4, false)
				s.crash(3) // the drain of both tables, and one table of its own
				want := "DUP"
				if settled {
					s.firn(s.config())
					want = ""
				}
				s.java("earliest")
				s.expect(want)
			})
		})
	}
}

// A crash between the drain of two tables: the next life drains again.
func TestCrashInTheDrain(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.javaWorker(7, false)
		s.crash(1)
		s.firn(s.config())
		s.expect("")
	})
}

func TestMissingTableStops(t *testing.T) {
	for name, change := range map[string]func(s *stage) error{
		"dropped": func(s *stage) error { return s.catalog.DropTable(s.t.Context(), stageTables[1].Identifier()) },
		"recreated": func(s *stage) error {
			_, err := s.catalog.Recreate(stageTables[1].Identifier())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(7, false)
				if err := change(s); err != nil {
					t.Fatal(err)
				}
				cfg := s.config()
				cfg.Tables = stageTables[:1]
				r := s.start(cfg, true)
				err := r.end()
				if _, ok := errors.AsType[*StopError](err); !ok || !strings.Contains(err.Error(), "db.b") || !strings.Contains(err.Error(), stageGroup+"-coord") {
					t.Errorf("ended with %v", err)
				}
				if s.coord != nil {
					t.Errorf("-coord was moved to %v", s.coord)
				}
			})
		})
	}
}

func TestStrangersAreWaitedFor(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.members = []string{"a Java worker"}
		s.javaWorker(4, false)
		go func() {
			time.Sleep(4 * time.Minute)
			s.meanwhile(func() {
				s.javaWorker(7, false) // the last it did
				s.members = nil
			})
		}()
		s.firn(s.config())
		s.expect("")
	})
}

// A Java worker that joins while Firn is at work: what is accepted is brought to its end.
// While the worker has no partitions, the coordinator goes on until it is told to finish.
func TestStrangerJoins(t *testing.T) {
	for _, emptyHanded := range []bool{false, true} {
		onStage(t, 10, func(s *stage) {
			s.javaWorker(4, false)
			s.slowCommits()
			g := &generations{stage: s}
			cfg := s.config()
			cfg.Group = g
			r := s.start(cfg, false)
			<-r.opened
			for s.catalog.Calls(icetest.Commit) < 3 { // after the drain of two tables
				time.Sleep(time.Second)
			}
			s.meanwhile(func() { g.generation, s.members, s.emptyHanded = 1, []string{"a Java worker"}, emptyHanded })
			r.coordinator.Wake()
			if emptyHanded {
				<-r.done
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			} else if err := r.end(); !errors.Is(err, ErrNotAlone) {
				t.Errorf("ended with %v", err)
			}
			if s.group != s.end {
				t.Errorf("the group is at %d, a has %v, b %v", s.group, s.counts(stageTables[0]), s.counts(stageTables[1]))
			}
			s.members, s.end = nil, 20
			s.java("earliest")
			s.expect("")
		})
	}
}

// generations lets the stage's session have another generation.
type generations struct {
	*stage
	generation int32
}

func (g *generations) Session() connect.Session {
	s := g.stage.Session()
	g.meanwhile(func() { s.Generation += g.generation })
	return s
}

func TestGroupLostAfterJava(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.java("earliest")
		s.group = None
		r := s.start(s.config(), true)
		err := r.end()
		if _, ok := errors.AsType[*StopError](err); !ok {
			t.Errorf("ended with %v", err)
		}
	})
	onStage(t, 10, func(s *stage) {
		s.javaWorker(7, false)
		s.crash(1) // the drain of one table, which has D now
		s.group = None
		s.firn(s.config())
		s.expect("")
	})
}

// The control topic was created anew: what the property and -coord say is of the old one.
func TestControlTopicCreatedAnew(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.end = 4
		s.java("earliest")
		s.end, s.control = 10, nil
		s.javaWorker(7, false)
		s.coord = Positions{0: 100}
		for _, target := range stageTables {
			t := s.load(target)
			p := newPublisher(&Config{Catalog: s.catalog, Identity: s.id, Logger: slog.Default()}, Positions{0: 100})
			empty, err := dataFile(t.Metadata(), javaevent.File{Path: s.file(target, nil), Format: "parquet", Records: 1})
			if err != nil {
				s.t.Fatal(err)
			}
			if _, err := p.commit(s.t.Context(), t, "main", randomID(), delta{rows: []iceberg.DataFile{empty}, floors: Floors{}.String()}); err != nil {
				s.t.Fatal(err)
			}
		}
		s.firn(s.config())
		s.expect("")
	})
}

// What is not ours, or nobody's, is passed over; what cannot be read may be Java's.
func TestDrainOfOddValues(t *testing.T) {
	onStage(t, 10, func(s *stage) {
		s.control = append(s.control, controlValue{value: []byte("hello")}, controlValue{})
		other := [16]byte{1}
		s.announce("connect-other", javaevent.DataWritten{Table: javaevent.Table{Namespace: []string{"db"}, Name: "z", UUID: &other}, Data: []javaevent.File{{Path: "p", Format: "PARQUET", Records: 1}}}, false)
		s.javaWorker(7, false)
		s.firn(s.config())
		s.expect("")

		s.control = append(s.control, controlValue{value: []byte("\xc2\x01\x00\x02{}another group's")})
		s.firn(s.config())
		s.control = append(s.control, controlValue{value: []byte("\xc2\x01\x00\x02{}" + stageGroup)})
		r := s.start(s.config(), true)
		if err := r.end(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("offset %d", len(s.control)-1)) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestCuts(t *testing.T) {
	at := func(offset int64, cycle byte, minute int, deletes int) announcement {
		return announcement{0, offset, &javaevent.Event{Time: time.Unix(int64(60*minute), 0)}, javaevent.DataWritten{Commit: [16]byte{cycle}, Deletes: make([]javaevent.File, deletes)}}
	}
	events := []announcement{at(0, 1, 0, 0), at(1, 2, 1, 0), at(2, 1, 2, 1), at(3, 2, 3, 1)}
	var got []int64
	for _, cut := range cuts(events, Positions{0: 9}) {
		got = append(got, cut[0])
	}
	if want := []int64{1, 9}; !slices.Equal(got, want) {
		t.Errorf("cuts at %v, want %v", got, want)
	}
	if got := cuts(events[:2], Positions{0: 9}); len(got) != 1 {
		t.Errorf("%d snapshots without deletes", len(got))
	}
}

// A coordinator that is to go completes the commit that is under way: no table is ahead of
// the group when the next one, of another configuration or Java's, begins.
func TestFinish(t *testing.T) {
	for _, finish := range []bool{true, false} {
		t.Run(fmt.Sprint("finish ", finish), func(t *testing.T) {
			onStage(t, 10, func(s *stage) {
				s.javaWorker(4, false)
				s.slowCommits()
				r := s.start(s.config(), false)
				<-r.opened
				for s.catalog.Calls(icetest.Commit) < 3 { // after the drain of two tables
					time.Sleep(time.Second)
				}
				if !finish {
					r.kill()
					if rows := len(s.counts(stageTables[0])) + len(s.counts(stageTables[1])); s.group == s.end || rows <= 4+2 {
						t.Errorf("the group is at %d, %d rows: nothing was under way", s.group, rows)
					}
					return
				}
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				// Behind -coord there may be the last cycle, which Java passes over.
				if s.group != s.end || s.coord[0] < int64(len(s.control))-1 {
					t.Errorf("group at %d, -coord at %v of %d", s.group, s.coord, len(s.control))
				}
				s.expect("")
			})
		})
	}
}

// Routing that is changed between the commits of two tables, and a crash there: the log
// says of which offsets.
func TestReconfiguredInAHalfCommit(t *testing.T) {
	for hash, want := range map[uint64]bool{1: false, 2: true} {
		onStage(t, 10, func(s *stage) {
			s.javaWorker(4, false)
			s.crash(3)
			var log bytes.Buffer
			cfg := s.config()
			cfg.ConfigHash, cfg.Logger = hash, slog.New(slog.NewTextHandler(&log, nil))
			s.firn(cfg)
			if told := strings.Contains(log.String(), "partition=orders-0 from=4 to=10"); told != want {
				t.Errorf("configuration %d: told %v:\n%s", hash, told, log.String())
			}
		})
	}
}
