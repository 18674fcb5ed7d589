package iceberg

import (
	"bytes"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connectors/iceberg/catalog"
)

// firstTen routes the records with offsets below 10 to db.orders, the others nowhere.
func firstTen(config map[string]string) {
	config["iceberg.tables.route-field"] = "word"
	config["iceberg.table.db.orders.route-regex"] = "w[0-9]"
}

// rowCount counts the rows of a table of two partitions with the same records in each.
func (s *stage) rowCount(ident table.Identifier) int {
	s.t.Helper()
	n := 0
	for _, c := range s.counts(ident) {
		n += c
	}
	return n
}

func TestDrops(t *testing.T) {
	// Of either partition: which is opened first is not said.
	firstDropped := regexp.MustCompile(`record=orders-[01]@10 reason="route field \\"word\\" is \\"w10\\", which matches no iceberg.table.NAME.route-regex"`)
	firstFailed := regexp.MustCompile(`record orders-[01]@10 has no table: route field "word"`)
	t.Run("skip", func(t *testing.T) {
		var log bytes.Buffer
		inStage(t, firstTen, func(s *stage) {
			s.tc.Log = slog.New(slog.NewTextHandler(&log, nil))
			tp := s.parts()[0]
			s.log[tp][39].Value = connect.Value{}
			s.mustPoll(5 * time.Second)
			if got := s.rowCount(orders); got != 20 {
				t.Errorf("%d rows, want 20", got)
			}
			s.allRead()
		})
		said := log.String()
		if strings.Count(said, "a record has no table") != 1 || !firstDropped.MatchString(said) {
			t.Errorf("the first dropped record is not named once:\n%s", said)
		}
		if !strings.Contains(said, "without_route=59 without_table=0 tombstones=1") {
			t.Errorf("59 dropped records and a tombstone are not counted:\n%s", said)
		}
	})
	t.Run("dead-letter", func(t *testing.T) {
		inStage(t, func(config map[string]string) {
			firstTen(config)
			config["iceberg.tables.drop-policy"] = "dead-letter"
			config["errors.tolerance"], config["errors.deadletterqueue.topic.name"] = "all", "dead"
		}, func(s *stage) {
			s.tc.Tolerate = true
			s.mustPoll(5 * time.Second)
			errants := s.tc.Errants()
			if len(errants) != 60 || !strings.HasPrefix(errants[0].Cause.Error(), "no table: route field") {
				s.t.Errorf("%d errants, want 60 that say why", len(errants))
			}
			if got := s.rowCount(orders); got != 20 {
				s.t.Errorf("%d rows, want 20", got)
			}
			s.allRead()
		})
	})
	t.Run("fail", func(t *testing.T) {
		inStage(t, func(config map[string]string) {
			firstTen(config)
			config["iceberg.tables.drop-policy"] = "fail"
		}, func(s *stage) {
			s.tc.Tolerate = true
			err := s.poll(5 * time.Second)
			if err == nil || !firstFailed.MatchString(err.Error()) {
				s.t.Errorf("error %v, want one for the first record without a table", err)
			}
		})
	})
}

// byTopic names the table by the topic, and does not create it.
func byTopic(policy string) func(config map[string]string) {
	return func(config map[string]string) {
		delete(config, "iceberg.tables")
		config["iceberg.tables.dynamic-enabled"], config["iceberg.tables.route-by"], config["iceberg.tables.default-namespace"] = "true", "topic", "lake"
		config["iceberg.tables.auto-create-enabled"] = "false"
		if policy != "" {
			config["iceberg.tables.drop-policy"] = policy
		}
	}
}

func TestDropsOfMissingTable(t *testing.T) {
	t.Run("skip until it is there", func(t *testing.T) {
		inStage(t, byTopic("skip"), func(s *stage) {
			s.mustPoll(3 * time.Second)
			schema := iceberg.NewSchema(0,
				iceberg.NestedField{ID: 1, Name: "p", Type: iceberg.PrimitiveTypes.Int64},
				iceberg.NestedField{ID: 2, Name: "o", Type: iceberg.PrimitiveTypes.Int64},
				iceberg.NestedField{ID: 3, Name: "word", Type: iceberg.PrimitiveTypes.String},
			)
			ident := table.Identifier{"lake", "orders"}
			if err := s.catalog.CreateNamespace(s.t.Context(), ident[:1], nil); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.catalog.CreateTable(s.t.Context(), ident, schema, icebergcatalog.WithProperties(iceberg.Properties{table.ParquetCompressionKey: "uncompressed"})); err != nil {
				s.t.Fatal(err)
			}
			s.mustPoll(lookAgain)
			s.produce(s.t.Context(), 1) // dropped still, perhaps: it makes the task look
			s.mustPoll(time.Second)
			s.produce(s.t.Context(), 5)
			s.mustPoll(3 * time.Second)
			if got := s.rowCount(ident); got < 10 || got > 12 {
				s.t.Errorf("%d rows, want the 10 of after the table was found", got)
			}
			s.allRead()
		})
	})
	t.Run("dead-letter", func(t *testing.T) {
		inStage(t, func(config map[string]string) {
			byTopic("dead-letter")(config)
			config["errors.tolerance"], config["errors.deadletterqueue.topic.name"] = "ALL", "dead"
		}, func(s *stage) {
			s.tc.Tolerate = true
			s.mustPoll(5 * time.Second)
			errants := s.tc.Errants()
			if len(errants) != 80 || !strings.HasPrefix(errants[0].Cause.Error(), "no table: table lake.orders does not exist") {
				s.t.Errorf("%d errants, want 80 that name the table", len(errants))
			}
			s.allRead()
		})
	})
	for _, policy := range []string{"", "fail"} {
		t.Run("fail by "+policy, func(t *testing.T) {
			inStage(t, byTopic(policy), func(s *stage) {
				err := s.poll(5 * time.Second)
				if err == nil || !strings.Contains(err.Error(), "table lake.orders does not exist") {
					s.t.Errorf("error %v, want one that names the table", err)
				}
			})
		})
	}
}

// A table of the list that does not exist is a fault of the config, whatever the policy.
func TestDropsNothingOfTheList(t *testing.T) {
	inStage(t, func(config map[string]string) {
		config["iceberg.tables.auto-create-enabled"], config["iceberg.tables.drop-policy"] = "false", "skip"
	}, func(s *stage) {
		if err := s.poll(5 * time.Second); err == nil || !strings.Contains(err.Error(), "table db.orders does not exist") {
			s.t.Errorf("error %v, want one that names the table", err)
		}
	})
}

// Tables that do not exist are forgotten when there are many, and no others.
func TestAbsentTablesAreForgotten(t *testing.T) {
	task := &Task{cfg: &config{}, tables: make(map[string]*destination), byIdent: make(map[*string]*destination)}
	kept := task.destination(table.Identifier{"db", "kept"})
	for i := range 3 * maxAbsent {
		task.destination(table.Identifier{"db", strconv.Itoa(i)}).absent = true
		if len(task.tables) > maxAbsent+1 {
			t.Fatalf("%d tables remembered after %d", len(task.tables), i)
		}
	}
	if task.destination(table.Identifier{"db", "kept"}) != kept {
		t.Error("a table that exists was forgotten")
	}
}

// No table is created that could not take the second row.
func TestCreateNeedsIDColumns(t *testing.T) {
	inStage(t, func(config map[string]string) { config["iceberg.tables.default-id-columns"] = "p, oo" }, func(s *stage) {
		if err := s.poll(5 * time.Second); err == nil || !strings.Contains(err.Error(), `table db.orders: id column "oo" does not exist`) {
			s.t.Errorf("error %v, want one that names the column", err)
		}
		if _, err := s.catalog.Peek(orders); !catalog.Missing(err) {
			s.t.Errorf("the table was created: %v", err)
		}
	})
}

// TestDropsReportIsRare sees that the log is told of changes alone, and not too often.
func TestDropsReportIsRare(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	now := time.Unix(1000, 0)
	var d drops
	lines := func(d *drops, after time.Duration, last bool) string {
		log.Reset()
		now = now.Add(after)
		d.report(logger, now, last)
		return log.String()
	}
	if got := lines(&d, 0, true); got != "" {
		t.Errorf("nothing was dropped: %s", got)
	}
	d.tombstones = 1
	if got := lines(&d, 0, false); !strings.Contains(got, "level=INFO") {
		t.Errorf("a tombstone is worth an information: %s", got)
	}
	d.unrouted = 1
	if got := lines(&d, reportAfter/2, false); got != "" {
		t.Errorf("too soon: %s", got)
	}
	if got := lines(&d, reportAfter/2, false); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "dropped_since_last_line=1") {
		t.Errorf("a dropped record is worth a warning: %s", got)
	}
	if got := lines(&d, time.Hour, true); got != "" {
		t.Errorf("nothing is new: %s", got)
	}
	d.absent = 2
	if got := lines(&d, 0, true); !strings.Contains(got, "dropped_since_last_line=2") {
		t.Errorf("the last line counts what came since: %s", got)
	}
}
